package steps

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"mayday/state"
	"mayday/state/runbook"
)

// sent lists the messages for a channel: purpose, role and whom it calls.
func sent(in *state.Incident, channel string) []string {
	var out []string
	for _, m := range in.Messages {
		if m.Channel == channel {
			out = append(out, strings.TrimSpace(m.Purpose+" "+m.Role))
		}
	}
	return out
}

func TestWhatKeepsAlertsOpenHearsOfAcksChangesAndTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(_ *rig, o *Options) {
			o.Messenger = channels{of: map[string][]string{"pages": {"pager", "#ops"}, "alerts": {"pager"}, "changes": {"pager"}, "team": {"#ops"}}}
		})
		defer r.bye()
		defer r.feed(well)()
		r.must(r.do(state.Escalate{Role: state.Senior}))
		r.must(r.do(state.Ack{Role: state.Senior}))
		got := sent(r.Incident(), "pager")
		if i := slices.Index(got, "acked senior engineer"); i < 0 || !slices.Contains(got[:i], "page senior engineer") {
			t.Errorf("the pager got %q", got)
		}
		if slices.Contains(sent(r.Incident(), "#ops"), "acked senior engineer") {
			t.Error("a chat was told of an ack")
		}
		r.deploy()
		r.until("deployed", func(in *state.Incident) bool { return in.Item("10.deploy").Status == state.ItemDone })
		r.must(r.do(state.Fire{}))
		r.rolledBack()
		r.until("two changes: a deployment and a rollback", func(in *state.Incident) bool {
			return len(slices.DeleteFunc(sent(in, "pager"), func(s string) bool { return s != "change" })) == 2
		})
	})
}

// Who has a page is called as the runbook calls them, not by an account that means
// nothing to whoever reads it.
func TestAnAckHasAName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(_ *rig, o *Options) {
			o.Messenger = channels{of: map[string][]string{"pages": {"pager"}, "alerts": {"pager"}}}
			o.Runbook.People = []runbook.Person{{Name: "Alice Moreau", User: "alice", Roles: []string{state.Senior}}}
		})
		defer r.bye()
		r.must(r.do(state.Escalate{Role: state.Senior}))
		r.must(r.do(state.Ack{Role: state.Senior}))
		for _, m := range r.Incident().Messages {
			if m.Purpose == "acked" && m.Who == "Alice Moreau" {
				return
			}
		}
		t.Errorf("nobody is told her name: %+v", r.Incident().Messages)
	})
}

func TestCorrections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		if _, err := r.record(r.mayday(), state.MessageQueued{ID: "m900-1", Channel: "#incidents", Purpose: "update", Text: "ETA 10"},
			state.MessageTried{ID: "m900-1", OK: true, Tries: 1, Ref: "C1:2"},
			state.MessageQueued{ID: "m900-2", Channel: "mail", Purpose: "update", Text: "ETA 10"}, state.MessageTried{ID: "m900-2", OK: true, Tries: 1},
			state.MessageQueued{ID: "m900-3", Channel: "mail", Purpose: "update", Text: "ETA 10"}, state.MessageTried{ID: "m900-3", Tries: 20, Dead: true}); err != nil {
			t.Fatal(err)
		}
		r.must(r.do(state.Correct{ID: "m900-1", Text: "ETA 20\x1b[2J"}))
		r.must(r.do(state.Correct{ID: "m900-3", Text: "ETA 10"})) // the same words again: it never arrived
		for _, m := range r.Incident().Messages {
			if (m.ID == "m900-1" || m.ID == "m900-3") && (!m.Sent.IsZero() || m.Tries != 0 || m.Dead || m.Edits != 1 || strings.Contains(m.Text, "\x1b")) {
				t.Errorf("%+v", m)
			}
			if m.ID == "m900-1" && (m.Ref != "C1:2" || !strings.HasPrefix(m.Text, "ETA 20")) {
				t.Errorf("%+v", m)
			}
		}
		for _, v := range []state.Correct{{ID: "m900-2", Text: "x"}, {ID: "m900-9", Text: "x"}, {ID: "m900-1", Text: " "}} {
			if err := r.do(v); err == nil {
				t.Errorf("%+v is accepted", v)
			}
		}
	})
}

// Whoever posts an update learns by which channels it goes; one that no channel takes is
// no update that went out.
func TestAnUpdateSaysWhoHearsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(_ *rig, o *Options) {
			o.Messenger = channels{of: map[string][]string{"team": {"#ops", "#all"}, "stakeholders": {"#all"}}}
		})
		defer r.bye()
		alice := state.Actor{User: "alice"}
		a, err := r.Do(t.Context(), alice, state.PostUpdate{Text: "we look", Audience: "executives"})
		if err != nil || len(a.Lines) != 0 || r.Incident().Item("13.update").Status.Settled() {
			t.Errorf("%v %q, 13.update %s", err, a.Lines, r.Incident().Item("13.update").Status)
		}
		a, err = r.Do(t.Context(), alice, state.PostUpdate{Text: "we look", Audience: state.Everybody})
		if got := strings.Join(a.Lines, " "); err != nil || got != "#all #ops" || r.Incident().Item("13.update").Status != state.ItemDone {
			t.Errorf("%v %q, 13.update %s", err, got, r.Incident().Item("13.update").Status)
		}
	})
}
