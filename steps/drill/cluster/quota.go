package cluster

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	quantity "k8s.io/apimachinery/pkg/api/resource"
)

// A ResourceQuota counts pods and what their containers request and may use. Scopes
// and other kinds of objects are kept as written and limit nothing.

// usage counts what pods that have not ended take, in the words of a quota.
func usage(list []*corev1.Pod) corev1.ResourceList {
	sum := corev1.ResourceList{}
	add := func(k corev1.ResourceName, q quantity.Quantity) {
		have := sum[k]
		have.Add(q)
		sum[k] = have
	}
	for _, p := range list {
		add(corev1.ResourcePods, quantity.MustParse("1"))
		for _, c := range p.Spec.Containers {
			for k, q := range c.Resources.Requests {
				add(k, q)
				add("requests."+k, q)
			}
			for k, q := range c.Resources.Limits {
				add("limits."+k, q)
			}
		}
	}
	return sum
}

// counted gives the namespace's pods that a quota counts. The store is locked.
func (s *store) counted(ns string) []*corev1.Pod {
	var out []*corev1.Pod
	for _, it := range s.sorted(pods, ns) {
		if p := it.obj.(*corev1.Pod); p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			out = append(out, p)
		}
	}
	return out
}

// withinQuota refuses a new pod that a quota of its namespace has no room for. The
// store is locked.
func (s *store) withinQuota(o object) error {
	p, ok := o.(*corev1.Pod)
	if !ok {
		return nil
	}
	for _, it := range s.sorted(resourceQuotas, p.Namespace) {
		q := it.obj.(*corev1.ResourceQuota)
		if len(q.Spec.Scopes) > 0 || q.Spec.ScopeSelector != nil {
			continue
		}
		used, asked := usage(s.counted(p.Namespace)), usage([]*corev1.Pod{p})
		var requested, taken, limited []string
		for _, k := range slices.Sorted(maps.Keys(q.Spec.Hard)) {
			want, ok := asked[k]
			total := used[k]
			total.Add(want)
			if hard := q.Spec.Hard[k]; ok && total.Cmp(hard) > 0 {
				have := used[k]
				requested = append(requested, fmt.Sprintf("%s=%s", k, want.String()))
				taken = append(taken, fmt.Sprintf("%s=%s", k, have.String()))
				limited = append(limited, fmt.Sprintf("%s=%s", k, hard.String()))
			}
		}
		if len(requested) > 0 {
			return apierrors.NewForbidden(pods.gr(), p.Name, fmt.Errorf("exceeded quota: %s, requested: %s, used: %s, limited: %s", //nolint:err113 // the real server's words
				q.Name, strings.Join(requested, ","), strings.Join(taken, ","), strings.Join(limited, ",")))
		}
	}
	return nil
}

// syncQuota writes down how much of a quota is used.
func (c *controllers) syncQuota(t task) {
	q, ok := stored[*corev1.ResourceQuota](c.store, resourceQuotas, t.ns, t.name)
	if !ok {
		return
	}
	c.store.mu.Lock()
	all := usage(c.store.counted(t.ns))
	c.store.mu.Unlock()
	st := corev1.ResourceQuotaStatus{Hard: q.Spec.Hard, Used: corev1.ResourceList{}}
	for k := range q.Spec.Hard {
		st.Used[k] = all[k]
	}
	if apiequality.Semantic.DeepEqual(st, q.Status) {
		return
	}
	_, err := c.store.update(resourceQuotas, t.ns, t.name, write{manager: controllerManager, sub: "status"}, func(cur object) (object, error) {
		next := clone(cur.(*corev1.ResourceQuota))
		next.Status = st
		return next, nil
	})
	c.again(t, err)
}

// queueQuotas queues the quotas of a namespace.
func (c *controllers) queueQuotas(ns string) {
	items, _ := c.store.list(resourceQuotas, ns)
	for _, it := range items {
		c.queue(task{class: classQuota, ns: ns, name: it.obj.GetName()})
	}
}
