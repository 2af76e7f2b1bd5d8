package weight

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"mayday/probes"
	"mayday/probes/probetest"
	"mayday/state"
)

// metrics answers every query alike.
type metrics struct {
	r   probes.Reading
	err error
}

func (m metrics) Ask(context.Context, state.Probe, time.Time) (probes.Reading, error) {
	return m.r, m.err
}

const split = `{"apiVersion":"networking.istio.io/v1","kind":"VirtualService","metadata":{"name":"app","namespace":"shop"},"spec":{"http":[{"route":[
{"destination":{"host":"app-stable"},"weight":75},{"destination":{"host":"app-canary.shop.svc.cluster.local"},"weight":25}]}]}}`

func probe(to string) state.Probe {
	return state.Probe{Name: "weight", Kind: Kind, Query: "share", Want: []string{"VirtualService/app", to}}
}

func asker(t *testing.T, host string, seen probes.Asker) *Asker {
	t.Helper()
	a, err := New(&rest.Config{Host: host}, "shop", seen)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func said(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, text)
	}
}

func TestConformance(t *testing.T) {
	probetest.Run(t, func(t *testing.T, w probetest.World) (probetest.Subject, bool) {
		h, seen := said(split), metrics{r: probes.Reading{Value: 0.247}}
		switch w {
		case probetest.Well:
		case probetest.Empty:
			seen.r = probes.Reading{NoData: true}
		case probetest.NotANum:
			seen.r.Value = 0
			seen.r.NoData = true
		case probetest.Refuses:
			return probetest.Subject{Asker: asker(t, probetest.Nobody(t), seen), Probe: probe("app-canary")}, true
		default:
			if h = probetest.Web(w); h == nil {
				return probetest.Subject{}, false
			}
		}
		return probetest.Subject{Asker: asker(t, probetest.Serve(t, h), seen), Probe: probe("app-canary")}, true
	})
}

func TestWeights(t *testing.T) {
	http := func(rules string) string { return `{"kind":"X","metadata":{"name":"app"},"spec":{` + rules + `}}` }
	for name, c := range map[string]struct {
		route, to string
		seen      float64
		want      float64
		text      string
	}{
		"services": {split, "app-canary", 0.247, 0.003, "weight 25 (seen 24.7)"},
		"too much": {split, "app-canary", 0.6, 0.35, "weight 25 (seen 60)"},
		"subsets": {http(`"http":[{"route":[{"destination":{"host":"app","subset":"v1"},"weight":90},{"destination":{"host":"app","subset":"v2"},"weight":10}]}]`),
			"app/v2", 0, 0.1, "weight 10 (seen 0)"},
		"one destination": {http(`"http":[{"route":[{"destination":{"host":"app-canary"}}]}]`), "app-canary", 1, 0, "weight 100 (seen 100)"},
		"not named":       {http(`"http":[{"route":[{"destination":{"host":"app-stable"}}]}]`), "app-canary", 0.05, 0.05, "weight 0 (seen 5)"},
		"no weight":       {http(`"http":[{"route":[{"destination":{"host":"app-stable"},"weight":100},{"destination":{"host":"app-canary"}}]}]`), "app-canary", 0, 0, "weight 0 (seen 0)"},
		"gateway":         {http(`"rules":[{"backendRefs":[{"name":"app-stable","weight":3},{"name":"app-canary"}]}]`), "app-canary", 0.25, 0, "weight 25 (seen 25)"},
		"nothing goes":    {http(`"rules":[{"backendRefs":[{"name":"app-canary","weight":0}]}]`), "app-canary", 0, 0, "weight 0 (seen 0)"},
		"alike":           {http(`"rules":[{"backendRefs":[{"name":"app-stable"},{"name":"app-canary"}]},{"backendRefs":[{"name":"x"}]},{"backendRefs":[{"name":"app-stable","weight":7},{"name":"app-canary","weight":7}]}]`), "app-canary", 0.5, 0, "weight 50 (seen 50)"},
	} {
		a := asker(t, probetest.Serve(t, said(c.route)), metrics{r: probes.Reading{Value: c.seen}})
		r, err := a.Ask(t.Context(), probe(c.to), time.Now())
		if err != nil || r.Value < c.want-1e-9 || r.Value > c.want+1e-9 || r.Text != c.text {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	a := asker(t, probetest.Serve(t, said(http(`"rules":[{"backendRefs":[{"name":"app-canary"}]},{"backendRefs":[{"name":"a"},{"name":"app-canary"}]}]`))), metrics{})
	if _, err := a.Ask(t.Context(), probe("app-canary"), time.Now()); !state.HasCode(err, "weight-route") || !strings.Contains(err.Error(), "100 in one rule, 50 in another") {
		t.Error(err)
	}
	if _, err := a.Ask(t.Context(), state.Probe{Want: []string{"Ingress/app", "x"}}, time.Now()); err == nil || !strings.Contains(err.Error(), "neither") {
		t.Error(err)
	}
	partial := asker(t, probetest.Serve(t, said(split)), metrics{r: probes.Reading{Value: 0.25, Verdict: state.Warn, Text: "Prometheus warns: partial"}})
	if r, err := partial.Ask(t.Context(), probe("app-canary"), time.Now()); err != nil || r.Verdict != state.Warn || r.Text != "weight 25 (seen 25); Prometheus warns: partial" {
		t.Errorf("%+v, %v", r, err)
	}
}
