package steps

import (
	"testing"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

var t0 = time.Date(2026, 11, 22, 3, 14, 0, 0, time.UTC)

func defaultGate() runbook.Gate {
	return runbook.Gate{Warn: "wait", Crit: "rollback", NoData: "ask", Stale: "ask", Error: "ask", Consecutive: 3, Patience: state.Duration(15 * time.Second)}
}

func ptr(f float64) *float64 { return &f }

func errorRate(name string, role state.Role) state.Probe {
	return state.Probe{Name: name, Unit: "ratio", Warn: ptr(0.01), Crit: ptr(0.05), Role: role, Every: state.Duration(5 * time.Second)}
}

// look is one reading of the probe at t0+at seconds.
func lookAt(p state.Probe, at int, v float64) reading {
	return reading{probe: p, seen: true, sample: state.Sample{Probe: p.Name, At: t0.Add(time.Duration(at) * time.Second), Value: v, Verdict: p.Judge(v)}}
}

func verdictOf(p state.Probe, at int, v state.Verdict) reading {
	return reading{probe: p, seen: true, sample: state.Sample{Probe: p.Name, At: t0.Add(time.Duration(at) * time.Second), Verdict: v, Text: "because"}}
}

func TestGateByVerdicts(t *testing.T) {
	p := errorRate("error rate new", state.RoleNew)
	type step struct {
		at   int
		rs   []reading
		want state.GateState
	}
	for name, steps := range map[string][]step{
		"holds, then passes": {
			{0, []reading{lookAt(p, 0, 0)}, state.GateHolding}, {29, []reading{lookAt(p, 29, 0)}, state.GateHolding},
			{30, []reading{lookAt(p, 30, 0)}, state.GatePassed}},
		"a warning starts the time anew": {
			{0, []reading{lookAt(p, 0, 0)}, state.GateHolding}, {20, []reading{lookAt(p, 20, 0.02)}, state.GateWaiting},
			{25, []reading{lookAt(p, 25, 0)}, state.GateHolding}, {50, []reading{lookAt(p, 50, 0)}, state.GateHolding},
			{55, []reading{lookAt(p, 55, 0)}, state.GatePassed}},
		"crit three times in a row fails": {
			{0, []reading{lookAt(p, 0, 0.2)}, state.GateWaiting}, {5, []reading{lookAt(p, 5, 0.2)}, state.GateWaiting},
			{10, []reading{lookAt(p, 10, 0.2)}, state.GateFailed}},
		"one crit reading looked at often is one": {
			{0, []reading{lookAt(p, 0, 0.2)}, state.GateWaiting}, {1, []reading{lookAt(p, 0, 0.2)}, state.GateWaiting},
			{2, []reading{lookAt(p, 0, 0.2)}, state.GateWaiting}, {3, []reading{lookAt(p, 0, 0.2)}, state.GateWaiting}},
		"crit must be in a row": {
			{0, []reading{lookAt(p, 0, 0.2)}, state.GateWaiting}, {5, []reading{lookAt(p, 5, 0.2)}, state.GateWaiting},
			{10, []reading{lookAt(p, 10, 0)}, state.GateHolding}, {15, []reading{lookAt(p, 15, 0.2)}, state.GateWaiting}},
		"no data is excused at first, then asks": {
			{0, []reading{verdictOf(p, 0, state.NoData)}, state.GateWaiting}, {14, []reading{verdictOf(p, 14, state.NoData)}, state.GateWaiting},
			{15, []reading{verdictOf(p, 15, state.NoData)}, state.GateAsking}},
		"a lost scrape is excused, and the time starts anew": {
			{0, []reading{lookAt(p, 0, 0)}, state.GateHolding}, {20, []reading{verdictOf(p, 20, state.NoData)}, state.GateWaiting},
			{34, []reading{verdictOf(p, 34, state.NoData)}, state.GateWaiting}, {35, []reading{lookAt(p, 35, 0)}, state.GateHolding},
			{36, []reading{verdictOf(p, 36, state.NoData)}, state.GateWaiting}, {50, []reading{verdictOf(p, 50, state.NoData)}, state.GateWaiting},
			{51, []reading{verdictOf(p, 51, state.NoData)}, state.GateAsking}},
		"stale asks":           {{5, []reading{verdictOf(p, 0, state.Stale)}, state.GateWaiting}, {20, []reading{verdictOf(p, 0, state.Stale)}, state.GateAsking}},
		"an error asks":        {{5, []reading{verdictOf(p, 5, state.Error)}, state.GateWaiting}, {20, []reading{verdictOf(p, 20, state.Error)}, state.GateAsking}},
		"no reading asks":      {{5, []reading{{probe: p}}, state.GateWaiting}, {20, []reading{{probe: p}}, state.GateAsking}},
		"no probe at all asks": {{0, nil, state.GateWaiting}, {15, nil, state.GateAsking}},
		"the worst one decides": {
			{0, []reading{lookAt(p, 0, 0), verdictOf(errorRate("other", state.RoleNew), 0, state.NoData)}, state.GateWaiting},
			{20, []reading{lookAt(p, 20, 0), verdictOf(errorRate("other", state.RoleNew), 20, state.NoData)}, state.GateAsking}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(defaultGate(), 30*time.Second, nil, nil)
			for _, s := range steps {
				if d := g.judge(t0.Add(time.Duration(s.at)*time.Second), s.rs); d.state != s.want {
					t.Fatalf("at %d s: %s %v, want %s", s.at, d.state, d.reasons, s.want)
				}
			}
		})
	}
}

// Production is broken when mayday opens: gates compare.
func TestGateCompares(t *testing.T) {
	p := errorRate("error rate new", state.RoleNew)
	p.Compare = "error rate old"
	old := errorRate("error rate old", state.RoleOld)
	all := errorRate("error rate", state.RoleAll)
	for name, c := range map[string]struct {
		r      reading
		old    float64
		before float64
		want   state.GateState
	}{
		"no worse than a red old version":    {lookAt(p, 20, 0.06), 0.08, 0, state.GateHolding},
		"worse than a red old version":       {lookAt(p, 20, 0.12), 0.08, 0, state.GateWaiting},
		"a healthy old version excuses none": {lookAt(p, 20, 0.06), 0.001, 0, state.GateWaiting},
		"red before and no worse":            {lookAt(all, 20, 0.07), 0, 0.08, state.GateHolding},
		"red before and worse":               {lookAt(all, 20, 0.2), 0, 0.08, state.GateWaiting},
		"green before excuses none":          {lookAt(all, 20, 0.07), 0, 0.001, state.GateWaiting},
	} {
		t.Run(name, func(t *testing.T) {
			before := map[string]state.Sample{all.Name: {Probe: all.Name, Value: c.before, Verdict: all.Judge(c.before)}}
			g := newGate(defaultGate(), time.Minute, before, func(n string) (reading, bool) {
				return lookAt(old, 20, c.old), n == old.Name
			})
			if d := g.judge(t0.Add(20*time.Second), []reading{c.r}); d.state != c.want {
				t.Fatalf("%s %v, want %s", d.state, d.reasons, c.want)
			}
		})
	}
}

func TestGatePolicyIsObeyed(t *testing.T) {
	p := errorRate("error rate new", state.RoleNew)
	policy := defaultGate()
	policy.Crit, policy.Warn, policy.Consecutive = "ask", "pass", 1
	g := newGate(policy, 0, nil, nil)
	if d := g.judge(t0, []reading{lookAt(p, 0, 0.9)}); d.state != state.GateAsking {
		t.Errorf("crit: ask gave %s", d.state)
	}
	if d := g.judge(t0, []reading{lookAt(p, 1, 0.02)}); d.state != state.GatePassed {
		t.Errorf("warn: pass gave %s %v", d.state, d.reasons)
	}
}
