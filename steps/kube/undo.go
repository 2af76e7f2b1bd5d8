package kube

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
)

// Operations of a rollback, as named in a plan's inverse.
const (
	opTraffic = "traffic"
	opStable  = "stable"
	opCanary  = "canary"
	opVerify  = "verify"
)

// undo is one operation of a rollback: a change, and what to wait for around it.
type undo struct {
	change
	// of is the workload whose named revision restore needs, nil where the change
	// needs none. Where the revision is gone, restore gets a nil template.
	of      *workload
	restore func(live *unstructured.Unstructured, template map[string]any) ([]patchOp, error)
	// source gives build from what is read in the cluster first; nil: build is there.
	source func(ctx context.Context, c *Cluster) (func(live *unstructured.Unstructured) ([]patchOp, error), error)
	// may refuses the operation where the world would make it do harm; nil: never.
	may func(ctx context.Context, r *run) error
	// before and after wait for the effect; nil: nothing to wait for. after's text
	// is what was seen.
	before func(ctx context.Context, r *run)
	after  func(ctx context.Context, r *run) (string, error)
}

// resolve gives the change with the template it needs: the one that is known, else read.
// The ReplicaSet that keeps the template does not change, so it is read once, outside
// the retries.
func (u undo) resolve(ctx context.Context, c *Cluster, ns string, known map[string]any) (change, error) {
	ch := u.change
	if u.source != nil {
		var err error
		ch.build, err = u.source(ctx, c)
		return ch, err
	}
	if u.of == nil {
		return ch, nil
	}
	t := known
	if t == nil {
		var err error
		if t, err = c.template(ctx, ns, *u.of); err != nil && !state.HasCode(err, "no-target") {
			return ch, err
		}
	}
	if ch.command = u.of.undo(c, ch.ref); t == nil {
		ch.command = ch.ref.kubectl(c.Context, "set image") + " " + u.of.Container + "=" + quote(u.of.Image)
	}
	ch.build = func(live *unstructured.Unstructured) ([]patchOp, error) { return u.restore(live, t) }
	return ch, nil
}

// revert puts the workload's named revision back; without its template, at least
// the image.
func (w workload) revert(live *unstructured.Unstructured, template map[string]any) ([]patchOp, error) {
	var ops []patchOp
	var err error
	if template == nil {
		ops, err = w.imageOps(live, w.Image)
	} else {
		ops, err = w.templateOps(live, template)
	}
	if paused, _, _ := unstructured.NestedBool(live.Object, "spec", "paused"); paused {
		ops = append(ops, set("/spec/paused", true, nil)...) // nothing would come back
	}
	return ops, err
}

// revertWithPods is revert, for a Deployment that the traffic is led back to: it needs
// the pods it had.
func (w workload) revertWithPods(live *unstructured.Unstructured, template map[string]any) ([]patchOp, error) {
	ops, err := w.revert(live, template)
	return append(ops, w.atLeast(live)...), err
}

// deepest is "stable takes": all traffic on the canary, both Deployments changed.
func (canary) deepest(s snapshot) int { return len(s.Weights) + 1 }

func (canary) undo(s snapshot, ns string) []undo {
	rt, stable, can := s.Route.ref(ns), deployment(ns, s.Stable.Deployment), deployment(ns, s.Canary.Deployment)
	return []undo{
		{change: change{id: opTraffic, title: "traffic to " + s.Route.Stable.name() + ": weights 100/0", ref: rt,
			build: s.Route.backOps}},
		{change: change{id: opStable, title: stable.Name + " back to " + s.Stable.version() + " (" + s.Stable.Set + ")", ref: stable},
			of: &s.Stable, restore: s.Stable.revertWithPods,
			after: func(ctx context.Context, r *run) (string, error) { return r.restored(ctx, stable) }},
		{change: change{id: opCanary, title: can.Name + " as it was", ref: can,
			build: func(live *unstructured.Unstructured) ([]patchOp, error) {
				ops, err := s.Canary.imageOps(live, s.Canary.Live)
				return append(ops, s.Canary.replicaOps(live, s.Canary.Replicas, false)...), err
			}},
			may: func(ctx context.Context, r *run) error { return r.unused(ctx) },
			// Connections to the canary end by themselves before its pods do.
			before: func(ctx context.Context, r *run) { _, _ = r.answering(ctx) }},
	}
}
