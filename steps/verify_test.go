package steps

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

func sampleAt(p state.Probe, at int, v float64) state.Sample { return lookAt(p, at, v).sample }

// A Watch judges as a stage's gate does: by comparison, in a row, and not on ignorance.
func TestWatchJudgesAsGatesDo(t *testing.T) {
	all, old := errorRate("error rate", state.RoleAll), errorRate("error rate old", state.RoleOld)
	fresh := errorRate("error rate new", state.RoleNew)
	fresh.Compare = old.Name
	of := Scope{Probes: []state.Probe{all, old, fresh}, Before: map[string]state.Sample{all.Name: sampleAt(all, -60, 0.08)}}
	w := NewWatch(&runbook.Runbook{Gate: defaultGate()})
	look := func(at int) Watched { return w.Look(t0.Add(time.Duration(at)*time.Second), of) }
	if d := look(0); d.State != state.GateWaiting || !d.Blind || !d.News {
		t.Errorf("before the first reading: %+v", d)
	}
	w.Take(sampleAt(all, 1, 0.07), sampleAt(old, 1, 0.09), sampleAt(fresh, 1, 0.06))
	if d := look(1); d.State != state.GateHolding || d.Blind || len(d.Excused) != 2 || !d.News {
		t.Errorf("red before and no worse: %+v", d)
	}
	w.Take(sampleAt(all, 5, 0.07), sampleAt(old, 5, 0.001), sampleAt(fresh, 5, 0.06))
	for at, want := range []state.GateState{state.GateWaiting, state.GateWaiting, state.GateFailed} {
		w.Take(sampleAt(fresh, 5+5*at, 0.06))
		if d := look(5 + 5*at); d.State != want {
			t.Errorf("worse than the old version, reading %d: %+v", at+1, d)
		}
	}
	if w.Taken(fresh.Name) != 5 || w.Taken("none") != 0 {
		t.Errorf("%d readings", w.Taken(fresh.Name))
	}
}

// What of an incident is judged: the new version's own probes while it is in
// production; of the rest of a canary only what was well before.
func TestScopeOf(t *testing.T) {
	all, fresh := errorRate("error rate", state.RoleAll), errorRate("error rate new", state.RoleNew)
	in := &state.Incident{Attempt: 1, Probes: []state.Probe{all, fresh}, Before: map[string]state.Sample{all.Name: sampleAt(all, 0, 0.2)}}
	if s := ScopeOf(in); len(s.Probes) != 1 || s.Canary || s.Before != nil {
		t.Errorf("before the rollout %+v", s)
	}
	in.Rollouts = []state.Rollout{{Plan: state.Plan{ID: "r1", Production: true, Strategy: "canary", Target: "v1"}, Attempt: 1, Status: state.RolloutRunning}}
	s := ScopeOf(in)
	if len(s.Probes) != 2 || !s.Canary || s.Before == nil {
		t.Errorf("in the canary %+v", s)
	}
	w := NewWatch(&runbook.Runbook{Gate: defaultGate()})
	w.Take(sampleAt(fresh, 0, 0), sampleAt(all, 0, 0.9))
	if d := w.Look(t0, s); d.State != state.GateHolding {
		t.Errorf("what was ill before says nothing of a canary: %+v", d)
	}
	if to, err := TakesBack(in); to != "v1" || err != nil {
		t.Errorf("%q %v", to, err)
	}
	in.Rollouts[0].Status = state.RolloutRolledBack
	if s := ScopeOf(in); len(s.Probes) != 1 || s.Canary {
		t.Errorf("after the rollback %+v", s)
	}
	if _, err := TakesBack(in); err == nil {
		t.Error("it was taken back already")
	}
}

// An environment's checks that only read become probes, unless one asks that already.
func TestEndpoints(t *testing.T) {
	rb := runbook.Defaults()
	own := runbook.Probe{Name: "health", HTTP: &runbook.Check{Method: "GET", Path: "/health"}, Role: state.RoleAll, Every: state.Duration(time.Second)}
	rb.Probes = []runbook.Probe{own, {Name: "errors", Query: "errors", Role: state.RoleAll}}
	env := runbook.Environment{URL: "http://shop", Checks: []runbook.Check{{Name: "again", Method: "GET", Path: "/health"},
		{Name: "catalog", Method: "GET", Path: "/catalog"}, {Name: "order", Method: "POST", Path: "/order"}}}
	got := Endpoints(rb, env, nil)
	if len(got) != 2 || got[0].Name != "health" || got[1].Name != "catalog" || !got[1].Critical || got[1].Reaction == 0 || got[1].Query != "http://shop/catalog" {
		t.Errorf("%+v", got)
	}
	if got := Endpoints(rb, env, got); len(got) != 0 {
		t.Errorf("asked twice: %+v", got)
	}
}

// What is not well in the monitoring period becomes events, and so does its end.
func TestAnomaliesOfTheMonitoringPeriodAreEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		var value atomic.Uint64 // in hundredths
		stop := r.feed(func() (float64, state.Verdict) { return float64(value.Load()) / 100, "" })
		r.deploy()
		r.until("deployed", func(in *state.Incident) bool { return in.Item("10.deploy").Status == state.ItemDone })
		r.must(r.do(state.PassOver{Item: "10.validate", Reason: "test"}))
		r.until("watched", func(in *state.Incident) bool { return in.Item(state.ItemMonitor).Status == state.ItemRunning })
		watch := func() (out []state.WatchDecided) {
			for _, e := range r.journal.all() {
				if f, ok := e.Fact.(state.WatchDecided); ok {
					out = append(out, f)
				}
			}
			return out
		}
		time.Sleep(time.Minute)
		if w := watch(); len(w) != 0 {
			t.Errorf("all is well, and it says %+v", w)
		}
		value.Store(2)
		time.Sleep(time.Minute)
		value.Store(0)
		time.Sleep(time.Minute)
		w := watch()
		if len(w) != 2 || w[0].State != state.GateWaiting || len(w[0].Reasons) != 1 || len(w[0].Judged) != 1 || w[1].State != state.GateHolding || w[0].Watch != state.WatchMonitoring {
			t.Errorf("%+v", w)
		}
		in := r.until("monitored", func(in *state.Incident) bool { return in.Item(state.ItemMonitor).Status == state.ItemDone })
		found := false
		for _, ev := range in.Item(state.ItemMonitor).Evidence {
			found = found || ev.Name == "anomalies" && ev.Value == "1"
		}
		if !found {
			t.Errorf("%+v", in.Item(state.ItemMonitor).Evidence)
		}
		stop()
		r.must(r.Close("the test is over"))
	})
}
