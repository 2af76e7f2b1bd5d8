package steps

import (
	"strings"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

func seconds(n int) time.Time { return t0.Add(time.Duration(n) * time.Second) }

// A bad reading counts when it has been bad for its time, by readings since the gate
// began, and then as often in a row as the policy says.
func TestGateCountsAfterFor(t *testing.T) {
	p := errorRate("error rate new", state.RoleNew)
	p.For = state.Duration(10 * time.Second)
	g := newGate(defaultGate(), 0, nil, nil)
	for i, want := range []state.GateState{state.GateWaiting, state.GateWaiting, state.GateWaiting, state.GateWaiting, state.GateFailed} {
		d := g.judge(seconds(5*i), []reading{lookAt(p, 5*i, 0.2)})
		if d.state != want {
			t.Fatalf("at %d s: %s %v", 5*i, d.state, d.reasons)
		}
		if j := d.judged[0]; !j.Since.Equal(t0) || j.For != p.For || j.InARow != max(0, i-1) {
			t.Fatalf("at %d s: %+v", 5*i, j)
		}
	}
	if d := g.judge(seconds(25), []reading{lookAt(p, 25, 0)}); d.state != state.GatePassed {
		t.Fatalf("%s %v", d.state, d.reasons)
	}
	if d := g.judge(seconds(30), []reading{lookAt(p, 30, 0.2)}); d.state != state.GateWaiting || !strings.Contains(list(d.reasons), "crit for 0s of 10s") {
		t.Fatalf("after a good one: %s %v", d.state, d.reasons)
	}
}

func TestGateJudgesAgainstTheBaseline(t *testing.T) {
	own := state.Probe{Name: "cpu", Role: state.RoleAll, CritTo: &state.Relative{Times: 1.2}, Every: state.Duration(5 * time.Second)}
	named := own
	named.Name, named.Compare = "cpu new", "cpu old"
	parts := own
	parts.By, parts.New, parts.Old = "version", "v2", "v1"
	of := func(v2, v1 float64) reading {
		r := lookAt(parts, 0, v2)
		r.sample.Parts = []state.Part{{Label: "v1", Value: v1, Verdict: state.OK}, {Label: "v2", Value: v2, Verdict: state.OK}}
		return r
	}
	before := map[string]state.Sample{own.Name: {Value: 50, Verdict: state.OK}}
	old := state.Probe{Name: "cpu old"}
	for name, c := range map[string]struct {
		r      reading
		before map[string]state.Sample
		want   state.GateState
		base   string
	}{
		"as before":                 {lookAt(own, 0, 59), before, state.GatePassed, "before the rollout"},
		"worse than before":         {lookAt(own, 0, 61), before, state.GateFailed, "before the rollout"},
		"nothing before":            {lookAt(own, 0, 61), nil, state.GateWaiting, ""},
		"worse than the named one":  {lookAt(named, 0, 49), before, state.GateFailed, "cpu old now"},
		"as the named one":          {lookAt(named, 0, 48), before, state.GatePassed, "cpu old now"},
		"worse than the other part": {of(49, 40), before, state.GateFailed, "v1 now"},
		"as the other part":         {of(47, 40), before, state.GatePassed, "v1 now"},
	} {
		policy := defaultGate()
		policy.Consecutive = 1
		g := newGate(policy, 0, c.before, func(n string) (reading, bool) { return lookAt(old, 0, 40), n == old.Name })
		d := g.judge(t0, []reading{c.r})
		if d.state != c.want {
			t.Errorf("%s: %s %v", name, d.state, d.reasons)
		}
		if j := d.judged[0]; c.base != "" && (j.Baseline == nil || j.Baseline.Of != c.base || j.Crit == nil) {
			t.Errorf("%s: %+v", name, j)
		}
	}
}

// Each label is judged by itself: one that turned bad is not hidden by a worse one that
// was bad before.
func TestGateJudgesEachPart(t *testing.T) {
	p := errorRate("errors", state.RoleAll)
	p.By = "zone"
	r := lookAt(p, 0, 0.3)
	r.sample.Parts = []state.Part{{Label: "a", Value: 0.3, Verdict: state.Crit}, {Label: "b", Value: 0.2, Verdict: state.Crit}}
	before := map[string]state.Sample{p.Name: {Value: 0.3, Verdict: state.Crit, Parts: []state.Part{{Label: "a", Value: 0.3, Verdict: state.Crit}, {Label: "b", Verdict: state.OK}}}}
	policy := defaultGate()
	policy.Consecutive = 1
	d := newGate(policy, 0, before, nil).judge(t0, []reading{r})
	if d.state != state.GateFailed || len(d.judged) != 2 || !d.judged[0].Excused || d.judged[1].Excused || !strings.Contains(list(d.reasons), "errors b 20 %") {
		t.Fatalf("%s %v %v", d.state, d.reasons, d.excused)
	}
}

func TestGatePolicyOfAProbe(t *testing.T) {
	p, q := errorRate("a", state.RoleNew), errorRate("b", state.RoleNew)
	g := newGate(defaultGate(), 0, nil, nil)
	g.own = func(probe string) runbook.Gate {
		policy := defaultGate()
		if probe == q.Name {
			policy.NoData, policy.Patience = "pass", 0
		}
		return policy
	}
	if d := g.judge(t0, []reading{lookAt(p, 0, 0), verdictOf(q, 0, state.NoData)}); d.state != state.GatePassed {
		t.Fatalf("%s %v", d.state, d.reasons)
	}
	if d := g.judge(seconds(20), []reading{verdictOf(p, 20, state.NoData), lookAt(q, 20, 0)}); d.state == state.GatePassed {
		t.Fatalf("the other probe's passes too: %v", d.reasons)
	}
}

func TestGateByRank(t *testing.T) {
	p := errorRate("latency new", state.RoleNew)
	p.Unit, p.Warn, p.Crit, p.Compare = "ms", nil, nil, "latency old"
	p.Rank = &state.Rank{Alpha: state.RankAlpha, Effect: state.RankEffect}
	look := func(n int, isNew, wasOld float64) decision {
		g := newGate(defaultGate(), 0, nil, nil)
		g.history = func(probe string) (out []state.Sample) {
			base := wasOld
			if probe == p.Name {
				base = isNew
			}
			for i := range n {
				out = append(out, state.Sample{Probe: probe, At: seconds(5 * i), Value: base + float64(i%7), Verdict: state.OK})
			}
			return out
		}
		var d decision
		for i := range 3 {
			d = g.judge(seconds(5*(n+i)), []reading{lookAt(p, 5*(n+i), isNew)})
		}
		return d
	}
	if d := look(19, 100, 100); d.state != state.GateWaiting || !strings.Contains(list(d.reasons), "not enough data to compare by rank, 19 against 19") {
		t.Errorf("19 readings: %s %v", d.state, d.reasons)
	}
	if d := look(20, 100, 100); d.state != state.GatePassed {
		t.Errorf("alike: %s %v", d.state, d.reasons)
	}
	d := look(20, 130, 100)
	if d.state != state.GateFailed || !strings.Contains(list(d.reasons), "worse than latency old now by rank") {
		t.Fatalf("worse: %s %v", d.state, d.reasons)
	}
	if r := d.judged[0].Rank; r == nil || r.InARow != 3 || len(r.News) != 20 || len(r.Olds) != 20 {
		t.Errorf("%+v", r)
	}
	if again := state.MannWhitney(values(d.judged[0].Rank.News), values(d.judged[0].Rank.Olds), false); again != d.judged[0].Rank.Ranked {
		t.Errorf("judged again: %+v, was %+v", again, d.judged[0].Rank.Ranked)
	}
}
