package kube

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// workload is what a plan remembers of a Deployment or StatefulSet. The pod template
// is not in it: it may hold secrets, and the named ReplicaSet or ControllerRevision
// keeps it.
type workload struct {
	Kind       string `json:"kind,omitempty"` // "": Deployment
	Deployment string `json:"deployment"`     // its name, a StatefulSet's too
	Container  string `json:"container"`
	Image      string `json:"image"`              // of the container in the revision a rollback restores
	Live       string `json:"live"`               // of the container in the workload, before
	Next       string `json:"next"`               // of the container, with the new version
	Replicas   int32  `json:"replicas"`           // before
	Ready      int32  `json:"ready"`              // pods of the target revision, before
	Set        string `json:"set,omitempty"`      // the ReplicaSet or ControllerRevision a rollback restores
	SetUID     string `json:"set_uid,omitempty"`  //
	Revision   int    `json:"revision,omitempty"` // its number, for kubectl rollout undo
	Autoscaler string `json:"autoscaler,omitempty"`
	Floor      int32  `json:"floor,omitempty"` // the fewest pods that the autoscaler leaves it
	// Digests are those of the images that pods of the target revision ran, before.
	Digests []string `json:"digests,omitempty"`
}

func (w workload) ref(ns string) ref {
	if w.Kind == kindStatefulSet {
		return statefulSet(ns, w.Deployment)
	}
	return deployment(ns, w.Deployment)
}

// String is what a person reads: "Deployment app-stable".
func (w workload) String() string { return w.ref("").String() }

// version is what ran before.
func (w workload) version() string { return tagOf(w.Image) }

// planned is a workload as read for a plan.
type planned struct {
	workload
	ref    ref
	live   *unstructured.Unstructured
	d      *appsv1.Deployment
	target *appsv1.ReplicaSet // nil where the Deployment has none worth returning to
}

// workloadFor reads a Deployment for a plan and refuses what cannot be rolled out.
func (c *Cluster) workloadFor(ctx context.Context, name string, order steps.Order) (planned, error) {
	env := order.Environment
	p := planned{ref: deployment(namespace(env), name)}
	var err error
	if p.live, err = c.get(ctx, p.ref); err != nil {
		return p, problem(err, "cannot read "+p.ref.String()+" in namespace "+p.ref.Namespace)
	}
	if p.d, err = typed[appsv1.Deployment](p.live); err != nil {
		return p, err
	}
	if p.d.Spec.Paused {
		return p, &state.Problem{What: p.ref.String() + " is paused", Why: "no change of it would roll out", Code: "paused",
			Do: "Find out who paused it and why, then: " + p.ref.kubectl(c.Context, "rollout resume")}
	}
	if p.workload, err = workloadOf(p.ref, p.d.Spec.Template, order); err != nil {
		return p, err
	}
	p.Replicas = replicasOf(p.d.Spec.Replicas)
	sets, err := c.replicaSets(ctx, p.d)
	if err != nil {
		return p, problem(err, "cannot list the ReplicaSets of "+p.ref.String())
	}
	if p.target = worthReturningTo(p.d, sets); p.target != nil {
		p.Set, p.SetUID, p.Revision = p.target.Name, string(p.target.UID), revisionOf(p.target)
		p.Ready = p.target.Status.ReadyReplicas
		if i := containerIndex(p.target.Spec.Template.Spec.Containers, p.Container); i >= 0 {
			p.Image = p.target.Spec.Template.Spec.Containers[i].Image
		}
	}
	p.Autoscaler, p.Floor, err = c.autoscalerOf(ctx, p.ref)
	return p, err
}

// workloadOf begins the record of a workload with its container and images.
func workloadOf(r ref, t corev1.PodTemplateSpec, order steps.Order) (workload, error) {
	env := order.Environment
	at := containerIndex(t.Spec.Containers, env.Container)
	if at < 0 {
		return workload{}, &state.Problem{What: r.String() + " has no container " + env.Container, Code: "container",
			Why: "it has " + containerNames(t.Spec.Containers), Do: "Set container: of the environment in mayday.yaml."}
	}
	ct := t.Spec.Containers[at]
	w := workload{Deployment: r.Name, Container: ct.Name, Image: ct.Image, Live: ct.Image, Next: nextImage(env, ct.Image, order.Version)}
	if r.Kind == kindStatefulSet {
		w.Kind = kindStatefulSet
	}
	return w, nil
}

func namespace(env runbook.Environment) string {
	if env.Namespace == "" {
		return "default"
	}
	return env.Namespace
}

// nextImage names the image of a version.
func nextImage(env runbook.Environment, live, version string) string {
	if env.Image == "" {
		return withTag(live, version)
	}
	return strings.ReplaceAll(env.Image, "{version}", version)
}

// worthReturningTo picks the revision a rollback restores: the newest one that has
// pods ready or, where none has (production is down), the present one if it once
// was complete, else the newest before it that is known to have been, see servedBefore.
// A revision that never got healthy is never picked while another is.
func worthReturningTo(d *appsv1.Deployment, sets []*appsv1.ReplicaSet) *appsv1.ReplicaSet {
	now := currentSet(d, sets)
	if now != nil && now.Status.ReadyReplicas > 0 {
		return now
	}
	var best *appsv1.ReplicaSet
	for _, rs := range sets {
		if rs.Status.ReadyReplicas > 0 && (best == nil || revisionOf(rs) > revisionOf(best)) {
			best = rs
		}
	}
	if best != nil {
		return best
	}
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Reason == "NewReplicaSetAvailable" {
			return now
		}
	}
	older := slices.DeleteFunc(slices.Clone(sets), func(rs *appsv1.ReplicaSet) bool { return rs == now })
	if len(older) == 0 {
		return now
	}
	slices.SortStableFunc(older, func(a, b *appsv1.ReplicaSet) int { return revisionOf(b) - revisionOf(a) })
	for next, i := now, 0; next != nil && i < len(older); next, i = older[i], i+1 {
		if ok, _ := served(d, older[i], next, older[i+1:]); ok {
			return older[i]
		}
	}
	return older[0] // the one before a rollout that never completed; the proof is amber
}

// autoscalerOf names the HorizontalPodAutoscaler that owns the replicas, "" where
// there is none or the server does not say, and the fewest pods it leaves.
func (c *Cluster) autoscalerOf(ctx context.Context, r ref) (name string, floor int32, err error) {
	items, err := c.list(ctx, autoscalers, r.Namespace, "")
	if err != nil {
		if unsupported(err) || denied(err) {
			return "", 0, nil
		}
		return "", 0, problem(err, "cannot list autoscalers")
	}
	for _, u := range items {
		kind, _, _ := unstructured.NestedString(u.Object, "spec", "scaleTargetRef", "kind")
		name, _, _ := unstructured.NestedString(u.Object, "spec", "scaleTargetRef", "name")
		if kind == r.Kind && name == r.Name {
			least, found, _ := unstructured.NestedInt64(u.Object, "spec", "minReplicas")
			if !found {
				least = 1 // the API server's default
			}
			return u.GetName(), int32(least), nil
		}
	}
	return "", 0, nil
}

// heldUp is how a person keeps the autoscaler from taking pods away that a rollback needs.
func (w workload) heldUp(ns, context string) string {
	return fmt.Sprintf(`%s patch hpa %s --type=merge -p '{"spec":{"minReplicas":%d}}'`, kubectlIn(context, ns), w.Autoscaler, w.Replicas)
}

// containerIndex finds a container; "" means the first.
func containerIndex(list []corev1.Container, name string) int {
	for i := range list {
		if name == "" || list[i].Name == name {
			return i
		}
	}
	return -1
}

func containerNames(list []corev1.Container) string {
	s := ""
	for i := range list {
		if i > 0 {
			s += ", "
		}
		s += list[i].Name
	}
	return s
}

// imageOps sets the image of the workload's container. In forward work the live
// image must be one of from: anything else is somebody else's change.
func (w workload) imageOps(live *unstructured.Unstructured, want string, from ...string) ([]patchOp, error) {
	t, err := podTemplate(live)
	if err != nil {
		return nil, err
	}
	i := containerIndex(t.Spec.Containers, w.Container)
	if i < 0 {
		return nil, &state.Problem{What: w.String() + " has lost its container " + w.Container, Code: "drift",
			Why: "somebody changed the pod template during the rollout", Do: "Find out who, then roll back or plan again."}
	}
	now := t.Spec.Containers[i].Image
	if isImage(now, want) {
		return nil, nil
	}
	if !slices.ContainsFunc(from, func(x string) bool { return isImage(now, x) }) && len(from) > 0 {
		return nil, &state.Problem{What: w.String() + " runs another image than planned", Code: "drift",
			Why: "it is " + state.Clean(now) + "; somebody else changed it during the rollout", Do: "Find out who, then roll back or plan again."}
	}
	at := "/spec/template/spec/containers/" + strconv.Itoa(i)
	return []patchOp{test(at+"/name", w.Container), test(at+"/image", now), replace(at+"/image", want)}, nil
}

// podTemplate reads the pod template of a Deployment or StatefulSet.
func podTemplate(live *unstructured.Unstructured) (corev1.PodTemplateSpec, error) {
	var t corev1.PodTemplateSpec
	m, _, err := unstructured.NestedMap(live.Object, "spec", "template")
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(m, &t)
	}
	if err != nil {
		return t, fmt.Errorf("%s %s: %w", live.GetKind(), live.GetName(), err)
	}
	return t, nil
}

// isImage reports whether an image is the wanted one: by name, or the same name with the
// digest that an admission webhook (Kyverno, Connaisseur) has pinned it to.
func isImage(now, want string) bool {
	return now == want || !strings.Contains(want, "@") && strings.HasPrefix(now, want+"@")
}

// replicaOps sets the number of pods, unless an autoscaler owns it. With wake a
// Deployment asleep at 0 is started even then: the autoscaler ignores it at 0.
func (w workload) replicaOps(live *unstructured.Unstructured, want int32, wake bool) []patchOp {
	now, found, _ := unstructured.NestedInt64(live.Object, "spec", "replicas")
	if !found {
		now = 1
	}
	if now == int64(want) || w.Autoscaler != "" && (!wake || now > 0) {
		return nil
	}
	var old any
	if found {
		old = now
	}
	return set("/spec/replicas", old, want)
}

// atLeast raises the number of pods to what it was before, never lowers it.
func (w workload) atLeast(live *unstructured.Unstructured) []patchOp {
	if now, found, _ := unstructured.NestedInt64(live.Object, "spec", "replicas"); found && now >= int64(w.Replicas) {
		return nil
	}
	return w.replicaOps(live, w.Replicas, true)
}

// template reads the pod template of the revision a rollback restores, as the
// workload had it. It is kept for the rollback.
func (c *Cluster) template(ctx context.Context, ns string, w workload) (map[string]any, error) {
	gone := &state.Problem{What: "revision " + w.Set + " (" + w.version() + ") is gone", Code: "no-target",
		Why: "its " + w.keeper(ns).Kind + " no longer exists", Do: "Set the image by hand: " +
			w.ref(ns).kubectl(c.Context, "set image") + " " + w.Container + "=" + quote(w.Image)}
	if w.Set == "" {
		gone.What, gone.Why = w.String()+" has no revision to return to", "it owned no "+w.keeper(ns).Kind+" when the plan was made"
		return nil, gone
	}
	u, err := c.get(ctx, w.keeper(ns))
	switch {
	case absent(err):
		return nil, gone
	case err != nil:
		return nil, err
	case string(u.GetUID()) != w.SetUID:
		gone.Why = "another " + w.keeper(ns).Kind + " has its name now"
		return nil, gone
	}
	t := templateOf(u)
	c.ahead.keepTemplate(w, t)
	return t, nil
}

// keeper is the object that keeps the template of the revision a rollback restores.
func (w workload) keeper(ns string) ref {
	if w.Kind == kindStatefulSet {
		return ref{Resource: revisions, Kind: "ControllerRevision", Namespace: ns, Name: w.Set}
	}
	return ref{Resource: replicaSets, Kind: "ReplicaSet", Namespace: ns, Name: w.Set}
}

// templateOf gives the template that a ReplicaSet or a ControllerRevision keeps,
// without what the controllers added.
func templateOf(u *unstructured.Unstructured) map[string]any {
	path := []string{"spec", "template"}
	if u.GetKind() == "ControllerRevision" {
		path = []string{"data", "spec", "template"} // a patch, with a directive in it
	}
	t, _, _ := unstructured.NestedMap(u.Object, path...)
	delete(t, "$patch")
	unstructured.RemoveNestedField(t, "metadata", "labels", appsv1.DefaultDeploymentUniqueLabelKey)
	unstructured.RemoveNestedField(t, "metadata", "creationTimestamp")
	return t
}

// templateOps puts a template back, testing the image that is replaced.
func (w workload) templateOps(live *unstructured.Unstructured, template map[string]any) ([]patchOp, error) {
	now, err := podTemplate(live)
	if err != nil {
		return nil, err
	}
	want, err := podTemplate(&unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"template": template}}})
	if err != nil {
		return nil, err
	}
	if sameTemplate(now, want) {
		return nil, nil
	}
	var ops []patchOp
	if i := containerIndex(now.Spec.Containers, w.Container); i >= 0 {
		at := "/spec/template/spec/containers/" + strconv.Itoa(i) + "/image"
		ops = append(ops, test(at, now.Spec.Containers[i].Image))
	}
	return append(ops, replace("/spec/template", template)), nil
}

// undo is the command a person types to return to the workload's revision.
func (w workload) undo(c *Cluster, r ref) string {
	if w.Revision == 0 {
		return r.kubectl(c.Context, "set image") + " " + w.Container + "=" + quote(w.Image)
	}
	return r.kubectl(c.Context, "rollout undo") + " --to-revision=" + strconv.Itoa(w.Revision)
}
