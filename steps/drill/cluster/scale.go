package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// scaleOf shows a Deployment, ReplicaSet or StatefulSet as its scale subresource.
func scaleOf(o object) *autoscalingv1.Scale {
	sc := &autoscalingv1.Scale{TypeMeta: metav1.TypeMeta{APIVersion: "autoscaling/v1", Kind: "Scale"},
		ObjectMeta: metav1.ObjectMeta{Name: o.GetName(), Namespace: o.GetNamespace(), UID: o.GetUID(),
			ResourceVersion: o.GetResourceVersion(), CreationTimestamp: o.GetCreationTimestamp()}}
	var sel *metav1.LabelSelector
	switch o := o.(type) {
	case *appsv1.Deployment:
		sc.Spec.Replicas, sc.Status.Replicas, sel = *o.Spec.Replicas, o.Status.Replicas, o.Spec.Selector
	case *appsv1.ReplicaSet:
		sc.Spec.Replicas, sc.Status.Replicas, sel = *o.Spec.Replicas, o.Status.Replicas, o.Spec.Selector
	case *appsv1.StatefulSet:
		sc.Spec.Replicas, sc.Status.Replicas, sel = *o.Spec.Replicas, o.Status.Replicas, o.Spec.Selector
	}
	if s, err := metav1.LabelSelectorAsSelector(sel); err == nil {
		sc.Status.Selector = s.String()
	}
	return sc
}

// rescaled gives the object with the replicas and the preconditions of a Scale.
func rescaled(cur object, sc *autoscalingv1.Scale) (object, error) {
	if sc.Spec.Replicas < 0 {
		return nil, apierrors.NewInvalid(autoscalingv1.SchemeGroupVersion.WithKind("Scale").GroupKind(), sc.Name,
			field.ErrorList{field.Invalid(field.NewPath("spec", "replicas"), sc.Spec.Replicas, "must be greater than or equal to 0")})
	}
	next := clone(cur)
	next.SetResourceVersion(sc.ResourceVersion)
	if sc.UID != "" {
		next.SetUID(sc.UID)
	}
	n := sc.Spec.Replicas
	switch o := next.(type) {
	case *appsv1.Deployment:
		o.Spec.Replicas = &n
	case *appsv1.ReplicaSet:
		o.Spec.Replicas = &n
	case *appsv1.StatefulSet:
		o.Spec.Replicas = &n
	}
	return next, nil
}

func (s *server) serveScale(w http.ResponseWriter, r *request) error {
	if r.verb == "get" {
		it, ok := s.store.get(r.row.res, r.ns, r.name)
		if !ok {
			return apierrors.NewNotFound(r.row.res.gr(), r.name)
		}
		return writeJSON(w, http.StatusOK, scaleOf(it.obj))
	}
	opts, err := r.write()
	if err != nil {
		return err
	}
	body, err := r.body(w)
	if err != nil {
		return err
	}
	it, err := s.store.update(r.row.res, r.ns, r.name, opts, func(cur object) (object, error) {
		sc, err := r.newScale(w, cur, body)
		if err != nil {
			return nil, err
		}
		if sc.Name != r.name {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", sc.Name, r.name))
		}
		return rescaled(cur, sc)
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, scaleOf(it.obj))
}

// newScale reads the Scale that the request wants, whole or as a patch.
func (r *request) newScale(w http.ResponseWriter, cur object, body []byte) (*autoscalingv1.Scale, error) {
	sc := &autoscalingv1.Scale{}
	if r.verb == "update" {
		return sc, r.decode(w, body, sc)
	}
	was, err := json.Marshal(scaleOf(cur))
	if err != nil {
		return nil, err
	}
	is, err := applyPatch(types.PatchType(r.mediaType()), was, body, &autoscalingv1.Scale{})
	if err != nil {
		return nil, err
	}
	return sc, r.decodeJSON(w, is, sc)
}
