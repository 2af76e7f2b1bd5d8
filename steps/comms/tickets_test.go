package comms

import (
	"context"
	"strings"
	"testing"

	"mayday/state"
	"mayday/state/runbook"
)

// shelf is a tracker in memory.
type shelf struct {
	opened   []Ticket
	comments []Ticket
	fail     error
}

func (s *shelf) Link(issue string) string { return "https://tracker/" + issue }
func (s *shelf) Open(_ context.Context, t Ticket) (string, error) {
	s.opened = append(s.opened, t)
	return "https://tracker/PROD-1", s.fail
}
func (s *shelf) Comment(_ context.Context, link string, t Ticket) error {
	s.comments = append(s.comments, t)
	return s.fail
}
func (s *shelf) Reach(context.Context) (string, error) { return "TOPSECRET opens it", s.fail }
func (s *shelf) Secrets() []string                     { return []string{"TOPSECRET"} }

func withTracker(t *testing.T, s *shelf) *Post {
	p, err := New(&runbook.Runbook{Tickets: &runbook.Tickets{Kind: "shelf"}}, nil, map[string]MakeTracker{"shelf": func(runbook.Tickets) (Tracker, error) { return s, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestATicketIsMadeWhereThereIsNone(t *testing.T) {
	s := &shelf{}
	p := withTracker(t, s)
	in := incident()
	if o, err := run(t, p, "2.ticket", in, nil); err != nil || o.Facts["ticket"] != "https://tracker/PROD-2847" || len(s.opened) != 0 {
		t.Errorf("%+v %v", o, err)
	}
	in.Issue = ""
	if o, err := run(t, p, "2.ticket", in, nil); err != nil || o.Facts["ticket"] != "https://tracker/PROD-1" || len(s.opened) != 1 || s.opened[0].Key != in.ID {
		t.Errorf("%+v %v %+v", o, err, s.opened)
	}
	s.fail = Refused("tickets", "no TOPSECRET", true)
	if _, err := run(t, p, "2.ticket", in, nil); !state.HasCode(err, "refused") || strings.Contains(err.Error(), "TOPSECRET") {
		t.Errorf("%v", err)
	}
}

func TestReachTracker(t *testing.T) {
	s := &shelf{}
	p := withTracker(t, s)
	if seen, ok, err := p.ReachTracker(t.Context()); err != nil || !ok || seen == "" || strings.Contains(seen, "TOPSECRET") {
		t.Errorf("%q %v %v", seen, ok, err)
	}
	s.fail = Refused("tickets", "no TOPSECRET", true)
	if _, ok, err := p.ReachTracker(t.Context()); !ok || !Permanent(err) || strings.Contains(err.Error(), "TOPSECRET") {
		t.Errorf("%v %v", ok, err)
	}
	none, err := New(&runbook.Runbook{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := none.ReachTracker(t.Context()); ok || err != nil {
		t.Errorf("a runbook without a tracker has one: %v", err)
	}
}

func TestTheTrackerHearsWhatProductionRuns(t *testing.T) {
	s := &shelf{}
	p := withTracker(t, s)
	in := incident()
	in.Facts["version"] = "v1.2.4"
	for range 2 {
		if _, err := run(t, p, "13.tracker", in, nil); err != nil {
			t.Fatal(err)
		}
	}
	if s.comments[0].Key != s.comments[1].Key || !strings.Contains(s.comments[0].Text, "v1.2.4") {
		t.Errorf("%+v", s.comments)
	}
	in.Attempt, in.Rollback.Status = 2, state.RollbackDone
	if _, err := run(t, p, "13.tracker", in, nil); err != nil || s.comments[2].Key == s.comments[0].Key || !strings.Contains(s.comments[2].Text, "ROLLED BACK") {
		t.Errorf("%v %+v", err, s.comments)
	}
	in.Issue = ""
	if _, err := run(t, p, "13.tracker", in, nil); !state.HasCode(err, "no-issue") {
		t.Errorf("%v", err)
	}
}

// rooms is a channel that makes rooms.
type rooms struct {
	stub
	name string
}

func (r *rooms) OpenRoom(_ context.Context, name string) (string, error) {
	r.name = name
	return "https://slack.com/C1", nil
}

func TestARoomThatAChannelMakes(t *testing.T) {
	r := &rooms{}
	rb := &runbook.Runbook{WarRoom: "slack:team", Channels: []runbook.Channel{{Name: "team"}, {Name: "mail"}}}
	p, err := New(rb, map[string]Make{"": func(c runbook.Channel) (Channel, error) {
		if c.Name == "team" {
			return r, nil
		}
		return &stub{}, nil
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := incident()
	if got := p.room(in); got != "" {
		t.Errorf("a room before it is made: %q", got)
	}
	if o, err := run(t, p, "2.room", in, nil); err != nil || o.Facts["room"] != "https://slack.com/C1" || r.name != in.ID+" "+in.Title {
		t.Errorf("%+v %v %q", o, err, r.name)
	}
	rb.WarRoom = "slack:mail"
	if _, err := run(t, p, "2.room", in, nil); !state.HasCode(err, "no-room") {
		t.Errorf("%v", err)
	}
}
