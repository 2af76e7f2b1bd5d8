package probes

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"mayday/state"
)

// Bounds of a Hub.
const (
	// quickAsks and slowAsks bound the questions to one source that are in flight. One
	// that takes longer than slowAfter, or whose last one did, is counted among the
	// slow, so that what hangs leaves room for what answers. A thousand questions a
	// second may take a quarter of a second each.
	quickAsks = 256
	slowAsks  = 512
	slowAfter = 500 * time.Millisecond
	// mostAsks bounds the questions in flight to all sources together.
	mostAsks = 4096
	// flushEvery is the least time between two batches.
	flushEvery = 50 * time.Millisecond
	// The scheduler wakes for whole grains of time, a hundredth of the shortest
	// interval between these two: questions due within one grain are asked together,
	// which is what makes many probes cheap.
	fine, coarse = 5 * time.Millisecond, 50 * time.Millisecond
	// leastEvery is the shortest real interval of a probe, whatever the clock's speed.
	leastEvery = 20 * time.Millisecond
	// firstWithin is the real time in which every new probe is asked first.
	firstWithin = 250 * time.Millisecond
	// pastReadings is how much of the past a new probe's ring is filled with, in readings
	// an interval apart; pastAsks and pastTime bound the questions for it.
	pastReadings = state.SeriesLength / 2
	pastAsks     = 4
	pastTime     = 10 * time.Second
	// backlog bounds the samples that wait for a slow sink, per probe; the oldest go.
	backlog = 8
)

// Options sets a Hub up.
type Options struct {
	// Clock turns intervals and times into incident time.
	Clock state.Clock
	// Askers by Probe.Kind.
	Askers map[string]Asker
	// Now is the real time, from which samples get theirs; default time.Now.
	Now func() time.Time
}

// Hub asks probes on their schedules. Make one with New, give it probes with Set,
// and Run it; Set and Kick may be called at any time from any goroutine.
//
// Memory is linear: a probe holds some 3 kB here, and state.SeriesBytes where its samples
// are kept (measured together by BenchmarkHub and TestMemoryIsLinear).
type Hub struct {
	opt     Options
	running atomic.Bool
	wake    chan struct{} // something changed in the fields below

	mu      sync.Mutex
	probes  []state.Probe
	changed bool
	kicked  map[string]bool
	kickAll bool
}

// New makes a Hub that asks nothing yet.
func New(opt Options) *Hub {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	return &Hub{opt: opt, wake: make(chan struct{}, 1), kicked: map[string]bool{}}
}

// Set replaces the probes. Where a source remembers, a new probe's past follows its
// first known value: samples that are marked so, of the quarter of an hour before at an
// interval of five seconds. Those that stay as they were keep their schedule and
// their running question; new and changed ones are asked within a quarter of a
// second. Of two with one name the later counts. Does not block.
func (h *Hub) Set(probes []state.Probe) {
	fitted := make([]state.Probe, len(probes))
	for i, p := range probes {
		fitted[i] = Fit(p, h.opt.Clock)
	}
	h.mu.Lock()
	h.probes, h.changed = fitted, true
	h.mu.Unlock()
	h.nudge()
}

// Kick asks the named probes at once (all, if none is named), or right after the
// question that is running. Unknown names are ignored. Does not block.
func (h *Hub) Kick(names ...string) {
	h.mu.Lock()
	h.kickAll = h.kickAll || len(names) == 0
	for _, n := range names {
		h.kicked[n] = true
	}
	h.mu.Unlock()
	h.nudge()
}

func (h *Hub) nudge() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// orders are what Set and Kick asked for since the last look.
type orders struct {
	probes  []state.Probe
	changed bool
	kicked  map[string]bool
	kickAll bool
}

func (h *Hub) orders() orders {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := orders{h.probes, h.changed, h.kicked, h.kickAll}
	h.changed, h.kickAll = false, false
	if len(h.kicked) > 0 {
		h.kicked = map[string]bool{}
	}
	return o
}

// Run asks until ctx ends and then returns nil, after every question and the last
// call of sink have returned. sink gets the samples in the order they came, from
// one goroutine, in at most about 20 batches a second, and owns the slice. While
// it blocks, samples wait; beyond a bound the oldest are dropped. Run may be
// called again after it returned, but not twice at once: that is an error.
func (h *Hub) Run(ctx context.Context, sink func([]state.Sample)) error {
	if !h.running.CompareAndSwap(false, true) {
		return errors.New("probes: the hub is already running")
	}
	defer h.running.Store(false)
	h.mu.Lock()
	h.changed = true // a second Run starts from the definitions
	h.mu.Unlock()

	out := make(chan []state.Sample)
	var delivery sync.WaitGroup
	delivery.Go(func() {
		for batch := range out {
			sink(batch)
		}
	})
	s := newScheduler(h, out)
	s.run(ctx)
	s.asks.Wait()
	s.drain()
	close(out)
	delivery.Wait()
	return nil
}
