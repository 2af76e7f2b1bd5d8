package cluster

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilrand "k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/watch"
)

// class is a kind of work. Lower classes run first, so that a Deployment is judged
// only when its ReplicaSets have counted their Pods.
type class int

const (
	classPod         class = iota // bind to the node; remove when its grace is over
	classGarbage                  // remove what lost its owner
	classReplicaSet               // make and remove Pods, count them
	classDeployment               // scale ReplicaSets
	classStatefulSet              // make, remove and replace Pods by their number
	classService                  // endpoint slices
	classQuota                    // what pods use of a quota
	classes
)

// task is one object to look at again. Tasks are only a hint: each run reads
// everything it needs anew.
type task struct {
	class class
	ns    string
	name  string
	uid   types.UID // of the owner, for classGarbage
}

// controllers runs all controllers in one goroutine.
type controllers struct {
	store  *store
	cursor uint64
	queued [classes][]task
	known  map[task]bool      // in queued
	later  map[task]time.Time // to be queued then
}

func newControllers(s *store) *controllers {
	return &controllers{store: s, known: map[task]bool{}, later: map[task]time.Time{}}
}

// controllerManager writes as the real components do.
const controllerManager = "kube-controller-manager"

// run works until ctx ends. Between changes and timers it sleeps.
func (c *controllers) run(ctx context.Context) {
	for ctx.Err() == nil {
		changes, now, wake, ok := c.store.after(nil, c.cursor)
		if !ok { // at the start, or after a burst longer than the history
			c.everything()
		}
		c.cursor = now
		for _, ch := range changes {
			c.follow(ch)
		}
		next := c.due()
		if t, ok := c.pop(); ok {
			c.do(t)
			continue
		}
		sleep(ctx, wake, next)
	}
}

// sleep waits for a change or until d has passed; a negative d is for ever.
func sleep(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	var timer <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer:
	}
}

// due queues what has become due and says how long the next timer takes, negative if
// there is none.
func (c *controllers) due() time.Duration {
	next := time.Duration(-1)
	now := c.store.now()
	for t, at := range c.later {
		wait := at.Sub(now)
		if wait <= 0 {
			delete(c.later, t)
			c.queue(t)
			continue
		}
		if next < 0 || wait < next {
			next = wait
		}
	}
	return next
}

func (c *controllers) queue(t task) {
	if !c.known[t] {
		c.known[t] = true
		c.queued[t.class] = append(c.queued[t.class], t)
	}
}

// queueAt queues a task at a time, or at its own earlier one.
func (c *controllers) queueAt(t task, at time.Time) {
	if have, ok := c.later[t]; !ok || at.Before(have) {
		c.later[t] = at
	}
}

func (c *controllers) pop() (task, bool) {
	for i := range c.queued {
		if len(c.queued[i]) > 0 {
			t := c.queued[i][0]
			c.queued[i] = c.queued[i][1:]
			delete(c.known, t)
			return t, true
		}
	}
	return task{}, false
}

func (c *controllers) do(t task) {
	switch t.class {
	case classPod:
		c.syncPod(t)
	case classGarbage:
		c.collect(t)
	case classReplicaSet:
		c.syncReplicaSet(t)
	case classDeployment:
		c.syncDeployment(t)
	case classStatefulSet:
		c.syncStatefulSet(t)
	case classService:
		c.syncService(t)
	case classQuota:
		c.syncQuota(t)
	}
}

// everything queues all objects there are.
func (c *controllers) everything() {
	for _, res := range resources {
		items, _ := c.store.list(res, "")
		for _, it := range items {
			c.follow(change{kind: watch.Added, res: res, rv: it.rv, cur: it})
		}
	}
}

// follow queues whatever a change may concern.
func (c *controllers) follow(ch change) {
	o := ch.cur.obj
	ns, name := o.GetNamespace(), o.GetName()
	switch ch.res {
	case pods:
		c.queue(task{class: classPod, ns: ns, name: name})
		c.queueServices(ns)
		c.queueQuotas(ns)
	case resourceQuotas:
		c.queue(task{class: classQuota, ns: ns, name: name})
	case replicaSets:
		c.queue(task{class: classReplicaSet, ns: ns, name: name})
	case deployments:
		c.queue(task{class: classDeployment, ns: ns, name: name})
	case statefulSets:
		c.queue(task{class: classStatefulSet, ns: ns, name: name})
	case services:
		c.queue(task{class: classService, ns: ns, name: name})
	case endpointSlices:
		if svc := o.GetLabels()[serviceLabel]; svc != "" {
			c.queue(task{class: classService, ns: ns, name: svc})
		}
	}
	c.queueOwners(ch)
	if ch.kind == watch.Deleted || o.GetDeletionTimestamp() != nil {
		c.queue(task{class: classGarbage, ns: ns, uid: o.GetUID()})
	}
	if ch.kind != watch.Modified { // an owner that was never there, or that waits for this one
		for _, ref := range o.GetOwnerReferences() {
			c.queue(task{class: classGarbage, ns: ns, uid: ref.UID})
		}
	}
}

// keepers says which kinds make the objects of a kind, and what looks after them.
var keepers = map[*resource]map[*resource]class{
	pods:                {replicaSets: classReplicaSet, statefulSets: classStatefulSet},
	replicaSets:         {deployments: classDeployment},
	controllerRevisions: {statefulSets: classStatefulSet},
}

// queueOwners queues the controllers of an object, now and before the change, and
// for an orphan all that might adopt it.
func (c *controllers) queueOwners(ch change) {
	for _, it := range []*item{ch.prev, ch.cur} {
		if it == nil {
			continue
		}
		ns, ref := it.obj.GetNamespace(), metav1.GetControllerOf(it.obj)
		for owner, cl := range keepers[ch.res] {
			if ref != nil {
				if ref.Kind == owner.kind {
					c.queue(task{class: cl, ns: ns, name: ref.Name})
				}
				continue
			}
			items, _ := c.store.list(owner, ns)
			for _, p := range items {
				c.queue(task{class: cl, ns: ns, name: p.obj.GetName()})
			}
		}
	}
}

func (c *controllers) queueServices(ns string) {
	items, _ := c.store.list(services, ns)
	for _, it := range items {
		c.queue(task{class: classService, ns: ns, name: it.obj.GetName()})
	}
}

// stamp is now as Kubernetes writes it, to the second.
func (c *controllers) stamp() metav1.Time {
	return metav1.NewTime(c.store.now().UTC().Truncate(time.Second))
}

// recordEvent writes an Event about an object. What it concerns works without it, so
// a refusal (a namespace that is gone) is not passed on.
func (c *controllers) recordEvent(o object, component, reason, format string, args ...any) {
	gvk := o.GetObjectKind().GroupVersionKind()
	at := c.stamp()
	e := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: o.GetName() + "." + utilrand.String(16), Namespace: o.GetNamespace()},
		InvolvedObject: corev1.ObjectReference{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Namespace: o.GetNamespace(),
			Name: o.GetName(), UID: o.GetUID(), ResourceVersion: o.GetResourceVersion()},
		Reason: reason, Message: fmt.Sprintf(format, args...), Type: corev1.EventTypeNormal, Count: 1,
		FirstTimestamp: at, LastTimestamp: at, Source: corev1.EventSource{Component: component}, ReportingController: component}
	if strings.HasPrefix(reason, "Failed") {
		e.Type = corev1.EventTypeWarning
	}
	_, _ = c.store.create(events, e, write{manager: component})
}
