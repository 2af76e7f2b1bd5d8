package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mayday/state"
)

// rollbackTime bounds a rollback (real time); conflicts are retried within it.
const rollbackTime = 5 * time.Minute

// target finds what R takes back, or says why there is nothing.
func target(in *state.Incident) (*state.Rollout, error) {
	r := in.Production()
	switch {
	case r == nil || r.Status == state.RolloutPlanned:
		return nil, &state.Problem{Code: "nothing", What: "there is nothing to roll back",
			Why: "mayday has not changed production in this attempt",
			Do:  "To undo a release made without mayday, use your cluster's own tools; the timeline keeps a note of it."}
	case r.Status == state.RolloutRolledBack:
		return nil, &state.Problem{Code: "already", What: "it is rolled back already", Why: r.Target + " serves"}
	case in.Rollback.Status == state.RollbackRunning:
		return nil, &state.Problem{Code: "already", What: "the rollback is running"}
	}
	return r, nil
}

// armRollback is the key R: it counts the grace down (real time), then fires by itself.
func (e *Engine) armRollback(actor state.Actor, trigger string) error {
	in := e.Incident()
	if in.Rollback.Status == state.RollbackArmed {
		return nil // a held key repeats
	}
	if _, err := target(in); err != nil {
		if state.HasCode(err, "already") {
			return nil
		}
		return err
	}
	if trigger == "" {
		trigger = "R"
	}
	grace := e.o.Runbook.Rollback.Grace.D()
	if grace <= 0 {
		e.fire(actor, trigger)
		return nil
	}
	e.mu.Lock()
	if e.arm != nil {
		e.mu.Unlock()
		return nil
	}
	e.arm = time.AfterFunc(grace, func() { e.fire(actor, trigger) })
	e.mu.Unlock()
	e.must(actor, state.RollbackPrimed{Deadline: e.o.Now().Add(grace).UTC(), Trigger: trigger})
	return nil
}

func (e *Engine) disarm(actor state.Actor) error {
	e.mu.Lock()
	stopped := e.arm != nil && e.arm.Stop()
	if stopped {
		e.arm = nil
	}
	rolling := e.rolling
	e.mu.Unlock()
	if !stopped {
		if rolling {
			return &state.Problem{What: "too late to stop", Why: "the rollback is running",
				Do: "Let it end; stopping between two states is worse than either."}
		}
		return nil
	}
	e.must(actor, state.RollbackDisarmed{})
	return nil
}

func (e *Engine) fireByHand(actor state.Actor, trigger string) error {
	if _, err := target(e.Incident()); err != nil {
		if state.HasCode(err, "already") {
			return nil
		}
		return err
	}
	if trigger == "" {
		trigger = "R"
	}
	e.fire(actor, trigger)
	return nil
}

// fire starts the rollback in its own lane, once. It returns at once.
func (e *Engine) fire(actor state.Actor, trigger string) { e.fireAfter(func() {}, actor, trigger) }

// fireAfter is fire with something to say first. No forward work can start from
// the first word on: the lane is taken before it is said.
func (e *Engine) fireAfter(first func(), actor state.Actor, trigger string) {
	in := e.Incident()
	r, err := target(in)
	e.mu.Lock()
	if e.arm != nil {
		e.arm.Stop()
		e.arm = nil
	}
	if err != nil || e.rolling {
		e.mu.Unlock()
		first()
		return
	}
	// The forward work is told to stop; it need not: the epoch fences it.
	for item, cancel := range e.running {
		if inAttempt(item) {
			cancel()
		}
	}
	e.inLane(func() {
		first()
		e.rollback(actor, r, in.Epoch+1, trigger)
	})
	e.mu.Unlock()
}

// rollback is the lane. Nothing in it waits for the journal beyond journalPatience.
func (e *Engine) rollback(actor state.Actor, r *state.Rollout, epoch int, trigger string) {
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTime)
	defer cancel()
	e.must(actor, state.RollbackStarted{Rollout: r.ID, Target: r.Target, Epoch: epoch, Trigger: state.Clean(trigger), Ops: r.Inverse},
		state.ItemStarted{Item: "14.rollback", Run: fmt.Sprintf("14.rollback-%d", epoch), Commands: inverseCommands(r)})
	s, err := e.strategy(r.Strategy)
	var seen Verification
	if err == nil {
		seen, err = s.Rollback(ctx, r.Plan, Fence{Incident: e.id(), Epoch: epoch}, func(op state.RollbackOp) {
			op.Text = state.Clean(op.Text)
			e.must(e.mayday(), op)
		})
	}
	// Free before the outcome can be seen, so that whoever sees a failure can press R
	// again at once; until it is recorded, the fold says that it runs.
	e.mu.Lock()
	e.rolling = false
	e.mu.Unlock()
	if err != nil {
		e.rollbackFailed(r, seen, err)
		return
	}
	e.rollbackDone(actor, r, seen, trigger)
}

func inverseCommands(r *state.Rollout) []string {
	var out []string
	for _, op := range r.Inverse {
		out = append(out, op.Command)
	}
	return out
}

func (e *Engine) rollbackDone(actor state.Actor, r *state.Rollout, seen Verification, trigger string) {
	in := e.Incident()
	ev := []state.Evidence{{Name: "target", Value: r.Target}, {Name: "verified", Value: state.Clean(seen.Text)}, {Name: "trigger", Value: state.Clean(trigger)}}
	if worse := e.worse(in); len(worse) > 0 {
		ev = append(ev, state.Evidence{Name: "still worse than before", Value: list(worse)})
	}
	facts := []state.Fact{
		state.RollbackFinished{Done: true, Verified: state.Clean(seen.Text)},
		state.ItemFinished{Item: "14.rollback", Outcome: state.ItemDone, Summary: "to " + r.Target, Evidence: ev},
	}
	// What ran when the rollback came was cancelled by it.
	for i := range in.Steps {
		for _, it := range in.Steps[i].Items {
			if inAttempt(it.ID) && it.ID != "14.rollback" && (it.Status == state.ItemRunning || it.Status == state.ItemAsking) {
				facts = append(facts, state.ItemFinished{Item: it.ID, Run: it.Run, Outcome: state.ItemCancelled, Summary: "rolled back"})
			}
		}
	}
	facts = append(facts, state.AttemptClosed{N: in.Attempt, Outcome: "rolled back to " + r.Target},
		state.StatusChanged{To: state.Identified, Why: "rolled back to " + r.Target})
	e.must(actor, facts...)
	e.must(e.mayday(), e.say("rollback", map[string]string{"target": r.Target, "reason": trigger, "verified": seen.Text}, "team", "stakeholders")...)
}

// rollbackFailed hands the operator the commands and calls for help at once.
func (e *Engine) rollbackFailed(r *state.Rollout, seen Verification, err error) {
	problem := state.AsProblem(err)
	if errors.Is(err, context.DeadlineExceeded) {
		problem = &state.Problem{What: fmt.Sprintf("the rollback did not end within %s", rollbackTime), Why: state.Clean(err.Error())}
	}
	manual := seen.Manual
	if len(manual) == 0 {
		manual = inverseCommands(r)
	}
	e.must(e.mayday(), state.RollbackFinished{Done: false, Verified: state.Clean(seen.Text), Manual: manual, Problem: problem},
		state.ItemFinished{Item: "14.rollback", Outcome: state.ItemFailed, Problem: problem, Summary: "by hand: " + strings.Join(manual, "; ")})
	in := e.Incident()
	next, ok := in.NextEscalation()
	if !ok {
		next = state.Level{Role: state.Commander}
	}
	e.must(e.mayday(), e.page(in, next, false, false)...)
}

// worse names the probes that are worse than before the rollout.
func (e *Engine) worse(in *state.Incident) []string {
	var out []string
	for _, r := range e.readings(e.Now(), state.RoleAll, state.RoleOld) {
		b, ok := in.Before[r.probe.Name]
		if ok && r.seen && r.sample.Verdict.Known() && r.sample.Verdict != state.OK && r.probe.Worsened(b.Value, r.sample.Value) {
			out = append(out, fmt.Sprintf("%s %s (before %s)", r.probe.Name,
				state.Quantity(r.sample.Value, r.probe.Unit), state.Quantity(b.Value, r.probe.Unit)))
		}
	}
	return out
}

// pickUp goes on with what the last keeper left: a rollback is finished at once,
// an armed one gets the rest of its grace, an interrupted rollout is looked at.
func (e *Engine) pickUp() {
	in := e.Incident()
	switch in.Rollback.Status {
	case state.RollbackRunning:
		if r := in.Rollout(in.Rollback.Rollout); r != nil {
			e.mu.Lock()
			e.inLane(func() {
				e.rollback(e.mayday(), r, in.Epoch+1, "the last keeper died in the rollback: "+in.Rollback.Trigger)
			})
			e.mu.Unlock()
		}
	case state.RollbackArmed:
		left := max(in.Rollback.Deadline.Sub(e.o.Now()), 0)
		e.mu.Lock()
		e.arm = time.AfterFunc(left, func() { e.fire(e.mayday(), in.Rollback.Trigger) })
		e.mu.Unlock()
	}
	for i := range in.Rollouts {
		if r := in.Rollouts[i]; r.Status == state.RolloutInterrupted {
			e.spawn(func() { e.lookAt(r) })
		}
	}
	if it := in.Item(state.ItemMonitor); it != nil && it.Status == state.ItemRunning {
		if a := e.own(state.ItemMonitor); a != nil {
			run, by := it.Run, e.mayday()
			e.launch(state.ItemMonitor, func(ctx context.Context) { e.act(ctx, by, a, state.ItemMonitor, run, nil) })
		}
	}
}

// lookAt tells the operator what is true in the cluster about a rollout that was
// interrupted.
func (e *Engine) lookAt(r state.Rollout) {
	ctx, cancel := context.WithTimeout(e.ctx, previewTime)
	defer cancel()
	s, err := e.strategy(r.Strategy)
	var lines []string
	if err == nil {
		lines, err = s.Look(ctx, r.Plan)
	}
	text := "the rollout was interrupted at " + r.Stages[min(r.Stage(), len(r.Stages)-1)].Name + ". In the cluster now: " + strings.Join(lines, "; ")
	if err != nil {
		text = "the rollout was interrupted, and the cluster cannot be read: " + err.Error()
	}
	facts := []state.Fact{state.Warned{Text: state.Clean(text)}, state.FactsFound{Facts: map[string]string{"cluster.now": state.Clean(strings.Join(lines, "; "))}}}
	_, _ = e.record(e.mayday(), facts...) // a journal that fails says so itself
}
