package prom

import (
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

func TestAlertmanagerSaysWhatToDo(t *testing.T) {
	url := probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no org id", http.StatusUnauthorized) }))
	_, err := alertAsker(t, KindAlertmanager, url).Ask(t.Context(), state.Probe{Query: "{}"}, time.Now())
	if !state.HasCode(err, "prometheus-denied") || !strings.Contains(err.Error(), "Alertmanager at "+url) || !strings.Contains(err.Error(), "alertmanager.http") {
		t.Fatal(err)
	}
}
