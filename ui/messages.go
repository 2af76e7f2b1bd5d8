package ui

import (
	"fmt"
	"slices"
	"strings"

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

// A page is given up after a quarter of an hour; after this many tries (some 15 s) it is
// said that it does not arrive.
const stuckAfter = 4

// stuck gives the pages that are tried again and again, and those that wait behind them.
func stuck(in *state.Incident) []state.Message {
	failing := map[string]bool{}
	var out []state.Message
	for _, m := range in.Messages {
		if m.Purpose != "page" || m.Dead || !m.Sent.IsZero() {
			continue
		}
		if failing[m.Channel] = failing[m.Channel] || m.Tries >= stuckAfter; failing[m.Channel] {
			out = append(out, m)
		}
	}
	return out
}

// unheard says in a line who was not told, and whom to call.
func unheard(in *state.Incident) string {
	dead := lost(in)
	if len(dead) == 0 {
		waits := stuck(in)
		if len(waits) == 0 {
			return ""
		}
		what, who := "a page does not arrive", []string{}
		if len(waits) > 1 {
			what = fmt.Sprintf("%d pages do not arrive", len(waits))
		}
		for _, m := range waits {
			if m.Who != "" && !slices.Contains(who, m.Who) {
				who = append(who, m.Who)
			}
		}
		what += fmt.Sprintf(", %s failed %d times (i says why)", waits[0].Channel, waits[0].Tries)
		if len(who) > 0 {
			what += ": call " + strings.Join(who, ", ")
		}
		return what
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

// undelivered is what is said of a message that was given up.
const undelivered = "NOT DELIVERED, given up"

// delivery says how a message fares.
func delivery(m state.Message) string {
	switch {
	case m.Dead && m.Call != "":
		return undelivered + ": call " + m.Call
	case m.Dead:
		return undelivered
	case !m.Sent.IsZero() && m.Tries > 1:
		return fmt.Sprintf("delivered %s, at try %d", m.Sent.Format("15:04:05"), m.Tries)
	case !m.Sent.IsZero():
		return "delivered " + m.Sent.Format("15:04:05")
	case m.Tries > 0:
		return fmt.Sprintf("waits after try %d", m.Tries)
	}
	return "waits"
}

func whyNoMessages(m *Model) string {
	return unless(len(m.scene.Incident.Messages) > 0, "no message was written yet")
}

// mostOffered bounds how many messages can be chosen from.
const mostOffered = 30

// messages shows how every message fares, those that did not arrive and then the newest
// first; each can be read, and corrected or sent again where that can be done.
func (m *Model) messages() tea.Cmd {
	in := m.scene.Incident
	all := slices.Clone(in.Messages)
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b state.Message) int { return rankOf(a) - rankOf(b) })
	spec := dialog.Spec{Title: "Messages", Wide: true, Button: "read", Leave: "close"}
	for _, x := range lost(in) {
		text := letter(x) + " did not arrive"
		if x.Call != "" {
			text = "call " + x.Call + ": " + text
		}
		spec.Body = append(spec.Body, dialog.Line{Tone: dialog.Alarm, Text: text})
		if x.Err != "" {
			spec.Body = append(spec.Body, dialog.Line{Tone: dialog.Quiet, Text: x.Err})
		}
	}
	for _, x := range stuck(in) {
		text := "page to " + x.Channel + " does not arrive, it is tried again"
		if x.Who != "" {
			text = "call " + x.Who + ": " + text
		}
		spec.Body = append(spec.Body, dialog.Line{Tone: dialog.Alarm, Text: text})
		if x.Err != "" {
			spec.Body = append(spec.Body, dialog.Line{Tone: dialog.Quiet, Text: x.Err})
		}
	}
	label := "All messages"
	if n := len(all) - mostOffered; n > 0 {
		all, label = all[:mostOffered], fmt.Sprintf("The newest of %d messages", len(all))
	}
	var opts []dialog.Option
	for _, x := range all {
		how := delivery(x)
		if x.Dead {
			how = undelivered // whom to call stands above
		}
		opts = append(opts, dialog.Option{Value: x.ID, Label: letter(x), Help: how})
	}
	spec.Fields = []dialog.Field{{Name: "id", Label: label, Kind: dialog.Choice, Options: opts}}
	m.open(spec, func(v map[string]string) tea.Cmd { return m.message(v["id"]) })
	return nil
}

// rankOf puts what did not arrive before what is tried again, that before what waits for
// its turn, and that before what is delivered.
func rankOf(x state.Message) int {
	switch {
	case x.Dead:
		return 0
	case x.Sent.IsZero() && x.Tries > 0:
		return 1
	case x.Sent.IsZero():
		return 2
	}
	return 3
}

// letter names a message by its time, its purpose, whom it calls and where it goes.
func letter(x state.Message) string {
	to := x.Channel
	if x.Audience != "" && x.Audience != x.Channel {
		to += " (" + x.Audience + ")"
	}
	what := x.Purpose
	if x.Who != "" {
		what += " for " + x.Who
	}
	return x.Queued.Format("15:04:05") + " " + what + " to " + to
}

// message opens a message: its words, to be corrected where its service can change what
// it shows, and to be sent again where it did not arrive.
func (m *Model) message(id string) tea.Cmd {
	in := m.scene.Incident
	i := slices.IndexFunc(in.Messages, func(x state.Message) bool { return x.ID == id })
	if i < 0 {
		return nil
	}
	x := in.Messages[i]
	spec := dialog.Spec{Title: x.Purpose + " to " + x.Channel, Intro: []string{delivery(x)}}
	if x.Err != "" {
		spec.Intro = append(spec.Intro, x.Err)
	}
	if m.replay() || !in.Open() || !x.Dead && x.Ref == "" {
		for line := range strings.SplitSeq(x.Text, "\n") {
			spec.Body = append(spec.Body, dialog.Line{Text: line})
		}
		m.open(spec, nil)
		return nil
	}
	if spec.Button = "correct it"; x.Dead {
		spec.Button = "send again"
	}
	spec.Fields = []dialog.Field{{Name: "text", Label: "Message, as it will be sent", Kind: dialog.Area, Required: true}}
	d := m.open(spec, func(v map[string]string) tea.Cmd { return m.do(state.Correct{ID: id, Text: v["text"]}) })
	d.SetValue("text", x.Text)
	return nil
}
