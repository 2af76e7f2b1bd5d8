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

// slow is a strategy whose rollback takes its time.
type slow struct {
	*world
	takes time.Duration
}

func (s slow) Rollback(ctx context.Context, p state.Plan, f Fence, report func(state.RollbackOp)) (Verification, error) {
	select {
	case <-ctx.Done():
		return Verification{}, ctx.Err()
	case <-time.After(s.takes): // of synctest's clock
	}
	return s.world.Rollback(ctx, p, f, report)
}

// TestWhatAKeeperIsStartedForComesFirst: nothing that runs by itself begins beside a
// rollback that a process became the keeper for, until it has ended or a second is over.
func TestWhatAKeeperIsStartedForComesFirst(t *testing.T) {
	for takes, want := range map[time.Duration]time.Duration{300 * time.Millisecond: 300 * time.Millisecond, time.Minute: headStart} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			stop := r.feed(well)
			r.deploy()
			r.until("at 25 %", func(in *state.Incident) bool { return !in.Rollouts[0].Stages[0].Effected.IsZero() })
			stop()
			first, rb := r.Engine, r.o.Runbook
			first.cancel() // it stops without a word, as a killed process does
			first.wg.Wait()
			begun := time.Now()
			var beside atomic.Int64 // when what runs by itself began, after begun
			fire := state.Fire{Trigger: "mayday rollback", Version: "v1.2.3"}
			r.open(rb, r.journal.all(), func(r *rig, o *Options) {
				o.Strategies["canary"] = slow{r.world, takes}
				o.Urgent = &fire
				o.Background = append(o.Background, func(context.Context, *Engine) error {
					beside.Store(int64(time.Since(begun)))
					return nil
				})
			})
			defer r.bye()
			r.must(r.do(fire)) // as whoever started it does
			r.until("rolled back", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone })
			if took := time.Since(begun); took != takes || r.world.undone != 1 {
				t.Errorf("rolled back %d times, after %s, want once after %s", r.world.undone, took, takes)
			}
			synctest.Wait()
			if got := time.Duration(beside.Load()); got != want {
				t.Errorf("a rollback of %s: the rest begins after %s, want %s", takes, got, want)
			}
		})
	}
}

// TestAnUrgentRollbackOfAnotherVersion is not begun: who wants it hears why.
func TestAnUrgentRollbackOfAnotherVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.feed(well)()
		r.deploy()
		r.until("at 25 %", func(in *state.Incident) bool { return !in.Rollouts[0].Stages[0].Effected.IsZero() })
		first, rb := r.Engine, r.o.Runbook
		first.cancel()
		first.wg.Wait()
		fire := state.Fire{Version: "v9.9.9"}
		r.open(rb, r.journal.all(), func(_ *rig, o *Options) { o.Urgent = &fire })
		defer r.bye()
		if err := r.do(fire); !state.HasCode(err, "other-version") {
			t.Errorf("%v", err)
		}
		if rb := r.Incident().Rollback; rb.Status != "" || r.world.undone != 0 {
			t.Errorf("rollback %+v, undone %d times", rb, r.world.undone)
		}
	})
}
