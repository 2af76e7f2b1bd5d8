package steps

import (
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// told is what a process says that rolled back by itself.
func (r *rig) told(done bool) []Told {
	at := r.Now()
	by := state.Actor{User: "bob", PID: 99}
	return []Told{
		{at, by, state.RollbackStarted{Rollout: "r1", Target: "v1.2.3", Epoch: 1, Trigger: "R, while the keeper did not answer"}},
		{at.Add(time.Second), by, state.RollbackOp{Op: "traffic", Status: state.ItemDone}},
		{at.Add(2 * time.Second), by, state.RollbackFinished{Done: done, Verified: "seen by bob"}},
	}
}

func (r *rig) counted(kind string) (n int) {
	for _, e := range r.Events() {
		if e.Fact.Kind() == kind {
			n++
		}
	}
	return n
}

// TestAdoptedRollbackEndsTheRollout: the keeper was away while another process rolled
// back. It goes no further, tells people, and an R that was on its way changes nothing.
func TestAdoptedRollbackEndsTheRollout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(well)()
		r.deploy()
		r.until("at 25 %", func(in *state.Incident) bool { return in.Production().Weight() == 25 })
		r.must(r.do(state.Arm{Trigger: "R"}))
		told := r.told(true)
		r.must(r.Adopt(told))
		in := r.until("closed", func(in *state.Incident) bool { return len(in.Closed) == 1 })
		if in.Rollback.Status != state.RollbackDone || in.Production().Status != state.RolloutRolledBack || in.Item("10.deploy").Status != state.ItemCancelled || in.Epoch != 1 {
			t.Errorf("rollback %s, rollout %s, deployment %s, epoch %d", in.Rollback.Status, in.Production().Status, in.Item("10.deploy").Status, in.Epoch)
		}
		r.must(r.do(state.Arm{Trigger: "R"}))
		r.must(r.do(state.Fire{Trigger: "R"}))
		r.must(r.Adopt(told)) // the keeper may die before the file is removed
		time.Sleep(time.Hour) // synctest's
		in = r.Incident()
		if in.Rollback.Status != state.RollbackDone || r.world.undone != 0 {
			t.Errorf("an hour later the rollback is %s, run %d times here", in.Rollback.Status, r.world.undone)
		}
		for kind, want := range map[string]int{"rollback.started": 1, "rollback.finished": 1, "attempt.closed": 1} {
			if n := r.counted(kind); n != want {
				t.Errorf("%d of %s", n, kind)
			}
		}
		messages := 0
		for _, m := range in.Messages {
			if m.Purpose == "rollback" {
				messages++
			}
		}
		if messages == 0 {
			t.Error("nobody is told")
		}
	})
}

// TestAdoptedRollbackThatDidNotEnd is finished by the keeper.
func TestAdoptedRollbackThatDidNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(well)()
		r.deploy()
		r.until("at 25 %", func(in *state.Incident) bool { return in.Production().Weight() == 25 })
		r.must(r.Adopt(r.told(true)[:2]))
		r.until("rolled back", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone && len(in.Closed) == 1 })
		if r.world.undone != 1 || r.world.epoch != 2 {
			t.Errorf("run %d times, epoch %d", r.world.undone, r.world.epoch)
		}
	})
}

// TestAdoptedRollbackThatFailed leaves R as it was: armed, it runs.
func TestAdoptedRollbackThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(well)()
		r.deploy()
		r.until("at 25 %", func(in *state.Incident) bool { return in.Production().Weight() == 25 })
		r.must(r.do(state.Arm{Trigger: "R"}))
		r.must(r.Adopt(r.told(false)))
		r.until("rolled back", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone && len(in.Closed) == 1 })
		if r.world.undone != 1 {
			t.Errorf("run %d times", r.world.undone)
		}
	})
}
