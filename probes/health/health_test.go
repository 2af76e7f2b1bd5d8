package health

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mayday/probes"
	"mayday/probes/probetest"
	"mayday/state"
	"mayday/state/runbook"
)

// status answers every request with a status and a body.
func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); fmt.Fprint(w, body) }
}

// babble listens and answers every connection with something that is not HTTP.
func babble(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "\x1b[31mSSH-2.0-hello\r\n\r\n")
			c.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return "http://" + ln.Addr().String()
}

func TestConformance(t *testing.T) {
	probetest.Run(t, func(t *testing.T, w probetest.World) (probetest.Subject, bool) {
		var url string
		switch w {
		case probetest.Well:
			url = probetest.Serve(t, status(200, "fine"))
		case probetest.Hangs, probetest.Drips, probetest.Fails:
			url = probetest.Serve(t, probetest.Web(w))
		case probetest.Refuses:
			url = probetest.Nobody(t)
		case probetest.Garbage, probetest.Escapes:
			url = babble(t)
		default:
			return probetest.Subject{}, false
		}
		a := New(Options{})
		t.Cleanup(a.Close)
		return probetest.Subject{Asker: a, Probe: state.Probe{Name: "h", Kind: Kind, Query: "GET " + url}}, true
	})
}

func judge(t *testing.T, a *Asker, p state.Probe) state.Sample {
	t.Helper()
	r, err := a.Ask(t.Context(), p, time.Now())
	return probes.Judge(p, r, err, time.Now(), time.Now())
}

func TestVerdicts(t *testing.T) {
	zero := 0.0
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		p    state.Probe
		want state.Verdict
		text string
	}{
		"fine":              {status(204, ""), state.Probe{}, state.OK, "204 "},
		"expected":          {status(401, ""), state.Probe{Status: 401}, state.OK, "401 "},
		"not the expected":  {status(200, ""), state.Probe{Status: 401}, state.Crit, "want 401"},
		"server error":      {status(500, ""), state.Probe{}, state.Crit, "500 "},
		"slow":              {status(200, ""), state.Probe{Warn: &zero}, state.Warn, "200 "},
		"json":              {status(200, `{"a":[{"n":1234567890}],"ok":true}`), state.Probe{JSON: map[string]string{"a[0].n": "1234567890", "ok": "true"}}, state.OK, "200 "},
		"other json":        {status(200, `{"db":{"state":"down"}}`), state.Probe{JSON: map[string]string{"db.state": "up"}}, state.Crit, `db.state is "down", want "up"`},
		"json elsewhere":    {status(200, `{"db":{}}`), state.Probe{JSON: map[string]string{"db.state": "up"}}, state.Crit, "there is no db.state"},
		"no json":           {status(200, "<html>"), state.Probe{JSON: map[string]string{"x": "1"}}, state.Crit, "not JSON"},
		"text":              {status(200, "all fine"), state.Probe{Contains: "fine"}, state.OK, "200 "},
		"other text":        {status(200, "so so"), state.Probe{Contains: "fine"}, state.Crit, `does not contain "fine"`},
		"long":              {status(200, strings.Repeat("x", maxBody)), state.Probe{}, state.OK, "200 "},
		"long text":         {status(200, "fine"+strings.Repeat(" ", maxBody)), state.Probe{Contains: "fine"}, state.OK, "200 "},
		"text beyond":       {status(200, strings.Repeat(" ", maxBody)+"fine"), state.Probe{Contains: "fine"}, state.Error, "larger than 1 MiB"},
		"json beyond":       {status(200, `{"a":"`+strings.Repeat("x", maxBody)+`","b":1}`), state.Probe{JSON: map[string]string{"b": "1"}}, state.Error, "larger than 1 MiB"},
		"long and wrong":    {status(500, strings.Repeat("x", 2*maxBody)), state.Probe{Contains: "fine"}, state.Crit, "want 2xx"},
		"a proxy's word":    {status(407, ""), state.Probe{}, state.Error, "proxy"},
		"redirect":          {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }, state.Probe{}, state.Crit, "302 "},
		"nothing but a nap": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, state.Probe{}, state.Error, "got no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			a := New(Options{})
			defer a.Close()
			c.p.Query = probetest.Serve(t, c.h)
			if s := judge(t, a, c.p); s.Verdict != c.want || !strings.Contains(s.Text, c.text) {
				t.Fatalf("%+v", s)
			}
		})
	}
}

func TestRequestIsAsTheProbeSays(t *testing.T) {
	url := probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 100)
		n, _ := r.Body.Read(b)
		if r.Method != "POST" || r.URL.Path != "/api/login" || r.Header.Get("X-A") != "b" || r.Host != "shop" || string(b[:n]) != "{}" {
			http.Error(w, "odd", 400)
		}
	}))
	a := New(Options{})
	defer a.Close()
	p := state.Probe{Query: "GET " + url + "/api/login", Method: "POST", Headers: map[string]string{"X-A": "b", "host": "shop"}, Body: "{}"}
	if s := judge(t, a, p); s.Verdict != state.OK || s.Value <= 0 {
		t.Fatalf("%+v", s)
	}
}

func TestRedirectsWhereTold(t *testing.T) {
	url := probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/there", http.StatusFound)
		}
	}))
	a := New(Options{Redirects: true})
	defer a.Close()
	if s := judge(t, a, state.Probe{Query: url}); s.Verdict != state.OK {
		t.Fatalf("%+v", s)
	}
}

func TestRefusedIsNotCrit(t *testing.T) {
	a := New(Options{})
	s := judge(t, a, state.Probe{Query: strings.Replace(probetest.Nobody(t), "//", "//u:secret@", 1)})
	if s.Verdict != state.Error || !strings.Contains(s.Text, "connection refused") || strings.Contains(s.Text, "secret") {
		t.Fatalf("%+v", s)
	}
}

func TestCheck(t *testing.T) {
	var n atomic.Int32
	url := probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/base/flaky":
			if n.Add(1)%10 == 0 {
				http.Error(w, "nil\x1b[31m profile", 500)
			}
		case "/base/long":
			fmt.Fprint(w, strings.Repeat(" ", maxBody), "the end")
		case "/base/json":
			fmt.Fprint(w, `{"a":1}`)
		case "/base/search":
			fmt.Fprint(w, "q="+r.URL.RawQuery)
		}
	}))
	env := runbook.Environment{URL: url + "/base/"}
	for name, c := range map[string]struct {
		check runbook.Check
		env   runbook.Environment
		code  string
		text  string
	}{
		"once":     {runbook.Check{Name: "search", Path: "/search?x=1", Contains: "q=x=1"}, env, "", "200 "},
		"contains": {runbook.Check{Name: "search", Path: "search", Contains: "basket"}, env, "check-failed", `does not contain "basket"`},
		"json":     {runbook.Check{Name: "json", Path: "/json", JSON: map[string]string{"a": "2"}}, env, "check-failed", `a is "1", want "2"`},
		"many":     {runbook.Check{Name: "ok", Path: "/ok", Times: 30}, env, "", "30/30 passed"},
		"flaky":    {runbook.Check{Name: "login", Path: "/flaky", Times: 50}, env, "check-failed", "45/50 passed"},
		"why":      {runbook.Check{Name: "login", Path: "/flaky", Times: 50}, env, "check-failed", "500, want 2xx (nil profile)"},
		"nobody":   {runbook.Check{Name: "gone", Path: probetest.Nobody(t), Times: 1000}, env, "check-unasked", "0/1000 passed"},
		"long":     {runbook.Check{Name: "long", Path: "/long", Contains: "the end"}, env, "check-unasked", "larger than 1 MiB"},
		"no url":   {runbook.Check{Name: "x", Path: "/x"}, runbook.Environment{}, "check-unasked", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Check(t.Context(), c.env, c.check)
			if c.code == "" && err != nil || c.code != "" && !state.HasCode(err, c.code) || !strings.Contains(r.Text, c.text) {
				t.Fatalf("%+v, %v", r, err)
			}
			if c.text != "" && (len(r.Evidence) != 1 || !strings.Contains(r.Evidence[0].Value, r.Text)) {
				t.Fatalf("%+v", r.Evidence)
			}
			if r.Asked > max(r.Passed, 100) {
				t.Fatalf("asked %d times of somebody who is not there", r.Asked)
			}
		})
	}
}

func TestCheckStopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := probetest.Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() }))
	if _, err := Check(ctx, runbook.Environment{URL: url}, runbook.Check{Path: "/", Times: 20}); err == nil || ctx.Err() == nil {
		t.Fatal(err)
	}
}

func TestVersions(t *testing.T) {
	var n atomic.Int32
	url := probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch i := n.Add(1); {
		case i%4 == 0:
			w.Header().Set("X-Version", "v1.2.4")
			w.WriteHeader(500)
		case i%10 != 1:
			w.Header().Set("X-Version", "v1.2.3")
		}
	}))
	got, err := Traffic{}.Versions(t.Context(), runbook.Environment{URL: url}, 100)
	if err != nil || got["v1.2.4"] != 25 || got["v1.2.3"]+got[""] != 75 || got[""] == 0 {
		t.Fatal(got, err)
	}
	if _, err := (Traffic{}).Versions(t.Context(), runbook.Environment{URL: probetest.Nobody(t)}, 100); !state.HasCode(err, "traffic-unasked") {
		t.Fatal(err)
	}
	if _, err := (Traffic{}).Versions(t.Context(), runbook.Environment{}, 100); !state.HasCode(err, "traffic-unasked") {
		t.Fatal(err)
	}
}
