package cluster

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
)

// The deployment controller's annotations.
const (
	revisionAnnotation = "deployment.kubernetes.io/revision"
	historyAnnotation  = "deployment.kubernetes.io/revision-history"
	desiredAnnotation  = "deployment.kubernetes.io/desired-replicas"
	maxAnnotation      = "deployment.kubernetes.io/max-replicas"
)

// ownAnnotations are not copied from a Deployment to its ReplicaSets.
var ownAnnotations = map[string]bool{corev1.LastAppliedConfigAnnotation: true, revisionAnnotation: true, historyAnnotation: true,
	desiredAnnotation: true, maxAnnotation: true}

func revision(o metav1.Object) int64 {
	n, err := strconv.ParseInt(o.GetAnnotations()[revisionAnnotation], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// desired gives the size of the whole Deployment when the ReplicaSet was last sized.
func desired(rs *appsv1.ReplicaSet) (int32, bool) {
	n, err := strconv.ParseInt(rs.Annotations[desiredAnnotation], 10, 32)
	return int32(n), err == nil
}

// load reads the ReplicaSets and brings the revisions up to date: the one of the
// current template is always the newest. With create set it is made if missing.
func (r *rollout) load(create bool) error {
	r.read()
	newest := int64(0)
	for _, rs := range r.old {
		newest = max(newest, revision(rs))
	}
	switch {
	case r.newRS != nil:
		if err := r.promote(newest + 1); err != nil {
			return err
		}
		if hasDeadline(r.d) && r.condition(appsv1.DeploymentProgressing) == nil {
			r.set(appsv1.DeploymentProgressing, corev1.ConditionTrue, "FoundNewReplicaSet", fmt.Sprintf("Found new replica set %q", r.newRS.Name))
		}
	case create:
		if err := r.createNew(newest + 1); err != nil {
			return err
		}
	}
	if r.newRS == nil {
		return nil
	}
	return r.annotate(r.newRS.Annotations[revisionAnnotation])
}

// promote gives the ReplicaSet of the current template the newest revision, and the
// Deployment's annotations.
func (r *rollout) promote(n int64) error {
	it, err := r.c.store.update(replicaSets, r.d.Namespace, r.newRS.Name, write{manager: controllerManager}, func(cur object) (object, error) {
		rs := clone(cur.(*appsv1.ReplicaSet))
		if rs.Annotations == nil {
			rs.Annotations = map[string]string{}
		}
		r.copyAnnotations(rs.Annotations)
		if have := revision(rs); have < n {
			if was := rs.Annotations[revisionAnnotation]; was != "" {
				history := strings.Trim(rs.Annotations[historyAnnotation]+","+was, ",")
				rs.Annotations[historyAnnotation] = history
			}
			rs.Annotations[revisionAnnotation] = strconv.FormatInt(n, 10)
		}
		rs.Spec.MinReadySeconds = r.d.Spec.MinReadySeconds
		return rs, nil
	})
	if err != nil {
		return err
	}
	r.newRS = it.obj.(*appsv1.ReplicaSet)
	return nil
}

func (r *rollout) copyAnnotations(into map[string]string) {
	for k, v := range r.d.Annotations {
		if !ownAnnotations[k] {
			into[k] = v
		}
	}
}

// annotate shows the current revision on the Deployment itself.
func (r *rollout) annotate(n string) error {
	if r.d.Annotations[revisionAnnotation] == n {
		return nil
	}
	it, err := r.c.store.update(deployments, r.d.Namespace, r.d.Name, write{manager: controllerManager}, func(cur object) (object, error) {
		d := clone(cur.(*appsv1.Deployment))
		if d.Annotations == nil {
			d.Annotations = map[string]string{}
		}
		d.Annotations[revisionAnnotation] = n
		return d, nil
	})
	if err != nil {
		return err
	}
	d := it.obj.(*appsv1.Deployment)
	if apiequality.Semantic.DeepEqual(d.Spec, r.d.Spec) { // else the change of the spec brings us back
		r.d = d
	}
	return nil
}

// createNew makes the ReplicaSet of the current template.
func (r *rollout) createNew(n int64) error {
	hash, err := r.templateHash()
	if err != nil {
		return err
	}
	template := r.d.Spec.Template.DeepCopy()
	template.Labels = with(template.Labels, appsv1.DefaultDeploymentUniqueLabelKey, hash)
	selector := r.d.Spec.Selector.DeepCopy()
	selector.MatchLabels = with(selector.MatchLabels, appsv1.DefaultDeploymentUniqueLabelKey, hash)
	size := r.newSize(0)
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{Name: r.d.Name + "-" + hash, Namespace: r.d.Namespace, Labels: template.Labels,
			Annotations: map[string]string{revisionAnnotation: strconv.FormatInt(n, 10)}, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(r.d, deployments.gvk())}},
		Spec: appsv1.ReplicaSetSpec{Replicas: &size, MinReadySeconds: r.d.Spec.MinReadySeconds, Selector: selector, Template: *template}}
	r.copyAnnotations(rs.Annotations)
	maps.Copy(rs.Annotations, r.sizes())
	it, err := r.c.store.create(replicaSets, rs, write{manager: controllerManager})
	if apierrors.IsAlreadyExists(err) { // another template has this hash: count it in and come back
		clash := int32(1)
		if r.clash != nil {
			clash = *r.clash + 1
		}
		r.clash = &clash
		return r.writeStatus(r.count())
	}
	if err != nil {
		r.set(appsv1.DeploymentProgressing, corev1.ConditionFalse, "ReplicaSetCreateError", err.Error())
		return err
	}
	r.newRS = it.obj.(*appsv1.ReplicaSet)
	if size > 0 {
		r.c.recordEvent(r.d, deploymentController, "ScalingReplicaSet", "Scaled up replica set %s from 0 to %d", rs.Name, size)
	}
	if hasDeadline(r.d) {
		r.set(appsv1.DeploymentProgressing, corev1.ConditionTrue, "NewReplicaSetCreated", fmt.Sprintf("Created new replica set %q", rs.Name))
	}
	return nil
}

// templateHash names a template, in letters that cannot spell a word.
func (r *rollout) templateHash() (string, error) {
	h := fnv.New32a()
	if err := json.NewEncoder(h).Encode(r.d.Spec.Template); err != nil {
		return "", err
	}
	if r.clash != nil {
		fmt.Fprint(h, *r.clash)
	}
	return utilrand.SafeEncodeString(strconv.FormatUint(uint64(h.Sum32()), 10)), nil
}

// with gives a copy of a map with one more entry.
func with(m map[string]string, k, v string) map[string]string {
	out := map[string]string{}
	maps.Copy(out, m)
	out[k] = v
	return out
}
