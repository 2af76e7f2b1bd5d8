package state_test

import (
	"fmt"
	"testing"
	"time"

	"mayday/state"
)

// outage is an incident with the default SEV1 playbook, and a way to go on with it.
func outage(t *testing.T) (*state.Incident, func(after time.Duration, f state.Fact)) {
	t.Helper()
	in := new(state.Incident)
	start := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	tell := func(after time.Duration, f state.Fact) {
		t.Helper()
		if err := in.Apply(state.Event{Seq: in.Seq + 1, Time: start.Add(after), Actor: state.Actor{User: "alice"}, Fact: f}); err != nil {
			t.Fatal(err)
		}
	}
	tell(0, state.Declared{ID: "INC-20261122-01", Severity: 1, Policy: state.DefaultPolicy(1),
		Steps: []state.Step{{No: 2, Items: []state.Item{{ID: "2.notify", Kind: state.Action, Title: "First notification"}}}, {No: 14, Items: []state.Item{{ID: "14.rollback", Kind: state.Action}}}}})
	return in, tell
}

// The playbook for a complete outage: 0 to 5, 5 to 15, 15 to 30 minutes, and what follows.
func TestDefaultPlaybook(t *testing.T) {
	in, _ := outage(t)
	var got string
	for i := range in.Playbook {
		p := &in.Playbook[i]
		end := "end"
		if !p.Due.IsZero() {
			end = p.Due.Sub(in.Declared).String()
		}
		got += fmt.Sprintf("%s %s-%s: %d\n", p.Name, p.From.Sub(in.Declared), end, len(p.Items))
	}
	want := "Immediate actions 0s-5m0s: 5\nInvestigation 5m0s-15m0s: 5\nMitigation 15m0s-30m0s: 5\nRecovery 30m0s-end: 5\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for s := range state.Severity(4) {
		if has := len(state.DefaultPolicy(s).Playbook) > 0; has != (s < 2) {
			t.Errorf("%s has a playbook: %v", s, has)
		}
	}
}

// What mayday does itself is settled with it; the rest by a tick, which can be taken back.
func TestPlaybookIsSettled(t *testing.T) {
	in, tell := outage(t)
	is := func(id string, want state.ItemStatus) {
		t.Helper()
		if got := in.Item(id).Status; got != want {
			t.Errorf("%s %q is %s, want %s", id, in.Item(id).Title, got, want)
		}
	}
	tell(time.Second, state.LevelPaged{Role: state.OnCall, AtOnce: true})
	is("p1.2", state.ItemOpen)
	tell(2*time.Second, state.LevelPaged{Role: state.Manager, AtOnce: true})
	is("p1.2", state.ItemDone)
	is("p1.1", state.ItemOpen)
	tell(3*time.Second, state.ItemStarted{Item: "2.notify", Run: "r"})
	tell(4*time.Second, state.ItemFinished{Item: "2.notify", Run: "r", Outcome: state.ItemDone})
	is("p1.1", state.ItemDone)
	if it := in.Item("p1.1"); it.Summary != "with 2.notify First notification" || it.By != "alice" {
		t.Errorf("%+v", it)
	}
	tell(5*time.Second, state.ItemChecked{Item: "p2.1"})
	is("p2.1", state.ItemDone)
	tell(6*time.Second, state.ItemUnchecked{Item: "p2.1"})
	is("p2.1", state.ItemOpen)
	tell(7*time.Second, state.ItemUnneeded{Item: "14.rollback"})
	is("p3.1", state.ItemOpen) // nothing was mitigated by that
	if in.Done() != 2 {
		t.Errorf("the playbook counts among the steps: %d", in.Done())
	}
}

func TestPlaybookIsLate(t *testing.T) {
	in, tell := outage(t)
	first, at := in.NextPhase(), in.Declared
	if first.Late(at.Add(5*time.Minute)) || !first.Late(at.Add(5*time.Minute+1)) {
		t.Error("the first phase is over after five minutes")
	}
	for i := range 5 {
		tell(time.Minute, state.ItemChecked{Item: fmt.Sprintf("p1.%d", i+1)})
	}
	if first = in.NextPhase(); first.Name != "Investigation" || in.Playbook[0].Late(at.Add(time.Hour)) {
		t.Errorf("all of the first is done; next is %s", first.Name)
	}
	if last := in.Phase("p4.1"); last.Late(at.Add(24 * time.Hour)) {
		t.Error("the last phase has no end")
	}
}

// Another severity has another playbook; what was done under the same words stays done.
func TestPlaybookOfAnotherSeverity(t *testing.T) {
	in, tell := outage(t)
	tell(time.Minute, state.ItemChecked{Item: "p2.1"})
	copied := in.Clone()
	worse := state.DefaultPolicy(0)
	worse.Playbook[1].Do = append([]state.Play{{Title: "Call the data centre"}}, worse.Playbook[1].Do...)
	tell(2*time.Minute, state.SeverityChanged{To: 0, Policy: worse})
	if in.Item("p2.1").Title != "Call the data centre" || in.Item("p2.1").Status != state.ItemOpen || in.Item("p2.2").Status != state.ItemDone {
		t.Errorf("%+v", in.Phase("p2.1").Items)
	}
	tell(3*time.Minute, state.SeverityChanged{To: 3, Policy: state.DefaultPolicy(3)})
	if len(in.Playbook) > 0 || copied.Item("p2.1").Status != state.ItemDone {
		t.Error("SEV3 has none, and a copy is no part of it")
	}
}
