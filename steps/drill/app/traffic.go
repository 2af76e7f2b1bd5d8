package app

import (
	"sync"
	"time"

	"mayday/state"
)

// window is how many requests a share is computed over: less than half a second of
// the range's usual load, so that what a share sets off shows at once. The router's
// shares are exact, so few are enough.
const window = 40

// traffic is what the app of one namespace knows of its own load. Safe for
// concurrent use.
type traffic struct {
	clock     state.Clock
	customers bool // this is where they come: see Options.Customers

	mu      sync.Mutex
	ring    [window]string // versions
	next    int
	full    bool
	counts  map[string]int
	pods    map[string]int // live pods by version
	alone   string         // the only version that runs, "" while there are several
	since   time.Time      // incident time of the last pod that came or went
	serials map[string]uint64
}

func newTraffic(clock state.Clock, customers bool) *traffic {
	return &traffic{clock: clock, customers: customers, counts: map[string]int{}, pods: map[string]int{}, serials: map[string]uint64{}}
}

// served counts a request.
func (t *traffic) served(version string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.full {
		t.counts[t.ring[t.next]]--
	}
	t.ring[t.next] = version
	t.counts[version]++
	t.next++
	if t.next == window {
		t.next, t.full = 0, true
	}
}

// share gives the fraction of recent traffic that the version serves; 0 while there
// has not been enough, and where customers do not come.
func (t *traffic) share(version string) float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.full || !t.customers {
		return 0
	}
	return float64(t.counts[version]) / window
}

// failing reports whether this request fails of overload: every n-th does.
func (t *traffic) failing(version string, o *Overload) bool {
	if o == nil || t.share(version) < o.Share {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.serials[version]++
	return t.serials[version]%o.Every == 0
}

// podStarted and podStopped keep count of who runs.
func (t *traffic) podStarted(version string, now time.Time) { t.pod(version, 1, now) }
func (t *traffic) podStopped(version string, now time.Time) { t.pod(version, -1, now) }

// pod counts, and starts the time alone afresh: only when pods neither come nor go
// any more is a rollout over.
func (t *traffic) pod(version string, n int, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pods[version] += n
	t.alone, t.since = "", t.clock.At(now)
	for v, n := range t.pods {
		switch {
		case n <= 0:
		case t.alone == "":
			t.alone = v
		default:
			t.alone = ""
			return
		}
	}
}

// servedAlone gives for how much incident time the version has been the only one
// to run in this namespace, with the same pods.
func (t *traffic) servedAlone(version string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.alone != version || !t.customers {
		return 0
	}
	return t.clock.At(now).Sub(t.since)
}

// muted reports whether any version's behaviour has taken the metrics away.
func (t *traffic) muted(of func(string) Behaviour) bool {
	t.mu.Lock()
	var running []string
	for v, n := range t.pods {
		if n > 0 {
			running = append(running, v)
		}
	}
	t.mu.Unlock()
	for _, v := range running {
		if at := of(v).MuteAt; at > 0 && t.share(v) >= at {
			return true
		}
	}
	return false
}
