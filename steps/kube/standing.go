package kube

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// standing is how the workload that carries a version stands, whichever kind it is.
type standing struct {
	want    int32          // pods wanted
	ready   int32          // pods ready, of any revision
	target  int32          // of them, pods of the revision a rollback restores
	digests map[string]int // of the images that pods of that revision run
}

func (c *Cluster) stands(ctx context.Context, ns string, w workload) (standing, error) {
	if w.Kind == kindStatefulSet {
		v, err := c.setView(ctx, w.ref(ns))
		if err != nil {
			return standing{}, err
		}
		return standing{want: replicasOf(v.set.Spec.Replicas), ready: v.ready(""), target: v.ready(w.Set), digests: v.digests(w.Set, w.Container)}, nil
	}
	v, err := c.view(ctx, w.ref(ns))
	if err != nil {
		return standing{}, err
	}
	st := standing{want: replicasOf(v.d.Spec.Replicas), ready: v.d.Status.ReadyReplicas, digests: v.digests(w.Set, w.Container)}
	for _, rs := range v.sets {
		if rs.Name == w.Set {
			st.target = rs.Status.ReadyReplicas
		}
	}
	return st, nil
}

// isBack says whether the target revision alone runs, ready enough, and which image.
func (r *run) isBack(ctx context.Context) (ok bool, text string, err error) {
	o, w := r.s.Stable.ref(r.plan.Namespace), r.s.Stable
	var now map[string]int
	if w.Kind == kindStatefulSet {
		v, err := r.c.setView(ctx, o)
		if err != nil {
			return false, "", err
		}
		now = v.digests(v.set.Status.UpdateRevision, w.Container)
		ok, text = r.setBack(v)
	} else {
		v, err := r.c.heardView(ctx, o)
		if err != nil {
			return false, "", err
		}
		now = v.digests(w.Set, w.Container)
		ok, text = r.backTo(v)
	}
	if same := r.sameImage(now); ok && same != "" {
		text += ", " + same
	}
	return ok, text, nil
}

// digests counts, by digest, the pods of one revision that run the named container.
func (v setView) digests(revision, container string) map[string]int {
	var of []*corev1.Pod
	for _, p := range v.pods {
		if revision != "" && madeFrom(p) == revision {
			of = append(of, p)
		}
	}
	return countDigests(of, container)
}

// countDigests counts pods by the digest they run. A pod whose node has not said yet
// counts nowhere.
func countDigests(list []*corev1.Pod, container string) map[string]int {
	out := map[string]int{}
	for _, p := range list {
		if d := digestOf(p, container); d != "" {
			out[d]++
		}
	}
	return out
}
