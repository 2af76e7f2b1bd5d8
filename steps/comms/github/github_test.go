package github

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mayday/state/runbook"
	"mayday/steps/comms"
	"mayday/steps/comms/commstest"
)

const token = "github_pat_0123456789abcdef"

// repo is the part of GitHub's API that keeps issues of one repository, with its limits.
type repo struct {
	t       testing.TB
	issue   func([]byte) error
	comment func([]byte) error

	mu     sync.Mutex
	issues [][]string // of an issue: its title and body, then its comments
}

func (p *repo) serve(_ *commstest.Server, w http.ResponseWriter, r *http.Request, body []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	say := func(code int, v any) { w.WriteHeader(code); _ = json.NewEncoder(w).Encode(v) }
	refuse := func(code int, why string) { say(code, map[string]string{"message": why}) }
	path, ok := strings.CutPrefix(r.URL.Path, "/repos/acme/shop/issues")
	switch {
	case r.UserAgent() == "":
		refuse(http.StatusForbidden, "Request forbidden by administrative rules.")
	case r.Header.Get("Authorization") != "Bearer "+token:
		refuse(http.StatusUnauthorized, "Bad credentials")
	case r.Header.Get("Accept") != "application/vnd.github+json":
		refuse(http.StatusUnsupportedMediaType, "Unsupported 'Accept' header")
	case !slices.Contains([]string{"2022-11-28", "2026-03-10"}, r.Header.Get("X-GitHub-Api-Version")):
		refuse(http.StatusBadRequest, "version not supported")
	case !ok:
		refuse(http.StatusNotFound, "Not Found")
	case path == "" && r.Method == http.MethodPost:
		var in struct{ Title, Body string }
		if p.fits(p.issue, body, &in, refuse) {
			p.issues = append(p.issues, []string{in.Title + "\n" + in.Body})
			say(http.StatusCreated, map[string]string{"html_url": link(len(p.issues))})
		}
	case path == "":
		list := []map[string]string{}
		for i, x := range p.issues {
			list = append([]map[string]string{{"html_url": link(i + 1), "body": x[0]}}, list...)
		}
		say(http.StatusOK, paged(r, list))
	default:
		p.comments(r, path, body, say, refuse)
	}
}

func link(n int) string { return fmt.Sprintf("https://github.com/acme/shop/issues/%d", n) }

func (p *repo) fits(schema func([]byte) error, body []byte, into any, refuse func(int, string)) bool {
	err := schema(body)
	if err == nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		p.t.Error(err)
		refuse(http.StatusUnprocessableEntity, "Validation Failed")
	}
	return err == nil
}

// paged gives a page: 30 of a list, unless it is asked for up to 100.
func paged[T any](r *http.Request, list []T) []T {
	size, page := 30, 1
	if n, err := strconv.Atoi(r.URL.Query().Get("per_page")); err == nil {
		size = min(n, 100)
	}
	if n, err := strconv.Atoi(r.URL.Query().Get("page")); err == nil {
		page = n
	}
	from := min((page-1)*size, len(list))
	return list[from:min(from+size, len(list))]
}

func (p *repo) comments(r *http.Request, path string, body []byte, say func(int, any), refuse func(int, string)) {
	var n int
	if _, err := fmt.Sscanf(path, "/%d/comments", &n); err != nil || n < 1 || n > len(p.issues) {
		refuse(http.StatusNotFound, "Not Found")
		return
	}
	if r.Method == http.MethodPost {
		var in struct{ Body string }
		if p.fits(p.comment, body, &in, refuse) {
			p.issues[n-1] = append(p.issues[n-1], in.Body)
			say(http.StatusCreated, map[string]string{})
		}
		return
	}
	list := []map[string]string{} // oldest first
	for i, x := range p.issues[n-1][1:] {
		list = append(list, map[string]string{"html_url": fmt.Sprint(i), "body": x})
	}
	say(http.StatusOK, paged(r, list))
}

func desk(t *testing.T) (*repo, commstest.Desk) {
	p := &repo{t: t, issue: commstest.Schema(t, "testdata/issue.schema.json"), comment: commstest.Schema(t, "testdata/comment.schema.json")}
	s := commstest.Serve(t, 1<<20, p.serve)
	deny, _ := commstest.Secret(t, token, "wrong-wrong")
	tr, err := New(runbook.Tickets{Kind: Kind, URL: s.URL, Repo: "acme/shop", TokenEnv: commstest.SecretEnv})
	if err != nil {
		t.Fatal(err)
	}
	return p, commstest.Desk{Tracker: tr, Secret: token, Set: s.Set, Deny: deny, Tickets: func() [][]string { p.mu.Lock(); defer p.mu.Unlock(); return slices.Clone(p.issues) }}
}

func TestConformance(t *testing.T) {
	commstest.RunTracker(t, func(t *testing.T) commstest.Desk { _, d := desk(t); return d })
}

// Comments come oldest first: the last one of many is not on the first page.
func TestOneOfManyComments(t *testing.T) {
	p, d := desk(t)
	at, err := d.Tracker.Open(t.Context(), comms.Ticket{Key: "k", Incident: "INC-1", Title: "t", Text: "x"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 230 {
		p.issues[0] = append(p.issues[0], fmt.Sprint("somebody's ", i))
	}
	for range 2 {
		if err := d.Tracker.Comment(t.Context(), at, comms.Ticket{Key: "c1", Incident: "INC-1", Text: "deployed"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(d.Tickets()[0]); n != 232 {
		t.Errorf("the issue has %d comments", n-1)
	}
}

func TestALimitIsNoRefusal(t *testing.T) {
	soon := strconv.FormatInt(time.Now().Add(90*time.Second).Unix(), 10)
	for _, c := range []struct {
		code        int
		header      map[string]string
		said        string
		permanent   bool
		least, most time.Duration
	}{
		{403, nil, "Resource not accessible by personal access token", true, 0, 0},
		{403, map[string]string{"X-RateLimit-Remaining": "4999", "X-RateLimit-Reset": soon}, "Must have push access", true, 0, 0},
		{403, map[string]string{"Retry-After": "60"}, "You have exceeded a secondary rate limit", false, time.Minute, time.Minute},
		{403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": soon}, "API rate limit exceeded", false, 80 * time.Second, 90 * time.Second},
		{429, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": soon}, "API rate limit exceeded", false, 80 * time.Second, 90 * time.Second},
		{403, nil, "You have exceeded a secondary rate limit. Please wait a few minutes", false, time.Minute, time.Minute},
		{403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}, "API rate limit exceeded", false, time.Minute, time.Minute},
		{429, nil, "", false, time.Minute, time.Minute},
		{410, nil, "Issues are disabled for this repo", true, 0, 0},
		{422, nil, "Validation Failed", true, 0, 0},
	} {
		s := commstest.Serve(t, 1<<20, func(_ *commstest.Server, w http.ResponseWriter, _ *http.Request, _ []byte) {
			for k, v := range c.header {
				w.Header().Set(k, v)
			}
			w.WriteHeader(c.code)
			_ = json.NewEncoder(w).Encode(map[string]string{"message": c.said})
		})
		t.Setenv(commstest.SecretEnv, token)
		tr, err := New(runbook.Tickets{Kind: Kind, URL: s.URL, Repo: "acme/shop", TokenEnv: commstest.SecretEnv})
		if err != nil {
			t.Fatal(err)
		}
		_, err = tr.Open(t.Context(), comms.Ticket{Key: "k", Incident: "INC-1", Title: "t", Text: "x"})
		if after := comms.RetryAfter(err); comms.Permanent(err) != c.permanent || after < c.least || after > c.most || err == nil {
			t.Errorf("%d %v %q: after %s, %v", c.code, c.header, c.said, after, err)
		}
	}
}

func TestLinks(t *testing.T) {
	for url, want := range map[string]string{"": "https://github.com/acme/shop/issues/12", "https://git.example.com/api/v3": "https://git.example.com/acme/shop/issues/12"} {
		tr, err := New(runbook.Tickets{URL: url, Repo: "acme/shop"})
		if err != nil {
			t.Fatal(err)
		}
		if got := tr.Link("#12"); got != want {
			t.Errorf("%q: %s", url, got)
		}
	}
}
