package ui

import (
	"errors"
	"fmt"
	"slices"
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
			if has := strings.Contains(text.String(), fmt.Sprintf("%-14s %s", strings.Join(b.keys, " "), b.help)); has != (b.in&m.context() != 0 && !(replay && b.acts)) {
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

// signed is a story whose runbook has allowed signers.
func signed(s *uitest.Story) *uitest.Story {
	return s.Tell(time.Minute, state.Mayday, state.FactsFound{Facts: map[string]string{"review.signers": "/srv/shop/signers"}})
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
	// With allowed signers only a key approves; to say no takes none.
	with(t, signed(early()), func(r *rig) {
		r.keys("s")
		r.shows("by an SSH signature with a key of /srv/shop/signers")
		r.shows("mayday approve --incident")
		r.keys("tab")
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

func TestArmedDoubtIsSaid(t *testing.T) {
	with(t, releaseArmed(), func(r *rig) {
		r.shows("the rollback counts down: enter runs it now, c stops it")
		r.tell(state.Mayday, state.ReleaseProven{Proof: state.Proof{Ready: state.Doubtful, Target: "v1.2.2", Why: "git knows no v1.2.2"}, Plan: plan(r.m.scene.Incident.Release.Undo)})
		r.shows("DOUBTFUL: git knows no v1.2.2")
	})
}

// plan is the plan that a rollout came from, as far as its way back goes.
func plan(r state.Rollout) *state.Plan {
	return &state.Plan{ID: r.ID, Environment: r.Environment, Production: true, Strategy: r.Strategy, Version: r.Version, Target: r.Target, Revision: r.Revision, Inverse: r.Inverse}
}

// Whatever else is cut, these stand in the two lines above and the last one below.
func TestTheHeadKeepsDriverCountdownsAndR(t *testing.T) {
	for _, story := range []func() *uitest.Story{release, uitest.Canary, noRelease} {
		for _, w := range []int{60, 64, 72, 80, 99, 100, 140, 200} {
			m := still(story(), w, 24)
			in := m.scene.Incident
			in.Title = strings.Repeat("決済ゲートウェイ停止 payments ", 8)
			in.Roles[state.Driver] = "Maria-Magdalena de la Concepción y Fernández"
			lines := strings.Split(strip(m.frame()), "\n")
			if !strings.Contains(lines[0], " driver Maria") || !strings.Contains(lines[0], "決済") || !strings.Contains(lines[0], theme.Elapsed(in.Elapsed(m.now))) {
				t.Errorf("%d columns: title line %q", w, lines[0])
			}
			next, _ := in.NextEscalation()
			due, _ := in.NextUpdate()
			for _, clock := range []time.Time{next.DueAt(), due} {
				if left := theme.Clock(clock.Sub(m.now).Abs()); !clock.IsZero() && !strings.Contains(lines[1], left) {
					t.Errorf("%d columns: no countdown %s in %q", w, left, lines[1])
				}
			}
			if !strings.Contains(lines[1], " R ") {
				t.Errorf("%d columns: no R in %q", w, lines[1])
			}
			if last := lines[len(lines)-1]; !strings.Contains(last, "R rollback") || !strings.Contains(last, "? help") {
				t.Errorf("%d columns: keys %q", w, last)
			}
		}
	}
}

// R is found without scrolling, and what does not fit goes on under its own column.
func TestHelpBeginsWithR(t *testing.T) {
	m := still(uitest.Canary(), 80, 24)
	m.Update(press("?"))
	lines := strings.Split(strip(m.frame()), "\n")
	at := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, " Keys ") }) + 1
	if !strings.HasPrefix(lines[at], "│ R ctrl+r       arm the rollback") {
		t.Errorf("the help begins with %q", lines[at])
	}
	for _, l := range lines[at : len(lines)-2] {
		if cells := []rune(l); cells[2] != ' ' && !known(string(cells[2:])) {
			t.Errorf("a line goes on under the keys: %q", l)
		}
	}
}

// known reports whether a line of the help begins with a key or is about scrolling.
func known(l string) bool {
	key, _, _ := strings.Cut(l, " ")
	return lookup(key, live) != nil || key == "lines" // to which the last line counts
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

// A refusal may name a value that an action wants, such as dirty=allow.
func TestRunGivesValues(t *testing.T) {
	with(t, early(), func(r *rig) {
		r.m.scene.Incident.Item("3.branch").Needs = nil
		for line, want := range map[string]string{"run 3.branch dirty": `"dirty" is not NAME=VALUE`, "run 2.protocol a=b": "only an action", "run 99 a=b": `no item "99"`} {
			r.run(r.m.command(line))
			if !strings.Contains(r.status(), want) {
				t.Errorf("%s: %q, want %q", line, r.status(), want)
			}
			r.m.said = said{}
		}
		r.want("")
		r.run(r.m.command("run 3.branch dirty=allow branch=hotfix/x"))
		r.pause(50 * time.Millisecond)
		r.shows("git push origin hotfix/1.2.4")
		r.keys("enter")
		got, _ := r.desk.last().(state.Run)
		if got.Item != "3.branch" || len(got.Values) != 2 || got.Values["dirty"] != "allow" || got.Values["branch"] != "hotfix/x" {
			t.Errorf("%+v", r.desk.last())
		}
	})
}

func TestGotoTakesAStepToo(t *testing.T) {
	with(t, uitest.Canary(), func(r *rig) {
		for what, want := range map[string]string{"10": "10.deploy", "14": "14.rollback", "10.deploy": "10.deploy"} {
			if r.m.scene.Incident.Item(want) == nil {
				t.Fatalf("the story has no %s", want)
			}
			r.m.gotoItem(what)
			if got := r.m.list.Selected(r.m.scene).ID; got != want {
				t.Errorf("goto %s went to %s, want %s", what, got, want)
			}
		}
		r.m.gotoItem("19")
		if got := r.status(); got != `there is no step or item "19"; tab lists them` {
			t.Errorf("%q", got)
		}
	})
}
