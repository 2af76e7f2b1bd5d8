package kube

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// view is a Deployment with all that belongs to it, read at about one moment.
type view struct {
	d       *appsv1.Deployment
	sets    []*appsv1.ReplicaSet
	pods    []*corev1.Pod
	current *appsv1.ReplicaSet // of the present template; nil: not made yet
	asked   int64              // the generation at which the present spec was first seen
}

// heard reports whether the controller has seen the present spec, so that the status
// speaks of it. Generations count changes of annotations too: where somebody writes
// those all the time, the newest one is never the one that was seen.
func (v view) heard() bool { return v.asked <= v.d.Status.ObservedGeneration }

func (c *Cluster) view(ctx context.Context, r ref) (view, error) {
	var v view
	var err error
	if v.d, err = c.deployment(ctx, r); err != nil {
		return v, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { v.sets, err = c.replicaSets(ctx, v.d); return err })
	g.Go(func() (err error) { v.pods, err = c.pods(ctx, v.d); return err })
	if err := g.Wait(); err != nil {
		return v, err
	}
	v.current, v.asked = currentSet(v.d, v.sets), v.d.Generation
	return v, nil
}

// observer gives a look at a Deployment that knows the looks before.
func (c *Cluster) observer(r ref) func(ctx context.Context) (view, error) {
	var last view
	return func(ctx context.Context) (view, error) {
		v, err := c.view(ctx, r)
		if err != nil {
			return v, err
		}
		if last.d != nil && last.d.UID == v.d.UID && apiequality.Semantic.DeepEqual(last.d.Spec, v.d.Spec) {
			v.asked = last.asked
		}
		last = v
		return v, nil
	}
}

// heardPatience is how far, in real time, a busy controller may be behind a Deployment
// that somebody else keeps writing to.
const heardPatience = 30 * time.Second

// heardView is view once the controller has seen the spec. Where it does not within
// heardPatience, the last look counts.
func (c *Cluster) heardView(ctx context.Context, r ref) (view, error) {
	var last view
	short, cancel := context.WithTimeout(ctx, heardPatience)
	defer cancel()
	_, err := c.await(short, r, io.Discard, func(v view) (bool, string, error) {
		last = v
		return v.heard(), "", nil
	})
	if last.d != nil && ctx.Err() == nil {
		return last, nil
	}
	return last, err
}

// selector gives the selector of the Deployment's pods, "" where it was not read.
func (v view) selector() string {
	if v.d == nil {
		return ""
	}
	return metav1.FormatLabelSelector(v.d.Spec.Selector)
}

// await is awaitView of a Deployment.
func (c *Cluster) await(ctx context.Context, r ref, out io.Writer, enough func(view) (bool, string, error)) (string, error) {
	return awaitView(ctx, c, r, out, c.observer(r), enough)
}

// awaitView reads the workload again whenever it or a pod of it changes, until
// enough says so or fails. It tells out what it waits for, once a change. A
// server that is away is waited for as long as a rollback would.
func awaitView[V interface{ selector() string }](ctx context.Context, c *Cluster, r ref, out io.Writer,
	look func(context.Context) (V, error), enough func(V) (bool, string, error)) (string, error) {
	v, err := look(ctx)
	if err == nil {
		if ok, text, err := enough(v); ok || err != nil {
			return text, err
		}
	} else if !transient(err) {
		return "", missed(err, r, "cannot read "+r.String())
	}
	wake, stop := c.changes(ctx, r, v.selector())
	defer stop()
	said, lost := "", time.Time{}
	for {
		began := time.Now()
		v, err := look(ctx)
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case err != nil && !transient(err):
			return "", missed(err, r, "cannot read "+r.String())
		case err != nil:
			if lost.IsZero() {
				lost = time.Now()
			}
			if time.Since(lost) > backwardPatience {
				return "", problem(err, "cannot read "+r.String())
			}
		default:
			lost = time.Time{}
			ok, text, err := enough(v)
			if ok || err != nil {
				return text, err
			}
			if text != said {
				said = text
				fmt.Fprintf(out, "%s: %s\n", r, text)
			}
		}
		if err := pauseUntil(ctx, began, wake); err != nil {
			return "", err
		}
	}
}

// betweenLooks is the least time from the beginning of one look to that of the next, so
// that a storm of events costs little. lookAnyway is how long a broken watch may delay it.
const (
	betweenLooks = 20 * time.Millisecond
	lookAnyway   = 500 * time.Millisecond
)

// pauseUntil waits for a change after a look that began when.
func pauseUntil(ctx context.Context, began time.Time, wake <-chan struct{}) error {
	if err := sleep(ctx, time.Until(began.Add(betweenLooks))); err != nil {
		return err
	}
	t := time.NewTimer(lookAnyway - betweenLooks)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wake:
	case <-t.C:
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// changes signals when the workload or one of its pods changes. Signals that
// nobody took yet are one. stop ends the watching and waits for it.
func (c *Cluster) changes(ctx context.Context, r ref, selector string) (wake <-chan struct{}, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ch := make(chan struct{}, 1)
	var wg sync.WaitGroup
	follow := func(gvr schema.GroupVersionResource, opts metav1.ListOptions) {
		wg.Go(func() {
			for ctx.Err() == nil {
				c.follow(ctx, gvr, r.Namespace, opts, ch)
				_ = sleep(ctx, 200*time.Millisecond) // a server without watch is polled instead
			}
		})
	}
	follow(r.Resource, metav1.ListOptions{FieldSelector: "metadata.name=" + r.Name})
	if selector != "" {
		follow(pods, metav1.ListOptions{LabelSelector: selector})
	}
	return ch, func() { cancel(); wg.Wait() }
}

// follow turns one watch into signals until it ends.
func (c *Cluster) follow(ctx context.Context, gvr schema.GroupVersionResource, ns string, opts metav1.ListOptions, ch chan<- struct{}) {
	w, err := c.client.Resource(gvr).Namespace(ns).Watch(ctx, opts)
	if err != nil {
		return
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-w.ResultChan():
			if !ok {
				return
			}
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
}
