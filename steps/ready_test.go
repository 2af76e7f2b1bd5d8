package steps

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// readying is a strategy that can be prepared.
type readying struct {
	*world
	prepare func(ctx context.Context)
}

func (s readying) Prepare(ctx context.Context, _ state.Plan) { s.prepare(ctx) }

// preparedBy makes the rig's strategy one that is prepared by f.
func preparedBy(f func(ctx context.Context)) func(*rig, *Options) {
	return func(r *rig, o *Options) { o.Strategies["canary"] = readying{r.world, f} }
}

// undone waits until the world was told to go back, and says how long that took.
func (r *rig) undone(since time.Time) time.Duration {
	for {
		r.world.mu.Lock()
		n := r.world.undone
		r.world.mu.Unlock()
		if n > 0 {
			return time.Since(since)
		}
		time.Sleep(time.Millisecond) // of synctest's clock
	}
}

// TestAnArmedRollbackIsPrepared again and again while its grace runs, and then does not
// wait for what the world says by then.
func TestAnArmedRollbackIsPrepared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked, hangs atomic.Int32
		r := newRig(t, preparedBy(func(ctx context.Context) {
			asked.Add(1)
			if hangs.Load() > 0 {
				<-ctx.Done()
			}
		}), func(_ *rig, o *Options) { o.Runbook.Rollback.Grace = state.Duration(3 * time.Second) })
		defer r.bye()
		defer r.feed(well)()
		r.deploy()
		r.must(r.do(state.Arm{}))
		time.Sleep(2*readyEvery + time.Millisecond)
		if n := asked.Load(); n != 3 {
			t.Errorf("prepared %d times while armed, want 3", n)
		}
		r.must(r.do(state.Disarm{}))
		time.Sleep(10 * readyEvery)
		if n := asked.Load(); n != 3 {
			t.Errorf("prepared %d times after it was stopped", n-3)
		}
		r.must(r.do(state.Arm{}))
		synctest.Wait()
		hangs.Store(1)
		start := time.Now()
		r.must(r.do(state.Fire{}))
		if took := r.undone(start); took > time.Millisecond {
			t.Errorf("an armed rollback began after %s", took)
		}
		r.rolledBack()
	})
}

// TestARollbackAtOnceWaitsForAnswers for a while, and asks for itself where they do not
// come.
func TestARollbackAtOnceWaitsForAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		prepare  func(ctx context.Context)
		from, to time.Duration
	}{
		"answered": {func(context.Context) { time.Sleep(5 * time.Millisecond) }, 5 * time.Millisecond, 6 * time.Millisecond},
		"hangs":    {func(ctx context.Context) { <-ctx.Done() }, preparePatience, preparePatience + time.Millisecond},
		"panics":   {func(context.Context) { panic("in the preparation") }, 0, time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, preparedBy(c.prepare))
				defer r.bye()
				defer r.feed(well)()
				r.deploy()
				start := time.Now()
				r.must(r.do(state.Fire{}))
				if took := r.undone(start); took < c.from || took > c.to {
					t.Errorf("it began after %s, want %s to %s", took, c.from, c.to)
				}
				r.rolledBack()
			})
		})
	}
}
