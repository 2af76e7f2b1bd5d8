package ui

import (
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"mayday/state"
	"mayday/ui/uitest"
)

// everywhere opens each thing that can lie over the cockpit.
var everywhere = []struct {
	name  string
	story func() *uitest.Story
	open  []string
	typed bool // a text field has the focus: R is a letter there
}{
	{"cockpit", uitest.Canary, nil, false},
	{"metrics", uitest.Canary, []string{"2"}, false},
	{"timeline", uitest.Canary, []string{"3", "enter"}, false},
	{"output in full size", uitest.Canary, []string{"5", "z"}, false},
	{"help", uitest.Canary, []string{"?"}, false},
	{"details", uitest.Canary, []string{"d"}, false},
	{"escalate", uitest.Canary, []string{"e"}, false},
	{"severity", uitest.Canary, []string{"S"}, false},
	{"cancel", uitest.Canary, []string{"C"}, false},
	{"go on", asking, []string{"g"}, false},
	{"go on, reason", asking, []string{"g", "tab"}, true},
	{"confirm", early, []string{":", "g", "o", "t", "o", "space", "3", ".", "b", "r", "a", "n", "c", "h", "enter", "enter"}, false},
	{"sign-off", early, []string{"s"}, false},
	{"sign-off, comment", early, []string{"s", "tab"}, true},
	{"severity item", early, []string{"down", "down", "enter"}, false},
	{"text answer", early, []string{"down", "enter"}, true},
	{"note", uitest.Canary, []string{"n"}, true},
	{"override", uitest.Canary, []string{"4", "1", "up", "X"}, true},
	{"update", uitest.Canary, []string{"u"}, false},
	{"update, expected", uitest.Canary, []string{"u", "tab", "tab"}, true},
	{"update, message", uitest.Canary, []string{"u", "tab", "tab", "tab"}, true},
	{"command", uitest.Canary, []string{":"}, true},
	{"filter", uitest.Canary, []string{"/"}, true},
}

func TestRArmsEverywhere(t *testing.T) {
	for _, c := range everywhere {
		t.Run(c.name, func(t *testing.T) {
			with(t, c.story(), func(r *rig) {
				r.keys(c.open...)
				if r.m.typing() != c.typed {
					t.Fatalf("typing is %v, want %v (status: %q)", r.m.typing(), c.typed, r.status())
				}
				r.keys("R")
				if c.typed {
					if r.want(""); strings.Contains(strip(r.m.frame()), "ROLLING") {
						t.Error("R in a text field armed")
					}
					r.keys("ctrl+r")
				}
				r.want("rollback.arm")
				r.armedBy("bob")
				r.shows("ROLLING BACK to ")
				r.keys("R", "R", "ctrl+r") // more of them change nothing
				r.want("rollback.arm")
				r.keys("enter")
				r.want("rollback.arm rollback.fire")
			})
			with(t, c.story(), func(r *rig) {
				r.keys(c.open...)
				r.keys("ctrl+r")
				r.armedBy("bob")
				r.keys("c") // armed here, so the bar has the keys, in a text field too
				r.want("rollback.arm rollback.disarm")
				r.tell("bob", state.RollbackDisarmed{})
				if r.m.armed() {
					t.Error("still armed")
				}
			})
		})
	}
}

func TestEscStops(t *testing.T) {
	with(t, uitest.Canary(), func(r *rig) {
		r.keys("n", "R", "ctrl+r")
		r.armedBy("bob")
		r.keys("esc")
		r.want("rollback.arm rollback.disarm")
		if r.m.modal == nil || r.m.modal.Values()["text"] != "R" {
			t.Error("the note under way was lost")
		}
	})
}

// A colleague's arming must not be answered by what is being typed.
func TestArmedElsewhereWhileTyping(t *testing.T) {
	with(t, uitest.Canary(), func(r *rig) {
		r.keys("n")
		r.text("be")
		r.armedBy("alice")
		r.text("cause")
		if got := r.m.modal.Values()["text"]; got != "because" {
			t.Errorf("note %q, want \"because\"", got)
		}
		r.shows("armed by alice")
		r.shows("esc or ctrl+c stop")
		r.keys("esc")
		r.want("rollback.disarm")
	})
	with(t, uitest.Canary(), func(r *rig) {
		r.armedBy("alice")
		r.send(press("enter")) // in flight
		r.want("")
		if !strings.Contains(r.status(), "ignored") {
			t.Errorf("status %q does not say that enter was ignored", r.status())
		}
		r.pause(barGuard)
		r.keys("enter")
		r.want("rollback.fire")
	})
	with(t, uitest.Canary(), func(r *rig) {
		r.armedBy("alice")
		r.keys("c")
		r.want("rollback.disarm")
	})
}

func TestPastedRIsNoR(t *testing.T) {
	with(t, uitest.Canary(), func(r *rig) {
		r.send(tea.PasteMsg{Content: "Rollback"})
		r.pause(time.Second)
		r.want("")
		if !strings.Contains(r.status(), "R inside pasted text was ignored") {
			t.Errorf("status %q", r.status())
		}
		if _, ok := r.desk.last().(state.Remark); !ok {
			t.Errorf("the journal was not told: %#v", r.desk.last())
		}
	})
	// A terminal that does not mark pastes sends them as keys, all at once.
	for _, text := range []string{"Restart", "staRt", "stoR"} {
		with(t, uitest.Canary(), func(r *rig) {
			r.keys("3")
			r.pause(time.Second)
			for _, c := range text {
				r.send(press(string(c)))
				if r.m.modal != nil {
					r.m.modal = nil
				}
				r.m.prompt = nil
			}
			if !strings.Contains(r.status(), "R was ignored") {
				t.Errorf("%q: status %q", text, r.status())
			}
			r.pause(time.Second)
			if strings.Contains(r.desk.verbs(), "rollback") {
				t.Errorf("%q armed: %s", text, r.desk.verbs())
			}
		})
	}
}

func TestSilentKeeper(t *testing.T) {
	silent := func(r *rig) { r.desk.mute["rollback.arm"], r.desk.mute["rollback.fire"] = true, true }
	with(t, uitest.Canary(), func(r *rig) {
		silent(r)
		r.keys("R")
		r.pause(1200 * time.Millisecond)
		r.shows("the keeper does not answer: from this process")
		if r.desk.here != 0 {
			t.Fatal("rolled back before the grace was over")
		}
		r.pause(2 * time.Second)
		if r.desk.here != 1 {
			t.Fatalf("rolled back here %d times after the grace, want 1", r.desk.here)
		}
	})
	with(t, uitest.Canary(), func(r *rig) {
		silent(r)
		r.keys("R")
		r.pause(1200 * time.Millisecond)
		r.keys("c")
		r.pause(5 * time.Second)
		if r.desk.here != 0 {
			t.Error("c did not stop the rollback of this process")
		}
	})
	with(t, uitest.Canary(), func(r *rig) {
		r.desk.mute["rollback.fire"] = true
		r.keys("R")
		r.armedBy("bob")
		r.keys("enter")
		r.pause(1200 * time.Millisecond)
		if r.desk.here != 1 {
			t.Errorf("fire without an answer: rolled back here %d times, want 1", r.desk.here)
		}
	})
	with(t, uitest.Canary(), func(r *rig) {
		r.desk.fail["rollback.arm"] = errGone // the socket is gone: that is silence too
		r.keys("R")
		r.pause(4 * time.Second)
		if r.desk.here != 1 {
			t.Errorf("keeper gone: rolled back here %d times, want 1", r.desk.here)
		}
	})
}

// A keeper that was silent for more than a second finds R when it goes on: nothing must
// run twice, and nothing at all that was stopped.
func TestAKeeperThatAnswersLate(t *testing.T) {
	late := func(r *rig) {
		e := state.Event{Seq: r.m.scene.Incident.Seq + 1, Time: r.m.now, Actor: r.m.scene.Hello.You,
			Fact: state.RollbackPrimed{Deadline: time.Now().Add(3 * time.Second), Trigger: "R"}}
		r.send(framesMsg{{Event: &e}})
	}
	silent := func(r *rig) {
		r.desk.mute["rollback.arm"] = true
		r.keys("R")
		r.pause(1200 * time.Millisecond)
		r.shows("the keeper does not answer: from this process")
	}
	with(t, uitest.Canary(), func(r *rig) { // it was stopped: the keeper is told
		silent(r)
		r.keys("c")
		r.want("rollback.arm rollback.disarm")
	})
	with(t, uitest.Canary(), func(r *rig) { // it counts down here: the keeper does it now
		silent(r)
		late(r)
		r.pause(2500 * time.Millisecond)
		if r.want("rollback.arm"); r.desk.here != 0 {
			t.Error("this process rolled back beside the keeper")
		}
		r.keys("c")
		r.want("rollback.arm rollback.disarm")
	})
	with(t, uitest.Canary(), func(r *rig) { // and dies of it: then this process does
		silent(r)
		r.desk.mute["rollback.fire"] = true
		late(r)
		r.pause(7 * time.Second)
		if r.desk.here != 1 {
			t.Errorf("rolled back here %d times, want 1", r.desk.here)
		}
	})
	with(t, uitest.Canary(), func(r *rig) { // it runs here: the keeper must not begin, too
		silent(r)
		r.desk.hold = make(chan struct{})
		r.keys("enter")
		late(r)
		r.want("rollback.arm rollback.disarm")
		close(r.desk.hold)
		if err := r.m.here.wait(); err != nil {
			t.Error(err)
		}
	})
	with(t, uitest.Canary(), func(r *rig) { // a colleague's R is the colleague's
		silent(r)
		r.desk.hold = make(chan struct{})
		r.keys("enter")
		r.armedBy("alice")
		r.want("rollback.arm")
		close(r.desk.hold)
	})
	with(t, uitest.Canary(), func(r *rig) { // the deed came, the answer did not
		r.desk.mute["rollback.arm"] = true
		r.keys("R")
		late(r)
		r.pause(2500 * time.Millisecond)
		if r.desk.here != 0 {
			t.Error("this process rolled back beside the keeper")
		}
	})
}

// TestQuitSaysWhatIsArmedHere: who leaves is told that it will be done.
func TestQuitSaysWhatIsArmedHere(t *testing.T) {
	with(t, uitest.Canary(), func(r *rig) {
		r.desk.mute["rollback.arm"] = true
		r.keys("R")
		r.pause(1200 * time.Millisecond)
		r.keys("q")
		r.shows("A rollback is armed; it will be run before the process ends.")
		if r.quit {
			t.Error("it quit")
		}
	})
}

func TestRefusedR(t *testing.T) {
	with(t, early(), func(r *rig) {
		r.desk.fail["rollback.arm"] = errRefused
		r.keys("R")
		r.pause(5 * time.Second)
		if r.desk.here != 0 {
			t.Error("a keeper that said no was overruled")
		}
		r.shows("there is nothing to roll back")
	})
}

// A keeper that died after it armed is fired again, and then replaced.
func TestForgottenArm(t *testing.T) {
	with(t, uitest.Canary(), func(r *rig) {
		r.desk.mute["rollback.fire"] = true
		r.keys("R")
		r.armedBy("bob")
		r.pause(7 * time.Second)
		r.want("rollback.arm rollback.fire")
		if r.desk.here != 1 {
			t.Errorf("rolled back here %d times, want 1", r.desk.here)
		}
	})
}

func TestQuitDoesNotAbandonTheRollback(t *testing.T) {
	with(t, uitest.Canary(), func(r *rig) {
		r.desk.mute["rollback.arm"] = true
		r.desk.hold = make(chan struct{})
		r.keys("R")
		r.pause(5 * time.Second)
		if r.m.here == nil || r.m.here.over() {
			t.Fatal("no rollback runs here")
		}
		close(r.desk.hold)
		if err := r.m.here.wait(); err != nil {
			t.Error(err)
		}
	})
}

// esc and a key close together arrive as that key with alt.
func TestEscAndRTogether(t *testing.T) {
	with(t, uitest.Canary(), func(r *rig) {
		r.keys("?")
		r.send(tea.KeyPressMsg{Code: 'r', Mod: tea.ModCtrl | tea.ModAlt})
		r.pause(time.Second)
		r.want("rollback.arm")
		if r.m.modal != nil {
			t.Error("esc was lost")
		}
	})
	with(t, uitest.Canary(), func(r *rig) {
		r.keys("n")
		r.send(tea.KeyPressMsg{Code: 'r', Mod: tea.ModCtrl | tea.ModAlt})
		r.want("rollback.arm")
	})
	with(t, uitest.Canary(), func(r *rig) {
		r.keys("?")
		r.send(tea.KeyPressMsg{Code: 'r', ShiftedCode: 'R', Mod: tea.ModShift | tea.ModAlt})
		r.pause(time.Second)
		r.want("")
		if !strings.Contains(r.status(), "R was ignored") {
			t.Errorf("status %q", r.status())
		}
	})
}
