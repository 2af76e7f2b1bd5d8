package cluster

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// collect deletes what an owner leaves behind. An owner that is gone takes its
// dependents with it; one that is deleted in the foreground waits for them.
func (c *controllers) collect(t task) {
	ownerRes, owner := c.byUID(t.uid)
	if owner != nil && !slices.Contains(owner.obj.GetFinalizers(), metav1.FinalizerDeleteDependents) {
		return
	}
	blocked := false
	for _, res := range resources {
		if !res.namespaced {
			continue
		}
		items, _ := c.store.list(res, t.ns)
		for _, it := range items {
			blocked = c.release(t, res, it, owner != nil) || blocked
		}
	}
	if owner == nil || blocked {
		return
	}
	_, err := c.store.update(ownerRes, owner.obj.GetNamespace(), owner.obj.GetName(), write{manager: controllerManager}, func(cur object) (object, error) {
		next := clone(cur)
		next.SetFinalizers(slices.DeleteFunc(slices.Clone(next.GetFinalizers()), func(f string) bool { return f == metav1.FinalizerDeleteDependents }))
		return next, nil
	})
	c.again(t, err)
}

// release deletes a dependent whose owner t.uid goes. It says whether the dependent
// is there and keeps the owner from going.
func (c *controllers) release(t task, res *resource, it *item, foreground bool) bool {
	refs := it.obj.GetOwnerReferences()
	i := slices.IndexFunc(refs, func(r metav1.OwnerReference) bool { return r.UID == t.uid })
	if i < 0 {
		return false
	}
	blocks := refs[i].BlockOwnerDeletion != nil && *refs[i].BlockOwnerDeletion
	if it.obj.GetDeletionTimestamp() == nil {
		policy := metav1.DeletePropagationBackground
		if foreground {
			policy = metav1.DeletePropagationForeground
		}
		uid := it.obj.GetUID()
		_, gone, err := c.store.remove(res, it.obj.GetNamespace(), it.obj.GetName(),
			metav1.DeleteOptions{PropagationPolicy: &policy, Preconditions: &metav1.Preconditions{UID: &uid}}, write{manager: controllerManager})
		c.again(t, err)
		blocks = blocks && !gone
	}
	return blocks
}

func (c *controllers) byUID(uid types.UID) (*resource, *item) {
	for _, res := range resources {
		items, _ := c.store.list(res, "")
		for _, it := range items {
			if it.obj.GetUID() == uid {
				return res, it
			}
		}
	}
	return nil, nil
}
