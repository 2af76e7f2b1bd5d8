package kube

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
	"mayday/steps"
)

// immediate gives one Deployment the new image in one write, without a gate before
// the last pod has it.
//
// How fast and how safely the pods are exchanged stays what the Deployment's own
// update strategy says, also where that is Recreate. mayday could allow the
// controller more, with maxUnavailable 100 % or maxSurge 100 % in the same write and
// the old values afterwards, and does not: the first ends every pod that works
// before one of the new ones has proved that it starts, so that a bad image becomes
// an outage; the second doubles memory and connections to the database while
// production is ill already, and stands still where the quota is full. A strategy
// left alone needs nothing put back either, wherever mayday dies.
//
// Stages: 0 changes the image; 1 closes the fence, once the gate behind 0 has held.
type immediate struct{}

func (immediate) subject(s snapshot) string { return "Deployment " + s.Stable.Deployment }

func (immediate) read(ctx context.Context, c *Cluster, order steps.Order, s *snapshot) (world, []state.Stage, error) {
	m := order.Environment.Immediate
	if m == nil || m.Deployment == "" {
		return nil, nil, &state.Problem{What: "environment " + order.Environment.Name + " has no immediate strategy", Code: "config",
			Do: "Set immediate: with deployment in mayday.yaml."}
	}
	p, err := c.workloadFor(ctx, m.Deployment, order)
	if err != nil {
		return nil, nil, err
	}
	s.Stable = p.workload
	return world{p.ref: p.live}, []state.Stage{
		{Name: "all pods take " + order.Version, Weight: 100, Hold: m.Hold},
		{Name: p.Deployment + " released", Weight: 100},
	}, nil
}

func (immediate) changes(s snapshot, ns string, i int) []change {
	o := deployment(ns, s.Stable.Deployment)
	if i == 0 {
		return []change{{id: "0.image", title: o.Name + " takes " + tagOf(s.Stable.Next) + ", all pods", ref: o,
			build: func(live *unstructured.Unstructured) ([]patchOp, error) {
				return s.Stable.imageOps(live, s.Stable.Next, s.Stable.Live)
			}}}
	}
	return []change{{id: "1.close", title: "fence of " + o.String() + " closed", ref: o, closes: true}}
}

func (immediate) effect(ctx context.Context, r *run, i int) (steps.Effect, error) {
	o := deployment(r.plan.Namespace, r.s.Stable.Deployment)
	text, err := r.c.await(ctx, o, r.out, r.complete(o))
	if err != nil || i > 0 {
		return steps.Effect{Text: text}, err
	}
	seen, what, err := r.observe(ctx, 100, func(context.Context) error { return nil })
	return steps.Effect{Text: what + ", " + text, Seen: seen}, err
}

func (immediate) deepest(snapshot) int { return 0 }

func (immediate) undo(s snapshot, ns string) []undo {
	o := deployment(ns, s.Stable.Deployment)
	return []undo{{
		change:  change{id: opStable, title: o.Name + " back to " + s.Stable.version() + " (" + s.Stable.Set + ")", ref: o},
		of:      &s.Stable,
		restore: s.Stable.revert,
		after:   func(ctx context.Context, r *run) (string, error) { return r.restored(ctx, o) },
	}}
}
