package ui

import (
	"time"

	tea "charm.land/bubbletea/v2"

	"mayday/state"
	"mayday/ui/metrics"
	"mayday/ui/output"
	"mayday/ui/rollout"
	"mayday/ui/theme"
	"mayday/ui/timeline"
)

// tab is one of the panes.
type tab int

// The panes, in the order of their keys.
const (
	tabList tab = iota
	tabMetrics
	tabTimeline
	tabRollout
	tabOutput
	tabs
)

var tabNames = [tabs]string{"Checklist", "Metrics", "Timeline", "Rollout", "Output"}

// pane is what all panes but the checklist share.
type pane interface {
	View(s *state.Scene, now time.Time, w, h int, focused bool) string
	Up()
	Down()
	PageUp()
	PageDown()
	Home()
	End()
}

type panes struct {
	metrics  *metrics.Pane
	timeline *timeline.Pane
	rollout  *rollout.Pane
	output   *output.Pane
}

func newPanes(t *theme.Theme) panes {
	return panes{metrics.New(t), timeline.New(t), rollout.New(t), output.New(t)}
}

func (p panes) setTheme(t *theme.Theme) {
	p.metrics.SetTheme(t)
	p.timeline.SetTheme(t)
	p.rollout.SetTheme(t)
	p.output.SetTheme(t)
}

func (p panes) of(t tab) pane {
	switch t {
	case tabMetrics:
		return p.metrics
	case tabTimeline:
		return p.timeline
	case tabRollout:
		return p.rollout
	}
	return p.output
}

type motion int

const (
	up motion = iota
	down
	pageUp
	pageDown
	home
	end
)

// move moves the cursor of the pane with the focus.
func (m *Model) move(how motion) tea.Cmd {
	if m.tab == tabList {
		do := [...]func(*state.Scene){m.list.Up, m.list.Down, m.list.PageUp, m.list.PageDown, m.list.Home, m.list.End}
		do[how](m.scene)
		return nil
	}
	p := m.panes.of(m.tab)
	do := [...]func(){p.Up, p.Down, p.PageUp, p.PageDown, p.Home, p.End}
	do[how]()
	return nil
}

// turn moves the focus to the next pane that is worth it.
func (m *Model) turn(by int) tea.Cmd {
	m.visit = false
	for range tabs {
		m.tab = (m.tab + tab(by) + tabs) % tabs
		if m.tab == tabRollout && len(m.scene.Incident.Rollouts) == 0 || m.tab == tabOutput && m.scene.Run == "" {
			continue
		}
		break
	}
	return nil
}

func (m *Model) goTo(t tab) tea.Cmd { m.tab, m.visit = t, false; return nil }

// zoomPane gives the pane the whole body, or takes it away again.
func (m *Model) zoomPane() tea.Cmd {
	m.zoom = !m.zoom
	if m.visit {
		m.tab, m.visit = tabList, false
	}
	return nil
}

// filter is the filter of the pane with the focus.
func (m *Model) filter() string {
	if m.tab == tabTimeline {
		return m.panes.timeline.Filtered()
	}
	return m.list.Filter()
}

func (m *Model) setFilter(q string) {
	if m.tab == tabTimeline {
		m.panes.timeline.Filter(q)
		return
	}
	m.list.SetFilter(q)
}

func (m *Model) clearFilter() bool {
	if m.filter() == "" {
		return false
	}
	m.setFilter("")
	return true
}

// cacheKey is all that a pane's picture depends on.
type cacheKey struct {
	gen     generations
	w, h    int
	focused bool
	scene   *state.Scene
}

type cached struct {
	key  cacheKey
	view string
}

// pane draws a pane, or takes the picture of last time if nothing it shows changed.
func (m *Model) pane(t tab, w, h int) string {
	focused := m.tab == t
	g := m.gen
	if t != tabMetrics && t != tabRollout {
		g.samples = 0
	}
	if t != tabOutput {
		g.output = 0
	}
	if !focused && m.tab != t {
		g.keys = m.cache[t].key.gen.keys // keys only change the pane that has them
	}
	if t == tabList {
		g.keys = m.gen.keys // and the checklist, which the item keys work on from anywhere
	}
	key := cacheKey{g, w, h, focused, m.scene}
	if c := m.cache[t]; c.key == key {
		return c.view
	}
	var view string
	if t == tabList {
		view = m.list.View(m.scene, m.now, w, h, focused)
	} else {
		view = m.panes.of(t).View(m.scene, m.now, w, h, focused)
	}
	m.cache[t] = cached{key, view}
	return view
}
