package state

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Status is where an incident stands.
type Status string

// Statuses, in the usual order.
const (
	Investigating Status = "investigating"
	Identified    Status = "identified"
	Fixing        Status = "fixing"
	Monitoring    Status = "monitoring" // mitigated: the fix is in production and being watched
	Resolved      Status = "resolved"
	Closed        Status = "closed" // ended without a hotfix: it can wait
)

// Incident is the fold of a journal. Only Apply changes it. The zero value is an
// incident before its declaration.
type Incident struct {
	ID          string
	Title       string
	Severity    Severity
	Service     string
	Environment string
	Issue       string
	Impact      string
	Status      Status
	ETA         string
	Declared    time.Time
	Mitigated   time.Time // zero: not yet
	Ended       time.Time // zero: open
	Drill       string    // the scenario's name; empty: a real incident
	Clock       Clock
	Runbook     string // the file it was declared with
	Mark        string // names it where incidents of other hosts are too: "INC-20261122-01.5f2c9a01"
	Policy      Policy
	Policies    map[Severity]Policy // as the runbook had them at the declaration
	Rota        map[string][]string // role to everybody who had it then, or who was given it since
	By          Actor               // who declared it
	Roles       map[string]string   // role to person
	Decision    Decision
	RootCause   string
	ActionItems []string

	Steps    []Step       // the current attempt's view of all 18
	Playbook []PhaseState // what has to be done when, beside the steps
	Attempt  int          // 0 before step 3 opens
	Epoch    int          // raised by every rollback
	Closed   []Attempt
	Facts    map[string]string // what actions found: "baseline", "branch", "commit", "version", "tag"…
	Probes   []Probe
	Reaction Duration          // worst-case reaction time of the gates, by these probes
	Verdicts map[string]Sample // the last journaled change per probe, for what has no ring
	Before   map[string]Sample // each probe's reading before the rollout
	// Windows are the readings behind Before, by probe and label; never changed in place.
	Windows map[string]map[string][]Point

	Rollouts []Rollout
	Rollback Rollback
	Release  LastRelease // what R undoes before the first rollout of an attempt
	Levels   []Level
	Updates  Updates
	Messages []Message
	Here     []Presence
	Keeper   Actor
	Warnings []string // said in red until the incident ends, newest last
	Score    *Score
	Review   Review // the meeting after it

	Seq  uint64    // the last event applied
	Last time.Time // its time
}

// Decision is step 1's: hotfix, the normal release process, or wait.
type Decision struct {
	Choice    string // hotfix, normal, wait; empty: not decided
	Rationale string
	By        string
	At        time.Time
}

// Attempt is what remains of steps 3 to 15 once they were gone through.
type Attempt struct {
	N       int
	Outcome string // "rolled back", "done"
	Steps   []Step
}

// Updates is the clock of the status updates.
type Updates struct {
	Every Duration
	Due   time.Time // zero: no clock runs
	Sent  int
	Late  int // were due before they were sent
}

// Level is one escalation level of this incident.
type Level struct {
	Role   string
	Who    string // the person, if the runbook names one
	Due    time.Time
	Paged  time.Time // zero: not yet
	Late   bool      // paged well after it was due (the keeper slept or was dead)
	Acked  time.Time
	AckBy  string
	Alive  time.Time // of who acknowledged: the last sign of life
	AtOnce bool
	Snooze time.Time // re-pages wait until then
	// Channels carry its pages; none: those of the audience "pages".
	Channels []string
}

// Message is one message to one channel and its way there.
type Message struct {
	ID       string
	Channel  string
	Audience string
	Purpose  string // declared, update, page, acked, resolved, rollback, review, deployed, change, meeting
	Role     string // of a page: the level
	Who      string // of a page: whom it calls
	Text     string
	Queued   time.Time // or corrected
	Sent     time.Time // zero: not delivered
	Tries    int
	Tried    time.Time // the last try
	Rest     Duration  // what the service asked for then, real time
	Err      string    // of the last try
	Dead     bool      // given up
	Call     string    // who should be told by telephone instead
	Ref      string    // what the service calls it, where it says
	Edits    int       // how often it was corrected
}

// Wording numbers what the message says, as [MessageTried] does: 1 before any correction.
func (m Message) Wording() int { return m.Edits + 1 }

// Presence is one client of the keeper.
type Presence struct {
	ID    string
	Actor Actor
	Since time.Time
}

// Score is a drill's card. Durations are incident time; a zero one did not happen.
type Score struct {
	Scenario    string   `json:"scenario"`
	Passed      bool     `json:"passed"` // the scenario ended as it should
	Outcome     string   `json:"outcome"`
	Acknowledge Duration `json:"acknowledge"`
	Decide      Duration `json:"decide"`
	Mitigate    Duration `json:"mitigate"`
	Detect      Duration `json:"detect,omitempty"` // from the regression to the begin of the rollback
	Rollback    Duration `json:"rollback"`         // from the regression to the verified rollback
	MissedUpd   int      `json:"missed_updates"`
	MissedEsc   int      `json:"missed_escalations"`
	Overridden  int      `json:"overridden"`
	Done        int      `json:"steps_done"`
}

// What of a drill's card counts how much, of 100.
const (
	pointsPassed  = 50 // it ended as the scenario should
	pointsPages   = 20 // each page was answered in time
	pointsUpdates = 15 // no status update was late
	pointsWhole   = 15 // nothing was passed over
	pointsMiss    = 5  // what each miss takes of its part
)

// Points make one number of the card, 0 to 100: 50 for the right end, 20 for pages, 15
// for updates and 15 for leaving nothing out, 5 of which go with each miss. How fast it
// was is not in it: that depends on the scenario, and stands beside it.
func (s Score) Points() int {
	sum := 0
	if s.Passed {
		sum = pointsPassed
	}
	part := func(whole, misses int) int { return max(whole-pointsMiss*misses, 0) }
	return sum + part(pointsPages, s.MissedEsc) + part(pointsUpdates, s.MissedUpd) + part(pointsWhole, s.Overridden)
}

// Open reports whether the incident was declared and has not ended.
func (in *Incident) Open() bool { return in.ID != "" && in.Ended.IsZero() }

// Step finds a step by its number, nil where there is none.
func (in *Incident) Step(no int) *Step {
	for i := range in.Steps {
		if in.Steps[i].No == no {
			return &in.Steps[i]
		}
	}
	return nil
}

// Item finds an item by its ID in the current attempt or in the playbook, nil where
// there is none.
func (in *Incident) Item(id string) *Item {
	for i := range in.Steps {
		for j := range in.Steps[i].Items {
			if in.Steps[i].Items[j].ID == id {
				return &in.Steps[i].Items[j]
			}
		}
	}
	for i := range in.Playbook {
		for j := range in.Playbook[i].Items {
			if in.Playbook[i].Items[j].ID == id {
				return &in.Playbook[i].Items[j]
			}
		}
	}
	return nil
}

// Rollout finds a rollout by its ID, nil where there is none. UndoID finds the plan
// that undoes the last release.
func (in *Incident) Rollout(id string) *Rollout {
	if id == UndoID && in.Release.Undo.ID == id {
		return &in.Release.Undo
	}
	for i := range in.Rollouts {
		if in.Rollouts[i].ID == id {
			return &in.Rollouts[i]
		}
	}
	return nil
}

// Current gives the newest rollout, nil before the first.
func (in *Incident) Current() *Rollout {
	if len(in.Rollouts) == 0 {
		return nil
	}
	return &in.Rollouts[len(in.Rollouts)-1]
}

// Production gives the newest production rollout of the current attempt: the one
// that R takes back. nil where there is none.
func (in *Incident) Production() *Rollout {
	for i := len(in.Rollouts) - 1; i >= 0; i-- {
		if r := &in.Rollouts[i]; r.Production && r.Attempt == in.Attempt {
			return r
		}
	}
	return nil
}

// Waiting gives the rollout that a person must let go on, nil if none: it asks, was
// interrupted or stopped, or has failed, and none was planned after it in its place.
func (in *Incident) Waiting() *Rollout {
	followed := map[string]bool{}
	for i := len(in.Rollouts) - 1; i >= 0; i-- {
		r := &in.Rollouts[i]
		if r.Attempt != in.Attempt {
			continue
		}
		if !followed[r.Item] && r.Status.Active() && r.Status != RolloutRunning {
			return r
		}
		followed[r.Item] = true
	}
	return nil
}

// Probe finds a probe by name.
func (in *Incident) Probe(name string) (Probe, bool) {
	for _, p := range in.Probes {
		if p.Name == name {
			return p, true
		}
	}
	return Probe{}, false
}

// RankReaction is the worst case from a lasting change for the worse to the rollback that
// a rank test pulls, of the slowest probe with one; 0: none has.
func (in *Incident) RankReaction() Duration {
	var worst Duration
	for i := range in.Probes {
		worst = max(worst, in.Probes[i].RankReaction)
	}
	return worst
}

// Callees gives whom a page for a role calls: who was given it, else everybody who
// had it when the incident was declared.
func (in *Incident) Callees(role string) []string {
	if people := in.Rota[role]; len(people) > 0 {
		return people
	}
	if p := in.Roles[role]; p != "" {
		return []string{p}
	}
	return nil
}

// Done counts the steps that are done or not needed.
func (in *Incident) Done() int {
	n := 0
	for i := range in.Steps {
		if st := in.Steps[i].Status(); st == ItemDone || st == ItemNotNeeded || st == ItemOverridden {
			n++
		}
	}
	return n
}

// Name is what services outside keep the incident apart from all others by: the mark, the
// ID where there is none.
func (in *Incident) Name() string { return cmp.Or(in.Mark, in.ID) }

// Clone copies the incident so that the copy can be read while the original is
// changed by its owner.
func (in *Incident) Clone() *Incident {
	out := *in
	out.Roles = maps.Clone(in.Roles)
	out.Rota = maps.Clone(in.Rota)
	out.ActionItems = slices.Clone(in.ActionItems)
	out.Steps = cloneSteps(in.Steps)
	out.Playbook = slices.Clone(in.Playbook)
	for i := range out.Playbook {
		out.Playbook[i].Items = slices.Clone(in.Playbook[i].Items)
	}
	out.Closed = slices.Clone(in.Closed) // never changed once closed
	out.Facts = maps.Clone(in.Facts)
	out.Probes = slices.Clone(in.Probes)
	out.Verdicts = maps.Clone(in.Verdicts)
	out.Before = maps.Clone(in.Before)
	out.Windows = maps.Clone(in.Windows)
	out.Rollouts = slices.Clone(in.Rollouts)
	for i := range out.Rollouts {
		out.Rollouts[i].Stages = slices.Clone(out.Rollouts[i].Stages)
		out.Rollouts[i].Gate.Reasons = slices.Clone(out.Rollouts[i].Gate.Reasons)
	}
	out.Rollback.Ops = slices.Clone(in.Rollback.Ops)
	out.Rollback.Manual = slices.Clone(in.Rollback.Manual)
	out.Levels = slices.Clone(in.Levels)
	out.Messages = slices.Clone(in.Messages)
	out.Here = slices.Clone(in.Here)
	out.Warnings = slices.Clone(in.Warnings)
	return &out
}

func cloneSteps(steps []Step) []Step {
	out := slices.Clone(steps)
	for i := range out {
		out[i].Items = slices.Clone(out[i].Items)
	}
	return out
}
