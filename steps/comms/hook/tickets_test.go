package hook

import (
	"context"
	"slices"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/comms"
)

func TestATrackerThatIsACommand(t *testing.T) {
	var env []string
	r := Result{Printed: "making it\nhttps://tracker/7\n"}
	tr, err := NewTracker(func(_ context.Context, _ runbook.Command, e []string) (Result, error) { env = e; return r, nil })(
		runbook.Tickets{Command: &runbook.Command{Run: []string{"./ticket.sh"}, Timeout: state.Duration(time.Second)}})
	if err != nil {
		t.Fatal(err)
	}
	ticket := comms.Ticket{Key: "INC-1/open", Incident: "INC-1", Title: "SEV1: Down", Text: "words"}
	link, err := tr.Open(t.Context(), ticket)
	if err != nil || link != "https://tracker/7" || !slices.Contains(env, "MAYDAY_TICKET=open") || !slices.Contains(env, "MAYDAY_TITLE=SEV1: Down") || !slices.Contains(env, "MAYDAY_KEY=INC-1/open") {
		t.Errorf("%q %v %q", link, err, env)
	}
	if err := tr.Comment(t.Context(), link, ticket); err != nil || !slices.Contains(env, "MAYDAY_TICKET=comment") || !slices.Contains(env, "MAYDAY_LINK=https://tracker/7") {
		t.Errorf("%v %q", err, env)
	}
	r = Result{}
	if _, err := tr.Open(t.Context(), ticket); !comms.Permanent(err) {
		t.Errorf("no link: %v", err)
	}
	r = Result{Exit: 75}
	if err := tr.Comment(t.Context(), link, ticket); err == nil || comms.Permanent(err) {
		t.Errorf("%v", err)
	}
}
