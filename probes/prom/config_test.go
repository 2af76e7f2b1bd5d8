package prom

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mayday/probes"
	"mayday/probes/probetest"
	"mayday/state"
	"mayday/state/runbook"
)

// file writes a secret where the runbook would name it.
func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func with(t *testing.T, url string, w runbook.Web) *Asker {
	t.Helper()
	cfg, err := HTTPConfig(&w)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(Options{URL: url, HTTP: cfg})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// only lets in requests for which ok holds.
func only(ok func(*http.Request) bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !ok(r) {
			http.Error(w, "no org id", http.StatusUnauthorized)
			return
		}
		handler(probetest.Well)(w, r)
	}
}

func TestCredentialsComeFromFilesAndVariables(t *testing.T) {
	t.Setenv("EYES_SECRET", "from-env")
	basic := func(user, password string) http.HandlerFunc {
		return only(func(r *http.Request) bool { u, p, _ := r.BasicAuth(); return u == user && p == password })
	}
	header := func(name, value string) http.HandlerFunc {
		return only(func(r *http.Request) bool { return r.Header.Get(name) == value })
	}
	for name, c := range map[string]struct {
		h http.HandlerFunc
		w runbook.Web
	}{
		"password file": {basic("bob", "from-file"), runbook.Web{BasicAuth: &runbook.BasicAuth{Username: "bob", PasswordFile: file(t, "from-file\n")}}},
		"password env":  {basic("bob", "from-env"), runbook.Web{BasicAuth: &runbook.BasicAuth{UsernameFile: file(t, "bob"), PasswordEnv: "EYES_SECRET"}}},
		"token file":    {header("Authorization", "Bearer from-file"), runbook.Web{Authorization: &runbook.Authorization{Type: "Bearer", CredentialsFile: file(t, "from-file")}}},
		"token env":     {header("Authorization", "Token from-env"), runbook.Web{Authorization: &runbook.Authorization{Type: "Token", CredentialsEnv: "EYES_SECRET"}}},
		"tenant":        {header("X-Scope-OrgID", "team-a"), runbook.Web{Headers: map[string]runbook.WebHeader{"X-Scope-OrgID": {Values: []string{"team-a"}}}}},
		"header file":   {header("X-Key", "from-file"), runbook.Web{Headers: map[string]runbook.WebHeader{"X-Key": {Files: []string{file(t, "from-file\n")}}}}},
		"header env":    {header("X-Key", "from-env"), runbook.Web{Headers: map[string]runbook.WebHeader{"X-Key": {Env: []string{"EYES_SECRET"}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			url := probetest.Serve(t, c.h)
			if r, err := with(t, url, c.w).Ask(t.Context(), query, time.Now()); err != nil || r.Value != 0.25 {
				t.Fatalf("%+v, %v", r, err)
			}
			_, err := with(t, url, runbook.Web{}).Ask(t.Context(), query, time.Now())
			if !state.HasCode(err, "prometheus-denied") || !strings.Contains(err.Error(), "no org id") {
				t.Fatalf("without credentials: %v", err)
			}
			if name != "tenant" && !slices.ContainsFunc(Secrets(&c.w), func(s string) bool { return strings.HasPrefix(s, "from-") }) {
				t.Errorf("the redactor gets %q", Secrets(&c.w))
			}
		})
	}
}

func TestOAuth2(t *testing.T) {
	issuer := probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id, secret, _ := r.BasicAuth(); id != "mayday" || secret != "from-file" {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"granted","token_type":"Bearer","expires_in":3600}`)
	}))
	url := probetest.Serve(t, only(func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer granted" }))
	a := with(t, url, runbook.Web{OAuth2: &runbook.OAuth2{ClientID: "mayday", ClientSecretFile: file(t, "from-file"), TokenURL: issuer}})
	if r, err := a.Ask(t.Context(), query, time.Now()); err != nil || r.Value != 0.25 {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestTLS(t *testing.T) {
	srv := httptest.NewTLSServer(handler(probetest.Well))
	defer srv.Close()
	ca := file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
	a := with(t, srv.URL, runbook.Web{TLS: &runbook.TLS{CAFile: ca, ServerName: "example.com", MinVersion: "TLS12"}})
	if r, err := a.Ask(t.Context(), query, time.Now()); err != nil || r.Value != 0.25 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := with(t, srv.URL, runbook.Web{}).Ask(t.Context(), query, time.Now()); !state.HasCode(err, "prometheus-unreachable") || !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("unknown authority: %v", err)
	}
	cfg, err := HTTPConfig(&runbook.Web{TLS: &runbook.TLS{CAFile: "/nowhere/ca.pem"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{URL: srv.URL, HTTP: cfg}); !state.HasCode(err, "prometheus-http") || !strings.Contains(err.Error(), "/nowhere/ca.pem") {
		t.Fatalf("no such file: %v", err)
	}
}

func TestProxy(t *testing.T) {
	proxy := probetest.Serve(t, only(func(r *http.Request) bool { return r.URL.Host == "prometheus.internal" }))
	a := with(t, "http://prometheus.internal", runbook.Web{ProxyURL: proxy})
	if r, err := a.Ask(t.Context(), query, time.Now()); err != nil || r.Value != 0.25 {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestMissingVariable(t *testing.T) {
	_, err := HTTPConfig(&runbook.Web{BasicAuth: &runbook.BasicAuth{Username: "bob", PasswordEnv: "EYES_NOT_SET"}})
	if !state.HasCode(err, "prometheus-secret") || !strings.Contains(err.Error(), "EYES_NOT_SET") {
		t.Fatal(err)
	}
	if c, err := HTTPConfig(nil); c != nil || err != nil {
		t.Fatal(c, err)
	}
}

// Thanos and Mimir answer with what they have, and say in warnings what is missing:
// with a value, without one, and beside a value that is worse.
func TestPartialAnswersAreSeen(t *testing.T) {
	limit := 0.1
	const partial = `,"warnings":["No StoreAPIs matched for this query\u001b[31m"]}`
	for name, c := range map[string]struct {
		body string
		p    state.Probe
		want state.Verdict
	}{
		"value":   {strings.TrimSuffix(vector(one(``, "0.25")), "}") + partial, query, state.Warn},
		"crit":    {strings.TrimSuffix(vector(one(``, "0.25")), "}") + partial, state.Probe{Query: "x", Crit: &limit}, state.Crit},
		"no data": {strings.TrimSuffix(vector(), "}") + partial, query, state.NoData},
	} {
		t.Run(name, func(t *testing.T) {
			a := ask(t, answer(c.body))
			now := time.Now()
			r, err := a.Ask(t.Context(), c.p, now)
			x := probes.Judge(c.p, r, err, now, now)
			if x.Verdict != c.want || !strings.Contains(x.Text, "No StoreAPIs matched") || strings.Contains(x.Text, "\x1b") {
				t.Fatalf("%+v", x)
			}
		})
	}
}
