package app

import (
	"sync"
	"time"

	"mayday/state"
)

// window is how many requests a share is computed over; wide enough that a health
// check more or less does not matter, and two seconds of the range's usual load.
const window = 200

// underLoad is the longest (real) time that the window may span for the namespace
// to count as under load: staging, with its few checks, never is.
const underLoad = 15 * time.Second

// traffic is what the app of one namespace knows of its own load. Safe for
// concurrent use.
type traffic struct {
	clock state.Clock

	mu      sync.Mutex
	ring    [window]hit
	next    int
	full    bool
	counts  map[string]int
	pods    map[string]int // live pods by version
	alone   string         // the only version that runs, "" while there are several
	since   time.Time      // incident time from which on it was alone
	serials map[string]uint64
}

type hit struct {
	version string
	at      time.Time
}

func newTraffic(clock state.Clock) *traffic {
	return &traffic{clock: clock, counts: map[string]int{}, pods: map[string]int{}, serials: map[string]uint64{}}
}

// served counts a request at the real time now.
func (t *traffic) served(version string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := &t.ring[t.next]; t.full {
		t.counts[old.version]--
	}
	t.ring[t.next] = hit{version, now}
	t.counts[version]++
	t.next++
	if t.next == window {
		t.next, t.full = 0, true
	}
}

// share gives the fraction of recent traffic that the version serves; 0 while the
// namespace is not under load.
func (t *traffic) share(version string, now time.Time) float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.full || now.Sub(t.ring[t.next].at) > underLoad {
		return 0
	}
	return float64(t.counts[version]) / window
}

// failing reports whether this request fails of overload: every n-th does.
func (t *traffic) failing(version string, o *Overload, now time.Time) bool {
	if o == nil || t.share(version, now) < o.Share {
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

func (t *traffic) pod(version string, n int, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pods[version] += n
	only := ""
	for v, n := range t.pods {
		switch {
		case n <= 0:
		case only == "":
			only = v
		default:
			t.alone = ""
			return
		}
	}
	if only != t.alone {
		t.alone, t.since = only, t.clock.At(now)
	}
}

// servedAlone gives for how much incident time the version has been the only one
// to run in this namespace.
func (t *traffic) servedAlone(version string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.alone != version {
		return 0
	}
	return t.clock.At(now).Sub(t.since)
}

// muted reports whether any version's behaviour has taken the metrics away.
func (t *traffic) muted(of func(string) Behaviour, now time.Time) bool {
	t.mu.Lock()
	var running []string
	for v, n := range t.pods {
		if n > 0 {
			running = append(running, v)
		}
	}
	t.mu.Unlock()
	for _, v := range running {
		if at := of(v).MuteAt; at > 0 && t.share(v, now) >= at {
			return true
		}
	}
	return false
}
