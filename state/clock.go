package state

import "time"

// Clock turns real time into incident time. In production it is the identity; in
// a drill it runs Speed times as fast from a common origin, so that every process
// that knows the three numbers agrees on the time. Deadlines, event and sample
// times and PromQL evaluation use incident time; I/O time-outs and the rollback's
// grace stay real.
type Clock struct {
	Origin time.Time `json:"origin,omitzero"` // real
	Base   time.Time `json:"base,omitzero"`   // the incident time at Origin
	Speed  float64   `json:"speed,omitempty"` // 0 means 1 with no shift
}

// At gives the incident time at the real time t, in UTC and without a monotonic
// reading (a laptop's sleep must count).
func (c Clock) At(t time.Time) time.Time {
	if c.Speed == 0 {
		return t.UTC().Round(0)
	}
	past := t.Round(0).Sub(c.Origin)
	return c.Base.Add(time.Duration(float64(past) * c.Speed)).UTC()
}

// Real says how long an incident duration lasts by the wall.
func (c Clock) Real(d time.Duration) time.Duration {
	if c.Speed == 0 {
		return d
	}
	return time.Duration(float64(d) / c.Speed)
}

// Incident says how much incident time passes in a real duration.
func (c Clock) Incident(d time.Duration) time.Duration {
	if c.Speed == 0 {
		return d
	}
	return time.Duration(float64(d) * c.Speed)
}
