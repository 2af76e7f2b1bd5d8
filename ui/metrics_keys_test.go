package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"mayday/ui/theme"
	"mayday/ui/uitest"
)

// The chart alone, at every size, with another probe pinned.
func TestFullChartGolden(t *testing.T) {
	for _, s := range sizes {
		m := still(uitest.Canary(), s.w, s.h)
		m.restyle(theme.New(theme.Options{NoColor: true}))
		for _, k := range []string{"2", "down", "down", "down", "p", "up", "v"} {
			m.frame() // the panes learn their order by being drawn
			m.Update(press(k))
		}
		uitest.Golden(t, fmt.Sprintf("chart-%dx%d-plain.golden", s.w, s.h), m.frame())
		m.Update(press("v"))
		uitest.Golden(t, fmt.Sprintf("pinned-%dx%d-plain.golden", s.w, s.h), m.frame())
	}
}

// A pin outlasts a resize and another pane; esc gives the table back.
func TestPinAndChartKeys(t *testing.T) {
	with(t, uitest.Canary(), func(r *rig) {
		top := func() string {
			for _, l := range strings.Split(strip(r.m.frame()), "\n") {
				if _, row, ok := strings.Cut(l, "* "); ok {
					return strings.TrimSpace(row[:14])
				}
			}
			return ""
		}
		r.m.frame()
		r.keys("2", "end", "p")
		if top() != "rollout app" {
			t.Errorf("pinned: %q", top())
		}
		r.send(tea.WindowSizeMsg{Width: 80, Height: 24})
		r.keys("3", "2")
		if top() != "rollout app" {
			t.Errorf("after a resize: %q", top())
		}
		r.keys("home", "down", "v")
		r.shows("error rate  new 0.42 %  old 8.1 %  ok ")
		r.shows("last 15 min  warn 1 %")
		if strings.Contains(strip(r.m.frame()), "db pool wait") {
			t.Error("the table is still there")
		}
		r.shows("v chart")
		r.shows("R rollback")
		r.keys("+")
		r.shows("last 5 min")
		r.keys("esc")
		r.shows("db pool wait")
		r.keys("down", "p", "1")
		r.want("") // nothing of this is an intent
	})
}

// A screen that opened late asks the keeper, once, for what a long chart shows of the
// time before.
func TestALongChartRecallsThePast(t *testing.T) {
	with(t, uitest.Canary(), func(r *rig) {
		r.keys("2", "v")
		r.m.frame()
		r.pause(2 * time.Second)
		r.want("")
		r.keys("-")
		r.m.frame()
		r.pause(3 * time.Second)
		r.want("probes.recall")
		r.shows("last 30 min")
		r.shows("50 % ┤") // what was recalled is on the scale
		r.keys("-", "-")
		r.m.frame()
		r.pause(3 * time.Second)
		r.want("probes.recall")
	})
}

// What a gate decided, by which readings: on the rollout's screen, and in the timeline.
func TestDecisionsGolden(t *testing.T) {
	for _, s := range sizes {
		m := still(uitest.Canary(), s.w, s.h)
		m.restyle(theme.New(theme.Options{NoColor: true}))
		m.frame()
		m.Update(press("4"))
		uitest.Golden(t, fmt.Sprintf("rollout-%dx%d-plain.golden", s.w, s.h), m.frame())
		for _, k := range []string{"3", "z", "enter"} {
			m.Update(press(k))
			m.frame()
		}
		uitest.Golden(t, fmt.Sprintf("decision-%dx%d-plain.golden", s.w, s.h), m.frame())
	}
}
