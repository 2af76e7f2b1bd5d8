package comms

import (
	"context"
	"errors"
	"net/url"
	"os"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// longestWait bounds what a server may ask for by Retry-After.
const longestWait = 5 * time.Minute

// Letter is a message on its way to its channel.
type Letter struct {
	// Key names the letter for ever, "INC-20261122-01/m42-0": a service that has seen
	// it need not show it again. A corrected message has another.
	Key      string
	Message  state.Message
	Incident *state.Incident // as it is now; only to be read
}

// First gives the first line of the letter's text, which stands for the whole where
// a service wants a title, and the rest.
func (l Letter) First() (title, rest string) {
	title, rest, _ = strings.Cut(strings.TrimSpace(l.Message.Text), "\n")
	return strings.TrimSpace(title), strings.TrimSpace(rest)
}

// Channel is one way to reach people. Each kind has a folder of its own below this
// one and passes commstest. Safe for concurrent use. It reads its secrets anew each
// time, so that one put right helps at the next try.
type Channel interface {
	// Send hands the letter over and blocks until the service took it, refused it or
	// ctx ended; ten seconds at most. The result is what the service calls the
	// message, "" where it has no name for it: the channel gets it again in
	// Message.Ref, to correct the message where it can. Sending a letter twice is
	// allowed. Errors are *Failure; whoever calls takes the secrets out of them.
	Send(ctx context.Context, l Letter) (ref string, err error)
	// Reach asks whether a letter would arrive, as far as the service can tell without
	// posting anything, and says what it saw. Errors are *Failure.
	Reach(ctx context.Context) (seen string, err error)
	// Secrets lists what must never be shown or journaled.
	Secrets() []string
}

// Corrector is a Channel that can change a message that it has sent.
type Corrector interface{ Corrects() bool }

// Alerter is a Channel that keeps an alert open from a page on until somebody has it
// and the incident ends, and wants to know of both; and of changes to production.
type Alerter interface{ Alerts() bool }

// Make makes the channel of a runbook's entry. Its errors name what the entry lacks.
type Make func(c runbook.Channel) (Channel, error)

// Failure is why a letter did not arrive.
type Failure struct {
	*state.Problem
	Permanent bool          // trying it again as it is, is pointless
	After     time.Duration // the service asked to be left alone so long (real time)
}

// Unwrap gives the problem to errors.As.
func (f *Failure) Unwrap() error { return f.Problem }

// Permanent reports whether trying the same message again is pointless.
func Permanent(err error) bool {
	f, ok := errors.AsType[*Failure](err)
	return ok && f.Permanent
}

// RetryAfter gives how long (real time) the server asked to be left alone, at most
// five minutes; 0 if it did not.
func RetryAfter(err error) time.Duration {
	if f, ok := errors.AsType[*Failure](err); ok {
		return min(max(f.After, 0), longestWait)
	}
	return 0
}

// Unreached is the failure of a channel whose service did not answer.
func Unreached(channel, why string) *Failure {
	return &Failure{Problem: &state.Problem{Code: "unreachable", What: "The channel " + channel + " was not reached",
		Why: state.Clean(why), Do: "It is tried again; meanwhile tell them another way."}}
}

// Refused is the failure of a channel that will not take the letter, now or ever.
func Refused(channel, why string, permanent bool) *Failure {
	f := &Failure{Problem: &state.Problem{Code: "refused", What: "The channel " + channel + " refused the message", Why: state.Clean(why),
		Do: "It is tried again; meanwhile tell them another way."}, Permanent: permanent}
	if permanent {
		f.Do = "Put the channel right and send it again, or tell them another way: this message is not tried again."
	}
	return f
}

// Secret finds a secret that the runbook names: in the environment variable, else in
// the file. Its error holds no secret.
func Secret(channel, what, env, file string) (string, error) {
	missing := func(why string, permanent bool) error {
		return &Failure{Problem: &state.Problem{Code: "no-secret", What: "The channel " + channel + " has no " + what, Why: why,
			Do: "Set it and start mayday again; until then tell them another way."}, Permanent: permanent}
	}
	switch {
	case env != "":
		if v := strings.TrimSpace(os.Getenv(env)); v != "" {
			return v, nil
		}
		return "", missing("the environment variable "+env+" is empty", true)
	case file != "":
		b, err := os.ReadFile(file)
		if v := strings.TrimSpace(string(b)); err == nil && v != "" {
			return v, nil
		}
		return "", missing("the file "+file+" cannot be read or is empty", false)
	}
	return "", missing("the runbook names none", true)
}

// Address finds a channel's URL, which may be a secret itself.
func Address(c runbook.Channel) (string, error) {
	if c.URL != "" {
		return c.URL, nil
	}
	return Secret(c.Name, "URL", c.URLEnv, c.URLFile)
}

// AddressSecrets gives what of a channel's URL must not be shown: itself, its
// password, and what in it looks like a token.
func AddressSecrets(c runbook.Channel) []string {
	raw, err := Address(c)
	if err != nil {
		return nil
	}
	return append(secretsIn(raw), raw)
}

// TokenSecrets gives a channel's token, where it has one.
func TokenSecrets(c runbook.Channel) []string {
	token, err := Secret(c.Name, "token", c.TokenEnv, c.TokenFile)
	if err != nil {
		return nil
	}
	return []string{token}
}

// Fit cuts a text to at most so many bytes, between characters, and says so at its
// end where it had to.
func Fit(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const cut = "\n[cut: the journal has the whole text]"
	n := max(limit-len(cut), 0)
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + cut[:min(len(cut), limit-n)]
}

// secretsIn gives the parts of a URL that look like tokens.
func secretsIn(raw string) []string {
	u, err := url.Parse(raw)
	if err != nil {
		return nil
	}
	var out []string
	keep := func(least int, parts ...string) {
		for _, s := range parts {
			if len(s) >= least {
				out = append(out, s)
			}
		}
	}
	if pw, ok := u.User.Password(); ok {
		keep(1, pw)
	}
	if u.Scheme != "http" && u.Scheme != "https" { // a service's: tokens stand where users and hosts do
		keep(16, u.User.Username(), u.Hostname())
	}
	keep(16, strings.Split(u.Path, "/")...)
	for _, values := range u.Query() {
		keep(8, values...)
	}
	return out
}
