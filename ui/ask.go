package ui

import (
	"context"
	"errors"
	"time"

	tea "charm.land/bubbletea/v2"

	"mayday/state"
)

// How long an intent may take until the screen says that nobody answered. Real time.
const (
	askTime     = 10 * time.Second
	previewTime = 30 * time.Second
	armTime     = time.Second
)

// answerMsg is the answer to an intent.
type answerMsg struct {
	want state.Intent
	ans  state.Answer
	err  error
	then func(state.Answer, error) tea.Cmd
}

// do sends an intent. A refusal is said in the status line.
func (m *Model) do(want state.Intent) tea.Cmd { return m.ask(want, nil) }

// ask sends an intent; then gets the answer, in Update, and says refusals itself.
func (m *Model) ask(want state.Intent, then func(state.Answer, error) tea.Cmd) tea.Cmd {
	if m.o.Session == nil {
		m.say(toneWarn, whyReplay)
		return nil
	}
	limit := askTime
	switch want.(type) {
	case state.Preview, state.DraftUpdate:
		limit = previewTime
	}
	session, parent := m.o.Session, m.ctx
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, limit)
		defer cancel()
		ans, err := session.Do(ctx, want)
		return answerMsg{want, ans, err, then}
	}
}

func (m *Model) handleAnswer(msg answerMsg) tea.Cmd {
	if msg.then != nil {
		return msg.then(msg.ans, msg.err)
	}
	if msg.err != nil {
		m.refused(msg.err)
	}
	return nil
}

// refused says why an intent was not taken.
func (m *Model) refused(err error) { m.say(toneBad, problem(err).Error()) }

// problem puts an error into words for a person.
func problem(err error) *state.Problem {
	if errors.Is(err, context.DeadlineExceeded) {
		return &state.Problem{What: "the keeper did not answer", Why: "it may be busy or gone",
			Do: "Press the key again; R works in any case."}
	}
	return state.AsProblem(err)
}

// remark journals something this screen noticed; at most one a second.
func (m *Model) remark(text string) tea.Cmd {
	if m.o.Session == nil || m.real.Sub(m.remarked) < time.Second {
		return nil
	}
	m.remarked = m.real
	return m.ask(state.Remark{Text: text}, func(state.Answer, error) tea.Cmd { return nil })
}
