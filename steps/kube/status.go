package kube

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"mayday/state"
)

// rolledOut says whether a Deployment's rollout is complete, by the rule of
// "kubectl rollout status": the controller has seen the newest generation, every
// replica is updated, no old one is left, and all updated ones are available. The
// text is for a progress line. The error is a rollout that cannot succeed. asked is
// the generation that counts as the newest: the Deployment's own, or see view.heard.
func rolledOut(d *appsv1.Deployment, asked int64) (bool, string, error) {
	st, want := d.Status, replicasOf(d.Spec.Replicas)
	if asked > st.ObservedGeneration {
		return false, "waiting for the controller to see the change", nil
	}
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded" {
			return false, "", &state.Problem{What: "Deployment " + d.Name + " makes no progress", Code: "no-progress",
				Why: state.Clean(c.Message), Do: "Look at its pods: kubectl -n " + d.Namespace + " describe deployment " + d.Name}
		}
	}
	switch {
	case st.UpdatedReplicas < want:
		return false, fmt.Sprintf("%d of %d updated, %d ready", st.UpdatedReplicas, want, st.ReadyReplicas), nil
	case st.Replicas > st.UpdatedReplicas:
		return false, fmt.Sprintf("%d old pods ending", st.Replicas-st.UpdatedReplicas), nil
	case st.AvailableReplicas < st.UpdatedReplicas:
		return false, fmt.Sprintf("%d of %d available", st.AvailableReplicas, st.UpdatedReplicas), nil
	}
	return true, fmt.Sprintf("%d/%d ready", st.ReadyReplicas, want), nil
}

// sameTemplate compares pod templates as the Deployment controller does: without
// the hash label it adds.
func sameTemplate(a, b corev1.PodTemplateSpec) bool {
	return apiequality.Semantic.DeepEqual(withoutHash(a), withoutHash(b))
}

func withoutHash(t corev1.PodTemplateSpec) corev1.PodTemplateSpec {
	t = *t.DeepCopy()
	delete(t.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return t
}

// currentSet gives the ReplicaSet of the Deployment's present template, nil where
// the controller has not made it yet.
func currentSet(d *appsv1.Deployment, sets []*appsv1.ReplicaSet) *appsv1.ReplicaSet {
	var found *appsv1.ReplicaSet
	for _, rs := range sets {
		if sameTemplate(rs.Spec.Template, d.Spec.Template) && (found == nil || revisionOf(rs) > revisionOf(found)) {
			found = rs
		}
	}
	return found
}

// hopeless are the reasons a waiting container gives that do not pass by themselves.
var hopeless = map[string]string{
	"CrashLoopBackOff":           "the container crashes again and again",
	"ImagePullBackOff":           "the image cannot be pulled",
	"ErrImagePull":               "the image cannot be pulled",
	"InvalidImageName":           "the image's name is invalid",
	"ErrImageNeverPull":          "the image is not on the node",
	"CreateContainerConfigError": "a ConfigMap or Secret is missing",
	"CreateContainerError":       "the container cannot be created",
	"RunContainerError":          "the container cannot be started",
}

// trouble finds what keeps the pods of one ReplicaSet from getting ready and will
// not pass by itself; nil where nothing does.
func trouble(d *appsv1.Deployment, rs *appsv1.ReplicaSet, list []*corev1.Pod) error {
	if rs == nil {
		return quota(d)
	}
	hash := rs.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
	for _, p := range list {
		if p.Labels[appsv1.DefaultDeploymentUniqueLabelKey] != hash || p.DeletionTimestamp != nil {
			continue
		}
		if err := podTrouble(p); err != nil {
			return err
		}
	}
	return quota(d)
}

func podTrouble(p *corev1.Pod) error {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return podProblem(p, c.Reason, "no node takes it", c.Message, "describe pod "+p.Name)
		}
	}
	all := append(append([]corev1.ContainerStatus(nil), p.Status.InitContainerStatuses...), p.Status.ContainerStatuses...)
	for _, c := range all {
		w := c.State.Waiting
		if w == nil {
			continue
		}
		if why, ok := hopeless[w.Reason]; ok {
			look := "describe pod " + p.Name
			if w.Reason == "CrashLoopBackOff" { // of the others no container ever ran
				look = "logs --previous " + p.Name + " -c " + c.Name
			}
			return podProblem(p, w.Reason, why, w.Message, look)
		}
	}
	return nil
}

func podProblem(p *corev1.Pod, reason, why, message, look string) error {
	if message != "" {
		why += " (" + state.Clean(message) + ")"
	}
	return &state.Problem{What: "pod " + p.Name + ": " + state.Clean(reason), Why: why, Code: "pod",
		Do: "Look: kubectl -n " + p.Namespace + " " + look + ". Then roll back, or stop and mend it."}
}

// quota reports pods that could not even be created.
func quota(d *appsv1.Deployment) error {
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			return &state.Problem{What: "Deployment " + d.Name + " cannot create pods", Why: state.Clean(c.Message), Code: "quota",
				Do: "Make room: kubectl -n " + d.Namespace + " describe resourcequota. Then go on."}
		}
	}
	return nil
}
