package state

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // a host without zone files knows the team's zone too
)

// The review of an incident begins so long after its end; where nobody works in that
// time, at the first hour after it in which somebody does.
const (
	ReviewFrom = 24 * time.Hour
	ReviewTo   = 48 * time.Hour
)

// ReviewLength is how long a review is meant to take.
const ReviewLength = time.Hour

// reviewStep is what a review's start is rounded up to, on the clock of its zone.
const reviewStep = 30 * time.Minute

// Review is the meeting after an incident. The zero value: none is planned.
type Review struct {
	At        time.Time
	Until     time.Time
	Zone      string // an IANA name: whose working hours it lies in
	Note      string // what is unusual about the time; empty: it lies in the 24 to 48 hours
	Title     string
	About     string // several lines
	Place     string // the war room, where there was one
	Organizer Guest
	Guests    []Guest
	Absent    []string // belong there, and have no e-mail address: told another way
	Sequence  int      // 0, and one more with every change
	Planned   time.Time
	First     time.Time // when it was planned first
}

// Guest is a person with an e-mail address.
type Guest struct {
	Name string `json:"name"`
	Mail string `json:"mail"`
}

// When says the time as people in its zone read it: "Mon 23 Nov 2026, 10:00 to 11:00
// Europe/Berlin".
func (r Review) When() string {
	zone, err := time.LoadLocation(r.Zone)
	if err != nil {
		zone = time.UTC
	}
	return r.At.In(zone).Format("Mon 2 Jan 2006, 15:04") + " to " + r.Until.In(zone).Format("15:04 ") + zone.String()
}

// Hours are when a team works.
type Hours struct {
	Zone  string   // an IANA name; empty: UTC
	From  Duration // since midnight there
	Until Duration
	Days  []time.Weekday
}

// Review finds the time of the review of an incident that ended at end: the first half
// hour of the working time at which at least ReviewFrom has passed, with ReviewLength
// before the day's end. note is empty where that is within ReviewTo, else it says why
// not. An error is a zone that is none, or hours in which no meeting fits.
func (h Hours) Review(end time.Time) (at time.Time, note string, err error) {
	zone, err := time.LoadLocation(h.Zone)
	if err != nil {
		return time.Time{}, "", fmt.Errorf("the time zone %q is not known", h.Zone)
	}
	earliest := end.Add(ReviewFrom)
	local := earliest.In(zone)
	for day := range 8 { // each weekday comes once more
		midnight := time.Date(local.Year(), local.Month(), local.Day()+day, 0, 0, 0, 0, zone)
		if !slices.Contains(h.Days, midnight.Weekday()) {
			continue
		}
		start := h.From.D()
		if day == 0 {
			start = max(start, roundUp(clockTime(local), reviewStep))
		}
		at := onClock(midnight, start)
		for at.Before(earliest) { // the hour that comes twice when summer ends
			start += reviewStep
			at = onClock(midnight, start)
		}
		if start+ReviewLength > h.Until.D() {
			continue
		}
		if at.Sub(end) > ReviewTo {
			note = "more than 48 hours after the end: nobody works from 24 to 48 hours after it (" + h.String() + "), this is the first working time"
		}
		return at.UTC(), note, nil
	}
	return time.Time{}, "", fmt.Errorf("no review of %s fits into the working time (%s)", Duration(ReviewLength), h)
}

func roundUp(d, step time.Duration) time.Duration { return (d + step - 1) / step * step }

// clockTime is how far the clock on the wall has come since midnight.
func clockTime(t time.Time) time.Duration {
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second + time.Duration(t.Nanosecond())
}

// onClock is when the clock on the wall shows d of a day, in days of 23 and 25 hours too.
func onClock(midnight time.Time, d time.Duration) time.Time {
	return time.Date(midnight.Year(), midnight.Month(), midnight.Day(), 0, int(d/time.Minute), 0, 0, midnight.Location())
}

// String writes the hours: "Mon to Fri, 10:00 to 16:00 Europe/Berlin".
func (h Hours) String() string {
	days := slices.Clone(h.Days)
	slices.SortFunc(days, func(a, b time.Weekday) int { return int(a+6)%7 - int(b+6)%7 }) // Monday first
	var names []string
	joined := true
	for i, d := range days {
		names = append(names, d.String()[:3])
		joined = joined && (i == 0 || d == days[i-1]+1)
	}
	text := strings.Join(names, ", ")
	if joined && len(names) > 2 {
		text = names[0] + " to " + names[len(names)-1]
	}
	at := func(d Duration) string { return fmt.Sprintf("%02d:%02d", int(d.D().Hours()), int(d.D().Minutes())%60) }
	zone := h.Zone
	if zone == "" {
		zone = "UTC"
	}
	return text + ", " + at(h.From) + " to " + at(h.Until) + " " + zone
}
