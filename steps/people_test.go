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

func pagedLevels(events []state.Event) []state.LevelPaged {
	var out []state.LevelPaged
	for _, e := range events {
		if p, ok := e.Fact.(state.LevelPaged); ok {
			out = append(out, p)
		}
	}
	return out
}

// The host slept for two hours: the levels are marked late, and each person gets one page.
func TestAfterASleepEachPersonGetsOnePage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stop := r.feed(well)
		r.until("paged at once", func(in *state.Incident) bool { return len(pagesOf(in)) == 2 })
		r.until("roles given", func(in *state.Incident) bool { return in.Item("2.roles").Status == state.ItemDone })
		r.must(r.do(state.Ack{}))
		stop()
		rb := *r.o.Runbook
		rb.People = []runbook.Person{{Name: "Mona", Roles: []string{state.Senior, state.Manager}}, {Name: "Ivan", Roles: []string{state.Commander}}} // alice took that role
		r.bye()
		before := len(r.journal.all())
		time.Sleep(2 * time.Hour)
		r.open(&rb, r.journal.all())
		defer r.bye()
		r.until("all paged", func(in *state.Incident) bool { _, more := in.NextEscalation(); return !more })
		late := map[string]int{}
		for _, p := range pagedLevels(r.Events()[before:]) {
			if !p.Late {
				t.Errorf("%s is not late", p.Role)
			}
			late[p.Who]++
		}
		pages := 0
		for _, e := range r.Events()[before:] {
			if m, ok := e.Fact.(state.MessageQueued); ok && m.Purpose == "page" {
				pages++
			}
		}
		if late["Mona"] != 2 || late["alice"] != 1 || pages != 2 {
			t.Errorf("levels %v, %d pages", late, pages)
		}
	})
}

func TestWhoDoesNotAnswerIsCalledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		count := func() (n int) {
			for _, p := range pagedLevels(r.Events()) {
				if p.Role == state.OnCall {
					n++
				}
			}
			return n
		}
		r.until("paged", func(*state.Incident) bool { return count() == 1 })
		time.Sleep(rePage + time.Second)
		r.until("again", func(*state.Incident) bool { return count() == 2 })
		r.must(r.do(state.Snooze{Role: state.OnCall, For: state.Duration(20 * time.Minute)}))
		time.Sleep(19 * time.Minute)
		if count() != 2 {
			t.Error("called though snoozed")
		}
		time.Sleep(2 * time.Minute)
		r.until("after the snooze", func(*state.Incident) bool { return count() == 3 })
		r.must(r.do(state.Ack{Role: state.OnCall}))
		time.Sleep(time.Hour)
		if count() != 3 {
			t.Error("called after the answer")
		}
		if err := r.do(state.Ack{Role: state.OnCall}); err == nil {
			t.Error("nothing waits, and it was acknowledged")
		}
		for _, bad := range []state.Snooze{{Role: state.OnCall}, {Role: state.OnCall, For: -1}, {Role: "nobody", For: 60e9}, {Role: state.OnCall, For: state.Duration(48 * time.Hour)}} {
			if err := r.do(bad); err == nil {
				t.Errorf("%+v was taken", bad)
			}
		}
	})
}

func TestEscalateByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		r.until("paged at once", func(in *state.Incident) bool { return len(pagesOf(in)) == 2 })
		n := len(r.Incident().Levels)
		r.must(r.do(state.Escalate{})) // the next one
		in := r.Incident()
		if next, _ := in.NextEscalation(); next.Role != state.Manager {
			t.Errorf("the senior engineer was not called: next is %s", next.Role)
		}
		r.must(r.do(state.Ack{}))
		r.must(r.do(state.Escalate{Role: state.OnCall})) // called already, called again
		in = r.Incident()
		if len(in.Levels) != n {
			t.Errorf("%d levels of %d", len(in.Levels), n)
		}
		if l := in.Levels[0]; l.Role != state.OnCall || !l.Acked.IsZero() {
			t.Errorf("the second call counts as answered: %+v", l)
		}
		r.must(r.do(state.Escalate{Role: state.Executives})) // not in this severity's policy
		if got := r.Incident().Levels; got[len(got)-1].Role != state.Executives {
			t.Error("the executives were not called")
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
