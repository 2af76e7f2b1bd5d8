package ui

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"mayday/state"
	"mayday/ui/theme"
)

// View draws the screen. A part that panics is left out and said; the header, the
// countdowns and every key stay.
func (m *Model) View() tea.View {
	v := tea.NewView(m.frame())
	v.AltScreen = true
	v.WindowTitle = "mayday " + theme.Safe(m.scene.Incident.ID)
	return v
}

// frame is the screen as text: exactly h lines of exactly w cells.
func (m *Model) frame() (out string) {
	if m.w <= 0 || m.h <= 0 {
		return ""
	}
	defer func() {
		if r := recover(); r != nil {
			m.panicked = fmt.Sprint(r)
			out = theme.Sheet(m.essentials(), m.w, m.h)
		}
	}()
	if m.quitting {
		return theme.Sheet(nil, m.w, m.h)
	}
	var lines []string
	if m.w < 60 || m.h < 16 {
		lines = m.essentials()
	} else {
		head, foot := m.header(), m.footer()
		if room := m.h - len(head) - len(foot); room > 0 {
			lines = append(append(head, strings.Split(m.body(m.w, room), "\n")...), foot...)
		}
	}
	return m.overlay(theme.Sheet(lines, m.w, m.h))
}

// overlay lays the open dialog over the screen; the first two lines stay visible.
func (m *Model) overlay(base string) string {
	if m.modal == nil {
		return base
	}
	top := min(2, m.h/4)
	held := ""
	if m.armed() { // the dialog's own keys would lie
		held = "enter rolls back now, " + m.stopKeys() + ": the dialog waits"
	}
	m.modal.Hold(held)
	box := m.modal.View(m.w, m.h-top)
	bw, bh := lipgloss.Width(box), lipgloss.Height(box)
	canvas := lipgloss.NewCanvas(m.w, m.h)
	canvas.Compose(lipgloss.NewCompositor(
		lipgloss.NewLayer(base),
		lipgloss.NewLayer(box).X(max((m.w-bw)/2, 0)).Y(top+max((m.h-top-bh)/2, 0)).Z(1)))
	return theme.Sheet(strings.Split(canvas.Render(), "\n"), m.w, m.h)
}

// body is what lies between header and footer.
func (m *Model) body(w, h int) string {
	switch {
	case m.rollbackShown():
		return m.rollbackView(w, h)
	case w >= 120 && h >= 24 && !m.zoom:
		return m.wide(w, h)
	case m.zoom && w >= 120:
		return m.pane(m.tab, w, h)
	}
	return m.narrow(w, h)
}

// wide shows all panes: the checklist at the left, metrics and the rollout (or the
// output of what runs) at the right, the timeline below.
func (m *Model) wide(w, h int) string {
	bottom := min(max(h/5, 6), 12)
	left := min(max(w/4+20, 46), 66)
	upper := h - bottom
	var right []string
	free := upper
	for _, p := range m.extras(upper) {
		right = append(right, m.pane(p.tab, w-left, p.h))
		free -= p.h
	}
	right = append([]string{m.pane(tabMetrics, w-left, free)}, right...)
	return beside(m.pane(tabList, left, upper), strings.Join(right, "\n")) + "\n" + m.pane(tabTimeline, w, bottom)
}

type extra struct {
	tab tab
	h   int
}

// extras are the panes under the metrics: the rollout from its plan on, the output
// while something writes it or has the focus.
func (m *Model) extras(room int) []extra {
	var out []extra
	r := m.scene.Incident.Current()
	high := 7
	if m.tab == tabRollout { // what the gate went by is read here
		high = max(high, room*3/5)
	}
	if m.tab == tabRollout || r != nil && (r.Status.Active() || r.Status == state.RolloutPlanned) {
		out = append(out, extra{tabRollout, high})
	}
	it := m.running()
	writes := it != nil && it.Run != "" && it.Run == m.scene.Run
	if (writes && (len(out) == 0 || room >= 34)) || m.tab == tabOutput {
		out = append(out, extra{tabOutput, 9})
	}
	return out
}

// beside joins two blocks of the same height.
func beside(a, b string) string {
	left, right := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range left {
		if i < len(right) {
			left[i] += right[i]
		}
	}
	return strings.Join(left, "\n")
}

// narrow shows one pane with tabs above it, and the others in a few lines below.
func (m *Model) narrow(w, h int) string {
	below := 0
	if !m.zoom && m.tab == tabList {
		below = min(max((h-16)/2+5, 0), 12)
	}
	out := []string{m.tabLine(w), m.pane(m.tab, w, h-1-below)}
	if below > 0 {
		out = append(out, m.panes.metrics.Line(m.scene, m.now, w))
		below--
	}
	if below > 0 && m.scene.Incident.Current() != nil {
		out = append(out, m.panes.rollout.Line(m.scene, m.now, w))
		below--
	}
	if below > 0 {
		out = append(out, m.panes.timeline.Lines(m.scene, m.now, w, below)...)
	}
	return theme.Sheet(strings.Split(strings.Join(out, "\n"), "\n"), w, h)
}

// tabLine names the panes with what one must know of those not shown.
func (m *Model) tabLine(w int) string {
	var parts []string
	for t := range tabs {
		name := fmt.Sprintf("%d %s", t+1, tabNames[t])
		note := m.tabNote(t)
		switch {
		case t == m.tab:
			parts = append(parts, m.t.BadgeQuiet.Render(" "+name+" "))
		case t == tabOutput && m.scene.Run == "":
		default:
			parts = append(parts, " "+m.t.Past.Render(name)+note+" ")
		}
	}
	return theme.Fit(" "+strings.Join(parts, " "), w)
}

func (m *Model) tabNote(t tab) string {
	switch t {
	case tabMetrics:
		worst, n := m.panes.metrics.Worst(m.scene, m.now)
		if n > 0 {
			word, st := m.t.Verdict(worst)
			return " " + st.Render(fmt.Sprintf("%d %s", n, word))
		}
	case tabRollout:
		if brief := m.panes.rollout.Brief(m.scene); brief != "" {
			return " " + m.t.Strong.Render(brief)
		}
	}
	return ""
}

// essentials is what a screen too small for the rest shows, the most urgent first.
func (m *Model) essentials() []string {
	in := m.scene.Incident
	var out []string
	if bar := m.bar(); bar != "" {
		out = append(out, bar)
	}
	title := m.t.Badge.Render(in.Severity.String()) + " " + m.t.Strong.Render(theme.Elapsed(in.Elapsed(m.now)))
	if m.w >= 40 {
		title += " " + m.t.Text.Render(theme.Safe(in.Title))
	}
	out = append(out, title)
	if m.said.text != "" {
		out = append(out, m.saidLine(m.w))
	}
	out = append(out, strings.TrimSpace(m.readiness(in, brief)))
	if next, ok := in.NextEscalation(); ok {
		left, st := next.DueAt().Sub(m.now), m.t.Warn
		word := "page "
		if left < 0 {
			left, st, word = -left, m.t.BadStrong, "page OVERDUE "
		}
		out = append(out, st.Render(word+theme.Clock(left)+" "+short(next.Role, false)))
	}
	if up := m.nextUpdate(in, false); up != "" {
		out = append(out, up)
	}
	if trouble := m.trouble(); trouble != "" {
		out = append(out, m.t.BadStrong.Render("! "+trouble))
	}
	if m.prompt != nil {
		return append([]string{m.prompt.view(m.t, m.w)}, out...)
	}
	out = append(out, m.list.Line(m.scene, m.now, m.w))
	for _, l := range theme.Wrap(m.next(), m.w) {
		out = append(out, m.t.Past.Render(l))
	}
	return out
}
