package steps

import (
	"context"
	"time"

	"mayday/state"
)

// Real-time beats of the keeper.
const (
	retryEvery  = time.Second            // what the journal did not take is tried again this often
	proveEvery  = 30 * time.Second       // the rollback plan is proven again this often
	proveTime   = 20 * time.Second       // one proof's bound
	clockFloor  = 20 * time.Millisecond  // a clock never spins faster
	clockLonger = 500 * time.Millisecond // and looks at least this often: a laptop may have slept
)

// keepClocks pages whom it is time to page. Deadlines are absolute times in
// events, so a restart or a sleep loses none.
func (e *Engine) keepClocks(ctx context.Context) {
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var warned time.Time
	for {
		changed := e.Changed()
		// Looked at often and mostly for nothing: without a copy of the incident.
		e.mu.Lock()
		update, updating := e.in.NextUpdate()
		e.mu.Unlock()
		now, wait := e.Now(), clockLonger
		if updating && now.After(update) && !update.Equal(warned) && e.warnOfUpdate(update) {
			warned = update
		}
		if page, paging := e.pageWhoIsDue(now); paging && now.Before(page) {
			wait = min(wait, e.o.Clock.Real(page.Sub(now)))
		}
		timer.Reset(max(wait, clockFloor))
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-changed:
			// Many events come in bursts: one look for all of them.
			select {
			case <-ctx.Done():
				return
			case <-time.After(clockFloor):
			}
		case <-retry.C:
			e.catchUp()
		}
	}
}

// pageWhoIsDue pages whom it is time to page, and says when the next page was due as it
// looked; false: never.
func (e *Engine) pageWhoIsDue(now time.Time) (due time.Time, ok bool) {
	e.mu.Lock()
	due, ok = nextPage(e.in)
	e.mu.Unlock()
	if ok && !now.Before(due) {
		e.pageDue(now)
	}
	return due, ok
}

// prover proves the rollback plan again and again while there is something to take
// back: behind each stage, and during the rollout and the monitoring period.
func (e *Engine) prover(ctx context.Context) {
	tick := time.NewTicker(proveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-e.reprove:
		}
		in := e.Incident()
		r := in.Production()
		if r == nil || !in.Open() || r.Status == state.RolloutRolledBack || in.Undone() || in.Rollback.Status == state.RollbackRunning {
			continue
		}
		_, _ = e.prove(ctx, r, r.Status != state.RolloutPlanned) // the proof, or why there is none, is in the journal
	}
}

// prove dry-runs a rollout's inverse and journals what came of it.
func (e *Engine) prove(ctx context.Context, r *state.Rollout, started bool) (state.Proof, error) {
	ctx, cancel := context.WithTimeout(ctx, proveTime)
	defer cancel()
	s, err := e.strategy(r.Strategy)
	if err != nil {
		return state.Proof{}, err
	}
	epoch := e.Incident().Epoch
	proof, err := s.Prove(ctx, r.Plan, started)
	if err != nil {
		if ctx.Err() != nil && e.ctx.Err() != nil {
			return proof, err
		}
		proof = state.Proof{Ready: state.Doubtful, Target: r.Target, Why: "the last proof failed: " + state.Clean(err.Error())}
	}
	_, rerr := e.recordIf(e.mayday(), func(in *state.Incident) error {
		if now := in.Rollout(r.ID); in.Epoch != epoch || now == nil || now.Status == state.RolloutRolledBack || in.Rollback.Status == state.RollbackRunning {
			return &state.Problem{Code: "rolling-back", What: "it is being rolled back: what the proof saw is past"}
		}
		return nil
	}, state.RollbackProven{Rollout: r.ID, Proof: proof})
	if rerr != nil && err == nil {
		err = rerr
	}
	return proof, err
}

// warnOfUpdate warns once that a status update is overdue: people outside hear
// nothing. It reports whether that is in the journal.
func (e *Engine) warnOfUpdate(due time.Time) bool {
	text := "the status update was due at " + due.Format(time.TimeOnly) + " and has not gone out"
	events := e.Events()
	for i := len(events) - 1; i >= 0 && !events[i].Time.Before(due); i-- {
		if w, ok := events[i].Fact.(state.Warned); ok && w.Text == text {
			return true // the last keeper did
		}
	}
	return e.Record(state.Warned{Text: text}) == nil
}
