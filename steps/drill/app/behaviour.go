package app

import (
	"time"

	"mayday/state"
)

// Behaviour says how one version of the app behaves: a scenario's data. The zero
// value is a healthy version. Shares are fractions of the namespace's recent
// traffic that this version serves, as the app itself counts it.
type Behaviour struct {
	// NilProfile is the bug that the drill is about: the login of an account that
	// has no profile answers 500.
	NilProfile bool
	// Overload makes logins and the catalog fail under load.
	Overload *Overload
	// Climb makes the version slower and slower once it serves alone.
	Climb *Climb
	// MuteAt is the share from which on no pod of the namespace, of any version,
	// answers /metrics. The app itself stays well. 0: never.
	MuteAt float64
}

// Overload is a connection pool that is too small: from a share of real traffic
// on, every Every-th login and catalog request fails.
type Overload struct {
	Share float64
	Every uint64
}

// Climb is a cache that never evicts: once all pods of the namespace run this
// version, none comes or goes any more and Delay has passed, slow requests take longer, linearly from their
// usual latency to Peak over Over. Delay and Over are incident time, Peak is real:
// it is what a client measures.
type Climb struct {
	Delay state.Duration
	Over  state.Duration
	Peak  time.Duration
}

// The usual latency: most requests take between fastest and fast, one in slowOne
// between slow and slowest. That puts the 95th percentile near 170 ms.
const (
	fastest = 8 * time.Millisecond
	fast    = 35 * time.Millisecond
	slow    = 120 * time.Millisecond
	slowest = 190 * time.Millisecond
	slowOne = 7
)

// latency gives how long a request takes, for two draws from [0,1) and the extra
// time that slow requests have grown by.
func latency(kind, place float64, extra time.Duration) time.Duration {
	lo, hi := fastest, fast
	if kind < 1.0/slowOne {
		lo, hi = slow+extra, slowest+extra
	}
	return lo + time.Duration(place*float64(hi-lo))
}

// extra gives how much slower slow requests are when the version has served alone
// for the given incident time.
func (c *Climb) extra(alone time.Duration) time.Duration {
	if c == nil || alone <= c.Delay.D() || c.Over <= 0 {
		return 0
	}
	done := min(float64(alone-c.Delay.D())/float64(c.Over.D()), 1)
	return time.Duration(done * float64(max(c.Peak-slowest, 0)))
}
