package probes

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mayday/state"
)

// BenchmarkHub is 5,000 probes at an interval of 5 s in real time, of which an operation
// is a second: what the schedule costs (cpu-%: of one core, at most 50), how late
// questions come (lag-p99-ms: at most 100) and what a probe holds (B/series, linear: the
// same for 500 and for 5,000; TestMemoryIsLinear holds it), with the full series that screens
// and gates look at.
//
//	go test -run '^$' -bench 'Hub$' -benchtime 20x ./probes
func BenchmarkHub(b *testing.B) {
	for _, n := range []int{500, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkHub(b, n) })
	}
}

func benchmarkHub(b *testing.B, n int) {
	var mu sync.Mutex
	var lags []time.Duration
	var asked atomic.Int64
	want := int64(n) + int64(b.N)*int64(n)/5 // the first questions come within a quarter of a second
	enough := make(chan struct{})
	first := make([]atomic.Bool, n)
	h := New(Options{
		Askers: map[string]Asker{"test": askFunc(func(_ context.Context, p state.Probe, _ time.Time) (Reading, error) {
			late := lag(p, time.Now())
			if first[p.Status].Swap(true) { // not the first
				mu.Lock()
				lags = append(lags, late)
				mu.Unlock()
			}
			if asked.Add(1) == want {
				close(enough)
			}
			return Reading{Value: 1}, nil
		})},
	})
	clean := held()
	var all []state.Probe
	for i := range n {
		p := probe(fmt.Sprint("probe ", i))
		p.Status = i // a number to know it by
		all = append(all, p)
	}
	rings := map[string]*state.Series{}
	for _, p := range all {
		rings[p.Name] = full(p.Name)
	}
	h.Set(all)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	before := cpuTime(b)
	b.ResetTimer()
	go func() {
		defer close(done)
		_ = h.Run(ctx, func(xs []state.Sample) {
			for _, x := range xs {
				rings[x.Probe].Add(x)
			}
		})
	}()
	<-enough
	b.StopTimer()
	used := cpuTime(b) - before
	grown := held() - clean
	cancel()
	<-done
	slices.Sort(lags)
	b.ReportMetric(100*used.Seconds()/b.Elapsed().Seconds(), "cpu-%")
	b.ReportMetric(float64(lags[len(lags)*99/100].Microseconds())/1000, "lag-p99-ms")
	b.ReportMetric(float64(grown)/float64(n), "B/series")
	runtime.KeepAlive(rings)
}

// full is a series that remembers all it can.
func full(probe string) *state.Series {
	s := state.NewSeries(state.SeriesLength)
	for ago := state.CourseReach; ago > 0; ago -= 10 * time.Second {
		at := time.Now().Add(-ago)
		s.Add(state.Sample{Probe: probe, At: at, Got: at, Value: 1, Verdict: state.OK})
	}
	return s
}

// held is what lives on the heap.
func held() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
