package cli

import (
	"fmt"
	"strings"
	"time"

	"mayday/state"
)

// levelRow is a level of the escalation for machines; times that have not come are absent.
type levelRow struct {
	Role    string    `json:"role"`
	Who     string    `json:"who,omitempty"`
	Due     time.Time `json:"due"`
	Paged   time.Time `json:"paged,omitzero"`
	Acked   time.Time `json:"acked,omitzero"`
	AckBy   string    `json:"ack_by,omitempty"`
	AckEnds time.Time `json:"ack_ends,omitzero"`
	Snoozed time.Time `json:"snoozed_until,omitzero"`
}

func levelRows(in *state.Incident) []levelRow {
	out := []levelRow{}
	for _, l := range in.Levels {
		ends, _ := in.AckEnds(l)
		out = append(out, levelRow{l.Role, l.Who, l.DueAt(), l.Paged, l.Acked, l.AckBy, ends, l.Snooze})
	}
	return out
}

// letterRow is a message that has not arrived, for machines.
type letterRow struct {
	ID       string    `json:"id"`
	Purpose  string    `json:"purpose"`
	Channel  string    `json:"channel"`
	Audience string    `json:"audience"`
	Queued   time.Time `json:"queued"`
	Tries    int       `json:"tries"`
	GivenUp  bool      `json:"given_up"`
	Error    string    `json:"error,omitempty"`
	Call     string    `json:"call,omitempty"`
}

func letterRows(in *state.Incident) []letterRow {
	out := []letterRow{}
	for _, m := range in.Messages {
		if m.Sent.IsZero() {
			out = append(out, letterRow{m.ID, m.Purpose, m.Channel, m.Audience, m.Queued, m.Tries, m.Dead, m.Err, m.Call})
		}
	}
	return out
}

// showCalls prints who was called and who is next, when people outside hear again, and
// which messages did not arrive.
func (a *app) showCalls(in *state.Incident) {
	now := in.Clock.At(a.now())
	if in.Open() && in.Keeper.PID == 0 {
		fmt.Fprintf(a.out, " ! %-22s %s\n", "nobody keeps it", "nobody is called and no message tried again, until mayday or mayday keeper runs")
	}
	if in.Open() && in.Mitigated.IsZero() {
		for _, l := range levelRows(in) {
			fmt.Fprintf(a.out, " ! %-22s %s\n", state.Clean(l.Role), state.Clean(l.text(now)))
		}
	}
	if due, ok := in.NextUpdate(); ok {
		fmt.Fprintf(a.out, " ! %-22s due at %s%s\n", "status update", due.Format(time.TimeOnly), overdue(due, now))
	}
	for _, m := range letterRows(in) {
		text := fmt.Sprintf("%s to %s: not delivered yet", m.Purpose, m.Channel)
		if m.GivenUp {
			text = fmt.Sprintf("%s to %s: given up", m.Purpose, m.Channel)
		}
		if m.Tries > 0 {
			text += fmt.Sprintf(" after %d tries: %s", m.Tries, m.Error)
		}
		if m.Call != "" {
			text += "; call " + m.Call
		}
		fmt.Fprintf(a.out, " ! %-22s %s\n", "message "+m.ID, state.Clean(text))
	}
}

// overdue is what is said of a time that has passed.
func overdue(at, now time.Time) string {
	if now.Before(at) {
		return ""
	}
	return ", overdue since " + state.Duration(now.Sub(at).Truncate(time.Second)).String()
}

// text says in a few words where a level stands at now.
func (l levelRow) text(now time.Time) string {
	who := strings.TrimSpace(l.Who)
	if who == "" {
		who = "nobody known"
	}
	text := fmt.Sprintf("%s, called at %s", who, l.Paged.Format(time.TimeOnly))
	switch {
	case l.Paged.IsZero():
		return fmt.Sprintf("%s, to be called at %s%s", who, l.Due.Format(time.TimeOnly), overdue(l.Due, now))
	case l.Acked.IsZero():
		text += ", has not answered"
	case now.Before(l.AckEnds):
		text += fmt.Sprintf(", %s has it; lapses at %s without a sign of life", l.AckBy, l.AckEnds.Format(time.TimeOnly))
	default:
		text += fmt.Sprintf(", %s had it, nothing heard since before %s", l.AckBy, l.AckEnds.Format(time.TimeOnly))
	}
	if l.Snoozed.After(now) {
		text += ", snoozed until " + l.Snoozed.Format(time.TimeOnly)
	}
	return text
}
