package runbook

import (
	"slices"
	"strings"
)

// roomBy begins a war room that a channel makes.
const roomBy = "slack:"

// checkTickets checks the tracker, and who makes the war room.
func (r *Runbook) checkTickets(b *binder) {
	if name, ok := strings.CutPrefix(r.WarRoom, roomBy); ok {
		i := slices.IndexFunc(r.Channels, func(c Channel) bool { return c.Name == name })
		if i < 0 || r.Channels[i].Kind != "slack" || r.Channels[i].Room == "" {
			b.fail("war_room", "war_room: %q is no channel of kind slack with a token", name)
		}
	}
	t := r.Tickets
	if t == nil {
		return
	}
	b.word("tickets.kind", "kind of tracker", t.Kind, trackers)
	by := t.Kind == "github" || t.Kind == "jira"
	if by {
		b.way("tickets", "token_env (the name of an environment variable) and token_file", t.TokenEnv, t.TokenFile)
	}
	b.only("tickets", "command", t.Command != nil, t.Kind == "command", "kind command")
	b.only("tickets", "repo", t.Repo != "", t.Kind == "github", "kind github")
	b.only("tickets", "project", t.Project != "", t.Kind == "jira", "kind jira")
	b.only("tickets", "user", t.User != "", t.Kind == "jira", "kind jira")
	b.only("tickets", "type", t.Type != "", t.Kind == "jira", "kind jira")
	b.only("tickets", "url", t.URL != "", by, "kind github and jira")
	switch owner, name, _ := strings.Cut(t.Repo, "/"); {
	case t.Kind == "github" && (owner == "" || name == "" || strings.Contains(name, "/")):
		b.fail("tickets", "tickets needs repo: owner/name")
	case t.Kind == "jira" && (t.URL == "" || t.Project == ""):
		b.fail("tickets", "tickets needs url (https://example.atlassian.net) and project (its key)")
	case t.Kind == "command" && t.Command == nil:
		b.fail("tickets", "tickets needs a command")
	case t.Kind == "command":
		b.program("tickets.command", t.Command)
	}
	if t.URL != "" {
		b.url("tickets.url", t.URL)
	}
}
