package steps

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

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
			if p.Late == p.AtOnce { // those of the declaration were paged in time, and their acks have lapsed
				t.Errorf("%s late: %v", p.Role, p.Late)
			}
			late[p.Who]++
		}
		pages := 0
		for _, e := range r.Events()[before:] {
			if m, ok := e.Fact.(state.MessageQueued); ok && m.Purpose == "page" {
				pages++
			}
		}
		if late["Mona"] != 3 || late["alice"] != 1 || late[""] != 1 || pages != 3 {
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
		time.Sleep(5*time.Minute + time.Second)
		r.until("again", func(*state.Incident) bool { return count() == 2 })
		r.must(r.do(state.Snooze{Role: state.OnCall, For: state.Duration(20 * time.Minute)}))
		time.Sleep(19 * time.Minute)
		if count() != 2 {
			t.Error("called though snoozed")
		}
		time.Sleep(2 * time.Minute)
		r.until("after the snooze", func(*state.Incident) bool { return count() == 3 })
		r.must(r.do(state.Ack{Role: state.OnCall}))
		time.Sleep(29 * time.Minute)
		if count() != 3 {
			t.Error("called after the answer")
		}
		if _, err := r.Do(t.Context(), state.Actor{User: "bob"}, state.Ack{Role: state.OnCall}); err == nil {
			t.Error("alice has it, and bob acknowledged")
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

func lapsed(events []state.Event) (out []state.AckLapsed) {
	for _, e := range events {
		if f, ok := e.Fact.(state.AckLapsed); ok {
			out = append(out, f)
		}
	}
	return out
}

// Who said "I have it" and is not heard of again may have fallen asleep.
func TestAnAckWithoutASignOfLifeLapses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		level := func() state.Level { return r.Incident().Levels[0] }
		r.until("paged", func(in *state.Incident) bool { return len(pagesOf(in)) == 2 })
		r.until("roles given", func(in *state.Incident) bool { return in.Item("2.roles").Status == state.ItemDone })
		r.must(r.do(state.Ack{}))
		time.Sleep(25 * time.Minute)
		r.must(r.do(state.AddNote{Text: "still reading the log"})) // awake
		time.Sleep(29 * time.Minute)
		if got := lapsed(r.Events()); len(got) != 0 || level().AckBy != "alice" {
			t.Fatalf("alice works, and her ack lapsed: %v", got)
		}
		r.must(r.do(state.Ack{Role: state.OnCall})) // says it again
		time.Sleep(29 * time.Minute)
		for _, l := range lapsed(r.Events()) {
			if l.Role == state.OnCall {
				t.Error("the ack was renewed and lapsed")
			}
		}
		n := 0
		for _, p := range pagedLevels(r.Events()) {
			if p.Role == state.OnCall {
				n++
			}
		}
		if n != 1 {
			t.Fatalf("the on-call was called %d times", n)
		}
		time.Sleep(2 * time.Minute)
		in := r.until("called again", func(in *state.Incident) bool { return in.Levels[0].Acked.IsZero() })
		if got := lapsed(r.Events()); len(got) == 0 || got[len(got)-1] != (state.AckLapsed{Role: state.OnCall, By: "alice", AtOnce: true}) || in.Levels[0].AckBy != "" {
			t.Errorf("lapsed: %v; %+v", got, in.Levels[0])
		}
	})
}

// What the runbook says after the declaration changes neither who is called nor when.
func TestThePolicyIsTheOneOfTheDeclaration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &memory{}
		rb := fullRunbook()
		slow := state.Policy{AtOnce: []string{state.OnCall}, Levels: []state.LevelAt{{Role: state.Senior, After: state.Duration(time.Hour)}}, Repeat: state.Duration(2 * time.Minute)}
		history, err := j.Append(time.Now(), alice, 0, state.Declared{ID: "INC-1", Severity: 1, Policy: slow, Steps: Catalogue(rb),
			Policies: map[state.Severity]state.Policy{0: {AtOnce: []string{state.Senior}}, 1: slow},
			Rota:     map[string][]string{state.OnCall: {"Olga", "Otto"}, state.Senior: {"Sam"}}})
		if err != nil {
			t.Fatal(err)
		}
		r := newRigOn(t, history, func(_ *rig, o *Options) {
			o.Runbook.People = []runbook.Person{{Name: "Newcomer", Roles: []string{state.OnCall}}}
		})
		defer r.bye()
		r.until("paged", func(in *state.Incident) bool { return len(pagedLevels(r.Events())) == 1 })
		time.Sleep(2*time.Minute + time.Second)
		r.until("again", func(in *state.Incident) bool { return len(pagedLevels(r.Events())) == 2 })
		for _, p := range pagedLevels(r.Events()) {
			if p.Who != "Olga, Otto" {
				t.Errorf("%s was called", p.Who)
			}
		}
		r.must(r.do(state.SetSeverity{To: 0}))
		if p := r.Incident().Policy; len(p.Levels) != 0 || len(p.AtOnce) != 1 || p.AtOnce[0] != state.Senior {
			t.Errorf("the policy of SEV0 is %+v", p)
		}
		r.until("the senior called", func(*state.Incident) bool {
			all := pagedLevels(r.Events())
			return all[len(all)-1].Who == "Sam"
		})
	})
}

// templated renders what the Engine gives a page to tell.
type templated struct{ channels }

func (templated) Render(p, _ string, _ *state.Incident, _ time.Time, extra map[string]string) (string, error) {
	return strings.Join([]string{p, extra["who"], extra["step"], extra["metric"], extra["rollback"], extra["join"]}, "|"), nil
}

func TestAPageSaysWhereItStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(_ *rig, o *Options) {
			o.Messenger = templated{channels{of: map[string][]string{"pages": {"#pager"}, "executives": {"mail"}}}}
			o.Actor.Host = "bastion-1"
		})
		defer r.bye()
		bad := state.Sample{Probe: r.probe.Name, At: r.Now(), Value: 0.081, Verdict: state.Crit}
		r.must(r.Record(state.ProbeJudged{Sample: bad}))
		before := len(r.Events())
		r.must(r.do(state.Escalate{Role: state.Executives}))
		got := map[string]string{}
		for _, e := range r.Events()[before:] {
			if m, ok := e.Fact.(state.MessageQueued); ok {
				got[m.Channel] = m.Text
			}
		}
		want := "step 1 Assess and triage: "
		if len(got) != 2 || got["mail"] != got["#pager"] || !strings.Contains(got["mail"], want) || !strings.Contains(got["mail"], r.probe.Name+" 8.1 %") ||
			!strings.Contains(got["mail"], "no way back is known yet") || !strings.Contains(got["mail"], "ssh bastion-1, then mayday --incident INC-1") {
			t.Errorf("%q", got)
		}
	})
}

func TestALevelHasItsOwnChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &memory{}
		rb := fullRunbook()
		history, err := j.Append(time.Now(), alice, 0, state.Declared{ID: "INC-1", Severity: 1, Steps: Catalogue(rb),
			Policy: state.Policy{Levels: []state.LevelAt{{Role: state.Senior, Channels: []string{"phone", "#seniors"}}}}})
		if err != nil {
			t.Fatal(err)
		}
		r := newRigOn(t, history)
		defer r.bye()
		in := r.until("paged", func(in *state.Incident) bool { return len(pagesOf(in)) > 0 })
		var on []string
		for _, m := range in.Messages {
			on = append(on, m.Channel)
		}
		if strings.Join(on, " ") != "phone #seniors" {
			t.Errorf("paged by %v", on)
		}
	})
}

func TestHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(_ *rig, o *Options) {
			o.Runbook.People = []runbook.Person{{Name: "Olga", Roles: []string{state.OnCall}}, {Name: "Otto"}}
		})
		defer r.bye()
		r.until("paged", func(in *state.Incident) bool { return len(pagesOf(in)) == 2 })
		r.until("roles given", func(in *state.Incident) bool { return in.Item("2.roles").Status == state.ItemDone })
		r.must(r.do(state.Ack{}))
		r.must(r.do(state.HandOver{Role: state.OnCall, To: "Otto", Why: "my shift ends"}))
		in := r.Incident()
		if l := in.Levels[0]; l.Who != "Otto" || !l.Acked.IsZero() || in.Roles[state.OnCall] != "Otto" {
			t.Errorf("after the hand-over %+v", l)
		}
		levels := len(in.Levels)
		r.must(r.do(state.HandOver{Role: state.Driver, To: "Olga"}))
		in = r.Incident()
		if last := in.Messages[len(in.Messages)-1]; in.Roles[state.Driver] != "Olga" || len(in.Levels) != levels || last.Purpose != "page" {
			t.Errorf("the driver is %s, %d levels, told by %+v", in.Roles[state.Driver], len(in.Levels), last)
		}
		for _, bad := range []state.HandOver{{Role: state.OnCall}, {To: "Otto"}, {Role: state.OnCall, To: "Nobody"}} {
			if err := r.do(bad); err == nil {
				t.Errorf("%+v was taken", bad)
			}
		}
	})
}

// A slip of the finger makes no role, calls nobody, and says which roles there are; how
// a role's letters are written does not matter.
func TestARoleIsOneThatThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(_ *rig, o *Options) {
			o.Runbook.People = []runbook.Person{{Name: "Otto", Roles: []string{state.OnCall, "dba"}}, {Name: "Olga", Roles: []string{state.Senior}}}
		})
		defer r.bye()
		r.until("called", func(in *state.Incident) bool { return len(pagesOf(in)) > 0 })
		for _, bad := range []state.Intent{state.SetRole{Role: "drivr", Person: "Olga"}, state.HandOver{Role: "drivr", To: "Olga"}, state.Escalate{Role: "drivr"},
			state.Ack{Role: "drivr"}, state.Snooze{Role: "drivr", For: state.Duration(time.Minute)}} {
			err := r.do(bad)
			if !state.HasCode(err, "usage") || !strings.Contains(err.Error(), `"drivr"`) || !strings.Contains(err.Error(), state.Manager) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		for _, e := range r.Events() {
			if b, err := e.MarshalJSON(); err != nil || strings.Contains(string(b), "drivr") {
				t.Errorf("%v: %s", err, b)
			}
		}
		a, err := r.Do(t.Context(), state.Actor{User: "alice"}, state.SetRole{Role: "Driver", Person: "Zed"})
		if err != nil || !strings.Contains(a.Text, `nobody "Zed"`) || r.Incident().Roles[state.Driver] != "Zed" {
			t.Errorf("%v %+v %v", err, a, r.Incident().Roles)
		}
		r.must(r.do(state.SetRole{Role: "DBA", Person: "Otto"}))
		r.must(r.do(state.Escalate{Role: "Senior Engineer"}))
		r.must(r.do(state.Snooze{Role: "SENIOR engineer", For: state.Duration(time.Minute)}))
		a, err = r.Do(t.Context(), state.Actor{User: "alice"}, state.Ack{Role: "Senior engineer"})
		if err != nil || len(a.Lines) != 1 || a.Lines[0] != state.Senior || !strings.Contains(a.Text, "30m") {
			t.Errorf("%v %+v", err, a)
		}
	})
}
