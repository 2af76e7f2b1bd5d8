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
//	+ held   while the verdict must repeat: consecutive-1 more questions, after its own "for";
//	         of a rank test after the bad readings that it needs (state.Rank.Slowest)
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

// A rank test says nothing before each side has state.RankLeast readings, which a stage
// begins to count anew; that wait is the first part of its clock, not an addition to it.

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
	return reactsAfter(p, held, clock)
}

// rankReaction is the reaction clock of a probe's rank test, by which a change that lasts
// and is worse than all before it is taken back; 0: there is none, or it pulls nothing.
func rankReaction(p state.Probe, policy runbook.Gate, clock state.Clock) state.Duration {
	if p.Rank == nil || !gates(p, policy) {
		return 0
	}
	n := p.Rank.Slowest()
	if n == 0 {
		return 0
	}
	return reactsAfter(p, time.Duration(n-1+policy.Consecutive-1)*p.Every.D(), clock)
}

// reactsAfter sums a clock up; held is its part that tells clocks apart.
func reactsAfter(p state.Probe, held time.Duration, clock state.Clock) state.Duration {
	every := p.Every.D()
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
	return gates(p, policy) && (p.Crit != nil || p.CritTo != nil || slices.Contains(verdicts, p.Kind))
}

// gates reports whether a crit verdict of a probe rolls back.
func gates(p state.Probe, policy runbook.Gate) bool {
	return (p.Role == state.RoleNew || p.Role == state.RoleAll) && policy.Crit == "rollback"
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
