// Package hook hands messages to a command of the team's own. How a command is run
// (its process group, its end, what is redacted) is the business of whoever makes
// the channel.
package hook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mayday/state/runbook"
	"mayday/steps/comms"
)

// Kind is the word for it in a runbook.
const Kind = "command"

// maxText bounds the message in the command's environment: Linux takes 128 KiB a
// variable.
const maxText = 100 << 10

// Exit codes of sysexits.h with which a command says that another try is pointless.
var pointless = []int{64, 65, 67, 77, 78} // usage, data, no such user, not permitted, configuration

// Result is how a command ended by itself.
type Result struct {
	Exit int
	Said string // its last words, without secrets
	// Printed is its standard output.
	Printed string
}

// Run runs c with env besides what else its environment holds, until it ends, its
// time-out or ctx does. It returns soon after that, with all that the command started
// gone. A command that could not be started or was ended is an error; one that failed
// is not.
type Run func(ctx context.Context, c runbook.Command, env []string) (Result, error)

type channel struct {
	c   runbook.Channel
	run Run
}

// New gives the maker of channels that run their command by run.
func New(run Run) comms.Make {
	return func(c runbook.Channel) (comms.Channel, error) { return &channel{c, run}, nil }
}

// Send runs the command with MAYDAY_MESSAGE (the text), MAYDAY_KEY (the same for a
// repetition), MAYDAY_INCIDENT, MAYDAY_SEVERITY, MAYDAY_STATUS, MAYDAY_PURPOSE,
// MAYDAY_AUDIENCE, MAYDAY_ROLE and MAYDAY_WHO (of a page). Exit code 0 is delivered;
// 64, 65, 67, 77 and 78 (sysexits.h) are not tried again, others are.
func (s *channel) Send(ctx context.Context, l comms.Letter) (string, error) {
	m := l.Message
	_, err := s.do(ctx, []string{"MAYDAY_MESSAGE=" + comms.Fit(m.Text, maxText), "MAYDAY_KEY=" + l.Key, "MAYDAY_INCIDENT=" + l.Incident.ID,
		"MAYDAY_SEVERITY=" + l.Incident.Severity.String(), "MAYDAY_STATUS=" + string(l.Incident.Status), "MAYDAY_PURPOSE=" + m.Purpose,
		"MAYDAY_AUDIENCE=" + m.Audience, "MAYDAY_ROLE=" + m.Role, "MAYDAY_WHO=" + m.Who})
	return "", err
}

// Reach runs the command with MAYDAY_REACH=1 and no message: it looks and posts nothing.
func (s *channel) Reach(ctx context.Context) (string, error) {
	_, err := s.do(ctx, []string{"MAYDAY_REACH=1"})
	return "the command says that it can", err
}

// Secrets implements comms.Channel: a command takes its own from where it likes.
func (s *channel) Secrets() []string { return nil }

// do runs the command and gives what it printed.
func (s *channel) do(ctx context.Context, env []string) (string, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, min(s.c.Command.Timeout.D(), time.Minute))
		defer cancel()
	}
	r, err := s.run(ctx, *s.c.Command, env)
	switch {
	case err != nil && errors.Is(err, ctx.Err()):
		return "", comms.Unreached(s.c.Name, "its command did not end in time")
	case err != nil:
		return "", comms.Refused(s.c.Name, err.Error(), false)
	case r.Exit != 0:
		return "", comms.Refused(s.c.Name, fmt.Sprintf("its command ended with exit code %d: %s", r.Exit, r.Said), slices.Contains(pointless, r.Exit))
	}
	return r.Printed, nil
}
