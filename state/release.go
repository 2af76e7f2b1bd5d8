package state

import (
	"fmt"
	"time"
)

// UndoID is the ID of the plan that undoes the last release. mayday's own rollouts
// have others.
const UndoID = "undo"

// LastRelease is what R means before mayday's own first rollout in an attempt: to undo
// the release that production runs.
type LastRelease struct {
	// Undo is the plan, without stages: Version runs, Target ran before it. Its ID is
	// empty where nothing can be taken back; its status is RolloutRolledBack once it was.
	Undo  Rollout
	Proof Proof     // Why says why not, or why only amber
	Since time.Time // the answer has stood since then; zero: nobody has looked yet
}

// OwnRollout gives the production rollout of this attempt that mayday has begun, nil
// before.
func (in *Incident) OwnRollout() *Rollout {
	if r := in.Production(); r != nil && r.Status != RolloutPlanned {
		return r
	}
	return nil
}

// Undo gives the plan that undoes the last release while that is what R means, proven
// or not, or done already. nil once mayday has begun a rollout of its own in this
// attempt, and where there is no such plan.
func (in *Incident) Undo() *Rollout {
	if in.OwnRollout() != nil || in.Release.Undo.ID == "" {
		return nil
	}
	return &in.Release.Undo
}

// Undone reports whether the last release was undone in this attempt.
func (in *Incident) Undone() bool {
	u := &in.Release.Undo
	return u.Status == RolloutRolledBack && u.Attempt == in.Attempt
}

// TakesBack gives what R takes back, or is taking back: mayday's own rollout once it has
// begun, before that the last release if that is proven. nil where there is nothing.
func (in *Incident) TakesBack() *Rollout {
	if in.Rollback.Status == RollbackRunning {
		return in.Rollout(in.Rollback.Rollout)
	}
	if r := in.OwnRollout(); r != nil {
		return r
	}
	if u := in.Undo(); u != nil && in.Release.Proof.Ready != NotReady {
		return u
	}
	return nil
}

// Says is what R would do with the last release, in a sentence without a full stop; ""
// while nobody has looked.
func (l *LastRelease) Says() string {
	switch {
	case l.Since.IsZero():
		return ""
	case l.Undo.Status == RolloutRolledBack:
		return l.Undo.Version + " was undone, back to " + l.Undo.Target
	case l.Undo.ID == "" || l.Proof.Ready == NotReady:
		return phrase("nothing to take back", l.Proof.Why)
	}
	return phrase(fmt.Sprintf("R undoes the last release, %s back to %s: %s", l.Undo.Version, l.Undo.Target, l.Proof.Ready), l.Proof.Why)
}
