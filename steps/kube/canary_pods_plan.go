package kube

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/labels"

	"mayday/state"
	"mayday/steps"
)

func (k byPods) read(ctx context.Context, c *Cluster, order steps.Order, s *snapshot) (world, []state.Stage, error) {
	cn := order.Environment.Canary
	if cn.Stable == "" || cn.Canary == "" {
		return nil, nil, &state.Problem{What: "environment " + order.Environment.Name + " has no canary", Code: "config",
			Do: "Set canary: with stable, canary and service in mayday.yaml."}
	}
	weights, err := weightsOf(cn.Weights)
	if err != nil {
		return nil, nil, err
	}
	var stable, can planned
	var errs [2]error
	var wg sync.WaitGroup
	wg.Go(func() { stable, errs[0] = c.workloadFor(ctx, cn.Stable, order) })
	wg.Go(func() { can, errs[1] = c.workloadFor(ctx, cn.Canary, order) })
	wg.Wait()
	for _, err := range errs { // the same one each time, where both are wrong
		if err != nil {
			return nil, nil, err
		}
	}
	if err := mixable(stable, can); err != nil {
		return nil, nil, err
	}
	if err := c.mixes(ctx, cn.Service, stable, can); err != nil {
		return nil, nil, err
	}
	total := int32(cn.Replicas)
	if total == 0 {
		total = stable.Replicas
	}
	if total < stable.Replicas {
		return nil, nil, &state.Problem{What: fmt.Sprintf("canary.replicas is %d, %s has %d pods", total, stable.ref, stable.Replicas), Code: "config",
			Why: "both together would have fewer pods than there are now", Do: "Set canary.replicas to at least that, or leave it out."}
	}
	s.Stable, s.Canary = stable.workload, &can.workload
	s.Mix = &mix{Service: cn.Service, Shares: portions(weights, total)}
	return world{stable.ref: stable.live, can.ref: can.live}, k.stages(*s, order), nil
}

// mixable refuses numbers of pods that mayday cannot set, or that are in use.
func mixable(stable, can planned) error {
	for _, p := range []planned{stable, can} {
		if p.Autoscaler != "" {
			return &state.Problem{What: p.ref.String() + " is sized by HorizontalPodAutoscaler " + p.Autoscaler, Code: "autoscaler",
				Why: "without a mesh the numbers of pods are the weights, and it would change them", Do: "Use a canary with a route, or another strategy."}
		}
	}
	switch {
	case stable.Replicas == 0:
		return &state.Problem{What: stable.ref.String() + " has no pods", Code: "capacity", Why: "it is scaled to 0: there is no traffic to share", Do: "Scale it up, or use the strategy immediate."}
	case can.Replicas > 0:
		return &state.Problem{What: fmt.Sprintf("%s already has %d pods", can.ref, can.Replicas), Code: "canary-busy",
			Why: "it runs " + can.version() + ", and every pod of it gets its part of the traffic; another rollout is under way or was left half-way", Do: "Scale it to 0 first."}
	}
	return nil
}

// mixes checks that the Service leads to the pods of both Deployments and to no others:
// else their numbers would say nothing about the traffic.
func (c *Cluster) mixes(ctx context.Context, service string, stable, can planned) error {
	for _, p := range []planned{stable, can} {
		if err := c.selects(ctx, service, p, nil); err != nil {
			return err
		}
	}
	svc := ref{Resource: services, Kind: "Service", Namespace: stable.ref.Namespace, Name: service}
	live, err := c.get(ctx, svc)
	if err != nil {
		return problem(err, "cannot read "+svc.String())
	}
	others, err := c.neithers(ctx, selectorOf(live), stable.ref, can.ref)
	if err != nil {
		return problem(err, "cannot list the pods of "+svc.String())
	}
	if len(others) > 0 {
		return &state.Problem{What: svc.String() + " also leads to pods of neither Deployment", Code: "selector",
			Why: state.Clean(fmt.Sprintf("selector %s finds %s", labels.SelectorFromSet(selectorOf(live)), others[0])),
			Do:  "Give them other labels, or the Service a narrower selector."}
	}
	return nil
}

// neithers names the pods that a selector finds and neither Deployment made.
func (c *Cluster) neithers(ctx context.Context, selector map[string]string, a, b ref) ([]string, error) {
	notA, err := c.strangers(ctx, a, selector)
	if err != nil {
		return nil, err
	}
	notB, err := c.strangers(ctx, b, selector)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(notA, func(name string) bool { return !slices.Contains(notB, name) }), nil
}
