package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"mayday/state"
)

// rollbackTime bounds a rollback (real time). It is for what hangs: strategies give up by
// themselves where nothing moves, and many slow pods, or a script of the team's own that
// may take its ten minutes, are no failure as long as something does.
const rollbackTime = time.Hour

// target is Target, and knows of a rollback whose events a hanging
// disk has kept from the fold.
func (e *Engine) target() (*state.Incident, *state.Rollout, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.targetLocked()
}

// targetLocked needs mu.
func (e *Engine) targetLocked() (*state.Incident, *state.Rollout, error) {
	in := e.in.Clone()
	r, err := Target(in)
	if err == nil && (e.rolling || e.undone == r.ID) {
		err = &state.Problem{Code: "already", What: "the rollback has begun already"}
	}
	return in, r, err
}

// armRollback is the key R: it counts the grace down (real time), then fires by itself.
func (e *Engine) armRollback(actor state.Actor, p undoing) error {
	p = e.cleanPull(p)
	_, _, err := e.targetOf(p)
	grace := e.o.Runbook.Rollback.Grace.D()
	switch {
	case state.HasCode(err, "already"):
		return nil
	case err != nil:
		return err
	case grace <= 0:
		e.fireAfter(func() {}, actor, p)
		return nil
	}
	e.key.Lock()
	defer e.key.Unlock()
	if e.arm != nil {
		e.widen(actor, p)
		return nil // a held key repeats
	}
	if _, _, err := e.targetOf(p); err != nil {
		return nil // it was taken back just now
	}
	deadline := e.o.Now().Add(grace)
	e.must(actor, state.RollbackPrimed{Deadline: deadline.UTC(), Trigger: p.trigger, Database: p.database})
	e.countDown(actor, deadline, p)
	return nil
}

// countDown needs key. The countdown fires unless it was stopped before.
func (e *Engine) countDown(actor state.Actor, deadline time.Time, p undoing) {
	a := new(arming)
	var ready context.Context
	ready, a.cancel = context.WithCancel(e.ctx)
	a.timer = time.AfterFunc(max(deadline.Sub(e.o.Now()), 0), func() {
		e.key.Lock()
		defer e.key.Unlock()
		if e.arm == a { // looked at and fired in one: a stop between the two would come to nothing
			e.fireKeyed(func() {}, actor, p)
		}
	})
	e.arm = a
	e.spawn(func() { e.keepReady(ready, a, p) })
}

func (e *Engine) disarm(actor state.Actor) error {
	e.key.Lock()
	defer e.key.Unlock()
	if e.arm == nil {
		if _, _, err := e.target(); state.HasCode(err, "already") {
			return &state.Problem{Code: "too-late", What: "too late to stop", Why: state.AsProblem(err).What,
				Do: "Let it end; stopping between two states is worse than either."}
		}
		return nil
	}
	e.arm.stop()
	e.arm = nil // a countdown that ends just now finds that it is not the one any more
	e.must(actor, state.RollbackDisarmed{})
	return nil
}

func (e *Engine) fireByHand(actor state.Actor, p undoing) error {
	if _, _, err := e.targetOf(p); err != nil {
		if state.HasCode(err, "already") {
			return nil
		}
		return err
	}
	e.fireAfter(func() {}, actor, e.cleanPull(p))
	return nil
}

// fire starts the rollback in its own lane, once. It returns at once.
func (e *Engine) fire(actor state.Actor, trigger string) {
	e.fireAfter(func() {}, actor, undoing{trigger: trigger})
}

// fireAfter is fire with something to say first. No forward work can start from
// the first word on: the lane is taken before it is said.
func (e *Engine) fireAfter(first func(), actor state.Actor, p undoing) {
	e.key.Lock()
	defer e.key.Unlock()
	e.fireKeyed(first, actor, p)
}

// fireKeyed is fireAfter for whoever has key.
func (e *Engine) fireKeyed(first func(), actor state.Actor, p undoing) {
	ready := false
	if e.arm != nil {
		ready = e.arm.ready.Load()
		e.arm.stop()
		e.arm = nil
	}
	e.mu.Lock()
	in, r, err := e.targetOfLocked(p)
	if err != nil {
		e.mu.Unlock()
		first()
		return
	}
	// The forward work is told to stop; it need not: the epoch fences it.
	for item, w := range e.running {
		if inAttempt(item) {
			w.cancel()
		}
	}
	p.database = p.database || in.Rollback.Status == state.RollbackArmed && in.Rollback.Database
	e.began = r.ID
	e.inLane(p.database, func() {
		first()
		e.rollback(actor, r, in.Epoch+1, p, ready)
	})
	e.mu.Unlock()
}

// rollback is the lane. Nothing in it waits for the journal beyond journalPatience, and
// only once: what was asked for is written down before it is done, beside what must be
// asked of the world; how it goes is written down while it goes on. ready says that the
// strategy was prepared while the grace ran.
func (e *Engine) rollback(actor state.Actor, r *state.Rollout, epoch int, p undoing, ready bool) {
	ctx, cancel := context.WithTimeout(context.Background(), p.time())
	prepared := (<-chan struct{})(nil)
	if !ready {
		prepared = e.preparing(ctx, r)
	}
	defer func() {
		cancel()
		if prepared != nil {
			<-prepared
		}
	}()
	run := fmt.Sprintf("%s-e%d", itemRollback, epoch)
	var before []state.Fact
	if r.ID == state.UndoID { // a rollout of mayday's own measured it when it began
		before = append(before, e.before())
	}
	e.must(actor, append(before, state.RollbackStarted{Rollout: r.ID, Target: r.Target, Epoch: epoch, Trigger: e.clean(p.trigger), Ops: r.Inverse, Database: p.database},
		state.ItemStarted{Item: itemRollback, Run: run, Commands: e.shown(inverseCommands(r))})...)
	if !ready {
		within(preparePatience, prepared)
	}
	s, err := e.strategy(r.Strategy)
	var seen Verification
	if err == nil {
		told := e.inOrder()
		out := NewPatient(func() (io.WriteCloser, error) { return e.output(itemRollback, run), nil })
		err = e.guard(out, func() (err error) {
			seen, err = Undo(WithOutput(ctx, out), s, r.Plan, Fence{Incident: e.mark(), Epoch: epoch}, p.database, func(op state.RollbackOp) {
				op.Text, op.Title = e.clean(op.Text), e.clean(op.Title)
				told.tell(op)
			})
			return err
		})
		told.close()
		_ = out.Close() // what is not kept was on the screens all the same
	}
	// Free before the outcome can be seen, so that whoever sees a failure can press R
	// again at once; until it is recorded, the fold says that it runs.
	e.mu.Lock()
	e.rolling = false
	if err == nil {
		e.undone = r.ID
	}
	e.mu.Unlock()
	if err != nil {
		e.rollbackFailed(r, seen, err)
		return
	}
	e.rollbackDone(actor, r, seen, p.trigger)
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
	ev := []state.Evidence{{Name: "target", Value: r.Target}, {Name: "verified", Value: e.clean(seen.Text)}, {Name: "trigger", Value: e.clean(trigger)}}
	seen.Manual = e.shown(seen.Manual)
	facts := []state.Fact{
		state.RollbackFinished{Done: true, Verified: e.clean(seen.Text), Manual: seen.Manual},
		state.ItemFinished{Item: itemRollback, Outcome: state.ItemDone, Summary: "to " + r.Target, Evidence: ev},
	}
	facts = append(facts, Leftover(seen)...)
	facts = append(facts, stopped(in)...)
	facts = append(facts, ended(in, r)...)
	e.must(actor, facts...)
	if r.ID == state.UndoID {
		e.spawn(e.layProbes) // {old} is another version now
	}
	e.must(e.mayday(), e.sayRolledBack(r.Target, trigger, seen.Text)...)
	e.compareWithBefore()
}

// stopped ends what ran when the rollback came: it was cancelled by it.
func stopped(in *state.Incident) []state.Fact {
	var facts []state.Fact
	for i := range in.Rollouts {
		r := &in.Rollouts[i]
		if r.Attempt == in.Attempt && (r.Status == state.RolloutRunning || r.Status == state.RolloutAsking || r.Status == state.RolloutInterrupted) {
			facts = append(facts, state.RolloutFinished{Rollout: r.ID, Outcome: state.RolloutStopped, Text: "by the rollback"})
		}
	}
	for i := range in.Steps {
		for _, it := range in.Steps[i].Items {
			if inAttempt(it.ID) && it.ID != itemRollback && (it.Status == state.ItemRunning || it.Status == state.ItemAsking || it.Status == state.ItemInterrupted) {
				facts = append(facts, state.ItemFinished{Item: it.ID, Run: it.Run, Outcome: state.ItemCancelled, Summary: "stopped by the rollback"})
			}
		}
	}
	return facts
}

// rollbackFailed hands the operator the commands and calls for help at once.
func (e *Engine) rollbackFailed(r *state.Rollout, seen Verification, err error) {
	problem := e.problem(err)
	if errors.Is(err, context.DeadlineExceeded) {
		problem = &state.Problem{What: "the rollback did not end in its time", Why: "what it waited for did not come",
			Do: "Look at what it waited for and at the commands below; R goes on where it stopped."}
	}
	manual := e.shown(seen.Manual)
	if len(manual) == 0 {
		manual = e.shown(inverseCommands(r))
	}
	in := e.Incident()
	e.must(e.mayday(), append([]state.Fact{state.RollbackFinished{Done: false, Verified: e.clean(seen.Text), Manual: manual, Problem: problem},
		state.ItemFinished{Item: itemRollback, Outcome: state.ItemFailed, Problem: problem, Summary: "by hand: " + strings.Join(manual, "; ")}},
		stopped(in)...)...)
	next, ok := in.NextEscalation()
	if !ok {
		next = state.Level{Role: state.Commander}
	}
	e.must(e.mayday(), e.page(in, next, e.callees(in, next.Role), paging{})...)
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
