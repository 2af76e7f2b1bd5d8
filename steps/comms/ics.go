package comms

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	ics "github.com/arran4/golang-ical"

	"mayday/state"
)

// InvitationName is the file of an incident's invitation, in its report's folder.
const InvitationName = "review.ics"

// Invitation is the review that an incident has planned as a calendar file: a request to
// its guests (RFC 5545, with the method of RFC 5546, 3.2.2). It is made of the journal
// alone, so that made again it is the same, byte for byte; a changed meeting has the
// same UID and a higher SEQUENCE. Without a guest nobody is asked: then it is published
// (3.2.1), for whoever takes it into a calendar. nil where no review is planned.
func Invitation(in *state.Incident) []byte {
	r := in.Review
	if r.At.IsZero() {
		return nil
	}
	cal := ics.NewCalendarFor("mayday")
	cal.SetProductId("-//mayday//review//EN")
	cal.SetCalscale("GREGORIAN")
	cal.SetMethod(ics.MethodPublish)
	if len(r.Guests) > 0 {
		cal.SetMethod(ics.MethodRequest)
	}
	e := cal.AddEvent(invitationID(in))
	e.SetSequence(r.Sequence)
	e.SetDtStampTime(r.Planned)
	e.SetCreatedTime(r.First)
	e.SetModifiedAt(r.Planned)
	e.SetStartAt(r.At)
	e.SetEndAt(r.Until)
	e.SetSummary(state.Clean(r.Title))
	e.SetDescription(state.CleanLines(r.About))
	if place := state.Clean(r.Place); place != "" {
		e.SetLocation(place)
	}
	e.SetStatus(ics.ObjectStatusConfirmed)
	e.SetTimeTransparency(ics.TransparencyOpaque)
	if r.Organizer.Mail == "" {
		// Both methods want one. This is how calendars write that somebody has no address.
		e.AddProperty(ics.ComponentPropertyOrganizer, "invalid:nomail")
	} else {
		e.SetOrganizer(r.Organizer.Mail, named(r.Organizer.Name)...)
	}
	for _, g := range r.Guests {
		role, answer := ics.ParticipationRoleReqParticipant, ics.ParticipationStatusNeedsAction
		if g == r.Organizer {
			role, answer = ics.ParticipationRoleChair, ics.ParticipationStatusAccepted
		}
		e.AddAttendee(g.Mail, append(named(g.Name), ics.CalendarUserTypeIndividual, role, answer, ics.WithRSVP(g != r.Organizer))...)
	}
	return []byte(cal.Serialize(ics.WithNewLineWindows))
}

// invitationID names the meeting: by the incident, and as two hosts may number theirs
// alike, by what nobody else's declaration has.
func invitationID(in *state.Incident) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{in.ID, in.Service, in.Declared.UTC().Format(time.RFC3339Nano), in.By.User, in.By.Host}, "\x00")))
	return in.ID + "-" + hex.EncodeToString(sum[:8]) + "@mayday"
}

// plainName takes out of a name what a parameter cannot hold, or only in quotes, which
// the library does not write.
var plainName = strings.NewReplacer(`"`, "", `\`, "", ",", "", ";", "", ":", "", "'", "’")

// named gives a name as a parameter; a person without one has none.
func named(name string) []ics.PropertyParameter {
	if name = strings.TrimSpace(plainName.Replace(state.Clean(name))); name == "" {
		return nil
	}
	return []ics.PropertyParameter{ics.WithCN(name)}
}
