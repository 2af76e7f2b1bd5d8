package steps

import (
	"fmt"
	"strings"

	"mayday/state"
)

// sayRolledBack tells people, and what watches production, of a rollback.
func (e *Engine) sayRolledBack(target, reason, verified string) []state.Fact {
	extra := map[string]string{"target": target, "reason": reason, "verified": verified, "what": "rolled back to " + target}
	return append(e.say("rollback", extra, "team", "stakeholders"), e.say("change", extra, "changes")...)
}

// sayAcked tells what keeps alerts open who has them now.
func (e *Engine) sayAcked(actor state.Actor, facts []state.Fact) []state.Fact {
	var out []state.Fact
	told := map[string]bool{}
	for _, f := range facts {
		if ack, ok := f.(state.LevelAcked); ok && !told[ack.Role] {
			told[ack.Role] = true
			out = append(out, e.say("acked", map[string]string{"role": ack.Role, "who": e.nameOf(actor.User)}, "alerts")...)
		}
	}
	return out
}

// correct gives a message other words where its service can change what it shows.
func (e *Engine) correct(actor state.Actor, v state.Correct) (state.Answer, error) {
	text := e.o.Redact(state.CleanLines(v.Text))
	if strings.TrimSpace(text) == "" {
		return state.Answer{}, &state.Problem{What: "a message without words is not sent"}
	}
	return e.simple(actor, func(in *state.Incident) error {
		for _, m := range in.Messages {
			if m.ID != v.ID {
				continue
			}
			switch {
			case m.Dead, m.Tries == 0:
				return nil // nobody has read it, or it is just going out: then this follows
			case m.Text == text:
				return &state.Problem{What: "the message says that already"}
			case m.Ref == "" || !e.o.Messenger.Corrects(m.Channel):
				return &state.Problem{Code: "sent", What: fmt.Sprintf("%s cannot change what it has sent", m.Channel), Do: "Send another update that puts it right."}
			}
			return nil
		}
		return &state.Problem{What: fmt.Sprintf("there is no message %q", e.clean(v.ID)), Do: "mayday show lists them."}
	}, state.MessageCorrected{ID: v.ID, Text: text})
}
