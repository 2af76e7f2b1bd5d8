package ui

import (
	"fmt"
	"slices"

	tea "charm.land/bubbletea/v2"

	"mayday/state"
	"mayday/ui/dialog"
)

// lost gives the messages that were given up and that no later one of their purpose
// made good at their channel.
func lost(in *state.Incident) []state.Message {
	var out []state.Message
	for i, m := range in.Messages {
		good := func(l state.Message) bool {
			return l.Channel == m.Channel && l.Purpose == m.Purpose && !l.Sent.IsZero()
		}
		if m.Dead && !slices.ContainsFunc(in.Messages[i+1:], good) {
			out = append(out, m)
		}
	}
	return out
}

// unheard says in a line who was not told, and whom to call.
func unheard(in *state.Incident) string {
	dead := lost(in)
	if len(dead) == 0 {
		return ""
	}
	m := dead[len(dead)-1]
	text := m.Purpose + " to " + m.Channel + " did not arrive"
	if m.Call != "" {
		text += ": call " + m.Call
	}
	if n := len(dead) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more: i)", n)
	}
	return text
}

// delivery says how a message fares.
func delivery(m state.Message) (string, dialog.Tone) {
	switch {
	case m.Dead:
		text := "NOT DELIVERED, given up"
		if m.Call != "" {
			text += ": call " + m.Call
		}
		return text, dialog.Alarm
	case !m.Sent.IsZero() && m.Tries > 1:
		return fmt.Sprintf("delivered %s, at try %d", m.Sent.Format("15:04:05"), m.Tries), dialog.Plain
	case !m.Sent.IsZero():
		return "delivered " + m.Sent.Format("15:04:05"), dialog.Plain
	case m.Tries > 0:
		return fmt.Sprintf("waits after try %d", m.Tries), dialog.Heading
	}
	return "waits", dialog.Quiet
}

func whyNoMessages(m *Model) string {
	return unless(len(m.scene.Incident.Messages) > 0, "no message was written yet")
}

// mostOffered bounds how many messages can be chosen from.
const mostOffered = 30

// messages shows every message and how it fares, the newest first, and lets one be
// corrected or sent again.
func (m *Model) messages() tea.Cmd {
	in := m.scene.Incident
	spec := dialog.Spec{Title: "Messages", Wide: true}
	var opts []dialog.Option
	for _, x := range slices.Backward(in.Messages) {
		to := x.Channel
		if x.Audience != "" && x.Audience != x.Channel {
			to += " (" + x.Audience + ")"
		}
		name := x.Queued.Format("15:04:05") + " " + x.Purpose + " to " + to
		how, tone := delivery(x)
		spec.Body = append(spec.Body, dialog.Line{Tone: tone, Text: name + "  " + how})
		if x.Err != "" {
			spec.Body = append(spec.Body, dialog.Line{Tone: dialog.Quiet, Text: "         " + x.Err})
		}
		if len(opts) < mostOffered && (x.Dead || x.Ref != "") {
			opts = append(opts, dialog.Option{Value: x.ID, Label: name})
		}
	}
	if len(opts) == 0 || m.replay() || !in.Open() {
		m.open(spec, nil)
		return nil
	}
	spec.Button = "open"
	spec.Fields = []dialog.Field{{Name: "id", Label: "Correct, or send again", Kind: dialog.Choice, Options: opts}}
	m.open(spec, func(v map[string]string) tea.Cmd { return m.correct(v["id"]) })
	return nil
}

// correct opens a message's words.
func (m *Model) correct(id string) tea.Cmd {
	for _, x := range m.scene.Incident.Messages {
		if x.ID != id {
			continue
		}
		button := "correct it"
		if x.Dead {
			button = "send again"
		}
		d := m.open(dialog.Spec{Title: x.Purpose + " to " + x.Channel, Button: button, Fields: []dialog.Field{
			{Name: "text", Label: "Message, as it will be sent", Kind: dialog.Area, Required: true}}},
			func(v map[string]string) tea.Cmd { return m.do(state.Correct{ID: id, Text: v["text"]}) })
		d.SetValue("text", x.Text)
	}
	return nil
}
