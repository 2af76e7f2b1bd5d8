package state

import "time"

// ItemKind says who does an item.
type ItemKind string

// Kinds of item.
const (
	Check   ItemKind = "check"    // a person ticks it, perhaps with words
	Action  ItemKind = "action"   // mayday runs it
	SignOff ItemKind = "sign-off" // somebody other than the author signs it
)

// ItemStatus is where an item, or a whole step, stands.
type ItemStatus string

// Statuses of items and steps.
const (
	ItemOpen        ItemStatus = "open"
	ItemRunning     ItemStatus = "running"
	ItemDone        ItemStatus = "done"
	ItemFailed      ItemStatus = "failed"
	ItemCancelled   ItemStatus = "cancelled"
	ItemInterrupted ItemStatus = "interrupted" // its keeper died while it ran
	ItemOverridden  ItemStatus = "overridden"  // passed over with a reason, in red for ever
	ItemNotNeeded   ItemStatus = "not needed"
	ItemAsking      ItemStatus = "asking" // a gate waits for a person
)

// SignedWith gives the key of the SSH signature that signed the item off, such as
// "ED25519 SHA256:w+qt…"; "" where there is none.
func (it *Item) SignedWith() string {
	for _, e := range it.Evidence {
		if it.Kind == SignOff && e.Name == evidenceKey {
			return e.Value
		}
	}
	return ""
}

// Settled reports whether the status lets the flow go on.
func (s ItemStatus) Settled() bool {
	return s == ItemDone || s == ItemOverridden || s == ItemNotNeeded
}

// underWay reports whether a run of the item may still end.
func (s ItemStatus) underWay() bool {
	return s == ItemRunning || s == ItemAsking || s == ItemInterrupted
}

// Step is one of the 18, with its items.
type Step struct {
	No    int    `json:"no"`
	Title string `json:"title"`
	Items []Item `json:"items"`
}

// Item is what a step asks for. The first fields are the definition, laid down in
// the journal when an attempt starts; the others are folded from events.
type Item struct {
	ID    string   `json:"id"` // "7.tag", unique
	Kind  ItemKind `json:"kind"`
	Title string   `json:"title"`
	Help  string   `json:"help,omitempty"` // what a tired stranger needs to know
	// Ask is the question a check wants answered in words; empty: a tick will do.
	Ask string `json:"ask,omitempty"`
	// Options are the answers to choose from, where Ask is a choice.
	Options []string `json:"options,omitempty"`
	// Needs are the items that must be settled before this one may run.
	Needs []string `json:"needs,omitempty"`
	// Optional items do not hold up their step.
	Optional bool `json:"optional,omitempty"`
	// Changes marks actions that change something outside and are confirmed with
	// the exact commands before they run.
	Changes bool `json:"changes,omitempty"`
	// Auto marks actions that the keeper runs by itself when they become possible.
	Auto bool `json:"auto,omitempty"`

	Status   ItemStatus `json:"-"`
	By       string     `json:"-"`
	Started  time.Time  `json:"-"`
	Ended    time.Time  `json:"-"`
	Run      string     `json:"-"` // names the captured output
	Value    string     `json:"-"` // the answer, the comment, the reason
	Summary  string     `json:"-"` // one line of result: "dry run ok"
	Evidence []Evidence `json:"-"`
	Problem  *Problem   `json:"-"`
}

// Evidence backs an item's outcome with something that can be looked at again.
type Evidence struct {
	Name  string `json:"name"`           // "remote head"
	Value string `json:"value"`          // "3f9c1d0…"
	File  string `json:"file,omitempty"` // below the incident's folder: "output/7.tag-1.log"
}

// Status folds the items' states into the step's. A step without items is open.
func (s *Step) Status() ItemStatus {
	if len(s.Items) == 0 {
		return ItemOpen
	}
	settled, touched, notNeeded := true, false, true
	var over bool
	for i := range s.Items {
		it := &s.Items[i]
		switch it.Status {
		case ItemRunning, ItemAsking, ItemFailed, ItemInterrupted:
			return it.Status
		case ItemOverridden:
			over = true
		}
		if it.Status != ItemOpen {
			touched = true
		}
		if it.Status != ItemNotNeeded && (it.Status != ItemOpen || !it.Optional) {
			notNeeded = false
		}
		if !it.Status.Settled() && !it.Optional {
			settled = false
		}
	}
	switch {
	case settled && notNeeded && touched:
		return ItemNotNeeded
	case settled && over:
		return ItemOverridden
	case settled:
		return ItemDone
	}
	return ItemOpen
}

// Touched reports whether anything was done in the step.
func (s *Step) Touched() bool {
	for i := range s.Items {
		if s.Items[i].Status != ItemOpen {
			return true
		}
	}
	return false
}

// Span gives when the step's first item began and its last ended. Zero times
// where that has not happened.
func (s *Step) Span() (from, to time.Time) {
	for i := range s.Items {
		it := &s.Items[i]
		if !it.Started.IsZero() && (from.IsZero() || it.Started.Before(from)) {
			from = it.Started
		}
		if it.Ended.After(to) {
			to = it.Ended
		}
	}
	return from, to
}

// Blocker gives the first unsettled need of an item, nil where it may go ahead.
func (in *Incident) Blocker(it *Item) *Item {
	for _, id := range it.Needs {
		if n := in.Item(id); n != nil && !n.Status.Settled() {
			return n
		}
	}
	return nil
}

// Next gives the first item that waits for a person or can run: where "enter"
// goes. nil where all is settled.
func (in *Incident) Next() *Item {
	for i := range in.Steps {
		for j := range in.Steps[i].Items {
			it := &in.Steps[i].Items[j]
			if !it.Status.Settled() && !it.Optional && in.Blocker(it) == nil {
				return it
			}
		}
	}
	return nil
}
