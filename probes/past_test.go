package probes

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// historian answers 1 now and remembers 2.
type historian struct {
	since  time.Time // it remembers nothing before
	asked  atomic.Int32
	flight atomic.Int32
	most   atomic.Int32
	fails  bool
}

func (h *historian) Ask(context.Context, state.Probe, time.Time) (Reading, error) {
	return Reading{Value: 1}, nil
}

func (h *historian) Past(_ context.Context, _ state.Probe, from, to time.Time, step time.Duration) (out []Reading, err error) {
	h.asked.Add(1)
	h.most.Store(max(h.most.Load(), h.flight.Add(1)))
	defer h.flight.Add(-1)
	time.Sleep(300 * time.Millisecond)
	if h.fails {
		return nil, errors.New("no such thing")
	}
	for at := from; !at.After(to); at = at.Add(step) {
		if !at.Before(h.since) {
			out = append(out, Reading{Value: 2, At: at})
		}
	}
	return out, nil
}

func remembering(t *testing.T, h *historian, probes ...state.Probe) *rig {
	t.Helper()
	r := start(t, state.Clock{}, nil)
	r.opt.Askers["test"] = h
	r.Set(probes)
	return r
}

// A new probe's past follows its first reading, up to where that begins; it is judged,
// marked, and asked for once.
func TestANewProbeHasAPast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, begun := 1.5, time.Now()
		p := probe("a")
		p.Warn = &one
		h := &historian{since: begun.Add(-10 * time.Minute)}
		r := remembering(t, h, p)
		after(30 * time.Second)
		ring := state.NewSeries(state.SeriesLength)
		var live, past int
		for i, x := range r.of("a") {
			if i == 0 && x.Past {
				t.Error("the past came before the present")
			}
			if x.Past {
				past++
				if x.Verdict != state.Warn || x.Value != 2 || x.Got.Before(begun) {
					t.Fatalf("%+v", x)
				}
			} else {
				live++
			}
			ring.Add(x)
		}
		if h.asked.Load() != 1 || live < 5 || past < 118 || past > 120 {
			t.Fatalf("%d readings, %d of the past, which was asked for %d times", live, past, h.asked.Load())
		}
		for i := 1; i < ring.Len(); i++ {
			if gap := ring.At(i).At.Sub(ring.At(i - 1).At); gap <= 0 || gap > 8*time.Second || ring.At(i).Past && !ring.At(i-1).Past {
				t.Fatalf("reading %d is %v after the one before", i, gap)
			}
		}
		if last, _ := ring.Last(); last.Past || last.Value != 1 {
			t.Fatalf("the newest is %+v", last)
		}
		changed := p
		changed.Query = "another"
		r.Set([]state.Probe{changed})
		after(10 * time.Second)
		if h.asked.Load() != 2 {
			t.Fatalf("asked for %d times after the probe changed", h.asked.Load())
		}
	})
}

// The past of many probes is asked for a few at a time, and none of it is lost.
func TestThePastIsAskedForGently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all []state.Probe
		for i := range 60 {
			all = append(all, probe(fmt.Sprint(i)))
		}
		h := &historian{since: time.Now().Add(-24 * time.Hour)}
		r := remembering(t, h, all...)
		after(40 * time.Second)
		if h.most.Load() > pastAsks {
			t.Errorf("%d at a time", h.most.Load())
		}
		count := map[string]int{}
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, x := range r.samples {
			if x.Past {
				count[x.Probe]++
			}
		}
		for _, p := range all {
			if count[p.Name] != pastReadings {
				t.Fatalf("%d readings of the past of %s", count[p.Name], p.Name)
			}
		}
	})
}

func TestAPastThatFailsIsNoReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := remembering(t, &historian{fails: true}, probe("a"))
		after(20 * time.Second)
		for _, x := range r.of("a") {
			if x.Past || x.Verdict != state.OK {
				t.Fatalf("%+v", x)
			}
		}
	})
}
