package kube

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"mayday/state"
	"mayday/steps"
)

// clusterOf gives a connection whose requests are answered by f, without any network;
// code 0 is no answer at all.
func clusterOf(t *testing.T, f func(*http.Request) (code int, body string)) *Cluster {
	t.Helper()
	c, err := New(&rest.Config{Host: "http://cluster.test", Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		code, body := f(r)
		if code == 0 {
			return nil, errors.New("connection refused")
		}
		return &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestOutage: forward work outlasts an API server that is away for half a minute, a
// rollback one that is away for most of one. Neither tries for ever.
func TestOutage(t *testing.T) {
	for _, c := range []struct {
		name string
		l    lane
		away time.Duration
		done bool
	}{
		{"forward, started again", forward, 35 * time.Second, true}, {"forward, gone", forward, time.Hour, false},
		{"rollback, started again", backward, 55 * time.Second, true}, {"rollback, gone", backward, time.Hour, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				written := false
				cl := clusterOf(t, func(r *http.Request) (int, string) {
					if time.Since(began) < c.away {
						return 0, ""
					}
					written = written || r.Method == http.MethodPatch
					return http.StatusOK, `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"app","namespace":"shop"},"spec":{"replicas":1}}`
				})
				ch := change{title: "two pods", ref: deployment("shop", "app"), build: func(*unstructured.Unstructured) ([]patchOp, error) {
					return set("/spec/replicas", int64(1), int64(2)), nil
				}}
				wrote, err := cl.write(t.Context(), ch, steps.Fence{Incident: "INC-1"}, c.l)
				if wrote != c.done || written != c.done || c.done != (err == nil) || !c.done && !state.HasCode(err, "unreachable") {
					t.Errorf("wrote %t, %v", wrote, err)
				}
				if took := time.Since(began); took > backwardPatience+time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// TestTrafficWaitsForPods: a rollback leads the traffic first only where it knows that
// there are pods to take it.
func TestTrafficWaitsForPods(t *testing.T) {
	const trafficFirst, podsFirst = "traffic stable canary", "stable traffic canary"
	const away, denied = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"ServiceUnavailable","code":503}`,
		`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`
	const d, none = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"app-stable","namespace":"shop"},`, `"spec":{"replicas":0},"status":{}}`
	for _, c := range []struct {
		name, order string
		guarded     bool
		answers     func(n int) (code int, body string)
	}{
		{"pods", trafficFirst, false, func(int) (int, string) {
			return http.StatusOK, d + `"spec":{"replicas":3},"status":{"readyReplicas":3}}`
		}},
		{"none", podsFirst, true, func(int) (int, string) { return http.StatusOK, d + none }},
		{"none, after a moment", podsFirst, true, func(n int) (int, string) {
			if n == 1 {
				return http.StatusServiceUnavailable, away
			}
			return http.StatusOK, d + none
		}},
		{"pods, after a moment", trafficFirst, false, func(n int) (int, string) {
			if n == 1 {
				return 0, ""
			}
			return http.StatusOK, d + `"spec":{"replicas":3},"status":{"readyReplicas":3}}`
		}},
		{"never known", podsFirst, true, func(int) (int, string) { return http.StatusServiceUnavailable, away }},
		{"not to be known", podsFirst, true, func(int) (int, string) { return http.StatusForbidden, denied }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := 0
				stable := workload{Deployment: "app-stable", Replicas: 3, Ready: 3}
				s := snapshot{Stable: stable, Canary: &workload{Deployment: "app-canary"}, Route: &route{Kind: "VirtualService", Name: "app"}}
				r := &run{s: s, plan: state.Plan{Namespace: "shop"}, c: clusterOf(t, func(*http.Request) (int, string) { n++; return c.answers(n) })}
				var order []string
				guarded := false
				for _, u := range r.order(t.Context(), canary{}.undo(s, "shop")) {
					order = append(order, u.id)
					guarded = guarded || u.id == opTraffic && u.may != nil
				}
				if got := strings.Join(order, " "); got != c.order || guarded != c.guarded {
					t.Errorf("%s, guarded %t, want %s", got, guarded, c.order)
				}
			})
		})
	}
}
