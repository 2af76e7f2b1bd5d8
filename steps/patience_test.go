package steps

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// TestFencesCarryTheMark: what plans and writes call the incident is no other host's too.
func TestFencesCarryTheMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		stop := r.feed(well)
		defer stop()
		r.deploy()
		r.until("a stage has passed", func(in *state.Incident) bool { return in.Rollouts[0].Stage() > 0 })
		r.must(r.do(state.Fire{}))
		in := r.until("rolled back", func(in *state.Incident) bool { return len(in.Closed) == 1 })
		r.world.mu.Lock()
		defer r.world.mu.Unlock()
		if len(r.world.asked) == 0 || len(r.world.fences) < 2 || in.Mark == in.ID {
			t.Fatalf("%d plans, %d fences, mark %q", len(r.world.asked), len(r.world.fences), in.Mark)
		}
		for _, o := range r.world.asked {
			if o.Incident != in.ID || o.Mark != in.Mark {
				t.Errorf("a plan for %q, %q", o.Incident, o.Mark)
			}
		}
		for _, f := range r.world.fences {
			if f.Incident != in.Mark {
				t.Errorf("a write as %q, want %q", f.Incident, in.Mark)
			}
		}
	})
}

// TestASlowRollbackIsNoFailure: many pods that start slowly, or a script, take their time.
func TestASlowRollbackIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			long time.Duration
			want state.RollbackStatus
		}{{40 * time.Minute, state.RollbackDone}, {2 * time.Hour, state.RollbackFailed}} {
			r := newRig(t, func(r *rig, o *Options) {
				o.Strategies["canary"] = staged{world: r.world, undo: func(ctx context.Context) error {
					select {
					case <-ctx.Done():
						return ctx.Err()
					case <-time.After(c.long):
						return nil
					}
				}}
			})
			stop := r.feed(well)
			r.deploy()
			r.must(r.do(state.Fire{}))
			in := r.until("ended", func(in *state.Incident) bool {
				return in.Rollback.Status == state.RollbackDone || in.Rollback.Status == state.RollbackFailed
			})
			if in.Rollback.Status != c.want {
				t.Errorf("a rollback of %s is %s", c.long, in.Rollback.Status)
			}
			if p := in.Rollback.Problem; c.want == state.RollbackFailed && (p == nil || p.Do == "" || strings.Contains(p.Error(), "context")) {
				t.Errorf("it says %v", p)
			}
			stop()
			r.bye()
		}
	})
}

// TestAStageWithoutEffect: what a stage waited for did not come, and the operator is told
// so, not that some context ended.
func TestAStageWithoutEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig, o *Options) {
			o.Strategies["canary"] = staged{world: r.world, stage: func(ctx context.Context) (Effect, error) {
				<-ctx.Done()
				return Effect{}, ctx.Err()
			}}
		})
		defer r.bye()
		defer r.feed(well)()
		r.deploy()
		in := r.until("failed", func(in *state.Incident) bool { return in.Rollouts[0].Status == state.RolloutFailed })
		if p := in.Item(itemDeploy).Problem; p == nil || !strings.Contains(p.What, "had no effect within 15m") || p.Do == "" {
			t.Errorf("it says %v", p)
		}
	})
}
