package kube

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// ordered is rolling of a StatefulSet: its partition holds the controller back, batch
// by batch from the highest number down. The write that changes the image sets the
// first partition, so that the controller never goes further than the gates, whoever
// dies.
//
// A StatefulSet that makes its pods one after the other (OrderedReady) stands still at
// the first pod that is not ready, also on the way back: a version that does not start
// has to be deleted by hand, says the documentation of Kubernetes. The rollback does
// that, for pods that are not ready and not of the target revision. Where pods were not
// ready before, no batch would get anywhere: then there is one stage, and the pods that
// are not ready make way for the new version in the same manner.
//
// The last stage, behind the last gate, puts the partition back and closes the fence.
type ordered struct{}

// ordering is what a plan remembers of a StatefulSet's own way to roll.
type ordering struct {
	Size      int32  `json:"size"`
	Count     int    `json:"count"` // 0: all pods in one stage
	Strategy  any    `json:"strategy"`
	Partition int32  `json:"partition,omitempty"` // before, in Strategy
	Selector  string `json:"selector"`            // of its pods
	// Stuck says that the controller would get nowhere by batches, since pods were not
	// ready before: Unready, or not even there.
	Stuck   bool     `json:"stuck,omitempty"`
	Unready []string `json:"unready,omitempty"`
}

func (ordered) fits(env runbook.Environment) bool {
	return env.Rolling != nil && env.Rolling.StatefulSet != ""
}

func (ordered) made(s snapshot) bool { return s.Ordering != nil }

func (ordered) subject(s snapshot) string { return s.Stable.String() }

func (k ordered) read(ctx context.Context, c *Cluster, order steps.Order, s *snapshot) (world, []state.Stage, error) {
	env := order.Environment
	p, err := c.setFor(ctx, env.Rolling.StatefulSet, order)
	if err != nil {
		return nil, nil, err
	}
	o := &ordering{Size: int32(max(env.Rolling.Batch, 1)), Partition: p.partition(), Selector: p.selector()}
	o.Strategy, _, _ = unstructured.NestedFieldCopy(p.live.Object, "spec", "updateStrategy")
	if o.Stuck = p.ordered() && p.ready("") < p.Replicas; o.Stuck {
		o.Unready = p.unready()
	}
	if env.Production && o.Size < p.Replicas && !o.Stuck {
		o.Count = int((p.Replicas + o.Size - 1) / o.Size)
	}
	s.Stable, s.Ordering = p.workload, o
	return world{p.ref: p.live}, k.stages(*s, order), nil
}

func (ordered) stages(s snapshot, order steps.Order) []state.Stage {
	var out []state.Stage
	for k := 1; k <= s.Ordering.Count; k++ {
		share := 100 * (s.Stable.Replicas - s.below(k)) / s.Stable.Replicas
		out = append(out, state.Stage{Name: fmt.Sprintf("batch %d of %d", k, s.Ordering.Count), Weight: int(share), Hold: order.Environment.Rolling.Hold})
	}
	if out == nil {
		out = append(out, state.Stage{Name: "all pods take " + order.Version, Weight: 100, Hold: order.Environment.Rolling.Hold})
	}
	return append(out, state.Stage{Name: s.Stable.Deployment + " released", Weight: 100})
}

// below is the partition of batch k: pods with a lower index keep the old version.
func (s snapshot) below(k int) int32 {
	if k >= s.Ordering.Count {
		return 0
	}
	return s.Stable.Replicas - int32(k)*s.Ordering.Size
}

// last is the stage that lets the last pod go.
func (o *ordering) last() int { return max(o.Count-1, 0) }

// to is the update strategy with another partition.
func (o *ordering) to(partition int32) any {
	if partition == o.Partition {
		return o.Strategy
	}
	m, _ := number(o.Strategy).(map[string]any) // a copy
	rolling, _ := m["rollingUpdate"].(map[string]any)
	if rolling == nil {
		rolling = map[string]any{}
	}
	rolling["partition"] = int64(partition)
	return map[string]any{"type": m["type"], "rollingUpdate": rolling}
}

func (ordered) changes(s snapshot, ns string, i int) []change {
	o, w := s.Ordering, s.Stable
	r := w.ref(ns)
	partition := func(live *unstructured.Unstructured, want any) []patchOp {
		return fieldOps(live, map[string]any{"updateStrategy": want})
	}
	switch {
	case i > o.last():
		title := "fence of " + r.String() + " closed"
		if o.Partition > 0 {
			title = fmt.Sprintf("partition of %s back at %d, its fence closed", w.Deployment, o.Partition)
		}
		return []change{{id: fmt.Sprintf("%d.close", i), title: title, ref: r, closes: true,
			build: func(live *unstructured.Unstructured) ([]patchOp, error) { return partition(live, o.Strategy), nil }}}
	case i > 0:
		return []change{{id: fmt.Sprintf("%d.batch", i), title: fmt.Sprintf("partition of %s %d → %d", w.Deployment, s.below(i), s.below(i+1)), ref: r,
			build: func(live *unstructured.Unstructured) ([]patchOp, error) {
				ops, err := w.imageOps(live, w.Next, w.Next)
				return append(ops, partition(live, o.to(s.below(i+1)))...), err
			}}}
	}
	title := fmt.Sprintf("%s takes %s, all pods", w.Deployment, tagOf(w.Next))
	if o.Count > 0 {
		title = fmt.Sprintf("%s takes %s from the highest number down, partition %d", w.Deployment, tagOf(w.Next), s.below(1))
	}
	out := []change{{id: "0.image", title: title, ref: r, build: func(live *unstructured.Unstructured) ([]patchOp, error) {
		ops, err := w.imageOps(live, w.Next, w.Live)
		return append(ops, partition(live, o.to(s.below(1)))...), err
	}}}
	if len(o.Unready) > 0 {
		out = append(out, change{id: "0.pods", title: strings.Join(o.Unready, ", ") + ": not ready, deleted to make way", ref: r, build: noPatch,
			byHand: func(context string) string {
				return kubectlIn(context, ns) + " delete pod --wait=false " + strings.Join(o.Unready, " ")
			},
			then: func(ctx context.Context, run *run) error { return run.clear(ctx, r) }})
	}
	return out
}

func (ordered) effect(ctx context.Context, r *run, i int) (steps.Effect, error) {
	o, b := r.s.Stable.ref(r.plan.Namespace), r.s.Ordering
	text, err := awaitView(ctx, r.c, o, r.out, r.c.setLook(o), r.updated(ctx, o, r.s.below(i+1)))
	if err != nil {
		return steps.Effect{}, err
	}
	switch {
	case i < b.last():
		return r.glance(ctx, text)
	case i > b.last():
		return steps.Effect{Text: text}, nil
	}
	seen, what, err := r.observe(ctx, 100, func(context.Context) error { return nil })
	return steps.Effect{Text: what + ", " + text, Seen: seen}, err
}

// updated is the condition for awaitView: every pod from an index on is made from the
// new revision and ready.
func (r *run) updated(ctx context.Context, o ref, below int32) func(setView) (bool, string, error) {
	progress := r.progress(o, stillPatience)
	return func(v setView) (bool, string, error) {
		if err := r.owned(o, v.set.Annotations); err != nil {
			return false, "", err
		}
		if !v.current() {
			return false, "waiting for the controller to see the change", nil
		}
		if r.s.Ordering.Stuck {
			if err := r.makeWay(ctx, v, r.out); err != nil {
				return false, "", err
			}
		}
		now, want := v.set.Status.UpdateRevision, replicasOf(v.set.Spec.Replicas)
		fresh := v.ready(now)
		text := fmt.Sprintf("%d of %d ready on %s, %d on the old version", fresh, want, r.plan.Version, v.others(now))
		if fresh >= want-below && (below > 0 || v.others(now) == 0) {
			return true, text, nil
		}
		blocking := "" // any pod
		if r.s.Ordering.Stuck || !v.ordered() {
			blocking = now
		}
		if err := v.trouble(blocking); err != nil {
			return false, "", err
		}
		return false, text, progress(text)
	}
}

// progress fails once nothing has changed for so long (real time): where the controller
// has no deadline of its own, or it does not count.
func (r *run) progress(o ref, patience time.Duration) func(text string) error {
	said, since := "", time.Now()
	return func(text string) error {
		if text != said {
			said, since = text, time.Now()
		}
		if time.Since(since) < patience {
			return nil
		}
		return &state.Problem{What: o.String() + " makes no progress", Code: "no-progress", Why: text + " for " + patience.String(),
			Do: "Look at its pods: " + o.kubectl(r.c.Context, "describe")}
	}
}

// makeWay deletes the pods that the controller wants to replace and, as they are not
// ready, never gets to: those that are made from another revision than the newest, and
// that no partition keeps. Each is deleted only as it was read.
func (r *run) makeWay(ctx context.Context, v setView, out io.Writer) error {
	for _, p := range v.pods {
		if p.DeletionTimestamp != nil || isReady(p) || madeFrom(p) == v.set.Status.UpdateRevision || v.index(p) < v.partition() {
			continue
		}
		err := r.c.deletePod(ctx, p)
		switch {
		case err == nil:
			fmt.Fprintf(out, "pod %s deleted: not ready, of revision %s\n", p.Name, state.Clean(madeFrom(p)))
		case absent(err) || conflict(err) || transient(err):
			// It is gone, moved or cannot be reached: the next look decides.
		default:
			return problem(err, "cannot delete pod "+p.Name)
		}
	}
	return nil
}

// clear is makeWay for a StatefulSet that was not read yet. What the controller has not
// seen or what cannot be reached now is left to those who wait for the effect.
func (r *run) clear(ctx context.Context, o ref) error {
	v, err := r.c.setView(ctx, o)
	if err != nil || !v.current() {
		return ctx.Err()
	}
	return r.makeWay(ctx, v, r.out)
}

// deletePod deletes a pod, gracefully, if nobody wrote it since it was read.
func (c *Cluster) deletePod(ctx context.Context, p *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return c.client.Resource(pods).Namespace(p.Namespace).Delete(ctx, p.Name,
		metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &p.UID, ResourceVersion: &p.ResourceVersion}})
}

// deepest is the last batch but one, where the partition is to be put back too.
func (ordered) deepest(s snapshot) int { return max(s.Ordering.Count-2, 0) }
