package steps

import (
	"slices"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// The reaction clock: the worst case from a bad event in the world to the beginning of
// the rollback that it pulls, in incident time, for one probe:
//
//	reach    until its readings are bad for certain: the window of its query, or the
//	         interval of the scrape behind it, or an alert's own "for" (state.Probe.Reach,
//	         which prom.Reach derives)
//	+ every  until it is asked next
//	+ held   while the verdict must repeat: consecutive-1 more questions, after its own "for"
//	+ answer until the last question is answered: its time-out, at most one interval
//	+ look   until the hub has handed the reading on and the gate looks at it
//
// It takes for granted that the change lasts and is one that the gate counts: beyond
// crit, and worse than what the gate compares with; that sources answer before their
// next question; and that nobody is asked instead (no-data, stale and error never pull).
// While a stage is being made nothing counts yet: its gate goes by readings from when
// the effect was seen, and so does the clock.
// For alerts of a server it counts from when the alert fires: what the server's rules
// add is not known here.

// handOn is how long the hub may keep a reading (real time): the grain it wakes for
// and the least time between two batches.
const handOn = 100 * time.Millisecond

// reaction is the reaction clock of one probe, in whole seconds; 0: it pulls nothing.
func reaction(p state.Probe, policy runbook.Gate, clock state.Clock) state.Duration {
	if !pulls(p, policy) {
		return 0
	}
	every := p.Every.D()
	held := time.Duration(policy.Consecutive-1) * every
	if p.For > 0 {
		held += (p.For.D() + every - 1).Truncate(every) // the reading after it is the first that counts
	}
	answer := min(clock.Incident(p.Timeout.D()), every)
	look := clock.Incident(handOn) + max(gateTick, clock.Incident(gateFloor))
	all := p.Reach.D() + every + held + answer + look
	return state.Duration((all + time.Second - 1).Truncate(time.Second))
}

// verdicts of their own: these kinds say crit without a threshold, such as for a
// wrong status, an exit code or pods that cannot start.
var verdicts = []string{runbook.KindHTTP, runbook.KindGRPC, runbook.KindCommand, runbook.KindRollout}

// pulls reports whether a probe's crit readings roll back by themselves.
func pulls(p state.Probe, policy runbook.Gate) bool {
	gates := p.Role == state.RoleNew || p.Role == state.RoleAll
	return gates && policy.Crit == "rollback" && (p.Crit != nil || p.CritTo != nil || slices.Contains(verdicts, p.Kind))
}

// Reaction is the worst case of all that gates look at: that of the slowest probe; 0
// where none pulls.
func Reaction(probes []state.Probe) state.Duration {
	var worst state.Duration
	for _, p := range probes {
		worst = max(worst, p.Reaction)
	}
	return worst
}
