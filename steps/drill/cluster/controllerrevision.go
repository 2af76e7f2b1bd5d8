package cluster

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
)

// hashLabel is the label of a ControllerRevision that its name ends with.
const hashLabel = "controller.kubernetes.io/hash"

// revisionPatch is what a ControllerRevision keeps: the patch that would bring its
// template back.
func revisionPatch(t corev1.PodTemplateSpec) ([]byte, error) {
	raw, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	var template map[string]any
	if err := json.Unmarshal(raw, &template); err != nil {
		return nil, err
	}
	template["$patch"] = "replace"
	return json.Marshal(map[string]any{"spec": map[string]any{"template": template}})
}

// templateIn reads the template that a ControllerRevision keeps.
func templateIn(rev *appsv1.ControllerRevision) (*corev1.PodTemplateSpec, error) {
	var kept struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(rev.Data.Raw, &kept); err != nil {
		return nil, fmt.Errorf("controller revision %s: %w", rev.Name, err)
	}
	return &kept.Spec.Template, nil
}

// loadRevisions reads the StatefulSet's revisions and brings them up to date: the one
// of the present template is always the newest, an older equal one is taken again.
func (s *stateful) loadRevisions() error {
	items, _ := s.c.store.list(controllerRevisions, s.set.Namespace)
	s.revisions = nil
	for _, it := range items {
		if metav1.IsControlledBy(it.obj, s.set) {
			s.revisions = append(s.revisions, it.obj.(*appsv1.ControllerRevision))
		}
	}
	slices.SortStableFunc(s.revisions, func(a, b *appsv1.ControllerRevision) int {
		return cmp.Or(cmp.Compare(a.Revision, b.Revision), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	if n := s.set.Status.CollisionCount; n != nil {
		s.clash = *n
	}
	patch, err := revisionPatch(s.set.Spec.Template)
	if err != nil {
		return err
	}
	if s.update, err = s.newest(patch); err != nil {
		return err
	}
	s.current = s.update
	for _, rev := range s.revisions {
		if rev.Name == s.set.Status.CurrentRevision {
			s.current = rev
		}
	}
	return nil
}

// newest gives the revision with that patch, as the newest.
func (s *stateful) newest(patch []byte) (*appsv1.ControllerRevision, error) {
	next := int64(1)
	var equal *appsv1.ControllerRevision
	for _, rev := range s.revisions {
		next = rev.Revision + 1
		if bytes.Equal(rev.Data.Raw, patch) {
			equal = rev
		}
	}
	switch {
	case equal == nil:
		return s.createRevision(patch, next)
	case equal.Revision == next-1:
		return equal, nil
	}
	it, err := s.c.store.update(controllerRevisions, equal.Namespace, equal.Name, write{manager: controllerManager}, func(cur object) (object, error) {
		rev := clone(cur.(*appsv1.ControllerRevision))
		rev.Revision = next
		return rev, nil
	})
	if err != nil {
		return nil, err
	}
	return it.obj.(*appsv1.ControllerRevision), nil
}

func (s *stateful) createRevision(patch []byte, n int64) (*appsv1.ControllerRevision, error) {
	for {
		h := fnv.New32()
		h.Write(patch)
		fmt.Fprint(h, s.clash)
		hash := utilrand.SafeEncodeString(strconv.FormatUint(uint64(h.Sum32()), 10))
		rev := &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: s.set.Name + "-" + hash, Namespace: s.set.Namespace,
			Labels: with(s.set.Spec.Template.Labels, hashLabel, hash), Annotations: maps.Clone(s.set.Annotations),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(s.set, statefulSets.gvk())}},
			Data: runtime.RawExtension{Raw: patch}, Revision: n}
		it, err := s.c.store.create(controllerRevisions, rev, write{manager: controllerManager})
		if err == nil {
			return it.obj.(*appsv1.ControllerRevision), nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, err
		}
		have, ok := stored[*appsv1.ControllerRevision](s.c.store, controllerRevisions, s.set.Namespace, rev.Name)
		if ok && bytes.Equal(have.Data.Raw, patch) { // left behind by a StatefulSet of this name
			return have, nil
		}
		s.clash++
	}
}

// truncate deletes revisions beyond the history limit, the oldest first; those that
// Pods have stay.
func (s *stateful) truncate() error {
	live := map[string]bool{s.current.Name: true, s.update.Name: true}
	for _, p := range slices.Concat(s.pods, s.condemned) {
		if p != nil {
			live[p.Labels[appsv1.StatefulSetRevisionLabel]] = true
		}
	}
	history := slices.DeleteFunc(slices.Clone(s.revisions), func(rev *appsv1.ControllerRevision) bool { return live[rev.Name] })
	for len(history) > int(*s.set.Spec.RevisionHistoryLimit) {
		if _, _, err := s.c.store.remove(controllerRevisions, history[0].Namespace, history[0].Name, metav1.DeleteOptions{}, write{manager: controllerManager}); err != nil {
			return err
		}
		history = history[1:]
	}
	return nil
}
