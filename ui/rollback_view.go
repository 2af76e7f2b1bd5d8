package ui

import (
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"mayday/state"
)

func (m *Model) rollbackRuns() bool {
	return m.scene.Incident.Rollback.Status == state.RollbackRunning
}

// rollbackShown reports whether the rollback has the body: while it runs, and
// after it until somebody has read how it ended.
func (m *Model) rollbackShown() bool {
	in := m.scene.Incident
	rb := &in.Rollback
	switch rb.Status {
	case state.RollbackRunning:
		return true
	case state.RollbackDone:
		return !m.gone.Equal(rb.Started) && in.Open() && len(in.Closed) >= in.Attempt
	case state.RollbackFailed:
		return !m.gone.Equal(rb.Started)
	}
	return false
}

func (m *Model) showRollback() tea.Cmd {
	m.gone = time.Time{}
	if !m.rollbackShown() { // an earlier attempt's: its pane shows what is left of it
		m.zoom = true
		return m.goTo(tabRollout)
	}
	return nil
}

// rollbackView shows each operation with its time; beside it the metrics, where
// there is room, because what counts is what they do now.
func (m *Model) rollbackView(w, h int) string {
	if w >= 120 {
		left, bottom := w/2, 0
		if h >= 24 && m.scene.Incident.Rollback.Status != state.RollbackFailed {
			bottom = max(h/4, 6)
		}
		view := beside(m.pane(tabRollout, left, h-bottom), m.pane(tabMetrics, w-left, h-bottom))
		if bottom > 0 {
			view += "\n" + m.pane(tabTimeline, w, bottom)
		}
		return view
	}
	const below = 6 // what production does now, and what happened last
	if h < 16 || m.scene.Incident.Rollback.Status == state.RollbackFailed {
		return m.pane(tabRollout, w, h)
	}
	out := []string{m.pane(tabRollout, w, h-below), m.panes.metrics.Line(m.scene, m.now, w)}
	return strings.Join(append(out, m.panes.timeline.Lines(m.scene, m.now, w, below-1)...), "\n")
}
