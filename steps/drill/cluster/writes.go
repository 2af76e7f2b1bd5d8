package cluster

import (
	"encoding/json"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (s *server) create(w http.ResponseWriter, r *request) error {
	opts, err := r.write()
	if err != nil {
		return err
	}
	if r.name != "" {
		return notImplemented("POST to a named object")
	}
	body, err := r.body(w)
	if err != nil {
		return err
	}
	obj, err := r.object(w, body)
	if err != nil {
		return err
	}
	it, err := s.store.create(r.row.res, obj, opts)
	if err != nil {
		return err
	}
	return s.answer(w, r, http.StatusCreated, it)
}

func (s *server) replace(w http.ResponseWriter, r *request) error {
	opts, err := r.write()
	if err != nil {
		return err
	}
	body, err := r.body(w)
	if err != nil {
		return err
	}
	obj, err := r.object(w, body)
	if err != nil {
		return err
	}
	it, err := s.store.update(r.row.res, r.ns, r.name, opts, func(object) (object, error) { return obj, nil })
	if err != nil {
		return err
	}
	return s.answer(w, r, http.StatusOK, it)
}

func (s *server) remove(w http.ResponseWriter, r *request) error {
	opts, err := r.write()
	if err != nil {
		return err
	}
	body, err := r.body(w)
	if err != nil {
		return err
	}
	var del metav1.DeleteOptions
	if len(body) > 0 {
		if err := r.decode(w, body, &del); err != nil {
			return err
		}
	}
	if err := r.deleteQuery(&del); err != nil {
		return err
	}
	if err := opts.dry(del.DryRun); err != nil {
		return err
	}
	it, gone, err := s.store.remove(r.row.res, r.ns, r.name, del, opts)
	if err != nil {
		return err
	}
	if !gone || r.row.res == pods { // a Pod comes back as it last was, as from a real server
		return s.answer(w, r, http.StatusOK, it)
	}
	return writeJSON(w, http.StatusOK, metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess,
		Details: &metav1.StatusDetails{Name: r.name, Group: r.row.Group, Kind: r.row.res.plural, UID: it.obj.GetUID()}})
}

// deleteQuery reads the delete options that may stand in the URL.
func (r *request) deleteQuery(del *metav1.DeleteOptions) error {
	if p := r.q.Get("propagationPolicy"); p != "" {
		policy := metav1.DeletionPropagation(p)
		del.PropagationPolicy = &policy
	}
	if g := r.q.Get("gracePeriodSeconds"); g != "" {
		var n int64
		if err := json.Unmarshal([]byte(g), &n); err != nil {
			return apierrors.NewBadRequest("gracePeriodSeconds: must be an integer")
		}
		del.GracePeriodSeconds = &n
	}
	if p := del.PropagationPolicy; p != nil {
		switch *p {
		case metav1.DeletePropagationBackground, metav1.DeletePropagationForeground, metav1.DeletePropagationOrphan:
		default:
			return apierrors.NewBadRequest("propagationPolicy: must be Background, Foreground or Orphan")
		}
	}
	return nil
}

// gracePeriod is how many seconds a delete gives the object. Only Pods that a
// node runs have any.
func gracePeriod(res *resource, o object, asked *int64) int64 {
	p, ok := o.(*corev1.Pod)
	if !ok || res != pods || p.Spec.NodeName == "" || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
		return 0
	}
	if asked != nil {
		return max(*asked, 0)
	}
	return *p.Spec.TerminationGracePeriodSeconds
}
