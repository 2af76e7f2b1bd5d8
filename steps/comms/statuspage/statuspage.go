// Package statuspage keeps an incident on an Atlassian Statuspage: opened by the first
// message, brought forward by each further one, resolved by the last, with the
// components that the runbook names.
//
// Protocol and limits: developer.statuspage.io, "Rate Limiting" and "Incidents" (and its
// OpenAPI description, as sbecker59/statuspage-api-client-go has it): names of 255,
// bodies of 25,000 characters, metadata of objects; 60 requests in a minute for a token,
// a 420 or a 429 beyond that.
//
// It answers a repeated message without posting it again: the incident's metadata hold
// the key of the last one.
package statuspage

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strings"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/comms"
	"mayday/steps/comms/web"
)

// Kind is the word for it in a runbook.
const Kind = "statuspage"

const (
	endpoint = "https://api.statuspage.io"
	maxName  = 255
	maxBody  = 25000
)

type channel struct {
	c   runbook.Channel
	web *web.Client
}

// New makes a channel; its token is the API key.
func New(c runbook.Channel) (comms.Channel, error) { return &channel{c, web.New(c.Name)}, nil }

// What is sent and read, of an incident.
type (
	envelope struct {
		Incident incident `json:"incident"`
	}
	incident struct {
		ID           string            `json:"id,omitempty"`
		Name         string            `json:"name,omitempty"`
		Status       string            `json:"status,omitempty"`
		Body         string            `json:"body,omitempty"`
		Metadata     metadata          `json:"metadata"`
		ComponentIDs []string          `json:"component_ids,omitempty"`
		Components   map[string]string `json:"components,omitempty"`
	}
	// known is an incident as the service gives it: its components have another form.
	known struct {
		ID       string   `json:"id"`
		Metadata metadata `json:"metadata"`
	}
	metadata struct {
		Mayday mark `json:"mayday"`
	}
	mark struct {
		Incident string `json:"incident,omitempty"`
		Key      string `json:"key,omitempty"`
	}
)

// Send opens the incident or brings it forward.
func (s *channel) Send(ctx context.Context, l comms.Letter) (string, error) {
	if l.Message.Purpose == "meeting" {
		return "", nil // the team's own matter, and the page is everybody's
	}
	header, err := s.header()
	if err != nil {
		return "", err
	}
	before, err := s.find(ctx, header, l.Incident)
	if err != nil {
		return "", err
	}
	if before.Metadata.Mayday.Key == l.Key {
		return before.ID, nil // arrived at the last try, whose answer did not
	}
	method, at := http.MethodPost, s.page()+"/incidents"
	if before.ID != "" {
		method, at = http.MethodPatch, at+"/"+url.PathEscape(before.ID)
	}
	var after known
	_, err = s.web.JSON(ctx, method, at, header, envelope{s.render(l)}, &after)
	return after.ID, err
}

// find gives the incident's own on the page, a zero one where there is none.
func (s *channel) find(ctx context.Context, header http.Header, in *state.Incident) (known, error) {
	for _, m := range in.Messages {
		if m.Channel == s.c.Name && m.Ref != "" {
			var k known
			_, err := s.web.JSON(ctx, http.MethodGet, s.page()+"/incidents/"+url.PathEscape(m.Ref), header, nil, &k)
			return k, err
		}
	}
	var list []known
	if _, err := s.web.JSON(ctx, http.MethodGet, s.page()+"/incidents/unresolved", header, nil, &list); err != nil {
		return known{}, err
	}
	for _, k := range list {
		if k.Metadata.Mayday.Incident == in.Name() {
			return k, nil
		}
	}
	return known{}, nil
}

func (s *channel) render(l comms.Letter) incident {
	in := l.Incident
	out := incident{Name: clip(cmp.Or(in.Title, in.ID), maxName), Status: status(in), Body: comms.Fit(cmp.Or(l.Message.Text, in.Title, in.ID), maxBody),
		Metadata: metadata{mark{in.Name(), l.Key}}, ComponentIDs: s.c.Components}
	if in.Drill != "" {
		out.Name = clip("DRILL "+out.Name, maxName)
	}
	if len(s.c.Components) > 0 {
		out.Components = map[string]string{}
		for _, id := range s.c.Components {
			out.Components[id] = health(in)
		}
	}
	return out
}

// status is the incident's, in Statuspage's four words.
func status(in *state.Incident) string {
	switch in.Status {
	case state.Identified, state.Fixing:
		return "identified"
	case state.Monitoring:
		return "monitoring"
	case state.Resolved, state.Closed:
		return "resolved"
	}
	return "investigating"
}

// health is a component's.
func health(in *state.Incident) string {
	switch {
	case in.Status == state.Resolved || in.Status == state.Closed || in.Status == state.Monitoring:
		return "operational"
	case in.Severity == 0:
		return "major_outage"
	case in.Severity == 1:
		return "partial_outage"
	}
	return "degraded_performance"
}

// Reach reads the page, which takes a token that may.
func (s *channel) Reach(ctx context.Context) (string, error) {
	header, err := s.header()
	if err != nil {
		return "", err
	}
	var page struct {
		Name string `json:"name"`
	}
	if _, err := s.web.JSON(ctx, http.MethodGet, s.page(), header, nil, &page); err != nil {
		return "", err
	}
	return "the token reads the page " + state.Clean(page.Name), nil
}

// Secrets implements comms.Channel.
func (s *channel) Secrets() []string { return comms.TokenSecrets(s.c) }

func (s *channel) page() string {
	return strings.TrimSuffix(cmp.Or(s.c.URL, endpoint), "/") + "/v1/pages/" + url.PathEscape(s.c.Page)
}

func (s *channel) header() (http.Header, error) {
	token, err := comms.Secret(s.c.Name, "token", s.c.TokenEnv, s.c.TokenFile)
	if err != nil {
		return nil, err
	}
	return http.Header{"Authorization": {"OAuth " + token}}, nil
}

func clip(s string, limit int) string {
	if r := []rune(s); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return s
}
