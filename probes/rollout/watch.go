package rollout

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

const (
	// watchFor is how long the server keeps one watch; a connection that died
	// silently is found out by then at the latest.
	watchFor = 60 * time.Second
	// Pauses between tries to list and watch again.
	pauseLeast, pauseMost = 200 * time.Millisecond, 5 * time.Second
	// readTime bounds a list or get.
	readTime = 10 * time.Second
	// quietMost is how long a watch that says nothing is believed: on a connection that
	// died silently nothing ever changes. Then what the server says is compared with it.
	quietMost = 10 * time.Second
)

// mirror keeps the objects of one kind in a namespace as a watch tells them, in
// their typed form.
type mirror[T any] struct {
	res   dynamic.ResourceInterface
	field string // a field selector, empty: all
	quiet time.Duration

	mu       sync.RWMutex
	live     bool // the watch stands: objects are what the server has
	all      map[string]*T
	versions map[string]string // their resourceVersions
	state    string            // resourceVersion of the last change
	heard    time.Time         // when the watch said something, or was found to be right
}

func newMirror[T any](res dynamic.ResourceInterface) *mirror[T] {
	return &mirror[T]{res: res, quiet: quietMost, all: map[string]*T{}, versions: map[string]string{}}
}

// run lists and watches until ctx ends.
func (m *mirror[T]) run(ctx context.Context) {
	defer m.down("")
	pause := pauseLeast
	for ctx.Err() == nil {
		began := time.Now()
		if err := m.follow(ctx); err == nil || time.Since(began) > pauseMost {
			pause = pauseLeast
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, pauseMost)
	}
}

var errWatchEnded = errors.New("the watch ended")

// follow lists if it must, then applies one watch until it ends. An error means
// that it did not come about or broke.
func (m *mirror[T]) follow(ctx context.Context) error {
	m.mu.RLock()
	from := m.state
	m.mu.RUnlock()
	if from == "" {
		var err error
		if from, err = m.list(ctx); err != nil {
			return err
		}
	}
	seconds := int64(watchFor.Seconds())
	// A watch outlives its time on a dead connection: then the context ends it.
	wctx, cancel := context.WithTimeout(ctx, watchFor+readTime)
	defer cancel()
	w, err := m.res.Watch(wctx, metav1.ListOptions{FieldSelector: m.field, ResourceVersion: from, AllowWatchBookmarks: true, TimeoutSeconds: &seconds})
	if err != nil {
		m.down("")
		return err
	}
	defer w.Stop()
	m.mu.Lock()
	m.live, m.heard = true, time.Now()
	m.mu.Unlock()
	for e := range w.ResultChan() {
		if err := m.apply(e); err != nil {
			m.down("")
			return err
		}
	}
	m.mu.RLock()
	from = m.state
	m.mu.RUnlock()
	m.down(from)
	return nil
}

// list reads everything afresh and gives the version to watch from.
func (m *mirror[T]) list(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	l, err := m.res.List(ctx, metav1.ListOptions{FieldSelector: m.field})
	if err != nil {
		return "", err
	}
	all, versions := make(map[string]*T, len(l.Items)), make(map[string]string, len(l.Items))
	for i := range l.Items {
		x, err := typed[T](&l.Items[i])
		if err != nil {
			return "", err
		}
		all[l.Items[i].GetName()], versions[l.Items[i].GetName()] = x, l.Items[i].GetResourceVersion()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all, m.versions, m.state = all, versions, l.GetResourceVersion()
	return m.state, nil
}

func (m *mirror[T]) apply(e watch.Event) error {
	u, ok := e.Object.(*unstructured.Unstructured)
	if e.Type == watch.Error || !ok {
		return errors.Join(errWatchEnded, apierrors.FromObject(e.Object))
	}
	var x *T
	if e.Type == watch.Added || e.Type == watch.Modified {
		var err error
		if x, err = typed[T](u); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch e.Type {
	case watch.Added, watch.Modified:
		m.all[u.GetName()], m.versions[u.GetName()] = x, u.GetResourceVersion()
	case watch.Deleted:
		delete(m.all, u.GetName())
		delete(m.versions, u.GetName())
	}
	m.state, m.heard = u.GetResourceVersion(), time.Now()
	return nil
}

// confirm compares what the server said just now of the objects that pass with what the
// watch told: where that is the same, the watch is believed for another while.
func (m *mirror[T]) confirm(said []unstructured.Unstructured, pass func(*T) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, x := range m.all {
		if pass(x) {
			n++
		}
	}
	if n != len(said) || slices.ContainsFunc(said, func(u unstructured.Unstructured) bool { return m.versions[u.GetName()] != u.GetResourceVersion() }) {
		return
	}
	m.heard = time.Now()
}

// believed reports whether the mirror is what the server has. Call with mu held.
func (m *mirror[T]) believed() bool { return m.live && time.Since(m.heard) <= m.quiet }

// down says that the objects may be old; from is the version to go on watching
// from, empty to list again.
func (m *mirror[T]) down(from string) {
	m.mu.Lock()
	m.live, m.state = false, from
	m.mu.Unlock()
}

// get gives one object; live is false where the mirror cannot say.
func (m *mirror[T]) get(name string) (x *T, live bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.all[name], m.believed()
}

// where gives the objects that pass; live is false where the mirror cannot say.
func (m *mirror[T]) where(pass func(*T) bool) (out []*T, live bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, x := range m.all {
		if pass(x) {
			out = append(out, x)
		}
	}
	return out, m.believed()
}

// typed turns what the dynamic client gives into a struct.
func typed[T any](u *unstructured.Unstructured) (*T, error) {
	x := new(T)
	return x, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, x)
}
