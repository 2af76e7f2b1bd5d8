package cluster

import (
	"fmt"
	"math"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
)

// Reasons of the condition Progressing that are compared as well as written.
const (
	reasonComplete = "NewReplicaSetAvailable"
	reasonTimedOut = "ProgressDeadlineExceeded"
	reasonPaused   = "DeploymentPaused"
)

func hasDeadline(d *appsv1.Deployment) bool {
	return d.Spec.ProgressDeadlineSeconds != nil && *d.Spec.ProgressDeadlineSeconds != math.MaxInt32
}

func (r *rollout) condition(kind appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range r.conds {
		if r.conds[i].Type == kind {
			return &r.conds[i]
		}
	}
	return nil
}

// set sets a condition. One that says the same already keeps its times and message.
func (r *rollout) set(kind appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason, message string) {
	if have := r.condition(kind); have != nil && have.Status == status && have.Reason == reason {
		return
	}
	r.renew(kind, status, reason, message)
}

// renew sets a condition and its time of update, even if it says the same already.
func (r *rollout) renew(kind appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason, message string) {
	now := r.c.stamp()
	next := appsv1.DeploymentCondition{Type: kind, Status: status, Reason: reason, Message: message, LastUpdateTime: now, LastTransitionTime: now}
	if have := r.condition(kind); have != nil && have.Status == status {
		next.LastTransitionTime = have.LastTransitionTime
	}
	r.conds = append(slices.DeleteFunc(slices.Clone(r.conds), func(c appsv1.DeploymentCondition) bool { return c.Type == kind }), next)
}

// notePause shows in the conditions that a rollout is paused or goes on: the time
// it was paused does not count towards the deadline.
func (r *rollout) notePause() {
	have := r.condition(appsv1.DeploymentProgressing)
	if !hasDeadline(r.d) || have != nil && have.Reason == reasonTimedOut {
		return
	}
	noted := have != nil && have.Reason == reasonPaused
	switch {
	case r.d.Spec.Paused && !noted:
		r.set(appsv1.DeploymentProgressing, corev1.ConditionUnknown, reasonPaused, "Deployment is paused")
	case !r.d.Spec.Paused && noted:
		r.set(appsv1.DeploymentProgressing, corev1.ConditionUnknown, "DeploymentResumed", "Deployment is resumed")
	}
}

// count is the status that the ReplicaSets add up to.
func (r *rollout) count() appsv1.DeploymentStatus {
	st := appsv1.DeploymentStatus{ObservedGeneration: r.d.Generation, CollisionCount: r.clash}
	terminating := int32(0)
	for _, rs := range r.all() {
		st.Replicas += rs.Status.Replicas
		st.ReadyReplicas += rs.Status.ReadyReplicas
		st.AvailableReplicas += rs.Status.AvailableReplicas
		if rs.Status.TerminatingReplicas != nil {
			terminating += *rs.Status.TerminatingReplicas
		}
	}
	st.TerminatingReplicas = &terminating
	if r.newRS != nil {
		st.UpdatedReplicas = r.newRS.Status.Replicas
	}
	st.UnavailableReplicas = max(0, wanted(r.all())-st.AvailableReplicas)
	_, unavailable := bounds(r.d)
	if st.AvailableReplicas >= *r.d.Spec.Replicas-unavailable {
		r.set(appsv1.DeploymentAvailable, corev1.ConditionTrue, "MinimumReplicasAvailable", "Deployment has minimum availability.")
	} else {
		r.set(appsv1.DeploymentAvailable, corev1.ConditionFalse, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
	}
	return st
}

// reloadAndCount writes the status without judging the progress.
func (r *rollout) reloadAndCount() error {
	r.read()
	return r.writeStatus(r.count())
}

// reloadAndJudge writes the status and what it says of the rollout's progress.
func (r *rollout) reloadAndJudge() error {
	r.read()
	st := r.count()
	r.noteFailure()
	if !hasDeadline(r.d) {
		r.conds = slices.DeleteFunc(slices.Clone(r.conds), func(c appsv1.DeploymentCondition) bool { return c.Type == appsv1.DeploymentProgressing })
		return r.writeStatus(st)
	}
	have := r.condition(appsv1.DeploymentProgressing)
	if have == nil || have.Reason != reasonComplete || st.Replicas != st.UpdatedReplicas {
		r.judge(&st)
	}
	if err := r.writeStatus(st); err != nil {
		return err
	}
	r.watchDeadline(&st)
	return nil
}

// noteFailure passes on that a ReplicaSet cannot make its Pods, the newest one's first.
func (r *rollout) noteFailure() {
	all := r.old
	if r.newRS != nil {
		all = append([]*appsv1.ReplicaSet{r.newRS}, r.old...)
	}
	for _, rs := range all {
		for _, c := range rs.Status.Conditions {
			if c.Type == appsv1.ReplicaSetReplicaFailure {
				r.set(appsv1.DeploymentReplicaFailure, c.Status, c.Reason, c.Message)
				return
			}
		}
	}
	r.conds = slices.DeleteFunc(slices.Clone(r.conds), func(c appsv1.DeploymentCondition) bool { return c.Type == appsv1.DeploymentReplicaFailure })
}

func (r *rollout) judge(st *appsv1.DeploymentStatus) {
	what := fmt.Sprintf("Deployment %q", r.d.Name)
	if r.newRS != nil {
		what = fmt.Sprintf("ReplicaSet %q", r.newRS.Name)
	}
	switch {
	case complete(r.d, st):
		r.set(appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonComplete, what+" has successfully progressed.")
	case progressed(&r.d.Status, st):
		r.renew(appsv1.DeploymentProgressing, corev1.ConditionTrue, "ReplicaSetUpdated", what+" is progressing.")
	case r.timedOut():
		r.set(appsv1.DeploymentProgressing, corev1.ConditionFalse, reasonTimedOut, what+" has timed out progressing.")
	}
}

// complete says that all Pods are new and available and nothing else is left.
func complete(d *appsv1.Deployment, st *appsv1.DeploymentStatus) bool {
	want := *d.Spec.Replicas
	return st.UpdatedReplicas == want && st.Replicas == want && st.AvailableReplicas == want && st.ObservedGeneration >= d.Generation
}

// progressed says that something got better since the last status.
func progressed(was, is *appsv1.DeploymentStatus) bool {
	return is.UpdatedReplicas > was.UpdatedReplicas || is.Replicas-is.UpdatedReplicas < was.Replicas-was.UpdatedReplicas ||
		is.ReadyReplicas > was.ReadyReplicas || is.AvailableReplicas > was.AvailableReplicas
}

// timedOut says that nothing got better for longer than the deadline. A rollout
// that was complete does not time out when Pods fail later.
func (r *rollout) timedOut() bool {
	have := r.condition(appsv1.DeploymentProgressing)
	switch {
	case have == nil, have.Reason == reasonComplete, r.d.Spec.Paused:
		return false
	case have.Reason == reasonTimedOut:
		return true
	}
	return have.LastUpdateTime.Add(deadline(r.d)).Before(r.c.store.now())
}

func deadline(d *appsv1.Deployment) time.Duration {
	return time.Duration(*d.Spec.ProgressDeadlineSeconds) * time.Second
}

// watchDeadline comes back when the rollout would be overdue.
func (r *rollout) watchDeadline(st *appsv1.DeploymentStatus) {
	have := r.condition(appsv1.DeploymentProgressing)
	if have == nil || have.Reason == reasonTimedOut || have.Reason == reasonComplete || complete(r.d, st) {
		delete(r.c.later, r.t)
		return
	}
	// Times are kept to the second: one more, so as not to come too early.
	r.c.later[r.t] = have.LastUpdateTime.Add(deadline(r.d) + time.Second)
}

func (r *rollout) writeStatus(st appsv1.DeploymentStatus) error {
	st.Conditions = r.conds
	if apiequality.Semantic.DeepEqual(st, r.d.Status) {
		return nil
	}
	_, err := r.c.store.update(deployments, r.d.Namespace, r.d.Name, write{manager: controllerManager, sub: "status"}, func(cur object) (object, error) {
		next := clone(cur.(*appsv1.Deployment))
		next.Status = st
		return next, nil
	})
	return err
}
