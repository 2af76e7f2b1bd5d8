package steps

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// goodRun plays a run to its end and gives its journal.
func goodRun(t *testing.T) []state.Event {
	var events []state.Event
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, withUndo(&undoWorld{}))
		r.until("the last release is known", known)
		defer r.feed(well)()
		r.deploy()
		r.until("deployed", func(in *state.Incident) bool { return in.Item(itemDeploy).Status == state.ItemDone })
		r.must(r.do(state.PassOver{Item: "10.validate", Reason: "test"}))
		r.until("watched", func(in *state.Incident) bool { return in.Item(itemRollback).Status == state.ItemNotNeeded })
		for _, id := range []string{"15.fixed", "17.merge", "17.push"} {
			r.must(r.do(state.PassOver{Item: id, Reason: "test"}))
		}
		r.must(r.do(state.Resolve{RootCause: "a nil profile"}))
		r.bye()
		events = r.journal.all()
	})
	return events
}

// R at every journaled event of a good run, pressed with a keeper that finds just
// that much: production is verified to be back, where mayday's own rollout has begun at
// what ran before it, and until then at what ran before the last release. Where that
// cannot be undone, R is refused until then, with the reason.
func TestRAtEveryEventOfAGoodRun(t *testing.T) {
	events := goodRun(t)
	started, interesting := 0, map[string]bool{}
	for n := range events {
		if _, ok := events[n].Fact.(state.RolloutStarted); ok {
			started = n + 1
		}
	}
	if started == 0 {
		t.Fatal("the run deployed nothing")
	}
	for n := 1; n <= len(events); n++ {
		kind := events[n-1].Fact.Kind()
		// Hundreds of pages and proofs of one kind in a row are one case.
		if n < len(events) && kind == events[n].Fact.Kind() && interesting[kind] {
			continue
		}
		interesting[kind] = true
		t.Run(fmt.Sprintf("%d %s", n, kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { pressAt(t, events[:n], n >= started) })
			if n < started {
				synctest.Test(t, func(t *testing.T) { refusedAt(t, events[:n]) })
			}
		})
	}
}

// refusedAt presses R where nothing was changed and the last release cannot be undone.
func refusedAt(t *testing.T, history []state.Event) {
	time.Sleep(time.Until(history[len(history)-1].Time)) // the bubble's clock is at its start
	r := newRigOn(t, history, withUndo(&undoWorld{refuse: &state.Problem{What: "no earlier version"}}))
	defer r.bye()
	r.until("looked at", func(in *state.Incident) bool { return in.Release.Proof.Ready == state.NotReady })
	before := r.Incident()
	err := r.do(state.Fire{Trigger: "R"})
	var p *state.Problem
	if !errors.As(err, &p) || p.Code != "nothing" || !strings.Contains(p.Why, "no earlier version") || p.Do == "" {
		t.Fatalf("nothing was changed, and R says: %v", err)
	}
	if in := r.Incident(); r.world.undone != 0 || in.Rollback.Status != before.Rollback.Status || in.Epoch != 0 {
		t.Errorf("refused, and yet: %+v, epoch %d", in.Rollback, in.Epoch)
	}
}

func pressAt(t *testing.T, history []state.Event, changed bool) {
	time.Sleep(time.Until(history[len(history)-1].Time)) // the bubble's clock is at its start
	r := newRigOn(t, history, withUndo(&undoWorld{}))
	defer r.bye()
	r.until("R means something", func(in *state.Incident) bool { return in.TakesBack() != nil })
	target, undone := "v1.2.3", ""
	if !changed {
		target, undone = "v1.2.2", state.UndoID
	}
	if err := r.do(state.Fire{Trigger: "R"}); err != nil {
		t.Fatal(err)
	}
	r.until("rolled back", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone && len(in.Closed) == 1 })
	time.Sleep(time.Hour) // whatever comes late has come
	in := r.Incident()
	p := in.Rollout(in.Rollback.Rollout)
	if undone != "" && p.ID != undone || undone == "" && p != in.Production() {
		t.Errorf("R took back %s", p.ID)
	}
	if p.Status != state.RolloutRolledBack || in.Rollback.Verified == "" || in.Item(itemRollback).Status != state.ItemDone {
		t.Errorf("rollout %s, verified %q, item %s", p.Status, in.Rollback.Verified, in.Item(itemRollback).Status)
	}
	if r.world.undone != 1 || r.world.version != target || r.world.epoch != 1 || in.Epoch != 1 {
		t.Errorf("the world: %+v, epoch %d", r.world, in.Epoch)
	}
	for _, s := range in.Steps {
		for _, it := range s.Items {
			if inAttempt(it.ID) && (it.Status == state.ItemRunning || it.Status == state.ItemAsking) {
				t.Errorf("%s is %s after the rollback", it.ID, it.Status)
			}
		}
	}
	if in.Status != state.Identified || !in.Open() {
		t.Errorf("the incident is %s, open %v", in.Status, in.Open())
	}
	r.must(r.do(state.NewAttempt{}))
	if in = r.Incident(); in.Attempt != 2 || in.Item(itemDeploy).Status != state.ItemOpen {
		t.Errorf("attempt %d", in.Attempt)
	}
}

// The keeper dies at every event of a run that a gate ends: whoever takes over
// brings production back, whatever was written by then.
func TestAGatesRollbackSurvivesItsKeeper(t *testing.T) {
	var events []state.Event
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stop := r.feed(broken)
		r.deploy()
		r.until("rolled back", func(in *state.Incident) bool { return len(in.Closed) == 1 })
		stop()
		r.bye()
		events = r.journal.all()
	})
	failed := 0
	for n := range events {
		if g, ok := events[n].Fact.(state.GateDecided); ok && g.State == state.GateFailed {
			failed = n + 1
		}
	}
	if failed == 0 {
		t.Fatal("no gate failed")
	}
	for n := failed; n <= len(events); n++ {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(events[n-1].Time))
			r := newRigOn(t, events[:n])
			defer r.bye()
			in := r.until("rolled back", func(in *state.Incident) bool {
				return in.Rollback.Status == state.RollbackDone && len(in.Closed) == 1
			})
			if in.Production().Status != state.RolloutRolledBack {
				t.Errorf("after event %d %s: %s", n, events[n-1].Fact.Kind(), in.Production().Status)
			}
		})
	}
}
