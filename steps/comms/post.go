package comms

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/shell"
)

// sendTimeout bounds one try, real time.
const sendTimeout = 10 * time.Second

// Audiences beside those of the runbook, which channels have by what they are.
const (
	// Alerts are the channels of "pages" that keep alerts open: they want to know who
	// has it, and when it is over.
	Alerts = "alerts"
	// Changes are the channels that want to know of every change to production.
	Changes = "changes"
)

// defaultAudiences are a channel's that names none: customers and executives are
// written to only where somebody decided so.
var defaultAudiences = []string{"team", "stakeholders", "reviewers", "pages"}

// Post renders messages and hands them to the runbook's channels. Safe for
// concurrent use.
type Post struct {
	rb        *runbook.Runbook
	templates map[string]*template.Template
	channels  map[string]Channel
	tracker   Tracker // nil: the runbook names none
	redact    *shell.Redactor
}

// New reads the templates and makes the channels by their kind; what cannot be used
// is an error. A channel without a secret is none: its messages fail, and say why.
func New(rb *runbook.Runbook, kinds map[string]Make, trackers map[string]MakeTracker) (*Post, error) {
	templates, err := parse(rb)
	if err != nil {
		return nil, err
	}
	p := &Post{rb: rb, templates: templates, channels: map[string]Channel{}}
	for _, c := range rb.Channels {
		kind, ok := kinds[c.Kind]
		if !ok {
			return nil, &state.Problem{Code: "no-channel", What: fmt.Sprintf("The channel %s is of the unknown kind %q", c.Name, c.Kind), Do: "Correct it in the runbook."}
		}
		if p.channels[c.Name], err = kind(c); err != nil {
			return nil, fmt.Errorf("channel %s: %w", c.Name, err)
		}
	}
	if t := rb.Tickets; t != nil {
		kind, ok := trackers[t.Kind]
		if !ok {
			return nil, &state.Problem{Code: "no-tracker", What: fmt.Sprintf("There is no tracker of the kind %q", t.Kind), Do: "Correct tickets in the runbook."}
		}
		if p.tracker, err = kind(*t); err != nil {
			return nil, fmt.Errorf("tickets: %w", err)
		}
	}
	p.redact = shell.NewRedactor(p.Secrets()...)
	return p, nil
}

// Channels names the channels of an audience, in the runbook's order.
func (p *Post) Channels(audience string) []string {
	var out []string
	for _, c := range p.rb.Channels {
		a := c.Audiences
		if len(a) == 0 {
			a = defaultAudiences
		}
		alerter, _ := p.channels[c.Name].(Alerter)
		alerts := alerter != nil && alerter.Alerts()
		if slices.Contains(a, audience) || alerts && (audience == Changes || audience == Alerts && slices.Contains(a, "pages")) {
			out = append(out, c.Name)
		}
	}
	return out
}

// Corrects reports whether a channel can change what it has sent.
func (p *Post) Corrects(channel string) bool {
	c, ok := p.channels[channel].(Corrector)
	return ok && c.Corrects()
}

// Secrets lists what must never be shown or journaled.
func (p *Post) Secrets() []string {
	var out []string
	for _, c := range p.rb.Channels {
		if ch := p.channels[c.Name]; ch != nil {
			out = append(out, ch.Secrets()...)
		}
	}
	if p.tracker != nil {
		out = append(out, p.tracker.Secrets()...)
	}
	return out
}

func (p *Post) channel(name string) (Channel, error) {
	if c, ok := p.channels[name]; ok {
		return c, nil
	}
	return nil, &Failure{Problem: &state.Problem{Code: "no-channel", What: "There is no channel " + name,
		Why: "the runbook changed since the message was written", Do: "Add it again, or tell them another way."}, Permanent: true}
}

// key names a message for ever, and its correction another.
func key(in *state.Incident, m state.Message) string {
	k := in.Name() + "/" + m.ID
	if m.Edits > 0 {
		k += fmt.Sprintf("/%d", m.Edits)
	}
	return k
}

// Send hands one message of an incident to its channel and blocks until the service
// answered, at most ten seconds. The result is what the service calls the message, if
// it can say. Errors hold no secrets; [Permanent] and [RetryAfter] say what to do
// about them.
func (p *Post) Send(ctx context.Context, in *state.Incident, m state.Message) (string, error) {
	c, err := p.channel(m.Channel)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	ref, err := c.Send(ctx, Letter{Key: key(in, m), Message: m, Incident: in})
	return ref, p.hush(c.Secrets, err)
}

// Reach asks a channel whether a message would arrive, without posting anything, and
// says what it saw.
func (p *Post) Reach(ctx context.Context, name string) (string, error) {
	c, err := p.channel(name)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	seen, err := c.Reach(ctx)
	return p.redact.Text(seen), p.hush(c.Secrets, err)
}

// hush takes the secrets out of an error, those that came after the start too.
func (p *Post) hush(secrets func() []string, err error) error {
	if err == nil {
		return nil
	}
	f, ok := errors.AsType[*Failure](err)
	if !ok {
		f = Unreached("", err.Error())
	}
	fresh := shell.NewRedactor(secrets()...)
	clean := func(s string) string { return p.redact.Text(fresh.Text(strings.ReplaceAll(s, "\n", " "))) }
	out := *f.Problem
	out.What, out.Why, out.Do = clean(out.What), clean(out.Why), clean(out.Do)
	return &Failure{Problem: &out, Permanent: f.Permanent, After: f.After}
}
