package cluster

import (
	"math"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
)

// scale follows a change of spec.replicas. With one ReplicaSet it takes the size;
// in mid-rollout all of them grow or shrink in proportion, so that the rollout stays
// as far as it is and no version is favoured.
func (r *rollout) scale() error {
	var running []*appsv1.ReplicaSet
	for _, rs := range r.all() {
		if *rs.Spec.Replicas > 0 {
			running = append(running, rs)
		}
	}
	if len(running) == 0 {
		if r.newRS != nil {
			return r.resize(r.newRS, *r.d.Spec.Replicas)
		}
		if len(r.old) > 0 {
			return r.resize(r.old[len(r.old)-1], *r.d.Spec.Replicas)
		}
		return nil
	}
	if len(running) == 1 {
		return r.resize(running[0], *r.d.Spec.Replicas)
	}
	if r.saturated() {
		for _, rs := range r.old {
			if *rs.Spec.Replicas > 0 {
				if err := r.resize(rs, 0); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if r.d.Spec.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType {
		return nil
	}
	return r.share(running)
}

// saturated says that the new ReplicaSet has all that the Deployment wants.
func (r *rollout) saturated() bool {
	if r.newRS == nil {
		return false
	}
	want := *r.d.Spec.Replicas
	sized, ok := desired(r.newRS)
	return ok && *r.newRS.Spec.Replicas == want && sized == want && r.newRS.Status.AvailableReplicas == want
}

// share spreads the difference over the running ReplicaSets; what rounding leaves
// over goes to the largest.
func (r *rollout) share(running []*appsv1.ReplicaSet) error {
	most := int32(0)
	if *r.d.Spec.Replicas > 0 {
		most = *r.d.Spec.Replicas + r.surge()
	}
	diff := most - wanted(running)
	slices.SortStableFunc(running, func(a, b *appsv1.ReplicaSet) int {
		if d := *b.Spec.Replicas - *a.Spec.Replicas; d != 0 {
			return int(d)
		}
		if diff > 0 {
			return older(b, a)
		}
		return older(a, b)
	})
	sizes, given := make([]int32, len(running)), int32(0)
	for i, rs := range running {
		part := r.fraction(rs)
		if diff >= 0 {
			part = min(part, diff-given)
		} else {
			part = max(part, diff-given)
		}
		given += part
		sizes[i] = *rs.Spec.Replicas + part
	}
	sizes[0] += diff - given
	for i, rs := range running {
		if err := r.resize(rs, max(0, sizes[i])); err != nil {
			return err
		}
	}
	return nil
}

// fraction is by how much a ReplicaSet changes if it keeps its share.
func (r *rollout) fraction(rs *appsv1.ReplicaSet) int32 {
	size := *rs.Spec.Replicas
	if *r.d.Spec.Replicas == 0 {
		return -size
	}
	before, err := strconv.ParseInt(rs.Annotations[maxAnnotation], 10, 32)
	if err != nil || before <= 0 {
		before = int64(max(r.d.Status.Replicas, 1))
	}
	most := float64(*r.d.Spec.Replicas + r.surge())
	return int32(math.Round(float64(size)*most/float64(before))) - size
}
