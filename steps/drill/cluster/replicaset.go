package cluster

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// syncReplicaSet makes the number of Pods what it should be and counts them.
func (c *controllers) syncReplicaSet(t task) {
	rs, ok := stored[*appsv1.ReplicaSet](c.store, replicaSets, t.ns, t.name)
	if !ok {
		return
	}
	c.claimPods(rs)
	var err error
	reason := "FailedCreate"
	if rs.DeletionTimestamp == nil {
		have, _ := c.podsOf(rs)
		switch diff := len(have) - int(*rs.Spec.Replicas); {
		case diff < 0:
			err = c.createPods(rs, -diff)
		case diff > 0:
			reason, err = "FailedDelete", c.deletePods(rs, have, diff)
		}
		c.again(t, err)
	}
	c.again(t, c.countPods(t, rs, c.failure(rs, reason, err)))
}

// failure is the ReplicaSet's condition that its pods cannot be made or removed. The
// first error stays until there is none.
func (c *controllers) failure(rs *appsv1.ReplicaSet, reason string, err error) []appsv1.ReplicaSetCondition {
	if err == nil {
		return nil
	}
	if len(rs.Status.Conditions) > 0 {
		return rs.Status.Conditions
	}
	return []appsv1.ReplicaSetCondition{{Type: appsv1.ReplicaSetReplicaFailure, Status: corev1.ConditionTrue, Reason: reason,
		Message: err.Error(), LastTransitionTime: c.stamp()}}
}

// podsOf gives the Pods that count towards a ReplicaSet, and how many are on their
// way out.
func (c *controllers) podsOf(rs *appsv1.ReplicaSet) (counted []*corev1.Pod, terminating int32) {
	items, _ := c.store.list(pods, rs.Namespace)
	for _, it := range items {
		p := it.obj.(*corev1.Pod)
		switch {
		case !metav1.IsControlledBy(p, rs):
		case active(p):
			counted = append(counted, p)
		case p.DeletionTimestamp != nil:
			terminating++
		}
	}
	return counted, terminating
}

// claimPods adopts Pods without a controller that the selector matches, and releases
// its own that it no longer matches: that is how a Pod is isolated for a look.
func (c *controllers) claimPods(rs *appsv1.ReplicaSet) {
	sel, err := metav1.LabelSelectorAsSelector(rs.Spec.Selector)
	if err != nil || rs.DeletionTimestamp != nil {
		return
	}
	items, _ := c.store.list(pods, rs.Namespace)
	for _, it := range items {
		p := it.obj.(*corev1.Pod)
		matches := sel.Matches(labels.Set(p.Labels))
		mine := metav1.IsControlledBy(p, rs)
		if p.DeletionTimestamp != nil || matches == mine || !mine && (metav1.GetControllerOf(p) != nil || !active(p)) {
			continue
		}
		_, err := c.store.update(pods, p.Namespace, p.Name, write{manager: controllerManager}, func(cur object) (object, error) {
			next := clone(cur)
			refs := slices.DeleteFunc(slices.Clone(next.GetOwnerReferences()), func(r metav1.OwnerReference) bool { return r.UID == rs.UID })
			if matches {
				refs = append(refs, *metav1.NewControllerRef(rs, replicaSets.gvk()))
			}
			next.SetOwnerReferences(refs)
			return next, nil
		})
		c.again(task{class: classReplicaSet, ns: rs.Namespace, name: rs.Name}, err)
	}
}

func (c *controllers) createPods(rs *appsv1.ReplicaSet, n int) error {
	for range n {
		template := rs.Spec.Template.DeepCopy()
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: rs.Name + "-", Namespace: rs.Namespace,
			Labels: template.Labels, Annotations: template.Annotations, Finalizers: template.Finalizers,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(rs, replicaSets.gvk())}}, Spec: template.Spec}
		it, err := c.store.create(pods, p, write{manager: controllerManager})
		if err != nil {
			c.recordEvent(rs, "replicaset-controller", "FailedCreate", "Error creating: %v", err)
			return err
		}
		c.recordEvent(rs, "replicaset-controller", "SuccessfulCreate", "Created pod: %s", it.obj.GetName())
	}
	return nil
}

func (c *controllers) deletePods(rs *appsv1.ReplicaSet, have []*corev1.Pod, n int) error {
	slices.SortStableFunc(have, leastMissed)
	for _, p := range have[:n] {
		uid := p.UID
		_, _, err := c.store.remove(pods, p.Namespace, p.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}, write{manager: controllerManager})
		if err != nil {
			c.recordEvent(rs, "replicaset-controller", "FailedDelete", "Error deleting: %v", err)
			return err
		}
		c.recordEvent(rs, "replicaset-controller", "SuccessfulDelete", "Deleted pod: %s", p.Name)
	}
	return nil
}

// leastMissed orders Pods by how little their end would be noticed: not on a node,
// not running, not ready, cheap to delete, ready for a short time, often restarted,
// young.
func leastMissed(a, b *corev1.Pod) int {
	sinceA, readyA := readyTime(a)
	sinceB, readyB := readyTime(b)
	rank := map[corev1.PodPhase]int{corev1.PodPending: 0, corev1.PodUnknown: 1, corev1.PodRunning: 2}
	return cmp.Or(
		compareBool(a.Spec.NodeName != "", b.Spec.NodeName != ""),
		cmp.Compare(rank[a.Status.Phase], rank[b.Status.Phase]),
		compareBool(readyA, readyB),
		cmp.Compare(deletionCost(a), deletionCost(b)),
		sinceB.Compare(sinceA),
		cmp.Compare(restarts(b), restarts(a)),
		b.CreationTimestamp.Compare(a.CreationTimestamp.Time),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func deletionCost(p *corev1.Pod) int {
	n, err := strconv.ParseInt(p.Annotations[corev1.PodDeletionCost], 10, 32)
	if err != nil {
		return 0
	}
	return int(n)
}

func restarts(p *corev1.Pod) int32 {
	most := int32(0)
	for _, s := range p.Status.ContainerStatuses {
		most = max(most, s.RestartCount)
	}
	return most
}

// countPods writes the ReplicaSet's status, and comes back when the next Pod has been
// ready for long enough.
func (c *controllers) countPods(t task, rs *appsv1.ReplicaSet, conditions []appsv1.ReplicaSetCondition) error {
	counted, terminating := c.podsOf(rs)
	now := c.store.now()
	st := appsv1.ReplicaSetStatus{Replicas: int32(len(counted)), TerminatingReplicas: &terminating,
		ObservedGeneration: rs.Generation, Conditions: conditions}
	var next time.Time
	for _, p := range counted {
		if labels.SelectorFromSet(rs.Spec.Template.Labels).Matches(labels.Set(p.Labels)) {
			st.FullyLabeledReplicas++
		}
		at, ready := availableAt(p, rs.Spec.MinReadySeconds)
		if !ready {
			continue
		}
		st.ReadyReplicas++
		if !at.After(now) {
			st.AvailableReplicas++
		} else if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if !next.IsZero() {
		c.queueAt(t, next)
	}
	if apiequality.Semantic.DeepEqual(st, rs.Status) {
		return nil
	}
	_, err := c.store.update(replicaSets, rs.Namespace, rs.Name, write{manager: controllerManager, sub: "status"}, func(cur object) (object, error) {
		n := clone(cur.(*appsv1.ReplicaSet))
		n.Status = st
		return n, nil
	})
	return err
}
