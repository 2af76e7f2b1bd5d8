package steps

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

func well() (float64, state.Verdict)   { return 0.001, "" }
func broken() (float64, state.Verdict) { return 0.3, "" }
func blind() (float64, state.Verdict)  { return 0, state.NoData }

func (r *rig) bye() { r.must(r.Close("test over")) }

func TestGoodRolloutReachesMonitoring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(well)()
		r.deploy()
		in := r.until("mitigated", func(in *state.Incident) bool { return in.Status == state.Monitoring && !in.Mitigated.IsZero() })
		if st := in.Item("10.deploy").Status; st != state.ItemDone {
			t.Errorf("the deployment is %s", st)
		}
		if r.world.weight != 100 {
			t.Errorf("weight %d", r.world.weight)
		}
		if held := in.Rollouts[0].Ended.Sub(in.Rollouts[0].Started); held < time.Minute {
			t.Errorf("two holds of 30 s took %s", held)
		}
	})
}

func TestCritRollsBackByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(broken)()
		r.deploy()
		in := r.until("rolled back", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone && len(in.Closed) == 1 })
		if r.world.version != "v1.2.3" || r.world.weight != 0 || r.world.epoch != 1 {
			t.Errorf("the world: %+v", r.world)
		}
		if in.Rollouts[0].Status != state.RolloutRolledBack {
			t.Errorf("rollout is %s", in.Rollouts[0].Status)
		}
		if in.Rollback.Trigger == "R" || in.Rollback.By != state.Mayday {
			t.Errorf("trigger %q by %q", in.Rollback.Trigger, in.Rollback.By)
		}
		r.must(r.do(state.NewAttempt{}))
		if in = r.Incident(); in.Attempt != 2 || in.Item("10.deploy").Status != state.ItemOpen {
			t.Errorf("attempt %d, deployment %s", in.Attempt, in.Item("10.deploy").Status)
		}
	})
}

// Whoever runs the deployment again in the moment it failed must not get between
// the failure and the rollback that it pulls.
func TestNothingComesBetweenFailureAndRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(broken)()
		r.deploy()
		r.until("failed", func(in *state.Incident) bool { return in.Item("10.deploy").Status == state.ItemFailed })
		if err := r.do(state.Run{Item: "10.deploy"}); err == nil {
			t.Error("the deployment was run again while production is rolled back")
		}
		in := r.until("rolled back", func(in *state.Incident) bool { return len(in.Closed) == 1 })
		if it := in.Item("10.deploy"); it.Status != state.ItemFailed || it.Problem == nil {
			t.Errorf("the deployment is %s, its reason lost", it.Status)
		}
	})
}

func TestIgnoranceAsksAndNeverPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(blind)()
		r.deploy()
		asking := func(in *state.Incident) bool { return in.Item("10.deploy").Status == state.ItemAsking }
		r.until("asking", asking)
		time.Sleep(time.Hour) // synctest's: however long it lasts
		if in := r.Incident(); !asking(in) || r.world.weight != 25 {
			t.Fatalf("after an hour: %s, weight %d", in.Item("10.deploy").Status, r.world.weight)
		}
		if err := r.do(state.GoOn{Accept: true}); err == nil {
			t.Error("accepted without a reason")
		}
		r.must(r.do(state.GoOn{})) // look again: still blind
		r.until("asking again", asking)
		r.must(r.do(state.GoOn{Accept: true, Reason: "dashboard is fine"}))
		r.until("at 100", func(*state.Incident) bool {
			r.world.mu.Lock()
			defer r.world.mu.Unlock()
			return r.world.weight == 100
		})
	})
}

// TestAQuickAnswerIsHeard: a script answers before the gate has begun to wait.
func TestAQuickAnswerIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(blind)()
		r.deploy()
		in := r.until("asking", func(in *state.Incident) bool { return in.Item("10.deploy").Status == state.ItemAsking })
		r.must(r.do(state.GoOn{Accept: true, Reason: "dashboard is fine"}))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		why, err := r.waitForPerson(ctx, in.Rollouts[0].ID, in.Seq)
		if err != nil || why != "accepted by alice: dashboard is fine" {
			t.Errorf("%q, %v", why, err)
		}
	})
}

func TestRArmsCountsDownAndFires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(well)()
		r.until("the last release is looked at", known)
		if err := r.do(state.Arm{}); !state.HasCode(err, "nothing") {
			t.Errorf("R before any change: %v", err)
		}
		r.deploy()
		r.must(r.do(state.Arm{}))
		armed := r.Incident().Rollback.Deadline
		time.Sleep(time.Second)
		r.must(r.do(state.Arm{})) // a held key
		if in := r.Incident(); !in.Rollback.Deadline.Equal(armed) {
			t.Error("a second R moved the deadline")
		}
		r.must(r.do(state.Disarm{}))
		time.Sleep(time.Minute)
		if in := r.Incident(); in.Rollback.Status != "" || r.world.undone != 0 {
			t.Fatalf("disarmed, but %s", in.Rollback.Status)
		}
		start := time.Now()
		r.must(r.do(state.Arm{}))
		r.until("rolled back", func(in *state.Incident) bool { return len(in.Closed) == 1 })
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("the grace was %s", took)
		}
		r.must(r.do(state.Arm{})) // pressing again is a no-op
		r.must(r.do(state.Fire{}))
		time.Sleep(time.Minute)
		if r.world.undone != 1 {
			t.Errorf("rolled back %d times", r.world.undone)
		}
	})
}

func TestRWorksWithoutAJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(well)()
		r.deploy()
		r.journal.set(errors.New("no space left on device"))
		if err := r.do(state.AddNote{Text: "x"}); !state.HasCode(err, "journal") {
			t.Errorf("a note without a journal: %v", err)
		}
		r.must(r.do(state.Fire{}))
		r.until("rolled back", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone })
		if r.world.version != "v1.2.3" || r.world.undone != 1 {
			t.Errorf("the world: %+v", r.world)
		}
		r.journal.set(nil)
		r.must(r.do(state.AddNote{Text: "the disk is back"}))
		in, err := state.Fold(r.journal.all())
		if err != nil {
			t.Fatal(err)
		}
		if in.Rollback.Status != state.RollbackDone || in.Rollback.Verified == "" {
			t.Errorf("the journal lost the rollback: %+v", in.Rollback)
		}
	})
}

func TestRDoesNotWaitForAHangingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stop := r.feed(well)
		r.deploy()
		stop()
		hang := make(chan struct{})
		r.journal.mu.Lock()
		r.journal.hang = hang
		r.journal.mu.Unlock()
		start := time.Now()
		r.must(r.do(state.Fire{}))
		for {
			r.world.mu.Lock()
			undone := r.world.undone
			r.world.mu.Unlock()
			if undone == 1 {
				break
			}
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(start); took > journalPatience+time.Millisecond {
			t.Errorf("the first write came after %s", took)
		}
		r.journal.mu.Lock()
		r.journal.hang = nil
		r.journal.mu.Unlock()
		close(hang)
		r.until("told", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone || in.Seq > 0 })
		r.must(r.do(state.AddNote{Text: "the disk is back"}))
		r.until("in the journal", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone })
		r.bye()
	})
}

func TestFailedRollbackShowsCommandsAndEscalates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(well)()
		r.deploy()
		pages := len(pagesOf(r.Incident()))
		r.world.rollErr = errors.New("forbidden")
		r.must(r.do(state.Fire{}))
		in := r.until("failed", func(in *state.Incident) bool {
			return in.Rollback.Status == state.RollbackFailed && len(pagesOf(in)) > pages
		})
		if len(in.Rollback.Manual) == 0 {
			t.Error("no commands to type by hand")
		}
		r.world.mu.Lock()
		r.world.rollErr = nil
		r.world.mu.Unlock()
		r.must(r.do(state.Fire{})) // and it can be tried again
		r.until("rolled back", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone })
	})
}

func pagesOf(in *state.Incident) []state.Message {
	var out []state.Message
	for _, m := range in.Messages {
		if m.Purpose == "page" {
			out = append(out, m)
		}
	}
	return out
}

// kill -9 and another keeper: what ran is interrupted, and can go on or go back.
func TestTakeOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stop := r.feed(well)
		r.deploy()
		r.until("at 25 %", func(in *state.Incident) bool { return !in.Rollouts[0].Stages[0].Effected.IsZero() })
		stop()
		first, rb := r.Engine, r.o.Runbook
		first.cancel() // it stops without a word, as a killed process does
		first.wg.Wait()
		r.open(rb, r.journal.all())
		defer r.bye()
		in := r.until("looked at", func(in *state.Incident) bool { return in.Facts["cluster.now"] != "" })
		if in.Rollouts[0].Status != state.RolloutInterrupted || in.Item("10.deploy").Status != state.ItemInterrupted {
			t.Fatalf("%s, %s", in.Rollouts[0].Status, in.Item("10.deploy").Status)
		}
		defer r.feed(well)()
		r.must(r.do(state.GoOn{}))
		r.until("deployed", func(in *state.Incident) bool { return in.Item("10.deploy").Status == state.ItemDone })
	})
}

func TestARollbackIsFinishedByTheNextKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stop := r.feed(well)
		r.deploy()
		stop()
		first, rb := r.Engine, r.o.Runbook
		first.cancel()
		first.wg.Wait()
		history := append(r.journal.all(), state.Event{Seq: r.journal.seq + 1, Time: time.Now(), Actor: alice,
			Fact: state.RollbackStarted{Rollout: "r1", Target: "v1.2.3", Epoch: 1, Trigger: "R"}})
		r.journal.events, r.journal.seq = history, r.journal.seq+1
		r.open(rb, history)
		defer r.bye()
		r.until("rolled back", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone })
		if r.world.epoch != 2 {
			t.Errorf("epoch %d: the dead keeper's writes are not fenced", r.world.epoch)
		}
	})
}

func TestEscalationClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		in := r.until("paged at once", func(in *state.Incident) bool { return !in.Levels[0].Paged.IsZero() && !in.Levels[1].Paged.IsZero() })
		next, ok := in.NextEscalation()
		if !ok || next.Role != state.Senior {
			t.Fatalf("next is %+v", next)
		}
		r.must(r.do(state.Ack{}))
		n := len(pagesOf(r.Incident()))
		time.Sleep(14 * time.Minute)
		if got := len(pagesOf(r.Incident())); got != n {
			t.Errorf("%d pages before the level is due, and after the acks", got-n)
		}
		time.Sleep(90 * time.Second)
		r.until("senior paged", func(in *state.Incident) bool { l, _ := in.NextEscalation(); return l.Role == state.Manager })
	})
}

func TestAuthorCannotSign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		for _, id := range []string{"3.branch", "3.baseline", "1.severity", "4.change", "5.focused"} {
			r.must(r.do(state.PassOver{Item: id, Reason: "test"}))
		}
		r.must(r.do(state.Run{Item: "6.commit"}))
		r.until("committed", func(in *state.Incident) bool { return in.Item("6.commit").Status == state.ItemDone })
		if err := r.do(state.Sign{Item: "6.signoff"}); !state.HasCode(err, "own-change") {
			t.Errorf("the author signed: %v", err)
		}
		if _, err := r.Do(t.Context(), state.Actor{User: "carol"}, state.Sign{Item: "6.signoff", Comment: "fine"}); err != nil {
			t.Error(err)
		}
	})
}

func TestCancelAndRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		r.act("3.baseline", waiting)
		r.must(r.do(state.PassOver{Item: "1.severity", Reason: "test"}))
		r.must(r.do(state.Decide{Choice: "hotfix"}))
		r.must(r.do(state.Run{Item: "3.baseline"}))
		if err := r.do(state.Run{Item: "3.baseline"}); !state.HasCode(err, "running") {
			t.Errorf("started twice: %v", err)
		}
		r.must(r.do(state.Cancel{Item: "3.baseline"}))
		r.until("cancelled", func(in *state.Incident) bool { return in.Item("3.baseline").Status == state.ItemCancelled })
		r.act("3.baseline", failing)
		r.must(r.do(state.Run{Item: "3.baseline"}))
		in := r.until("failed", func(in *state.Incident) bool { return in.Item("3.baseline").Status == state.ItemFailed })
		if in.Item("3.baseline").Problem == nil {
			t.Error("a failure without its reason")
		}
	})
}

func TestMonitoringPeriodEndsStep14(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(well)()
		r.deploy()
		r.until("deployed", func(in *state.Incident) bool { return in.Item("10.deploy").Status == state.ItemDone })
		r.must(r.do(state.PassOver{Item: "10.validate", Reason: "test"}))
		in := r.until("not needed", func(in *state.Incident) bool { return in.Item("14.rollback").Status == state.ItemNotNeeded })
		watch := in.Item(state.ItemMonitor)
		if d := watch.Ended.Sub(watch.Started); d < in.Policy.Monitor.D() {
			t.Errorf("watched %s of %s", d, in.Policy.Monitor)
		}
		if len(in.Item("14.rollback").Evidence) == 0 {
			t.Error("step 14 without its proof")
		}
	})
}
