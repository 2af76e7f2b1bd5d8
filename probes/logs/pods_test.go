package logs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"mayday/probes"
	"mayday/probes/probetest"
	"mayday/state"
)

// logged is the log of one run of one container.
type logged struct {
	lines []string // with their times
	ended bool
}

// cluster is as much of an API server as logs need.
type cluster struct {
	mu       sync.Mutex
	pods     map[string]*corev1.Pod
	logs     map[string]*logged // by pod/container/restart
	requests []string
	changed  chan struct{}
	forbid   bool // logs
	cut      int  // counts broken connections
	clock    time.Time
}

func newCluster() *cluster {
	return &cluster{pods: map[string]*corev1.Pod{}, logs: map[string]*logged{}, changed: make(chan struct{}), clock: time.Now().Truncate(time.Second)}
}

func (c *cluster) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

// run starts a container, anew where it ran before.
func (c *cluster) run(pod, container string) {
	c.change(func() {
		p := c.pods[pod]
		if p == nil {
			p = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: pod, UID: types.UID(pod), Labels: map[string]string{"app": "shop"}}}
			c.pods[pod] = p
		}
		st := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
		for i := range p.Status.ContainerStatuses {
			if s := &p.Status.ContainerStatuses[i]; s.Name == container {
				s.RestartCount++
				s.State = st
				c.logs[fmt.Sprintf("%s/%s/%d", pod, container, s.RestartCount)] = &logged{}
				return
			}
		}
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: container, State: st})
		c.logs[pod+"/"+container+"/0"] = &logged{}
	})
}

// says writes a line into "pod/container/restart", a tenth of a second after the last.
func (c *cluster) says(log, text string) {
	c.change(func() {
		c.clock = c.clock.Add(100 * time.Millisecond)
		c.logs[log].lines = append(c.logs[log].lines, c.clock.UTC().Format(time.RFC3339Nano)+" "+text)
	})
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/shop/pods")
	switch {
	case !ok:
		http.NotFound(w, r)
	case rest == "":
		c.mu.Lock()
		list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}}
		for _, p := range c.pods {
			if r.FormValue("labelSelector") == "app=shop" {
				list.Items = append(list.Items, *p)
			}
		}
		b, _ := json.Marshal(list)
		c.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.Write(b)
	default:
		c.log(w, r, strings.TrimSuffix(strings.TrimPrefix(rest, "/"), "/log"))
	}
}

func (c *cluster) log(w http.ResponseWriter, r *http.Request, pod string) {
	c.mu.Lock()
	container := r.FormValue("container")
	c.requests = append(c.requests, pod+"/"+container+"?"+r.URL.RawQuery)
	cut, forbid, restart, at := c.cut, c.forbid, int32(0), 0
	if p := c.pods[pod]; p != nil {
		for _, s := range p.Status.ContainerStatuses {
			if s.Name == container {
				restart = s.RestartCount
			}
		}
	}
	if l := c.logs[fmt.Sprintf("%s/%s/%d", pod, container, restart)]; l != nil && r.FormValue("sinceSeconds") != "" {
		for _, line := range l.lines {
			if strings.HasSuffix(line, "before our time") {
				at++
			}
		}
	}
	c.mu.Unlock()
	if forbid {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"pods/log is forbidden","reason":"Forbidden","code":403}`)
		return
	}
	if r.FormValue("previous") == "true" {
		restart--
	}
	since, _ := time.Parse(time.RFC3339, r.FormValue("sinceTime"))
	for {
		c.mu.Lock()
		l, changed := c.logs[fmt.Sprintf("%s/%s/%d", pod, container, restart)], c.changed
		var out []string
		ended, broken := true, c.cut != cut
		if l != nil {
			out, ended = l.lines[at:], l.ended
			at = len(l.lines)
		}
		c.mu.Unlock()
		for _, line := range out {
			if stamp, _ := time.Parse(time.RFC3339Nano, line[:strings.IndexByte(line, ' ')]); !stamp.Before(since) {
				fmt.Fprintln(w, line)
			}
		}
		w.(http.Flusher).Flush()
		if broken {
			panic(http.ErrAbortHandler)
		}
		if ended || r.FormValue("follow") == "" {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// asker runs a Pods in front of a server.
func asker(t *testing.T, url string) *Pods {
	t.Helper()
	a, err := NewPods(&rest.Config{Host: url}, "shop", nil)
	if err != nil {
		t.Fatal(err)
	}
	a.every = 10 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return a
}

var errorsOf = state.Probe{Name: "errors", Kind: KindPods, Query: "app=shop", Pattern: "ERROR|panic"}

func TestPodsConformance(t *testing.T) {
	probetest.Run(t, func(t *testing.T, w probetest.World) (probetest.Subject, bool) {
		h := probetest.Web(w)
		switch w {
		case probetest.Well:
			c := newCluster()
			c.run("app-1", "app")
			h = c.ServeHTTP
		case probetest.Empty:
			h = newCluster().ServeHTTP
		case probetest.Refuses:
			return probetest.Subject{Asker: asker(t, probetest.Nobody(t)), Probe: errorsOf}, true
		}
		if h == nil {
			return probetest.Subject{}, false
		}
		return probetest.Subject{Asker: asker(t, probetest.Serve(t, h)), Probe: errorsOf}, true
	})
}

// gather asks until the sum of the values is n, and gives the last text. It fails the
// test where more is counted.
func gather(t *testing.T, a *Pods, p state.Probe, n int) (text string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for sum := 0.0; ; time.Sleep(5 * time.Millisecond) {
		r, err := a.Ask(t.Context(), p, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		sum += r.Value
		if r.Value > 0 {
			text = r.Text
		}
		if sum > float64(n) {
			t.Fatalf("%v lines matched, want %d; the last: %s", sum, n, text)
		}
		if sum == float64(n) {
			return text
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v lines matched, want %d", sum, n)
		}
	}
}

// followed waits until the container's log was asked for n times.
func (c *cluster) followed(t *testing.T, log string, n int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for ; ; time.Sleep(time.Millisecond) {
		c.mu.Lock()
		got := 0
		for _, r := range c.requests {
			if strings.HasPrefix(r, log+"?") {
				got++
			}
		}
		c.mu.Unlock()
		if got >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s was asked for %d times, want %d", log, got, n)
		}
	}
}

func TestPodsAreFollowed(t *testing.T) {
	c := newCluster()
	c.run("app-1", "app")
	c.run("app-1", "proxy")
	c.says("app-1/app/0", "ERROR before our time")
	a := asker(t, probetest.Serve(t, c))
	gather(t, a, errorsOf, 0)
	c.followed(t, "app-1/app", 1)
	c.followed(t, "app-1/proxy", 1)
	c.says("app-1/app/0", "ERROR one \x1b[31m")
	c.says("app-1/app/0", "fine")
	c.says("app-1/proxy/0", "panic two")
	gather(t, a, errorsOf, 2)

	// A pod that comes later is followed from its first line.
	c.run("app-2", "app")
	c.says("app-2/app/0", "ERROR at its start")
	if text := gather(t, a, errorsOf, 1); text != "app-2/app: ERROR at its start" {
		t.Fatal(text)
	}

	// A container that crashes: its last words, and those of the next run.
	c.says("app-1/app/0", "panic: last words")
	c.change(func() { c.logs["app-1/app/0"].ended = true })
	c.run("app-1", "app")
	c.says("app-1/app/1", "ERROR again")
	gather(t, a, errorsOf, 2)
}

// A cluster that does not answer at first makes no log new: what was written before the
// first question does not count when the pods are known at last, what was written since does.
func TestTheFirstLookFails(t *testing.T) {
	c := newCluster()
	c.run("app-1", "app")
	c.says("app-1/app/0", "ERROR before our time")
	var up atomic.Bool
	host := probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !up.Load() {
			http.Error(w, "not yet", http.StatusInternalServerError)
			return
		}
		c.ServeHTTP(w, r)
	}))
	a, err := NewPods(&rest.Config{Host: host}, "shop", nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := a.watch(errorsOf)
	if err != nil {
		t.Fatal(err)
	}
	w.began = w.began.Add(-time.Hour) // that long nobody answers
	var streams sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer func() { cancel(); streams.Wait() }()
	a.look(ctx, w, &streams)
	if _, err := a.Ask(t.Context(), errorsOf, time.Now()); !state.HasCode(err, "cluster-unreachable") {
		t.Fatalf("error %v", err)
	}
	c.says("app-1/app/0", "ERROR while nobody answered")
	up.Store(true)
	a.look(ctx, w, &streams)
	if text := gather(t, a, errorsOf, 1); text != "app-1/app: ERROR while nobody answered" {
		t.Fatal(text)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	query, err := url.ParseQuery(strings.SplitN(c.requests[0], "?", 2)[1])
	if since, _ := strconv.Atoi(query.Get("sinceSeconds")); err != nil || since < 3600 {
		t.Errorf("asked for %v, error %v: what was written in that hour is lost", query, err)
	}
}

func TestBrokenConnections(t *testing.T) {
	c := newCluster()
	c.run("app-1", "app")
	a := asker(t, probetest.Serve(t, c))
	gather(t, a, errorsOf, 0)
	c.followed(t, "app-1/app", 1)
	c.says("app-1/app/0", "ERROR one")
	gather(t, a, errorsOf, 1)
	c.change(func() { c.cut++ })
	c.says("app-1/app/0", "ERROR two, of the same second")
	c.followed(t, "app-1/app", 2)
	gather(t, a, errorsOf, 1)

	// It breaks, and the container is another before anybody can read on.
	c.change(func() {
		c.cut++
		c.clock = c.clock.Add(100 * time.Millisecond)
		old := c.logs["app-1/app/0"]
		old.lines = append(old.lines, c.clock.UTC().Format(time.RFC3339Nano)+" panic: nobody listened")
		old.ended = true
		c.pods["app-1"].Status.ContainerStatuses[0].RestartCount++
		c.logs["app-1/app/1"] = &logged{}
	})
	gather(t, a, errorsOf, 1)
}

// Pods that the cluster takes long to list keep nobody else's waiting.
func TestALongListDelaysNoOther(t *testing.T) {
	c := newCluster()
	c.run("app-1", "app")
	hung, listed := make(chan context.Context, 100), make(chan struct{})
	a := asker(t, probetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.FormValue("labelSelector") {
		case "app=many":
			hung <- r.Context()
			<-r.Context().Done()
			return
		case "app=shop":
			select {
			case listed <- struct{}{}:
			default:
			}
		}
		c.ServeHTTP(w, r)
	})))
	gather(t, a, errorsOf, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // it is not waited for
	many := state.Probe{Name: "many", Kind: KindPods, Query: "app=many", Pattern: "x"}
	if _, err := a.Ask(ctx, many, time.Now()); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	hangs := <-hung
	for range 3 {
		select {
		case <-listed:
		case <-hangs.Done():
			t.Fatal("the other pods were listed only after the list that hung was given up")
		}
	}
}

func TestOneContainerOnly(t *testing.T) {
	c := newCluster()
	c.run("app-1", "app")
	c.run("app-1", "proxy")
	a := asker(t, probetest.Serve(t, c))
	p := errorsOf
	p.Container = "proxy"
	gather(t, a, p, 0)
	c.followed(t, "app-1/proxy", 1)
	c.says("app-1/app/0", "ERROR not asked for")
	c.says("app-1/proxy/0", "ERROR asked for")
	if text := gather(t, a, p, 1); text != "app-1/proxy: ERROR asked for" {
		t.Fatal(text)
	}
}

func TestLogsThatMayNotBeRead(t *testing.T) {
	c := newCluster()
	c.forbid = true
	c.run("app-1", "app")
	a := asker(t, probetest.Serve(t, c))
	deadline := time.Now().Add(20 * time.Second)
	for ; ; time.Sleep(5 * time.Millisecond) {
		now := time.Now()
		r, err := a.Ask(t.Context(), errorsOf, now)
		if x := probes.Judge(errorsOf, r, err, now, now); x.Verdict == state.Error {
			if !strings.Contains(x.Text, "pods/log is forbidden") {
				t.Fatalf("%+v", x)
			}
			return
		}
		if now.After(deadline) {
			t.Fatal("nobody says that logs are forbidden")
		}
	}
}
