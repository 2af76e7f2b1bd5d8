package steps

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// undoWorld is a world whose last release can be undone, or not.
type undoWorld struct {
	*world
	refuse error
	hang   bool
	plans  int
	before string // what ran before
}

func (w *undoWorld) PlanUndo(ctx context.Context, o Order) (state.Plan, error) {
	w.mu.Lock()
	w.plans++
	hang, refuse, before := w.hang, w.refuse, w.before
	w.mu.Unlock()
	if hang {
		<-ctx.Done()
		return state.Plan{}, ctx.Err()
	}
	if refuse != nil {
		return state.Plan{}, refuse
	}
	return state.Plan{ID: o.ID, Strategy: "canary", Version: "v1.2.3", Target: before, Revision: "app-6d4",
		Inverse: []state.Op{{ID: "stable", Title: "back", Command: "kubectl rollout undo"}}}, nil
}

// set changes the world while the Engine runs.
func (w *undoWorld) set(f func(*undoWorld)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w)
}

// withUndo gives a rig that can undo the last release.
func withUndo(w *undoWorld) func(*rig, *Options) {
	return func(r *rig, o *Options) {
		w.world = r.world
		if w.before == "" {
			w.before = "v1.2.2"
		}
		o.Strategies = map[string]Strategy{"canary": w}
	}
}

func known(in *state.Incident) bool { return !in.Release.Since.IsZero() }

// TestRUndoesTheLastRelease: from the declaration on R means that, arms with its
// grace, runs in the rollback's lane and ends like any rollback; after it R says
// "already", in this attempt and the next, until mayday begins a rollout of its own.
func TestRUndoesTheLastRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &undoWorld{}
		r := newRig(t, withUndo(w))
		defer r.bye()
		defer r.feed(well)()
		in := r.until("known", known)
		if in.Release.Proof.Ready != state.Ready || in.TakesBack() == nil || in.TakesBack().Target != "v1.2.2" {
			t.Fatalf("%+v", in.Release)
		}
		r.must(r.do(state.Arm{Trigger: "R"}))
		if rb := r.Incident().Rollback; rb.Status != state.RollbackArmed {
			t.Fatalf("armed: %+v", rb)
		}
		r.must(r.do(state.Disarm{}))
		time.Sleep(time.Minute)
		if r.world.undone != 0 {
			t.Fatal("it ran although it was stopped")
		}
		r.must(r.do(state.Arm{Trigger: "R"}))
		in = r.until("undone", func(in *state.Incident) bool { return len(in.Closed) == 1 })
		if in.Rollback.Status != state.RollbackDone || in.Release.Undo.Status != state.RolloutRolledBack || r.world.version != "v1.2.2" || r.world.epoch != 1 || in.Epoch != 1 {
			t.Errorf("%+v, world %+v", in.Rollback, r.world)
		}
		if it := in.Item(itemRollback); it.Status != state.ItemDone || in.Status != state.Identified || !strings.Contains(in.Closed[0].Outcome, "v1.2.3 back to v1.2.2") {
			t.Errorf("item %s, incident %s, outcome %q", it.Status, in.Status, in.Closed[0].Outcome)
		}
		if in.Facts["production"] != "v1.2.2" || in.Facts["baseline"] != "v1.2.2" || in.Facts["running"] != "v1.2.2" {
			t.Errorf("facts: %v", in.Facts)
		}
		before := r.Incident().Seq
		for range 2 {
			r.must(r.do(state.Arm{Trigger: "R"}))
			r.must(r.do(state.Fire{Trigger: "R"}))
			if _, err := Target(r.Incident()); !state.HasCode(err, "already") {
				t.Errorf("R again: %v", err)
			}
			if r.Incident().Attempt == 1 {
				r.must(r.do(state.NewAttempt{}))
				before++
			}
		}
		time.Sleep(time.Hour)
		if r.world.undone != 1 {
			t.Errorf("undone %d times", r.world.undone)
		}
		for _, e := range r.Events()[before:] {
			if k := e.Fact.Kind(); strings.HasPrefix(k, "rollback.") || strings.HasPrefix(k, "release.") {
				t.Errorf("event %d: %s", e.Seq, k)
			}
		}
	})
}

// TestOwnRolloutTakesRBack: once mayday's own rollout has begun, R means that one.
func TestOwnRolloutTakesRBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, withUndo(&undoWorld{}))
		defer r.bye()
		defer r.feed(well)()
		r.until("known", known)
		r.settle() // a plan is not yet a rollout
		if x := r.Incident().TakesBack(); x == nil || x.ID != state.UndoID {
			t.Errorf("with a plan R takes back %+v", x)
		}
		r.must(r.do(state.Run{Item: "10.deploy"}))
		r.until("at 25 %", func(in *state.Incident) bool { return in.Production().Weight() == 25 })
		r.must(r.do(state.Fire{Trigger: "R"}))
		in := r.until("rolled back", func(in *state.Incident) bool { return len(in.Closed) == 1 })
		if in.Rollback.Rollout != "r1" || r.world.version != "v1.2.3" || in.Facts["running"] != "" {
			t.Errorf("R took back %s, to %s", in.Rollback.Rollout, r.world.version)
		}
		if _, err := Target(in); !state.HasCode(err, "already") {
			t.Errorf("R again: %v", err)
		}
	})
}

// TestReleaseIsLookedAtAgain: the answer is journaled when it changes, not every time,
// and a look that hangs holds up nothing and is the reason given.
func TestReleaseIsLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &undoWorld{refuse: &state.Problem{Code: "no-target", What: "no earlier version", Why: "1 revision", Do: "x"}}
		r := newRig(t, withUndo(w))
		defer r.bye()
		answers := func() (n int) { return r.counted("release.proven") }
		in := r.until("known", known)
		if err := r.do(state.Fire{Trigger: "R"}); !state.HasCode(err, "nothing") || !strings.Contains(err.Error(), "no earlier version") {
			t.Errorf("R: %v", err)
		}
		time.Sleep(10 * time.Minute)
		looked := 0
		w.set(func(w *undoWorld) { looked = w.plans })
		if looked < 15 || answers() != 1 || in.TakesBack() != nil {
			t.Errorf("looked %d times, said %d times", looked, answers())
		}
		w.set(func(w *undoWorld) { w.refuse = nil })
		r.until("there is something", func(in *state.Incident) bool { return in.TakesBack() != nil })
		w.set(func(w *undoWorld) { w.hang = true })
		in = r.until("it hangs", func(in *state.Incident) bool { return in.TakesBack() == nil })
		if why := in.Release.Proof.Why; why == "" {
			t.Error("no reason is given")
		}
		w.set(func(w *undoWorld) { w.hang, w.before = false, "v1.2.1" })
		in = r.until("another answer", func(in *state.Incident) bool { return in.TakesBack() != nil })
		if in.TakesBack().Target != "v1.2.1" || answers() != 4 {
			t.Errorf("back to %s, said %d times", in.TakesBack().Target, answers())
		}
	})
}

// TestGitAndClusterDiffer: that is said, and the cluster has the last word.
func TestGitAndClusterDiffer(t *testing.T) {
	for _, c := range []struct {
		now, before, migrated, says string
		ready                       state.Readiness
	}{
		{"", "", "", "", state.Ready},
		{"v1.2.3", "v1.2.2", "", "", state.Ready},
		{"1.2.3", "1.2.2", "", "", state.Ready},
		{"v1.2.3", "v1.2.2", "0007.sql", "v1.2.3 came with 0007.sql, and the database stays migrated", state.Doubtful},
		{"v1.2.3", "v1.2.1", "", "before v1.2.3 the cluster ran v1.2.2, git says v1.2.1", state.Doubtful},
		{"v1.2.9", "v1.2.2", "", "the cluster runs v1.2.3, git says v1.2.9", state.Doubtful},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, withUndo(&undoWorld{}))
			defer r.bye()
			r.until("known", known)
			r.must(r.Record(state.FactsFound{Facts: map[string]string{"production.tag": c.now, "production.from": c.before, "production.migrations": c.migrated}}))
			time.Sleep(time.Minute)
			in := r.Incident()
			if p := in.Release.Proof; p.Ready != c.ready || !strings.Contains(p.Why, c.says) || in.TakesBack().Target != "v1.2.2" {
				t.Errorf("%s %s: %+v", c.now, c.before, p)
			}
		})
	}
}

// TestUndoThatFails can be pressed again, with the same plan, and the incident cannot
// be resolved on it.
func TestUndoThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &undoWorld{}
		r := newRig(t, withUndo(w))
		defer r.bye()
		r.until("known", known)
		w.set(func(w *undoWorld) { w.rollErr = errors.New("no pods") })
		r.must(r.do(state.Fire{Trigger: "R"}))
		in := r.until("failed", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackFailed })
		if len(in.Rollback.Manual) == 0 || len(in.Closed) != 0 {
			t.Errorf("%+v, closed %d", in.Rollback, len(in.Closed))
		}
		if err := settled(in); err == nil {
			t.Error("it could be resolved")
		}
		w.set(func(w *undoWorld) {
			w.rollErr = nil
			w.refuse = &state.Problem{What: "what is half done cannot be planned"}
		})
		time.Sleep(5 * time.Minute)
		r.must(r.do(state.Fire{Trigger: "R"}))
		r.until("undone", func(in *state.Incident) bool { return len(in.Closed) == 1 })
		if r.world.version != "v1.2.2" || r.world.epoch != 2 {
			t.Errorf("world %+v", r.world)
		}
	})
}

// TestUndoSurvivesItsKeeper: killed at every event from R on, the next keeper ends it.
func TestUndoSurvivesItsKeeper(t *testing.T) {
	var events []state.Event
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, withUndo(&undoWorld{}))
		r.until("known", known)
		r.must(r.do(state.Arm{Trigger: "R"}))
		r.until("undone", func(in *state.Incident) bool { return len(in.Closed) == 1 })
		r.bye()
		events = r.journal.all()
	})
	from := 0
	for n := range events {
		if events[n].Fact.Kind() == "rollback.armed" {
			from = n + 1
		}
	}
	if from == 0 {
		t.Fatal("never armed")
	}
	for n := from; n <= len(events); n++ {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(events[n-1].Time))
			w := &undoWorld{}
			r := newRigOn(t, events[:n], withUndo(w))
			defer r.bye()
			r.until("undone", func(in *state.Incident) bool { return in.Undone() && len(in.Closed) == 1 })
			r.until("people are told", func(in *state.Incident) bool {
				for _, m := range in.Messages {
					if m.Purpose == "rollback" {
						return true
					}
				}
				return false
			})
			time.Sleep(time.Hour)
			in := r.Incident()
			if len(in.Closed) != 1 || in.Facts["running"] != "v1.2.2" || in.Status != state.Identified {
				t.Errorf("after event %d %s: closed %d, facts %v, %s", n, events[n-1].Fact.Kind(), len(in.Closed), in.Facts, in.Status)
			}
			r.must(r.do(state.NewAttempt{}))
			time.Sleep(time.Hour)
			if in = r.Incident(); in.Attempt != 2 || len(in.Closed) != 1 {
				t.Errorf("after event %d the second attempt was closed too", n)
			}
		})
	}
}

// TestAdoptedUndo: another process undid the release while the keeper did not answer.
func TestAdoptedUndo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, withUndo(&undoWorld{}))
		defer r.bye()
		r.until("known", known)
		told := r.told(true)
		s := told[0].Fact.(state.RollbackStarted)
		s.Rollout, s.Target = state.UndoID, "v1.2.2"
		told[0].Fact = s
		r.must(r.Adopt(told))
		in := r.until("closed", func(in *state.Incident) bool { return len(in.Closed) == 1 })
		r.must(r.do(state.Fire{Trigger: "R"}))
		if !in.Undone() || in.Facts["running"] != "v1.2.2" || r.world.undone != 0 {
			t.Errorf("%+v, undone here %d times", in.Release.Undo.Status, r.world.undone)
		}
	})
}

// TestRollbackToAnotherVersion is refused, with the one that is proven.
func TestRollbackToAnotherVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, withUndo(&undoWorld{}))
		defer r.bye()
		r.until("known", known)
		for _, i := range []state.Intent{state.Arm{Version: "v1.2.1"}, state.Fire{Version: "v1.2.1"}} {
			if err := r.do(i); !state.HasCode(err, "other-version") || !strings.Contains(err.Error(), "v1.2.2") {
				t.Errorf("%s: %v", i.Verb(), err)
			}
		}
		if s := r.Incident().Rollback.Status; s != "" {
			t.Errorf("the rollback is %s", s)
		}
		for _, v := range []string{"previous", "v1.2.2"} {
			r.must(r.do(state.Arm{Version: v}))
			r.must(r.do(state.Disarm{}))
		}
	})
}
