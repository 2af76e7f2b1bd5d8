package github

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"mayday/state/runbook"
	"mayday/steps/comms/commstest"
)

const token = "github_pat_0123456789abcdef"

// serve is the part of GitHub's API that keeps issues, with its limits.
func serve(t *testing.T) commstest.Desk {
	var mu sync.Mutex
	var issues [][]string
	s := commstest.Serve(t, 1<<20, func(s *commstest.Server, w http.ResponseWriter, r *http.Request, body []byte) {
		mu.Lock()
		defer mu.Unlock()
		say := func(code int, v any) { w.WriteHeader(code); _ = json.NewEncoder(w).Encode(v) }
		path, ok := strings.CutPrefix(r.URL.Path, "/repos/acme/shop/issues")
		var in struct{ Title, Body string }
		switch err := json.Unmarshal(body, &in); {
		case r.Header.Get("Authorization") != "Bearer "+token:
			say(http.StatusUnauthorized, map[string]string{"message": "Bad credentials"})
		case !ok:
			say(http.StatusNotFound, map[string]string{"message": "Not Found"})
		case r.Method == http.MethodPost && (err != nil || len([]rune(in.Body)) > 65536 || len([]rune(in.Title)) > 256 || in.Body == ""):
			say(http.StatusUnprocessableEntity, map[string]string{"message": "Validation Failed"})
		case path == "":
			if r.Method == http.MethodPost {
				if in.Title == "" {
					t.Error("an issue without a title")
				}
				issues = append(issues, []string{in.Title + "\n" + in.Body})
				say(http.StatusCreated, map[string]string{"html_url": fmt.Sprintf("https://github.com/acme/shop/issues/%d", len(issues))})
				return
			}
			var list []map[string]string
			for i, x := range issues {
				list = append(list, map[string]string{"html_url": fmt.Sprintf("https://github.com/acme/shop/issues/%d", i+1), "body": x[0]})
			}
			say(http.StatusOK, list)
		default:
			var n int
			if _, err := fmt.Sscanf(path, "/%d/comments", &n); err != nil || n < 1 || n > len(issues) {
				say(http.StatusNotFound, map[string]string{"message": "Not Found"})
				return
			}
			if r.Method == http.MethodPost {
				issues[n-1] = append(issues[n-1], in.Body)
				say(http.StatusCreated, map[string]string{})
				return
			}
			var list []map[string]string
			for i, x := range issues[n-1][1:] {
				list = append(list, map[string]string{"html_url": fmt.Sprint(i), "body": x})
			}
			say(http.StatusOK, list)
		}
	})
	deny, _ := commstest.Secret(t, token, "wrong-wrong")
	tr, err := New(runbook.Tickets{Kind: Kind, URL: s.URL, Repo: "acme/shop", TokenEnv: commstest.SecretEnv})
	if err != nil {
		t.Fatal(err)
	}
	return commstest.Desk{Tracker: tr, Secret: token, Set: s.Set, Deny: deny, Tickets: func() [][]string { mu.Lock(); defer mu.Unlock(); return append([][]string(nil), issues...) }}
}

func TestConformance(t *testing.T) { commstest.RunTracker(t, serve) }

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
