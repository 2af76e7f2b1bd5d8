package state_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mayday/state"
)

var t0 = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)

func contains(s, sub string) bool { return strings.Contains(s, sub) }

func steps() []state.Step {
	var out []state.Step
	for no := 1; no <= 18; no++ {
		s := state.Step{No: no, Title: "step"}
		for _, name := range []string{"a", "b"} {
			s.Items = append(s.Items, state.Item{ID: string(rune('0'+no/10)) + string(rune('0'+no%10)) + "." + name, Kind: state.Action, Title: "item " + name})
		}
		if no == 15 {
			s.Items[0].ID = state.ItemMonitor
		}
		out = append(out, s)
	}
	return out
}

func declared() state.Declared {
	return state.Declared{ID: "INC-1", Title: "Payment gateway down", Severity: 1, Service: "shop", Environment: "production",
		Policy: state.DefaultPolicy(1), Roles: map[string]string{state.Manager: "mona"}, Steps: steps(),
		Probes: []state.Probe{{Name: "errors", Unit: "ratio"}}}
}

// apply adds facts, a second apart.
func apply(t testing.TB, in *state.Incident, facts ...state.Fact) {
	t.Helper()
	for _, f := range facts {
		at := in.Last.Add(time.Second)
		if in.Seq == 0 {
			at = t0
		}
		if err := in.Apply(state.Event{Seq: in.Seq + 1, Time: at, Actor: state.Actor{User: "alice", PID: 1}, Fact: f}); err != nil {
			t.Fatal(err)
		}
	}
}

func open(t testing.TB, facts ...state.Fact) *state.Incident {
	t.Helper()
	in := new(state.Incident)
	apply(t, in, declared())
	apply(t, in, facts...)
	return in
}

// TestTwoHostsFirstIncidentsAreTwo: IDs are counted on every host anew.
func TestTwoHostsFirstIncidentsAreTwo(t *testing.T) {
	seen := map[string]string{}
	for name, change := range map[string]func(*state.Declared, *state.Event){
		"one":            func(*state.Declared, *state.Event) {},
		"another key":    func(f *state.Declared, _ *state.Event) { f.PublicKey = "mayday/INC-1+2" },
		"unsigned there": func(f *state.Declared, e *state.Event) { f.PublicKey, e.Actor.Host = "", "bastion-2" },
		"unsigned later": func(f *state.Declared, e *state.Event) { f.PublicKey, e.Time = "", t0.Add(time.Minute) },
	} {
		f, e := declared(), state.Event{Seq: 1, Time: t0, Actor: state.Actor{User: "alice", Host: "bastion-1"}}
		f.PublicKey = "mayday/INC-1+1"
		change(&f, &e)
		e.Fact = f
		in, again := new(state.Incident), new(state.Incident)
		if err := errors.Join(in.Apply(e), again.Apply(e)); err != nil {
			t.Fatal(err)
		}
		if old := seen[in.Mark]; old != "" || in.Mark != again.Mark || !strings.HasPrefix(in.Mark, "INC-1.") {
			t.Errorf("%s: mark %q, again %q, that of %q", name, in.Mark, again.Mark, old)
		}
		seen[in.Mark] = name
	}
}

func TestGapsAndEmptyEventsAreRefused(t *testing.T) {
	in := open(t)
	before := dump(t, in)
	for _, e := range []state.Event{
		{Seq: 1, Fact: state.NoteAdded{}},
		{Seq: 3, Fact: state.NoteAdded{}},
		{Seq: 0, Fact: state.NoteAdded{}},
		{Seq: 2},
	} {
		if err := in.Apply(e); err == nil {
			t.Errorf("event %d with fact %v was taken", e.Seq, e.Fact)
		}
	}
	if dump(t, in) != before {
		t.Error("a refused event changed the incident")
	}
}

func TestDeclarationStartsTheClocks(t *testing.T) {
	in := open(t)
	if due, ok := in.NextUpdate(); !ok || !due.Equal(t0.Add(15*time.Minute)) {
		t.Errorf("next update %v %v", due, ok)
	}
	l, ok := in.NextEscalation()
	if !ok || !l.AtOnce || !l.DueAt().Equal(t0) {
		t.Errorf("first level %+v", l)
	}
	apply(t, in, state.LevelPaged{Role: state.OnCall, AtOnce: true}, state.LevelPaged{Role: state.Manager, AtOnce: true})
	if l, _ = in.NextEscalation(); l.Role != state.Senior || !l.DueAt().Equal(t0.Add(15*time.Minute)) {
		t.Errorf("second level %+v", l)
	}
	apply(t, in, state.LevelSnoozed{Role: state.Senior, Until: t0.Add(time.Hour - time.Second)})
	if l, _ = in.NextEscalation(); l.Role != state.Manager || l.Who != "mona" {
		t.Errorf("after a snooze %+v", l)
	}
	apply(t, in, state.StatusChanged{To: state.Monitoring})
	if _, ok = in.NextEscalation(); ok {
		t.Error("escalation goes on though the incident is mitigated")
	}
	apply(t, in, state.StatusChanged{To: state.Fixing})
	if _, ok = in.NextEscalation(); !ok {
		t.Error("broken again, and nobody will be called")
	}
}

func TestSeverityChangesTheClocks(t *testing.T) {
	in := open(t, state.LevelPaged{Role: state.OnCall, AtOnce: true}, state.LevelAcked{Role: state.OnCall})
	apply(t, in, state.SeverityChanged{To: 2, Policy: state.DefaultPolicy(2)})
	if due, _ := in.NextUpdate(); !due.Equal(t0.Add(30 * time.Minute)) {
		t.Errorf("before the first update the clock runs from the declaration, not %v", due)
	}
	if l := in.Levels[0]; l.Paged.IsZero() || l.Acked.IsZero() {
		t.Error("a page was forgotten")
	}
	if l, _ := in.NextEscalation(); l.Role != state.Senior || !l.Due.Equal(t0.Add(30*time.Minute)) {
		t.Errorf("next level %+v", l)
	}
	apply(t, in, state.UpdatePosted{Text: "x"})
	sent := in.Last
	apply(t, in, state.SeverityChanged{To: 0, Policy: state.DefaultPolicy(0)})
	if due, _ := in.NextUpdate(); !due.Equal(sent.Add(15 * time.Minute)) {
		t.Errorf("after an update the clock runs from it: %v, want %v", due, sent.Add(15*time.Minute))
	}
}

func TestLateUpdatesAreCounted(t *testing.T) {
	in := open(t)
	err := in.Apply(state.Event{Seq: 2, Time: t0.Add(20 * time.Minute), Fact: state.UpdatePosted{Text: "late"}})
	if err != nil || in.Updates.Late != 1 || in.Updates.Sent != 1 {
		t.Fatalf("%v %+v", err, in.Updates)
	}
}

func TestEndedIncidentsHaveNoClocks(t *testing.T) {
	for _, f := range []state.Fact{state.IncidentResolved{RootCause: "nil"}, state.DecisionMade{Choice: "wait"}} {
		in := open(t, f)
		if _, ok := in.NextUpdate(); ok || in.Open() {
			t.Errorf("%T: still open", f)
		}
		if _, ok := in.NextEscalation(); ok {
			t.Errorf("%T: still escalates", f)
		}
		end := in.Elapsed(in.Ended)
		if in.Elapsed(t0.Add(100*time.Hour)) != end || end <= 0 {
			t.Errorf("%T: elapsed does not stand still", f)
		}
	}
}

func plan() state.Plan {
	return state.Plan{ID: "r1", Environment: "production", Production: true, Strategy: "canary", Version: "v1.2.4", Target: "v1.2.3",
		Stages: []state.Stage{{Name: "canary 25 %", Weight: 25, Hold: state.Duration(30 * time.Second)}, {Name: "canary 100 %", Weight: 100}}}
}

func running() []state.Fact {
	return []state.Fact{
		state.RolloutLaid{Plan: plan(), Item: "10.a"},
		state.ItemStarted{Item: "10.a", Run: "10.a-1"},
		state.RolloutStarted{Rollout: "r1", Item: "10.a"},
		state.StageStarted{Rollout: "r1", Stage: 0},
	}
}

func TestTakeOverMarksWhatRanAsInterrupted(t *testing.T) {
	for _, asking := range []bool{false, true} {
		in := open(t, running()...)
		apply(t, in, state.ItemStarted{Item: state.ItemMonitor, Run: "w"}, state.ClientJoined{ID: "c"})
		if asking {
			apply(t, in, state.GateDecided{Rollout: "r1", State: state.GateAsking})
		}
		apply(t, in, state.KeeperStarted{TookOver: true})
		if got := in.Item("10.a").Status; got != state.ItemInterrupted {
			t.Errorf("item is %s", got)
		}
		r := in.Rollout("r1")
		if r.Status != state.RolloutInterrupted || r.Stages[0].Status != state.ItemInterrupted || r.Stages[1].Status != state.ItemOpen {
			t.Errorf("rollout %s, stages %s, %s", r.Status, r.Stages[0].Status, r.Stages[1].Status)
		}
		if got := in.Item(state.ItemMonitor).Status; got != state.ItemRunning {
			t.Errorf("the monitoring period is a span of the clock, and is %s", got)
		}
		if len(in.Here) != 0 {
			t.Error("the old keeper's clients are still here")
		}
		apply(t, in, state.RolloutResumed{Rollout: "r1"})
		if in.Item("10.a").Status != state.ItemRunning || r.Stages[0].Status != state.ItemRunning {
			t.Error("going on does not go on")
		}
	}
}

func TestAttemptResetsSteps3To15(t *testing.T) {
	in := open(t,
		state.ItemChecked{Item: "01.a", Value: "x"}, state.ItemSigned{Item: "06.a", Commit: "abc"},
		state.ItemChecked{Item: "16.a"}, state.FactsFound{Facts: map[string]string{"version": "v1.2.4", "baseline": "v1.2.3"}},
		state.AttemptClosed{N: 1, Outcome: "rolled back"})
	fresh := steps()[2:15]
	apply(t, in, state.AttemptStarted{N: 2, Steps: fresh})
	for _, s := range in.Steps {
		inside := s.No >= state.FirstOfAttempt && s.No <= state.LastOfAttempt
		if inside && s.Touched() {
			t.Errorf("step %d is not fresh", s.No)
		}
	}
	if !in.Step(1).Touched() || !in.Step(16).Touched() {
		t.Error("steps outside the attempt were reset")
	}
	if in.Facts["version"] != "" || in.Facts["baseline"] != "v1.2.3" {
		t.Errorf("facts %v", in.Facts)
	}
	if len(in.Closed) != 1 || len(in.Closed[0].Steps) != 13 || in.Closed[0].Steps[3].Items[0].Status != state.ItemDone {
		t.Error("the closed attempt was not kept for the reviewer")
	}
	apply(t, in, state.ItemChecked{Item: "06.a"})
	if fresh[3].Items[0].Status != "" {
		t.Error("the fold writes into the event")
	}
}

func TestRollback(t *testing.T) {
	in := open(t, running()...)
	apply(t, in, state.RollbackProven{Rollout: "r1", Proof: state.Proof{Ready: state.Ready, Target: "v1.2.3"}},
		state.RollbackPrimed{Deadline: t0, Trigger: "R"}, state.RollbackDisarmed{})
	if in.Rollback.Status != "" {
		t.Error("stopped, and still armed")
	}
	apply(t, in, state.RollbackPrimed{Trigger: "R"},
		state.RollbackStarted{Rollout: "r1", Target: "v1.2.3", Epoch: 1, Trigger: "R", Ops: []state.Op{{ID: "w", Title: "weights"}}},
		state.RollbackOp{Op: "w", Status: state.ItemRunning}, state.RollbackOp{Op: "w", Status: state.ItemDone},
		state.RollbackOp{Op: "extra", Title: "more", Status: state.ItemRunning},
		state.RollbackFinished{Done: true, Verified: "50 of 50"})
	rb := in.Rollback
	if rb.Status != state.RollbackDone || in.Epoch != 1 || in.Rollout("r1").Status != state.RolloutRolledBack {
		t.Errorf("%+v", rb)
	}
	if len(rb.Ops) != 2 || rb.Ops[0].Status != state.ItemDone || rb.Ops[0].Started.IsZero() || rb.Ops[0].Ended.IsZero() || rb.Proof.Ready != state.Ready {
		t.Errorf("%+v", rb)
	}
}

func TestGateFoldsIntoRolloutAndItem(t *testing.T) {
	in := open(t, running()...)
	since := in.Last
	apply(t, in, state.GateDecided{Rollout: "r1", State: state.GateHolding, Since: since, Hold: state.Duration(30 * time.Second)})
	g := in.Rollout("r1").Gate
	for _, c := range []struct{ at, want time.Duration }{{-time.Second, 0}, {12 * time.Second, 12 * time.Second}, {time.Hour, 30 * time.Second}} {
		if got := g.Held(since.Add(c.at)); got != c.want {
			t.Errorf("held %v at %v, want %v", got, c.at, c.want)
		}
	}
	apply(t, in, state.GateDecided{Rollout: "r1", State: state.GateAsking})
	if in.Rollout("r1").Status != state.RolloutAsking || in.Item("10.a").Status != state.ItemAsking {
		t.Error("an asking gate does not ask")
	}
	apply(t, in, state.StagePassed{Rollout: "r1"}, state.RolloutFinished{Rollout: "r1", Outcome: state.RolloutStopped})
	if r := in.Rollout("r1"); r.Stage() != 1 || r.Ended.IsZero() {
		t.Errorf("%+v", r)
	}
}

func TestFactsAboutNothingAreHarmless(t *testing.T) {
	in := open(t, state.ItemStarted{Item: "99.x"}, state.StageStarted{Rollout: "r9", Stage: 4}, state.StagePassed{Rollout: "r9", Stage: -1},
		state.GateDecided{Rollout: "r9", Stage: 7}, state.MessageTried{ID: "m"}, state.ClientLeft{ID: "c"}, state.LevelAcked{Role: "nobody"})
	apply(t, in, running()...)
	apply(t, in, state.GateDecided{Rollout: "r1", Stage: 9, State: state.GateAsking}, state.StageStarted{Rollout: "r1", Stage: 9})
}

// What waits for a person is the newest rollout of its item; one that was planned anew is past.
func TestWaiting(t *testing.T) {
	r := func(id, item string, attempt int, s state.RolloutStatus) state.Rollout {
		return state.Rollout{Plan: state.Plan{ID: id}, Item: item, Attempt: attempt, Status: s}
	}
	for _, c := range []struct {
		rollouts []state.Rollout
		want     string
	}{
		{nil, ""},
		{[]state.Rollout{r("r1", "8.deploy", 1, state.RolloutDone), r("r2", "10.deploy", 1, state.RolloutAsking)}, "r2"},
		{[]state.Rollout{r("r1", "10.deploy", 1, state.RolloutAsking), r("r2", "8.deploy", 1, state.RolloutFailed), r("r3", "8.deploy", 1, state.RolloutDone)}, "r1"},
		{[]state.Rollout{r("r1", "10.deploy", 1, state.RolloutFailed), r("r2", "10.deploy", 2, state.RolloutRunning)}, ""},
		{[]state.Rollout{r("r1", "10.deploy", 1, state.RolloutRunning)}, ""},
	} {
		in := &state.Incident{Attempt: 1, Rollouts: c.rollouts}
		if len(c.rollouts) > 0 {
			in.Attempt = c.rollouts[len(c.rollouts)-1].Attempt
		}
		got := ""
		if w := in.Waiting(); w != nil {
			got = w.ID
		}
		if got != c.want {
			t.Errorf("%+v: %q, want %q", c.rollouts, got, c.want)
		}
	}
}
