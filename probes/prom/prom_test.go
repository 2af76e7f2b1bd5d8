package prom

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/config"

	"mayday/probes/probetest"
	"mayday/state"
)

// vector is a server's answer with these series.
func vector(series ...string) string {
	return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(series, ",") + `]}}`
}

func one(labels, v string) string {
	return fmt.Sprintf(`{"metric":{%s},"value":[1700000000,%q]}`, labels, v)
}

func answer(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, body)
	}
}

func ask(t *testing.T, h http.Handler) *Asker {
	t.Helper()
	a, err := New(Options{URL: probetest.Serve(t, h)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

var query = state.Probe{Name: "error rate", Kind: Kind, Query: "errors"}

func handler(w probetest.World) http.HandlerFunc {
	switch w {
	case probetest.Well, probetest.Refuses:
		return answer(vector(one(``, "0.25")))
	case probetest.Empty:
		return answer(vector())
	case probetest.NotANum:
		return answer(vector(one(``, "NaN")))
	case probetest.Two:
		return answer(vector(one(`"v":"first"`, "1"), one(`"v":"second"`, "2")))
	}
	return probetest.Web(w)
}

// subject is an asker in front of a server.
func subject(t *testing.T, w probetest.World, h http.HandlerFunc) (probetest.Subject, bool) {
	if w == probetest.Refuses {
		a, err := New(Options{URL: probetest.Nobody(t)})
		return probetest.Subject{Asker: a, Probe: query}, err == nil
	}
	return probetest.Subject{Asker: ask(t, h), Probe: query}, true
}

func TestConformance(t *testing.T) {
	probetest.Run(t, func(t *testing.T, w probetest.World) (probetest.Subject, bool) {
		return subject(t, w, handler(w))
	})
}

// remembers answers a range by one value, at its beginning, of each of the series.
func remembers(v string, series ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var all []string
		for _, labels := range series {
			all = append(all, fmt.Sprintf(`{"metric":{%s},"values":[[%s,%q]]}`, labels, r.FormValue("start"), v))
		}
		answer(`{"status":"success","data":{"resultType":"matrix","result":[`+strings.Join(all, ",")+`]}}`)(w, r)
	}
}

func TestPastConformance(t *testing.T) {
	probetest.RunPast(t, func(t *testing.T, w probetest.World) (probetest.Subject, bool) {
		h := probetest.Web(w)
		switch w {
		case probetest.Well:
			h = remembers("0.25", "")
		case probetest.Empty:
			h = remembers("")
		case probetest.NotANum:
			h = remembers("NaN", "")
		case probetest.Two:
			h = remembers("1", `"v":"first"`, `"v":"second"`)
		}
		return subject(t, w, h)
	})
}

// The past of a probe that keeps a label apart has its parts.
func TestPastOfLabels(t *testing.T) {
	a := ask(t, remembers("0.5", `"version":"v1"`, `"version":"v2"`))
	p := query
	p.By, p.Old = "version", "v1"
	now := time.Now()
	got, err := a.Past(t.Context(), p, now.Add(-time.Hour), now, time.Minute)
	if err != nil || len(got) != 1 || got[0].Value != 0.5 || len(got[0].Parts) != 2 || got[0].Parts[1] != (state.Part{Label: "v2", Value: 0.5}) {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestAsksAtTheIncidentTime(t *testing.T) {
	at := time.Date(2026, 11, 22, 3, 14, 15, 500e6, time.UTC)
	a := ask(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ := strconv.ParseFloat(r.FormValue("time"), 64)
		if want := float64(at.UnixMilli()) / 1000; got != want || r.FormValue("query") != "errors" || r.FormValue("timeout") == "" {
			t.Errorf("asked %v", r.Form)
		}
		answer(`{"status":"success","data":{"resultType":"scalar","result":[1,"42"]},"warnings":["partial\u001b[2J"]}`)(w, r)
	}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := a.Ask(ctx, query, at)
	if err != nil || r.Value != 42 || r.Verdict != state.Warn || !strings.Contains(r.Text, "partial") {
		t.Fatalf("%+v, %v", r, err)
	}
}

// What is asked about now is answered for now by the server's clock: by ours, if it is
// slow, the answer would be the good one of minutes ago, and look fresh.
func TestClocksMayDiffer(t *testing.T) {
	const ahead = 3 * time.Minute
	broke := time.Now().Add(ahead - time.Minute) // by the server's clock, which is ahead
	a := ask(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := time.Now().Add(ahead)
		if s := r.FormValue("time"); s != "" {
			sec, err := strconv.ParseFloat(s, 64)
			if err != nil {
				t.Error(err)
			}
			at = time.UnixMilli(int64(1000 * sec))
		}
		v := "0.25"
		if at.After(broke) {
			v = "0.75"
		}
		answer(vector(one(``, v)))(w, r)
	}))
	for at, want := range map[time.Time]float64{time.Now(): 0.75, time.Now().Add(-time.Hour): 0.25} {
		if r, err := a.Ask(t.Context(), query, at); err != nil || r.Value != want || !r.At.IsZero() {
			t.Errorf("asked about %v ago: %+v, %v, want %v", time.Since(at), r, err, want)
		}
		v, _, err := a.Vector(t.Context(), "errors", at)
		if err != nil || len(v) != 1 || v[0].F != want {
			t.Errorf("series of %v ago: %v, %v, want %v", time.Since(at), v, err, want)
		}
	}
}

func TestSeriesAreToldApart(t *testing.T) {
	a := ask(t, answer(vector(one(`"version":"v1","job":"shop"`, "0.25"), one(`"version":"v2","job":"shop"`, "0.5"))))
	p := query
	p.By, p.New, p.Old = "version", "v2", "v1"
	r, err := a.Ask(t.Context(), p, time.Now())
	if err != nil || r.Value != 0.5 || len(r.Parts) != 2 || r.Parts[0] != (state.Part{Label: "v1", Value: 0.25}) {
		t.Fatalf("%+v %v", r, err)
	}
	if _, err := a.Ask(t.Context(), query, time.Now()); !state.HasCode(err, "many-series") {
		t.Fatal(err)
	}
}

func TestTimeoutIsOneThatServersRead(t *testing.T) {
	for d, want := range map[time.Duration]string{9999993671: "10s", 10 * time.Second: "10s", 1500 * time.Millisecond: "2s", time.Second: "1s",
		299999999: "300ms", -5: "1ms", 61*time.Second + 1: "1m2s"} {
		if got := whole(d).String(); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		h    http.HandlerFunc
		code string
		want string
	}{
		"page": {handler(probetest.Page), "prometheus-html", `titled "Sign in now"`},
		"query": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			fmt.Fprint(w, `{"status":"error","errorType":"bad_data","error":"parse error: unexpected end"}`)
		}, "prometheus-query", "unexpected end"},
		"error":  {handler(probetest.Fails), "prometheus-error", "no such luck"},
		"series": {handler(probetest.Two), "many-series", `{v="first"} and {v="second"}`},
		"large": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for range 2 * maxBody / 1024 {
				if _, err := w.Write(make([]byte, 1024)); err != nil {
					return
				}
			}
		}, "prometheus-large", "larger than 4 MiB"},
		"garbage": {handler(probetest.Garbage), "prometheus-garbage", "is not Prometheus"},
		"matrix":  {answer(`{"status":"success","data":{"resultType":"matrix","result":[]}}`), "", "not a number"},
	} {
		t.Run(name, func(t *testing.T) {
			a := ask(t, c.h)
			_, err := a.Ask(t.Context(), query, time.Now())
			if err == nil || !strings.Contains(err.Error(), c.want) || c.code != "" && !state.HasCode(err, c.code) {
				t.Fatalf("%v", err)
			}
		})
	}
}

func TestSecretsStayOut(t *testing.T) {
	a, err := New(Options{URL: strings.Replace(probetest.Nobody(t), "//", "//bob:hunter2@", 1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = a.Ask(t.Context(), query, time.Now()); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Fatal(err)
	}
}

func TestHTTPConfigIsUsed(t *testing.T) {
	cfg := config.DefaultHTTPClientConfig
	cfg.Authorization = &config.Authorization{Type: "Bearer", Credentials: "token"}
	url := probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer token" {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		handler(probetest.Well)(w, r)
	}))
	a, err := New(Options{URL: url, HTTP: &cfg})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if r, err := a.Ask(t.Context(), query, time.Now()); err != nil || r.Value != 0.25 {
		t.Fatal(r, err)
	}
}

func TestBadURL(t *testing.T) {
	for _, u := range []string{"", "prometheus:9090", "ftp://x", "http://", "http://a b"} {
		if _, err := New(Options{URL: u}); !state.HasCode(err, "prometheus-url") {
			t.Errorf("%q: %v", u, err)
		}
	}
}

func TestThePastEndsWithItsContext(t *testing.T) {
	a := ask(t, handler(probetest.Hangs))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	now := time.Now()
	if _, err := a.Past(ctx, query, now.Add(-time.Hour), now, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}
