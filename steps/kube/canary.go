package kube

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
	"mayday/steps"
)

// canary gives a second Deployment the new version, moves the traffic to it weight
// by weight, then gives the stable Deployment the new version behind its back,
// returns the traffic and sends the canary to sleep. It ends as it began, except
// for the stable Deployment's image. Stages: 0 makes the canary ready, 1 to n are
// the weights, then "stable takes", "weights return", "canary to 0".
type canary struct{}

func (canary) subject(s snapshot) string { return s.Route.String() }

// stageKind says what stage i does.
func (canary) stageKind(s snapshot, i int) (kind string, weight int) {
	n := len(s.Weights)
	switch {
	case i == 0:
		return "ready", 0
	case i <= n:
		return "weight", s.Weights[i-1]
	case i == n+1:
		return "take", 100
	case i == n+2:
		return "return", 100
	}
	return "sleep", 100
}

func (k canary) stages(s snapshot, order steps.Order) []state.Stage {
	var out []state.Stage
	for i := range len(s.Weights) + 4 {
		kind, weight := k.stageKind(s, i)
		st := state.Stage{Weight: weight}
		switch kind {
		case "ready":
			st.Name = "canary ready"
		case "weight":
			st.Name, st.Hold = fmt.Sprintf("canary %d %%", weight), order.Environment.Canary.Hold
		case "take":
			st.Name = "stable takes " + order.Version
		case "return":
			st.Name = "weights return"
		case "sleep":
			st.Name = fmt.Sprintf("canary to %d", s.Canary.Replicas)
		}
		out = append(out, st)
	}
	return out
}

func (canary) changes(s snapshot, ns string, i int) []change {
	rt, stable, can := s.Route.ref(ns), deployment(ns, s.Stable.Deployment), deployment(ns, s.Canary.Deployment)
	id := func(what string) string { return fmt.Sprintf("%d.%s", i, what) }
	kind, weight := canary{}.stageKind(s, i)
	switch kind {
	case "ready":
		return []change{
			{id: id("route"), title: "fence of " + rt.String(), ref: rt},
			{id: id("stable"), title: "fence of " + stable.String(), ref: stable},
			{id: id("canary"), title: fmt.Sprintf("%s takes %s, %d pods", can.Name, tagOf(s.Canary.Next), s.Pods), ref: can, build: s.wakeCanary},
		}
	case "weight":
		before := 0
		if i > 1 {
			before = s.Weights[i-2]
		}
		return []change{s.share(id("route"), rt, before, weight)}
	case "take":
		return []change{{id: id("stable"), title: fmt.Sprintf("%s takes %s", stable.Name, tagOf(s.Stable.Next)), ref: stable,
			build: func(live *unstructured.Unstructured) ([]patchOp, error) {
				return s.Stable.imageOps(live, s.Stable.Next, s.Stable.Live)
			}}}
	case "return":
		return []change{s.share(id("route"), rt, 100, 0)}
	}
	return []change{
		{id: id("canary"), title: fmt.Sprintf("%s to %d pods", can.Name, s.Canary.Replicas), ref: can, closes: true,
			build: func(live *unstructured.Unstructured) ([]patchOp, error) {
				return s.Canary.replicaOps(live, s.Canary.Replicas, false), nil
			}},
		{id: id("stable"), title: "fence of " + stable.String() + " closed", ref: stable, closes: true},
		{id: id("route"), title: "fence of " + rt.String() + " closed", ref: rt, closes: true},
	}
}

// wakeCanary gives the canary Deployment the new image and its pods.
func (s snapshot) wakeCanary(live *unstructured.Unstructured) ([]patchOp, error) {
	ops, err := s.Canary.imageOps(live, s.Canary.Next, s.Canary.Live)
	return append(ops, s.Canary.replicaOps(live, s.Pods, true)...), err
}

// share moves the canary's weight from one percentage to another.
func (s snapshot) share(id string, r ref, from, to int) change {
	return change{id: id, ref: r, title: fmt.Sprintf("weight of %s %d → %d", s.Route.Canary.name(), from, to),
		build: func(live *unstructured.Unstructured) ([]patchOp, error) { return s.Route.shareOps(live, to, from, to) }}
}

func (k canary) effect(ctx context.Context, r *run, i int) (steps.Effect, error) {
	stable, can := deployment(r.plan.Namespace, r.s.Stable.Deployment), deployment(r.plan.Namespace, r.s.Canary.Deployment)
	kind, weight := k.stageKind(r.s, i)
	switch kind {
	case "ready":
		text, err := r.c.await(ctx, can, r.out, r.complete(can))
		return steps.Effect{Text: text}, err
	case "take":
		text, err := r.c.await(ctx, stable, r.out, r.complete(stable))
		return steps.Effect{Text: text}, err
	case "sleep":
		return k.asleep(ctx, r, can)
	}
	serving, side := can, weight
	if kind == "return" {
		serving, side = stable, 0
	}
	if err := r.accepted(ctx, side); err != nil {
		return steps.Effect{}, err
	}
	text, err := r.c.await(ctx, serving, r.out, r.complete(serving))
	if err != nil {
		return steps.Effect{}, err
	}
	seen, what, err := r.observe(ctx, weight, func(ctx context.Context) error { return r.stillAt(ctx, side) })
	return steps.Effect{Text: what + ", " + text, Seen: seen}, err
}

// asleep waits until the canary is back at its old size.
func (canary) asleep(ctx context.Context, r *run, can ref) (steps.Effect, error) {
	progress := r.progress(can, stillPatience)
	text, err := r.c.await(ctx, can, r.out, func(v view) (bool, string, error) {
		if r.s.Canary.Autoscaler != "" {
			return true, "pods left to HorizontalPodAutoscaler " + r.s.Canary.Autoscaler, nil
		}
		text := fmt.Sprintf("%s %d pods", can.Name, v.d.Status.Replicas)
		if err := r.owned(can, v.d.Annotations); err != nil {
			return false, text, err
		}
		if v.heard() && v.d.Status.Replicas == r.s.Canary.Replicas {
			return true, text, nil
		}
		return false, text, progress(text)
	})
	return steps.Effect{Text: text}, err
}

// complete is the condition for await: the rollout is complete by kubectl's rule,
// the fence is still ours, and no pod is in trouble.
func (r *run) complete(o ref) func(view) (bool, string, error) {
	return func(v view) (bool, string, error) {
		if err := r.owned(o, v.d.Annotations); err != nil {
			return false, "", err
		}
		if ok, text, err := rolledOut(v.d, v.asked); ok || err != nil {
			return ok, text, err
		}
		if err := r.halted(o, v); err != nil {
			return false, "", err
		}
		if v.heard() {
			if err := trouble(v.d, v.current, v.pods); err != nil {
				return false, "", err
			}
		}
		_, text, err := rolledOut(v.d, v.asked)
		return false, text, err
	}
}

// halted fails once somebody paused the Deployment: nothing it waits for would come.
func (r *run) halted(o ref, v view) error {
	if !v.d.Spec.Paused {
		return nil
	}
	return &state.Problem{What: o.String() + " is paused", Code: "paused", Why: "somebody paused it during the rollout",
		Do: "Find out who and why, then: " + o.kubectl(r.c.Context, "rollout resume") + ", and go on; or roll back."}
}

// owned fails with steps.ErrFenced once somebody else owns an object that this
// run is waiting for.
func (r *run) owned(o ref, annotations map[string]string) error {
	return admit(o, annotations, r.fence, r.lane, r.c.Context)
}

// stillAt fails when the route was taken over or its weights moved.
func (r *run) stillAt(ctx context.Context, share int) error {
	o := r.s.Route.ref(r.plan.Namespace)
	live, err := r.c.get(ctx, o)
	if err != nil {
		if transient(err) {
			return nil
		}
		return problem(err, "cannot read "+o.String())
	}
	if err := r.owned(o, live.GetAnnotations()); err != nil {
		return err
	}
	_, err = r.s.Route.shareOps(live, share, share)
	return err
}
