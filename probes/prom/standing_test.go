package prom

import (
	"net/http"
	"testing"
	"time"

	"mayday/state"
)

const loaded = `{"status":"success","data":{"groups":[{"name":"g","file":"f","interval":60,"rules":[
{"type":"alerting","name":"HighErrorRate","query":"x > 1","duration":60,"labels":{},"annotations":{},"alerts":[],"health":"ok","state":"inactive"},
{"type":"recording","name":"x","query":"1","health":"ok"}]}]}}`

// TestReachAndRules: a server that answers, with its alerting rules alone counted, and
// one that does neither.
func TestReachAndRules(t *testing.T) {
	a := ask(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/rules" {
			answer(loaded)(w, r)
			return
		}
		answer(vector(one(``, "1")))(w, r)
	}))
	if err := a.Reach(t.Context(), time.Now()); err != nil {
		t.Error(err)
	}
	if n, err := a.Rules(t.Context()); n != 1 || err != nil {
		t.Errorf("%d rules, %v", n, err)
	}
	bad := ask(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusUnauthorized) }))
	if err := bad.Reach(t.Context(), time.Now()); !state.HasCode(err, "prometheus-denied") {
		t.Errorf("%v", err)
	}
	if _, err := bad.Rules(t.Context()); !state.HasCode(err, "prometheus-denied") {
		t.Errorf("%v", err)
	}
}
