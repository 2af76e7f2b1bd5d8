package kube

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"mayday/state"
	"mayday/steps"
)

func (k canary) read(ctx context.Context, c *Cluster, order steps.Order, s *snapshot) (world, []state.Stage, error) {
	env := order.Environment
	if env.Canary == nil || env.Canary.Stable == "" || env.Canary.Canary == "" {
		return nil, nil, &state.Problem{What: "environment " + env.Name + " has no canary", Code: "config",
			Do: "Set canary: with stable, canary and route or service in mayday.yaml."}
	}
	var err error
	if s.Weights, err = weightsOf(env.Canary.Weights); err != nil {
		return nil, nil, err
	}
	var stable, can planned
	var rt route
	var rtLive *unstructured.Unstructured
	var errs [3]error
	var wg sync.WaitGroup
	wg.Go(func() { stable, errs[0] = c.workloadFor(ctx, env.Canary.Stable, order) })
	wg.Go(func() { can, errs[1] = c.workloadFor(ctx, env.Canary.Canary, order) })
	wg.Go(func() { rt, rtLive, errs[2] = c.routeFor(ctx, env) })
	wg.Wait()
	for _, err := range errs { // the same one each time, where several are wrong
		if err != nil {
			return nil, nil, err
		}
	}
	if rt.Canary.Weight > 0 {
		return nil, nil, &state.Problem{What: fmt.Sprintf("%s already receives %d %% of the traffic", rt.Canary.name(), rt.Canary.Weight),
			Why: "it runs " + can.version() + "; another rollout is under way or was left half-way", Code: "canary-busy",
			Do: "Finish or undo that one first: weights 100 and 0."}
	}
	if err := c.destinations(ctx, rt, stable, can); err != nil {
		return nil, nil, err
	}
	s.Stable, s.Canary, s.Route, s.Pods = stable.workload, &can.workload, &rt, int32(env.Canary.Replicas)
	if s.Pods == 0 {
		s.Pods = max(stable.Replicas, 1)
	}
	w := world{stable.ref: stable.live, can.ref: can.live, rt.ref(namespace(env)): rtLive}
	return w, k.stages(*s, order), nil
}

// weightsOf checks the weights and ends them with 100: the stable Deployment must
// not be changed while it still serves.
func weightsOf(list []int) ([]int, error) {
	if len(list) == 0 {
		list = []int{10, 25, 50, 75, 100}
	}
	out := slices.Clone(list)
	for i, w := range out {
		if w < 1 || w > 100 || i > 0 && w <= out[i-1] {
			return nil, &state.Problem{What: "canary.weights must rise from 1 to 100", Why: "they are " + fmt.Sprint(list), Code: "config",
				Do: "Write for example weights: [10, 25, 50, 75, 100]."}
		}
	}
	if out[len(out)-1] != 100 {
		out = append(out, 100)
	}
	return out, nil
}

// destinations checks that each side of the route really leads to its own pods.
func (c *Cluster) destinations(ctx context.Context, rt route, stable, can planned) error {
	if rt.Stable.Subset != "" {
		return c.subsets(ctx, rt, stable, can)
	}
	if err := c.selects(ctx, rt.Stable.Service, stable, &can); err != nil {
		return err
	}
	return c.selects(ctx, rt.Canary.Service, can, &stable)
}

// selects checks that a Service selects the pods of one Deployment and, unless nil,
// not those of another.
func (c *Cluster) selects(ctx context.Context, service string, own planned, other *planned) error {
	svc := ref{Resource: services, Kind: "Service", Namespace: own.ref.Namespace, Name: service}
	u, err := c.get(ctx, svc)
	if err != nil {
		return problem(err, "cannot read "+svc.String()+" in namespace "+svc.Namespace)
	}
	s, err := typed[corev1.Service](u)
	if err != nil {
		return err
	}
	sel := labels.SelectorFromSet(s.Spec.Selector)
	p := &state.Problem{Code: "selector", Do: "Correct it: " + svc.kubectl(c.Context, "edit")}
	switch {
	case len(s.Spec.Selector) == 0:
		p.What, p.Why = svc.String()+" has no selector", "mayday cannot know which pods it leads to"
	case !sel.Matches(labels.Set(own.d.Spec.Template.Labels)):
		p.What, p.Why = svc.String()+" does not select the pods of "+own.ref.String(), "selector "+sel.String()
	case other != nil && sel.Matches(labels.Set(other.d.Spec.Template.Labels)):
		p.What, p.Why = svc.String()+" selects the pods of "+other.ref.String()+" too", "selector "+sel.String()+": weights would mean nothing"
	default:
		return nil
	}
	p.Why = state.Clean(p.Why)
	return p
}

// subsets checks the DestinationRule of a host with subsets.
func (c *Cluster) subsets(ctx context.Context, rt route, stable, can planned) error {
	if err := c.selects(ctx, rt.Stable.Service, stable, nil); err != nil {
		return err
	}
	if err := c.selects(ctx, rt.Canary.Service, can, nil); err != nil {
		return err
	}
	rule, err := c.ruleFor(ctx, rt, stable.ref.Namespace)
	if err != nil {
		return err
	}
	list, _, _ := unstructured.NestedSlice(rule.Object, "spec", "subsets")
	for _, side := range []struct {
		name string
		own  planned
	}{{rt.Stable.Subset, stable}, {rt.Canary.Subset, can}} {
		found := false
		for _, entry := range list {
			m, _ := entry.(map[string]any)
			if m["name"] != side.name {
				continue
			}
			want, _, _ := unstructured.NestedStringMap(m, "labels")
			found = labels.SelectorFromSet(want).Matches(labels.Set(side.own.d.Spec.Template.Labels))
		}
		if !found {
			return &state.Problem{What: "DestinationRule " + rule.GetName() + " has no subset " + strconv.Quote(side.name) + " of " + side.own.ref.String(),
				Code: "subsets", Do: "Define both subsets, with labels that only their Deployment's pods carry."}
		}
	}
	return nil
}

// ruleFor finds the DestinationRule of the route's host.
func (c *Cluster) ruleFor(ctx context.Context, rt route, ns string) (*unstructured.Unstructured, error) {
	missing := &state.Problem{What: "no DestinationRule defines the subsets of host " + rt.Stable.Service, Code: "subsets",
		Do: "Create one with both subsets, or use two Services instead of canary.subsets."}
	for _, v := range routeVersions["DestinationRule"] {
		gvr := route{Kind: "DestinationRule", APIVersion: v}.ref(ns).Resource
		items, err := c.list(ctx, gvr, ns, "")
		if err != nil {
			if unsupported(err) {
				continue
			}
			return nil, problem(err, "cannot list DestinationRules")
		}
		for i := range items {
			host, _, _ := unstructured.NestedString(items[i].Object, "spec", "host")
			if sameHost(host, rt.Stable.Service, ns) {
				return &items[i], nil
			}
		}
		return nil, missing
	}
	return nil, missing
}
