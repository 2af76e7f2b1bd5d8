package hook

import (
	"context"
	"strings"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/comms"
)

type tracker struct {
	channel // errors and time-outs are a channel's
}

// NewTracker gives the maker of trackers that are a command, run by run.
func NewTracker(run Run) comms.MakeTracker {
	return func(t runbook.Tickets) (comms.Tracker, error) {
		return &tracker{channel{runbook.Channel{Name: "tickets", Command: t.Command}, run}}, nil
	}
}

// Link implements comms.Tracker: a command's tickets are links from the start.
func (*tracker) Link(issue string) string { return issue }

// Open runs the command with MAYDAY_TICKET=open, MAYDAY_TITLE, MAYDAY_MESSAGE,
// MAYDAY_INCIDENT and MAYDAY_KEY, which is the same for a repetition. The last line that
// it prints is the ticket's link.
func (s *tracker) Open(ctx context.Context, t comms.Ticket) (string, error) {
	printed, err := s.do(ctx, about(t, "MAYDAY_TICKET=open", "MAYDAY_TITLE="+t.Title))
	if err != nil {
		return "", err
	}
	lines := strings.Split(strings.TrimSpace(printed), "\n")
	link := state.Clean(lines[len(lines)-1])
	if link == "" {
		return "", comms.Refused(s.c.Name, "its command printed no link", true)
	}
	return link, nil
}

// Comment runs the command with MAYDAY_TICKET=comment and MAYDAY_LINK beside Open's.
func (s *tracker) Comment(ctx context.Context, link string, t comms.Ticket) error {
	_, err := s.do(ctx, about(t, "MAYDAY_TICKET=comment", "MAYDAY_LINK="+link))
	return err
}

// Reach implements comms.Tracker. The command is not run: it makes tickets.
func (*tracker) Reach(context.Context) (string, error) {
	return "made by a command, which is not run to try it", nil
}

func about(t comms.Ticket, more ...string) []string {
	return append(more, "MAYDAY_INCIDENT="+t.Incident, "MAYDAY_KEY="+t.Key, "MAYDAY_MESSAGE="+comms.Fit(t.Text, maxText))
}
