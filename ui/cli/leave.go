package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mayday/state"
)

// A command that kept the incident by itself waits for its messages at most drainTime
// (real time), and no longer for those that failed as often as drainTries.
const (
	drainTime  = 15 * time.Second
	drainTries = 2
)

// leave ends a command's session. Where this process kept the incident nobody delivers
// its messages after it: they go out first, and whom they did not reach is said (exit
// 5). A failure of the command itself comes first.
func (a *app) leave(ctx context.Context, s *session, failed error) error {
	untold := s.drain(ctx)
	err := errors.Join(failed, s.Close("the command is done"))
	if err == nil && len(untold) > 0 {
		return notTold(untold)
	}
	if len(untold) > 0 {
		a.complain(notTold(untold))
	}
	return err
}

func notTold(untold []state.Message) error {
	var who []string
	why := ""
	for _, m := range untold {
		if text := m.Purpose + " to " + m.Channel; !slices.Contains(who, text) {
			who = append(who, text)
		}
		if m.Err != "" {
			why = m.Err
		}
	}
	return &state.Problem{Code: "needs-person", What: fmt.Sprintf("done, but %d messages were not delivered: %s", len(untold), strings.Join(who, ", ")),
		Why: state.Clean(why), Do: "Tell them another way. mayday keeper (or a cockpit) goes on trying."}
}

// drain waits until every message is delivered, given up or has failed often enough,
// and gives those that were not delivered. Nothing to do where another process keeps the incident.
func (s *session) drain(ctx context.Context) []state.Message {
	k := s.keeper()
	if k == nil {
		return nil
	}
	soon, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	k.engine.Settle(soon)
	for {
		changed := k.engine.Changed()
		var open, dead []state.Message
		waits := false
		for _, m := range k.engine.Incident().Messages {
			switch {
			case m.Dead && m.Queued.Before(s.began):
				// An earlier command has said so.
			case m.Dead:
				dead = append(dead, m)
			case m.Sent.IsZero():
				open = append(open, m)
				waits = waits || m.Tries < drainTries
			}
		}
		if !waits {
			return append(open, dead...)
		}
		select {
		case <-changed:
		case <-soon.Done():
			return append(open, dead...)
		}
	}
}
