package steps

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"mayday/state"
)

// A rollback that is wanted writes at once: what it must ask the world first is asked
// while the grace runs, and otherwise while the journal is written.

const (
	// readyEvery is how often an armed rollback is prepared anew (real time): what it
	// was told must be young when it fires.
	readyEvery = 500 * time.Millisecond
	// preparePatience bounds the wait for the world's answers where nothing is known
	// yet (real time). The rollback asks again for itself then, and says what is wrong.
	preparePatience = time.Second
)

// arming is a rollback whose grace runs.
type arming struct {
	timer  *time.Timer
	cancel context.CancelFunc // ends keepReady
	ready  atomic.Bool        // the strategy was prepared at least once
}

func (a *arming) stop() {
	a.timer.Stop()
	a.cancel()
}

// keepReady prepares an armed rollback until it fires or is stopped. What is being asked
// then is still heard: a rollback that fires waits for it.
func (e *Engine) keepReady(ctx context.Context, a *arming, p undoing) {
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		if _, r, err := e.targetOf(p); err == nil {
			e.prepare(e.ctx, r)
			a.ready.Store(true)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// prepare has the strategy of a rollout read ahead, where it can.
func (e *Engine) prepare(ctx context.Context, r *state.Rollout) {
	s, err := e.strategy(r.Strategy)
	if err != nil {
		return
	}
	// What goes wrong here goes wrong again in the rollback, which says so.
	_ = e.guard(discard{}, func() error { Prepare(ctx, s, r.Plan); return nil })
}

// preparing is prepare beside the caller, who waits for the channel before it returns.
func (e *Engine) preparing(ctx context.Context, r *state.Rollout) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.prepare(ctx, r)
	}()
	return done
}

// Prepare gets a strategy ready for a rollback of the plan, where it can.
func Prepare(ctx context.Context, s Strategy, plan state.Plan) {
	if p, ok := s.(Preparer); ok {
		p.Prepare(ctx, plan)
	}
}

// within waits for done, for at most d.
func within(d time.Duration, done <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}

// reportsWaiting bounds what a rollback has said and the journal has not taken yet.
// Where it is full, the next word waits for journalPatience.
const reportsWaiting = 256

// reports writes down what a rollback says, one after the other, while it goes on.
type reports struct {
	e    *Engine
	said chan entry
	done chan struct{}

	mu    sync.Mutex
	ended bool
}

func (e *Engine) inOrder() *reports {
	r := &reports{e: e, said: make(chan entry, reportsWaiting), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for x := range r.said {
			e.mustAt(x.at, x.actor, x.fact)
		}
	}()
	return r
}

func (r *reports) tell(f state.Fact) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended { // else a strategy talks on after its end
		r.said <- entry{r.e.Now(), r.e.mayday(), f}
	}
}

// close waits until all is written, or waits in the Engine's spool.
func (r *reports) close() {
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	close(r.said)
	<-r.done
}
