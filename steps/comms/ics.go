package comms

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"mayday/state"
)

// reviewHour is when a review starts, UTC.
const reviewHour = 10

// reviewAt gives the first ten o'clock (UTC) that is 24 to 48 hours away.
func reviewAt(now time.Time) time.Time {
	from := now.UTC().Add(24 * time.Hour)
	at := time.Date(from.Year(), from.Month(), from.Day(), reviewHour, 0, 0, 0, time.UTC)
	if at.Before(from) {
		at = at.Add(24 * time.Hour)
	}
	return at
}

// Invitation is a calendar file (RFC 5545) for an hour's review of the incident,
// 24 to 48 hours from now. Making it again gives the same meeting, not a second.
func Invitation(in *state.Incident, now time.Time) []byte {
	at := reviewAt(now)
	about := []string{in.Severity.String() + " " + in.Title, "Declared " + stamp(in.Declared) + ", lasted " + span(in.Elapsed(now)) + "."}
	if in.RootCause != "" {
		about = append(about, "Root cause: "+in.RootCause)
	}
	for _, role := range slices.Sorted(maps.Keys(in.Roles)) {
		about = append(about, role+": "+in.Roles[role])
	}
	about = append(about, "Agenda: what happened (mayday replay "+in.ID+"), what helped, what hindered, what we change. Without blame.")
	const form = "20060102T150405Z"
	var b strings.Builder
	for _, line := range []string{
		"BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//mayday//EN", "METHOD:PUBLISH", "BEGIN:VEVENT",
		"UID:" + escape(in.ID) + "-review@mayday", "DTSTAMP:" + now.UTC().Format(form),
		"DTSTART:" + at.Format(form), "DTEND:" + at.Add(time.Hour).Format(form),
		"SUMMARY:" + escape(fmt.Sprintf("Review of %s: %s", in.ID, in.Title)),
		"DESCRIPTION:" + escape(strings.Join(about, "\n")),
		"END:VEVENT", "END:VCALENDAR",
	} {
		fold(&b, line)
	}
	return []byte(b.String())
}

func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, ";", `\;`, ",", `\,`, "\n", `\n`).Replace(state.CleanLines(s))
}

// fold writes a line, broken after 75 bytes as the format wants it, between characters.
func fold(b *strings.Builder, line string) {
	limit := 75
	for len(line) > limit {
		n := limit
		for !utf8.RuneStart(line[n]) {
			n--
		}
		b.WriteString(line[:n] + "\r\n ")
		line, limit = line[n:], 74
	}
	b.WriteString(line + "\r\n")
}
