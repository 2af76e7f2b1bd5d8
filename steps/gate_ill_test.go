package steps

import (
	"strings"
	"testing"
	"time"

	"mayday/state"
)

// A red old version and a new one that is red too but no worse: the fix is not held
// up, and nobody is kept from seeing it.
func TestIllHealthIsExcusedAndSeen(t *testing.T) {
	p, old := errorRate("error rate new", state.RoleNew), errorRate("error rate old", state.RoleOld)
	p.Compare = old.Name
	ill := map[string]state.Sample{old.Name: {Probe: old.Name, Value: 0.08, Verdict: state.Crit}}
	well := map[string]state.Sample{old.Name: {Probe: old.Name, Value: 0.001, Verdict: state.OK}}
	for name, c := range map[string]struct {
		now    reading
		before map[string]state.Sample
		want   state.GateState
	}{
		"old is red now":                         {lookAt(old, 20, 0.08), well, state.GateHolding},
		"old is well now, was red":               {lookAt(old, 20, 0.001), ill, state.GateWaiting},
		"old has no traffic any more, was red":   {verdictOf(old, 20, state.NoData), ill, state.GateHolding},
		"old has no traffic any more, was well":  {verdictOf(old, 20, state.NoData), well, state.GateWaiting},
		"old has no traffic, and nothing before": {verdictOf(old, 20, state.NoData), nil, state.GateWaiting},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate(defaultGate(), time.Minute, c.before, func(n string) (reading, bool) { return c.now, n == old.Name })
			d := g.judge(t0.Add(20*time.Second), []reading{lookAt(p, 20, 0.07)})
			if d.state != c.want {
				t.Fatalf("%s %v, want %s", d.state, d.reasons, c.want)
			}
			if seen := strings.Contains(list(d.excused), "error rate new 7 %, but no worse"); seen != (c.want == state.GateHolding) {
				t.Errorf("said: %v", d.excused)
			}
		})
	}
}

// A reading from before the stage took effect says nothing of it, however good.
func TestAGateDoesNotPassOnOldReadings(t *testing.T) {
	p := errorRate("error rate new", state.RoleNew)
	g := newGate(defaultGate(), time.Second, nil, nil)
	g.from = t0
	for at, want := range []state.GateState{state.GateWaiting, state.GateWaiting, state.GateWaiting} {
		if d := g.judge(t0.Add(time.Duration(at)*time.Second), []reading{lookAt(p, -1, 0)}); d.state != want {
			t.Fatalf("at %d s: %s", at, d.state)
		}
	}
	g.judge(t0.Add(3*time.Second), []reading{lookAt(p, 3, 0)})
	if d := g.judge(t0.Add(4*time.Second), []reading{lookAt(p, 3, 0)}); d.state != state.GatePassed {
		t.Errorf("%s %v", d.state, d.reasons)
	}
}

func TestAGateSaysWhatChangesAndNotWhatWobbles(t *testing.T) {
	p, q := errorRate("a", state.RoleNew), errorRate("b", state.RoleNew)
	g := newGate(defaultGate(), time.Minute, nil, nil)
	one := g.judge(t0, []reading{lookAt(p, 0, 0.02), lookAt(q, 0, 0)}).key()
	same := g.judge(t0.Add(5*time.Second), []reading{lookAt(p, 5, 0.03), lookAt(q, 5, 0)}).key()
	other := g.judge(t0.Add(10*time.Second), []reading{lookAt(p, 10, 0.03), lookAt(q, 10, 0.02)}).key()
	if one != same || same == other {
		t.Errorf("%q %q %q", one, same, other)
	}
}
