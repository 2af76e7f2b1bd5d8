package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"mayday/state"
)

// mayday show says without a screen who was called, who is next, when people outside hear
// again, which messages did not arrive, and that nobody keeps the clocks.
func TestShowSaysWhoIsCalled(t *testing.T) {
	at := func(m int) time.Time { return time.Date(2026, 11, 22, 3, m, 0, 0, time.UTC) }
	in := &state.Incident{ID: "INC-20261122-01", Status: state.Investigating, Declared: at(0), Levels: []state.Level{
		{Role: state.OnCall, Who: "Alice", Due: at(0), Paged: at(0), Acked: at(2), AckBy: "alice", Alive: at(5)},
		{Role: state.Senior, Who: "Otto", Due: at(15), Paged: at(15), Snooze: at(40)},
		{Role: state.Manager, Who: "Mona", Due: at(30)},
		{Role: state.Commander, Due: at(59)},
	}, Messages: []state.Message{
		{ID: "m3-1", Purpose: "page", Channel: "pager", Sent: at(1), Tries: 1},
		{ID: "m4-2", Purpose: "declared", Channel: "ops"},
		{ID: "m5-3", Purpose: "update", Channel: "mail", Dead: true, Tries: 20, Err: "no \x1b[31mroute", Call: "Otto +49 30 1"},
	}}
	in.Updates.Due = at(20)
	show := func(minute int) string {
		var out bytes.Buffer
		a := &app{out: &out, now: func() time.Time { return at(minute) }}
		a.showCalls(in)
		return out.String()
	}
	wants := func(got string, words ...string) {
		t.Helper()
		for _, w := range words {
			if !strings.Contains(got, w) {
				t.Errorf("it does not say %q:\n%s", w, got)
			}
		}
	}
	got := show(32)
	wants(got, "nobody keeps it", "Alice, called at 03:00:00, alice has it; lapses at 03:35:00", "Otto, called at 03:15:00, has not answered, snoozed until 03:40:00",
		"Mona, to be called at 03:30:00, overdue since 2m", "nobody known, to be called at 03:59:00\n", "status update          due at 03:20:00, overdue since 12m",
		"declared to ops: not delivered yet\n", "update to mail: given up after 20 tries: no route; call Otto +49 30 1")
	if strings.Contains(got, "pager") || strings.Contains(got, "\x1b") {
		t.Errorf("%q", got)
	}
	wants(show(36), "alice had it, nothing heard since before 03:35:00")
	in.Keeper, in.Mitigated = state.Actor{PID: 4711}, at(31)
	if got := show(32); strings.Contains(got, "nobody keeps it") || strings.Contains(got, "called") {
		t.Errorf("%s", got)
	}
}
