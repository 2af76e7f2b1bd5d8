package comms

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	ics "github.com/arran4/golang-ical"

	"mayday/state"
)

func planned() *state.Incident {
	in := incident()
	in.By = state.Actor{User: "alice", Host: "bastion-1"}
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	alice := state.Guest{Name: "Alice O'Hara, SRE", Mail: "alice@example.com"}
	in.Review = state.Review{At: at, Until: at.Add(time.Hour), Zone: "Europe/Berlin", Planned: night.Add(6 * time.Hour), First: night.Add(5 * time.Hour), Sequence: 2,
		Title: "Review of INC-20261122-01: Käufer; können, nicht zahlen — und zwar seit heute früh überhaupt nicht mehr, \\ so steht es",
		About: "SEV1\nWithout blame: what happened, what helped; what hindered, what we change.", Place: "https://meet/INC-20261122-01",
		Organizer: alice, Guests: []state.Guest{alice, {Name: "Bob", Mail: "bob@example.com"}}, Absent: []string{"Carol"}}
	return in
}

// The properties that RFC 5545 (3.6, 3.6.1) and RFC 5546 (3.2.2) want of a request, read
// back by a parser; and the file's own form (3.1): CRLF, lines of at most 75 bytes, no
// character cut in two.
func TestInvitationIsACalendarFile(t *testing.T) {
	in := planned()
	b := Invitation(in)
	text := string(b)
	if strings.Count(text, "\n") != strings.Count(text, "\r\n") || !strings.HasSuffix(text, "\r\n") {
		t.Error("a line does not end in CRLF")
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\r\n"), "\r\n") {
		if len(line) > 75 || strings.TrimSpace(line) == "" || !utf8.ValidString(line) || strings.ContainsAny(line, "\r\n\t") {
			t.Errorf("line %q of %d bytes", line, len(line))
		}
	}
	cal, err := ics.ParseCalendar(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	whole := map[string]string{}
	for _, p := range cal.CalendarProperties {
		if _, twice := whole[p.IANAToken]; twice {
			t.Errorf("%s stands twice", p.IANAToken)
		}
		whole[p.IANAToken] = p.Value
	}
	if whole["VERSION"] != "2.0" || whole["METHOD"] != "REQUEST" || !strings.HasPrefix(whole["PRODID"], "-//mayday//") {
		t.Errorf("%v", whole)
	}
	if n := len(cal.Events()); n != 1 || len(cal.Components) != 1 {
		t.Fatalf("%d events of %d components", n, len(cal.Components))
	}
	e := cal.Events()[0]
	once := map[string]string{}
	for _, p := range e.Properties {
		if _, twice := once[p.IANAToken]; twice && p.IANAToken != "ATTENDEE" {
			t.Errorf("%s stands twice", p.IANAToken)
		}
		once[p.IANAToken] = p.Value
	}
	for name, want := range map[string]string{"DTSTART": "20261123T090000Z", "DTEND": "20261123T100000Z", "DTSTAMP": "20261122T091400Z", "CREATED": "20261122T081400Z",
		"SEQUENCE": "2", "ORGANIZER": "mailto:alice@example.com", "SUMMARY": in.Review.Title, "DESCRIPTION": in.Review.About, "LOCATION": in.Review.Place, "STATUS": "CONFIRMED"} {
		if got := ics.FromText(once[name]); got != want && once[name] != want {
			t.Errorf("%s is %q, want %q", name, once[name], want)
		}
	}
	if !strings.HasPrefix(once["UID"], in.ID+"-") || !strings.HasSuffix(once["UID"], "@mayday") {
		t.Errorf("UID %q", once["UID"])
	}
	if n := len(e.Attendees()); n != 2 {
		t.Fatalf("%d attendees", n)
	}
	chair, bob := e.Attendees()[0], e.Attendees()[1]
	if chair.Email() != "alice@example.com" || chair.ICalParameters["CN"][0] != "Alice O’Hara SRE" || chair.ICalParameters["ROLE"][0] != "CHAIR" {
		t.Errorf("%+v", chair)
	}
	if bob.Email() != "bob@example.com" || bob.ParticipationStatus() != ics.ParticipationStatusNeedsAction || bob.ICalParameters["RSVP"][0] != "true" {
		t.Errorf("%+v", bob)
	}
}

// Made again it is the same; changed it is the same meeting; of another incident, even
// one with the same number, it is another one.
func TestInvitationIsStable(t *testing.T) {
	uid := func(in *state.Incident) string {
		cal, err := ics.ParseCalendar(bytes.NewReader(Invitation(in)))
		if err != nil {
			t.Fatal(err)
		}
		return cal.Events()[0].Id()
	}
	first := planned()
	if !bytes.Equal(Invitation(first), Invitation(planned())) {
		t.Error("the same meeting has two files")
	}
	moved := planned()
	moved.Review.At, moved.Review.Sequence, moved.Status = moved.Review.At.Add(time.Hour), 3, state.Resolved
	moved.Roles = map[string]string{state.Scribe: "dora"}
	if uid(moved) != uid(first) {
		t.Error("a moved meeting is another one")
	}
	for name, change := range map[string]func(*state.Incident){"another host": func(in *state.Incident) { in.By.Host = "bastion-2" },
		"another time": func(in *state.Incident) { in.Declared = in.Declared.Add(time.Second) }, "another number": func(in *state.Incident) { in.ID = "INC-20261122-02" }} {
		other := planned()
		change(other)
		if uid(other) == uid(first) {
			t.Errorf("%s: the same UID", name)
		}
	}
}

// Without anybody to ask it asks nobody; without a plan there is none.
func TestInvitationWithoutGuests(t *testing.T) {
	in := planned()
	in.Review.Guests, in.Review.Organizer = nil, state.Guest{}
	cal, err := ics.ParseCalendar(bytes.NewReader(Invitation(in)))
	if err != nil {
		t.Fatal(err)
	}
	method := ""
	for _, p := range cal.CalendarProperties {
		if p.IANAToken == "METHOD" {
			method = p.Value
		}
	}
	e := cal.Events()[0]
	if method != "PUBLISH" || len(e.Attendees()) != 0 || e.GetProperty(ics.ComponentPropertyOrganizer).Value != "invalid:nomail" {
		t.Errorf("%s %+v", method, e.Properties)
	}
	in.Review = state.Review{}
	if b := Invitation(in); b != nil {
		t.Errorf("no review is planned, and yet\n%s", b)
	}
}

// Text from outside stays text: it ends no line and begins no property.
func TestInvitationHoldsHostileText(t *testing.T) {
	in := planned()
	junk := "x\r\nATTENDEE:mailto:eve@example.com\nEND:VEVENT\x1b[2J\u202e\"';:,\\"
	in.ID, in.Review.Title, in.Review.About, in.Review.Place = "INC-1", junk, junk, junk
	in.Review.Guests[1].Name, in.Review.Organizer.Name = junk, junk
	cal, err := ics.ParseCalendar(bytes.NewReader(Invitation(in)))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(cal.Events()[0].Attendees()); n != 2 {
		t.Errorf("%d attendees in\n%s", n, Invitation(in))
	}
	if s := string(Invitation(in)); strings.ContainsAny(s, "\x1b\u202e") {
		t.Errorf("%q", s)
	}
}
