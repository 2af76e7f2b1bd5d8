package comms

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

var night = time.Date(2026, 11, 22, 3, 14, 0, 0, time.UTC)

func incident() *state.Incident {
	p := state.DefaultPolicy(1)
	return &state.Incident{ID: "INC-20261122-01", Title: "Payment Gateway Down", Severity: 1, Service: "shop", Impact: "All payments unavailable",
		Status: state.Investigating, Declared: night, Policy: p, Attempt: 1, Issue: "PROD-2847",
		Roles: map[string]string{state.Commander: "alice"}, Facts: map[string]string{}}
}

func post(t *testing.T, rb *runbook.Runbook) *Post {
	t.Helper()
	p, err := New(rb)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBuiltInMessages(t *testing.T) {
	p := post(t, &runbook.Runbook{WarRoom: "https://meet/{incident}", Tracker: "https://tracker/{issue}"})
	in := incident()
	in.Facts["version"], in.Facts["baseline"] = "v1.2.4", "v1.2.3"
	extra := map[string]string{"head": "9f2c01ab", "role": "engineering manager", "who": "Carol", "target": "v1.2.3", "reason": "R", "verified": "50 of 50", "cause": "a secret weakness"}
	now := night.Add(47 * time.Minute)
	for purpose, says := range map[string][]string{
		"declared": {"INCIDENT DECLARED: SEV1", "Title: Payment Gateway Down", "Impact: All payments", "2026-11-22 03:14 UTC", "Status: Investigating",
			"updates every 15 minutes", "Incident Commander: alice", "War Room: https://meet/INC-20261122-01", "https://tracker/PROD-2847", "#sev1", "9f2c01ab"},
		"update":    {"INCIDENT UPDATE: SEV1 (47 minutes)", "Next update in 15 minutes (04:16 UTC)", "9f2c01ab", "a secret weakness"},
		"customers": {"shop: we are looking into a problem", "write again by 04:16 UTC"},
		"resolved":  {"INCIDENT RESOLVED: SEV1", "Duration: 47 minutes", "Hotfix deployed (v1.2.4)", "4 hours", "48 hours"},
		"page":      {"PAGE SEV1: Carol, you are needed as engineering manager", "mayday ack --incident INC-20261122-01"},
		"review":    {"REVIEW NEEDED", "mayday approve"},
		"rollback":  {"Production runs v1.2.3 again", "Reason: R", "Verified: 50 of 50"},
		"deployed":  {"HOTFIX DEPLOYED: SEV1 shop v1.2.4", "Before: v1.2.3"},
	} {
		got, err := p.Render(purpose, in, now, extra)
		if err != nil {
			t.Errorf("%s: %v", purpose, err)
		}
		for _, s := range says {
			if !strings.Contains(got, s) {
				t.Errorf("%s does not say %q:\n%s", purpose, s, got)
			}
		}
		if (purpose == "customers" || purpose == "resolved") && (strings.Contains(got, "alice") || strings.Contains(got, "weakness") || strings.Contains(got, "meet/")) {
			t.Errorf("%s says too much:\n%s", purpose, got)
		}
		if strings.Contains(got, "<no value>") || strings.Contains(got, "\n\n\n") {
			t.Errorf("%s looks broken:\n%s", purpose, got)
		}
	}
	in.Drill = "good"
	if got, _ := p.Render("page", in, now, nil); !strings.HasPrefix(got, "DRILL") {
		t.Errorf("a drill's page: %s", got)
	}
}

func TestRunbookTemplates(t *testing.T) {
	p := post(t, &runbook.Runbook{Templates: map[string]string{"update": "{{.Severity}} {{.Extra.nothing}}{{lower .Title}}"}})
	in := incident()
	in.Title = "\x1b[31mDown\x1b[0m"
	if got, err := p.Render("update", in, night, nil); err != nil || got != "SEV1 down" {
		t.Errorf("%q %v", got, err)
	}
	for name, text := range map[string]string{"update": "{{.Nope}}", "page": "{{", "other": "x"} {
		if _, err := New(&runbook.Runbook{Templates: map[string]string{name: text}}); !state.HasCode(err, "template") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// server answers with what the test says and keeps what it got.
func server(t *testing.T, answer http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return s
}

func TestSend(t *testing.T) {
	var got map[string]string
	var key string
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		key = r.Header.Get("Idempotency-Key")
		b, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(b, &got)
	})
	t.Setenv("TEAM_HOOK", s.URL+"/services/T0000000000000000SECRET")
	p := post(t, &runbook.Runbook{Channels: []runbook.Channel{{Name: "team", URLEnv: "TEAM_HOOK"}}})
	m := state.Message{ID: "m42-0", Channel: "team", Audience: "team", Purpose: "update", Text: "we \"know\""}
	if err := p.Send(t.Context(), "INC-1", m); err != nil {
		t.Fatal(err)
	}
	if key != "INC-1/m42-0" || got["text"] != m.Text || got["incident"] != "INC-1" || got["purpose"] != "update" || got["audience"] != "team" || got["id"] != "m42-0" {
		t.Errorf("key %q, body %v", key, got)
	}
}

func TestFailuresAreSortedAndHoldNoSecret(t *testing.T) {
	secret := "T0000000000000000SECRET"
	var code int
	var header string
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", header)
		w.Header().Set("Location", "http://elsewhere/")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "\x1b[2Jno such hook "+r.URL.Path)
	})
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte(s.URL+"/x/"+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := post(t, &runbook.Runbook{Channels: []runbook.Channel{{Name: "team", URLFile: file}, {Name: "unset", URLEnv: "MAYDAY_TEST_UNSET"},
		{Name: "gone", URL: "http://127.0.0.1:1/" + secret}}})
	for _, tc := range []struct {
		channel   string
		code      int
		header    string
		permanent bool
		after     time.Duration
	}{
		{"team", 500, "", false, 0}, {"team", 503, "7", false, 7 * time.Second}, {"team", 429, "99999", false, longestWait},
		{"team", 404, "", true, 0}, {"team", 302, "", true, 0}, {"unset", 0, "", true, 0}, {"gone", 0, "", false, 0}, {"unknown", 0, "", true, 0},
	} {
		code, header = tc.code, tc.header
		err := p.Send(t.Context(), "INC-1", state.Message{ID: "m1", Channel: tc.channel})
		if err == nil || Permanent(err) != tc.permanent || RetryAfter(err) != tc.after {
			t.Errorf("%s %d: permanent %v, after %s: %v", tc.channel, tc.code, Permanent(err), RetryAfter(err), err)
		}
		if err != nil && (strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "\x1b")) {
			t.Errorf("%s %d tells the secret: %v", tc.channel, tc.code, err)
		}
		if state.AsProblem(err).Do == "" {
			t.Errorf("%s %d does not say what to do: %v", tc.channel, tc.code, err)
		}
	}
	if got := strings.Join(p.Secrets(), " "); !strings.Contains(got, secret) {
		t.Errorf("secrets %q", got)
	}
}

func TestChannels(t *testing.T) {
	p := post(t, &runbook.Runbook{Channels: []runbook.Channel{{Name: "a"}, {Name: "b", Audiences: []string{"customers", "team"}}}})
	for audience, want := range map[string]string{"team": "a b", "pages": "a", "customers": "b", "executives": ""} {
		if got := strings.Join(p.Channels(audience), " "); got != want {
			t.Errorf("%s: %q, want %q", audience, got, want)
		}
	}
}

func run(t *testing.T, p *Post, item string, in *state.Incident, values map[string]string) (steps.Outcome, error) {
	t.Helper()
	return p.Actions()[item].Run(t.Context(), steps.Job{Incident: in, Values: values, Output: io.Discard, Evidence: t.TempDir(),
		Now: func() time.Time { return night }})
}

func TestRoomAndTicket(t *testing.T) {
	p := post(t, &runbook.Runbook{WarRoom: "https://meet/{incident}", Tracker: "https://tracker/{issue}"})
	in := incident()
	o, err := run(t, p, "2.room", in, nil)
	if err != nil || o.Facts["room"] != "https://meet/INC-20261122-01" {
		t.Errorf("%+v %v", o, err)
	}
	if o, err = run(t, p, "2.ticket", in, nil); err != nil || o.Facts["ticket"] != "https://tracker/PROD-2847" {
		t.Errorf("%+v %v", o, err)
	}
	in.Issue = ""
	if _, err = run(t, p, "2.ticket", in, nil); !state.HasCode(err, "no-issue") {
		t.Errorf("%v", err)
	}
	if o, err = run(t, p, "2.ticket", in, map[string]string{"issue": "#12"}); err != nil || o.Facts["ticket"] != "https://tracker/12" {
		t.Errorf("%+v %v", o, err)
	}
}

func TestChannelsReachable(t *testing.T) {
	posts := 0
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			posts++
		}
		w.WriteHeader(http.StatusMethodNotAllowed)
	})
	rb := &runbook.Runbook{}
	p := post(t, rb)
	in := incident()
	if _, err := run(t, p, "10.channels", in, nil); !state.HasCode(err, "no-channel") {
		t.Errorf("%v", err)
	}
	rb.Channels = []runbook.Channel{{Name: "team", URL: s.URL}}
	if o, err := run(t, p, "10.channels", in, nil); err != nil || o.Summary != "1 of 1" || posts != 0 {
		t.Errorf("%+v %v, %d posts", o, err, posts)
	}
	in.Messages = []state.Message{{ID: "m1", Channel: "team", Tries: 2, Err: "503"}}
	if _, err := run(t, p, "10.channels", in, nil); !state.HasCode(err, "unreachable") {
		t.Errorf("%v", err)
	}
	in.Messages = append(in.Messages, state.Message{ID: "m2", Channel: "team", Tries: 1, Sent: night}, state.Message{ID: "m3", Channel: "team"})
	if o, err := run(t, p, "10.channels", in, nil); err != nil || !strings.Contains(o.Evidence[0].Value, "took m2") {
		t.Errorf("%+v %v", o, err)
	}
	rb.Channels = append(rb.Channels, runbook.Channel{Name: "gone", URL: "http://127.0.0.1:1/"})
	if _, err := run(t, p, "10.channels", in, nil); !state.HasCode(err, "unreachable") || !strings.Contains(err.Error(), "gone") {
		t.Errorf("%v", err)
	}
}

func TestDelivered(t *testing.T) {
	p := post(t, &runbook.Runbook{})
	in := incident()
	in.Messages = []state.Message{{ID: "m1", Channel: "team", Purpose: "update", Dead: true, Err: "404"}}
	if _, err := run(t, p, "13.delivered", in, nil); !state.HasCode(err, "undelivered") || !strings.Contains(err.Error(), "404") {
		t.Errorf("%v", err)
	}
	in.Messages = append(in.Messages, state.Message{ID: "m2", Channel: "team", Purpose: "update", Sent: night})
	if o, err := run(t, p, "13.delivered", in, nil); err != nil || o.Summary != "1 delivered" {
		t.Errorf("%+v %v", o, err)
	}
	in.Messages = append(in.Messages, state.Message{ID: "m3", Channel: "team", Purpose: "page"})
	if _, err := run(t, p, "13.delivered", in, nil); !state.HasCode(err, "undelivered") {
		t.Errorf("%v", err)
	}
}

func TestInvitation(t *testing.T) {
	in := incident()
	in.Title = "Käufer; können, nicht zahlen — und zwar seit heute früh überhaupt nicht mehr"
	dir := t.TempDir()
	for h := range 48 {
		now := night.Add(time.Duration(h) * time.Hour)
		if d := reviewAt(now).Sub(now); d < 24*time.Hour || d > 48*time.Hour {
			t.Errorf("a review in %s", d)
		}
	}
	o, err := post(t, &runbook.Runbook{}).Actions()["18.review"].Run(context.Background(), steps.Job{Incident: in, Evidence: dir, Now: func() time.Time { return night }})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, filepath.Base(o.Evidence[0].File)))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(b), "\r\n"), "\r\n") {
		if len(line) > 75 || strings.Contains(line, "\n") {
			t.Errorf("line %q", line)
		}
	}
	whole := strings.ReplaceAll(string(b), "\r\n ", "")
	for _, want := range []string{"DTSTART:20261123T100000Z", `SUMMARY:Review of INC-20261122-01: Käufer\; können\, nicht zahlen — und zwar seit heute früh überhaupt nicht mehr`} {
		if !strings.Contains(whole, want) {
			t.Errorf("no %q in\n%s", want, whole)
		}
	}
}
