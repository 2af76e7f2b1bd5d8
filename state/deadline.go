package state

import "time"

// Deadline is something due at an absolute incident time.
type Deadline struct {
	What string    // "escalate: engineering manager", "status update"
	At   time.Time // may lie in the past: then it is overdue
}

// NextEscalation gives the next level that has not been paged, while the incident
// is open and not mitigated.
func (in *Incident) NextEscalation() (Level, bool) {
	if !in.Open() || !in.Mitigated.IsZero() {
		return Level{}, false
	}
	var next Level
	found := false
	for _, l := range in.Levels {
		if !l.Paged.IsZero() {
			continue
		}
		if !found || l.due().Before(next.due()) {
			next, found = l, true
		}
	}
	return next, found
}

// due is when the level is paged: its time, or the end of a snooze.
func (l Level) due() time.Time {
	if l.Snooze.After(l.Due) {
		return l.Snooze
	}
	return l.Due
}

// DueAt is when the level will be paged.
func (l Level) DueAt() time.Time { return l.due() }

// AckEnds gives when the acknowledgement of a level lapses; false where it has none.
func (in *Incident) AckEnds(l Level) (time.Time, bool) {
	if l.Acked.IsZero() {
		return time.Time{}, false
	}
	heard := l.Acked
	if l.Alive.After(heard) {
		heard = l.Alive
	}
	return heard.Add(in.Policy.AckLasts()), true
}

// NextUpdate gives when the next status update is due.
func (in *Incident) NextUpdate() (time.Time, bool) {
	return in.Updates.Due, in.Open() && !in.Updates.Due.IsZero()
}

// MonitoringEnds gives when the monitoring period ends; false before it began.
func (in *Incident) MonitoringEnds() (time.Time, bool) {
	it := in.Item(ItemMonitor)
	if it == nil || it.Status != ItemRunning {
		return time.Time{}, false
	}
	return it.Started.Add(in.Policy.Monitor.D()), true
}

// Elapsed is how long the incident has lasted at now, or lasted in all.
func (in *Incident) Elapsed(now time.Time) time.Duration {
	if in.Declared.IsZero() {
		return 0
	}
	if !in.Ended.IsZero() {
		now = in.Ended
	}
	return max(now.Sub(in.Declared), 0)
}
