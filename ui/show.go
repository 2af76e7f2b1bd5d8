package ui

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"mayday/state"
	"mayday/ui/dialog"
	"mayday/ui/theme"
)

// help is made from the key table.
func (m *Model) help() tea.Cmd {
	m.open(dialog.Spec{Title: "Keys", Wide: true, Body: m.helpLines()}, nil)
	return nil
}

func (m *Model) helpLines() []dialog.Line {
	var out []dialog.Line
	put := func(b *binding) {
		if b.in&m.context() == 0 {
			return
		}
		line := fmt.Sprintf("%-14s %s", strings.Join(b.keys, " "), b.help)
		tone := dialog.Plain
		if why := m.disabled(b); why != "" {
			line, tone = line+" (not now: "+why+")", dialog.Quiet
		}
		out = append(out, dialog.Line{Tone: tone, Text: line, Indent: 15})
	}
	// What must be found without scrolling: R, or in a recording what moves it.
	first := func(b *binding) bool { return b.keys[0] == "R" }
	if m.replay() {
		first = func(b *binding) bool { return b.player }
	}
	for _, turn := range []bool{true, false} {
		for i := range table {
			if b := &table[i]; first(b) == turn && !(b.acts && m.replay()) {
				put(b)
			}
		}
	}
	if m.replay() {
		out = append(out, dialog.Line{}, dialog.Line{Tone: dialog.Quiet, Text: "The keys that change an incident do nothing here: " + whyReplay + "."})
	}
	out = append(out, dialog.Line{}, dialog.Line{Tone: dialog.Heading, Text: "Commands, after :"})
	for _, v := range verbs {
		out = append(out, dialog.Line{Text: fmt.Sprintf("%-28s %s", v.name+" "+v.args, v.help), Indent: 29})
	}
	return out
}

// details shows everything known about the item under the cursor.
func (m *Model) details() tea.Cmd {
	it := m.list.Selected(m.scene)
	if it == nil {
		m.say(toneInfo, "there is no item")
		return nil
	}
	m.open(dialog.Spec{Title: named(it), Wide: true, Body: m.itemLines(it)}, nil)
	return nil
}

func (m *Model) itemLines(it *state.Item) []dialog.Line {
	var out []dialog.Line
	add := func(label, text string) {
		if text != "" {
			out = append(out, dialog.Line{Text: fmt.Sprintf("%-9s %s", label, text), Indent: 10})
		}
	}
	add("item", it.ID+", "+string(it.Kind))
	add("status", string(it.Status))
	add("what", it.Help)
	add("asks", it.Ask)
	add("after", strings.Join(it.Needs, ", "))
	add("by", it.By)
	if !it.Started.IsZero() {
		add("started", it.Started.Format("15:04:05")+", "+spanOf(it, m.now))
	}
	add("result", it.Summary)
	add("answer", it.Value)
	for _, e := range it.Evidence {
		add("evidence", strings.TrimSpace(e.Name+": "+e.Value+"  "+e.File))
	}
	if p := it.Problem; p != nil {
		out = append(out, dialog.Line{Tone: dialog.Alarm, Text: p.What})
		add("why", p.Why)
		add("do", p.Do)
	}
	if cmds := m.commandsOf(it); len(cmds) > 0 {
		out = append(out, dialog.Line{}, dialog.Line{Tone: dialog.Heading, Text: "Commands as they ran"})
		for _, c := range cmds {
			out = append(out, dialog.Line{Tone: dialog.Command, Text: c})
		}
	}
	return out
}

// commandsOf finds the commands that the item's run was journaled with.
func (m *Model) commandsOf(it *state.Item) []string {
	for i := len(m.scene.Events) - 1; i >= 0 && it.Run != ""; i-- {
		if f, ok := m.scene.Events[i].Fact.(state.ItemStarted); ok && f.Run == it.Run {
			return f.Commands
		}
	}
	return nil
}

// quit asks only when leaving would leave something alone.
func (m *Model) quit() tea.Cmd {
	in := m.scene.Incident
	busy := ""
	switch r := in.Current(); {
	case m.here != nil && !m.here.over():
		busy = "A rollback runs in this process; it will be finished before the process ends."
	case m.armed():
		busy = "A rollback is armed; it will be run before the process ends."
	case in.Rollback.Status == state.RollbackRunning:
		busy = "A rollback is running; it will be finished before the process ends."
	case r != nil && r.Status == state.RolloutRunning:
		busy = "A rollout is running: " + r.Version + " to " + r.Environment + "."
	case m.running() != nil:
		busy = m.running().Title + " is running."
	}
	keeping := m.scene.Hello.Keeping
	if m.replay() || m.ended || busy == "" || !keeping && m.local == nil {
		m.quitting = true
		return tea.Quit
	}
	intro := []string{busy}
	if keeping {
		intro = append(intro, "This process keeps the incident: it runs probes, gates, clocks and actions. If another cockpit is open it takes over; else nobody watches until mayday is started again.")
	}
	m.leaving = m.open(dialog.Spec{Title: "Quit?", Danger: true, Button: "quit", Intro: intro},
		func(map[string]string) tea.Cmd { m.quitting = true; return tea.Quit })
	return nil
}

func (m *Model) back() tea.Cmd {
	switch {
	case m.tab == tabTimeline && m.panes.timeline.Opened():
		m.panes.timeline.Open()
	case m.clearFilter():
	case m.tab == tabMetrics && m.panes.metrics.IsFull():
		m.panes.metrics.Full()
	case m.zoom:
		return m.zoomPane()
	case m.rollbackShown() && !m.rollbackRuns():
		m.gone = m.scene.Incident.Rollback.Started
	default:
		m.tab = tabList
		m.list.Select("")
	}
	return nil
}

// showScore says how a drill went, as soon as that is known; not over another dialog.
func (m *Model) showScore(s state.Score) {
	if m.modal != nil || m.prompt != nil {
		return
	}
	took := func(what string, d state.Duration) string {
		says := theme.Dash
		if d > 0 {
			says = theme.Clock(d.D())
		}
		return fmt.Sprintf("%-24s %s", what, says)
	}
	count := func(what string, n int) string { return fmt.Sprintf("%-24s %d", what, n) }
	head := dialog.Line{Tone: dialog.Alarm, Text: "It did not end as it should: " + s.Outcome}
	if s.Passed {
		head = dialog.Line{Tone: dialog.Heading, Text: "Passed: " + s.Outcome}
	}
	lines := []dialog.Line{head, {}}
	for _, l := range []string{took("acknowledged after", s.Acknowledge), took("decided after", s.Decide), took("mitigated after", s.Mitigate),
		took("rolled back after", s.Rollback), count("steps done, of 18", s.Done), count("status updates missed", s.MissedUpd),
		count("escalations missed", s.MissedEsc), count("items overridden", s.Overridden)} {
		lines = append(lines, dialog.Line{Text: l})
	}
	m.open(dialog.Spec{Title: "Score card of the drill " + s.Scenario, NotBefore: m.real.Add(barGuard), Body: lines}, nil)
}
