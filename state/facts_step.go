package state

import (
	"strings"
	"time"
)

func init() {
	register[AttemptStarted]()
	register[AttemptClosed]()
	register[ItemStarted]()
	register[ItemFinished]()
	register[ItemChecked]()
	register[ItemUnchecked]()
	register[ItemSigned]()
	register[ItemPassedOver]()
	register[ItemUnneeded]()
	register[FactsFound]()
}

// AttemptStarted opens steps 3 to 15 afresh.
type AttemptStarted struct {
	N     int    `json:"n"`
	Steps []Step `json:"steps"` // the fresh steps 3 to 15
}

// Kind implements Fact.
func (AttemptStarted) Kind() string { return "attempt.started" }

func (f AttemptStarted) apply(in *Incident, _ Event) {
	in.Attempt = f.N
	fresh := cloneSteps(f.Steps)
	for i := range in.Steps {
		for j := range fresh {
			if in.Steps[i].No == fresh[j].No {
				for k := range fresh[j].Items {
					fresh[j].Items[k].Status = ItemOpen
				}
				in.Steps[i] = fresh[j]
			}
		}
	}
	in.Rollback.Proof, in.Rollback.ProvenAt = Proof{}, time.Time{} // of a plan that is past
	// What the last attempt found about its own branch and tag is past.
	for k := range in.Facts {
		for _, own := range []string{"branch", "commit", "review", "version", "tag", "approved", "change.", "merged.", "cluster.now"} {
			if k == own || strings.HasPrefix(k, own+".") || strings.HasSuffix(own, ".") && strings.HasPrefix(k, own) {
				delete(in.Facts, k)
			}
		}
	}
}

// AttemptClosed ends an attempt and keeps its steps for the reviewer.
type AttemptClosed struct {
	N       int    `json:"n"`
	Outcome string `json:"outcome"`
}

// Kind implements Fact.
func (AttemptClosed) Kind() string { return "attempt.closed" }

func (f AttemptClosed) apply(in *Incident, _ Event) {
	for _, a := range in.Closed {
		if a.N == f.N {
			return // told twice: by a process that rolled back itself, and by the keeper
		}
	}
	var steps []Step
	for _, s := range cloneSteps(in.Steps) {
		if s.No >= FirstOfAttempt && s.No <= LastOfAttempt {
			steps = append(steps, s)
		}
	}
	in.Closed = append(in.Closed, Attempt{N: f.N, Outcome: f.Outcome, Steps: steps})
}

// ItemStarted is the intent of an action, written and synced before it acts.
type ItemStarted struct {
	Item     string   `json:"item"`
	Run      string   `json:"run"`
	Commands []string `json:"commands,omitempty"` // exactly what will run, as a person would type it
}

// Kind implements Fact.
func (ItemStarted) Kind() string { return "item.started" }

func (f ItemStarted) apply(in *Incident, e Event) {
	in.onItem(f.Item, func(it *Item) {
		it.Status, it.By, it.Started, it.Ended, it.Run = ItemRunning, who(e), e.Time, time.Time{}, f.Run
		it.Problem, it.Summary, it.Evidence = nil, "", nil
	})
}

// ItemFinished is an action's outcome: done, failed, cancelled, not needed or interrupted.
type ItemFinished struct {
	Item     string            `json:"item"`
	Run      string            `json:"run"`
	Outcome  ItemStatus        `json:"outcome"`
	Summary  string            `json:"summary,omitempty"`
	Evidence []Evidence        `json:"evidence,omitempty"`
	Facts    map[string]string `json:"facts,omitempty"`
	Problem  *Problem          `json:"problem,omitempty"`
}

// Kind implements Fact.
func (ItemFinished) Kind() string { return "item.finished" }

func (f ItemFinished) apply(in *Incident, e Event) {
	if it := in.Item(f.Item); it != nil && f.Run != "" && (it.Run != f.Run || !it.Status.underWay()) {
		return // a run of an earlier attempt, or one that a rollback has ended already
	}
	in.onItem(f.Item, func(it *Item) {
		it.Status, it.Ended = f.Outcome, e.Time
		it.Summary, it.Evidence, it.Problem = f.Summary, f.Evidence, f.Problem
	})
	for k, v := range f.Facts {
		set(&in.Facts, k, v)
	}
}

// ItemChecked is a person's tick, with words where the check asks for them.
type ItemChecked struct {
	Item  string `json:"item"`
	Value string `json:"value,omitempty"`
}

// Kind implements Fact.
func (ItemChecked) Kind() string { return "item.checked" }

func (f ItemChecked) apply(in *Incident, e Event) {
	in.onItem(f.Item, func(it *Item) {
		if it.Started.IsZero() {
			it.Started = e.Time
		}
		it.Status, it.By, it.Ended, it.Value, it.Problem = ItemDone, who(e), e.Time, f.Value, nil
	})
	set(&in.Facts, f.Item, f.Value)
}

// ItemUnchecked takes a tick back.
type ItemUnchecked struct {
	Item string `json:"item"`
}

// Kind implements Fact.
func (ItemUnchecked) Kind() string { return "item.unchecked" }

func (f ItemUnchecked) apply(in *Incident, _ Event) {
	in.onItem(f.Item, func(it *Item) {
		it.Status, it.By, it.Ended, it.Value = ItemOpen, "", time.Time{}, ""
		it.Summary, it.Evidence, it.Problem = "", nil, nil
	})
}

// ItemSigned is a sign-off by somebody other than the author, bound to a commit.
type ItemSigned struct {
	Item    string `json:"item"`
	Commit  string `json:"commit,omitempty"`
	Comment string `json:"comment,omitempty"`
	Reject  bool   `json:"reject,omitempty"`
	// Signed is the reviewer's own signature, which the event's actor took in; nil where
	// the actor's account is the reviewer.
	Signed *Signed `json:"signed,omitempty"`
}

// by is who signed, and with which key if with one.
func (f ItemSigned) by(e Event) (person, key string) {
	if f.Signed != nil {
		return f.Signed.Person, f.Signed.Key
	}
	return who(e), ""
}

// evidenceKey names the evidence that holds the key of a signature.
const evidenceKey = "signed by"

// evidence is what can be looked at again.
func (f ItemSigned) evidence() []Evidence {
	out := []Evidence{{Name: "commit", Value: f.Commit}}
	if s := f.Signed; s != nil {
		out = append(out, Evidence{Name: evidenceKey, Value: s.Key}, Evidence{Name: "signer", Value: s.Principal},
			Evidence{Name: "tag", Value: s.Statement.Tag}, Evidence{Name: "diff", Value: "SHA-256 " + s.Statement.Diff},
			Evidence{Name: "signers' file", Value: "SHA-256 " + s.Signers})
	}
	return out
}

// Kind implements Fact.
func (ItemSigned) Kind() string { return "item.signed" }

func (f ItemSigned) apply(in *Incident, e Event) {
	by, key := f.by(e)
	in.onItem(f.Item, func(it *Item) {
		if it.Started.IsZero() {
			it.Started = e.Time
		}
		it.Status, it.By, it.Ended, it.Value, it.Problem = ItemDone, by, e.Time, f.Comment, nil
		it.Evidence = f.evidence()
		it.Summary = by
		if key != "" {
			it.Summary = "signed by " + key
		}
		if f.Reject {
			it.Status = ItemFailed
			it.Problem = &Problem{What: by + " rejected the change", Why: f.Comment, Do: "Change it and ask again."}
		}
	})
	if !f.Reject {
		set(&in.Facts, "approved", f.Commit)
		set(&in.Facts, "approved.by", by)
		set(&in.Facts, "approved.key", key)
		set(&in.Facts, "approved.tag", f.tag())
	}
}

// tag is the version that the approval is for, "" where it is for any.
func (f ItemSigned) tag() string {
	if f.Signed != nil {
		return f.Signed.Statement.Tag
	}
	return ""
}

// ItemPassedOver overrides an item with a reason; it stays red for ever.
type ItemPassedOver struct {
	Item   string `json:"item"`
	Reason string `json:"reason"`
}

// Kind implements Fact.
func (ItemPassedOver) Kind() string { return "item.overridden" }

func (f ItemPassedOver) apply(in *Incident, e Event) {
	in.onItem(f.Item, func(it *Item) {
		if it.Started.IsZero() {
			it.Started = e.Time
		}
		it.Status, it.By, it.Ended, it.Value = ItemOverridden, who(e), e.Time, f.Reason
	})
}

// ItemUnneeded settles an item that this run does not need, with why as evidence.
type ItemUnneeded struct {
	Item     string     `json:"item"`
	Why      string     `json:"why"`
	Evidence []Evidence `json:"evidence,omitempty"`
}

// Kind implements Fact.
func (ItemUnneeded) Kind() string { return "item.unneeded" }

func (f ItemUnneeded) apply(in *Incident, e Event) {
	in.onItem(f.Item, func(it *Item) {
		it.Status, it.By, it.Ended, it.Summary, it.Evidence = ItemNotNeeded, who(e), e.Time, f.Why, f.Evidence
	})
}

// FactsFound adds to what is known, outside any item.
type FactsFound struct {
	Facts map[string]string `json:"facts"`
}

// Kind implements Fact.
func (FactsFound) Kind() string { return "facts" }

func (f FactsFound) apply(in *Incident, _ Event) {
	for k, v := range f.Facts {
		set(&in.Facts, k, v)
	}
}
