package steps

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// holding waits until the first stage's gate holds.
func (r *rig) holding() *state.Incident {
	r.t.Helper()
	return r.until("at 25 %", func(in *state.Incident) bool {
		return len(in.Rollouts) > 0 && in.Rollouts[0].Gate.State == state.GateHolding
	})
}

func (r *rig) rolledBack() *state.Incident {
	r.t.Helper()
	return r.until("rolled back", func(in *state.Incident) bool { return len(in.Closed) == 1 })
}

// reading is what feed gives, changed from outside.
type dial struct {
	mu sync.Mutex
	f  func() (float64, state.Verdict)
}

func (d *dial) set(f func() (float64, state.Verdict)) { d.mu.Lock(); d.f = f; d.mu.Unlock() }
func (d *dial) read() (float64, state.Verdict) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.f()
}

// Wherever no gate judges, crit still pulls the rollback.
func TestTheSentryWatchesWhereNoGateDoes(t *testing.T) {
	for name, leave := range map[string]func(r *rig, d *dial){
		"while a gate asks": func(r *rig, d *dial) {
			d.set(blind)
			r.until("asking", func(in *state.Incident) bool { return in.Item(itemDeploy).Status == state.ItemAsking })
		},
		"after a stop": func(r *rig, _ *dial) {
			r.must(r.do(state.Cancel{Item: itemDeploy}))
			r.until("stopped", func(in *state.Incident) bool { return in.Rollouts[0].Status == state.RolloutStopped })
		},
		"between deployment and monitoring": func(r *rig, _ *dial) {
			r.until("deployed", func(in *state.Incident) bool { return in.Item(itemDeploy).Status == state.ItemDone })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				defer r.bye()
				d := &dial{f: well}
				defer r.feed(d.read)()
				r.deploy()
				r.holding()
				leave(r, d)
				d.set(well)
				time.Sleep(time.Minute)
				if st := r.Incident().Rollback.Status; st != "" {
					t.Fatalf("all is well, and the rollback is %s", st)
				}
				d.set(broken)
				if in := r.rolledBack(); in.Rollback.By != state.Mayday || !strings.HasPrefix(in.Rollback.Trigger, "watch: ") {
					t.Errorf("by %s: %s", in.Rollback.By, in.Rollback.Trigger)
				}
			})
		})
	}
}

func TestTheSentryLeavesIgnoranceAndOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		d := &dial{f: blind}
		defer r.feed(d.read)()
		r.world.failAt, r.world.fail = 1, ErrFenced
		r.deploy()
		r.until("asking", func(in *state.Incident) bool { return in.Item(itemDeploy).Status == state.ItemAsking })
		time.Sleep(time.Hour)
		d.set(well)
		r.must(r.do(state.GoOn{Accept: true, Reason: "the dashboard is fine"}))
		in := r.until("fenced", func(in *state.Incident) bool { return in.Rollouts[0].Status == state.RolloutFailed })
		if p := in.Item(itemDeploy).Problem; p == nil || p.Code != "fenced" {
			t.Fatalf("the deployment says %v", p)
		}
		d.set(broken)
		time.Sleep(time.Hour)
		if in = r.Incident(); in.Rollback.Status != "" {
			t.Errorf("what somebody else deploys was rolled back without a person: %s", in.Rollback.Trigger)
		}
		r.must(r.do(state.Fire{}))
		r.rolledBack()
	})
}

// A gate that fails while the disk is full must still bring production back.
func TestAGateFailsWithoutAJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		d := &dial{f: well}
		defer r.feed(d.read)()
		r.deploy()
		r.holding()
		r.journal.set(errors.New("no space left on device"))
		d.set(broken)
		in := r.until("rolled back", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone })
		if !strings.HasPrefix(in.Rollback.Trigger, "gate: ") {
			t.Errorf("the gate gave up: %s", in.Rollback.Trigger)
		}
		r.journal.set(nil)
		time.Sleep(5 * time.Second) // nobody does anything: what waited is written by itself
		in, err := state.Fold(r.journal.all())
		if err != nil || in.Rollback.Status != state.RollbackDone || len(in.Closed) != 1 {
			t.Errorf("%v; in the journal the rollback is %s", err, in.Rollback.Status)
		}
		if in.Rollouts[0].Gate.State != state.GateFailed {
			t.Error("the journal does not say that the gate failed")
		}
	})
}

// While the disk hangs, pressing again does not roll back again, and all of it is
// in the journal afterwards, in order, without anybody's doing.
func TestAHangingDiskDoesNotForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stop := r.feed(well)
		r.deploy()
		r.holding()
		stop()
		hang := make(chan struct{})
		r.journal.mu.Lock()
		r.journal.hang = hang
		r.journal.mu.Unlock()
		r.must(r.do(state.Fire{}))
		time.Sleep(5 * time.Second)
		r.must(r.do(state.Fire{}))
		r.must(r.do(state.Arm{}))
		time.Sleep(10 * time.Second)
		r.world.mu.Lock()
		undone := r.world.undone
		r.world.mu.Unlock()
		if undone != 1 {
			t.Errorf("rolled back %d times", undone)
		}
		r.journal.mu.Lock()
		r.journal.hang = nil
		r.journal.mu.Unlock()
		close(hang)
		in := r.rolledBack()
		if in.Rollback.Status != state.RollbackDone || in.Production().Status != state.RolloutRolledBack {
			t.Errorf("rollback %s, rollout %s", in.Rollback.Status, in.Production().Status)
		}
		r.bye()
		if in, err := state.Fold(r.journal.all()); err != nil || len(in.Closed) != 1 {
			t.Errorf("the journal: %v", err)
		}
	})
}

// staged is a strategy whose stage does what it is told.
type staged struct {
	*world
	stage func(ctx context.Context) (Effect, error)
	undo  func(ctx context.Context) error
}

func (s staged) Stage(ctx context.Context, p state.Plan, i int, f Fence, out io.Writer) (Effect, error) {
	if s.stage != nil {
		return s.stage(ctx)
	}
	return s.world.Stage(ctx, p, i, f, out)
}

func (s staged) Rollback(ctx context.Context, p state.Plan, f Fence, report func(state.RollbackOp)) (Verification, error) {
	if s.undo != nil {
		if err := s.undo(ctx); err != nil {
			return Verification{}, err
		}
	}
	return s.world.Rollback(ctx, p, f, report)
}

func TestAnUnhealthyStageRollsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		r.world.fail = &state.Problem{Code: codeUnhealthy, What: "pods crash"}
		r.deploy()
		if in := r.rolledBack(); in.Rollback.By != state.Mayday || in.Rollback.Trigger != "pods crash" {
			t.Errorf("by %s: %s", in.Rollback.By, in.Rollback.Trigger)
		}
	})
}

// Forward work that does not hear its cancellation ends long after the rollback, and
// says that all went well: nothing of it counts.
func TestForwardWorkThatEndsLateCountsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		going := make(chan struct{})
		late := func(context.Context) (Effect, error) { <-going; return Effect{Text: "all at 100 %"}, nil }
		r := newRig(t, func(r *rig, o *Options) { o.Strategies["canary"] = staged{world: r.world, stage: late} })
		defer r.bye()
		defer r.feed(well)()
		r.deploy()
		synctest.Wait()
		r.must(r.do(state.Fire{}))
		r.rolledBack()
		r.must(r.do(state.NewAttempt{}))
		seq := r.Incident().Seq
		close(going)
		synctest.Wait()
		in := r.Incident()
		for _, e := range r.Events()[seq:] {
			switch e.Fact.(type) {
			case state.StageEffected, state.StagePassed, state.RolloutFinished, state.ItemFinished, state.StatusChanged:
				t.Errorf("%s came after the rollback", e.Fact.Kind())
			}
		}
		if in.Rollouts[0].Status != state.RolloutRolledBack || in.Item(itemDeploy).Status != state.ItemOpen || in.Status != state.Identified {
			t.Errorf("rollout %s, item %s, incident %s", in.Rollouts[0].Status, in.Item(itemDeploy).Status, in.Status)
		}
	})
}

// The fresh items of attempt 2 are not touched by an action of attempt 1, nor run
// beside it.
func TestAnActionOfTheLastAttemptEndsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(well)()
		release := make(chan struct{})
		var mu sync.Mutex
		running, most := 0, 0
		r.deploy()
		r.act("3.push", func(context.Context, Job) (Outcome, error) {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			<-release // deaf to cancellation
			mu.Lock()
			running--
			mu.Unlock()
			return Outcome{Summary: "of attempt 1", Facts: map[string]string{"branch": "old"}}, nil
		})
		r.must(r.do(state.Run{Item: "3.push"}))
		synctest.Wait()
		r.must(r.do(state.Fire{}))
		if st := r.rolledBack().Item("3.push").Status; st != state.ItemCancelled {
			t.Errorf("after the rollback 3.push is %s", st)
		}
		r.must(r.do(state.NewAttempt{}))
		for _, id := range []string{"3.baseline", "3.branch"} {
			r.must(r.do(state.PassOver{Item: id, Reason: "test"}))
		}
		r.must(r.do(state.Run{Item: "3.push"}))
		synctest.Wait()
		in := r.Incident()
		if in.Item("3.push").Status != state.ItemRunning || in.Facts["branch"] != "" {
			t.Errorf("3.push is %s, branch %q", in.Item("3.push").Status, in.Facts["branch"])
		}
		close(release)
		r.until("pushed", func(in *state.Incident) bool { return in.Item("3.push").Status == state.ItemDone })
		if most != 1 {
			t.Errorf("%d ran at once", most)
		}
	})
}

func TestAPanicStaysWhereItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		bad := 0
		r := newRig(t, func(r *rig, o *Options) {
			o.Output = func(string) (io.WriteCloser, error) { return closing{&log}, nil }
			o.Strategies["canary"] = staged{world: r.world,
				stage: func(context.Context) (Effect, error) { panic("in the stage") },
				undo: func(context.Context) error {
					if bad++; bad == 1 {
						panic("in the rollback")
					}
					return nil
				}}
		})
		defer r.bye()
		defer r.feed(well)()
		bug := func(context.Context, Job) (Outcome, error) { panic("index out of \x1b[31mrange") }
		r.act("10.channels", bug)
		r.must(r.do(state.Run{Item: "10.channels"}))
		in := r.until("failed", func(in *state.Incident) bool { return in.Item("10.channels").Status == state.ItemFailed })
		if p := in.Item("10.channels").Problem; p.Code != "panic" || strings.Contains(p.Why, "\x1b") {
			t.Errorf("%+v", p)
		}
		if !strings.Contains(log.String(), "safety_test.go") {
			t.Errorf("the stack is not in the output: %s", log.String())
		}
		r.deploy()
		r.until("failed", func(in *state.Incident) bool { return in.Rollouts[0].Status == state.RolloutFailed })
		r.must(r.do(state.Fire{}))
		in = r.until("the rollback failed", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackFailed })
		if len(in.Rollback.Manual) == 0 {
			t.Error("no commands to type by hand")
		}
		r.must(r.do(state.Fire{}))
		r.rolledBack()
	})
}

type closing struct{ io.Writer }

func (closing) Close() error { return nil }

func TestStopAndGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(well)()
		r.deploy()
		r.holding()
		if _, err := r.Do(t.Context(), state.Actor{User: "bob"}, state.Cancel{Item: itemDeploy}); err != nil {
			t.Fatal(err)
		}
		in := r.until("stopped", func(in *state.Incident) bool { return in.Item(itemDeploy).Status == state.ItemCancelled })
		if p := in.Rollouts[0].Problem; p == nil || p.Why != "cancelled by bob" {
			t.Errorf("who stopped it: %v", p)
		}
		if err := r.do(state.GoOn{Accept: true, Reason: "x"}); err == nil {
			t.Error("a gate that does not ask was passed on somebody's word")
		}
		r.must(r.do(state.GoOn{}))
		r.until("deployed", func(in *state.Incident) bool { return in.Item(itemDeploy).Status == state.ItemDone })
		if err := r.do(state.Run{Item: itemDeploy}); !state.HasCode(err, "done") {
			t.Errorf("deployed twice: %v", err)
		}
		for _, id := range []string{itemPlan, itemCommit, "7.tag"} {
			if err := r.do(state.Run{Item: id}); !state.HasCode(err, "in-production") {
				t.Errorf("%s again: %v", id, err)
			}
		}
		if in = r.Incident(); in.Item(itemDeploy).Status != state.ItemDone || in.Item(itemPlan).Status != state.ItemDone {
			t.Error("a refusal left its mark")
		}
	})
}

func TestDisarmWinsUpToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(well)()
		r.deploy()
		r.holding()
		for range 50 {
			r.must(r.do(state.Arm{}))
			time.Sleep(3 * time.Second) // to the very end of the grace
			err := r.do(state.Disarm{})
			time.Sleep(time.Second)
			in := r.Incident()
			if err == nil && in.Rollback.Status == "" {
				continue // stopped in time
			}
			if err == nil && r.world.undone > 0 {
				t.Fatal("stopped without a word of refusal, and rolled back")
			}
			return
		}
	})
}

// The countdown ends in the very moment in which it is stopped: stopped it is.
func TestACountdownThatWasStoppedDoesNotFire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(well)()
		r.deploy()
		r.holding()
		r.must(r.do(state.Arm{}))
		r.key.Lock() // as Disarm does
		time.Sleep(3 * time.Second)
		r.arm = nil
		r.key.Unlock()
		time.Sleep(time.Minute)
		if r.world.undone != 0 {
			t.Error("stopped, and it fired")
		}
	})
}

func TestOnExitRollsBackForTheLastOne(t *testing.T) {
	for name, others := range map[string]bool{"alone": false, "others look": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(_ *rig, o *Options) { o.Runbook.Rollback.OnExit = "rollback" })
				stop := r.feed(well)
				r.deploy()
				r.holding()
				r.must(r.RecordAs(r.o.Actor, state.ClientJoined{ID: "mine"}))
				if others {
					r.must(r.RecordAs(state.Actor{User: "bob", PID: 99}, state.ClientJoined{ID: "his"}))
				}
				stop()
				r.bye()
				if undone := r.world.undone == 1; undone == others {
					t.Errorf("rolled back: %v", undone)
				}
			})
		})
	}
}
