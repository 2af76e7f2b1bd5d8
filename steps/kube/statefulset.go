package kube

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
	"mayday/steps"
)

// setView is a StatefulSet with its pods, read at about one moment.
type setView struct {
	set  *appsv1.StatefulSet
	pods []*corev1.Pod
}

func (c *Cluster) setView(ctx context.Context, r ref) (setView, error) {
	u, err := c.get(ctx, r)
	if err != nil {
		return setView{}, err
	}
	return c.setViewOf(ctx, u)
}

// setLook is setView of one StatefulSet.
func (c *Cluster) setLook(r ref) func(context.Context) (setView, error) {
	return func(ctx context.Context) (setView, error) { return c.setView(ctx, r) }
}

// setViewOf reads the pods of a StatefulSet. Those it did not make are left out.
func (c *Cluster) setViewOf(ctx context.Context, u *unstructured.Unstructured) (v setView, err error) {
	if v.set, err = typed[appsv1.StatefulSet](u); err != nil {
		return v, err
	}
	items, err := c.list(ctx, pods, v.set.Namespace, v.selector())
	if err != nil {
		return v, err
	}
	for i := range items {
		if !metav1.IsControlledBy(&items[i], v.set) {
			continue
		}
		p, err := typed[corev1.Pod](&items[i])
		if err != nil {
			return v, err
		}
		v.pods = append(v.pods, p)
	}
	return v, nil
}

func (v setView) selector() string {
	if v.set == nil {
		return ""
	}
	return metav1.FormatLabelSelector(v.set.Spec.Selector)
}

// current reports whether the controller has seen the newest generation, so that the
// status names its revision.
func (v setView) current() bool { return v.set.Generation <= v.set.Status.ObservedGeneration }

// ordered reports whether one pod that is not ready stops the controller.
func (v setView) ordered() bool {
	return v.set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement
}

func (v setView) partition() int32 {
	if u := v.set.Spec.UpdateStrategy.RollingUpdate; u != nil && u.Partition != nil {
		return *u.Partition
	}
	return 0
}

// index is a pod's place, counted from 0 whatever its ordinal; the partition counts so.
func (v setView) index(p *corev1.Pod) int32 {
	n, err := strconv.ParseInt(p.Name[strings.LastIndexByte(p.Name, '-')+1:], 10, 32)
	if err != nil {
		return -1
	}
	if o := v.set.Spec.Ordinals; o != nil {
		return int32(n) - o.Start
	}
	return int32(n)
}

func madeFrom(p *corev1.Pod) string { return p.Labels[appsv1.StatefulSetRevisionLabel] }

func isReady(p *corev1.Pod) bool {
	if p.DeletionTimestamp != nil {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// ready counts the ready pods of a revision, "" for any.
func (v setView) ready(revision string) int32 {
	n := int32(0)
	for _, p := range v.pods {
		if isReady(p) && (revision == "" || madeFrom(p) == revision) {
			n++
		}
	}
	return n
}

// others counts the pods of any other revision.
func (v setView) others(revision string) int32 {
	n := int32(0)
	for _, p := range v.pods {
		if madeFrom(p) != revision {
			n++
		}
	}
	return n
}

// unready names the pods that are not ready.
func (v setView) unready() []string {
	var out []string
	for _, p := range v.pods {
		if !isReady(p) {
			out = append(out, p.Name)
		}
	}
	return out
}

// trouble finds a pod of a revision ("": any) that does not get ready by itself; nil if
// there is none.
func (v setView) trouble(revision string) error {
	for _, p := range v.pods {
		if p.DeletionTimestamp != nil || isReady(p) || revision != "" && madeFrom(p) != revision {
			continue
		}
		if err := podTrouble(p); err != nil {
			return err
		}
	}
	return nil
}

// plannedSet is a StatefulSet as read for a plan.
type plannedSet struct {
	workload
	ref  ref
	live *unstructured.Unstructured
	setView
}

// setFor reads a StatefulSet for a plan and refuses what cannot be rolled out.
func (c *Cluster) setFor(ctx context.Context, name string, order steps.Order) (plannedSet, error) {
	p := plannedSet{ref: statefulSet(namespace(order.Environment), name)}
	var err error
	if p.live, err = c.get(ctx, p.ref); err != nil {
		return p, problem(err, "cannot read "+p.ref.String()+" in namespace "+p.ref.Namespace)
	}
	var kept []*appsv1.ControllerRevision
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { p.setView, err = c.setViewOf(gctx, p.live); return err })
	g.Go(func() (err error) { kept, err = c.revisionsOf(gctx, p.live); return err })
	if err := g.Wait(); err != nil {
		return p, problem(err, "cannot list the pods and revisions of "+p.ref.String())
	}
	if err := p.rolls(c); err != nil {
		return p, err
	}
	if p.workload, err = workloadOf(p.ref, p.set.Spec.Template, order); err != nil {
		return p, err
	}
	p.Replicas = replicasOf(p.set.Spec.Replicas)
	if to := p.worthReturningTo(kept); to != nil {
		p.Set, p.SetUID, p.Revision, p.Ready = to.Name, string(to.UID), int(to.Revision), p.ready(to.Name)
		p.Image = imageKept(to, p.Container, p.Image)
	}
	p.Autoscaler, p.Floor, err = c.autoscalerOf(ctx, p.ref)
	return p, err
}

// rolls refuses a StatefulSet that does not roll, or is half-way already.
func (p plannedSet) rolls(c *Cluster) error {
	st := p.set.Status
	switch {
	case p.set.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType:
		return &state.Problem{What: p.ref.String() + " does not roll by itself", Code: "on-delete",
			Why: "its update strategy is OnDelete: a pod takes the new version when somebody deletes it", Do: "Set RollingUpdate on it, or use a script that deletes its pods."}
	case !p.current():
		return &state.Problem{What: p.ref.String() + " is just being changed by somebody else", Code: "busy",
			Why: "the controller has not seen its newest generation yet", Do: "Find out who changes it, then plan again."}
	case p.partition() > 0 && st.CurrentRevision != st.UpdateRevision:
		return &state.Problem{What: p.ref.String() + " is half-way through another rollout", Code: "half-way",
			Why: fmt.Sprintf("pods below number %d run revision %s, the others %s: somebody left the partition there", p.partition(), state.Clean(st.CurrentRevision), state.Clean(st.UpdateRevision)),
			Do:  "Take that one back first: " + p.ref.kubectl(c.Context, "rollout undo") + "; or end it by setting the partition to 0."}
	}
	return nil
}

// revisionsOf lists the revisions that a StatefulSet keeps.
func (c *Cluster) revisionsOf(ctx context.Context, set *unstructured.Unstructured) ([]*appsv1.ControllerRevision, error) {
	items, err := c.list(ctx, revisions, set.GetNamespace(), "")
	if err != nil {
		return nil, err
	}
	var out []*appsv1.ControllerRevision
	for i := range items {
		if !metav1.IsControlledBy(&items[i], set) {
			continue
		}
		cr := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: items[i].GetName(), UID: items[i].GetUID()}}
		cr.Revision, _, _ = unstructured.NestedInt64(items[i].Object, "revision")
		cr.Data.Object = &items[i] // the template is read from there if it is needed
		out = append(out, cr)
	}
	return out, nil
}

// imageKept reads the image of a container in a kept revision.
func imageKept(cr *appsv1.ControllerRevision, container, otherwise string) string {
	u, ok := cr.Data.Object.(*unstructured.Unstructured)
	if !ok {
		return otherwise
	}
	t, err := podTemplate(&unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"template": templateOf(u)}}})
	if i := containerIndex(t.Spec.Containers, container); err == nil && i >= 0 {
		return t.Spec.Containers[i].Image
	}
	return otherwise
}

// worthReturningTo picks the revision a rollback restores: the one that was last
// complete if it has pods ready, else the one being rolled out, else the newest that
// has any; where all are down, the one that was last complete.
func (v setView) worthReturningTo(kept []*appsv1.ControllerRevision) *appsv1.ControllerRevision {
	named := func(name string) *appsv1.ControllerRevision {
		for _, cr := range kept {
			if cr.Name == name {
				return cr
			}
		}
		return nil
	}
	for _, name := range []string{v.set.Status.CurrentRevision, v.set.Status.UpdateRevision} {
		if cr := named(name); cr != nil && v.ready(name) > 0 {
			return cr
		}
	}
	var best *appsv1.ControllerRevision
	for _, cr := range kept {
		if v.ready(cr.Name) > 0 && (best == nil || cr.Revision > best.Revision) {
			best = cr
		}
	}
	if best == nil {
		best = named(v.set.Status.CurrentRevision)
	}
	return best
}

func (r *run) lookAtSet(ctx context.Context, o ref, own string) (string, error) {
	v, err := r.c.setView(ctx, o)
	if err != nil {
		return "", problem(err, "cannot read "+o.String())
	}
	versions, ready, all := []string{}, map[string]int{}, map[string]int{}
	for _, p := range v.pods {
		name := versionIn(p.Spec.Containers, r.s.Stable.Container)
		if all[name] == 0 {
			versions = append(versions, name)
		}
		all[name]++
		if isReady(p) {
			ready[name]++
		}
	}
	text := ""
	for _, name := range versions {
		text += fmt.Sprintf("%s %d/%d ready, ", name, ready[name], all[name])
	}
	text += fmt.Sprintf("partition %d", v.partition())
	if err := v.trouble(""); err != nil {
		text += ", " + state.AsProblem(err).What
	}
	return fmt.Sprintf("%s: %s (%s)", o, text, own), nil
}
