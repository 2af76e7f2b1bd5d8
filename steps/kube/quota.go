package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"

	"mayday/state"
)

var resourceQuotas = schema.GroupVersionResource{Version: "v1", Resource: "resourcequotas"}

// demand is what pods ask for, in the words of a ResourceQuota.
type demand map[corev1.ResourceName]resource.Quantity

// need is what a rollout and its rollback ask of the namespace's quotas.
type need struct {
	of    *run
	forth demand // at most, at any stage, beyond the pods that are wanted now
	rest  demand // once the rollout is done: beyond those, for as long as it stands
	back  demand // while it is taken back from its deepest stage
}

// together is the need of workloads that roll out one after the other, and go back at the
// same time, from whichever of them was reached.
func together(list []need) need {
	sum := need{of: list[0].of, forth: demand{}, rest: demand{}, back: demand{}}
	back := demand{}
	for _, n := range list {
		peak := sum.rest.plus(n.forth)
		sum.forth.most(peak)
		sum.rest = sum.rest.plus(n.rest)
		back = back.plus(n.back)
		sum.back.most(back)
	}
	return sum
}

// room looks whether the namespace leaves room for the pods that the rollout makes
// beside those that run, and for those that the rollback makes.
func (n need) room(ctx context.Context) (finding, error) {
	const name = "room for the pods"
	items, err := n.of.c.list(ctx, resourceQuotas, n.of.plan.Namespace, "")
	switch {
	case err != nil && (denied(err) || unsupported(err)):
		return yes(name, "quotas may not be read"), nil
	case err != nil:
		return finding{}, err
	case len(items) == 0:
		return yes(name, "no quota"), nil
	}
	var short, room []string
	for i := range items {
		q, err := typed[corev1.ResourceQuota](&items[i])
		if err != nil {
			return finding{}, err
		}
		if len(q.Spec.Scopes) > 0 || q.Spec.ScopeSelector != nil {
			continue // it counts some pods only
		}
		lack := append(beyond(q, n.forth, "rollout"), beyond(q, n.back, "rollback")...)
		for _, l := range lack {
			short = append(short, "ResourceQuota "+q.Name+": "+l)
		}
		room = append(room, q.Name)
	}
	if len(short) > 0 {
		return no(name, state.Doubtful, fmt.Errorf("%s", strings.Join(short, "; "))), nil
	}
	return yes(name, "enough in "+or(strings.Join(room, ", "), "quotas of all pods")), nil
}

// beyond says what of a demand a quota has no room for.
func beyond(q *corev1.ResourceQuota, d demand, of string) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(q.Status.Hard)) {
		want, asked := d[canonical(k)]
		left := q.Status.Hard[k].DeepCopy()
		left.Sub(q.Status.Used[k])
		if asked && want.Cmp(left) > 0 {
			out = append(out, state.Clean(fmt.Sprintf("the %s needs %s more %s, %s left", of, want.String(), k, left.String())))
		}
	}
	return out
}

// canonical gives a quota's word its longer form: "cpu" means "requests.cpu".
func canonical(k corev1.ResourceName) corev1.ResourceName {
	switch k {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
		return "requests." + k
	case "count/pods":
		return corev1.ResourcePods
	}
	return k
}

// needs counts what the rollout and its rollback ask for. What is left of a rollout that
// has begun is not known here; the way back is.
func (r *run) needs(live world, rec recipe, started bool) need {
	n := need{of: r, forth: demand{}, rest: demand{}}
	w, f := live.copy(), fenceAround(live, r.s.owner())
	for i := range r.plan.Stages {
		if started {
			break
		}
		before := w.copy()
		for _, ch := range rec.changes(r.s, r.plan.Namespace, i) {
			if _, after, err := ch.op(w[ch.ref], f, ""); err == nil {
				w[ch.ref] = after
			}
		}
		n.forth.most(more(live, before, w))
	}
	n.rest = more(live, w, w)
	deepest := live
	if !started {
		deepest = r.afterwards(live, rec, f)
	}
	w = deepest.copy()
	f.Epoch++
	for _, u := range rec.undo(r.s, r.plan.Namespace) {
		if w[u.ref] == nil {
			continue
		}
		ch := u.change
		if u.of != nil { // its template is another one again: any other will do to count
			ch.build = func(l *unstructured.Unstructured) ([]patchOp, error) { return u.restore(l, nil) }
		}
		if _, after, err := ch.op(w[u.ref], f, ""); err == nil {
			w[u.ref] = after
		}
	}
	n.back = more(live, deepest, w)
	return n
}

// more sums up the pods that may be there at once while before becomes after, without
// those that are wanted now.
func more(now, before, after world) demand {
	out := demand{}
	for o, u := range after {
		if o.Resource != deployments {
			continue
		}
		b, a := replicasIn(before[o]), replicasIn(u)
		n := max(a, b)
		if b > 0 && a > 0 && !sameTemplateIn(before[o], u) {
			n += surge(u)
		}
		out.add(u, n-replicasIn(now[o]))
	}
	return out
}

// most raises every part of d to that of o.
func (d demand) most(o demand) {
	for k, q := range o {
		if have, ok := d[k]; !ok || q.Cmp(have) > 0 {
			d[k] = q
		}
	}
}

// plus is the sum of two demands.
func (d demand) plus(o demand) demand {
	sum := demand{}
	for _, one := range []demand{d, o} {
		for k, q := range one {
			have := sum[k]
			have.Add(q)
			sum[k] = have
		}
	}
	return sum
}

// add counts n pods of a Deployment's template; a negative n makes room.
func (d demand) add(u *unstructured.Unstructured, n int32) {
	t, err := typed[appsv1.Deployment](u)
	if err != nil {
		return
	}
	for k, q := range podDemand(&t.Spec.Template.Spec) {
		q.Mul(int64(n))
		sum := d[k]
		sum.Add(q)
		d[k] = sum
	}
}

// podDemand is what one pod counts for: its containers together, or one of those that
// run before them where that asks for more.
func podDemand(p *corev1.PodSpec) demand {
	d := demand{corev1.ResourcePods: resource.MustParse("1")}
	sum := func(prefix corev1.ResourceName, list func(corev1.Container) corev1.ResourceList) {
		for _, c := range p.Containers {
			for k, q := range list(c) {
				have := d[prefix+k]
				have.Add(q)
				d[prefix+k] = have
			}
		}
		for _, c := range p.InitContainers {
			for k, q := range list(c) {
				d.most(demand{prefix + k: q})
			}
		}
	}
	sum("requests.", func(c corev1.Container) corev1.ResourceList { return c.Resources.Requests })
	sum("limits.", func(c corev1.Container) corev1.ResourceList { return c.Resources.Limits })
	return d
}

func replicasIn(u *unstructured.Unstructured) int32 {
	if u == nil {
		return 0
	}
	n, found, _ := unstructured.NestedInt64(u.Object, "spec", "replicas")
	if !found {
		return 1
	}
	return int32(n)
}

func sameTemplateIn(a, b *unstructured.Unstructured) bool {
	da, err1 := typed[appsv1.Deployment](a)
	db, err2 := typed[appsv1.Deployment](b)
	return err1 == nil && err2 == nil && sameTemplate(da.Spec.Template, db.Spec.Template)
}

// surge is how many pods more than wanted the controller may make of a Deployment.
func surge(u *unstructured.Unstructured) int32 {
	d, err := typed[appsv1.Deployment](u)
	if err != nil || d.Spec.Strategy.RollingUpdate == nil || d.Spec.Strategy.RollingUpdate.MaxSurge == nil {
		return 0
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(d.Spec.Strategy.RollingUpdate.MaxSurge, int(replicasOf(d.Spec.Replicas)), true)
	if err != nil {
		return 0
	}
	return int32(n)
}
