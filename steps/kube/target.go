package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"mayday/state"
)

// target gives the checks of what the rollback leads back to.
func (r *run) target(live world, rec recipe, started bool) []check {
	return []check{
		func(ctx context.Context) (finding, error) { return r.capacity(ctx, started) },
		func(ctx context.Context) (finding, error) { return r.kept(ctx, live, rec, started) },
		r.pulled,
	}
}

// capacity looks whether the target's revision exists, and its pods are there.
func (r *run) capacity(ctx context.Context, started bool) (finding, error) {
	w := r.s.Stable
	name := "target " + r.plan.Target
	_, err := r.c.template(ctx, r.plan.Namespace, w)
	if state.HasCode(err, "no-target") {
		return no(name, state.NotReady, err), nil
	}
	if err != nil {
		return finding{}, err
	}
	st, err := r.c.stands(ctx, r.plan.Namespace, w)
	if err != nil {
		return finding{}, err
	}
	text := fmt.Sprintf("revision %s has %d of %d pods ready", w.Set, st.target, st.want)
	switch {
	case r.s.carrier() != nil && w.short(st.want, st.ready) && w.Autoscaler != "":
		return no(name, state.Doubtful, fmt.Errorf("%s, before it had %d: HorizontalPodAutoscaler %s took them away, and a rollback would lead all traffic to the rest; first: %s",
			text, w.Ready, w.Autoscaler, w.heldUp(r.plan.Namespace, r.c.Context))), nil
	case r.s.carrier() != nil && w.short(st.want, st.ready):
		return no(name, state.Doubtful, fmt.Errorf("%s: a rollback gets its pods first, then leads the traffic there", text)), nil
	case started || st.target >= st.want:
		return yes(name, text), nil
	}
	return no(name, state.Doubtful, fmt.Errorf("%s, before anything was changed", text)), nil
}

// kept makes sure that the controller does not remove the target's ReplicaSet once the
// rollout is complete: it keeps the newest revisionHistoryLimit of the old ones.
func (r *run) kept(ctx context.Context, live world, rec recipe, started bool) (finding, error) {
	const name = "history"
	if r.s.Stable.Kind == kindStatefulSet {
		return r.setKept(ctx, live[r.s.Stable.ref(r.plan.Namespace)])
	}
	o := deployment(r.plan.Namespace, r.s.Stable.Deployment)
	d, err := typed[appsv1.Deployment](live[o])
	if err != nil {
		return finding{}, err
	}
	after := live[o]
	if !started {
		after = r.afterwards(live, rec, fenceAround(live, r.s.owner()))[o]
	}
	next, err := typed[appsv1.Deployment](after)
	if err != nil {
		return finding{}, err
	}
	if !started && sameTemplate(d.Spec.Template, next.Spec.Template) {
		return yes(name, "the rollout leaves "+o.String()+" as it is"), nil
	}
	sets, err := r.c.replicaSets(ctx, d)
	if err != nil {
		return finding{}, err
	}
	limit := int32(10) // the API server's default
	if d.Spec.RevisionHistoryLimit != nil {
		limit = *d.Spec.RevisionHistoryLimit
	}
	if newer := newerThan(r.s.Stable.Set, sets, next); newer >= 0 && newer >= int(limit) {
		return no(name, state.NotReady, fmt.Errorf("%s keeps %d old revisions (revisionHistoryLimit), and %d are newer than the target: the controller would remove it; first: %s --type=merge -p '{\"spec\":{\"revisionHistoryLimit\":%d}}'",
			o, limit, newer, o.kubectl(r.c.Context, "patch"), newer+3)), nil
	}
	return yes(name, fmt.Sprintf("revision %s is kept (revisionHistoryLimit %d)", r.s.Stable.Set, limit)), nil
}

// newerThan counts the revisions that the controller would rather keep than the named
// one once the Deployment runs next. Where next is the named one, nothing removes it.
func newerThan(name string, sets []*appsv1.ReplicaSet, next *appsv1.Deployment) int {
	i := slices.IndexFunc(sets, func(rs *appsv1.ReplicaSet) bool { return rs.Name == name })
	current := currentSet(next, sets)
	if i < 0 || current == sets[i] {
		return -1
	}
	n := 0
	for _, rs := range sets {
		if rs != current && revisionOf(rs) > revisionOf(sets[i]) {
			n++
		}
	}
	return n
}

// digests counts, by digest, the pods of one ReplicaSet that run the named container. A
// pod whose node has not said yet counts nowhere.
func (v view) digests(set, container string) map[string]int {
	hash := ""
	for _, rs := range v.sets {
		if rs.Name == set {
			hash = rs.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
		}
	}
	var of []*corev1.Pod
	for _, p := range v.pods {
		if hash != "" && p.Labels[appsv1.DefaultDeploymentUniqueLabelKey] == hash {
			of = append(of, p)
		}
	}
	return countDigests(of, container)
}

// digestOf is the digest of the image that a pod's container runs, "" where its node
// does not say: "sha256:…".
func digestOf(p *corev1.Pod, container string) string {
	for _, c := range p.Status.ContainerStatuses {
		if c.Name != container {
			continue
		}
		_, digest, found := strings.Cut(c.ImageID, "@") // docker-pullable://registry/shop@sha256:…
		if !found {
			digest = c.ImageID
		}
		if strings.HasPrefix(digest, "sha256:") {
			return state.Clean(digest)
		}
	}
	return ""
}

// short12 is enough of a digest to tell two apart.
func short12(digest string) string { return digest[:min(len(digest), len("sha256:")+12)] }

// remember notes which image the target's pods run, by digest: a tag may be moved.
func (c *Cluster) remember(ctx context.Context, ns string, w *workload) error {
	st, err := c.stands(ctx, ns, *w)
	if err != nil {
		return problem(err, "cannot read "+w.String())
	}
	w.Digests = slices.Sorted(maps.Keys(st.digests))
	return nil
}

// pulled looks whether the target's tag still means one image, the one that ran.
func (r *run) pulled(ctx context.Context) (finding, error) {
	name := "image of " + r.plan.Target
	st, err := r.c.stands(ctx, r.plan.Namespace, r.s.Stable)
	if err != nil {
		return finding{}, err
	}
	if text := moved(r.s.Stable.Digests, st.digests); text != "" {
		return mind(name, text+": a rollback starts whichever the tag means then"), nil
	}
	if len(r.s.Stable.Digests) == 0 {
		return yes(name, "no pod says which digest it runs"), nil
	}
	return yes(name, short12(r.s.Stable.Digests[0])), nil
}

// moved says that a tag means other images now than before, "" where it does not.
func moved(before []string, now map[string]int) string {
	all := maps.Clone(now)
	for _, d := range before {
		all[d] += 0
	}
	if len(all) < 2 {
		return ""
	}
	var parts []string
	for _, d := range slices.Sorted(maps.Keys(all)) {
		where := fmt.Sprintf("%d pods", all[d])
		switch all[d] {
		case 0:
			where = "before"
		case 1:
			where = "1 pod"
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", short12(d), where))
	}
	return "the tag was moved, it is " + strings.Join(parts, " and ")
}

// sameImage says of a rollback's pods that they run the image that ran before.
func (r *run) sameImage(now map[string]int) string {
	if text := moved(r.s.Stable.Digests, now); text != "" {
		return text
	}
	if len(now) == 0 || len(r.s.Stable.Digests) == 0 {
		return ""
	}
	return "image " + short12(r.s.Stable.Digests[0]) + " as before"
}
