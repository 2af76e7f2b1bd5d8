package steps

import (
	"time"

	"mayday/state"
)

// Told is something that another process did for this incident, in its own words.
type Told struct {
	At    time.Time // incident clock
	Actor state.Actor
	Fact  state.Fact
}

// Adopt takes in what another process did while this keeper did not answer: a
// rollback. Forward work of the attempt is cancelled, which the raised epoch fences
// anyway; a rollback that the other process could not finish is finished. What is in
// the journal already, by the same actor at the same time, is skipped: a keeper may
// have died while it took it in.
func (e *Engine) Adopt(told []Told) error {
	e.takenBack(told)
	if err := e.adopt(told); err != nil {
		return err
	}
	e.key.Lock()
	defer e.key.Unlock()
	in := e.Incident()
	e.mu.Lock()
	rolling := e.rolling
	for item, w := range e.running {
		if inAttempt(item) {
			w.cancel()
		}
	}
	e.mu.Unlock()
	switch {
	case rolling:
	case in.Rollback.Status == state.RollbackRunning:
		e.finishRollback(in)
	case len(in.Closed) < in.Attempt:
		e.closeAttempt(in)
	}
	e.compareWithBefore()
	return nil
}

// takenBack lets R know what the journal will say only when the disk has taken it:
// an R that was on its way while the keeper was stopped has nothing to do any more.
func (e *Engine) takenBack(told []Told) {
	rollout := ""
	for _, t := range told {
		switch f := t.Fact.(type) {
		case state.RollbackStarted:
			rollout = f.Rollout
		case state.RollbackFinished:
			if !f.Done || rollout == "" {
				continue
			}
			e.key.Lock()
			if e.arm != nil {
				e.arm.stop()
				e.arm = nil
			}
			e.mu.Lock()
			e.undone = rollout
			e.mu.Unlock()
			e.key.Unlock()
		}
	}
}

// adopt journals and folds, in the order told.
func (e *Engine) adopt(told []Told) error {
	e.turn <- struct{}{}
	defer e.pass()
	if err := e.flush(); err != nil {
		return journalProblem(err)
	}
	known := Known(e.Events())
	for _, t := range told {
		if known(t) {
			continue
		}
		events, err := e.o.Journal.Append(t.At, t.Actor, 0, t.Fact)
		if err != nil {
			e.tellJournal(err.Error())
			return journalProblem(err)
		}
		e.apply(events)
	}
	return nil
}

// Known says which told things are among the events.
func Known(events []state.Event) func(Told) bool {
	type key struct {
		at    int64
		actor state.Actor
		kind  string
	}
	seen := make(map[key]bool, len(events))
	for _, x := range events {
		seen[key{x.Time.UnixNano(), x.Actor, x.Fact.Kind()}] = true
	}
	return func(t Told) bool { return seen[key{t.At.UnixNano(), t.Actor, t.Fact.Kind()}] }
}
