package ui

import (
	"slices"
	"unicode"

	tea "charm.land/bubbletea/v2"

	"mayday/state"
	"mayday/ui/metrics"
	"mayday/ui/timeline"
)

// where a key works: a live incident, a recording, or both.
type where int

const (
	live where = 1 << iota
	replaying
)

// binding is a row of the one table that makes dispatch, help and footer.
type binding struct {
	keys   []string // as Bubble Tea names them; the first is shown
	show   string   // shown instead of the first key
	help   string   // what it does, for the help
	short  string   // for the footer; empty: not there
	metric string   // the same while the metrics have the focus
	// called is for the footer while the key works: it answers what waits for somebody.
	called string
	in     where
	acts   bool // changes the incident: refused in a recording
	player bool // moves a recording
	// why says why the key does nothing now, "" if it works. Optional.
	why func(*Model) string
	do  func(*Model) tea.Cmd
}

const whyReplay = "this is a recording: nothing can be changed"

// table is every key of the cockpit, in the order of the help. R is here for the
// help and the footer; it is handled before all others (see rPressed).
var table []binding

func init() { // not a literal: the help reads the table that it stands in
	player := replayKeys()
	for i := range player {
		player[i].player = true
	}
	table = slices.Concat(actionKeys(), moveKeys(), otherKeys(), player)
}

func actionKeys() []binding {
	return []binding{
		{keys: []string{"enter"}, short: "run", in: live | replaying, help: "run, answer, sign or show the item under the cursor",
			do: (*Model).enter},
		{keys: []string{"x"}, short: "check", in: live | replaying, acts: true, help: "check the item, or take the check back",
			why: whyNoCheck, do: (*Model).check},
		{keys: []string{"space"}, in: live, acts: true, help: "the same as x", why: whyNoCheck, do: (*Model).check},
		{keys: []string{"X", "o"}, in: live | replaying, acts: true, help: "override the item with a reason; it stays red for ever",
			why: whyNoOverride, do: (*Model).override},
		{keys: []string{"n"}, short: "note", in: live, acts: true, help: "write a note into the timeline", why: whyEnded, do: (*Model).note},
		{keys: []string{"u"}, short: "update", in: live | replaying, acts: true, help: "send a status update", why: whyEnded, do: (*Model).update},
		{keys: []string{"i"}, in: live | replaying, help: "the messages: how each fares, whom to call where one did not arrive; correct one or send it again",
			why: whyNoMessages, do: (*Model).messages},
		{keys: []string{"e"}, short: "escalate", in: live | replaying, acts: true, help: "escalate, acknowledge or snooze a page",
			why: whyNoLevels, do: (*Model).escalate},
		{keys: []string{"a"}, called: "ack", in: live | replaying, acts: true, help: "acknowledge every page: I have it", why: whyNoPage, do: (*Model).ack},
		{keys: []string{"s"}, in: live | replaying, acts: true, help: "sign off (approve) or reject the change", why: whyNoSign, do: (*Model).sign},
		{keys: []string{"g"}, called: "go on", in: live | replaying, acts: true, help: "go on with a rollout that waits for a person", why: whyNoGoOn, do: (*Model).goOn},
		{keys: []string{"C"}, in: live | replaying, acts: true, help: "cancel the running action", why: whyNoCancel, do: (*Model).cancel},
		{keys: []string{"S"}, in: live | replaying, acts: true, help: "change the severity", why: whyEnded, do: (*Model).severity},
		{keys: []string{"t"}, called: "next attempt", in: live | replaying, acts: true, help: "open the next attempt after a rollback", why: whyNoAttempt, do: (*Model).attempt},
		{keys: []string{"R", "ctrl+r"}, short: "rollback", in: live | replaying, acts: true,
			help: "arm the rollback: enter runs it at once, c or esc stops it; ctrl+r works inside text fields too",
			do:   (*Model).arm},
		{keys: []string{"c"}, in: live | replaying, acts: true, help: "stop the armed rollback",
			why: func(m *Model) string { return unless(m.armed(), "no rollback is armed; C cancels a running action") }, do: (*Model).disarm},
	}
}

func moveKeys() []binding {
	return []binding{
		{keys: []string{"up", "k"}, in: live | replaying, help: "up", do: func(m *Model) tea.Cmd { return m.move(up) }},
		{keys: []string{"down", "j"}, in: live | replaying, help: "down", do: func(m *Model) tea.Cmd { return m.move(down) }},
		{keys: []string{"pgup", "ctrl+b"}, in: live | replaying, help: "a page up; in the checklist, a step", do: func(m *Model) tea.Cmd { return m.move(pageUp) }},
		{keys: []string{"pgdown", "ctrl+f"}, in: live | replaying, help: "a page down; in the checklist, a step", do: func(m *Model) tea.Cmd { return m.move(pageDown) }},
		{keys: []string{"home"}, in: live, help: "to the first line", do: func(m *Model) tea.Cmd { return m.move(home) }},
		{keys: []string{"end"}, in: live, help: "to the last line", do: func(m *Model) tea.Cmd { return m.move(end) }},
		{keys: []string{"tab"}, short: "pane", in: live | replaying, help: "the next pane", do: func(m *Model) tea.Cmd { return m.turn(1) }},
		{keys: []string{"shift+tab"}, in: live | replaying, help: "the pane before", do: func(m *Model) tea.Cmd { return m.turn(-1) }},
		{keys: []string{"1"}, in: live | replaying, help: "checklist", do: func(m *Model) tea.Cmd { return m.goTo(tabList) }},
		{keys: []string{"2"}, in: live | replaying, help: "metrics", do: func(m *Model) tea.Cmd { return m.goTo(tabMetrics) }},
		{keys: []string{"3"}, in: live | replaying, help: "timeline", do: func(m *Model) tea.Cmd { return m.goTo(tabTimeline) }},
		{keys: []string{"4"}, in: live | replaying, help: "rollout", do: func(m *Model) tea.Cmd { return m.goTo(tabRollout) }},
		{keys: []string{"5"}, in: live | replaying, help: "live output", do: func(m *Model) tea.Cmd { return m.goTo(tabOutput) }},
		{keys: []string{"z"}, in: live | replaying, help: "the pane in full size, and back", do: (*Model).zoomPane},
		{keys: []string{"\\"}, in: live | replaying, help: "search the timeline", do: (*Model).startSearch},
		{keys: []string{">"}, in: live | replaying, help: "the next event that the search finds, back in time", why: whyNoSearch, do: func(m *Model) tea.Cmd { return m.searchOn((*timeline.Pane).Next) }},
		{keys: []string{"<"}, in: live | replaying, help: "the event that the search found before", why: whyNoSearch, do: func(m *Model) tea.Cmd { return m.searchOn((*timeline.Pane).Prev) }},
		{keys: []string{"/"}, short: "filter", in: live | replaying, help: "filter the pane", why: whyNoFilter, do: (*Model).startFilter},
		{keys: []string{"esc"}, in: live | replaying, help: "back: to all panes, all lines, the item that comes next", do: (*Model).back},
	}
}

func otherKeys() []binding {
	onMetrics := func(f func(*metrics.Pane)) func(*Model) tea.Cmd {
		return func(m *Model) tea.Cmd { m.tab = tabMetrics; f(m.panes.metrics); return nil }
	}
	zoomIn, zoomOut := func(p *metrics.Pane) { p.Zoom(1) }, func(p *metrics.Pane) { p.Zoom(-1) }
	return []binding{
		{keys: []string{"v"}, metric: "chart", in: live | replaying, help: "metrics: the chart (or the log) alone, and back", do: onMetrics((*metrics.Pane).Full)},
		{keys: []string{"+", "="}, show: "+-", metric: "time", in: live, help: "metrics: a shorter time on the chart", do: onMetrics(zoomIn)},
		{keys: []string{"-"}, in: live, help: "metrics: a longer time on the chart", do: onMetrics(zoomOut)},
		{keys: []string{"."}, show: ",.", metric: "time", in: replaying, help: "metrics: a shorter time on the chart", do: onMetrics(zoomIn)},
		{keys: []string{","}, in: replaying, help: "metrics: a longer time on the chart", do: onMetrics(zoomOut)},
		{keys: []string{"p"}, metric: "pin", in: live, help: "metrics: pin the probe under the cursor to the top, and back", do: onMetrics((*metrics.Pane).Pin)},
		{keys: []string{"P"}, metric: "pin", in: replaying, help: "metrics: pin the probe under the cursor to the top, and back", do: onMetrics((*metrics.Pane).Pin)},
		{keys: []string{"w"}, metric: "worst", in: live | replaying, help: "metrics: the worst first, and back", do: onMetrics((*metrics.Pane).WorstFirst)},
		{keys: []string{"d"}, in: live | replaying, help: "everything known about the item", do: (*Model).details},
		{keys: []string{"f"}, in: live | replaying, help: "show the operations of the rollback, or the steps to do by hand",
			why: whyNoRollback, do: (*Model).showRollback},
		{keys: []string{":"}, short: "command", in: live | replaying, help: "type a command; tab completes", do: (*Model).startCommand},
		{keys: []string{"?", "f1"}, short: "help", in: live | replaying, help: "this help", do: (*Model).help},
		{keys: []string{"q", "ctrl+c"}, in: live | replaying, help: "quit; the incident stays open", do: (*Model).quit},
	}
}

// lookup finds the binding of a key in a context.
func lookup(key string, in where) *binding {
	for i := range table {
		if table[i].in&in == 0 {
			continue
		}
		for _, k := range table[i].keys {
			if k == key {
				return &table[i]
			}
		}
	}
	return nil
}

// context says which keys count.
func (m *Model) context() where {
	if m.replay() {
		return replaying
	}
	return live
}

// disabled says why a binding does nothing now, "" if it works.
func (m *Model) disabled(b *binding) string {
	if m.replay() && b.acts {
		return whyReplay
	}
	if b.acts && m.ended {
		return "the session has ended: nothing can be changed from here; start mayday again"
	}
	if b.why != nil {
		return b.why(m)
	}
	return ""
}

// handleKey is the way of every key: the one key first, then the red bar, then
// what is open on top, then the table.
func (m *Model) handleKey(k tea.KeyPressMsg) tea.Cmd {
	if k.Mod.Contains(tea.ModAlt) && (!m.typing() || k.Mod.Contains(tea.ModCtrl)) {
		// To a terminal, esc and then a key within a moment is that key with alt.
		// Nothing here uses alt, so it is taken as what was pressed: R must not be lost.
		esc := m.oneKey(tea.KeyPressMsg{Code: tea.KeyEscape})
		return tea.Batch(esc, m.oneKey(withoutAlt(k)))
	}
	return m.oneKey(k)
}

func withoutAlt(k tea.KeyPressMsg) tea.KeyPressMsg {
	k.Mod &^= tea.ModAlt
	if k.Text == "" && k.Mod&^tea.ModShift == 0 && unicode.IsPrint(k.Code) {
		k.Text = string(k.Code)
		if k.Mod.Contains(tea.ModShift) {
			k.Text = string(unicode.ToUpper(k.Code))
		}
	}
	return k
}

func (m *Model) oneKey(k tea.KeyPressMsg) tea.Cmd {
	s := k.String()
	first, taken := m.rPressed(s)
	if taken {
		return first
	}
	if cmd, taken := m.armedKey(s); taken {
		return tea.Batch(first, cmd)
	}
	return tea.Batch(first, m.restKey(k, s))
}

func (m *Model) restKey(k tea.KeyPressMsg, s string) tea.Cmd {
	switch {
	case m.modal != nil:
		return m.modalKey(k)
	case m.prompt != nil:
		return m.promptKey(k)
	case m.rollbackShown() && !m.rollbackRuns() && (s == "enter" || s == "esc" || s == "q"):
		m.gone = m.scene.Incident.Rollback.Started
		return nil
	}
	b := lookup(s, m.context())
	if b == nil {
		m.say(toneInfo, "the key "+s+" does nothing here; ? shows all keys")
		return nil
	}
	if m.said.tone != toneBad && !m.real.Before(m.said.firm) {
		m.said = said{}
	}
	if why := m.disabled(b); why != "" {
		m.say(toneWarn, b.keys[0]+": "+why)
		return nil
	}
	return b.do(m)
}

// typing reports whether letters are text now.
func (m *Model) typing() bool {
	return m.modal != nil && m.modal.Typing() || m.modal == nil && m.prompt != nil
}

func unless(ok bool, why string) string {
	if ok {
		return ""
	}
	return why
}

func whyEnded(m *Model) string {
	return unless(m.scene.Incident.Open(), "the incident has ended")
}

func whyNoCheck(m *Model) string {
	it := m.list.Selected(m.scene)
	if why := whyEnded(m); why != "" {
		return why
	}
	return unless(it != nil && it.Kind == state.Check, "this item is not one to check; enter does what it needs")
}

func whyNoOverride(m *Model) string {
	it := m.list.Selected(m.scene)
	switch {
	case it == nil:
		return "there is no item"
	case it.Status.Settled():
		return "the item is settled"
	case it.Status == state.ItemRunning:
		return "the item runs; C cancels it first"
	}
	return whyEnded(m)
}

func whyNoLevels(m *Model) string {
	if why := whyEnded(m); why != "" {
		return why
	}
	return unless(len(m.scene.Incident.Levels) > 0, "nobody is paged at this severity; S changes it")
}

func whyNoPage(m *Model) string {
	if why := whyEnded(m); why != "" {
		return why
	}
	return unless(len(unacked(m.scene.Incident)) > 0, "no page waits for an answer")
}

func whyNoSign(m *Model) string {
	in := m.scene.Incident
	it := signOff(in)
	switch {
	case it == nil:
		return "nothing waits for a signature"
	case in.Blocker(it) != nil:
		return "there is nothing to sign yet: " + in.Blocker(it).ID + " comes first"
	}
	return ""
}

func signOff(in *state.Incident) *state.Item {
	for i := range in.Steps {
		for j := range in.Steps[i].Items {
			if it := &in.Steps[i].Items[j]; it.Kind == state.SignOff && !it.Status.Settled() {
				return it
			}
		}
	}
	return nil
}

func whyNoGoOn(m *Model) string {
	return unless(m.scene.Incident.Waiting() != nil, "no rollout waits for a person")
}

func whyNoCancel(m *Model) string {
	return unless(m.running() != nil, "nothing runs")
}

// running gives the action that C would cancel: the one under the cursor if it
// runs, else the first that does.
func (m *Model) running() *state.Item {
	is := func(it *state.Item) bool {
		return it.Kind == state.Action && (it.Status == state.ItemRunning || it.Status == state.ItemAsking) && it.ID != state.ItemMonitor
	}
	if it := m.list.Selected(m.scene); it != nil && is(it) {
		return it
	}
	in := m.scene.Incident
	for i := range in.Steps {
		for j := range in.Steps[i].Items {
			if it := &in.Steps[i].Items[j]; is(it) {
				return it
			}
		}
	}
	return nil
}

func whyNoAttempt(m *Model) string {
	in := m.scene.Incident
	if in.Rollback.Status == state.RollbackRunning {
		return "a new attempt opens when the rollback has ended"
	}
	return unless(in.Open() && len(in.Closed) >= in.Attempt && in.Attempt > 0, "a new attempt opens after a rollback")
}

func whyNoRollback(m *Model) string {
	return unless(!m.scene.Incident.Rollback.Started.IsZero(), "no rollback has run")
}
