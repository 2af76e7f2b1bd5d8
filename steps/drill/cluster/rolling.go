package cluster

import (
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// surge is how many Pods there may be beyond spec.replicas during a rollout.
func (r *rollout) surge() int32 {
	s, _ := bounds(r.d)
	return s
}

// bounds resolves maxSurge and maxUnavailable, percentages of the replicas: surge
// rounded up, unavailable rounded down, and never both 0, or nothing could move.
func bounds(d *appsv1.Deployment) (surge, unavailable int32) {
	ru := d.Spec.Strategy.RollingUpdate
	if d.Spec.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType || ru == nil {
		return 0, 0
	}
	n := int(*d.Spec.Replicas)
	s, _ := intstr.GetScaledValueFromIntOrPercent(ru.MaxSurge, n, true) // validated when it was written
	u, _ := intstr.GetScaledValueFromIntOrPercent(ru.MaxUnavailable, n, false)
	if s == 0 && u == 0 {
		u = 1
	}
	return int32(s), int32(min(u, n))
}

// roll is one move of a rolling update: first more new Pods as far as the surge
// lets, then fewer old ones as far as enough stay available.
func (r *rollout) roll() error {
	if err := r.load(true); err != nil || r.newRS == nil {
		return err
	}
	if size := r.newSize(*r.newRS.Spec.Replicas); size != *r.newRS.Spec.Replicas {
		if err := r.resize(r.newRS, size); err != nil {
			return err
		}
		return r.reloadAndJudge()
	}
	moved, err := r.shrinkOld()
	if err != nil {
		return err
	}
	if moved {
		return r.reloadAndJudge()
	}
	return r.finish()
}

// newSize is how large the new ReplicaSet may be now that it has have replicas.
func (r *rollout) newSize(have int32) int32 {
	want := *r.d.Spec.Replicas
	if have >= want || r.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return want
	}
	room := want + r.surge() - wanted(r.all())
	return have + max(0, min(room, want-have))
}

// wanted sums spec.replicas.
func wanted(sets []*appsv1.ReplicaSet) int32 {
	n := int32(0)
	for _, rs := range sets {
		n += *rs.Spec.Replicas
	}
	return n
}

// available sums the available Pods, of each ReplicaSet at most those that it will
// keep: a set that has just been shrunk may not have counted yet.
func available(sets []*appsv1.ReplicaSet) int32 {
	n := int32(0)
	for _, rs := range sets {
		n += min(rs.Status.AvailableReplicas, *rs.Spec.Replicas)
	}
	return n
}

// shrinkOld takes away old Pods: those that serve nobody first, as long as the rest
// can still reach the minimum; then those that the available new ones replace.
func (r *rollout) shrinkOld() (bool, error) {
	if wanted(r.old) == 0 {
		return false, nil
	}
	_, unavailable := bounds(r.d)
	least := *r.d.Spec.Replicas - unavailable
	pending := *r.newRS.Spec.Replicas - min(r.newRS.Status.AvailableReplicas, *r.newRS.Spec.Replicas)
	spare := wanted(r.all()) - least - pending
	if spare <= 0 {
		return false, nil
	}
	sick := int32(0)
	for i, rs := range r.old {
		n := min(spare-sick, *rs.Spec.Replicas-min(rs.Status.AvailableReplicas, *rs.Spec.Replicas))
		if n <= 0 {
			continue
		}
		sick += n
		if err := r.resizeOld(i, *rs.Spec.Replicas-n); err != nil {
			return true, err
		}
	}
	healthy := available(r.all()) - least
	moved := sick > 0
	for i, rs := range r.old {
		n := min(healthy, *rs.Spec.Replicas)
		if n <= 0 {
			continue
		}
		healthy -= n
		moved = true
		if err := r.resizeOld(i, *rs.Spec.Replicas-n); err != nil {
			return true, err
		}
	}
	return moved, nil
}

// resizeOld resizes an old ReplicaSet and keeps the list current.
func (r *rollout) resizeOld(i int, n int32) error {
	name := r.old[i].Name
	if err := r.resize(r.old[i], n); err != nil {
		return err
	}
	if rs, ok := stored[*appsv1.ReplicaSet](r.c.store, replicaSets, r.d.Namespace, name); ok {
		r.old = slices.Clone(r.old)
		r.old[i] = rs
	}
	return nil
}

// sizes are the annotations that say what a ReplicaSet was sized for.
func (r *rollout) sizes() map[string]string {
	return map[string]string{
		desiredAnnotation: strconv.Itoa(int(*r.d.Spec.Replicas)),
		maxAnnotation:     strconv.Itoa(int(*r.d.Spec.Replicas + r.surge())),
	}
}

// resize sets a ReplicaSet's replicas.
func (r *rollout) resize(rs *appsv1.ReplicaSet, n int32) error {
	was := *rs.Spec.Replicas
	_, err := r.c.store.update(replicaSets, rs.Namespace, rs.Name, write{manager: controllerManager}, func(cur object) (object, error) {
		next := clone(cur.(*appsv1.ReplicaSet))
		next.Spec.Replicas = &n
		if next.Annotations == nil {
			next.Annotations = map[string]string{}
		}
		maps.Copy(next.Annotations, r.sizes())
		return next, nil
	})
	if err != nil || was == n {
		return err
	}
	way := "up"
	if n < was {
		way = "down"
	}
	r.c.recordEvent(r.d, deploymentController, "ScalingReplicaSet", "Scaled %s replica set %s from %d to %d", way, rs.Name, was, n)
	return nil
}
