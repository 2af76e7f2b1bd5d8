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

// The old version that answers no more, or too rarely, counts with what is known of it
// from earlier: its newest readings, before the rollout and during it.
func TestGateRanksAgainstWhatIsKnownOfTheOldVersion(t *testing.T) {
	p := errorRate("latency new", state.RoleNew)
	p.Unit, p.Warn, p.Crit, p.Compare = "ms", nil, nil, "latency old"
	p.Rank = &state.Rank{Alpha: state.RankAlpha, Effect: state.RankEffect}
	const from = 100 // of the readings, one a second
	for name, c := range map[string]struct {
		isNew       float64
		before, now int // readings of the old version
		want        state.GateState
	}{
		"both, alike":        {100, 12, 12, state.GatePassed},
		"both, worse":        {130, 12, 12, state.GateFailed},
		"only before, worse": {130, 20, 0, state.GateFailed},
		"too few of both":    {130, 9, 10, state.GateWaiting},
	} {
		g := newGate(defaultGate(), 0, nil, nil)
		g.from = seconds(from)
		window := make([]state.Point, 0, c.before)
		for i := range c.before {
			window = append(window, state.Point{At: seconds(i), Value: 100 + float64(i%7)})
		}
		g.windows = map[string]map[string][]state.Point{p.Compare: {"": window}}
		g.history = func(probe string) (out []state.Sample) {
			start, n, value := from, 30, c.isNew
			if probe == p.Compare {
				start, n, value = from-c.now, c.now, 100 // all from before this gate
				if c.before > 0 {                        // what the window holds is in the ring, too
					out = append(out, state.Sample{Probe: probe, At: seconds(0), Value: 100, Verdict: state.OK})
				}
			}
			for i := range n {
				out = append(out, state.Sample{Probe: probe, At: seconds(start + i), Value: value + float64(i%7), Verdict: state.OK})
			}
			return out
		}
		var d decision
		for i := range 3 {
			d = g.judge(seconds(from+30+i), []reading{lookAt(p, from+30+i, c.isNew)})
		}
		if r := d.judged[0].Rank; d.state != c.want || r.Old != c.before+c.now || r.Against != "latency old until now" {
			t.Errorf("%s: %s %v, against %d readings of %s", name, d.state, d.reasons, r.Old, r.Against)
		}
	}
}

// What was too little before the rollout stays too little: the gate asks at once instead
// of waiting, whatever "wait" says, and passes where that was accepted.
func TestGateAsksAtOnceForARankTestThatNeverComes(t *testing.T) {
	p := errorRate("latency", state.RoleAll)
	p.Unit, p.Warn, p.Crit = "ms", nil, nil
	p.Rank = &state.Rank{Alpha: state.RankAlpha, Effect: state.RankEffect}
	for policy, want := range map[string]state.GateState{"ask": state.GateAsking, "wait": state.GateAsking, "pass": state.GatePassed, "rollback": state.GateFailed} {
		rules := defaultGate()
		rules.NoData = policy
		g := newGate(rules, 0, nil, nil)
		g.windows = map[string]map[string][]state.Point{p.Name: {"": make([]state.Point, state.RankLeast-1)}}
		d := g.judge(seconds(5), []reading{lookAt(p, 5, 100)})
		if d.state != want || policy != "pass" && !strings.Contains(list(d.reasons), "0 against 19 readings, 20 are needed (before the rollout); no more will come: accept that, or roll back") {
			t.Errorf("%s: %s %v", policy, d.state, d.reasons)
		}
		g.accepted = []string{p.Name}
		if d = g.judge(seconds(10), []reading{lookAt(p, 10, 100)}); d.state != state.GatePassed || !strings.Contains(list(d.excused), "not enough data to compare by rank") {
			t.Errorf("%s, accepted: %s %v %v", policy, d.state, d.reasons, d.excused)
		}
		g.windows[p.Name][""] = append(g.windows[p.Name][""], state.Point{At: seconds(-1)})
		if d = g.judge(seconds(15), []reading{lookAt(p, 15, 100)}); d.state != state.GateWaiting {
			t.Errorf("%s: with enough of before it waits for its own: %s %v", policy, d.state, d.reasons)
		}
	}
}
