package rollout

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"mayday/probes/probetest"
)

// cluster is as much of an API server as two watches need.
type cluster struct {
	mu      sync.Mutex
	version int
	objects map[string]any // by path below the namespace: "deployments/app"
	events  []event
	changed chan struct{} // closed and replaced at every change
	reads   int           // gets and lists
	watches int
	cut     bool // end and refuse watches
	mute    bool // watches stand, and say nothing
	deaf    bool // reads get no answer
}

type event struct {
	version int
	path    string
	body    map[string]any
}

func newCluster() *cluster {
	return &cluster{version: 1, objects: map[string]any{}, changed: make(chan struct{})}
}

func (c *cluster) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// put adds or changes an object.
func (c *cluster) put(path string, o metav1.Object) {
	c.change(func() {
		c.version++
		o.SetResourceVersion(fmt.Sprint(c.version))
		kind := "MODIFIED"
		if c.objects[path] == nil {
			kind = "ADDED"
		}
		c.objects[path] = o
		c.events = append(c.events, event{c.version, path, map[string]any{"type": kind, "object": o}})
	})
}

func (c *cluster) remove(path string) {
	c.change(func() {
		c.version++
		o := c.objects[path].(metav1.Object)
		o.SetResourceVersion(fmt.Sprint(c.version))
		delete(c.objects, path)
		c.events = append(c.events, event{c.version, path, map[string]any{"type": "DELETED", "object": o}})
	})
}

func (c *cluster) counts() (reads, watches int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads, c.watches
}

// ServeHTTP implements http.Handler.
func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, path, _ := strings.Cut(r.URL.Path, "/namespaces/shop/")
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Query().Get("watch") == "true" {
		c.watch(w, r, path)
		return
	}
	c.mu.Lock()
	deaf := c.deaf
	c.mu.Unlock()
	if deaf {
		<-r.Context().Done()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	if strings.Contains(path, "/") {
		o := c.objects[path]
		if o == nil {
			w.WriteHeader(404)
			o = metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonNotFound, Code: 404}
		}
		_ = json.NewEncoder(w).Encode(o)
		return
	}
	items := []any{}
	for p, o := range c.objects {
		if strings.HasPrefix(p, path+"/") {
			items = append(items, o)
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": "List", "apiVersion": "v1", "items": items,
		"metadata": map[string]any{"resourceVersion": fmt.Sprint(c.version)},
	})
}

func (c *cluster) watch(w http.ResponseWriter, r *http.Request, path string) {
	var from int
	_, _ = fmt.Sscan(r.URL.Query().Get("resourceVersion"), &from)
	c.change(func() { c.watches++ })
	defer c.change(func() { c.watches-- })
	w.(http.Flusher).Flush()
	for {
		c.mu.Lock()
		cut, changed, send := c.cut, c.changed, []event{}
		for _, e := range c.events {
			if e.version > from && !c.mute && strings.HasPrefix(e.path, path+"/") {
				send = append(send, e)
			}
			from = max(from, e.version)
		}
		for _, e := range send {
			_ = json.NewEncoder(w).Encode(e.body)
		}
		c.mu.Unlock()
		w.(http.Flusher).Flush()
		if cut {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

func deployment(generation int64, want, updated, ready, all int32) *appsv1.Deployment {
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{Kind: "Deployment", APIVersion: "apps/v1"},
		ObjectMeta: metav1.ObjectMeta{Name: "app", Namespace: "shop", Generation: generation},
		Spec:       appsv1.DeploymentSpec{Replicas: &want, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "app"}}},
		Status:     appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: all, UpdatedReplicas: updated, ReadyReplicas: ready, AvailableReplicas: ready},
	}
}

func pod(name, app, waits, message string) *corev1.Pod {
	p := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{Kind: "Pod", APIVersion: "v1"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", Labels: map[string]string{"app": app}},
	}
	if waits != "" {
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: waits, Message: message}}}}
	}
	return p
}

func asker(t *testing.T, h http.Handler) *Asker {
	t.Helper()
	a, err := New(&rest.Config{Host: probetest.Serve(t, h)}, "shop")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// run runs the asker's watches until the test ends.
func run(t *testing.T, a *Asker) { runs(t, a.Run) }

func runs(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// eventually waits for what another goroutine brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("still not: %s", what)
}
