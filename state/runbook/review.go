package runbook

import (
	"cmp"
	"net/mail"
	"slices"
	"strconv"
	"time"

	"mayday/state"
)

// ReviewHours are when the team works: the review of an incident is planned then, 24 to
// 48 hours after its end.
type ReviewHours struct {
	Zone  string   `yaml:"zone"`  // "Europe/Berlin"; default UTC
	From  string   `yaml:"from"`  // default "10:00"
	Until string   `yaml:"until"` // default "16:00"
	Days  []string `yaml:"days"`  // default mon to fri
}

// weekdays are the words for days, in Go's order.
var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func defaultReview() ReviewHours {
	return ReviewHours{Zone: "UTC", From: "10:00", Until: "16:00", Days: slices.Clone(weekdays[1:6])}
}

// Hours gives the working time as the incident plans by it, the default where a field
// is empty. Of a runbook that was read all of it makes sense.
func (r ReviewHours) Hours() state.Hours {
	d := defaultReview()
	r.Zone, r.From, r.Until = cmp.Or(r.Zone, d.Zone), cmp.Or(r.From, d.From), cmp.Or(r.Until, d.Until)
	if len(r.Days) == 0 {
		r.Days = d.Days
	}
	h := state.Hours{Zone: r.Zone}
	h.From, _ = sinceMidnight(r.From)
	h.Until, _ = sinceMidnight(r.Until)
	for _, d := range r.Days {
		if i := slices.Index(weekdays, d); i >= 0 {
			h.Days = append(h.Days, time.Weekday(i))
		}
	}
	return h
}

// sinceMidnight reads "09:30"; "24:00" is the day's end.
func sinceMidnight(s string) (state.Duration, bool) {
	if s == "24:00" {
		return state.Duration(24 * time.Hour), true
	}
	t, err := time.Parse("15:04", s)
	return state.Duration(time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute), err == nil
}

// checkReview refuses hours in which no review fits.
func (r *Runbook) checkReview(b *binder) {
	if _, err := time.LoadLocation(r.Review.Zone); err != nil || r.Review.Zone == "Local" {
		b.fail("review.zone", "%q is not a time zone; write one as \"Europe/Berlin\" or \"UTC\"", r.Review.Zone)
		return
	}
	from, ok := sinceMidnight(r.Review.From)
	if !ok {
		b.fail("review.from", "%q is not a time of day; write \"09:30\"", r.Review.From)
	}
	until, ok2 := sinceMidnight(r.Review.Until)
	if !ok2 {
		b.fail("review.until", "%q is not a time of day; write \"16:00\"", r.Review.Until)
	}
	for i, d := range r.Review.Days {
		b.word("review.days["+strconv.Itoa(i)+"]", "day", d, weekdays)
	}
	switch {
	case !ok || !ok2:
	case until.D() < from.D()+state.ReviewLength:
		b.fail("review.until", "no review of %s fits between %s and %s", state.Duration(state.ReviewLength), r.Review.From, r.Review.Until)
	case len(r.Review.Days) == 0:
		b.fail("review.days", "review.days names no day")
	}
}

// Mail is where an invitation reaches the person: their email, else their contact where
// that is an address; empty: nowhere.
func (p Person) Mail() string {
	if p.Email == "" && mailbox(p.Contact) {
		return p.Contact
	}
	return p.Email
}

// mailbox reports whether s is an address as a calendar wants it, without a name.
func mailbox(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s
}
