// Package pagerduty opens, acknowledges and resolves alerts by PagerDuty's Events API
// v2, and tells it of every change to production.
//
// Protocol: github.com/PagerDuty/api-schema, reference/events-v2; limits and what to try
// again: github.com/PagerDuty/developer-docs, docs/events-API-v2: 512 KB an event, a
// summary of 1024 characters, a dedup_key of 255, about 120 events a minute for a key
// of 32 characters. One that begins with R is a ruleset's: change events are refused to
// it. support.pagerduty.com, "Service Regions", has the address for Europe.
package pagerduty

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/PagerDuty/go-pagerduty"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/comms"
	"mayday/steps/comms/web"
)

// Kind is the word for it in a runbook.
const Kind = "pagerduty"

const (
	endpoint   = "https://events.pagerduty.com" // url: https://events.eu.pagerduty.com for Europe
	maxSummary = 1024                           // characters
	maxKey     = 255                            // characters
	maxDetails = 64 << 10                       // bytes of text: escaped six times as much, below the 512 KB of an event
)

type channel struct {
	c   runbook.Channel
	web *web.Client
}

// New makes a channel; its token is the integration's routing key.
func New(c runbook.Channel) (comms.Channel, error) { return &channel{c, web.New(c.Name)}, nil }

// Alerts implements comms.Alerter.
func (s *channel) Alerts() bool { return true }

// Send turns the letter's purpose into an event. A page triggers an alert of its own
// for each role (dedup_key <incident>/<role>), so that another level rings again; who
// has it acknowledges it; the end of the incident resolves them all. Letters about
// changes are change events. Everything else would ring nobody: it adds to the
// alert of its incident, at severity info.
func (s *channel) Send(ctx context.Context, l comms.Letter) (string, error) {
	key, err := comms.Secret(s.c.Name, "token", s.c.TokenEnv, s.c.TokenFile)
	if err != nil {
		return "", err
	}
	if l.Message.Purpose == "change" {
		return "", s.call(func(api *pagerduty.Client) error {
			_, err := api.CreateChangeEventWithContext(ctx, change(key, l))
			return err
		})
	}
	for _, e := range events(key, l) {
		if err := s.call(func(api *pagerduty.Client) error { _, err := api.ManageEventWithContext(ctx, &e); return err }); err != nil {
			return "", err
		}
	}
	return dedup(l.Incident, l.Message.Role), nil
}

// Reach asks the server only: a routing key cannot be tried without ringing somebody.
func (s *channel) Reach(ctx context.Context) (string, error) {
	if _, err := comms.Secret(s.c.Name, "token", s.c.TokenEnv, s.c.TokenFile); err != nil {
		return "", err
	}
	return s.web.Reach(ctx, s.base()+"/v2/enqueue")
}

// Secrets implements comms.Channel.
func (s *channel) Secrets() []string { return comms.TokenSecrets(s.c) }

func (s *channel) base() string { return strings.TrimSuffix(cmp.Or(s.c.URL, endpoint), "/") }

// witness keeps what went wrong: go-pagerduty makes words of it.
type witness struct {
	*web.Client
	err error
}

func (w *witness) Do(req *http.Request) (*http.Response, error) {
	res, err := w.Client.Do(req)
	w.err = err
	return res, err
}

func (s *channel) call(do func(*pagerduty.Client) error) error {
	w := &witness{Client: s.web}
	api := pagerduty.NewClient("", pagerduty.WithV2EventsAPIEndpoint(s.base()))
	api.HTTPClient = w
	err := do(api)
	switch f, ok := errors.AsType[*comms.Failure](w.err); {
	case ok:
		return f
	case err != nil:
		return comms.Unreached(s.c.Name, err.Error())
	}
	return nil
}

// dedup names an alert.
func dedup(in *state.Incident, role string) string {
	if role == "" {
		return in.Name()
	}
	return clip(in.Name()+"/"+strings.ReplaceAll(role, " ", "-"), maxKey)
}

// events gives the events of a letter, in order.
func events(key string, l comms.Letter) []pagerduty.V2Event {
	in, m := l.Incident, l.Message
	e := pagerduty.V2Event{RoutingKey: key, Action: "trigger", DedupKey: dedup(in, m.Role), Client: "mayday"}
	switch m.Purpose {
	case "meeting":
		return nil // a calendar's matter: it must not open an alert
	case "acked":
		e.Action = "acknowledge"
		return []pagerduty.V2Event{e}
	case "resolved":
		e.Action = "resolve"
		var out []pagerduty.V2Event
		for _, role := range alerted(in, m.Channel) {
			e.DedupKey = dedup(in, role)
			out = append(out, e)
		}
		return out
	}
	title, _ := l.First()
	severity := "info"
	if m.Purpose == "page" {
		severity = severityOf(in.Severity)
	}
	e.Payload = &pagerduty.V2Payload{Summary: clip(cmp.Or(title, in.Title, in.ID), maxSummary), Source: cmp.Or(in.Service, "mayday"), Severity: severity,
		Timestamp: m.Queued.UTC().Format(time.RFC3339), Component: in.Service, Group: in.Environment, Class: m.Purpose,
		Details: map[string]string{"text": comms.Fit(m.Text, maxDetails), "incident": in.ID, "key": l.Key, "severity": in.Severity.String()}}
	return []pagerduty.V2Event{e}
}

// alerted gives the roles with an alert at this channel, "" for the incident's own.
func alerted(in *state.Incident, channel string) []string {
	var out []string
	seen := map[string]bool{}
	for _, m := range in.Messages {
		opened := m.Purpose != "acked" && m.Purpose != "resolved" && m.Purpose != "change" && m.Purpose != "meeting" && m.Channel == channel && m.Tries > 0
		if opened && !seen[m.Role] {
			seen[m.Role] = true
			out = append(out, m.Role)
		}
	}
	return out
}

// severityOf says a severity in PagerDuty's four words.
func severityOf(s state.Severity) string {
	switch s {
	case 0, 1:
		return "critical"
	case 2:
		return "error"
	}
	return "warning"
}

func change(key string, l comms.Letter) pagerduty.ChangeEvent {
	title, _ := l.First()
	return pagerduty.ChangeEvent{RoutingKey: key, Payload: pagerduty.ChangeEventPayload{Summary: clip(cmp.Or(title, l.Incident.Title, l.Incident.ID), maxSummary), Source: cmp.Or(l.Incident.Service, "mayday"),
		Timestamp: l.Message.Queued.UTC().Format(time.RFC3339), CustomDetails: map[string]any{"text": comms.Fit(l.Message.Text, maxDetails), "incident": l.Incident.ID, "key": l.Key}}}
}

func clip(s string, limit int) string {
	if r := []rune(s); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return s
}
