package cluster

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// stored gives an object of a typed kind, nil if there is none. It must not be changed.
func stored[T object](s *store, res *resource, ns, name string) (T, bool) {
	it, ok := s.get(res, ns, name)
	if !ok {
		var none T
		return none, false
	}
	return it.obj.(T), true
}

// syncPod is the scheduler, and what removes a terminating Pod that no kubelet
// removes.
func (c *controllers) syncPod(t task) {
	p, ok := stored[*corev1.Pod](c.store, pods, t.ns, t.name)
	if !ok {
		return
	}
	if p.DeletionTimestamp != nil {
		if c.store.now().Before(p.DeletionTimestamp.Time) {
			c.queueAt(t, p.DeletionTimestamp.Time)
			return
		}
		now := int64(0)
		uid := p.UID
		_, _, err := c.store.remove(pods, t.ns, t.name, metav1.DeleteOptions{GracePeriodSeconds: &now,
			Preconditions: &metav1.Preconditions{UID: &uid}}, write{manager: controllerManager})
		c.again(t, err)
		return
	}
	if p.Spec.NodeName == "" {
		c.bind(t, p)
	}
}

func (c *controllers) bind(t task, p *corev1.Pod) {
	w := write{manager: "kube-scheduler"}
	_, err := c.store.update(pods, t.ns, t.name, w, func(cur object) (object, error) {
		next := clone(cur.(*corev1.Pod))
		next.Spec.NodeName = NodeName
		return next, nil
	})
	if err != nil {
		c.again(t, err)
		return
	}
	w.sub = "status"
	_, err = c.store.update(pods, t.ns, t.name, w, func(cur object) (object, error) {
		next := clone(cur.(*corev1.Pod))
		for _, cond := range next.Status.Conditions {
			if cond.Type == corev1.PodScheduled {
				return next, nil
			}
		}
		next.Status.Conditions = append(next.Status.Conditions, corev1.PodCondition{Type: corev1.PodScheduled,
			Status: corev1.ConditionTrue, LastTransitionTime: c.stamp()})
		return next, nil
	})
	c.again(t, err)
	c.recordEvent(p, "default-scheduler", "Scheduled", "Successfully assigned %s/%s to %s", p.Namespace, p.Name, NodeName)
}

// retryAfterError is how long a controller waits after a write that failed.
const retryAfterError = time.Second

// again queues a task once more if its write failed for a reason that can pass. An
// object that is gone has its own change.
func (c *controllers) again(t task, err error) {
	if err != nil && !apierrors.IsNotFound(err) {
		c.queueAt(t, c.store.now().Add(retryAfterError))
	}
}

// readyTime says whether a Pod is ready, and since when.
func readyTime(p *corev1.Pod) (time.Time, bool) {
	for _, cond := range p.Status.Conditions {
		if cond.Type == corev1.PodReady {
			return cond.LastTransitionTime.Time, cond.Status == corev1.ConditionTrue
		}
	}
	return time.Time{}, false
}

// availableAt says from when on a ready Pod counts as available.
func availableAt(p *corev1.Pod, minReadySeconds int32) (time.Time, bool) {
	since, ready := readyTime(p)
	if minReadySeconds == 0 { // whatever the kubelet's clock says
		return time.Time{}, ready
	}
	return since.Add(time.Duration(minReadySeconds) * time.Second), ready
}

// active says that a Pod counts towards its ReplicaSet.
func active(p *corev1.Pod) bool {
	return p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed && p.DeletionTimestamp == nil
}
