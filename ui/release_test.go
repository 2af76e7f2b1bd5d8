package ui

import (
	"strings"
	"testing"
	"time"

	"mayday/state"
)

// TestRUndoesTheLastRelease: before mayday's own rollout the header, the bar and the
// pane say that it is the last release that R takes back, and from what to what.
func TestRUndoesTheLastRelease(t *testing.T) {
	with(t, release(), func(r *rig) {
		r.shows("v1.2.3 → v1.2.2 READY")
		r.keys("R")
		r.want("rollback.arm")
		r.armedBy("bob")
		r.shows("UNDO THE LAST RELEASE: v1.2.3 back to v1.2.2")
		r.keys("enter")
		r.want("rollback.arm rollback.fire")
		u := r.m.scene.Incident.Release.Undo
		r.tell("bob", state.RollbackStarted{Rollout: state.UndoID, Target: u.Target, Epoch: 1, Trigger: "R", Ops: u.Inverse})
		r.shows("UNDOING v1.2.3, back to v1.2.2")
		r.shows("app-stable back to v1.2.2")
		r.tell(state.Mayday, state.RollbackFinished{Done: true, Verified: "v1.2.2 answered 50 of 50 requests"})
		r.tell(state.Mayday, state.AttemptClosed{N: 1, Outcome: "undone"})
		r.shows("rolled back to v1.2.2")
	})
}

// TestOwnPlanDoesNotHideTheUndo: R means the last release until mayday's rollout has
// begun, and the header says what R means.
func TestOwnPlanDoesNotHideTheUndo(t *testing.T) {
	s := release()
	p := state.Plan{ID: "r1", Production: true, Strategy: "rolling", Version: "v1.2.4", Target: "v1.2.3", Stages: []state.Stage{{Name: "all"}}}
	s.Tell(s.Last()+time.Second, "bob", state.RolloutLaid{Plan: p, Item: "10.deploy"})
	s.Tell(s.Last(), state.Mayday, state.RollbackProven{Rollout: "r1", Proof: state.Proof{Ready: state.Ready, Target: "v1.2.3"}})
	line := func() string { return strings.Split(strip(still(s, 140, 45).frame()), "\n")[1] }
	if l := line(); !strings.Contains(l, "v1.2.3 → v1.2.2 READY") {
		t.Errorf("with a plan: %q", l)
	}
	s.Tell(s.Last(), "bob", state.RolloutStarted{Rollout: "r1", Item: "10.deploy"})
	if l := line(); strings.Contains(l, "v1.2.2") || !strings.Contains(l, "v1.2.3 READY") {
		t.Errorf("with a rollout: %q", l)
	}
}
