package probes

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// starts runs a new hub with the probes and gives when each was asked within so many
// intervals, but for the early first time.
func starts(t *testing.T, intervals int, all []state.Probe) map[string][]time.Time {
	t.Helper()
	var mu sync.Mutex
	asked, first := map[string][]time.Time{}, map[string]bool{}
	r := start(t, state.Clock{}, func(_ context.Context, p state.Probe, _ time.Time) (Reading, error) {
		mu.Lock()
		defer mu.Unlock()
		if first[p.Name] {
			asked[p.Name] = append(asked[p.Name], time.Now())
		}
		first[p.Name] = true
		return Reading{Value: 1}, nil
	}, all...)
	after(time.Duration(intervals)*all[0].Every.D() + firstWithin + coarse)
	r.stop()
	return asked
}

// place is where in its interval a time lies.
func place(at time.Time, every time.Duration) time.Duration {
	return time.Duration(at.UnixNano() % int64(every))
}

// Probes of one interval are asked all over it, each always at the same place: in every
// interval, by every hub, whichever others there are.
func TestStartsAreSpreadAndStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, parts = 1000, 20
		var all []state.Probe
		for i := range n {
			all = append(all, probe(fmt.Sprintf("probe %d", i)))
		}
		every := all[0].Every.D()
		asked := starts(t, 4, all)
		var in [parts]int
		for _, p := range all {
			times := asked[p.Name]
			if len(times) < 3 {
				t.Fatalf("%s was asked %d times in four intervals", p.Name, len(times))
			}
			for i := 1; i < len(times); i++ {
				if gap := times[i].Sub(times[i-1]); gap != every {
					t.Errorf("%s is asked again after %v", p.Name, gap)
				}
			}
			in[place(times[0], every)*parts/every]++
		}
		// Were the places drawn by lot, a part would hold 50, and fewer than 22 or more than
		// 78 once in ten thousand draws.
		for i, k := range in {
			if k < 22 || k > 78 {
				t.Errorf("%d of %d probes start in part %d of %d of the interval: %v", k, n, i+1, parts, in)
			}
		}

		time.Sleep(1234567 * time.Microsecond) // another hub begins at another time
		few := all[n/2 : n/2+10]
		for name, times := range starts(t, 2, few) {
			if a, b := place(asked[name][0], every), place(times[0], every); a != b {
				t.Errorf("%s starts %v into the interval, and %v in another run", name, a, b)
			}
		}
	})
}

// What is new is asked soon, and not all at once.
func TestFirstStartsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []state.Probe
		for i := range 200 {
			p := probe(fmt.Sprintf("probe %d", i))
			p.Every, p.StaleAt = state.Duration(time.Minute), state.Duration(3*time.Minute)
			all = append(all, p)
		}
		var mu sync.Mutex
		at := map[time.Duration]int{}
		begun := time.Now()
		start(t, state.Clock{}, func(context.Context, state.Probe, time.Time) (Reading, error) {
			mu.Lock()
			defer mu.Unlock()
			at[time.Since(begun)]++
			return Reading{Value: 1}, nil
		}, all...)
		after(firstWithin + coarse)
		mu.Lock()
		defer mu.Unlock()
		sum := 0
		for d, n := range at {
			if sum += n; n > len(all)/2 {
				t.Errorf("%d of %d are asked first %v after the start", n, len(all), d)
			}
		}
		if sum != len(all) || len(at) < 5 {
			t.Errorf("%d of %d were asked, at %d times", sum, len(all), len(at))
		}
	})
}

// Who stops looking has not seen anything go wrong, also where the scheduler finds the
// answers to cut questions before it finds that it is to end.
func TestTheEndIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 { // which it finds first is chance
			gate := make(chan struct{}, 1)
			gate <- struct{}{}
			h := New(Options{Askers: map[string]Asker{"test": askFunc(func(ctx context.Context, p state.Probe, _ time.Time) (Reading, error) {
				<-ctx.Done()
				return Reading{}, ctx.Err()
			})}, Now: func() time.Time {
				gate <- <-gate
				return time.Now()
			}})
			h.Set([]state.Probe{probe("a"), probe("b")})
			ctx, cancel := context.WithCancel(t.Context())
			var got []state.Sample
			done := make(chan error, 1)
			go func() { done <- h.Run(ctx, func(xs []state.Sample) { got = append(got, xs...) }) }()
			after(time.Second)
			<-gate // the scheduler waits for the time of the next question
			h.Set([]state.Probe{probe("a"), probe("b"), probe("c")})
			after(time.Second)
			cancel()
			synctest.Wait()
			gate <- struct{}{}
			if err := <-done; err != nil || len(got) > 0 {
				t.Fatalf("%+v, %v", got, err)
			}
		}
	})
}
