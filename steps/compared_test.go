package steps

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// versions is a fake Hub of one probe that keeps the versions' values apart: old's now,
// and new's from when the new version has traffic.
type versions struct {
	r        *rig
	old, new func(at time.Time) float64 // nil: that version is not seen
	stop     chan struct{}
	over     chan struct{}
}

// watchVersions lays the probe, in the place of the rig's own.
func watchVersions(p runbook.Probe) func(*rig, *Options) {
	return func(r *rig, o *Options) {
		p.Name, p.Query, p.Unit, p.Series, p.Role = r.probe.Name, "sum by (version) (x)", "ms", "by version", state.RoleNew
		p.Every, p.Stale = r.probe.Every, state.Duration(20*time.Second)
		o.Runbook.Probes = []runbook.Probe{p}
	}
}

// feedVersions reads both versions every five seconds until stop is called.
func (r *rig) feedVersions(old, fresh func(at time.Time) float64) (stop func()) {
	v := &versions{r: r, old: old, new: fresh, stop: make(chan struct{}), over: make(chan struct{})}
	go v.run()
	return func() { close(v.stop); <-v.over }
}

func (v *versions) run() {
	defer close(v.over)
	for {
		v.r.Observe([]state.Sample{v.read(v.r.Now())})
		select {
		case <-v.stop:
			return
		case <-time.After(5 * time.Second):
		}
	}
}

func (v *versions) read(at time.Time) state.Sample {
	s := state.Sample{Probe: v.r.probe.Name, At: at, Got: at, Verdict: state.NoData}
	if v.old != nil {
		s.Parts = append(s.Parts, state.Part{Label: "v1.2.3", Value: v.old(at), Verdict: state.OK})
	}
	v.r.world.mu.Lock()
	serves := v.r.world.weight > 0
	v.r.world.mu.Unlock()
	if serves && v.new != nil {
		s.Value, s.Verdict = v.new(at), state.OK
		s.Parts = append(s.Parts, state.Part{Label: "v1.2.4", Value: s.Value, Verdict: state.OK})
	}
	return s
}

func always(v float64) func(time.Time) float64 { return func(time.Time) float64 { return v } }

// about wobbles by a tenth around a value, the same way at the same time.
func about(v float64) func(time.Time) float64 {
	return func(at time.Time) float64 { return v * (0.95 + 0.01*float64(at.Unix()/5*7%11)) }
}

// decided gives the decisions of the gates in the journal, in order.
func (r *rig) decisions() []state.GateDecided {
	var out []state.GateDecided
	for _, e := range r.journal.all() {
		if f, ok := e.Fact.(state.GateDecided); ok {
			out = append(out, f)
		}
	}
	return out
}

// A threshold that follows the old version takes the canary back when the new one is
// beyond it, lets it pass within it, and says in the journal what it went by.
func TestARelativeThresholdDecides(t *testing.T) {
	for name, c := range map[string]struct {
		new  float64
		back bool
	}{"within": {149, false}, "beyond": {151, true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, watchVersions(runbook.Probe{Crit: &runbook.Limit{To: &state.Relative{Times: 1.5}}}))
				defer r.bye()
				defer r.feedVersions(always(100), always(c.new))()
				time.Sleep(time.Minute)
				r.deploy()
				r.until("over", func(in *state.Incident) bool {
					return in.Rollback.Status == state.RollbackDone || in.Rollouts[0].Status == state.RolloutDone
				})
				if back := r.Incident().Rollback.Status == state.RollbackDone; back != c.back {
					t.Fatalf("rolled back: %v, %+v", back, r.decisions())
				}
				all := r.decisions()
				last := all[len(all)-1].Judged[0]
				if last.Baseline == nil || last.Baseline.Of != "v1.2.3 now" || last.Baseline.Value != 100 || last.Crit == nil || *last.Crit != 150 ||
					last.Query != "sum by (version) (x)" || last.Unit != "ms" || last.Value != c.new || last.At.IsZero() || last.Got.Before(last.At) {
					t.Errorf("what the gate went by: %+v", last)
				}
				r.mu.Lock()
				x, _ := r.series[r.probe.Name].Last()
				r.mu.Unlock()
				if part, ok := x.Part("v1.2.4"); ok && part.Verdict != x.Verdict {
					t.Errorf("the new version is %s, and its part %s", x.Verdict, part.Verdict)
				}
				if c.back && (last.InARow != 3 || !strings.Contains(last.Why, "wanted < 150 ms")) {
					t.Errorf("why it failed: %+v", last)
				}
			})
		})
	}
}

// A relative threshold whose baseline never came asks once its patience is over. A person
// who accepts that has accepted it for the stages that follow, and another keeper knows.
func TestAMissingBaselineIsAcceptedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, watchVersions(runbook.Probe{Crit: &runbook.Limit{To: &state.Relative{Times: 1.5}}}))
		defer r.bye()
		defer r.feedVersions(nil, always(100))()
		r.deploy()
		asks := func(in *state.Incident) bool {
			return len(in.Rollouts) > 0 && in.Rollouts[0].Status == state.RolloutAsking
		}
		in := r.until("it asks", asks)
		if g := in.Rollouts[0].Gate; !slices.Equal(g.Uncompared, []string{r.probe.Name}) || !strings.Contains(list(g.Reasons), "no baseline") {
			t.Fatalf("it asks because of %+v", g)
		}
		r.must(r.do(state.GoOn{Accept: true, Reason: "the old version is gone"}))
		in = r.until("over", func(in *state.Incident) bool { return asks(in) || in.Rollouts[0].Status == state.RolloutDone })
		if asks(in) {
			t.Fatalf("it asks again: %v", in.Rollouts[0].Gate.Reasons)
		}
		all := r.decisions()
		if last := all[len(all)-1]; last.Stage != 1 || !last.Judged[0].NoBaseline || !strings.Contains(list(last.Reasons), "no baseline, accepted before") {
			t.Errorf("the last decision does not say what it passed over: %+v", last)
		}
		again, err := state.Fold(r.journal.all())
		if r.must(err); !slices.Equal(again.Rollouts[0].Uncompared, []string{r.probe.Name}) {
			t.Errorf("another keeper would know of %q", again.Rollouts[0].Uncompared)
		}
	})
}

// Once the old version has no traffic left the new one is measured against what the old
// one was like in the minutes before the rollout.
func TestTheWindowBeforeTheRolloutIsTheBaseline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, watchVersions(runbook.Probe{Crit: &runbook.Limit{To: &state.Relative{Times: 1.5}}}))
		defer r.bye()
		began := time.Now()
		spiked := func(at time.Time) float64 { // one wild reading in ten minutes, and another time before those
			switch {
			case at.Before(began.Add(5 * time.Minute)):
				return 1000
			case at.Equal(began.Add(7 * time.Minute)):
				return 900
			}
			return 100
		}
		stop := r.feedVersions(spiked, always(100))
		time.Sleep(10*time.Minute + time.Second)
		r.deploy()
		r.until("25 %", func(in *state.Incident) bool {
			return len(in.Rollouts) > 0 && !in.Rollouts[0].Stages[0].Effected.IsZero()
		})
		stop()
		in := r.Incident()
		if b := in.Before[r.probe.Name]; b.Value != 100 {
			t.Fatalf("before the rollout it was %v, the typical reading is 100", b.Value)
		}
		if w := in.Windows[r.probe.Name]["v1.2.3"]; len(w) != 60 || w[0].At.Before(began.Add(5*time.Minute)) {
			t.Fatalf("the window holds %d readings", len(w))
		}
		defer r.feedVersions(nil, always(160))()
		r.until("rolled back", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone })
		all := r.decisions()
		if j := all[len(all)-1].Judged[0]; j.Baseline == nil || j.Baseline.Of != state.BeforeRollout || j.Baseline.Value != 100 || *j.Crit != 150 {
			t.Errorf("it was measured against %+v", j.Baseline)
		}
	})
}

// A rank test without any threshold: until each side has its readings the stage does not
// pass; alike, it does; worse, it takes production back within its reaction clock.
func TestARankTestDecides(t *testing.T) {
	for name, c := range map[string]struct {
		fresh func(time.Time) float64
		back  bool
	}{"alike": {about(100), false}, "worse": {about(140), true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, watchVersions(runbook.Probe{Compare: runbook.Compare{By: "rank", Alpha: state.RankAlpha, Effect: state.RankEffect}}))
				defer r.bye()
				defer r.feedVersions(about(100), c.fresh)()
				time.Sleep(10 * time.Minute)
				r.deploy()
				in := r.until("over", func(in *state.Incident) bool {
					return in.Rollback.Status == state.RollbackDone || in.Rollouts[0].Status == state.RolloutDone
				})
				if back := in.Rollback.Status == state.RollbackDone; back != c.back {
					t.Fatalf("rolled back: %v, %+v", back, r.decisions())
				}
				first := in.Rollouts[0].Stages[0]
				wait := in.Probes[0].Every.D() * state.RankLeast
				if !c.back && first.Passed.Sub(first.Effected) < wait {
					t.Errorf("a stage passed after %s, before there can be %d readings", first.Passed.Sub(first.Effected), state.RankLeast)
				}
				if in.Probes[0].Reaction != 0 || in.RankReaction() < state.Duration(wait) {
					t.Errorf("the reaction clock says %s, by rank %s", in.Probes[0].Reaction, in.RankReaction())
				}
				if took := in.Rollback.Started.Sub(first.Effected); c.back && (took < wait || took > in.RankReaction().D()) {
					t.Errorf("taken back after %s, the clock says at worst %s", took, in.RankReaction())
				}
				all := r.decisions()
				if !slices.ContainsFunc(all, func(d state.GateDecided) bool {
					return d.State == state.GateWaiting && strings.Contains(list(d.Reasons), "not enough data to compare by rank")
				}) {
					t.Errorf("nobody was told that it waits for readings: %+v", all)
				}
				last := all[len(all)-1].Judged[0].Rank
				if last == nil || last.Against != "v1.2.3 now" || min(last.Now, last.Old) < state.RankLeast || len(last.News) != last.Now || len(last.Olds) != last.Old {
					t.Fatalf("what the test went by: %+v", last)
				}
				if again := state.MannWhitney(values(last.News), values(last.Olds), false); again != last.Ranked {
					t.Errorf("judged again: %+v, was %+v", again, last.Ranked)
				}
			})
		})
	}
}

// A keeper that has just begun knows next to nothing of the time before a rollout. The
// plan says so, and how long to wait; once as much is known as a gate wants in a row, no
// more.
func TestAPlanSaysThatLittleIsKnownFromBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		every := state.Duration(5 * time.Second)
		r := newRig(t, func(_ *rig, o *Options) {
			for name, role := range map[string]state.Role{"errors": state.RoleAll, "seen": state.RoleDisplay, "errors before": state.RoleOld} {
				o.Runbook.Probes = append(o.Runbook.Probes, runbook.Probe{Name: name, Query: "x", Role: role, Every: every, Stale: 3 * every})
			}
		})
		defer r.bye()
		warned := func() []string {
			p, _, err := r.plan(t.Context(), r.Incident(), itemDeploy, "canary")
			r.must(err)
			return p.Warnings
		}
		for i, want := range []string{"15s", "10s", "5s", ""} {
			got := list(warned())
			if want != "" {
				want = "wait " + want + ": what is ill already may count as new, hardly anything is known from before the rollout of errors"
			}
			if got != want {
				t.Errorf("after %d readings: %q", i, got)
			}
			r.Observe([]state.Sample{{Probe: "errors", At: r.Now(), Value: 0.08, Verdict: state.Crit}})
			time.Sleep(every.D())
		}
	})
}

// What is asked rarely is known by its newest reading, and nobody waits for it for hours;
// a rank test that has only the time before to compare with wants all its readings.
func TestScarce(t *testing.T) {
	now := time.Unix(10000, 0)
	probe := func(every time.Duration) state.Probe {
		return state.Probe{Name: "p", Role: state.RoleAll, Every: state.Duration(every)}
	}
	ranked := probe(5 * time.Second)
	ranked.Rank = &state.Rank{}
	against, display := ranked, probe(5*time.Second)
	against.Compare, display.Role = "q", state.RoleDisplay
	for name, c := range map[string]struct {
		p    state.Probe
		had  int
		wait time.Duration // 0: enough is known
	}{
		"often, nothing":           {probe(5 * time.Second), 0, 15 * time.Second},
		"often, enough":            {probe(5 * time.Second), 3, 0},
		"rarely, nothing":          {probe(time.Hour), 0, beforeSpan},
		"rarely, one":              {probe(time.Hour), 1, 0},
		"every two minutes, one":   {probe(2 * time.Minute), 1, 2 * time.Minute},
		"every two minutes, two":   {probe(2 * time.Minute), 2, 0},
		"by rank with before":      {ranked, 9, 55 * time.Second},
		"by rank, enough":          {ranked, 20, 0},
		"by rank with another one": {against, 0, 0},
		"only shown":               {display, 0, 0},
	} {
		series := state.NewSeries(100)
		for i := range c.had {
			at := now.Add(-time.Duration(c.had-1-i)*c.p.Every.D() - min(c.p.Every.D()/2, 20*time.Minute))
			series.Add(state.Sample{Probe: "p", At: at, Got: at, Verdict: state.OK})
		}
		few, wait := Scarce(&runbook.Runbook{Gate: runbook.Gate{Consecutive: 3}}, []state.Probe{c.p}, map[string]*state.Series{"p": series}, now)
		if wait != c.wait || (len(few) > 0) != (c.wait > 0) {
			t.Errorf("%s: %v, %s", name, few, wait)
		}
	}
}
