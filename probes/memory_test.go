package probes

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// perSeries is what a probe holds, in bytes, where there are n: in the hub, and in the
// full series that screens and gates look at. They ran for a minute.
func perSeries(t *testing.T, n int) (per float64) {
	synctest.Test(t, func(t *testing.T) {
		clean := held()
		rings := map[string]*state.Series{}
		var all []state.Probe
		for i := range n {
			p := probe(fmt.Sprint("probe ", i))
			all = append(all, p)
			rings[p.Name] = full(p.Name)
		}
		h := New(Options{Askers: map[string]Asker{"test": value(1)}})
		h.Set(all)
		ctx := t.Context()
		var running sync.WaitGroup
		running.Go(func() {
			_ = h.Run(ctx, func(xs []state.Sample) {
				for _, x := range xs {
					rings[x.Probe].Add(x)
				}
			})
		})
		t.Cleanup(running.Wait)
		after(time.Minute)
		per = float64(held()-clean) / float64(n)
		runtime.KeepAlive(rings)
	})
	return per
}

// Ten times the probes hold ten times the memory.
func TestMemoryIsLinear(t *testing.T) {
	few, many := perSeries(t, 100), perSeries(t, 1000)
	t.Logf("%.0f bytes a series of 100, %.0f of 1,000", few, many)
	if many > 1.15*few || many > 45_000 {
		t.Errorf("%.0f bytes a series of 100, %.0f of 1,000", few, many)
	}
}
