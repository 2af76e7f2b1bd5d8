package cluster

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// statefulController is its name in Events.
const statefulController = "statefulset-controller"

// stateful is one look at a StatefulSet.
type stateful struct {
	c   *controllers
	t   task
	set *appsv1.StatefulSet // as stored: not to be changed

	revisions       []*appsv1.ControllerRevision // the oldest first
	current, update *appsv1.ControllerRevision
	clash           int32 // the status' collisionCount

	pods      []*corev1.Pod // by index, nil where there is none
	condemned []*corev1.Pod // beyond the wanted number, the highest ordinal first
}

// syncStatefulSet takes a StatefulSet one move further: its Pods' changes bring it
// back here. With OrderedReady it makes and ends one Pod at a time, and stands still
// at the first that is not ready, whichever way it was going.
func (c *controllers) syncStatefulSet(t task) {
	set, ok := stored[*appsv1.StatefulSet](c.store, statefulSets, t.ns, t.name)
	if !ok {
		return
	}
	s := &stateful{c: c, t: t, set: set}
	c.again(t, s.sync())
}

func (s *stateful) sync() error {
	if err := s.claim(); err != nil {
		return err
	}
	if err := s.loadRevisions(); err != nil {
		return err
	}
	s.read()
	var failed error
	if s.set.DeletionTimestamp == nil {
		failed = s.move()
	}
	s.read()
	if err := s.writeStatus(s.count()); err != nil {
		return err
	}
	return cmp.Or(failed, s.truncate())
}

// claim adopts Pods without a controller that have the name of one of its own.
func (s *stateful) claim() error {
	sel, err := metav1.LabelSelectorAsSelector(s.set.Spec.Selector)
	if err != nil || s.set.DeletionTimestamp != nil {
		return err
	}
	items, _ := s.c.store.list(pods, s.set.Namespace)
	for _, it := range items {
		p := it.obj.(*corev1.Pod)
		if _, named := s.ordinal(p); !named || metav1.GetControllerOf(p) != nil || p.DeletionTimestamp != nil || !sel.Matches(labels.Set(p.Labels)) {
			continue
		}
		_, err := s.c.store.update(pods, p.Namespace, p.Name, write{manager: controllerManager}, func(cur object) (object, error) {
			next := clone(cur)
			next.SetOwnerReferences(append(slices.Clone(next.GetOwnerReferences()), *metav1.NewControllerRef(s.set, statefulSets.gvk())))
			return next, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ordinal reads the number at the end of a Pod's name.
func (s *stateful) ordinal(p *corev1.Pod) (int, bool) {
	n, ok := strings.CutPrefix(p.Name, s.set.Name+"-")
	i, err := strconv.Atoi(n)
	return i, ok && err == nil && i >= 0
}

// start is the first ordinal.
func (s *stateful) start() int {
	if s.set.Spec.Ordinals == nil {
		return 0
	}
	return int(s.set.Spec.Ordinals.Start)
}

// read sorts the Pods there are by their place.
func (s *stateful) read() {
	s.pods, s.condemned = make([]*corev1.Pod, *s.set.Spec.Replicas), nil
	items, _ := s.c.store.list(pods, s.set.Namespace)
	for _, it := range items {
		p := it.obj.(*corev1.Pod)
		n, named := s.ordinal(p)
		if !named || !metav1.IsControlledBy(p, s.set) {
			continue
		}
		if i := n - s.start(); i >= 0 && i < len(s.pods) {
			s.pods[i] = p
		} else {
			s.condemned = append(s.condemned, p)
		}
	}
	slices.SortFunc(s.condemned, func(a, b *corev1.Pod) int {
		x, _ := s.ordinal(a)
		y, _ := s.ordinal(b)
		return y - x
	})
}

// usable says that a Pod is there, ready for long enough and not about to end.
func (s *stateful) usable(p *corev1.Pod) bool {
	if p == nil || p.DeletionTimestamp != nil {
		return false
	}
	at, ready := availableAt(p, s.set.Spec.MinReadySeconds)
	if ready && at.After(s.c.store.now()) {
		s.c.queueAt(s.t, at)
		return false
	}
	return ready
}

// move makes what is missing, then ends what is too much, then replaces what is old.
func (s *stateful) move() error {
	ordered := s.set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement
	for i, p := range s.pods {
		switch {
		case p == nil:
			if err := s.create(i); err != nil {
				return err
			}
		case p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded:
			if err := s.end(p); err != nil {
				return err
			}
		case p.Status.Phase == corev1.PodRunning && s.usable(p):
			continue
		}
		if ordered {
			return nil
		}
	}
	if stop, err := s.shrink(ordered); stop || err != nil {
		return err
	}
	if s.set.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		return nil
	}
	for i := len(s.pods) - 1; i >= s.partition(); i-- {
		p := s.pods[i]
		if p != nil && p.Labels[appsv1.StatefulSetRevisionLabel] != s.update.Name && p.DeletionTimestamp == nil {
			return s.end(p)
		}
		if !s.usable(p) {
			return nil
		}
	}
	return nil
}

// shrink ends Pods beyond the wanted number, the highest first.
func (s *stateful) shrink(ordered bool) (stop bool, err error) {
	first := s.firstUnusable()
	for _, p := range s.condemned {
		switch {
		case p.DeletionTimestamp != nil && ordered:
			return true, nil
		case p.DeletionTimestamp != nil:
			continue
		case ordered && !s.usable(p) && p != first:
			return true, nil
		}
		if err := s.end(p); err != nil || ordered {
			return true, err
		}
	}
	return false, nil
}

// firstUnusable gives the Pod that everything waits for, nil if none does.
func (s *stateful) firstUnusable() *corev1.Pod {
	for _, p := range s.pods {
		if !s.usable(p) {
			return p
		}
	}
	for _, p := range slices.Backward(s.condemned) {
		if !s.usable(p) {
			return p
		}
	}
	return nil
}

// partition is the index below which Pods keep the current revision.
func (s *stateful) partition() int {
	if r := s.set.Spec.UpdateStrategy.RollingUpdate; r != nil && r.Partition != nil {
		return int(*r.Partition)
	}
	return 0
}

// revisionFor gives the revision that a new Pod at an index gets.
func (s *stateful) revisionFor(i int) *appsv1.ControllerRevision {
	u, below := s.set.Spec.UpdateStrategy, s.partition()
	if u.Type == appsv1.RollingUpdateStatefulSetStrategyType && u.RollingUpdate == nil {
		below = int(s.set.Status.CurrentReplicas)
	}
	if i < below {
		return s.current
	}
	return s.update
}

func (s *stateful) create(i int) error {
	rev := s.revisionFor(i)
	template, err := templateIn(rev)
	if err != nil {
		return err
	}
	n := strconv.Itoa(s.start() + i)
	name := s.set.Name + "-" + n
	l := with(template.Labels, appsv1.StatefulSetPodNameLabel, name)
	l[appsv1.PodIndexLabel], l[appsv1.StatefulSetRevisionLabel] = n, rev.Name
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: s.set.Namespace, Labels: l, Annotations: template.Annotations, Finalizers: template.Finalizers,
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(s.set, statefulSets.gvk())}}, Spec: template.Spec}
	p.Spec.Hostname, p.Spec.Subdomain = name, s.set.Spec.ServiceName
	if _, err := s.c.store.create(pods, p, write{manager: controllerManager}); err != nil {
		s.c.recordEvent(s.set, statefulController, "FailedCreate", "create Pod %s in StatefulSet %s failed error: %v", name, s.set.Name, err)
		return err
	}
	s.c.recordEvent(s.set, statefulController, "SuccessfulCreate", "create Pod %s in StatefulSet %s successful", name, s.set.Name)
	return nil
}

func (s *stateful) end(p *corev1.Pod) error {
	if p.DeletionTimestamp != nil {
		return nil
	}
	uid := p.UID
	_, _, err := s.c.store.remove(pods, p.Namespace, p.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}, write{manager: controllerManager})
	if err != nil {
		return fmt.Errorf("end pod %s: %w", p.Name, err)
	}
	s.c.recordEvent(s.set, statefulController, "SuccessfulDelete", "delete Pod %s in StatefulSet %s successful", p.Name, s.set.Name)
	return nil
}

// count is the status that the Pods add up to. A complete update makes its revision
// the current one.
func (s *stateful) count() appsv1.StatefulSetStatus {
	st := appsv1.StatefulSetStatus{ObservedGeneration: s.set.Generation, CurrentRevision: s.current.Name, UpdateRevision: s.update.Name,
		CollisionCount: &s.clash, Conditions: s.set.Status.Conditions}
	for _, p := range slices.Concat(s.pods, s.condemned) {
		if p == nil {
			continue
		}
		st.Replicas++
		if at, ready := availableAt(p, s.set.Spec.MinReadySeconds); ready && p.Status.Phase == corev1.PodRunning {
			st.ReadyReplicas++
			if !at.After(s.c.store.now()) {
				st.AvailableReplicas++
			}
		}
		if p.DeletionTimestamp != nil {
			continue
		}
		if rev := p.Labels[appsv1.StatefulSetRevisionLabel]; rev == s.current.Name {
			st.CurrentReplicas++
		}
		if p.Labels[appsv1.StatefulSetRevisionLabel] == s.update.Name {
			st.UpdatedReplicas++
		}
	}
	want := *s.set.Spec.Replicas
	if s.set.Spec.UpdateStrategy.Type == appsv1.RollingUpdateStatefulSetStrategyType && st.UpdatedReplicas == want && st.ReadyReplicas == want && st.Replicas == want {
		st.CurrentReplicas, st.CurrentRevision = st.UpdatedReplicas, st.UpdateRevision
	}
	return st
}

func (s *stateful) writeStatus(st appsv1.StatefulSetStatus) error {
	if apiequality.Semantic.DeepEqual(st, s.set.Status) {
		return nil
	}
	_, err := s.c.store.update(statefulSets, s.set.Namespace, s.set.Name, write{manager: controllerManager, sub: "status"}, func(cur object) (object, error) {
		next := clone(cur.(*appsv1.StatefulSet))
		next.Status = st
		return next, nil
	})
	return err
}
