package state_test

import (
	"testing"

	"mayday/state"
)

// What a page tells of an incident, at each turn of it.
func TestWhereItStandsInWords(t *testing.T) {
	p := plan()
	for _, c := range []struct {
		facts                []state.Fact
		where, failing, back string
	}{
		{nil, "step 1 step: item a", "", "no way back is known yet"},
		{[]state.Fact{state.ItemStarted{Item: "05.a", Run: "x"}, state.ProbeJudged{Sample: state.Sample{Probe: "errors", Value: 0.081, Verdict: state.Crit}}},
			"step 5 step: item a", "errors 8.1 % is crit", "no way back is known yet"},
		{[]state.Fact{state.RolloutLaid{Plan: p, Item: "10.a"}, state.ItemStarted{Item: "10.a", Run: "x"}, state.RolloutStarted{Rollout: "r1", Item: "10.a"},
			state.RollbackProven{Rollout: "r1", Proof: state.Proof{Ready: state.Doubtful, Target: "v1.2.3", Why: "the quota is near"}}},
			"step 10 step: " + p.Stages[0].Name, "", "R leads to v1.2.3, DOUBTFUL: the quota is near"},
		{[]state.Fact{state.RolloutLaid{Plan: p, Item: "10.a"}, state.RolloutStarted{Rollout: "r1"}, state.RollbackStarted{Rollout: "r1", Epoch: 1}},
			"step 14 Rollback: running", "", "running"},
		{[]state.Fact{state.RolloutLaid{Plan: p, Item: "10.a"}, state.RolloutStarted{Rollout: "r1"}, state.RollbackStarted{Rollout: "r1", Epoch: 1}, state.RollbackFinished{}},
			"step 1 step: item a", "", "FAILED, a person must finish it"},
		{[]state.Fact{state.IncidentResolved{RootCause: "nil"}}, "resolved", "", "no way back is known yet"},
	} {
		in := open(t, c.facts...)
		if in.Where() != c.where || in.Failing() != c.failing || in.WayBack() != c.back {
			t.Errorf("%q %q %q, want %q %q %q", in.Where(), in.Failing(), in.WayBack(), c.where, c.failing, c.back)
		}
	}
}
