package prom

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"mayday/probes/probetest"
	"mayday/state"
	"mayday/state/runbook"
)

type answers func(*http.Request) *http.Response

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// No status lets more through than an answer may have, not even those after which the
// API client asks again by another method.
func TestEveryAnswerIsBounded(t *testing.T) {
	for _, status := range []int{200, 302, 400, 403, 405, 500, 501} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			g := &guard{answers(func(*http.Request) *http.Response {
				return &http.Response{StatusCode: status, Body: io.NopCloser(endless{})}
			})}
			resp, err := g.RoundTrip(&http.Request{Method: method, URL: &url.URL{}})
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 2*maxBody))
			var large *largeError
			if n > maxBody+1 || !errors.As(err, &large) {
				t.Errorf("%s, status %d: %d bytes, %v", method, status, n, err)
			}
		}
	}
}

// What the runbook puts into headers is for its server, and not for where that sends us.
func TestHeadersStayWithTheirServer(t *testing.T) {
	t.Setenv("TENANT_KEY", "hunter2")
	var got http.Header
	other := strings.Replace(probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		handler(probetest.Well)(w, r)
	})), "127.0.0.1", "localhost", 1)
	far := probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	a := with(t, far, runbook.Web{FollowRedirects: true, Headers: map[string]runbook.WebHeader{"X-Key": {Env: []string{"TENANT_KEY"}}}})
	if _, err := a.Ask(t.Context(), query, time.Now()); !state.HasCode(err, "prometheus-unreachable") || !strings.Contains(err.Error(), "localhost") {
		t.Errorf("sent elsewhere: %v", err)
	}
	if got != nil {
		t.Errorf("another server got %v", got)
	}
	// Nor go credentials where TLS does not.
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.Replace(other, "localhost", "127.0.0.1", 1)+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer secure.Close()
	a = with(t, secure.URL, runbook.Web{FollowRedirects: true, TLS: &runbook.TLS{InsecureSkipVerify: true},
		Authorization: &runbook.Authorization{CredentialsEnv: "TENANT_KEY"}})
	if _, err := a.Ask(t.Context(), query, time.Now()); !state.HasCode(err, "prometheus-unreachable") || !strings.Contains(err.Error(), "without TLS") || got != nil {
		t.Errorf("sent out of TLS: %v, %v", err, got)
	}
	// Where there are none, and on the same host, it follows.
	a = with(t, far, runbook.Web{FollowRedirects: true})
	if r, err := a.Ask(t.Context(), query, time.Now()); err != nil || r.Value != 0.25 {
		t.Errorf("%+v, %v", r, err)
	}
	near := probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api") {
			http.Redirect(w, r, "/prom"+r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		handler(probetest.Well)(w, r)
	}))
	a = with(t, near, runbook.Web{FollowRedirects: true, Headers: map[string]runbook.WebHeader{"X-Key": {Env: []string{"TENANT_KEY"}}}})
	if r, err := a.Ask(t.Context(), query, time.Now()); err != nil || r.Value != 0.25 {
		t.Errorf("%+v, %v", r, err)
	}
}
