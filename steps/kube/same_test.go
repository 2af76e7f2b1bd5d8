package kube

import (
	"net/http"
	"testing"

	"mayday/state"
)

// TestSameCluster: a plan is for one cluster, whatever rights whoever made it had, and
// whoever carries it out has.
func TestSameCluster(t *testing.T) {
	const system = `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":"u-1"}}`
	const denied = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`
	open := func(code int, body string) *Cluster {
		return clusterOf(t, func(*http.Request) (int, string) { return code, body })
	}
	endpoint := open(http.StatusForbidden, denied).endpoint
	for _, c := range []struct {
		name, plan string
		mayRead    bool // namespaces, now
		forward    bool
		backward   bool
	}{
		{"the UID both times", "u-1", true, true, true},
		{"the server both times", endpoint, false, true, true},
		{"more rights than then", endpoint, true, true, true},
		{"fewer rights than then", "u-1", false, false, true},
		{"another UID", "u-2", true, false, false},
		{"another server, more rights", "server+ca:0011223344556677", true, false, false},
	} {
		for l, want := range map[lane]bool{forward: c.forward, backward: c.backward} {
			cl := open(http.StatusForbidden, denied)
			if c.mayRead {
				cl = open(http.StatusOK, system)
			}
			err := cl.same(t.Context(), state.Plan{ClusterUID: c.plan}, l)
			if (err == nil) != want || !want && !state.HasCode(err, "other-cluster") {
				t.Errorf("%s, lane %d: %v", c.name, l, err)
			}
		}
	}
}
