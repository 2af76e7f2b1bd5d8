// Package github keeps an incident's ticket as an issue of a GitHub repository. A line
// that no reader sees marks what mayday wrote.
//
// Protocol: docs.github.com, "REST API endpoints for issues" and "for issue comments"
// (which come oldest first), "API versions", and "Rate limits for the REST API" for what
// a 403 may mean. The longest title and body are documented nowhere: the API's own
// refusals name 256 and 65,536 characters.
package github

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

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
	perPage  = 100 // the API's most
	maxPages = 10  // of comments looked through for one that a try before this made
)

type tracker struct {
	t   runbook.Tickets
	web *web.Client
}

// New makes a tracker.
func New(t runbook.Tickets) (comms.Tracker, error) {
	return &tracker{t, web.New("tickets").Sorting(sorted)}, nil
}

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
	link, _, err := g.find(ctx, at+"?state=all&sort=created&direction=desc", 1, t.Key)
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
	for page, more := 1, true; more && page <= maxPages; page++ {
		var there string
		var err error
		if there, more, err = g.find(ctx, at+"?", page, t.Key); err != nil || there != "" {
			return err
		}
	}
	return g.call(ctx, http.MethodPost, at, map[string]string{"body": body(t)}, nil)
}

// Reach implements comms.Tracker: the repository's issues can be read.
func (g *tracker) Reach(ctx context.Context) (string, error) {
	return "the issues of " + g.t.Repo + " can be read", g.call(ctx, http.MethodGet, g.repo()+"/issues?per_page=1", nil, nil)
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

// find looks on a page for what has the key, and says whether there may be another page.
func (g *tracker) find(ctx context.Context, at string, page int, key string) (link string, more bool, err error) {
	var list []issue
	if err := g.call(ctx, http.MethodGet, fmt.Sprintf("%s&per_page=%d&page=%d", at, perPage, page), nil, &list); err != nil {
		return "", false, err
	}
	for _, x := range list {
		if strings.Contains(x.Body, mark(key)) {
			return x.Link, false, nil
		}
	}
	return "", len(list) == perPage, nil
}

// sorted tells a limit from a refusal: GitHub answers 403 to both. What it asks for, is
// waited for; where it names no time, a minute.
func sorted(channel string, code int, header http.Header, said string) *comms.Failure {
	f := web.Answered(channel, code, header, said)
	spent := header.Get("X-Ratelimit-Remaining") == "0"
	if code != http.StatusTooManyRequests && (code != http.StatusForbidden || f.After == 0 && !spent && !strings.Contains(strings.ToLower(said), "rate limit")) {
		return f
	}
	if reset, err := strconv.ParseInt(header.Get("X-Ratelimit-Reset"), 10, 64); f.After == 0 && spent && err == nil {
		f.After = time.Until(time.Unix(reset, 0))
	}
	if f.After <= 0 {
		f.After = time.Minute
	}
	f.Permanent = false
	f.Do = "GitHub asks to be left alone: run it again in " + f.After.Round(time.Second).String() + "."
	return f
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
