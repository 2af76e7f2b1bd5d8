package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
)

// acceptPatience is how long a gateway may take to accept a changed HTTPRoute.
const acceptPatience = 20 * time.Second

// accepted waits until the gateways that report on an HTTPRoute have accepted the
// present generation. A route nobody reports on is let pass: traffic will tell.
func (r *run) accepted(ctx context.Context, share int) error {
	if r.s.Route.Kind != "HTTPRoute" {
		return nil
	}
	o, give := r.s.Route.ref(r.plan.Namespace), time.Now().Add(acceptPatience)
	for {
		live, err := r.c.get(ctx, o)
		if err != nil && !transient(err) {
			return problem(err, "cannot read "+o.String())
		}
		why := "the API server does not answer"
		if err == nil {
			if err := r.owned(o, live.GetAnnotations()); err != nil {
				return err
			}
			if why = r.s.Route.awaited(live); why == "" {
				return nil
			}
		}
		if time.Now().After(give) {
			return &state.Problem{What: fmt.Sprintf("%s at %d %% is not accepted", o, share), Why: why, Code: "traffic",
				Do: "Look: " + o.kubectl(r.c.Context, "describe")}
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// awaited says which gateway of those that accepted the route before has not accepted
// its present generation, "" if none.
func (rt route) awaited(live *unstructured.Unstructured) string {
	not := unaccepted(live)
	for _, parent := range slices.Sorted(maps.Keys(not)) {
		if !slices.Contains(rt.Deaf, parent) {
			return not[parent]
		}
	}
	return ""
}

// unaccepted gives the parents of a route that have not accepted its present generation,
// with the reason. A parent counts as having accepted it as soon as one controller says
// so: of one that was replaced or taken away, its last word stays in the status for ever.
// What the status says of no parent of the spec is as old, and of no parent that nobody
// reports on anything can be known.
func unaccepted(live *unstructured.Unstructured) map[string]string {
	refs, _, _ := unstructured.NestedSlice(live.Object, "spec", "parentRefs")
	var own []string
	for _, p := range refs {
		own = append(own, parentOf(p, live.GetNamespace()))
	}
	parents, _, _ := unstructured.NestedSlice(live.Object, "status", "parents")
	not, accepted := map[string]string{}, map[string]bool{}
	for _, p := range parents {
		m, _ := p.(map[string]any)
		parent := parentOf(m["parentRef"], live.GetNamespace())
		if !slices.Contains(own, parent) {
			continue
		}
		conditions, _ := m["conditions"].([]any)
		for _, c := range conditions {
			cond, _ := c.(map[string]any)
			if cond["type"] != "Accepted" {
				continue
			}
			seen, _ := cond["observedGeneration"].(int64)
			if cond["status"] == "True" && seen >= live.GetGeneration() {
				accepted[parent] = true
				continue
			}
			not[parent] = state.Clean(fmt.Sprintf("controller %v: Accepted is %v at generation %d of %d: %v", m["controllerName"], cond["status"],
				seen, live.GetGeneration(), cond["message"]))
		}
	}
	maps.DeleteFunc(not, func(parent, _ string) bool { return accepted[parent] })
	return not
}

// parentOf is what a parentRef names, with the Gateway API's defaults filled in.
func parentOf(v any, ns string) string {
	ref, _ := v.(map[string]any)
	full := map[string]any{"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": ns}
	maps.Copy(full, ref)
	raw, _ := json.Marshal(full) // of JSON values: it cannot fail; keys come sorted
	return string(raw)
}
