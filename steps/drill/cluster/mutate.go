package cluster

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// write says who writes, through which subresource and whether it counts.
type write struct {
	manager string
	sub     string // "", "status" or "scale"
	dryRun  bool   // validate everything, store nothing
}

// stale is what a writer of an old resource version is told.
const stale = "the object has been modified; please apply your changes to the latest version and try again"

// create stores a new object, which becomes the store's own.
func (s *store) create(res *resource, obj object, w write) (*item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.namespaceServes(res, obj); err != nil {
		return nil, err
	}
	if obj.GetResourceVersion() != "" {
		return nil, apierrors.NewBadRequest("resourceVersion should not be set on objects to be created")
	}
	s.prepare(res, obj)
	if errs := validateNew(res, obj); len(errs) > 0 {
		return nil, apierrors.NewInvalid(res.gvk().GroupKind(), obj.GetName(), errs)
	}
	if _, ok := s.objects[res][storeKey(obj.GetNamespace(), obj.GetName())]; ok {
		return nil, apierrors.NewAlreadyExists(res.gr(), obj.GetName())
	}
	if err := s.withinQuota(obj); err != nil {
		return nil, err
	}
	if res.onCreate != nil {
		res.onCreate(s, obj)
	}
	if err := manage(obj, nil, w, s.now()); err != nil {
		return nil, err
	}
	if w.dryRun {
		return unsaved(obj)
	}
	it, err := s.commit(res, obj)
	if err != nil {
		return nil, err
	}
	return it, s.trim(res)
}

// unsaved is the answer to a dry run.
func unsaved(obj object) (*item, error) {
	version := obj.GetResourceVersion()
	it, err := encode(obj, 0)
	if err != nil {
		return nil, err
	}
	rv, _ := strconv.ParseUint(version, 10, 64)
	if rv != 0 {
		return encode(obj, rv)
	}
	obj.SetResourceVersion("")
	return it, nil
}

func (s *store) namespaceServes(res *resource, obj object) error {
	if !res.namespaced {
		return nil
	}
	if _, ok := s.objects[namespaces][storeKey("", obj.GetNamespace())]; !ok {
		return apierrors.NewNotFound(namespaces.gr(), obj.GetNamespace())
	}
	return nil
}

// prepare gives a new object what the server alone may set.
func (s *store) prepare(res *resource, obj object) {
	obj.GetObjectKind().SetGroupVersionKind(res.gvk())
	if obj.GetName() == "" && obj.GetGenerateName() != "" {
		obj.SetName(obj.GetGenerateName() + utilrand.String(5))
	}
	obj.SetUID(uuid.NewUUID())
	obj.SetCreationTimestamp(metav1.NewTime(s.now().UTC().Truncate(time.Second)))
	obj.SetDeletionTimestamp(nil)
	obj.SetDeletionGracePeriodSeconds(nil)
	obj.SetManagedFields(nil)
	obj.SetSelfLink("")
	obj.SetGeneration(0)
	if res.generation {
		obj.SetGeneration(1)
	}
	if res.status {
		keepPart(obj, res.blank(), "Status")
	}
	if res.defaults != nil {
		res.defaults(obj)
	}
}

// update changes one stored object. change gets the stored object, which it must
// not alter, and returns its successor; it runs with the store locked.
func (s *store) update(res *resource, ns, name string, w write, change func(cur object) (object, error)) (*item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cur, ok := s.objects[res][storeKey(ns, name)]
	if !ok {
		return nil, apierrors.NewNotFound(res.gr(), name)
	}
	next, err := change(cur.obj)
	if err != nil {
		return nil, err
	}
	if err := s.mayReplace(res, next, cur); err != nil {
		return nil, err
	}
	inherit(res, next, cur.obj, w)
	if res.defaults != nil {
		res.defaults(next)
	}
	errs := validateMeta(res, next)
	if res.validate != nil {
		errs = append(errs, res.validate(next)...)
	}
	if res.immutable != nil && w.sub == "" {
		errs = append(errs, res.immutable(next, cur.obj)...)
	}
	if len(errs) > 0 {
		return nil, apierrors.NewInvalid(res.gvk().GroupKind(), name, errs)
	}
	if res.generation && (!apiequality.Semantic.DeepEqual(part(next, "Spec"), part(cur.obj, "Spec")) ||
		res.noted && !maps.Equal(next.GetAnnotations(), cur.obj.GetAnnotations())) {
		next.SetGeneration(next.GetGeneration() + 1)
	}
	if apiequality.Semantic.DeepEqual(next, cur.obj) {
		return cur, nil // the real server writes nothing either
	}
	if err := manage(next, cur, w, s.now()); err != nil {
		return nil, err
	}
	if w.dryRun {
		return unsaved(next)
	}
	if finished(res, next) {
		return cur, s.drop(res, cur)
	}
	return s.commit(res, next)
}

// mayReplace checks what the writer believes of the object it replaces.
func (s *store) mayReplace(res *resource, next object, cur *item) error {
	name := cur.obj.GetName()
	if next.GetName() != name || next.GetNamespace() != cur.obj.GetNamespace() {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s/%s) does not match the name on the URL (%s/%s)",
			next.GetNamespace(), next.GetName(), cur.obj.GetNamespace(), name))
	}
	if uid := next.GetUID(); uid != "" && uid != cur.obj.GetUID() {
		return apierrors.NewConflict(res.gr(), name, fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", uid, cur.obj.GetUID())) //nolint:staticcheck // the real server's words
	}
	if rv := next.GetResourceVersion(); rv != "" {
		n, err := strconv.ParseUint(rv, 10, 64)
		if err != nil {
			return apierrors.NewInvalid(res.gvk().GroupKind(), name, field.ErrorList{
				field.Invalid(field.NewPath("metadata", "resourceVersion"), rv, "must be an unsigned integer")})
		}
		if n != cur.rv {
			return apierrors.NewConflict(res.gr(), name, errors.New(stale))
		}
	}
	return nil
}

// inherit carries over what this write may not touch.
func inherit(res *resource, next, cur object, w write) {
	next.GetObjectKind().SetGroupVersionKind(res.gvk())
	next.SetUID(cur.GetUID())
	next.SetCreationTimestamp(cur.GetCreationTimestamp())
	next.SetDeletionTimestamp(cur.GetDeletionTimestamp())
	next.SetDeletionGracePeriodSeconds(cur.GetDeletionGracePeriodSeconds())
	next.SetGenerateName(cur.GetGenerateName())
	next.SetGeneration(cur.GetGeneration())
	next.SetManagedFields(cur.GetManagedFields())
	next.SetResourceVersion(cur.GetResourceVersion())
	switch {
	case w.sub == "status":
		keepPart(next, cur, "Spec")
		next.SetLabels(cur.GetLabels())
		next.SetAnnotations(cur.GetAnnotations())
		next.SetOwnerReferences(cur.GetOwnerReferences())
		next.SetFinalizers(cur.GetFinalizers())
	case res.status:
		keepPart(next, cur, "Status")
	}
}

// finished says that an object marked for deletion has nothing left to wait for.
func finished(res *resource, obj object) bool {
	if obj.GetDeletionTimestamp() == nil || len(obj.GetFinalizers()) > 0 {
		return false
	}
	grace := obj.GetDeletionGracePeriodSeconds()
	return res != pods || grace == nil || *grace == 0
}

// remove deletes an object as a DELETE request asks: at once, or by marking it when
// it has a grace period or finalizers. gone says that it was removed.
func (s *store) remove(res *resource, ns, name string, opts metav1.DeleteOptions, w write) (it *item, gone bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cur, ok := s.objects[res][storeKey(ns, name)]
	if !ok {
		return nil, false, apierrors.NewNotFound(res.gr(), name)
	}
	if err := preconditions(res, cur, opts.Preconditions); err != nil {
		return nil, false, err
	}
	next := clone(cur.obj)
	grace := gracePeriod(res, cur.obj, opts.GracePeriodSeconds)
	policy := policyOf(opts)
	if policy == metav1.DeletePropagationForeground && !slices.Contains(next.GetFinalizers(), metav1.FinalizerDeleteDependents) {
		next.SetFinalizers(append(slices.Clone(next.GetFinalizers()), metav1.FinalizerDeleteDependents))
	}
	if next.GetDeletionTimestamp() == nil {
		at := metav1.NewTime(s.now().UTC().Truncate(time.Second).Add(time.Duration(grace) * time.Second))
		next.SetDeletionTimestamp(&at)
		if res.generation {
			next.SetGeneration(next.GetGeneration() + 1)
		}
	}
	if g := next.GetDeletionGracePeriodSeconds(); g == nil || grace < *g {
		at := metav1.NewTime(s.now().UTC().Truncate(time.Second).Add(time.Duration(grace) * time.Second))
		next.SetDeletionTimestamp(&at)
		next.SetDeletionGracePeriodSeconds(&grace)
	}
	gone = finished(res, next)
	if w.dryRun {
		it, err = unsaved(next)
		return it, gone, err
	}
	if policy == metav1.DeletePropagationOrphan {
		if err := s.orphan(cur.obj.GetUID()); err != nil {
			return nil, false, err
		}
	}
	if gone {
		return cur, true, s.drop(res, cur)
	}
	if apiequality.Semantic.DeepEqual(next, cur.obj) {
		return cur, false, nil
	}
	it, err = s.commit(res, next)
	return it, false, err
}

func preconditions(res *resource, cur *item, p *metav1.Preconditions) error {
	if p == nil {
		return nil
	}
	name := cur.obj.GetName()
	if p.UID != nil && *p.UID != cur.obj.GetUID() {
		return apierrors.NewConflict(res.gr(), name, fmt.Errorf("the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then recreated", *p.UID, cur.obj.GetUID()))
	}
	if p.ResourceVersion != nil && *p.ResourceVersion != cur.obj.GetResourceVersion() {
		return apierrors.NewConflict(res.gr(), name, fmt.Errorf("the ResourceVersion in the precondition (%s) does not match the ResourceVersion in record (%s). The object might have been modified", *p.ResourceVersion, cur.obj.GetResourceVersion()))
	}
	return nil
}

// policyOf gives what happens to the dependents; background unless asked.
func policyOf(opts metav1.DeleteOptions) metav1.DeletionPropagation {
	if opts.PropagationPolicy != nil {
		return *opts.PropagationPolicy
	}
	if opts.OrphanDependents != nil && *opts.OrphanDependents { //nolint:staticcheck // old clients still send it
		return metav1.DeletePropagationOrphan
	}
	return metav1.DeletePropagationBackground
}

// orphan takes the owner away from everything that has it. The lock is held.
func (s *store) orphan(owner types.UID) error {
	for res, all := range s.objects {
		for _, it := range all {
			refs := slices.DeleteFunc(slices.Clone(it.obj.GetOwnerReferences()),
				func(r metav1.OwnerReference) bool { return r.UID == owner })
			if len(refs) == len(it.obj.GetOwnerReferences()) {
				continue
			}
			next := clone(it.obj)
			next.SetOwnerReferences(refs)
			if _, err := s.commit(res, next); err != nil {
				return err
			}
		}
	}
	return nil
}
