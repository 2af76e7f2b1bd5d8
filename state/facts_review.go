package state

import (
	"strconv"
	"time"
)

func init() { register[ReviewPlanned]() }

// ReviewPlanned lays the review meeting down, or lays it down anew: whoever has the
// invitation gets another one of the same meeting, with the next Sequence.
type ReviewPlanned struct {
	At        time.Time `json:"at"`
	Until     time.Time `json:"until"`
	Zone      string    `json:"zone,omitempty"`
	Note      string    `json:"note,omitempty"`
	Title     string    `json:"title"`
	About     string    `json:"about,omitempty"`
	Place     string    `json:"place,omitempty"`
	Organizer Guest     `json:"organizer,omitzero"`
	Guests    []Guest   `json:"guests,omitempty"`
	Absent    []string  `json:"absent,omitempty"`
	Sequence  int       `json:"sequence"`
}

// Kind implements Fact.
func (ReviewPlanned) Kind() string { return "review.planned" }

func (f ReviewPlanned) apply(in *Incident, e Event) {
	first := in.Review.First
	if first.IsZero() {
		first = e.Time
	}
	in.Review = Review{At: f.At, Until: f.Until, Zone: f.Zone, Note: f.Note, Title: f.Title, About: f.About, Place: f.Place,
		Organizer: f.Organizer, Guests: f.Guests, Absent: f.Absent, Sequence: f.Sequence, Planned: e.Time, First: first}
}

func (f ReviewPlanned) say(*Incident, Event) Saying {
	r := Review{At: f.At, Until: f.Until, Zone: f.Zone}
	text := "review meeting on " + r.When() + ", " + strconv.Itoa(len(f.Guests)) + " invited"
	if f.Sequence > 0 {
		text = "changed: " + text
	}
	s := Saying{Tag: "review", Text: phrase(text, f.Note), Mark: true}
	if f.Note != "" {
		s.Tone = ToneWarned
	}
	return s
}
