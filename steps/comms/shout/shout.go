// Package shout sends to everything that shoutrrr knows (ntfy, Gotify, Matrix,
// Telegram, Opsgenie, Mattermost, Discord, Zulip and more) by a service URL.
//
// shoutrrr (github.com/nicholas-fedor/shoutrrr v0.13.2 of February 2026, the last that
// could be had here; containrrr's ended with v0.8.0) takes no context, tells no status
// codes apart and has no field for a letter's key: every failure but a wrong URL is
// tried again, and a repetition cannot be told. Linking all of its services costs
// 2.9 ms of each start on a busy two-core machine (GODEBUG=inittrace=1; mayday's own
// is 28 to 49 ms) and 2.9 MB: regular expressions of Zulip, Teams and Slack.
package shout

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/nicholas-fedor/shoutrrr"
	"github.com/nicholas-fedor/shoutrrr/pkg/router"
	"github.com/nicholas-fedor/shoutrrr/pkg/types"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/comms"
)

// Kind is the word for it in a runbook.
const Kind = "shoutrrr"

const maxText = 3500 // bytes; Telegram's 4096 characters are the smallest limit that shoutrrr does not see to

type channel struct {
	c     runbook.Channel
	pages lane
	other lane
}

// lane is what sends one after the other.
type lane struct {
	mu   sync.Mutex
	last chan struct{} // closed when the last send has ended; nil: there was none
}

// New makes a channel.
func New(c runbook.Channel) (comms.Channel, error) { return &channel{c: c}, nil }

// Send hands the text to shoutrrr. Its services cannot be interrupted: when ctx ends
// Send returns, and until that one has ended no further letter is sent, so that at
// most one page and one other message wait.
func (s *channel) Send(ctx context.Context, l comms.Letter) (string, error) {
	to, err := s.sender()
	if err != nil {
		return "", err
	}
	way := &s.other
	if l.Message.Purpose == "page" {
		way = &s.pages
	}
	done, ok := way.enter(ctx)
	if !ok {
		return "", comms.Unreached(s.c.Name, "its last message still waits for an answer")
	}
	var failed error
	text := comms.Fit(l.Message.Text, maxText)
	go func() {
		defer close(done)
		failed = errors.Join(to.Send(text, &types.Params{})...)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return "", comms.Unreached(s.c.Name, "no answer in time: "+ctx.Err().Error())
	}
	if failed != nil {
		return "", comms.Unreached(s.c.Name, failed.Error())
	}
	return "", nil
}

// enter waits for the last send, and gives what its successor closes.
func (l *lane) enter(ctx context.Context) (chan struct{}, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last != nil {
		select {
		case <-l.last:
		case <-ctx.Done():
			return nil, false
		}
	}
	l.last = make(chan struct{})
	return l.last, true
}

func (s *channel) sender() (*router.ServiceRouter, error) {
	address, err := comms.Address(s.c)
	if err != nil {
		return nil, err
	}
	to, err := shoutrrr.CreateSender(address)
	if err != nil {
		return nil, &comms.Failure{Problem: &state.Problem{Code: "no-url", What: "The URL of the channel " + s.c.Name + " is none that shoutrrr knows",
			Why: state.Clean(err.Error()), Do: "Correct it where the runbook takes it from."}, Permanent: true}
	}
	return to, nil
}

// Reach reads the URL only: most services cannot be asked without posting.
func (s *channel) Reach(context.Context) (string, error) {
	if _, err := s.sender(); err != nil {
		return "", err
	}
	address, _ := comms.Address(s.c) // sender found it
	service, _, _ := strings.Cut(address, ":")
	return "a URL for " + service + "; nothing more can be tried without posting", nil
}

// Secrets implements comms.Channel.
func (s *channel) Secrets() []string { return comms.AddressSecrets(s.c) }
