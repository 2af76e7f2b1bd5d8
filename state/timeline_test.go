package state_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"mayday/state"
)

func TestEveryFactSaysItself(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	tones := map[state.Tone]bool{state.TonePlain: true, state.ToneGood: true, state.ToneRunning: true, state.ToneWarned: true,
		state.ToneBad: true, state.ToneUnknown: true, state.TonePast: true}
	in := open(t, running()...)
	for _, kind := range sortedKinds() {
		for range 10 {
			e := state.Event{Seq: 1, Time: t0, Actor: state.Actor{User: "alice"}, Fact: randomFact(t, kind, r)}
			for _, s := range []state.Saying{in.Say(e), new(state.Incident).Say(e)} {
				if s.Tag == "" || len(s.Tag) > 8 || strings.TrimSpace(s.Text) == "" || !tones[s.Tone] {
					t.Errorf("%s says %+v", kind, s)
				}
				if s.Text != state.Clean(s.Text) {
					t.Errorf("%s is not clean: %q", kind, s.Text)
				}
			}
		}
		// A fact of an older or broken writer may be empty.
		e := state.Event{Seq: 1, Time: t0, Fact: zeroFact(t, kind)}
		if tag, _ := state.Line(e); tag == "" {
			t.Errorf("%s: an empty fact has no tag", kind)
		}
	}
}

func TestLinesReadWell(t *testing.T) {
	in := open(t, running()...)
	apply(t, in, state.MessageQueued{ID: "m1", Channel: "slack", Purpose: "update"})
	p, bad := state.Probe{Name: "error rate new", Unit: "ratio"}, 0.05
	p.Crit = &bad
	in.Probes = append(in.Probes, p)
	for _, c := range []struct {
		fact state.Fact
		want string
		tone state.Tone
		mark bool
	}{
		{declared(), "declared: SEV1 Payment gateway down (production shop)", state.ToneBad, true},
		{state.StageStarted{Rollout: "r1"}, "rollout: canary 25 % started", state.ToneRunning, true},
		{state.StageEffected{Rollout: "r1", Effect: "seen 24.7 %, 3/3 ready"}, "rollout: canary 25 %: seen 24.7 %, 3/3 ready after 2s", state.ToneRunning, false},
		{state.StagePassed{Rollout: "r1", Text: "60 samples"}, "gate: canary 25 % passed: 60 samples", state.ToneGood, false},
		{state.GateDecided{Rollout: "r1", State: state.GateFailed, Reasons: []string{"error rate new 7.9 %"}}, "gate: canary 25 % failed: error rate new 7.9 %", state.ToneBad, true},
		{state.GateDecided{Rollout: "r1", State: state.GateAsking, Reasons: []string{"no data"}}, "gate: canary 25 % asks a person: no data", state.ToneUnknown, true},
		{state.RolloutStarted{Rollout: "r1"}, "rollout: v1.2.4 to production by canary, target v1.2.3 started", state.ToneRunning, true},
		{state.LevelAcked{Role: state.Senior}, "ack: senior engineer acknowledged", state.ToneGood, false},
		{state.LevelPaged{Role: state.Manager, Who: "mona", Late: true}, "page: engineering manager (mona) paged, late", state.ToneBad, false},
		{state.ItemSigned{Item: "06.a", Commit: "3f9c1d0aaaa"}, "sign-off: approved 3f9c1d0", state.ToneGood, true},
		{state.ItemFinished{Item: "10.a", Outcome: state.ItemFailed, Problem: &state.Problem{What: "push refused", Why: "hook"}}, "action: item a failed: push refused: hook", state.ToneBad, false},
		{state.MessageTried{ID: "m1", OK: true, Tries: 2}, "message: update to slack delivered at try 2", state.ToneGood, false},
		{state.MessageTried{ID: "m1", OK: true, Tries: 1, Wording: 2}, "message: corrected update to slack delivered", state.ToneGood, false},
		{state.ProbeJudged{Sample: state.Sample{Probe: "error rate new", Value: 0.081, Verdict: state.Crit}, From: state.OK}, "probe: error rate new 8.1 % (should be < 5 %) is crit, was ok", state.ToneBad, false},
		{state.ProbeJudged{Sample: state.Sample{Probe: "error rate new", Verdict: state.NoData}}, "probe: error rate new is no-data", state.ToneUnknown, false},
		{state.RollbackPrimed{Trigger: "R"}, "rollback: armed: R", state.ToneBad, true},
		{state.RollbackFinished{Done: true, Verified: "v1.2.3 answered 50 of 50"}, "rollback: rolled back: v1.2.3 answered 50 of 50", state.ToneGood, true},
		{state.FactsFound{Facts: map[string]string{"baseline": "v1.2.3", "cluster.now": "weights 75/25", "rollback.compared": "1"}},
			"found: baseline v1.2.3, in the cluster now: weights 75/25, production compared with before the rollout", state.TonePast, false},
		{state.NoteAdded{Text: "a\x1b[31mred\nb"}, "note: ared b", state.TonePlain, false},
	} {
		e := state.Event{Seq: in.Seq + 1, Time: in.Last.Add(time.Second), Actor: state.Actor{User: "alice"}, Fact: c.fact}
		s := in.Say(e)
		if got := s.Tag + ": " + s.Text; got != c.want || s.Tone != c.tone || s.Mark != c.mark {
			t.Errorf("got  %q %s %v\nwant %q %s %v", got, s.Tone, s.Mark, c.want, c.tone, c.mark)
		}
		if state.Mark(e) != c.mark || state.Weight(e) != c.tone {
			t.Errorf("%s: Mark and Weight disagree with Say", s.Text)
		}
	}
}
