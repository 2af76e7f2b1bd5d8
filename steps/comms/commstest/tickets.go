package commstest

import (
	"context"
	"strings"
	"testing"
	"time"

	"mayday/steps/comms"
)

// Desk is a tracker and its service.
type Desk struct {
	Tracker comms.Tracker
	Secret  string
	Set     func(Fault)
	Deny    func()
	// Tickets gives what the service holds: each ticket's words, its comments after it.
	Tickets func() [][]string
}

func ticket(key, text string) comms.Ticket {
	return comms.Ticket{Key: "INC-20261122-01/" + key, Incident: "INC-20261122-01", Title: "SEV1: Payment <Gateway> Down", Text: text}
}

// RunTracker runs the suite of trackers. make gives a new desk, whose service holds no
// ticket of mayday's.
func RunTracker(t *testing.T, make func(t *testing.T) Desk) {
	t.Run("a ticket and its comments, each once", func(t *testing.T) { once(t, make(t)) })
	t.Run("the longest texts", func(t *testing.T) {
		d := make(t)
		long := strings.Repeat("Ünïcode & <so> on\n", 20_000)
		link, err := d.Tracker.Open(t.Context(), comms.Ticket{Key: "k", Incident: "INC-1", Title: strings.Repeat("ü", 1000), Text: long})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Tracker.Comment(t.Context(), link, ticket("c1", long)); err != nil {
			t.Error(err)
		}
	})
	t.Run("reach", func(t *testing.T) { reaches(t, make(t)) })
	t.Run("failures", func(t *testing.T) { fails(t, make(t)) })
}

// reaches: a tracker says whether it could be used, and makes nothing to find out.
func reaches(t *testing.T, d Desk) {
	if seen, err := d.Tracker.Reach(t.Context()); err != nil || seen == "" {
		t.Errorf("%q, %v", seen, err)
	}
	if d.Set != nil { // a service that can be asked
		d.Set(Broken)
		_, err := d.Tracker.Reach(t.Context())
		failureOf(t, "tickets", err, false)
		d.Set(Well)
		d.Deny()
		_, err = d.Tracker.Reach(t.Context())
		failureOf(t, "tickets", err, true)
	}
	if n := len(d.Tickets()); n != 0 {
		t.Errorf("%d tickets were made", n)
	}
}

func once(t *testing.T, d Desk) {
	var link string
	for range 2 { // the second is the run after a crash
		got, err := d.Tracker.Open(t.Context(), ticket("open", "first\nJournal head: 9f2c01ab"))
		if err != nil || got == "" || link != "" && got != link {
			t.Fatalf("%q, then %q: %v", link, got, err)
		}
		link = got
	}
	for _, key := range []string{"c1", "c1", "c2"} {
		if err := d.Tracker.Comment(t.Context(), link, ticket(key, "deployed "+key)); err != nil {
			t.Fatal(err)
		}
	}
	all := d.Tickets()
	if len(all) != 1 || len(all[0]) != 3 {
		t.Fatalf("the tracker holds %q", all)
	}
	for i, want := range []string{"Journal head: 9f2c01ab", "deployed c1", "deployed c2"} {
		if !strings.Contains(all[0][i], want) {
			t.Errorf("no %q in %q", want, all[0][i])
		}
	}
	if !strings.Contains(all[0][0], "SEV1: Payment <Gateway> Down") {
		t.Errorf("no title in %q", all[0][0])
	}
}

func fails(t *testing.T, d Desk) {
	open := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := d.Tracker.Open(ctx, ticket("open", "x"))
		return err
	}
	if d.Set != nil {
		d.Set(Broken)
		failureOf(t, "tickets", open(), false)
		d.Set(Busy)
		err := open()
		failureOf(t, "tickets", err, false)
		if got := comms.RetryAfter(err); got != Rest {
			t.Errorf("after %s", got)
		}
		d.Set(Well)
	}
	if !strings.Contains(strings.Join(d.Tracker.Secrets(), " "), d.Secret) {
		t.Error("the token is not among the secrets")
	}
	d.Deny()
	failureOf(t, "tickets", open(), true)
	if n := len(d.Tickets()); n != 0 {
		t.Errorf("%d tickets were made", n)
	}
}
