// Package github keeps an incident's ticket as an issue of a GitHub repository.
//
// Protocol: docs.github.com, REST API endpoints for issues and issue comments; bodies
// have at most 65,536 characters. A line that no reader sees marks what mayday wrote.
package github

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"strings"

	"mayday/state/runbook"
	"mayday/steps/comms"
	"mayday/steps/comms/web"
)

// Kind is the word for it in a runbook.
const Kind = "github"

const (
	endpoint = "https://api.github.com"
	maxBody  = 60_000 // bytes, of 65,536 characters
	maxTitle = 256
	recent   = "100" // issues and comments looked through for one that a try before this made
)

type tracker struct {
	t   runbook.Tickets
	web *web.Client
}

// New makes a tracker.
func New(t runbook.Tickets) (comms.Tracker, error) { return &tracker{t, web.New("tickets")}, nil }

// issue is one, or a comment.
type issue struct {
	Link string `json:"html_url"`
	Body string `json:"body"`
}

func mark(key string) string { return "<!-- mayday " + key + " -->" }

// Link implements comms.Tracker.
func (g *tracker) Link(n string) string {
	base := "https://github.com"
	if g.t.URL != "" { // GitHub Enterprise: https://HOST/api/v3
		base = strings.TrimSuffix(strings.TrimSuffix(g.t.URL, "/"), "/api/v3")
	}
	return base + "/" + g.t.Repo + "/issues/" + strings.TrimPrefix(n, "#")
}

// Open implements comms.Tracker.
func (g *tracker) Open(ctx context.Context, t comms.Ticket) (string, error) {
	at := g.repo() + "/issues"
	link, err := g.find(ctx, at+"?state=all&sort=created&direction=desc&per_page="+recent, t.Key)
	if err != nil || link != "" {
		return link, err
	}
	title := []rune(t.Title)
	var made issue
	err = g.call(ctx, http.MethodPost, at, map[string]string{"title": string(title[:min(len(title), maxTitle)]), "body": body(t)}, &made)
	return made.Link, err
}

// Comment implements comms.Tracker.
func (g *tracker) Comment(ctx context.Context, link string, t comms.Ticket) error {
	n := link[strings.LastIndexByte(link, '/')+1:]
	if _, err := strconv.Atoi(n); err != nil {
		return comms.Refused("tickets", link+" is no issue of GitHub's", true)
	}
	at := g.repo() + "/issues/" + n + "/comments"
	if link, err := g.find(ctx, at+"?per_page="+recent, t.Key); err != nil || link != "" {
		return err
	}
	return g.call(ctx, http.MethodPost, at, map[string]string{"body": body(t)}, nil)
}

// Secrets implements comms.Tracker.
func (g *tracker) Secrets() []string { return comms.TicketSecrets(g.t) }

func body(t comms.Ticket) string {
	// Indented: nothing of it is markup, and nobody is mentioned.
	text := "    " + strings.ReplaceAll(comms.Fit(t.Text, maxBody/2), "\n", "\n    ")
	return comms.Fit(text, maxBody) + "\n\n" + mark(t.Key)
}

func (g *tracker) repo() string {
	return strings.TrimSuffix(cmp.Or(g.t.URL, endpoint), "/") + "/repos/" + g.t.Repo
}

func (g *tracker) find(ctx context.Context, at, key string) (string, error) {
	var list []issue
	if err := g.call(ctx, http.MethodGet, at, nil, &list); err != nil {
		return "", err
	}
	for _, x := range list {
		if strings.Contains(x.Body, mark(key)) {
			return x.Link, nil
		}
	}
	return "", nil
}

func (g *tracker) call(ctx context.Context, method, at string, body, into any) error {
	token, err := comms.Secret("tickets", "token", g.t.TokenEnv, g.t.TokenFile)
	if err != nil {
		return err
	}
	header := http.Header{"Authorization": {"Bearer " + token}, "Accept": {"application/vnd.github+json"}, "X-Github-Api-Version": {"2022-11-28"}}
	_, err = g.web.JSON(ctx, method, at, header, body, into)
	return err
}
