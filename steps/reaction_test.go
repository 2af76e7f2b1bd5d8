package steps

import (
	"testing"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// The reaction clock holds whenever the bad event comes, and no smaller one would: a
// real gate is asked at every phase of the question, the answer and the look.
func TestReactionIsTheWorstCase(t *testing.T) {
	for name, c := range map[string]struct {
		every, timeout, reach time.Duration
		consecutive           int
	}{
		"a window":           {5 * time.Second, 5 * time.Second, 30 * time.Second, 3},
		"a gauge":            {5 * time.Second, 2 * time.Second, 15 * time.Second, 3},
		"an endpoint":        {7 * time.Second, time.Second, 0, 2},
		"one reading is one": {30 * time.Second, 5 * time.Second, time.Minute, 1},
	} {
		t.Run(name, func(t *testing.T) {
			policy := defaultGate()
			policy.Consecutive = c.consecutive
			p := errorRate("error rate", state.RoleAll)
			p.Every, p.Timeout, p.Reach = state.Duration(c.every), state.Duration(c.timeout), state.Duration(c.reach)
			p.Reaction = reaction(p, policy, state.Clock{})
			var worst time.Duration
			for asked := time.Millisecond; asked <= c.every; asked += 333 * time.Millisecond {
				for look := time.Duration(0); look < gateTick; look += 99 * time.Millisecond {
					took := simulate(t, p, policy, asked, min(c.timeout, c.every)-time.Millisecond, look)
					worst = max(worst, took)
				}
			}
			if worst > p.Reaction.D() || worst < p.Reaction.D()-2*time.Second {
				t.Errorf("the slowest rollback began after %s, the clock says %s", worst, p.Reaction)
			}
		})
	}
}

// simulate gives how long after the event at t0 the gate fails. The probe is asked
// asked after it for the first time, its answers take answer, and readings turn bad
// when its reach has passed; the gate looks from look on.
func simulate(t *testing.T, p state.Probe, policy runbook.Gate, asked, answer, look time.Duration) time.Duration {
	t.Helper()
	g := newGate(policy, time.Hour, nil, nil)
	for at := look; at < time.Hour; at += gateTick {
		// The newest question whose answer is in by now.
		n := (at - handOn - answer - asked) / p.Every.D()
		if at-handOn-answer < asked {
			continue
		}
		sampled := asked + n*p.Every.D()
		value := 0.0
		if sampled >= p.Reach.D() {
			value = 0.2
		}
		r := reading{probe: p, seen: true, sample: state.Sample{Probe: p.Name, At: t0.Add(sampled), Value: value, Verdict: p.Judge(value)}}
		if d := g.judge(t0.Add(at), []reading{r}); d.state == state.GateFailed {
			return at
		}
	}
	t.Fatal("the gate never failed")
	return 0
}

// The same for a rank test that has as many good readings as it remembers, and for one
// that begins with the event.
func TestRankReactionIsTheWorstCase(t *testing.T) {
	for name, c := range map[string]struct {
		effect      float64
		consecutive int
		good        time.Duration // how long all was well before
	}{
		"after good minutes": {state.RankEffect, 3, 10 * time.Minute},
		"a larger effect":    {0.87, 1, 10 * time.Minute},
		"from the start":     {state.RankEffect, 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			policy := defaultGate()
			policy.Consecutive = c.consecutive
			p := state.Probe{Name: "latency", Kind: "prometheus", Role: state.RoleAll, Every: state.Duration(5 * time.Second), Timeout: state.Duration(time.Second),
				Reach: state.Duration(30 * time.Second), Rank: &state.Rank{Alpha: state.RankAlpha, Effect: c.effect}}
			if reaction(p, policy, state.Clock{}) != 0 {
				t.Error("without a threshold nothing else pulls")
			}
			p.RankReaction = rankReaction(p, policy, state.Clock{})
			var worst time.Duration
			for asked := time.Millisecond; asked <= p.Every.D(); asked += 833 * time.Millisecond {
				worst = max(worst, simulateRank(t, p, policy, asked, c.good))
			}
			if worst > p.RankReaction.D() || c.good > 0 && worst < p.RankReaction.D()-p.Every.D()-2*time.Second {
				t.Errorf("the slowest rollback began after %s, the clock says %s", worst, p.RankReaction)
			}
		})
	}
}

// simulateRank gives how long after the event at t0 the gate fails by rank, whose stage
// took effect good before it. It is asked asked after the event for the first time.
func simulateRank(t *testing.T, p state.Probe, policy runbook.Gate, asked, good time.Duration) time.Duration {
	t.Helper()
	var window []state.Point
	for i := range state.RankLeast {
		window = append(window, state.Point{Value: 100 + float64(i)})
	}
	value := func(at time.Duration) float64 {
		if at >= p.Reach.D() {
			return 1000
		}
		return 100.5 + float64((7*(at/p.Every.D())%20+20)%20)
	}
	g := newGate(policy, 24*time.Hour, nil, nil)
	g.from, g.windows = t0.Add(-good), map[string]map[string][]state.Point{p.Name: {"": window}}
	var seen []state.Sample
	next := asked - good.Truncate(p.Every.D())
	g.history = func(string) []state.Sample { return seen[max(len(seen)-state.RankMost, 0):] }
	for at := next; at < time.Hour; at += gateTick {
		for ; next+p.Timeout.D()-time.Millisecond+handOn <= at; next += p.Every.D() {
			seen = append(seen, state.Sample{Probe: p.Name, At: t0.Add(next), Value: value(next), Verdict: state.OK})
		}
		if len(seen) == 0 {
			continue
		}
		if d := g.judge(t0.Add(at), []reading{{probe: p, seen: true, sample: seen[len(seen)-1]}}); d.state == state.GateFailed {
			return at
		}
	}
	t.Fatal("the gate never failed")
	return 0
}

func TestReactionOfWhatPulls(t *testing.T) {
	gate := defaultGate()
	every := state.Duration(5 * time.Second)
	of := func(kind string, role state.Role, crit *float64) state.Probe {
		return state.Probe{Name: "x", Kind: kind, Role: role, Crit: crit, Every: every, Timeout: every}
	}
	asks := gate
	asks.Crit = "ask"
	for name, c := range map[string]struct {
		p    state.Probe
		gate runbook.Gate
		want time.Duration
	}{
		"a threshold":                 {of("prometheus", state.RoleNew, ptr(1)), gate, 22 * time.Second}, // 5 + 2·5 + 5 + 1 + 0.1
		"a status needs no threshold": {of("http", state.RoleAll, nil), gate, 22 * time.Second},
		"a warning pulls nothing":     {of("prometheus", state.RoleAll, nil), gate, 0},
		"the old version does not":    {of("prometheus", state.RoleOld, ptr(1)), gate, 0},
		"nor what is only shown":      {of("http", state.RoleDisplay, nil), gate, 0},
		"a gate that asks":            {of("prometheus", state.RoleAll, ptr(1)), asks, 0},
	} {
		if got := reaction(c.p, c.gate, state.Clock{}); got.D() != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	// Under a fast clock what takes real time weighs more: the hub and the gate's look.
	if got := reaction(of("http", state.RoleAll, nil), gate, state.Clock{Speed: 60}); got.D() != 29*time.Second {
		t.Errorf("at 60 times the speed %s", got)
	}
	rb := runbook.Defaults()
	rb.Probes = []runbook.Probe{{Name: "slow", Query: "a", Role: state.RoleAll, Crit: &runbook.Limit{Value: 1}, Every: every, Timeout: every},
		{Name: "quick", Query: "b", Role: state.RoleAll, Crit: &runbook.Limit{Value: 1}, Every: every, Timeout: every}}
	probes := ProbesFor(rb, nil, func(p state.Probe) state.Duration {
		return map[string]state.Duration{"a": state.Duration(time.Minute)}[p.Query]
	})
	if probes[0].Reaction.D() != 82*time.Second || probes[1].Reaction.D() != 22*time.Second || Reaction(probes) != probes[0].Reaction {
		t.Errorf("%s and %s, together %s", probes[0].Reaction, probes[1].Reaction, Reaction(probes))
	}
}
