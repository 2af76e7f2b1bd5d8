package state_test

import (
	"strings"
	"testing"
	"time"

	"mayday/state"
)

func office(zone string) state.Hours {
	return state.Hours{Zone: zone, From: state.Duration(10 * time.Hour), Until: state.Duration(16 * time.Hour),
		Days: []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday}}
}

// The first working half hour that is a day away; where the second day is free too, the
// first one after it, and it says so.
func TestReviewTimes(t *testing.T) {
	for name, c := range map[string]struct {
		end, want string
		zone      string
		note      bool
	}{
		"at night":                           {"2026-11-24T03:17:00Z", "2026-11-25T10:00:00Z", "UTC", false},
		"in working hours: the next half":    {"2026-11-24T11:07:00Z", "2026-11-25T11:30:00Z", "UTC", false},
		"on the half hour":                   {"2026-11-24T11:30:00Z", "2026-11-25T11:30:00Z", "UTC", false},
		"a second after it":                  {"2026-11-24T11:30:01Z", "2026-11-25T12:00:00Z", "UTC", false},
		"the last that fits":                 {"2026-11-24T15:00:00Z", "2026-11-25T15:00:00Z", "UTC", false},
		"too late for the day":               {"2026-11-24T15:00:01Z", "2026-11-26T10:00:00Z", "UTC", false},
		"in the evening":                     {"2026-11-24T22:00:00Z", "2026-11-26T10:00:00Z", "UTC", false},
		"early on a Friday: Monday":          {"2026-11-27T03:00:00Z", "2026-11-30T10:00:00Z", "UTC", true},
		"Friday noon: Monday":                {"2026-11-27T12:00:00Z", "2026-11-30T10:00:00Z", "UTC", true},
		"Saturday morning: Monday, 46 h":     {"2026-11-28T12:00:00Z", "2026-11-30T10:00:00Z", "UTC", false},
		"Sunday":                             {"2026-11-29T02:00:00Z", "2026-11-30T10:00:00Z", "UTC", false},
		"Berlin in winter":                   {"2026-11-24T03:17:00Z", "2026-11-25T09:00:00Z", "Europe/Berlin", false},
		"Berlin, the day summer ends":        {"2026-10-24T10:00:00Z", "2026-10-26T09:00:00Z", "Europe/Berlin", false},
		"Berlin, the day summer begins":      {"2026-03-28T10:00:00Z", "2026-03-30T08:00:00Z", "Europe/Berlin", false},
		"Kathmandu, 05:45 ahead":             {"2026-11-24T06:00:00Z", "2026-11-25T06:15:00Z", "Asia/Kathmandu", false},
		"Los Angeles, where it is yesterday": {"2026-11-24T03:00:00Z", "2026-11-25T18:00:00Z", "America/Los_Angeles", false},
	} {
		end, err := time.Parse(time.RFC3339, c.end)
		if err != nil {
			t.Fatal(err)
		}
		at, note, err := office(c.zone).Review(end)
		if err != nil || at.Format(time.RFC3339) != c.want || (note != "") != c.note {
			t.Errorf("%s: ended %s (%s): %s %q %v, want %s", name, c.end, end.Weekday(), at.Format(time.RFC3339), note, err, c.want)
		}
	}
}

// Whenever it ends and wherever they work: never before a day has passed, always in
// working hours, and within two days unless nobody works in the second.
func TestReviewIsAlwaysInWorkingHours(t *testing.T) {
	hours := map[string]state.Hours{"office": office(""), "round the clock": {Until: state.Duration(24 * time.Hour), Days: []time.Weekday{0, 1, 2, 3, 4, 5, 6}},
		"one night": {From: state.Duration(time.Hour), Until: state.Duration(4 * time.Hour), Days: []time.Weekday{time.Sunday}}}
	for name, h := range hours {
		for _, zone := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia"} {
			h.Zone = zone
			place, err := time.LoadLocation(zone)
			if err != nil {
				t.Fatal(err)
			}
			for end := time.Date(2026, 10, 20, 0, 0, 1, 0, time.UTC); end.Month() < 12; end = end.Add(97 * time.Minute) {
				at, note, err := h.Review(end)
				if err != nil {
					t.Fatal(err)
				}
				local := at.In(place)
				from := state.Duration(time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute)
				after := at.Sub(end)
				switch {
				case after < state.ReviewFrom:
					t.Fatalf("%s %s: only %s after %s", name, zone, after, end)
				case (after > state.ReviewTo) != (note != ""):
					t.Fatalf("%s %s: %s after %s, and says %q", name, zone, after, end, note)
				case from < h.From || from+state.Duration(state.ReviewLength) > h.Until:
					t.Fatalf("%s %s: at %s", name, zone, local)
				case name == "office" && (local.Weekday() == time.Saturday || local.Weekday() == time.Sunday), name == "one night" && local.Weekday() != time.Sunday:
					t.Fatalf("%s %s: on %s", name, zone, local)
				}
			}
		}
	}
}

func TestReviewSaysWhyItIsLate(t *testing.T) {
	_, note, err := office("Europe/Berlin").Review(time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC))
	if err != nil || !strings.Contains(note, "nobody works from 24 to 48 hours after it (Mon to Fri, 10:00 to 16:00 Europe/Berlin)") {
		t.Errorf("%q %v", note, err)
	}
	for _, h := range []state.Hours{{Zone: "Mars/Olympus", Days: office("").Days, Until: office("").Until}, {Until: state.Duration(24 * time.Hour)},
		{Until: state.Duration(30 * time.Minute), Days: office("").Days}} {
		if at, _, err := h.Review(t0); err == nil {
			t.Errorf("%+v has a review at %s", h, at)
		}
	}
	if got := (state.Hours{Days: []time.Weekday{time.Sunday, time.Tuesday, time.Monday}, Until: state.Duration(90 * time.Minute)}).String(); got != "Mon, Tue, Sun, 00:00 to 01:30 UTC" {
		t.Error(got)
	}
}

// Each change raises the sequence; when it was planned first stays.
func TestReviewIsFolded(t *testing.T) {
	at := t0.Add(31 * time.Hour)
	in := open(t, state.ReviewPlanned{At: at, Until: at.Add(time.Hour), Zone: "Europe/Berlin", Title: "Review", Guests: []state.Guest{{Name: "Alice", Mail: "alice@example.com"}}})
	first := in.Last
	apply(t, in, state.ReviewPlanned{At: at.Add(time.Hour), Until: at.Add(2 * time.Hour), Zone: "Europe/Berlin", Title: "Review", Sequence: 1})
	r := in.Review
	if r.Sequence != 1 || !r.First.Equal(first) || !r.Planned.Equal(in.Last) || len(r.Guests) != 0 {
		t.Errorf("%+v", r)
	}
	if got := r.When(); got != "Mon 23 Nov 2026, 12:00 to 13:00 Europe/Berlin" {
		t.Error(got)
	}
	said := in.Say(state.Event{Fact: state.ReviewPlanned{At: at, Until: at.Add(time.Hour), Note: "late", Sequence: 1}})
	if said.Tone != state.ToneWarned || !strings.Contains(said.Text, "changed: review meeting on Mon 23 Nov 2026, 10:00 to 11:00 UTC, 0 invited: late") {
		t.Errorf("%+v", said)
	}
}

func TestPoints(t *testing.T) {
	for want, s := range map[int]state.Score{100: {Passed: true}, 50: {}, 45: {MissedEsc: 1}, 85: {Passed: true, Overridden: 9}, 0: {MissedEsc: 4, MissedUpd: 4, Overridden: 4}, 90: {Passed: true, MissedUpd: 2}} {
		if got := s.Points(); got != want {
			t.Errorf("%+v: %d, want %d", s, got, want)
		}
	}
}
