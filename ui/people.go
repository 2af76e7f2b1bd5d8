package ui

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"mayday/state"
	"mayday/ui/dialog"
	"mayday/ui/theme"
)

const snoozeFor = state.Duration(10 * time.Minute)

// unacked lists the roles that were paged and have not answered.
func unacked(in *state.Incident) []state.Level {
	var out []state.Level
	for _, l := range in.Levels {
		if !l.Paged.IsZero() && l.Acked.IsZero() {
			out = append(out, l)
		}
	}
	return out
}

func (m *Model) ack() tea.Cmd { return m.do(state.Ack{}) }

// escalate is the menu of pages.
func (m *Model) escalate() tea.Cmd {
	in := m.scene.Incident
	var opts []dialog.Option
	add := func(value, label, help string) {
		opts = append(opts, dialog.Option{Value: value, Label: label, Help: help})
	}
	if len(unacked(in)) > 0 {
		add("ack:", "acknowledge everything", "I have it; the re-pages stop")
	}
	asked := map[string]bool{} // a role may be called at once and again later; one answer counts for both
	for _, l := range unacked(in) {
		if !asked[l.Role] {
			asked[l.Role] = true
			add("ack:"+l.Role, "acknowledge "+l.Role, person(l.Who)+"paged "+theme.Clock(m.now.Sub(l.Paged))+" ago")
		}
	}
	if next, ok := in.NextEscalation(); ok {
		add("page:"+next.Role, "page the "+next.Role+" now", person(next.Who)+"due in "+theme.Clock(next.DueAt().Sub(m.now)))
		add("snooze:"+next.Role, "snooze the "+next.Role+" for 10 min", "it goes out later")
	}
	for _, l := range in.Levels {
		if next, _ := in.NextEscalation(); !l.AtOnce && l.Role != next.Role {
			add("page:"+l.Role, "page the "+l.Role+pageAgain(l), person(l.Who))
		}
	}
	if len(opts) == 0 {
		add("page:", "page the next level", "")
	}
	m.open(dialog.Spec{Title: "Escalate", Button: "do it", Fields: []dialog.Field{
		{Name: "do", Label: "What", Kind: dialog.Choice, Options: opts}}},
		func(v map[string]string) tea.Cmd { return m.escalation(v["do"]) })
	return nil
}

func person(who string) string {
	if who == "" {
		return ""
	}
	return who + "  "
}

func pageAgain(l state.Level) string {
	if l.Paged.IsZero() {
		return " now"
	}
	return " again"
}

func (m *Model) escalation(what string) tea.Cmd {
	verb, role, _ := strings.Cut(what, ":")
	switch verb {
	case "ack":
		return m.do(state.Ack{Role: role})
	case "page":
		return m.do(state.Escalate{Role: role})
	case "snooze":
		return m.do(state.Snooze{Role: role, For: snoozeFor})
	}
	return nil
}

// popup shows a page that went out and waits for somebody to take it. It comes by
// itself, so it never interrupts another dialog and ignores keys in flight.
func (m *Model) popup() tea.Cmd {
	for m.modal == nil && m.prompt == nil && !m.armed() && !m.rollbackRuns() && len(m.popups) > 0 {
		role := m.popups[0]
		m.popups = m.popups[1:]
		for _, l := range unacked(m.scene.Incident) {
			if l.Role == role {
				m.pageDialog(l)
				break
			}
		}
	}
	return nil
}

// makeWay takes a page that popped up away while a rollback counts down or runs: enter
// is the rollback's then, and the place is needed. It comes back afterwards.
func (m *Model) makeWay() {
	if d := m.modal; d != nil && d.page != "" && (m.armed() || m.rollbackRuns()) {
		m.popups = append([]string{d.page}, m.popups...)
		m.modal = nil
	}
}

func (m *Model) pageDialog(l state.Level) {
	who := l.Role
	if l.Who != "" {
		who += " (" + l.Who + ")"
	}
	late := ""
	if l.Late {
		late = ", late"
	}
	role := l.Role
	d := m.open(dialog.Spec{Title: "The " + l.Role + " was paged", NotBefore: m.real.Add(barGuard), Button: "do it", Leave: "go on working", Keys: [][2]string{{"a", "acknowledge"}},
		Intro: []string{fmt.Sprintf("%s was paged at %s%s, because the incident is not mitigated yet.", who, l.Paged.Format("15:04:05"), late)},
		Fields: []dialog.Field{{Name: "do", Label: "What now", Kind: dialog.Choice, Options: []dialog.Option{
			{Value: "later", Label: "go on working", Help: "the page stays open; a acknowledges it later"},
			{Value: "ack:" + l.Role, Label: "acknowledge", Help: "they have it: the re-pages stop"},
		}}}}, func(v map[string]string) tea.Cmd { return m.escalation(v["do"]) })
	d.page = role
	d.quick = map[string]func() tea.Cmd{"a": func() tea.Cmd { return m.do(state.Ack{Role: role}) }}
}

// expected is when the fix is expected: as last told, else as agreed in step 2.
func expected(in *state.Incident) string {
	if it := in.Item("2.timeline"); in.ETA == "" && it != nil {
		return it.Value
	}
	return in.ETA
}

// audiences of a status update.
var audiences = []dialog.Option{{Value: "stakeholders"}, {Value: "customers"}, {Value: "team"}, {Value: "executives"}}

// update drafts a status update, to be edited and sent.
func (m *Model) update() tea.Cmd {
	in := m.scene.Incident
	var statuses []dialog.Option
	for _, s := range []state.Status{state.Investigating, state.Identified, state.Fixing, state.Monitoring} {
		statuses = append(statuses, dialog.Option{Value: string(s)})
	}
	d := m.open(dialog.Spec{Title: "Status update", Button: "send", Fields: []dialog.Field{
		{Name: "audience", Label: "To", Kind: dialog.Choice, Options: audiences},
		{Name: "status", Label: "Status", Kind: dialog.Choice, Options: statuses, Value: string(in.Status)},
		{Name: "eta", Label: "Fixed by when", Hint: "15 minutes", Value: expected(in)},
		{Name: "text", Label: "Message, as it will be sent", Kind: dialog.Area, Required: true},
	}}, func(v map[string]string) tea.Cmd {
		return m.do(state.PostUpdate{Audience: v["audience"], Status: state.Status(v["status"]), ETA: v["eta"], Text: v["text"]})
	})
	asked, drafted := state.DraftUpdate{}, ""
	// A draft follows what is chosen until somebody edits it.
	d.change = func(v map[string]string) tea.Cmd {
		want := state.DraftUpdate{Audience: v["audience"], Status: state.Status(v["status"]), ETA: v["eta"]}
		if want == asked || strings.TrimSpace(v["text"]) != strings.TrimSpace(drafted) {
			return nil
		}
		asked = want
		return m.ask(want, func(a state.Answer, err error) tea.Cmd {
			if m.modal != d || want != asked || strings.TrimSpace(d.Values()["text"]) != strings.TrimSpace(drafted) {
				return nil
			}
			if err != nil {
				m.refused(err)
				return nil
			}
			drafted = a.Text
			d.SetValue("text", a.Text)
			return nil
		})
	}
	return d.change(d.Values())
}
