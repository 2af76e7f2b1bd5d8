package steps

import (
	"context"

	"mayday/state"
)

// pickUp goes on with what the last keeper left: a rollback is finished at once,
// one that a gate asked for is begun, an armed one gets the rest of its grace.
func (e *Engine) pickUp() {
	in := e.Incident()
	r := in.Production()
	switch {
	case in.Rollback.Status == state.RollbackRunning:
		e.finishRollback(in)
	case owed(in, r):
		e.fire(e.mayday(), "the last keeper died before the rollback it decided on: "+owes(r))
	case in.Rollback.Status == state.RollbackArmed:
		e.key.Lock()
		e.countDown(e.mayday(), in.Rollback.Deadline, undoing{in.Rollback.Trigger, in.Rollback.Database})
		e.key.Unlock()
	default:
		e.closeAttempt(in)
	}
	if it := in.Item(state.ItemMonitor); it != nil && it.Status == state.ItemRunning && in.Rollback.Status != state.RollbackRunning {
		run, by, a := it.Run, e.mayday(), e.own(state.ItemMonitor)
		e.launch(state.ItemMonitor, func(ctx context.Context, w *work) { e.act(ctx, w, by, a, state.ItemMonitor, run, nil) })
	}
}

// lookAround looks at the rollouts that are left half way.
func (e *Engine) lookAround() {
	in := e.Incident()
	for i := range in.Rollouts {
		if r := in.Rollouts[i]; r.Status == state.RolloutInterrupted && r.Attempt == in.Attempt {
			e.spawn(func() { e.lookAt(r) })
		}
	}
}

// finishRollback runs a rollback again that was running when its keeper died.
func (e *Engine) finishRollback(in *state.Incident) {
	r := in.Rollout(in.Rollback.Rollout)
	if r == nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.inLane(in.Rollback.Database, func() {
		e.rollback(e.mayday(), r, in.Epoch+1, undoing{"the last keeper died in the rollback: " + in.Rollback.Trigger, in.Rollback.Database}, false)
	})
}

// owed reports whether the last keeper decided to roll back and died before it could
// say that it begins.
func owed(in *state.Incident, r *state.Rollout) bool {
	if r == nil || r.Epoch != in.Epoch || r.Status != state.RolloutInterrupted && r.Status != state.RolloutFailed {
		return false
	}
	return owes(r) != ""
}

func owes(r *state.Rollout) string {
	switch {
	case r.Gate.State == state.GateFailed:
		return "gate: " + list(r.Gate.Reasons)
	case r.Status == state.RolloutFailed && r.Problem != nil && r.Problem.Code == codeUnhealthy:
		return r.Problem.What
	}
	return ""
}

// closeAttempt says what whoever rolled back had no time for: that the attempt is
// over, here and to the people outside.
func (e *Engine) closeAttempt(in *state.Incident) {
	r := in.OwnRollout()
	if in.Undone() {
		r = &in.Release.Undo
	}
	if r == nil || r.Status != state.RolloutRolledBack {
		return
	}
	if len(in.Closed) < in.Attempt {
		e.must(e.mayday(), append(stopped(in), ended(in, r)...)...)
	}
	rb := in.Rollback
	for _, m := range in.Messages {
		if m.Purpose == "rollback" && !m.Queued.Before(rb.Started) {
			return
		}
	}
	e.must(e.mayday(), e.sayRolledBack(r.Target, rb.Trigger, rb.Verified)...)
}
