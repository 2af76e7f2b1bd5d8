package jira

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"mayday/state/runbook"
	"mayday/steps/comms/commstest"
)

const token = "ATATT3xFfGF0-0123456789"

// project is the part of Jira's API that keeps issues of one project, with its limits.
type project struct {
	t       testing.TB
	search  string // the path of its search
	auth    string
	issue   func([]byte) error
	comment func([]byte) error

	mu     sync.Mutex
	labels [][]string
	texts  [][]string // of an issue: its words, then its comments
}

func (p *project) serve(_ *commstest.Server, w http.ResponseWriter, r *http.Request, body []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	say := func(code int, v any) { w.WriteHeader(code); _ = json.NewEncoder(w).Encode(v) }
	refuse := func(code int, why string) { say(code, map[string]any{"errorMessages": []string{why}}) }
	switch path := r.URL.Path; {
	case r.Header.Get("Authorization") != p.auth:
		refuse(http.StatusUnauthorized, "You are not authenticated")
	case path == p.search:
		var found []map[string]string
		for i, l := range p.labels {
			if slices.ContainsFunc(l, func(s string) bool { return strings.Contains(r.URL.Query().Get("jql"), `labels = "`+s+`"`) }) {
				found = append(found, map[string]string{"key": fmt.Sprintf("PROD-%d", i+1)})
			}
		}
		say(http.StatusOK, map[string]any{"issues": found})
	case path == "/rest/api/2/issue" && r.Method == http.MethodPost:
		var in struct {
			Fields struct {
				Summary, Description string
				Labels               []string
			}
		}
		f := &in.Fields
		if !p.fits(p.issue, body, &in) {
			refuse(http.StatusBadRequest, "Field error")
			return
		}
		p.labels, p.texts = append(p.labels, f.Labels), append(p.texts, []string{f.Summary + "\n" + f.Description})
		say(http.StatusCreated, map[string]string{"key": fmt.Sprintf("PROD-%d", len(p.texts))})
	default:
		p.comments(r, body, say, refuse)
	}
}

func (p *project) fits(schema func([]byte) error, body []byte, into any) bool {
	err := schema(body)
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		p.t.Error(err)
	}
	return err == nil
}

func (p *project) comments(r *http.Request, body []byte, say func(int, any), refuse func(int, string)) {
	var n int
	if _, err := fmt.Sscanf(r.URL.Path, "/rest/api/2/issue/PROD-%d/comment", &n); err != nil || n < 1 || n > len(p.texts) {
		refuse(http.StatusNotFound, "Issue does not exist")
		return
	}
	if r.Method == http.MethodGet {
		if r.URL.Query().Get("orderBy") != "-created" {
			p.t.Error("the last comments are not on the first page")
		}
		list := []map[string]string{}
		for _, text := range p.texts[n-1][1:] {
			list = append(list, map[string]string{"body": text})
		}
		say(http.StatusOK, map[string]any{"comments": list})
		return
	}
	var in struct{ Body string }
	if !p.fits(p.comment, body, &in) {
		refuse(http.StatusBadRequest, "Comment body is not valid")
		return
	}
	p.texts[n-1] = append(p.texts[n-1], in.Body)
	say(http.StatusCreated, map[string]string{"id": "1"})
}

func desk(user, search, auth string) func(t *testing.T) commstest.Desk {
	return func(t *testing.T) commstest.Desk {
		p := &project{t: t, search: search, auth: auth, issue: commstest.Schema(t, "testdata/issue.schema.json"), comment: commstest.Schema(t, "testdata/comment.schema.json")}
		s := commstest.Serve(t, 1<<20, p.serve)
		deny, _ := commstest.Secret(t, token, "wrong-wrong")
		tr, err := New(runbook.Tickets{Kind: Kind, URL: s.URL + "/", Project: "PROD", User: user, TokenEnv: commstest.SecretEnv})
		if err != nil {
			t.Fatal(err)
		}
		return commstest.Desk{Tracker: tr, Secret: token, Set: s.Set, Deny: deny, Tickets: func() [][]string { p.mu.Lock(); defer p.mu.Unlock(); return slices.Clone(p.texts) }}
	}
}

func TestCloud(t *testing.T) {
	commstest.RunTracker(t, desk("me@example.com", "/rest/api/2/search/jql", "Basic "+base64.StdEncoding.EncodeToString([]byte("me@example.com:"+token))))
}

func TestDataCenter(t *testing.T) {
	commstest.RunTracker(t, desk("", "/rest/api/2/search", "Bearer "+token))
}
