package prom

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mayday/probes"
	"mayday/probes/probetest"
	"mayday/state"
)

const (
	firing = `{"status":"success","data":{"alerts":[
{"labels":{"alertname":"HighErrorRate","severity":"critical","instance":"a"},"annotations":{},"state":"firing","activeAt":"2026-11-22T03:00:00Z","value":"1e+00"},
{"labels":{"alertname":"HighErrorRate","severity":"critical","instance":"b"},"annotations":{},"state":"firing","activeAt":"2026-11-22T03:00:00Z","value":"1e+00"},
{"labels":{"alertname":"DiskFull","severity":"warning"},"annotations":{},"state":"firing","activeAt":"2026-11-22T03:00:00Z","value":"1e+00"},
{"labels":{"alertname":"Slow\u001b[31m","severity":"critical"},"annotations":{},"state":"pending","activeAt":"2026-11-22T03:00:00Z","value":"1e+00"}]}}`
	active = `[{"labels":{"alertname":"HighErrorRate","severity":"critical"},"status":{"state":"active","silencedBy":[],"inhibitedBy":[]},"receivers":[{"name":"x"}]},
{"labels":{"alertname":"DiskFull","severity":"warning"},"status":{"state":"active"}},
{"labels":{"alertname":"Known","severity":"critical"},"status":{"state":"suppressed"}}]`
)

func TestAlertsConformance(t *testing.T) {
	for kind, well := range map[string]string{KindAlerts: firing, KindAlertmanager: active} {
		t.Run(kind, func(t *testing.T) {
			probetest.Run(t, func(t *testing.T, w probetest.World) (probetest.Subject, bool) {
				var url string
				switch w {
				case probetest.Well:
					url = probetest.Serve(t, answer(well))
				case probetest.Refuses:
					url = probetest.Nobody(t)
				case probetest.Hangs, probetest.Drips, probetest.Fails, probetest.Escapes, probetest.Page, probetest.Garbage:
					url = probetest.Serve(t, handler(w))
				default:
					return probetest.Subject{}, false
				}
				return probetest.Subject{Asker: alertAsker(t, kind, url), Probe: state.Probe{Name: "alerts", Kind: kind, Query: "{}"}}, true
			})
		})
	}
}

func alertAsker(t *testing.T, kind, url string) probes.Asker {
	t.Helper()
	if kind == KindAlertmanager {
		a, err := NewAlertmanager(Options{URL: url + "/alerts"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.Close)
		return a
	}
	a, err := New(Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return Alerts{a}
}

func TestAlertsAreCounted(t *testing.T) {
	zero := 0.0
	for _, c := range []struct {
		kind, body, match string
		value             float64
		want              state.Verdict
		text              string
	}{
		{KindAlerts, firing, "{}", 3, state.Crit, "HighErrorRate 2x, DiskFull; pending: Slow"},
		{KindAlerts, firing, `{severity="critical"}`, 2, state.Crit, "HighErrorRate 2x; pending: Slow"},
		{KindAlerts, firing, `{severity=~"critical",alertname=~"Slow.*"}`, 0, state.OK, "pending: Slow"},
		{KindAlerts, firing, `{severity="x"}`, 0, state.OK, ""},
		{KindAlerts, firing, `{severity=`, 0, state.Error, "does not select alerts"},
		{KindAlertmanager, active, "{}", 2, state.Crit, "DiskFull, HighErrorRate"},
		{KindAlertmanager, active, `{severity="critical"}`, 1, state.Crit, "HighErrorRate"},
		{KindAlertmanager, "[]", `{}`, 0, state.OK, ""},
	} {
		url := probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/api/v1/rules" {
				fmt.Fprint(w, rule("X", "", "ok", ""))
				return
			}
			want := "/api/v1/alerts"
			if c.kind == KindAlertmanager {
				want = "/alerts/api/v2/alerts"
			}
			if r.URL.Path != want || c.kind == KindAlertmanager && r.FormValue("silenced") != "false" {
				t.Errorf("asked %s", r.URL)
			}
			fmt.Fprint(w, c.body)
		}))
		p, now := state.Probe{Name: "alerts", Query: c.match, Crit: &zero}, time.Now()
		r, err := alertAsker(t, c.kind, url).Ask(t.Context(), p, now)
		if x := probes.Judge(p, r, err, now, now); x.Verdict != c.want || x.Value != c.value || !strings.HasPrefix(x.Text, c.text) && !strings.Contains(x.Text, "does not select") || strings.Contains(x.Text, "\x1b") {
			t.Errorf("%s %s: %+v", c.kind, c.match, x)
		}
	}
}

// rule is a server's answer about its rules: one.
func rule(name, severity, health, lastError string) string {
	return fmt.Sprintf(`{"status":"success","data":{"groups":[{"name":"g","file":"f","interval":60,"rules":[
{"type":"recording","name":"job:x","query":"x","health":"ok","lastEvaluation":"2026-11-22T03:00:00Z"},
{"type":"alerting","name":%q,"query":"x","labels":{%s},"alerts":[],"annotations":{},"health":%q,"lastError":"%s","state":"inactive","lastEvaluation":"2026-11-22T03:00:00Z"}]}]}}`,
		name, severity, health, lastError)
}

// No alert is health only where a rule that works could have raised one.
func TestSilenceProvesLittle(t *testing.T) {
	const none = `{"status":"success","data":{"alerts":[]}}`
	zero := 0.0
	for name, c := range map[string]struct {
		match, rules, alerts string
		want                 state.Verdict
		text                 string
	}{
		"works":         {`{severity="critical"}`, rule("Down", `"severity":"critical"`, "ok", ""), none, state.OK, ""},
		"by series":     {`{team="shop"}`, rule("Down", `"severity":"critical"`, "ok", ""), none, state.OK, ""},
		"by template":   {`{severity="critical"}`, rule("Down", `"severity":"{{ $labels.s }}"`, "ok", ""), none, state.OK, ""},
		"no rules":      {`{}`, `{"status":"success","data":{"groups":[]}}`, none, state.NoData, "no rule that Prometheus has loaded can raise such an alert"},
		"mistyped":      {`{severity="criticla"}`, rule("Down", `"severity":"critical"`, "ok", ""), none, state.NoData, "no rule"},
		"another name":  {`{alertname="Up"}`, rule("Down", "", "ok", ""), none, state.NoData, "no rule"},
		"fails":         {`{}`, rule("Down", "", "err", "many-to-many\\u001b[31m"), none, state.Warn, "1 of 1 rules were not evaluated, such as Down: many-to-many"},
		"not yet":       {`{}`, rule("Down", "", "unknown", ""), none, state.Warn, "1 of 1 rules were not evaluated, such as Down"},
		"another fails": {`{severity="critical"}`, rule("Slow", `"severity":"warning"`, "err", "x"), firing, state.Crit, "HighErrorRate 2x; pending: Slow"},
		"does not tell": {`{}`, "", none, state.OK, ""},
		"page":          {`{}`, "<!doctype html><title>Sign in</title>", none, state.OK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			url := probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/api/v1/alerts":
					fmt.Fprint(w, c.alerts)
				case c.rules == "":
					http.NotFound(w, r)
				default:
					asked++
					fmt.Fprint(w, c.rules)
				}
			}))
			p, now, a := state.Probe{Name: "alerts", Query: c.match, Crit: &zero}, time.Now(), alertAsker(t, KindAlerts, url)
			for range 3 {
				r, err := a.Ask(t.Context(), p, now)
				if x := probes.Judge(p, r, err, now, now); x.Verdict != c.want || !strings.HasPrefix(x.Text, c.text) || strings.Contains(x.Text, "\x1b") {
					t.Fatalf("%+v", x)
				}
			}
			if asked > 1 {
				t.Errorf("the rules were asked for %d times in a row", asked)
			}
		})
	}
}

// Rules that the server takes for ever to list keep nobody from its alerts.
func TestRulesThatHang(t *testing.T) {
	url := probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/rules" {
			<-r.Context().Done()
			return
		}
		fmt.Fprint(w, firing)
	}))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if r, err := alertAsker(t, KindAlerts, url).Ask(ctx, state.Probe{Query: "{}"}, time.Now()); err != nil || r.Value != 3 {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestAlertmanagerSaysWhatToDo(t *testing.T) {
	url := probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no org id", http.StatusUnauthorized) }))
	_, err := alertAsker(t, KindAlertmanager, url).Ask(t.Context(), state.Probe{Query: "{}"}, time.Now())
	if !state.HasCode(err, "prometheus-denied") || !strings.Contains(err.Error(), "Alertmanager at "+url) || !strings.Contains(err.Error(), "alertmanager.http") {
		t.Fatal(err)
	}
}
