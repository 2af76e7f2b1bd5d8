package cluster

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// deploymentController is its name in Events.
const deploymentController = "deployment-controller"

// rollout is one look at a Deployment: what it is, what it has, and the status that
// follows from it. Everything was read after the last write.
type rollout struct {
	c *controllers
	t task
	d *appsv1.Deployment // as stored: not to be changed

	newRS *appsv1.ReplicaSet   // of the current template, nil if there is none yet
	old   []*appsv1.ReplicaSet // all others, the oldest first
	conds []appsv1.DeploymentCondition
	clash *int32 // the status' collisionCount
}

// syncDeployment takes a Deployment one move further. Each move changes ReplicaSets,
// whose changes bring it back here.
func (c *controllers) syncDeployment(t task) {
	d, ok := stored[*appsv1.Deployment](c.store, deployments, t.ns, t.name)
	if !ok {
		return
	}
	c.again(t, c.claimReplicaSets(d))
	r := &rollout{c: c, t: t, d: d, conds: slices.Clone(d.Status.Conditions), clash: d.Status.CollisionCount}
	c.again(t, r.sync())
}

func (r *rollout) sync() error {
	if err := r.load(false); err != nil {
		return err
	}
	if r.d.DeletionTimestamp != nil {
		return r.writeStatus(r.count())
	}
	r.notePause()
	if r.d.Spec.Paused || r.rescaled() {
		if err := r.scale(); err != nil {
			return err
		}
		if r.d.Spec.Paused {
			if err := r.cleanUp(); err != nil {
				return err
			}
		}
		return r.reloadAndCount()
	}
	if r.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return r.recreate()
	}
	return r.roll()
}

// claimReplicaSets adopts ReplicaSets without a controller that the selector
// matches, as after a Deployment was deleted with --cascade=orphan and made again.
func (c *controllers) claimReplicaSets(d *appsv1.Deployment) error {
	sel, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil || d.DeletionTimestamp != nil {
		return err
	}
	items, _ := c.store.list(replicaSets, d.Namespace)
	for _, it := range items {
		if it.obj.GetDeletionTimestamp() != nil || metav1.GetControllerOf(it.obj) != nil || !sel.Matches(labels.Set(it.obj.GetLabels())) {
			continue
		}
		_, err := c.store.update(replicaSets, d.Namespace, it.obj.GetName(), write{manager: controllerManager}, func(cur object) (object, error) {
			next := clone(cur)
			next.SetOwnerReferences(append(slices.Clone(next.GetOwnerReferences()), *metav1.NewControllerRef(d, deployments.gvk())))
			return next, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// read reads the ReplicaSets of the Deployment, the oldest first.
func (r *rollout) read() {
	r.newRS, r.old = nil, nil
	items, _ := r.c.store.list(replicaSets, r.d.Namespace)
	var all []*appsv1.ReplicaSet
	for _, it := range items {
		if rs := it.obj.(*appsv1.ReplicaSet); metav1.IsControlledBy(rs, r.d) {
			all = append(all, rs)
		}
	}
	slices.SortStableFunc(all, older)
	for _, rs := range all {
		if r.newRS == nil && sameTemplate(rs, r.d) {
			r.newRS = rs
		} else {
			r.old = append(r.old, rs)
		}
	}
}

func older(a, b *appsv1.ReplicaSet) int {
	return a.CreationTimestamp.Compare(b.CreationTimestamp.Time)
}

// sameTemplate says that a ReplicaSet makes the Pods the Deployment wants now.
func sameTemplate(rs *appsv1.ReplicaSet, d *appsv1.Deployment) bool {
	a, b := rs.Spec.Template.DeepCopy(), d.Spec.Template.DeepCopy()
	delete(a.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	delete(b.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return apiequality.Semantic.DeepEqual(a, b)
}

// all lists every ReplicaSet there is.
func (r *rollout) all() []*appsv1.ReplicaSet {
	if r.newRS == nil {
		return r.old
	}
	return append(slices.Clone(r.old), r.newRS)
}

// rescaled says that somebody changed spec.replicas since the ReplicaSets were sized.
func (r *rollout) rescaled() bool {
	for _, rs := range r.all() {
		if want, ok := desired(rs); ok && *rs.Spec.Replicas > 0 && want != *r.d.Spec.Replicas {
			return true
		}
	}
	return false
}

// recreate stops everything old before it starts anything new.
func (r *rollout) recreate() error {
	stopped := false
	for _, rs := range r.old {
		if *rs.Spec.Replicas > 0 {
			stopped = true
			if err := r.resize(rs, 0); err != nil {
				return err
			}
		}
	}
	if stopped || r.oldPodsLive() {
		return r.reloadAndJudge()
	}
	if r.newRS == nil {
		if err := r.load(true); err != nil {
			return err
		}
	}
	if r.newRS != nil {
		if err := r.resize(r.newRS, *r.d.Spec.Replicas); err != nil {
			return err
		}
	}
	return r.finish()
}

// oldPodsLive says that Pods of old ReplicaSets still run or terminate.
func (r *rollout) oldPodsLive() bool {
	for _, rs := range r.old {
		counted, terminating := r.c.podsOf(rs)
		if len(counted) > 0 || terminating > 0 {
			return true
		}
	}
	return false
}

// finish tidies up behind a complete rollout and writes the status.
func (r *rollout) finish() error {
	if complete(r.d, &r.d.Status) {
		if err := r.cleanUp(); err != nil {
			return err
		}
	}
	return r.reloadAndJudge()
}

// cleanUp deletes old ReplicaSets beyond the history limit, the oldest revision first.
func (r *rollout) cleanUp() error {
	spare := len(r.old) - int(*r.d.Spec.RevisionHistoryLimit)
	if spare <= 0 {
		return nil
	}
	byRevision := slices.Clone(r.old)
	slices.SortStableFunc(byRevision, func(a, b *appsv1.ReplicaSet) int { return int(revision(a) - revision(b)) })
	for _, rs := range byRevision[:spare] {
		if rs.Status.Replicas != 0 || *rs.Spec.Replicas != 0 || rs.Generation > rs.Status.ObservedGeneration || rs.DeletionTimestamp != nil {
			continue
		}
		if _, _, err := r.c.store.remove(replicaSets, rs.Namespace, rs.Name, metav1.DeleteOptions{}, write{manager: controllerManager}); err != nil {
			return err
		}
	}
	return nil
}
