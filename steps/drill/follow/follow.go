// Package follow keeps a local copy of a kind of objects of any cluster, by list
// and watch, for the practice range's data plane. It is what client-go's informers
// do, in the hundred lines that a range needs: client-go's typed informers would
// cost every start of mayday nine milliseconds.
package follow

import (
	"context"
	"maps"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// The kinds that the range looks at.
var (
	Pods             = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	Services         = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	EndpointSlices   = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
	VirtualServices  = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
	DestinationRules = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"}
	HTTPRoutes       = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}
)

// pause is how long a follower waits after a failed list or watch: short, as the
// range is on loopback, and long enough not to spin.
const pause = 100 * time.Millisecond

// Objects lists and watches one resource in one namespace ("" means all) and calls
// changed with the complete current set, by name ("namespace/name" if all), after
// the first list and after every change. The map is the callee's to keep; changed
// is called from one goroutine and must not block. Objects returns only when ctx
// ends. A resource that the server does not have counts as an empty set and is
// asked for again once a second.
func Objects[T any](ctx context.Context, client dynamic.Interface, gvr schema.GroupVersionResource, namespace string, changed func(map[string]*T)) {
	f := follower[T]{api: client.Resource(gvr).Namespace(namespace), all: namespace == "", changed: changed}
	for ctx.Err() == nil {
		err := f.once(ctx)
		wait := pause
		if apierrors.IsNotFound(err) {
			wait = time.Second
			f.publish(map[string]*T{})
		}
		if err != nil {
			sleep(ctx, wait)
		}
	}
}

type follower[T any] struct {
	api     dynamic.ResourceInterface
	all     bool
	objects map[string]*T
	changed func(map[string]*T)
}

// once lists and then watches until the watch ends. A watch that the server ends
// in good order is no error.
func (f *follower[T]) once(ctx context.Context) error {
	list, err := f.api.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	objects := make(map[string]*T, len(list.Items))
	for i := range list.Items {
		f.put(objects, &list.Items[i])
	}
	f.publish(objects)
	w, err := f.api.Watch(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
	if err != nil {
		return err
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.ResultChan():
			if !ok {
				// A server that ends every watch at once must not make this spin.
				sleep(ctx, pause/10)
				return nil
			}
			if e.Type == watch.Error {
				return apierrors.FromObject(e.Object)
			}
			u, ok := e.Object.(*unstructured.Unstructured)
			if !ok || e.Type == watch.Bookmark {
				continue
			}
			next := maps.Clone(f.objects)
			if e.Type == watch.Deleted {
				delete(next, f.key(u))
			} else {
				f.put(next, u)
			}
			f.publish(next)
		}
	}
}

func (f *follower[T]) publish(objects map[string]*T) {
	f.objects = objects
	f.changed(maps.Clone(objects))
}

// put converts u; an object that is not of the expected shape is left out, as an
// API server would have refused it.
func (f *follower[T]) put(into map[string]*T, u *unstructured.Unstructured) {
	v := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, v); err != nil {
		delete(into, f.key(u))
		return
	}
	into[f.key(u)] = v
}

func (f *follower[T]) key(u *unstructured.Unstructured) string {
	if f.all {
		return u.GetNamespace() + "/" + u.GetName()
	}
	return u.GetName()
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// Client makes a client for followers of a cluster: without client-go's default
// limit of five requests a second, which a range of a dozen pods would feel.
func Client(config *rest.Config) (dynamic.Interface, error) {
	config = rest.CopyConfig(config)
	if config.QPS == 0 {
		config.QPS = -1
	}
	return dynamic.NewForConfig(config)
}
