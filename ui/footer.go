package ui

import (
	"fmt"
	"strings"

	"mayday/state"
	"mayday/ui/theme"
)

// footer is the line that says what comes next (or what just happened) and the
// line of keys.
func (m *Model) footer() []string {
	first := m.hintLine(m.w)
	switch {
	case m.prompt != nil:
		first = m.prompt.view(m.t, m.w)
	case m.said.text != "":
		first = m.saidLine(m.w)
	case m.replay():
		first = m.cursorLine(m.w)
	}
	return []string{first, m.keyLine(m.w)}
}

func (m *Model) saidLine(w int) string {
	st := map[tone]theme.Style{toneInfo: m.t.Text, toneWarn: m.t.WarnStrong, toneBad: m.t.BadStrong}[m.said.tone]
	mark := map[tone]string{toneInfo: " ", toneWarn: theme.Bang, toneBad: theme.Cross}[m.said.tone]
	return theme.Fit(" "+st.Render(mark+" "+theme.Cut(m.said.text, max(w-4, 1))), w)
}

func (m *Model) hintLine(w int) string {
	if m.modal != nil && !m.armed() { // what comes next is done with keys that it has now
		return theme.Fit(" "+m.t.Past.Render("open: "+theme.Safe(m.modal.Title())), w)
	}
	return theme.Fit(" "+m.t.RunningStrong.Render("next")+" "+m.t.Text.Render(theme.Cut(m.next(), max(w-7, 1))), w)
}

// dialogKeys is the line of keys while a dialog has them.
func (m *Model) dialogKeys(w int) string {
	key := func(k, what string) string { return m.t.Key.Render(k) + " " + m.t.Past.Render(what) + "  " }
	line := " " + key("esc", "leave the dialog")
	switch {
	case m.replay():
	case m.typing():
		line += key("ctrl+r", "rollback")
	default:
		line += key("R", "rollback")
	}
	return theme.Fit(line+m.t.Faint.Render("the dialog has the other keys"), w)
}

// next says in one sentence what the incident waits for and which key does it.
func (m *Model) next() string {
	in := m.scene.Incident
	rb := &in.Rollback
	it := m.list.Selected(m.scene)
	switch {
	case in.ID == "":
		return "waiting for the keeper…"
	case m.ended:
		return "the session ended; q quits"
	case m.armed():
		if doubt := m.doubt(); doubt != "" { // the keys stand in the bar and below
			return doubt
		}
		return "the rollback counts down: enter runs it now, c stops it"
	case rb.Status == state.RollbackRunning:
		return "the rollback runs; nothing needs to be pressed"
	case rb.Status == state.RollbackFailed && m.rollbackShown():
		return "do the steps above by hand; n notes them, R tries again, e pages, enter closes"
	case rb.Status == state.RollbackFailed:
		return "the rollback failed: f shows what to do by hand; R tries again"
	case rb.Status == state.RollbackDone && m.rollbackShown():
		return "rolled back: enter closes this; then t opens the next attempt, u tells the others"
	case !in.Open() && in.Drill != "" && in.Score == nil && !m.replay():
		return "the drill is over: the incident is " + string(in.Status) + "; q leaves and prints the score card"
	case !in.Open() && in.Score != nil && in.Score.Passed:
		return "the drill is over and passed; q quits"
	case !in.Open() && in.Score != nil:
		return "the drill is over, but did not end as it should (" + in.Score.Outcome + "); q quits"
	case !in.Open():
		return "the incident is " + string(in.Status) + "; q quits"
	case len(in.Closed) >= in.Attempt && in.Attempt > 0 && m.list.Chosen() == "":
		text := fmt.Sprintf("attempt %d was rolled back: t opens the next attempt, u tells the others", in.Attempt)
		if in.Drill != "" && !m.replay() {
			text += ", q ends the drill with its score card"
		}
		return text
	case it == nil:
		return "nothing is left to do; q quits"
	}
	if w := in.Waiting(); m.tab == tabList || w != nil && w.Item == it.ID {
		return theme.Safe(m.itemHint(it))
	}
	return theme.Safe(it.Title + m.elsewhere(it))
}

// elsewhere says what an item waits for while another pane has enter.
func (m *Model) elsewhere(it *state.Item) string {
	lead := ": 1 goes to the checklist"
	if m.visit {
		lead = ": esc goes back to the checklist"
	}
	if it.Status == state.ItemRunning {
		return " runs" + lead
	}
	return " is next" + lead
}

// itemHint is the item, the key, and then whatever else fits.
func (m *Model) itemHint(it *state.Item) string {
	in := m.scene.Incident
	head := it.Title
	r := in.Current()
	mine := r != nil && r.Item == it.ID && r.Attempt == in.Attempt
	if w := in.Waiting(); w != nil && w.Item == it.ID {
		word, _ := m.t.Rollout(w.Status)
		why := strings.Join(w.Gate.Reasons, ", ")
		if w.Status != state.RolloutAsking || why == "" {
			why = "at " + w.StageName()
		}
		key := "enter"
		if m.tab != tabList { // there enter is the pane's
			key = "g"
		}
		if !w.Production {
			return head + " " + word + ": " + key + " decides (" + why + ")"
		}
		return head + " " + word + ": " + key + " decides, R rolls back (" + why + ")"
	}
	switch it.Status {
	case state.ItemRunning:
		if end, ok := in.MonitoringEnds(); ok && it.ID == state.ItemMonitor {
			return head + ": another " + theme.Clock(max(end.Sub(m.now), 0)) + " to watch; R rolls back"
		}
		if mine && r.Production {
			return head + " runs (" + r.StageName() + "): enter shows the rollout, R takes it back, C stops it there"
		}
		return head + " runs: enter shows its output, C cancels it"
	case state.ItemFailed, state.ItemCancelled, state.ItemInterrupted:
		why := ""
		if it.Problem != nil {
			why = " (" + it.Problem.Error() + ")"
		}
		return head + " " + string(it.Status) + ": enter tries again, d tells all, X overrides" + why
	}
	if it.Status.Settled() {
		return head + " is " + string(it.Status) + ": enter shows it" + m.undoHint(it) + ", esc goes to what is next"
	}
	if b := in.Blocker(it); b != nil {
		return head + " waits for " + b.Title
	}
	help := it.Help
	if it.Ask != "" {
		help = firstSentence(it.Ask)
	}
	if help != "" {
		help = " (" + help + ")"
	}
	return head + ": " + m.enterDoes(it) + help
}

// undoHint says that a check can be taken back.
func (m *Model) undoHint(it *state.Item) string {
	if it.Kind == state.Check && it.Status == state.ItemDone && m.scene.Incident.Open() {
		return ", x takes it back"
	}
	return ""
}

func firstSentence(s string) string {
	if i := strings.IndexAny(s, "?;"); i > 0 {
		return s[:i+1]
	}
	return s
}

// enterDoes says what enter does to an open item.
func (m *Model) enterDoes(it *state.Item) string {
	switch {
	case it.Kind == state.SignOff:
		return "enter shows the diff, somebody other than the author signs"
	case it.Kind == state.Check && it.Ask != "":
		return "enter asks for the answer"
	case it.Kind == state.Check:
		return "enter checks it"
	case it.Changes:
		return "enter shows the exact commands, then runs it"
	case it.Auto:
		return "runs by itself; enter runs it now"
	}
	return "enter runs it"
}

// enterWord is what the footer calls enter.
func (m *Model) enterWord() string {
	it := m.list.Selected(m.scene)
	switch {
	case m.rollbackShown() && !m.rollbackRuns():
		return "close"
	case m.tab == tabTimeline && m.panes.timeline.Opened():
		return "close"
	case m.tab == tabTimeline:
		return "facts"
	case m.visit:
		return "back"
	case m.tab != tabList && m.zoom:
		return "all panes"
	case m.tab != tabList:
		return "zoom"
	case it == nil, it.Status.Settled(), m.replay():
		return "show"
	case m.shut(it):
		return "try again"
	case m.scene.Incident.Waiting() != nil && m.scene.Incident.Waiting().Item == it.ID:
		return "go on"
	case it.Status == state.ItemRunning && it.ID == state.ItemMonitor:
		return "show"
	case it.Status == state.ItemRunning:
		return "watch"
	case it.Kind == state.SignOff:
		return "sign"
	case it.Kind == state.Check && it.Ask != "":
		return "reply"
	case it.Kind == state.Check:
		return "check"
	}
	return "run"
}

// keyLine is made from the table: first what is called for just now, then what has
// a short name, as far as it fits. Keys that do nothing now are faint.
func (m *Model) keyLine(w int) string {
	if m.armed() && !m.typing() { // nothing else counts now
		key := func(k, what string) string { return m.t.Key.Render(k) + " " + m.t.Past.Render(what) + "  " }
		return theme.Fit(" "+m.t.BadStrong.Render("enter")+" "+m.t.Bad.Render("roll back now")+"  "+key("c", "stop it")+key("esc", "stop it"), w)
	}
	if m.modal != nil {
		return m.dialogKeys(w)
	}
	line, used := " ", 1
	help, back := lookup("?", m.context()), lookup("R", m.context())
	kept := 8 // for the help, and until it stands there for R
	if !m.replay() {
		_, n := m.keyPart(back, back.short)
		kept += n + 2
	}
	put := func(b *binding, word string) {
		part, n := m.keyPart(b, word)
		if b == back && !m.replay() {
			kept -= n + 2
		}
		if used+n+kept <= w {
			line += part + "  "
			used += n + 2
		}
	}
	for turn := range footerTurns {
		for i := range table {
			b := &table[i]
			word := b.short
			if m.tab == tabMetrics && b.metric != "" {
				word = b.metric
			}
			switch {
			case b.in&m.context() == 0 || m.replay() && b.acts || b == help:
				continue
			case b.keys[0] == "enter":
				word = m.enterWord()
			case b.called != "" && b.called == m.enterWord():
				continue // enter does it
			case b.called != "" && m.disabled(b) == "":
				word = b.called
			}
			if word != "" && turn == m.footerTurn(b) {
				put(b, word)
			}
		}
	}
	part, _ := m.keyPart(help, help.short)
	return theme.Fit(line+part, w)
}

// footerTurns is how often the table is gone through for the line of keys, and
// footerTurn is when a key's turn is: enter and what is called for; the keys of the
// pane with the focus, and the way back, or in a recording those of the player; the rest.
const footerTurns = 3

func (m *Model) footerTurn(b *binding) int {
	switch {
	case b.keys[0] == "enter" || m.calledFor(b):
		return 0
	case b.player, m.tab == tabMetrics && (b.metric != "" || b.keys[0] == "R"):
		return 1
	}
	return 2
}

// calledFor reports whether the key is what somebody should press soon.
func (m *Model) calledFor(b *binding) bool {
	if m.replay() {
		return false
	}
	if due, ok := m.scene.Incident.NextUpdate(); b.keys[0] == "u" {
		return ok && m.scene.Incident.Open() && due.Before(m.now)
	}
	return b.called != "" && m.disabled(b) == ""
}

func (m *Model) keyPart(b *binding, word string) (string, int) {
	key := b.show
	if key == "" {
		key = b.keys[0]
	}
	st, text := m.t.Key, m.t.Past
	switch {
	case m.disabled(b) != "":
		st, text = m.t.Faint, m.t.Faint
	case m.calledFor(b):
		st, text = m.t.WarnStrong, m.t.Warn
	}
	return st.Render(key) + " " + text.Render(word), theme.Width(key) + 1 + theme.Width(word)
}
