package steps

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// channels is a Messenger where some audiences share a channel.
type channels struct {
	nothing
	of map[string][]string
}

func (c channels) Channels(audience string) []string { return c.of[audience] }

func TestAChannelGetsAMessageOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(_ *rig, o *Options) {
			o.Messenger = channels{of: map[string][]string{"team": {"#ops", "#all"}, "stakeholders": {"#all", "mail"}, "customers": {"mail"}}}
		})
		defer r.bye()
		got := map[string]string{}
		for _, f := range r.say("deployed", nil, "team", "stakeholders") {
			m := f.(state.MessageQueued)
			if got[m.Channel] != "" {
				t.Errorf("%s gets it twice", m.Channel)
			}
			got[m.Channel] = m.Audience
		}
		if len(got) != 3 || got["#all"] != "team" || got["mail"] != "stakeholders" {
			t.Errorf("%v", got)
		}
		p, err := sending{e: r.Engine, purpose: "declared", to: []string{"team", "customers"}}.Preview(t.Context(), Job{Incident: r.Incident()})
		if want := "To #ops, #all:\ndeclared INC-1\n\nTo mail:\ncustomers INC-1\n\n"; err != nil || p.Text != want {
			t.Errorf("%v %q", err, p.Text)
		}
		s := sending{e: r.Engine, purpose: "deployed", to: []string{"team", "stakeholders"}}
		letters, err := s.letters(Job{Incident: r.Incident()})
		if err != nil || len(letters) != 3 {
			t.Errorf("%v %v", letters, err)
		}
	})
}

// Two messages with one name would be one in the outbox: somebody would not be called.
func TestEveryMessageHasItsOwnName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(well)()
		r.deploy()
		r.must(r.do(state.Fire{}))
		r.rolledBack()
		time.Sleep(2 * time.Hour)
		seen := map[string]bool{}
		for _, e := range r.Events() {
			if m, ok := e.Fact.(state.MessageQueued); ok {
				if seen[m.ID] {
					t.Fatalf("two messages are called %s", m.ID)
				}
				seen[m.ID] = true
			}
		}
		if len(seen) < 10 {
			t.Errorf("%d messages in two hours", len(seen))
		}
	})
}

func TestAnOverdueUpdateIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		warned := func() (n int) {
			for _, e := range r.Events() {
				if w, ok := e.Fact.(state.Warned); ok && strings.Contains(w.Text, "status update was due") {
					n++
				}
			}
			return n
		}
		time.Sleep(14 * time.Minute)
		if warned() != 0 {
			t.Error("warned before it was due")
		}
		time.Sleep(2 * time.Minute)
		r.until("warned", func(*state.Incident) bool { return warned() == 1 })
		rb := r.o.Runbook
		r.bye()
		r.open(rb, r.journal.all()) // the next keeper does not say it again
		defer r.bye()
		time.Sleep(time.Hour)
		if warned() != 1 {
			t.Errorf("warned %d times of one update", warned())
		}
		r.must(r.do(state.PostUpdate{Text: "we are on it"}))
		in := r.Incident()
		if due, ok := in.NextUpdate(); !ok || !due.Equal(in.Last.Add(15*time.Minute)) || in.Updates.Late != 1 {
			t.Errorf("next due %s, late %d", due, in.Updates.Late)
		}
		time.Sleep(16 * time.Minute)
		r.until("warned of the next", func(*state.Incident) bool { return warned() == 2 })
		for _, bad := range []state.Status{state.Resolved, state.Closed, "fine"} {
			if err := r.do(state.PostUpdate{Text: "x", Status: bad}); err == nil {
				t.Errorf("an update set the status %s", bad)
			}
		}
	})
}

// What gives the first roles runs by itself, and may be slow: whoever was given one
// meanwhile keeps it.
func TestFirstRolesUndoNoHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(_ *rig, o *Options) {
			o.Runbook.People = []runbook.Person{{Name: "Alice A.", User: "alice", Roles: []string{state.Commander}}, {Name: "Carol", User: "carol"}}
		})
		defer r.bye()
		begun := r.Incident()
		begun.Roles = nil
		r.must(r.do(state.HandOver{Role: state.Driver, To: "Carol"}))
		r.must(r.do(state.SetRole{Role: state.Commander, Person: "Dora"}))
		o, err := r.roles(t.Context(), Job{Incident: begun})
		r.must(err)
		if in := r.Incident(); in.Roles[state.Driver] != "Carol" || in.Roles[state.Commander] != "Dora" || o.Summary != "commander Dora, driver Carol" {
			t.Errorf("%v, told %q", in.Roles, o.Summary)
		}
	})
}
