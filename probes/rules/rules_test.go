package rules

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"mayday/probes"
	"mayday/probes/probetest"
	"mayday/probes/prom"
	"mayday/state"
)

// source answers each expression by a vector.
type source struct {
	mu       sync.Mutex
	of       map[string]promql.Vector
	ask      func(ctx context.Context) error
	warning  string
	recorded []string
	read     []bool // whether rules read what was recorded, one by one
	newest   time.Time
	trouble  string
	begun    bool
}

func (s *source) Vector(ctx context.Context, expr string, _ time.Time) (promql.Vector, string, error) {
	if s.ask != nil {
		if err := s.ask(ctx); err != nil {
			return nil, "", err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[expr], s.warning, nil
}

func (s *source) Record(_ context.Context, _ time.Time, made promql.Vector, gone []labels.Labels, read bool) error {
	s.recorded, s.read = nil, append(s.read, read)
	for _, x := range made {
		s.recorded = append(s.recorded, x.Metric.String())
	}
	for _, ls := range gone {
		s.recorded = append(s.recorded, "gone "+ls.String())
	}
	return nil
}

func (s *source) Health(time.Time) (time.Time, string, bool) { return s.newest, s.trouble, s.begun }

func one(v float64, ls ...string) promql.Sample {
	return promql.Sample{Metric: labels.FromStrings(ls...), F: v}
}

// rig asks a file of rules at times of the test's choice.
type rig struct {
	t *testing.T
	*source
	a  *Asker
	p  state.Probe
	at time.Time
}

func newRig(t *testing.T, text string) *rig {
	t.Helper()
	zero := 0.0
	name := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &source{of: map[string]promql.Vector{}}
	return &rig{t, s, New(s), state.Probe{Name: "rules", Kind: Kind, Query: name, Crit: &zero}, time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)}
}

// after asks once more, later.
func (r *rig) after(d time.Duration, v state.Verdict, n float64, text string) state.Sample {
	r.t.Helper()
	r.at = r.at.Add(d)
	got, err := r.a.Ask(r.t.Context(), r.p, r.at)
	x := probes.Judge(r.p, got, err, r.at, r.at)
	if x.Verdict != v || x.Value != n || !strings.Contains(x.Text, text) {
		r.t.Fatalf("%+v, want %s %v %q", x, v, n, text)
	}
	return x
}

const simple = "groups:\n- name: g\n  rules:\n  - alert: Down\n    expr: down\n    for: 1m\n    keep_firing_for: 30s\n    labels: {severity: '{{ $labels.job }} {{ $value }}', at: '{{ externalURL }}'}\n"

func TestConformance(t *testing.T) {
	probetest.Run(t, func(t *testing.T, w probetest.World) (probetest.Subject, bool) {
		r := newRig(t, simple)
		switch w {
		case probetest.Well:
		case probetest.Hangs:
			r.ask = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		case probetest.Refuses:
			r.ask = func(context.Context) error { return errors.New("connection refused") }
		case probetest.Escapes, probetest.Fails:
			r.ask = func(context.Context) error { return errors.New("\x1b[31mred\x1b]0;t\x07\r\nx") }
		case probetest.Garbage:
			r.p.Query = "/dev/null/x"
		default:
			return probetest.Subject{}, false
		}
		return probetest.Subject{Asker: r.a, Probe: r.p}, true
	})
}

// The same with a Prometheus server behind the rules.
func TestConformanceOverAServer(t *testing.T) {
	probetest.Run(t, func(t *testing.T, w probetest.World) (probetest.Subject, bool) {
		h := probetest.Web(w)
		if w == probetest.Well {
			h = func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"job":"shop"},"value":[1,"1"]}]}}`)
			}
		}
		url := probetest.Nobody(t)
		switch {
		case h != nil:
			url = probetest.Serve(t, h)
		case w != probetest.Refuses:
			return probetest.Subject{}, false
		}
		server, err := prom.New(prom.Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		return probetest.Subject{Asker: New(server), Probe: newRig(t, simple).p}, true
	})
}

func TestForAndKeepFiring(t *testing.T) {
	r := newRig(t, simple)
	r.after(0, state.OK, 0, "")
	r.of["down"] = promql.Vector{one(2, "__name__", "up", "job", "shop"), one(3, "__name__", "up", "job", "pay")}
	r.after(15*time.Second, state.OK, 0, "pending: Down 2x")
	r.after(59*time.Second, state.OK, 0, "pending: Down 2x")
	r.after(time.Second, state.Crit, 2, "Down 2x")
	r.p.Pattern = `{severity="shop 2"}`
	r.after(time.Second, state.Crit, 1, "Down")
	r.p.Pattern = ""
	r.of["down"] = nil
	// It keeps firing, as on a server from the first evaluation at which it does not hold.
	r.after(10*time.Second, state.Crit, 2, "Down 2x")
	r.after(29*time.Second, state.Crit, 2, "Down 2x")
	r.after(time.Second, state.OK, 0, "")
	// Held for a while, not, and again: the time begins anew.
	r.of["down"] = promql.Vector{one(2, "job", "shop")}
	r.after(15*time.Second, state.OK, 0, "pending")
	r.of["down"] = nil
	r.after(15*time.Second, state.OK, 0, "")
	r.of["down"] = promql.Vector{one(2, "job", "shop")}
	r.after(45*time.Second, state.OK, 0, "pending")
	r.after(59*time.Second, state.OK, 0, "pending")
	r.after(time.Second, state.Crit, 1, "Down")
}

// What fires is a series too, which other rules may ask for.
func TestAlertsAreSeries(t *testing.T) {
	r := newRig(t, simple)
	r.of["down"] = promql.Vector{one(2, "job", "shop")}
	r.after(0, state.OK, 0, "pending")
	if s := strings.Join(r.recorded, " "); s != `{__name__="ALERTS", alertname="Down", alertstate="pending", job="shop", severity="shop 2"}` {
		t.Fatal(s)
	}
	r.after(time.Minute, state.Crit, 1, "Down")
	if s := strings.Join(r.recorded, " "); !strings.Contains(s, `alertstate="firing"`) || !strings.Contains(s, `gone {__name__="ALERTS", alertname="Down", alertstate="pending"`) {
		t.Fatal(s)
	}
	// Labels that a rule sets may make two series one; a server refuses that too.
	r = newRig(t, "groups:\n- name: g\n  rules:\n  - alert: Down\n    expr: down\n    labels: {instance: all}\n")
	r.of["down"] = promql.Vector{one(1, "instance", "a"), one(1, "instance", "b")}
	r.after(0, state.Error, 0, "two series have the labels")
}

func TestRecordingRules(t *testing.T) {
	r := newRig(t, "groups:\n- name: g\n  interval: 30s\n  rules:\n  - record: job:x\n    expr: x\n    labels: {team: shop}\n")
	r.of["x"] = promql.Vector{one(2, "__name__", "x", "job", "a"), one(3, "__name__", "x", "job", "b")}
	r.after(0, state.OK, 0, "")
	if s := strings.Join(r.recorded, " "); s != `{__name__="job:x", job="a", team="shop"} {__name__="job:x", job="b", team="shop"}` {
		t.Fatal(s)
	}
	r.of["x"] = promql.Vector{one(2, "__name__", "x", "job", "a")}
	r.recorded = nil
	r.after(29*time.Second, state.OK, 0, "")
	if r.recorded != nil {
		t.Fatalf("evaluated before its interval: %v", r.recorded)
	}
	r.after(time.Second, state.OK, 0, "")
	if s := strings.Join(r.recorded, " "); !strings.HasSuffix(s, `gone {__name__="job:x", job="b", team="shop"}`) {
		t.Fatal(s)
	}
	r.of["x"] = promql.Vector{one(2, "__name__", "x"), one(2, "__name__", "y")}
	r.after(time.Minute, state.Error, 0, "two series have the labels")
}

// What the rules of a file read of each other is known: by name, by pattern, and alerts.
func TestWhatIsReadIsKnown(t *testing.T) {
	r := newRig(t, `groups:
- name: g
  rules:
  - {record: job:a, expr: x}
  - {record: job:b, expr: x}
  - {record: job:c, expr: x}
  - {alert: A, expr: 'rate(job:a[1m]) > 1 or on() {__name__=~"job:[b]"}'}
`)
	r.after(0, state.OK, 0, "")
	if !slices.Equal(r.read, []bool{true, true, false, false}) {
		t.Fatal(r.read)
	}
	r = newRig(t, "groups:\n- name: g\n  rules:\n  - {alert: A, expr: x}\n  - {alert: B, expr: 'ALERTS{alertname=\"A\"}'}\n")
	r.after(0, state.OK, 0, "")
	if !slices.Equal(r.read, []bool{true, true}) {
		t.Fatal(r.read)
	}
}

// A server that does not evaluate a recording rule has none of its series: an alert that
// reads them is silent there whatever happens, which is no health.
func TestServerWithoutTheRecordingRules(t *testing.T) {
	for name, c := range map[string]struct {
		rules string
		has   string // the expression that the server answers, besides x
		want  state.Verdict
	}{
		"missing":  {"  - {record: job:x, expr: x}\n  - {alert: High, expr: job:x > 1}\n", "", state.Error},
		"loaded":   {"  - {record: job:x, expr: x}\n  - {alert: High, expr: job:x > 1}\n", `count({__name__="job:x"})`, state.OK},
		"not read": {"  - {record: job:x, expr: x}\n  - {alert: High, expr: x > 1}\n", "", state.OK},
		"alerts":   {"  - {alert: Low, expr: x}\n  - {alert: High, expr: 'ALERTS{alertname=\"Low\"} offset 5m'}\n", "", state.Error},
	} {
		t.Run(name, func(t *testing.T) {
			url := probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				series := ""
				if q := r.FormValue("query"); q == "x" || q == c.has {
					series = `{"metric":{"job":"shop"},"value":[1,"1"]}`
				}
				fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[%s]}}`, series)
			}))
			server, err := prom.New(prom.Options{URL: url})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Close)
			r := newRig(t, "groups:\n- name: g\n  rules:\n"+c.rules)
			r.a, r.p.Pattern = New(server), `{alertname="High"}`
			x := r.after(0, c.want, 0, "")
			if c.want == state.Error && !strings.Contains(x.Text, "Prometheus has no series {") {
				t.Errorf("%q", x.Text)
			}
		})
	}
}

// Silence of rules proves something only where their source sees everything.
func TestIgnoranceIsNotHealth(t *testing.T) {
	r := newRig(t, simple)
	r.begun = true
	got, err := r.a.Ask(t.Context(), r.p, r.at)
	if err != nil || !got.Pending {
		t.Fatalf("%+v, %v", got, err)
	}
	r.begun, r.trouble = false, "1 of 2 targets cannot be scraped"
	r.after(time.Second, state.Warn, 0, "1 of 2 targets")
	r.trouble, r.warning = "", "Prometheus warns: partial"
	r.after(time.Second, state.Warn, 0, "partial")
	r.warning = ""
	r.p.StaleAt, r.newest = state.Duration(15*time.Second), r.at.Add(-time.Minute)
	r.after(time.Second, state.Stale, 0, "")
}

func TestChangedFileIsLoadedAnew(t *testing.T) {
	r := newRig(t, simple)
	r.after(0, state.OK, 0, "")
	if err := os.WriteFile(r.p.Query, []byte("groups:\n- name: g\n  rules:\n  - alert: Other\n    expr: other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.of["other"] = promql.Vector{one(1)}
	r.after(time.Second, state.Crit, 1, "Other")
	if err := os.Remove(r.p.Query); err != nil {
		t.Fatal(err)
	}
	r.after(time.Second, state.Error, 0, "no such file")
}
