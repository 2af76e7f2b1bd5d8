package steps

import (
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// What was before mayday opened fills the ring, once, and is no event: neither it nor
// that the first reading says something else.
func TestThePastIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		name, now := r.probe.Name, r.Now()
		look := func(ago time.Duration, v float64, past bool) state.Sample {
			return state.Sample{Probe: name, At: now.Add(-ago), Value: v, Verdict: r.probe.Judge(v), Past: past}
		}
		judged := func() (out []state.Sample) {
			for _, e := range r.Events() {
				if f, ok := e.Fact.(state.ProbeJudged); ok {
					out = append(out, f.Sample)
				}
			}
			return out
		}
		past := []state.Sample{look(30*time.Second, 0, true), look(25*time.Second, 0.9, true), look(20*time.Second, 0, true), look(time.Second, 0.9, true),
			{Probe: "nobody asks this", At: now, Past: true}}
		r.Observe([]state.Sample{look(0, 0, false)})
		before := len(judged())
		r.Observe(past)
		r.Observe(past) // a second keeper asks for it again
		if n := len(judged()); n != before {
			t.Errorf("%d events of what was before", n-before)
		}
		r.mu.Lock()
		ring, others := r.series[name], len(r.series)
		r.mu.Unlock()
		want := []time.Duration{30 * time.Second, 25 * time.Second, 20 * time.Second, 0}
		if ring.Len() != len(want) || others != 1 {
			t.Fatalf("%d readings, %d rings", ring.Len(), others)
		}
		for i, ago := range want {
			if x := ring.At(i); !x.At.Equal(now.Add(-ago)) || x.Past != (ago > 0) {
				t.Errorf("reading %d: %+v", i, x)
			}
		}
		r.Observe([]state.Sample{look(-5*time.Second, 0.9, false)})
		if all := judged(); len(all) != before+1 || all[before].Verdict != state.Crit {
			t.Errorf("events: %+v", all)
		}
	})
}

// A tag changes what the new version's probes ask. What one that keeps versions apart said
// of the old version before still counts, for this keeper and for the next; else a rollout
// right behind the tag would have nothing to compare with.
func TestTheOldVersionIsKnownFromBeforeTheTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		probes := func(_ *rig, o *Options) {
			every := state.Duration(5 * time.Second)
			o.Runbook.Probes = []runbook.Probe{
				{Name: "apart", Query: "sum by (version) (x)", Series: "by version", Role: state.RoleNew, Every: every, Stale: 3 * every},
				{Name: "whole", Query: "y", Role: state.RoleAll, Every: every, Stale: 3 * every},
				{Name: "new", Query: `z{version="{new}"}`, Role: state.RoleNew, Every: every, Stale: 3 * every}}
		}
		r := newRig(t, probes)
		at := r.Now()
		samples := []state.Sample{{Probe: "whole", At: at, Got: at, Value: 1, Verdict: state.OK}, {Probe: "new", At: at, Got: at, Value: 2, Verdict: state.OK},
			{Probe: "apart", At: at, Got: at, Verdict: state.NoData, Parts: []state.Part{{Label: "v1.2.3", Value: 3, Verdict: state.OK}}}}
		r.Observe(samples)
		time.Sleep(time.Second)
		_, err := r.record(alice, state.FactsFound{Facts: map[string]string{"tag": "v1.2.5"}})
		r.must(err)
		r.layProbes()
		known := func(r *rig, who string) {
			t.Helper()
			got := r.before().Readings
			if len(got) != 2 || got["whole"].Value != 1 || got["apart"].Value != 3 {
				t.Errorf("%s knows of before: %+v", who, got)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if n := r.series["new"].Len(); n != 0 {
				t.Errorf("%s takes %d readings of the last version for the next one's", who, n)
			}
		}
		known(r, "this keeper")
		r.bye()
		next := newRigOn(t, r.journal.all(), probes, func(_ *rig, o *Options) { o.Past = samples })
		defer next.bye()
		known(next, "the next one")
	})
}

// One reading that was lost just when the rollout began is no reason to know nothing of
// before it.
func TestALostReadingTakesNoBaselineAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, watchVersions(runbook.Probe{}))
		defer r.bye()
		at := r.Now()
		r.Observe([]state.Sample{{Probe: r.probe.Name, At: at, Verdict: state.NoData, Parts: []state.Part{{Label: "v1.2.3", Value: 3, Verdict: state.OK}}}})
		time.Sleep(5 * time.Second)
		r.Observe([]state.Sample{{Probe: r.probe.Name, At: r.Now(), Verdict: state.Error, Text: "no answer"}})
		got := r.before().Readings[r.probe.Name]
		if got.Value != 3 || got.Verdict != state.OK || len(got.Parts) != 1 {
			t.Errorf("before the rollout: %+v", got)
		}
	})
}
