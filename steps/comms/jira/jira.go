// Package jira keeps an incident's ticket as an issue of a Jira project, of Cloud (an
// account and its API token) or Data Center (a personal access token alone). A label
// names the incident, a last line the comment.
//
// Protocol: developer.atlassian.com, "Jira Cloud platform REST API" version 2, where
// texts are plain, and "JIRA REST API Example - Create Issue" for Data Center; "Rate
// limiting" (429 and some 503 with Retry-After); "Search After Write": Cloud's search
// shows an issue seconds after it was made, so that a repetition within them makes
// another ticket. What is too long, Jira's refusals name: 32,767 characters of text, and
// a summary must have fewer than 255.
package jira

import (
	"cmp"
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"mayday/state/runbook"
	"mayday/steps/comms"
	"mayday/steps/comms/web"
)

// Kind is the word for it in a runbook.
const Kind = "jira"

const (
	maxText    = 30_000 // bytes, of 32,767 characters
	maxSummary = 254
)

type tracker struct {
	t   runbook.Tickets
	web *web.Client
}

// New makes a tracker.
func New(t runbook.Tickets) (comms.Tracker, error) { return &tracker{t, web.New("tickets")}, nil }

// Link implements comms.Tracker.
func (j *tracker) Link(key string) string { return j.base() + "/browse/" + url.PathEscape(key) }

// Open implements comms.Tracker.
func (j *tracker) Open(ctx context.Context, t comms.Ticket) (string, error) {
	if key, err := j.find(ctx, t.Key); err != nil || key != "" {
		return j.linked(key), err
	}
	summary := []rune(t.Title)
	fields := map[string]any{"project": map[string]string{"key": j.t.Project}, "issuetype": map[string]string{"name": cmp.Or(j.t.Type, "Bug")},
		"summary": string(summary[:min(len(summary), maxSummary)]), "description": comms.Fit(t.Text, maxText), "labels": []string{"mayday", t.Key}}
	var made struct{ Key string }
	err := j.call(ctx, http.MethodPost, "/rest/api/2/issue", map[string]any{"fields": fields}, &made)
	return j.linked(made.Key), err
}

func (j *tracker) linked(key string) string {
	if key == "" {
		return ""
	}
	return j.Link(key)
}

// find gives the key of the incident's ticket.
func (j *tracker) find(ctx context.Context, incident string) (string, error) {
	query := "?fields=key&maxResults=1&jql=" + url.QueryEscape(`project = "`+j.t.Project+`" AND labels = "`+incident+`"`)
	at := "/rest/api/2/search" // Data Center
	if j.t.User != "" {
		at += "/jql" // Cloud took the other away
	}
	var found struct{ Issues []struct{ Key string } }
	if err := j.call(ctx, http.MethodGet, at+query, nil, &found); err != nil || len(found.Issues) == 0 {
		return "", err
	}
	return found.Issues[0].Key, nil
}

func mark(key string) string { return "[mayday " + key + "]" }

// Comment implements comms.Tracker.
func (j *tracker) Comment(ctx context.Context, link string, t comms.Ticket) error {
	at := "/rest/api/2/issue/" + url.PathEscape(link[strings.LastIndexByte(link, '/')+1:]) + "/comment"
	var has struct{ Comments []struct{ Body string } }
	if err := j.call(ctx, http.MethodGet, at+"?maxResults=100&orderBy=-created", nil, &has); err != nil {
		return err
	}
	for _, c := range has.Comments {
		if strings.Contains(c.Body, mark(t.Key)) {
			return nil
		}
	}
	return j.call(ctx, http.MethodPost, at, map[string]string{"body": comms.Fit(t.Text, maxText) + "\n\n" + mark(t.Key)}, nil)
}

// Reach implements comms.Tracker: the project's issues can be searched.
func (j *tracker) Reach(ctx context.Context) (string, error) {
	_, err := j.find(ctx, "mayday")
	return "the issues of " + j.t.Project + " can be searched", err
}

// Secrets implements comms.Tracker.
func (j *tracker) Secrets() []string {
	out := comms.TicketSecrets(j.t)
	for _, token := range out {
		if j.t.User != "" {
			out = append(out, base64.StdEncoding.EncodeToString([]byte(j.t.User+":"+token)))
		}
	}
	return out
}

func (j *tracker) base() string { return strings.TrimSuffix(j.t.URL, "/") }

func (j *tracker) call(ctx context.Context, method, path string, body, into any) error {
	token, err := comms.Secret("tickets", "token", j.t.TokenEnv, j.t.TokenFile)
	if err != nil {
		return err
	}
	auth := "Bearer " + token
	if j.t.User != "" {
		auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(j.t.User+":"+token))
	}
	_, err = j.web.JSON(ctx, method, j.base()+path, http.Header{"Authorization": {auth}, "Accept": {"application/json"}}, body, into)
	return err
}
