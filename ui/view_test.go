package ui

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"mayday/state"
	"mayday/ui/theme"
	"mayday/ui/uitest"
)

var scenes = map[string]func() *uitest.Story{
	"early": early, "canary": uitest.Canary, "asking": asking, "rolling-back": uitest.RollingBack, "rolled-back": uitest.RolledBack, "left-undone": uitest.LeftUndone,
	"release": release, "no-release": noRelease, "release-armed": releaseArmed, "release-undoing": releaseUndoing, "release-undone": releaseUndone,
	"rollback-failed": uitest.RollbackFailed, "interrupted": uitest.Interrupted, "resolved": uitest.Resolved,
	"armed": func() *uitest.Story {
		s := uitest.Canary()
		return s.Tell(s.Last()+time.Second, "alice", state.RollbackPrimed{Deadline: uitest.Start.Add(1900 * time.Millisecond), Trigger: "R"})
	},
}

var sizes = []struct{ w, h int }{{80, 24}, {120, 40}, {200, 60}}

func TestGolden(t *testing.T) {
	for _, name := range []string{"early", "canary", "armed", "rolling-back", "rollback-failed", "asking", "release", "no-release", "release-armed"} {
		for _, s := range sizes {
			for _, plain := range []bool{false, true} {
				m := still(scenes[name](), s.w, s.h)
				kind := "color"
				if plain {
					kind = "plain"
					m.restyle(theme.New(theme.Options{NoColor: true}))
				}
				frame := m.frame()
				uitest.Exact(t, name, frame, s.w, s.h)
				uitest.Golden(t, fmt.Sprintf("%s-%dx%d-%s.golden", name, s.w, s.h, kind), frame)
			}
		}
	}
}

// restyle is New with another theme, for tests.
func (m *Model) restyle(t *theme.Theme) {
	fresh := New(Options{Session: m.o.Session, Now: m.o.Now, Theme: t, Width: m.w, Height: m.h})
	fresh.scene = m.scene
	fresh.clock()
	*m = *fresh
}

// Every line has the width of the screen, whatever the size, the scene and what is open.
func TestEverySizeIsExact(t *testing.T) {
	opens := [][]string{nil, {"2"}, {"3", "z"}, {"4"}, {"5"}, {"?"}, {"n"}, {"u"}, {":"}, {"e"}, {"d"}, {"X"}}
	for name, story := range scenes {
		for i, open := range opens {
			if name != "canary" && i%6 != len(name)%6 {
				continue // the full square takes too long under the race detector
			}
			m := still(story(), 80, 24)
			for _, k := range open {
				m.Update(press(k))
			}
			for _, s := range []struct{ w, h int }{{80, 24}, {120, 40}, {200, 60}, {20, 5}, {1, 1}, {0, 0}, {59, 15}, {60, 16}, {61, 17}, {99, 30}, {119, 29},
				{120, 24}, {140, 26}, {300, 20}, {40, 80}, {7, 3}} {
				m.Update(tea.WindowSizeMsg{Width: s.w, Height: s.h})
				uitest.Exact(t, fmt.Sprint(name, open, s), m.frame(), s.w, s.h)
			}
			if m.panicked != "" {
				t.Fatalf("%s %v: a view panicked: %s", name, open, m.panicked)
			}
		}
	}
}

func TestRandomResizesAndKeys(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var keys []string
	for _, b := range table {
		if b.in&live != 0 && b.keys[0] != "q" {
			keys = append(keys, b.keys[0])
		}
	}
	keys = append(keys, "a", "Z", "backspace", "ctrl+s", "esc", "enter")
	for name, story := range scenes {
		m := still(story(), 80, 24)
		hostile(m.scene, r)
		for i := range 25 {
			w, h := r.IntN(220), r.IntN(70)
			m.Update(tea.WindowSizeMsg{Width: w, Height: h})
			k := keys[r.IntN(len(keys))]
			m.Update(press(k))
			if i%10 == 0 {
				m.Update(tea.PasteMsg{Content: uitest.Junk(r)})
			}
			m.quitting = false
			uitest.Exact(t, fmt.Sprintf("%s, %dx%d after %s", name, w, h, k), m.frame(), w, h)
			if m.panicked != "" {
				t.Fatalf("%s, %dx%d after %s: a view panicked: %s", name, w, h, k, m.panicked)
			}
		}
	}
}

// hostile replaces texts from outside.
func hostile(s *state.Scene, r *rand.Rand) {
	in := s.Incident
	in.Title, in.Service = uitest.Junk(r), uitest.Junk(r)
	in.Rollback.Proof.Why, s.Lost, s.Journal.Err = uitest.Junk(r), uitest.Junk(r), uitest.Junk(r)
	in.Warnings = append(in.Warnings, uitest.Junk(r))
	for i := range in.Steps {
		for j := range in.Steps[i].Items {
			it := &in.Steps[i].Items[j]
			it.Title, it.Summary, it.Value, it.By, it.Help = uitest.Junk(r)+"x", uitest.Junk(r), uitest.Junk(r), uitest.Junk(r), uitest.Junk(r)
		}
	}
}

func TestTinyShowsTheEssentials(t *testing.T) {
	m := still(uitest.Canary(), 20, 5)
	s := strip(m.frame())
	for _, want := range []string{"SEV1", "00:18:42", "READY", "page"} {
		if !strings.Contains(s, want) {
			t.Errorf("20x5 does not show %q:\n%s", want, s)
		}
	}
	m = still(scenes["armed"](), 20, 5)
	if s := strip(m.frame()); !strings.Contains(s, "BACK IN 1.9 s") {
		t.Errorf("20x5 does not show the countdown:\n%s", s)
	}
}

func TestTroubleIsRed(t *testing.T) {
	m := still(uitest.Canary(), 140, 40)
	m.scene.Lost, m.scene.Journal = "taking over", state.JournalState{Spooled: 3, Err: "disk full"}
	m.scene.Incident.Warnings = []string{"foreign epoch on app-stable"}
	s := strip(m.frame())
	for _, want := range []string{"keeper lost: taking over", "3 events wait for the journal: disk full", "foreign epoch on app-stable"} {
		if !strings.Contains(s, want) {
			t.Errorf("the screen does not say %q", want)
		}
	}
}

func TestAPanickingPaneLeavesTheRest(t *testing.T) {
	m := still(uitest.Canary(), 140, 40)
	m.scene.Incident.Rollouts[0].Stages = nil // what no fold makes
	m.panes.metrics = nil
	uitest.Exact(t, "panic", m.frame(), 140, 40)
	if m.panicked == "" {
		t.Skip("nothing panicked")
	}
	m.Update(tickMsg(m.tickGen))
	if !strings.Contains(m.said.text, "could not be drawn") {
		t.Errorf("status %q", m.said.text)
	}
}

func TestScoreIsShownWhenTheDrillEnds(t *testing.T) {
	with(t, uitest.Canary(), func(r *rig) {
		r.tell(state.Mayday, state.DrillScored{Score: state.Score{Scenario: "good", Passed: true, Outcome: "resolved", Done: 18}})
		r.shows("Score card of the drill good")
		r.shows("Passed: resolved")
	})
}
