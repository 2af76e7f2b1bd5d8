package ui

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mayday/state"
	"mayday/ui/theme"
	"mayday/ui/uitest"
)

func TestNoKeyTwice(t *testing.T) {
	for _, in := range []where{live, replaying} {
		seen := map[string]string{}
		for _, b := range table {
			if b.in&in == 0 {
				continue
			}
			for _, k := range b.keys {
				if other, ok := seen[k]; ok {
					t.Errorf("context %d: %q means %q and %q", in, k, other, b.help)
				}
				seen[k] = b.help
			}
			if b.help == "" || b.do == nil {
				t.Errorf("%v has no help or no handler", b.keys)
			}
		}
	}
}

func TestHelpListsAll(t *testing.T) {
	for _, replay := range []bool{false, true} {
		m := still(uitest.Canary(), 140, 45)
		if replay {
			m = onFilm(uitest.Resolved(), 140, 45)
		}
		var text strings.Builder
		for _, l := range m.helpLines() {
			text.WriteString(l.Text + "\n")
		}
		for _, b := range table {
			if has := strings.Contains(text.String(), fmt.Sprintf("%-14s %s", strings.Join(b.keys, " "), b.help)); has != (b.in&m.context() != 0) {
				t.Errorf("replay %v: help of %v listed: %v", replay, b.keys, has)
			}
		}
		for _, v := range verbs {
			if !strings.Contains(text.String(), v.help) {
				t.Errorf("help does not list the command %s", v.name)
			}
		}
	}
}

// still is a model that shows a story at one moment, coloured.
func still(s *uitest.Story, w, h int) *Model {
	m := New(Options{Session: &desk{}, Now: func() time.Time { return uitest.Start }, Theme: theme.New(theme.Options{}), Width: w, Height: h})
	m.scene = s.Scene
	m.scene.Hello.Clock = state.Clock{Origin: uitest.Start, Base: uitest.Now, Speed: 1}
	m.clock()
	return m
}

// Every key is pressed in every scene: none may panic, and one that does nothing
// must say why.
func TestEveryKeyEverywhere(t *testing.T) {
	stories := map[string]func() *uitest.Story{"early": early, "canary": uitest.Canary, "asking": asking, "rolling back": uitest.RollingBack,
		"rolled back": uitest.RolledBack, "failed": uitest.RollbackFailed, "interrupted": uitest.Interrupted, "resolved": uitest.Resolved,
		"nothing yet": func() *uitest.Story { return &uitest.Story{Scene: state.NewScene()} }}
	for name, story := range stories {
		for i := range table {
			b := &table[i]
			if b.in&live == 0 {
				continue
			}
			m := still(story(), 120, 40)
			why := m.disabled(b)
			if why != "" {
				m.Update(press(b.keys[0]))
				if m.said.text == "" && !m.rollbackShown() {
					t.Errorf("%s: %s is disabled (%s) and says nothing", name, b.keys[0], why)
				}
				continue
			}
			m.Update(press(b.keys[0]))
			m.Update(press("enter"))
			uitest.Exact(t, name+" "+b.keys[0]+" enter", m.frame(), 120, 40)
		}
	}
}

func TestEnterDoesTheObvious(t *testing.T) {
	with(t, early(), func(r *rig) {
		r.keys("enter") // 1.state runs at once: it changes nothing
		if v, ok := r.desk.last().(state.Run); !ok || v.Item != "1.state" {
			t.Fatalf("enter on an action: %#v", r.desk.last())
		}
		r.keys("down", "enter")
		r.shows("Who is affected, and how?")
		r.keys("enter") // empty: refused
		r.shows("answer is needed")
		r.text("all")
		r.keys("enter")
		if v, ok := r.desk.last().(state.Tick); !ok || v.Item != "1.impact" || v.Value != "all" {
			t.Fatalf("a text answer: %#v", r.desk.last())
		}
		r.keys("down", "enter")
		r.shows("everything is down or data is being lost")
		r.keys("down", "enter")
		if v, ok := r.desk.last().(state.Tick); !ok || v.Value != "SEV2" {
			t.Fatalf("a choice: %#v", r.desk.last())
		}
		r.keys("down", "enter")
		if !strings.Contains(r.status(), "Hotfix or normal release waits for Severity") {
			t.Errorf("a blocked item says %q", r.status())
		}
	})
}

func TestChangesAreConfirmedWithTheirCommands(t *testing.T) {
	with(t, early(), func(r *rig) {
		r.m.list.Select("3.branch")
		r.keys("enter")
		r.want("") // nothing ran yet
		r.shows("git push origin hotfix/1.2.4")
		r.keys("esc")
		r.want("")
		r.keys("enter", "enter")
		r.want("item.run")
	})
	with(t, early(), func(r *rig) {
		r.desk.fail["item.preview"] = &state.Problem{What: "the tree is dirty", Do: "Commit or stash first."}
		r.m.list.Select("3.branch")
		r.keys("enter")
		r.shows("the tree is dirty")
		r.shows("Commit or stash first.")
		r.keys("enter")
		r.want("") // what cannot be shown is not run
	})
}

func TestSignOff(t *testing.T) {
	with(t, early(), func(r *rig) {
		r.keys("s")
		r.shows("+new")
		r.keys("down", "tab", "enter") // reject without words
		r.want("")
		r.shows("a rejection needs a comment")
		r.text("no")
		r.keys("enter")
		if v, ok := r.desk.last().(state.Sign); !ok || !v.Reject || v.Comment != "no" {
			t.Errorf("%#v", r.desk.last())
		}
	})
	with(t, early().Tell(time.Minute, "bob", state.ItemFinished{Item: "6.commit", Outcome: state.ItemDone}).
		Tell(time.Minute, "bob", state.ItemStarted{Item: "6.commit", Run: "x"}), func(r *rig) {
		r.keys("s") // the rig's user is bob, who committed
		r.shows("somebody else must sign")
		r.keys("enter")
		r.want("")
	})
}

func TestGoOn(t *testing.T) {
	with(t, asking(), func(r *rig) {
		r.shows("no data for 15 s")
		r.shows("enter decides, R rolls back")
		r.keys("enter", "down", "enter", "enter")
		r.want("")
		r.shows("passing a gate on your word needs a reason")
		r.text("seen")
		r.keys("enter")
		if v, ok := r.desk.last().(state.GoOn); !ok || !v.Accept || v.Reason != "seen" {
			t.Errorf("%#v", r.desk.last())
		}
	})
	with(t, uitest.Interrupted(), func(r *rig) {
		r.keys("g")
		r.shows("is interrupted")
		r.keys("ctrl+s")
		r.want("rollout.go-on")
	})
}

func TestUpdateDraft(t *testing.T) {
	with(t, early(), func(r *rig) {
		r.keys("u")
		r.shows("We are investigating for stakeholders")
		r.keys("down", "tab", "down") // customers, identified
		r.shows("We are identified for customers")
		r.keys("tab", "tab")
		r.text("!")
		r.keys("shift+tab", "shift+tab", "down")
		r.shows("!We are identified for customers") // edited by hand: kept
		r.keys("ctrl+s")
		want := state.PostUpdate{Audience: "customers", Status: state.Fixing, Text: "!We are identified for customers"}
		if got := r.desk.last(); got != want {
			t.Errorf("sent %#v, want %#v", got, want)
		}
	})
}

func TestPagePopsUp(t *testing.T) {
	with(t, early(), func(r *rig) {
		r.keys("n")
		r.tell(state.Mayday, state.LevelPaged{Role: state.Senior, Who: "dora"})
		if r.m.modal.Title() != "Note" {
			t.Fatal("a page interrupted a note")
		}
		r.keys("esc")
		r.shows("The senior engineer was paged")
		r.send(press("a")) // in flight
		r.want("")
		r.pause(barGuard)
		r.keys("a")
		if v, ok := r.desk.last().(state.Ack); !ok || v.Role != state.Senior {
			t.Errorf("%#v", r.desk.last())
		}
	})
}

func TestRefusalsAreSaid(t *testing.T) {
	with(t, early(), func(r *rig) {
		r.desk.fail["item.run"] = errors.New("disk full\x1b[31m")
		r.keys("enter")
		r.shows("disk full")
		r.desk.fail["item.run"] = nil
		r.desk.mute["item.run"] = true
		r.keys("enter")
		r.pause(askTime + time.Second)
		r.shows("the keeper did not answer")
	})
}

func TestCommands(t *testing.T) {
	with(t, early(), func(r *rig) {
		type line struct {
			typed string
			want  state.Intent
		}
		for _, c := range []line{
			{"note hi", state.AddNote{Text: "hi"}},
			{"role driver=eve", state.SetRole{Role: "driver", Person: "eve"}},
			{"snooze senior engineer=5m", state.Snooze{Role: state.Senior, For: state.Duration(5 * time.Minute)}},
			{"sev 0 worse", state.SetSeverity{To: 0, Reason: "worse"}},
			{"ack", state.Ack{}},
			{"check 1.impact all", state.Tick{Item: "1.impact", Value: "all"}},
			{"approve ok", state.Sign{Item: "6.signoff", Comment: "ok"}},
		} {
			r.keys(":")
			for _, ch := range c.typed {
				if ch == ' ' {
					r.keys("space")
				} else {
					r.keys(string(ch))
				}
			}
			r.keys("enter")
			if got := r.desk.last(); got != c.want {
				t.Errorf("%q sent %#v, want %#v (%s)", c.typed, got, c.want, r.status())
			}
		}
		r.keys(":", "g", "o", "t", "tab", "3", "tab", "enter")
		if r.m.list.Chosen() != "3.branch" {
			t.Errorf("completion went to %q", r.m.list.Chosen())
		}
	})
}

func TestQuitAsksOnlyWhenNeeded(t *testing.T) {
	with(t, uitest.Canary(), func(r *rig) {
		r.m.scene.Hello.Keeping = true
		r.keys("q")
		r.shows("A rollout is running: v1.2.4 to production.")
		if r.quit {
			t.Fatal("quit without asking")
		}
		r.keys("enter")
		if !r.quit {
			t.Fatal("did not quit when told to")
		}
	})
	with(t, uitest.Canary(), func(r *rig) { // another process keeps
		r.keys("q")
		if !r.quit {
			t.Error("asked although nothing is left alone")
		}
	})
}

// Watching a rollout and coming back is one key each way, and the hint never names
// an enter that belongs to another pane.
func TestVisitingARolloutLeadsBack(t *testing.T) {
	with(t, uitest.Canary(), func(r *rig) {
		r.keys("enter")
		if r.m.tab != tabRollout || !r.m.zoom {
			t.Fatalf("enter on a running rollout shows tab %d, zoom %v", r.m.tab, r.m.zoom)
		}
		r.shows("esc goes back to the checklist")
		r.keys("enter")
		if r.m.tab != tabList || r.m.zoom {
			t.Errorf("enter leads to tab %d, zoom %v", r.m.tab, r.m.zoom)
		}
		r.keys("enter", "esc")
		if r.m.tab != tabList || r.m.zoom {
			t.Errorf("esc leads to tab %d, zoom %v", r.m.tab, r.m.zoom)
		}
	})
}
