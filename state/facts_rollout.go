package state

import (
	"slices"
	"strings"
	"time"
)

func init() {
	register[RolloutLaid]()
	register[RolloutStarted]()
	register[RolloutResumed]()
	register[StageStarted]()
	register[StageEffected]()
	register[StagePassed]()
	register[GateDecided]()
	register[RolloutFinished]()
	register[BeforeMeasured]()
	register[RollbackProven]()
	register[ReleaseProven]()
	register[RollbackPrimed]()
	register[RollbackDisarmed]()
	register[RollbackStarted]()
	register[RollbackOp]()
	register[RollbackFinished]()
}

// RolloutLaid records a plan and its inverse; nothing has happened yet.
type RolloutLaid struct {
	Plan Plan   `json:"plan"`
	Item string `json:"item"`
}

// Kind implements Fact.
func (RolloutLaid) Kind() string { return "rollout.planned" }

func (f RolloutLaid) apply(in *Incident, e Event) {
	r := Rollout{Plan: f.Plan, Attempt: in.Attempt, Epoch: in.Epoch, Item: f.Item, By: who(e), Status: RolloutPlanned}
	for _, s := range f.Plan.Stages {
		r.Stages = append(r.Stages, StageState{Stage: s, Status: ItemOpen})
	}
	if old := in.Rollout(f.Plan.ID); old != nil {
		*old = r
	} else {
		in.Rollouts = append(in.Rollouts, r)
	}
}

// RolloutStarted is written before the first change.
type RolloutStarted struct {
	Rollout string `json:"rollout"`
	Epoch   int    `json:"epoch"`
	Item    string `json:"item,omitempty"`
}

// Kind implements Fact.
func (RolloutStarted) Kind() string { return "rollout.started" }

func (f RolloutStarted) apply(in *Incident, e Event) {
	in.onRollout(f.Rollout, func(r *Rollout) {
		r.Status, r.Started, r.By, r.Epoch, r.Item = RolloutRunning, e.Time, who(e), f.Epoch, f.Item
	})
}

// RolloutResumed goes on where a rollout was interrupted, stopped or asked.
// Accept lets the asking gate pass on a person's word, which Reason explains.
type RolloutResumed struct {
	Rollout string `json:"rollout"`
	Reason  string `json:"reason,omitempty"`
	Accept  bool   `json:"accept,omitempty"`
}

// Kind implements Fact.
func (RolloutResumed) Kind() string { return "rollout.resumed" }

func (f RolloutResumed) apply(in *Incident, e Event) {
	in.onForward(f.Rollout, func(r *Rollout) {
		r.Status, r.Problem = RolloutRunning, nil
		if f.Accept {
			r.Uncompared = append(slices.Clone(r.Uncompared), r.Gate.Uncompared...)
		}
		if i := r.Stage(); i < len(r.Stages) && r.Stages[i].Status != ItemOpen {
			r.Stages[i].Status = ItemRunning
		}
		in.onItem(r.Item, func(it *Item) { it.Status, it.Problem = ItemRunning, nil })
	})
}

// StageStarted is written before a stage's first change.
type StageStarted struct {
	Rollout string `json:"rollout"`
	Stage   int    `json:"stage"`
}

// Kind implements Fact.
func (StageStarted) Kind() string { return "rollout.stage.started" }

func (f StageStarted) apply(in *Incident, e Event) {
	in.onStage(f.Rollout, f.Stage, func(r *Rollout, s *StageState) {
		s.Status, s.Started, s.Effected, s.Passed = ItemRunning, e.Time, time.Time{}, time.Time{}
		r.Gate = Gate{Stage: f.Stage, Hold: s.Hold}
	})
}

// StageEffected says that the stage's effect was seen in the world.
type StageEffected struct {
	Rollout string  `json:"rollout"`
	Stage   int     `json:"stage"`
	Effect  string  `json:"effect"`
	Seen    float64 `json:"seen,omitempty"`
}

// Kind implements Fact.
func (StageEffected) Kind() string { return "rollout.stage.effected" }

func (f StageEffected) apply(in *Incident, e Event) {
	in.onStage(f.Rollout, f.Stage, func(_ *Rollout, s *StageState) {
		s.Effected, s.Effect, s.Seen = e.Time, f.Effect, f.Seen
	})
}

// StagePassed says that the stage's gate held.
type StagePassed struct {
	Rollout string `json:"rollout"`
	Stage   int    `json:"stage"`
	Text    string `json:"text,omitempty"`
}

// Kind implements Fact.
func (StagePassed) Kind() string { return "rollout.stage.passed" }

func (f StagePassed) apply(in *Incident, e Event) {
	in.onStage(f.Rollout, f.Stage, func(r *Rollout, s *StageState) {
		s.Status, s.Passed = ItemDone, e.Time
		r.Gate.State = GatePassed
	})
}

// GateDecided says that a stage's gate changed its mind, and the readings it went by.
type GateDecided struct {
	Rollout string    `json:"rollout"`
	Stage   int       `json:"stage"`
	State   GateState `json:"state"`
	Since   time.Time `json:"since,omitzero"` // holding: the good time counts from here
	Hold    Duration  `json:"hold,omitempty"`
	Reasons []string  `json:"reasons,omitempty"`
	Judged  []Judged  `json:"readings,omitempty"`
}

// Kind implements Fact.
func (GateDecided) Kind() string { return "gate" }

func (f GateDecided) apply(in *Incident, _ Event) {
	in.onForward(f.Rollout, func(r *Rollout) {
		r.Gate = Gate{Stage: f.Stage, State: f.State, Since: f.Since, Hold: f.Hold, Reasons: f.Reasons, Uncompared: uncompared(f.Judged)}
		st, it := RolloutRunning, ItemRunning
		if f.State == GateAsking {
			st, it = RolloutAsking, ItemAsking
		}
		if r.Status == RolloutRunning || r.Status == RolloutAsking {
			r.Status = st
			if f.Stage >= 0 && f.Stage < len(r.Stages) {
				r.Stages[f.Stage].Status = it
			}
			in.onItem(r.Item, func(i *Item) { i.Status = it })
		}
	})
}

// uncompared gives the probes, or parts of them, because of which a gate asks for want of a baseline, or of
// readings to rank.
func uncompared(judged []Judged) []string {
	var out []string
	for _, j := range judged {
		name := strings.TrimSpace(j.Probe + " " + j.Label)
		if (j.NoBaseline || j.Rank != nil && j.Rank.Verdict == NoData) && j.Answer == "ask" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// RolloutFinished ends a rollout: done, failed, stopped or rolled back.
type RolloutFinished struct {
	Rollout string        `json:"rollout"`
	Outcome RolloutStatus `json:"outcome"`
	Text    string        `json:"text,omitempty"`
	Problem *Problem      `json:"problem,omitempty"`
}

// Kind implements Fact.
func (RolloutFinished) Kind() string { return "rollout.finished" }

func (f RolloutFinished) apply(in *Incident, e Event) {
	in.onForward(f.Rollout, func(r *Rollout) {
		r.Status, r.Ended, r.Problem = f.Outcome, e.Time, f.Problem
		if i := r.Stage(); i < len(r.Stages) && (r.Stages[i].Status == ItemRunning || r.Stages[i].Status == ItemAsking) {
			switch f.Outcome {
			case RolloutFailed:
				r.Stages[i].Status = ItemFailed
			case RolloutStopped, RolloutRolledBack:
				r.Stages[i].Status = ItemCancelled
			}
		}
	})
}

// BeforeMeasured keeps each probe's typical reading before the rollout: what "no worse
// than before" is measured against. Windows are the readings behind it, by probe and
// label (empty: the probe's own value), bounded by WindowLength and WindowsTotal.
type BeforeMeasured struct {
	Readings map[string]Sample             `json:"readings"`
	Windows  map[string]map[string][]Point `json:"windows,omitempty"`
}

// Kind implements Fact.
func (BeforeMeasured) Kind() string { return "rollout.before" }

func (f BeforeMeasured) apply(in *Incident, _ Event) { in.Before, in.Windows = f.Readings, f.Windows }

// RollbackProven is the outcome of a proof of the rollback plan. The keeper
// journals it when the answer changes and at most every 30 s otherwise.
type RollbackProven struct {
	Rollout string `json:"rollout,omitempty"`
	Proof   Proof  `json:"proof"`
}

// Kind implements Fact.
func (RollbackProven) Kind() string { return "rollback.proven" }

func (f RollbackProven) apply(in *Incident, e Event) {
	in.Rollback.Proof, in.Rollback.ProvenAt, in.Rollback.Rollout = f.Proof, e.Time, f.Rollout
}

// ReleaseProven says whether R can undo the last release, made without mayday, and
// how. The keeper journals it when the answer changes.
type ReleaseProven struct {
	Plan  *Plan `json:"plan,omitempty"` // nil: nothing can be taken back
	Proof Proof `json:"proof"`
}

// Kind implements Fact.
func (ReleaseProven) Kind() string { return "release.proven" }

func (f ReleaseProven) apply(in *Incident, e Event) {
	if in.takenBack(&in.Release.Undo) {
		return // what was seen is past
	}
	in.Release = LastRelease{Proof: f.Proof, Since: e.Time}
	if f.Plan != nil {
		in.Release.Undo = Rollout{Plan: *f.Plan, Attempt: in.Attempt, Epoch: in.Epoch, By: who(e), Status: RolloutPlanned}
	}
}

// RollbackPrimed says that R was pressed: at Deadline (real time) it runs.
type RollbackPrimed struct {
	Deadline time.Time `json:"deadline"`
	Trigger  string    `json:"trigger"`
	Database bool      `json:"database,omitempty"` // the database is taken back too
}

// Kind implements Fact.
func (RollbackPrimed) Kind() string { return "rollback.armed" }

func (f RollbackPrimed) apply(in *Incident, e Event) {
	rb := &in.Rollback
	if rb.Status == RollbackRunning {
		return
	}
	rb.Status, rb.Armed, rb.Deadline, rb.By, rb.Trigger, rb.Database = RollbackArmed, e.Time, f.Deadline, who(e), f.Trigger, f.Database
}

// RollbackDisarmed says that somebody stopped it in time.
type RollbackDisarmed struct{}

// Kind implements Fact.
func (RollbackDisarmed) Kind() string { return "rollback.disarmed" }

func (f RollbackDisarmed) apply(in *Incident, _ Event) {
	if in.Rollback.Status == RollbackArmed {
		in.Rollback.Status = ""
	}
}

// RollbackStarted raises the epoch: everything older is fenced from here on.
type RollbackStarted struct {
	Rollout string `json:"rollout"`
	Target  string `json:"target"`
	Epoch   int    `json:"epoch"`
	Trigger string `json:"trigger"`
	Ops     []Op   `json:"ops"`
	// Database says that the database is taken back too.
	Database bool `json:"database,omitempty"`
}

// Kind implements Fact.
func (RollbackStarted) Kind() string { return "rollback.started" }

func (f RollbackStarted) apply(in *Incident, e Event) {
	rb := &in.Rollback
	proof, at := rb.Proof, rb.ProvenAt
	*rb = Rollback{Proof: proof, ProvenAt: at, Status: RollbackRunning, Armed: rb.Armed, By: who(e),
		Trigger: f.Trigger, Rollout: f.Rollout, Started: e.Time, Database: f.Database}
	for _, op := range f.Ops {
		rb.Ops = append(rb.Ops, OpState{Op: op, Status: ItemOpen})
	}
	in.Epoch = f.Epoch
	if f.Rollout == UndoID {
		u := &in.Release.Undo
		u.Attempt, u.Epoch, u.By, u.Started = in.Attempt, f.Epoch, who(e), e.Time
	}
	if !in.Ended.IsZero() { // production is broken again after the end: the clocks run
		in.Ended = time.Time{}
		in.Updates.Due = e.Time.Add(in.Updates.Every.D())
	}
}

// RollbackOp says how far one operation of the rollback came.
type RollbackOp struct {
	Op     string     `json:"op"`
	Title  string     `json:"title,omitempty"` // for an operation the plan did not name
	Status ItemStatus `json:"status"`
	Text   string     `json:"text,omitempty"`
}

// Kind implements Fact.
func (RollbackOp) Kind() string { return "rollback.op" }

func (f RollbackOp) apply(in *Incident, e Event) {
	ops := in.Rollback.Ops
	for i := range ops {
		if ops[i].ID == f.Op {
			ops[i].Status, ops[i].Text = f.Status, f.Text
			if f.Status == ItemRunning {
				ops[i].Started = e.Time
			} else {
				ops[i].Ended = e.Time
			}
			return
		}
	}
	in.Rollback.Ops = append(ops, OpState{Op: Op{ID: f.Op, Title: f.Title}, Status: f.Status, Started: e.Time, Text: f.Text})
}

// RollbackFinished ends a rollback, with what was seen in the world. Manual is what it
// left to do by hand, also where it is done.
type RollbackFinished struct {
	Done     bool     `json:"done"`
	Verified string   `json:"verified,omitempty"`
	Manual   []string `json:"manual,omitempty"`
	Problem  *Problem `json:"problem,omitempty"`
}

// Kind implements Fact.
func (RollbackFinished) Kind() string { return "rollback.finished" }

func (f RollbackFinished) apply(in *Incident, e Event) {
	rb := &in.Rollback
	rb.Ended, rb.Verified, rb.Manual, rb.Problem = e.Time, f.Verified, f.Manual, f.Problem
	rb.Status = RollbackFailed
	if f.Done {
		rb.Status = RollbackDone
		in.onRollout(rb.Rollout, func(r *Rollout) { r.Status, r.Ended = RolloutRolledBack, e.Time })
	}
}

func (in *Incident) onRollout(id string, f func(*Rollout)) {
	if r := in.Rollout(id); r != nil {
		f(r)
	}
}

// onForward is onRollout for what forward work says: once a rollout is taken back,
// or while it is, what its cancelled work still had to say changes nothing.
func (in *Incident) onForward(id string, f func(*Rollout)) {
	if r := in.Rollout(id); r != nil && !in.takenBack(r) {
		f(r)
	}
}

func (in *Incident) takenBack(r *Rollout) bool {
	return r.Status == RolloutRolledBack || in.Rollback.Status == RollbackRunning && in.Rollback.Rollout == r.ID
}

func (in *Incident) onStage(id string, i int, f func(*Rollout, *StageState)) {
	if r := in.Rollout(id); r != nil && !in.takenBack(r) && i >= 0 && i < len(r.Stages) {
		f(r, &r.Stages[i])
	}
}
