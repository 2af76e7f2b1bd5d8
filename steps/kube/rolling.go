package kube

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
	"mayday/steps"
)

// rolling replaces the pods of one Deployment batch by batch.
//
// A Deployment has no partition, and pausing it between batches is a race: if
// mayday dies between "resume" and "pause", the controller goes on alone, without
// gates. So the batches are laid into the Deployment itself, in the write that
// changes the image: minReadySeconds so long that the controller never counts a
// new pod as available, no progress deadline, maxSurge of one batch and
// maxUnavailable as the partition. With batch size b, batch k sets maxUnavailable
// to (k-1)·b: the controller may end that many old pods, may have b pods too many,
// and so makes exactly k·b new ones and stops, whoever lives or dies. New pods
// serve as soon as they are ready (Services do not look at minReadySeconds), so
// the number of ready pods never falls below the wanted one. The last stage puts
// the four fields back, and the new pods, long ready, are available at once.
//
// Outside production, and where one batch is all pods, there is one stage: the
// Deployment's own rolling update.
type rolling struct{}

// batches is what a plan remembers of a Deployment's own way to roll.
type batches struct {
	Size     int32 `json:"size"`
	Count    int   `json:"count"`              // 0: the whole Deployment in one stage
	Strategy any   `json:"strategy,omitempty"` // as the object had them, nil where absent
	MinReady any   `json:"min_ready,omitempty"`
	Deadline any   `json:"deadline,omitempty"`
}

// The two fields that hold the controller back. The API server wants the progress
// deadline above minReadySeconds; its largest value means none.
const (
	neverAvailable = math.MaxInt32 - 1
	noDeadline     = math.MaxInt32
)

func (rolling) subject(s snapshot) string { return "Deployment " + s.Stable.Deployment }

func (k rolling) read(ctx context.Context, c *Cluster, order steps.Order, s *snapshot) (world, []state.Stage, error) {
	env := order.Environment
	if env.Rolling == nil || env.Rolling.Deployment == "" {
		return nil, nil, &state.Problem{What: "environment " + env.Name + " has no rolling strategy", Code: "config",
			Do: "Set rolling: with deployment in mayday.yaml."}
	}
	p, err := c.workloadFor(ctx, env.Rolling.Deployment, order)
	if err != nil {
		return nil, nil, err
	}
	if p.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return nil, nil, &state.Problem{What: p.ref.String() + " is recreated, not rolled", Code: "recreate",
			Why: "its strategy is Recreate: all pods end before new ones start", Do: "Use another strategy, or set RollingUpdate on it."}
	}
	b := &batches{Size: int32(max(env.Rolling.Batch, 1))}
	spec, _, _ := unstructured.NestedMap(p.live.Object, "spec")
	b.Strategy, b.MinReady, b.Deadline = spec["strategy"], spec["minReadySeconds"], spec["progressDeadlineSeconds"]
	if env.Production && b.Size < p.Replicas {
		b.Count = int((p.Replicas + b.Size - 1) / b.Size)
	}
	s.Stable, s.Batches = p.workload, b
	return world{p.ref: p.live}, k.stages(*s, order), nil
}

func (rolling) stages(s snapshot, order steps.Order) []state.Stage {
	b := s.Batches
	if b.Count == 0 {
		return []state.Stage{{Name: "all pods take " + order.Version, Weight: 100}}
	}
	var out []state.Stage
	for k := 1; k <= b.Count; k++ {
		fresh := min(int32(k)*b.Size, s.Stable.Replicas)
		share := 100 * fresh / (s.Stable.Replicas - b.kept(k) + fresh)
		out = append(out, state.Stage{Name: fmt.Sprintf("batch %d of %d", k, b.Count), Weight: int(share), Hold: order.Environment.Rolling.Hold})
	}
	return append(out, state.Stage{Name: "old pods end", Weight: 100})
}

// kept is maxUnavailable at batch k: how many old pods may have ended.
func (b *batches) kept(k int) int32 { return int32(k-1) * b.Size }

func (rolling) changes(s snapshot, ns string, i int) []change {
	o, b := deployment(ns, s.Stable.Deployment), s.Batches
	takes := fmt.Sprintf("%s takes %s", o.Name, tagOf(s.Stable.Next))
	switch {
	case b.Count == 0:
		return []change{{id: "0.image", title: takes, ref: o, build: func(live *unstructured.Unstructured) ([]patchOp, error) {
			return s.Stable.imageOps(live, s.Stable.Next, s.Stable.Live)
		}}}
	case i == 0:
		return []change{{id: "0.image", title: fmt.Sprintf("%s, %d pods a batch", takes, b.Size), ref: o,
			build: func(live *unstructured.Unstructured) ([]patchOp, error) {
				ops, err := s.Stable.imageOps(live, s.Stable.Next, s.Stable.Live)
				return append(ops, b.hold(live, 1)...), err
			}}}
	case i < b.Count:
		return []change{{id: fmt.Sprintf("%d.batch", i), title: fmt.Sprintf("%d more pods of %s", b.Size, o.Name), ref: o,
			build: func(live *unstructured.Unstructured) ([]patchOp, error) {
				ops, err := s.Stable.imageOps(live, s.Stable.Next, s.Stable.Next)
				return append(ops, b.hold(live, i+1)...), err
			}}}
	}
	return []change{{id: fmt.Sprintf("%d.free", i), title: o.Name + " rolls by its own strategy again", ref: o,
		build: func(live *unstructured.Unstructured) ([]patchOp, error) {
			ops, err := s.Stable.imageOps(live, s.Stable.Next, s.Stable.Next)
			return append(ops, b.free(live)...), err
		}}}
}

// hold lets the controller go as far as batch k.
func (b *batches) hold(live *unstructured.Unstructured, k int) []patchOp {
	return fieldOps(live, map[string]any{
		"strategy": map[string]any{"type": "RollingUpdate",
			"rollingUpdate": map[string]any{"maxSurge": int64(b.Size), "maxUnavailable": int64(b.kept(k))}},
		"minReadySeconds": int64(neverAvailable), "progressDeadlineSeconds": int64(noDeadline),
	})
}

// free puts the Deployment's own way to roll back.
func (b *batches) free(live *unstructured.Unstructured) []patchOp {
	return fieldOps(live, map[string]any{"strategy": b.Strategy, "minReadySeconds": b.MinReady, "progressDeadlineSeconds": b.Deadline})
}

// fieldOps makes fields of spec what they should be, nil meaning absent.
func fieldOps(live *unstructured.Unstructured, want map[string]any) []patchOp {
	spec, _, _ := unstructured.NestedMap(live.Object, "spec")
	var ops []patchOp
	for _, f := range slices.Sorted(maps.Keys(want)) {
		if !equality.Semantic.DeepEqual(number(spec[f]), number(want[f])) {
			ops = append(ops, set("/spec/"+f, spec[f], want[f])...)
		}
	}
	return ops
}

// number makes the numbers of a snapshot, which went through JSON, comparable
// with those of a live object.
func number(v any) any {
	switch n := v.(type) {
	case float64:
		return int64(n)
	case map[string]any:
		out := map[string]any{}
		for k, e := range n {
			out[k] = number(e)
		}
		return out
	}
	return v
}

func (k rolling) effect(ctx context.Context, r *run, i int) (steps.Effect, error) {
	o, b := deployment(r.plan.Namespace, r.s.Stable.Deployment), r.s.Batches
	last := b.Count == 0 || i == b.Count
	enough := r.complete(o)
	if !last {
		enough = r.batch(o, i+1)
	}
	text, err := r.c.await(ctx, o, r.out, enough)
	if err != nil {
		return steps.Effect{}, err
	}
	e := steps.Effect{Text: text}
	if last {
		var what string
		if e.Seen, what, err = r.observe(ctx, 100, func(context.Context) error { return nil }); err != nil {
			return e, err
		}
		e.Text = what + ", " + text
		// Only now is the incident finished with the object.
		err = r.apply(ctx, []change{{id: "close", title: "fence of " + o.String() + " closed", ref: o, closes: true}})
		return e, err
	}
	return r.glance(ctx, text)
}

// glance looks once which share of the requests the new version answers, and holds
// nobody up: which pods answer more than others is not known.
func (r *run) glance(ctx context.Context, text string) (steps.Effect, error) {
	e := steps.Effect{Text: text}
	if r.unseen() == "" {
		counts, err := r.traffic.Versions(ctx, r.env(), samples)
		if share, named, _ := tally(counts, r.plan.Version); err == nil && named > 0 {
			e.Seen, e.Text = share, fmt.Sprintf("seen %.1f %%, %s", share, text)
		}
	}
	return e, ctx.Err()
}

// batch is the condition for await: batch k is ready and no more old pods are
// there than it leaves.
func (r *run) batch(o ref, k int) func(view) (bool, string, error) {
	b := r.s.Batches
	progress := r.progress(o, b.deadline())
	return func(v view) (bool, string, error) {
		if err := r.owned(o, v.d.Annotations); err != nil {
			return false, "", err
		}
		if v.current == nil || !v.heard() {
			return false, "waiting for the controller to see the change", r.halted(o, v)
		}
		if err := trouble(v.d, v.current, v.pods); err != nil {
			return false, "", err
		}
		if err := r.halted(o, v); err != nil {
			return false, "", err
		}
		all := replicasOf(v.d.Spec.Replicas)
		want, left := min(int32(k)*b.Size, all), max(all-b.kept(k), 0)
		old := int32(0)
		for _, rs := range v.sets {
			if rs != v.current {
				old += max(rs.Status.Replicas, replicasOf(rs.Spec.Replicas))
			}
		}
		ready := v.current.Status.ReadyReplicas
		text := fmt.Sprintf("%d of %d ready on %s, %d on the old version", ready, all, r.plan.Version, old)
		if ready >= want && old <= left {
			return true, text, nil
		}
		return false, text, progress(text)
	}
}

// deadline is the Deployment's own for its progress, which hold takes from the controller:
// a batch is held to it all the same.
func (b *batches) deadline() time.Duration {
	if n, ok := number(b.Deadline).(int64); ok && n > 0 {
		return time.Duration(n) * time.Second
	}
	return 600 * time.Second // the API server's default
}

// deepest is the last batch: all pods new, the controller still held back.
func (rolling) deepest(s snapshot) int { return max(s.Batches.Count-1, 0) }

func (rolling) undo(s snapshot, ns string) []undo {
	o := deployment(ns, s.Stable.Deployment)
	return []undo{{
		change: change{id: opStable, title: o.Name + " back to " + s.Stable.version() + " (" + s.Stable.Set + ")", ref: o},
		of:     &s.Stable,
		restore: func(live *unstructured.Unstructured, template map[string]any) ([]patchOp, error) {
			ops, err := s.Stable.revert(live, template)
			return append(ops, s.Batches.free(live)...), err
		},
		after: func(ctx context.Context, r *run) (string, error) { return r.restored(ctx, o) },
	}}
}
