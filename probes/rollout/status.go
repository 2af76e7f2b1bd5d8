package rollout

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mayday/probes"
	"mayday/state"
)

// revisionKey is the annotation by which the controller numbers a Deployment's
// revisions, on it and on its ReplicaSets.
const revisionKey = "deployment.kubernetes.io/revision"

// replicaSet is as much of a ReplicaSet as tells revisions apart: old ones are many.
type replicaSet struct {
	Metadata struct {
		Labels      map[string]string       `json:"labels"`
		Annotations map[string]string       `json:"annotations"`
		Owners      []metav1.OwnerReference `json:"ownerReferences"`
	} `json:"metadata"`
}

// revision is the newest one of a Deployment. Known without a hash: no pod is of it yet.
type revision struct {
	known bool
	hash  string
}

func (r revision) has(p *corev1.Pod) bool {
	return !r.known || r.hash != "" && p.Labels[appsv1.DefaultDeploymentUniqueLabelKey] == r.hash
}

// status says how far a Deployment's rollout is. The value is the share of wanted
// replicas that are ready. It is complete exactly when kubectl rollout status says
// so; until then the verdict is at least warn, and crit where it is known that it
// will not get there by itself: its deadline passed, or a pod of the newest revision
// cannot start.
func status(d *appsv1.Deployment, pods []*corev1.Pod, newest revision) probes.Reading {
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	r := probes.Reading{Value: 1, Text: fmt.Sprintf("%d/%d ready", d.Status.ReadyReplicas, want)}
	if want > 0 {
		r.Value = min(float64(d.Status.ReadyReplicas)/float64(want), 1)
	}
	if why := stuck(d, pods, newest); why != "" {
		r.Verdict = state.Crit
		r.Text += ": " + why
	} else if why := waiting(d, want); why != "" {
		r.Verdict = state.Warn
		r.Text += ", " + why
	}
	if why := brokenOnes(pods, func(p *corev1.Pod) bool { return !newest.has(p) }); why != "" {
		if r.Verdict == "" {
			r.Verdict = state.Warn
		}
		r.Text += "; of an older revision, as before: " + why
	}
	return r
}

// waiting says what kubectl rollout status would still wait for, "" when the
// rollout is complete.
func waiting(d *appsv1.Deployment, want int32) string {
	s := d.Status
	switch {
	case d.Generation > s.ObservedGeneration:
		return "the change is not observed yet"
	case s.UpdatedReplicas < want:
		return fmt.Sprintf("%d of %d updated", s.UpdatedReplicas, want)
	case s.Replicas > s.UpdatedReplicas:
		return fmt.Sprintf("%d old to end", s.Replicas-s.UpdatedReplicas)
	case s.AvailableReplicas < s.UpdatedReplicas:
		return fmt.Sprintf("%d of %d available", s.AvailableReplicas, s.UpdatedReplicas)
	}
	return ""
}

// stuck says why the rollout will not get there by itself, "" where it may.
func stuck(d *appsv1.Deployment, pods []*corev1.Pod, newest revision) string {
	if why := brokenOnes(pods, newest.has); why != "" {
		return why
	}
	if d.Generation > d.Status.ObservedGeneration {
		return "" // the conditions are of an older change
	}
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded" {
			return "progress deadline exceeded"
		}
	}
	return ""
}

// brokenOnes names a pod that cannot run and counts the others, of those that are
// chosen.
func brokenOnes(pods []*corev1.Pod, chosen func(*corev1.Pod) bool) string {
	var all []string
	for _, p := range pods {
		if why := broken(p); why != "" && chosen(p) {
			all = append(all, why+" (pod "+p.Name+")")
		}
	}
	slices.Sort(all)
	switch len(all) {
	case 0:
		return ""
	case 1:
		return all[0]
	}
	return fmt.Sprintf("%s and %d more", all[0], len(all)-1)
}

// hopeless are the reasons of a waiting container that time alone does not cure.
var hopeless = []string{
	"CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName",
	"CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}

// broken says why a pod cannot run, "" where it can or is on its way.
func broken(p *corev1.Pod) string {
	if p.DeletionTimestamp != nil {
		return "" // it is leaving
	}
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if w := c.State.Waiting; w != nil && slices.Contains(hopeless, w.Reason) {
			return reason(w.Reason, w.Message)
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return reason("unschedulable", c.Message)
		}
	}
	return ""
}

// reason joins a reason with the beginning of its message.
func reason(word, message string) string {
	message = state.Clean(message)
	if message == "" {
		return word
	}
	if r := []rune(message); len(r) > 80 {
		message = strings.TrimSpace(string(r[:79])) + "…"
	}
	return word + ": " + message
}
