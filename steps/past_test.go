package steps

import (
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
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
