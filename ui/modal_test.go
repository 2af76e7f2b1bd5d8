package ui

import (
	"strings"
	"testing"

	"mayday/state"
	"mayday/ui/uitest"
)

// A page that is repeated does not pop up again until somebody acknowledged it, and no
// page stands between the operator and a rollback that counts down.
func TestAPagePopsUpOnceAndMakesWayForARollback(t *testing.T) {
	paged := state.LevelPaged{Role: state.Senior, Who: "dora"}
	with(t, uitest.Canary(), func(r *rig) {
		r.tell(state.Mayday, paged)
		r.shows("The senior engineer was paged")
		r.armedBy("alice")
		if r.m.modal != nil {
			t.Fatalf("%q covers the countdown", r.m.modal.Title())
		}
		r.pause(barGuard)
		r.keys("c")
		r.want("rollback.disarm")
		r.tell("bob", state.RollbackDisarmed{})
		r.shows("The senior engineer was paged")
		r.pause(barGuard)
		r.keys("esc")
		r.tell(state.Mayday, paged)
		if r.m.modal != nil {
			t.Error("the repeated page pops up again")
		}
		r.tell("dora", state.LevelAcked{Role: state.Senior})
		r.tell(state.Mayday, paged)
		r.shows("The senior engineer was paged")
	})
}

// Whatever dialog is open when a rollback is armed, its keys are the rollback's.
func TestAnOpenDialogSaysWhatEnterDoesWhileArmed(t *testing.T) {
	with(t, uitest.Canary(), func(r *rig) {
		r.keys("n")
		r.text("hi")
		r.armedBy("alice")
		r.shows("enter rolls back now, esc or ctrl+c stop: the dialog waits")
		if s := strip(r.m.frame()); strings.Contains(s, "enter save") {
			t.Errorf("the dialog promises to save:\n%s", s)
		}
		r.pause(barGuard)
		r.keys("esc")
		r.want("rollback.disarm")
		r.tell("bob", state.RollbackDisarmed{})
		r.shows("enter save")
		r.keys("enter")
		if v, ok := r.desk.last().(state.AddNote); !ok || v.Text != "hi" {
			t.Errorf("%#v", r.desk.last())
		}
	})
}

// Below a dialog stand no keys that do nothing there.
func TestBelowADialogOnlyItsWaysOut(t *testing.T) {
	with(t, uitest.Canary(), func(r *rig) {
		last := func() string {
			lines := strings.Split(strip(r.m.frame()), "\n")
			return strings.TrimSpace(lines[len(lines)-1])
		}
		r.keys("n")
		if got := last(); got != "esc leave the dialog  ctrl+r rollback  the dialog has the other keys" {
			t.Errorf("a form: %q", got)
		}
		r.keys("esc", "e")
		if got := last(); got != "esc leave the dialog  R rollback  the dialog has the other keys" {
			t.Errorf("a choice: %q", got)
		}
		r.keys("R")
		r.want("rollback.arm")
	})
	m := onFilm(uitest.Canary(), 80, 24)
	m.Update(press("d"))
	if s := strip(m.frame()); strings.Contains(s, "R rollback") || !strings.Contains(s, "esc leave the dialog") {
		t.Errorf("a recording:\n%s", s)
	}
}

// A role that was called at once and called again later is answered once.
func TestEachRoleIsAcknowledgedOnce(t *testing.T) {
	with(t, early(), func(r *rig) {
		r.tell(state.Mayday, state.LevelPaged{Role: state.Manager, Who: "mallory", AtOnce: true})
		r.tell(state.Mayday, state.LevelPaged{Role: state.Manager, Who: "mallory"})
		r.pause(barGuard)
		r.keys("esc", "e")
		s := strip(r.m.frame())
		if n := strings.Count(s, "acknowledge engineering manager"); n != 1 {
			t.Errorf("%d times:\n%s", n, s)
		}
		r.shows("acknowledge engineering manager        mallory  paged 00:00 ago")
	})
}
