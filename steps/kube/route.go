package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"mayday/state"
	"mayday/state/runbook"
)

// route is what a plan remembers of the object that shares the traffic out.
type route struct {
	Kind       string `json:"kind"`        // VirtualService, HTTPRoute
	APIVersion string `json:"api_version"` // as the server knows it
	Name       string `json:"name"`
	Stable     side   `json:"stable"`
	Canary     side   `json:"canary"`
	Alone      int    `json:"alone,omitempty"` // rules that led to the canary alone, before
	// Deaf are the gateways that had not accepted the route before: they are not waited for.
	Deaf []string `json:"deaf,omitempty"`
}

// side is one of the two destinations.
type side struct {
	Service string `json:"service"`
	Subset  string `json:"subset,omitempty"`
	Weight  int    `json:"weight"` // before
}

// name is how a person tells the sides apart.
func (s side) name() string {
	if s.Subset != "" {
		return s.Subset
	}
	return s.Service
}

func (rt route) ref(ns string) ref {
	gv, _ := schema.ParseGroupVersion(rt.APIVersion)
	return ref{Resource: gv.WithResource(strings.ToLower(rt.Kind) + "s"), Kind: rt.Kind, Namespace: ns, Name: rt.Name}
}

// routeVersions are the versions tried, newest first.
var routeVersions = map[string][]string{
	"VirtualService":  {"networking.istio.io/v1", "networking.istio.io/v1beta1"},
	"HTTPRoute":       {"gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"},
	"DestinationRule": {"networking.istio.io/v1", "networking.istio.io/v1beta1"},
}

// find reads an object of a kind whose version the server decides.
func (c *Cluster) find(ctx context.Context, kind, ns, name string) (*unstructured.Unstructured, error) {
	var last error
	for _, v := range routeVersions[kind] {
		rt := route{Kind: kind, APIVersion: v, Name: name}
		u, err := c.get(ctx, rt.ref(ns))
		if err == nil {
			return u, nil
		}
		if last = err; !unsupported(err) {
			break
		}
	}
	return nil, problem(last, "cannot read "+kind+" "+name+" in namespace "+ns)
}

// routeFor reads the route for a plan and checks that it is one mayday can steer.
func (c *Cluster) routeFor(ctx context.Context, env runbook.Environment) (route, *unstructured.Unstructured, error) {
	cn, ns := env.Canary, namespace(env)
	kind, name, _ := strings.Cut(cn.Route, "/")
	if routeVersions[kind] == nil || kind == "DestinationRule" || name == "" {
		return route{}, nil, &state.Problem{What: "cannot steer traffic with route " + strconv.Quote(cn.Route), Code: "route",
			Do: "Set canary.route in mayday.yaml to VirtualService/<name> or HTTPRoute/<name>."}
	}
	u, err := c.find(ctx, kind, ns, name)
	if err != nil {
		return route{}, nil, err
	}
	rt := route{Kind: kind, APIVersion: u.GetAPIVersion(), Name: name,
		Stable: side{Service: or(cn.StableService, cn.Stable)}, Canary: side{Service: or(cn.CanaryService, cn.Canary)}}
	if s := cn.Subsets; s != nil {
		if kind != "VirtualService" {
			return rt, nil, &state.Problem{What: "an HTTPRoute has no subsets", Do: "Use two Services, or a VirtualService.", Code: "route"}
		}
		rt.Stable, rt.Canary = side{Service: s.Host, Subset: s.Stable}, side{Service: s.Host, Subset: s.Canary}
	}
	if hosts, _, _ := unstructured.NestedStringSlice(u.Object, "spec", "hosts"); cn.Host != "" && !slices.Contains(hosts, cn.Host) {
		return rt, nil, &state.Problem{What: rt.String() + " does not serve host " + cn.Host, Code: "route",
			Why: "it serves " + state.Clean(strings.Join(hosts, ", ")), Do: "Correct canary.host or canary.route in mayday.yaml."}
	}
	at, err := rt.places(u)
	if err != nil {
		return rt, nil, err
	}
	if err := at.steerable(rt); err != nil {
		return rt, nil, err
	}
	rt.Stable.Weight, rt.Canary.Weight = at.stable.weight, at.canary.weight
	_, rt.Alone = rt.pairs(u)
	rt.Deaf = slices.Sorted(maps.Keys(unaccepted(u)))
	return rt, u, nil
}

func (rt route) String() string { return rt.Kind + " " + rt.Name }

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// place is where a destination stands in the object.
type place struct {
	path   string // JSON pointer of the destination's entry
	weight int
	had    any // the weight field as it stands, nil where absent
}

// places are the two destinations of the one rule that has both.
type places struct {
	stable, canary place
	others         int // further destinations of the same rule
}

// shape says where a kind keeps its rules and destinations.
func (rt route) shape() (rules, destinations string) {
	if rt.Kind == "HTTPRoute" {
		return "rules", "backendRefs"
	}
	return "http", "route"
}

// places finds the destinations of the one rule that has both.
func (rt route) places(u *unstructured.Unstructured) (places, error) {
	found, _ := rt.pairs(u)
	what := fmt.Sprintf("%s has no single rule between %s and %s", rt, rt.Stable.name(), rt.Canary.name())
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return places{}, &state.Problem{What: what, Code: "route", Why: "no rule names both destinations",
			Do: "Give one rule both destinations, with weights 100 and 0."}
	}
	return places{}, &state.Problem{What: what, Code: "route", Why: fmt.Sprintf("%d rules name both destinations", len(found)),
		Do: "Merge them into one; mayday moves one pair of weights."}
}

// pairs finds every rule that has both destinations, by name, never by a remembered
// index: rules that are not ours may come and go. alone counts those that lead to the
// canary and not to stable.
func (rt route) pairs(u *unstructured.Unstructured) (found []places, alone int) {
	rulesField, destField := rt.shape()
	rules, _, _ := unstructured.NestedSlice(u.Object, "spec", rulesField)
	for i, rule := range rules {
		m, _ := rule.(map[string]any)
		list, _ := m[destField].([]any)
		var p places
		for j, entry := range list {
			e, _ := entry.(map[string]any)
			here := place{path: fmt.Sprintf("/spec/%s/%d/%s/%d", rulesField, i, destField, j), had: e["weight"]}
			here.weight = rt.weight(here.had, len(list))
			switch {
			case rt.is(e, rt.Stable, u.GetNamespace()) && p.stable.path == "":
				p.stable = here
			case rt.is(e, rt.Canary, u.GetNamespace()) && p.canary.path == "":
				p.canary = here
			default:
				p.others++
			}
		}
		switch {
		case p.canary.path == "":
		case p.stable.path != "":
			found = append(found, p)
		case p.canary.weight > 0:
			alone++
		}
	}
	return found, alone
}

// weight reads a weight field with its kind's default.
func (rt route) weight(v any, destinations int) int {
	switch n := v.(type) {
	case int64:
		return int(n)
	case float64:
		return int(n)
	}
	switch {
	case rt.Kind == "HTTPRoute":
		return 1
	case destinations == 1:
		return 100
	}
	return 0
}

// is reports whether an entry is that side.
func (rt route) is(entry map[string]any, s side, ns string) bool {
	if rt.Kind == "HTTPRoute" {
		other, _ := entry["namespace"].(string)
		kind, _ := entry["kind"].(string)
		return entry["name"] == s.Service && (other == "" || other == ns) && (kind == "" || kind == "Service")
	}
	d, _ := entry["destination"].(map[string]any)
	host, _ := d["host"].(string)
	subset, _ := d["subset"].(string)
	return sameHost(host, s.Service, ns) && subset == s.Subset
}

// sameHost reports whether a host names a Service of the namespace, short or in full.
func sameHost(host, service, ns string) bool {
	full := service
	if !strings.Contains(service, ".") {
		full = service + "." + ns + ".svc.cluster.local"
	}
	for _, h := range []string{host, host + "." + ns + ".svc.cluster.local", host + ".svc.cluster.local", host + ".cluster.local"} {
		if h == service || h == full {
			return true
		}
	}
	return false
}

// steerable refuses rules whose weights mayday does not understand.
func (p places) steerable(rt route) error {
	if p.others > 0 {
		return &state.Problem{What: rt.String() + " shares the traffic with a third destination", Code: "route",
			Do: "Leave only " + rt.Stable.name() + " and " + rt.Canary.name() + " in that rule."}
	}
	if sum := p.stable.weight + p.canary.weight; sum != 100 {
		return &state.Problem{What: fmt.Sprintf("the weights of %s sum to %d", rt, sum), Code: "route",
			Why: fmt.Sprintf("%s %d, %s %d; mayday counts in percent", rt.Stable.name(), p.stable.weight, rt.Canary.name(), p.canary.weight),
			Do:  "Set them to 100 and 0 first."}
	}
	return nil
}

// shareOps gives the new version's side share percent; the present share must be one of
// from.
func (rt route) shareOps(live *unstructured.Unstructured, share int, from ...int) ([]patchOp, error) {
	at, err := rt.places(live)
	if err != nil {
		return nil, err
	}
	if at.canary.weight == share && at.stable.weight == 100-share {
		return nil, nil
	}
	if !slices.Contains(from, at.canary.weight) || at.steerable(rt) != nil {
		return nil, &state.Problem{What: rt.String() + " has other weights than planned", Code: "drift",
			Why: fmt.Sprintf("%s %d, %s %d; somebody else changed them during the rollout", rt.Stable.name(), at.stable.weight, rt.Canary.name(), at.canary.weight),
			Do:  "Find out who, then roll back or plan again."}
	}
	return rt.weigh(live, at, share), nil
}

// backOps leads the traffic back to stable, whatever somebody made of the route during
// the rollout: in every rule that has both destinations, since the canary's pods go next.
// Where none has both any more and none leads to the canary alone, nothing goes there.
func (rt route) backOps(live *unstructured.Unstructured) ([]patchOp, error) {
	found, alone := rt.pairs(live)
	if len(found) == 0 && alone > rt.Alone {
		_, err := rt.places(live)
		return nil, err
	}
	var ops []patchOp
	for _, at := range found {
		if at.canary.weight != 0 || at.stable.weight != 100 {
			ops = append(ops, rt.weigh(live, at, 0)...)
		}
	}
	return ops, nil
}

// weigh gives a pair its weights.
func (rt route) weigh(live *unstructured.Unstructured, at places, share int) []patchOp {
	ops := append(rt.identity(live, at.stable, rt.Stable), rt.identity(live, at.canary, rt.Canary)...)
	ops = append(ops, set(at.stable.path+"/weight", at.stable.had, 100-share)...)
	return append(ops, set(at.canary.path+"/weight", at.canary.had, share)...)
}

// identity tests that the entry at the index still is that side.
func (rt route) identity(live *unstructured.Unstructured, p place, s side) []patchOp {
	if rt.Kind == "HTTPRoute" {
		return []patchOp{test(p.path+"/name", s.Service)}
	}
	parts := strings.Split(strings.TrimPrefix(p.path, "/"), "/") // spec http i route j
	rules, _, _ := unstructured.NestedSlice(live.Object, parts[0], parts[1])
	i, _ := strconv.Atoi(parts[2])
	j, _ := strconv.Atoi(parts[4])
	entry := rules[i].(map[string]any)[parts[3]].([]any)[j].(map[string]any)
	d := entry["destination"].(map[string]any)
	ops := []patchOp{test(p.path+"/destination/host", d["host"])}
	if s.Subset != "" {
		ops = append(ops, test(p.path+"/destination/subset", s.Subset))
	}
	return ops
}

// home implements carrier.
func (rt route) home(live *unstructured.Unstructured) (string, error) {
	found, alone := rt.pairs(live)
	var texts []string
	for _, at := range found {
		texts = append(texts, fmt.Sprintf("weights %d/%d", at.stable.weight, at.canary.weight))
		if at.canary.weight != 0 {
			return "", &state.Problem{What: rt.String() + " still sends traffic to the canary", Why: rt.shares(live), Code: "traffic",
				Do: "Set the weights to 100 and 0 by hand."}
		}
	}
	switch {
	case len(found) > 0:
		return strings.Join(texts, " and "), nil
	case alone > rt.Alone:
		_, err := rt.places(live)
		return "", err
	}
	return rt.Canary.name() + " is no destination of " + rt.String() + " any more", nil
}

// shares says how the traffic is shared out, for a person.
func (rt route) shares(live *unstructured.Unstructured) string {
	found, _ := rt.pairs(live)
	var texts []string
	for _, at := range found {
		texts = append(texts, fmt.Sprintf("%s %d, %s %d", rt.Stable.name(), at.stable.weight, rt.Canary.name(), at.canary.weight))
	}
	if len(texts) == 0 {
		return "no rule names both destinations"
	}
	return strings.Join(texts, "; ")
}
