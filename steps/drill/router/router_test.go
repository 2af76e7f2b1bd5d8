package router_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"mayday/steps/drill"
	"mayday/steps/drill/app"
	"mayday/steps/drill/cluster"
	"mayday/steps/drill/follow"
	"mayday/steps/drill/router"
)

var deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

// place is a seeded cluster with a node, and no traffic of its own: what a router
// is asked for is all that it routes.
type place struct {
	t       *testing.T
	cluster *cluster.Cluster
	client  dynamic.Interface
}

func newPlace(t *testing.T) *place {
	t.Helper()
	c, err := cluster.Start(t.Context(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := drill.Seed(t.Context(), c.Config()); err != nil {
		t.Fatal(err)
	}
	n, err := app.Start(t.Context(), app.Options{Config: c.Config(), Namespaces: []string{"shop"}, Boot: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	client, err := follow.Client(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	return &place{t, c, client}
}

func (p *place) router(route string) *router.Router {
	p.t.Helper()
	r, err := router.Start(p.t.Context(), router.Options{Config: p.cluster.Config(), Namespace: "shop", Route: route})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(r.Close)
	return r
}

// patch merges into an object of namespace shop.
func (p *place) patch(gvr schema.GroupVersionResource, name, body string) {
	p.t.Helper()
	if _, err := p.client.Resource(gvr).Namespace("shop").Patch(p.t.Context(), name, types.MergePatchType, []byte(body), metav1.PatchOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) create(gvr schema.GroupVersionResource, text string) {
	p.t.Helper()
	u := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(text), &u.Object); err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.client.Resource(gvr).Namespace("shop").Create(p.t.Context(), u, metav1.CreateOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

// canary gives the canary two pods of v1.2.4.
func (p *place) canary() {
	p.patch(deployments, "app-canary", `{"spec":{"replicas":2,"template":{"spec":{"containers":[{"name":"app","image":"registry.local/shop:v1.2.4"}]}}}}`)
}

func (p *place) wait(r *router.Router, what string, ready func(map[string]int) bool) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	if err := r.Wait(ctx, ready); err != nil {
		p.t.Fatalf("%s: %v, backends %v", what, err, r.Backends())
	}
}

// counts sends n requests one after the other.
func (p *place) counts(r *router.Router, n int) (versions, pods map[string]int) {
	p.t.Helper()
	versions, pods = map[string]int{}, map[string]int{}
	for range n {
		resp, err := http.Get(r.URL + "/health")
		if err != nil {
			p.t.Fatal(err)
		}
		resp.Body.Close()
		versions[resp.Header.Get("X-Version")+" "+resp.Status[:3]]++
		pods[resp.Header.Get("X-Pod")]++
	}
	return versions, pods
}

// until sends requests until a predicate of 20 answers holds: the router learns of
// a change over a watch.
func (p *place) until(r *router.Router, what string, ok func(map[string]int) bool) {
	p.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		got, _ := p.counts(r, 20)
		if ok(got) {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: %v", what, got)
		}
	}
}

func TestSharesAreExact(t *testing.T) {
	p := newPlace(t)
	p.canary()
	for _, kind := range []struct {
		route, body string
		gvr         schema.GroupVersionResource
	}{
		{"VirtualService/app", `{"spec":{"http":[{"route":[{"destination":{"host":"app-stable"},"weight":%d},{"destination":{"host":"app-canary.shop.svc.cluster.local"},"weight":%d}]}]}}`, follow.VirtualServices},
		{"HTTPRoute/app", `{"spec":{"rules":[{"backendRefs":[{"name":"app-stable","port":80,"weight":%d},{"name":"app-canary","port":80,"weight":%d}]}]}}`, follow.HTTPRoutes},
	} {
		t.Run(kind.route, func(t *testing.T) {
			r := p.router(kind.route)
			p.wait(r, "pods", func(b map[string]int) bool { return b["app-stable"] == drill.Replicas && b["app-canary"] == 2 })
			if got, pods := p.counts(r, 60); got["v1.2.3 200"] != 60 || len(pods) != drill.Replicas {
				t.Errorf("at the start: %v %v", got, pods)
			}
			for _, weight := range []int{10, 25, 50, 75, 100} {
				p.patch(kind.gvr, "app", fmt.Sprintf(kind.body, 100-weight, weight))
				p.until(r, fmt.Sprint("weight ", weight), func(got map[string]int) bool { return got["v1.2.4 200"] == weight/5 })
				got, pods := p.counts(r, 100)
				if got["v1.2.4 200"] != weight || got["v1.2.3 200"] != 100-weight {
					t.Errorf("weight %d: %v", weight, got)
				}
				if weight < 100 && len(pods) != drill.Replicas+2 {
					t.Errorf("weight %d: %d pods answered", weight, len(pods))
				}
			}
		})
	}
}

func TestNoEndpointIs503(t *testing.T) {
	p := newPlace(t)
	r := p.router("VirtualService/app")
	p.wait(r, "pods", func(b map[string]int) bool { return b["app-stable"] == drill.Replicas })
	p.patch(follow.VirtualServices, "app", `{"spec":{"http":[{"route":[{"destination":{"host":"app-canary"}}]}]}}`)
	p.until(r, "an empty service", func(got map[string]int) bool { return got[" 503"] == 20 })
	// A selector that chooses nobody takes the pods away, whatever the slices said.
	p.patch(follow.VirtualServices, "app", `{"spec":{"http":[{"route":[{"destination":{"host":"app-stable"}}]}]}}`)
	p.until(r, "stable again", func(got map[string]int) bool { return got["v1.2.3 200"] == 20 })
	p.patch(follow.Services, "app-stable", `{"spec":{"selector":{"track":"nobody"}}}`)
	p.until(r, "a selector for nobody", func(got map[string]int) bool { return got[" 503"] == 20 })
}

func TestSubsets(t *testing.T) {
	p := newPlace(t)
	p.canary()
	r := p.router("VirtualService/app")
	both := `{"spec":{"http":[{"route":[{"destination":{"host":"app","subset":"stable"},"weight":80},{"destination":{"host":"app","subset":"canary"},"weight":20}]}]}}`
	p.patch(follow.VirtualServices, "app", both)
	p.until(r, "subsets that no rule defines", func(got map[string]int) bool { return got[" 503"] == 20 })
	p.create(follow.DestinationRules, `{"apiVersion":"networking.istio.io/v1","kind":"DestinationRule","metadata":{"name":"app"},
		"spec":{"host":"app","subsets":[{"name":"stable","labels":{"track":"stable"}},{"name":"canary","labels":{"track":"canary"}}]}}`)
	p.until(r, "subsets", func(got map[string]int) bool { return got["v1.2.3 200"] == 16 && got["v1.2.4 200"] == 4 })
}

// TestRolloutLosesNoRequest rolls all pods over under traffic: old ones drain.
func TestRolloutLosesNoRequest(t *testing.T) {
	p := newPlace(t)
	r := p.router("VirtualService/app")
	p.wait(r, "pods", func(b map[string]int) bool { return b["app-stable"] == drill.Replicas })
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	bad := map[string]int{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				resp, err := http.Post(r.URL+"/api/login", "application/json", strings.NewReader(`{"email":"ada@example.com","password":"correct-horse"}`))
				if err != nil {
					mu.Lock()
					bad[err.Error()]++
					mu.Unlock()
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 {
					mu.Lock()
					bad[resp.Status]++
					mu.Unlock()
				}
			}
		})
	}
	p.patch(deployments, "app-stable", `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"registry.local/shop:v1.2.4"}]}}}}`)
	p.until(r, "all new", func(got map[string]int) bool { return got["v1.2.4 200"] == 20 })
	stop()
	wg.Wait()
	if len(bad) > 0 {
		t.Errorf("requests were lost: %v", bad)
	}
}

// TestPods checks what a pod of the range says of itself, with client-go's typed
// clients, and that an image that no registry has never starts.
func TestPods(t *testing.T) {
	p := newPlace(t)
	r := p.router("VirtualService/app")
	p.wait(r, "pods", func(b map[string]int) bool { return b["app-stable"] == drill.Replicas })
	typed, err := kubernetes.NewForConfig(p.cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	pods, err := typed.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(pods.Items) != drill.Replicas {
		t.Fatalf("%d pods, %v", len(pods.Items), err)
	}
	for _, pod := range pods.Items {
		c := pod.Status.ContainerStatuses[0]
		if !c.Ready || c.State.Running == nil || !strings.Contains(c.ImageID, "@sha256:") || pod.Status.PodIP != "127.0.0.1" ||
			pod.Status.StartTime == nil || pod.Annotations[app.AddressKey] == "" {
			t.Errorf("%s: %+v", pod.Name, pod.Status)
		}
	}
	p.patch(deployments, "app-canary", `{"spec":{"replicas":1,"template":{"spec":{"containers":[{"name":"app","image":"registry.local/shop:latest"}]}}}}`)
	deadline := time.Now().Add(10 * time.Second)
	for {
		pods, err := typed.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{LabelSelector: "track=canary"})
		if err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(pods.Items)
		if bytes.Contains(b, []byte("ImagePullBackOff")) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the image was pulled: %s", b)
		}
	}
}

// Where the cluster has a kubelet, the node serves what that runs, and leaves the
// pods' status to it.
func TestAnotherKubelet(t *testing.T) {
	c, err := cluster.Start(t.Context(), cluster.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := drill.Seed(t.Context(), c.Config()); err != nil {
		t.Fatal(err)
	}
	n, err := app.Start(t.Context(), app.Options{Config: c.Config(), Namespaces: []string{"shop"}, Kubelet: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	typed, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	look := func(what string, ok func([]corev1.Pod) bool) []corev1.Pod {
		for deadline := time.Now().Add(10 * time.Second); ; {
			pods, err := typed.CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{LabelSelector: "track=stable"})
			if err != nil {
				t.Fatal(err)
			}
			if ok(pods.Items) {
				return pods.Items
			}
			if time.Now().After(deadline) {
				t.Fatalf("never: %s: %v", what, pods.Items)
			}
		}
	}
	pod := look("pods are scheduled", func(all []corev1.Pod) bool {
		// The scheduler writes twice; what is read in between cannot be updated.
		return len(all) == drill.Replicas && all[0].Spec.NodeName != "" && len(all[0].Status.Conditions) > 0
	})[0]
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "app",
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}}}}
	if _, err := typed.CoreV1().Pods("shop").UpdateStatus(t.Context(), &pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	all := look("the pod is served", func(all []corev1.Pod) bool { return all[0].Annotations[app.AddressKey] != "" })
	resp, err := http.Get("http://" + all[0].Annotations[app.AddressKey] + "/health")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("X-Pod"); got != pod.Name {
		t.Errorf("%q answers for %s", got, pod.Name)
	}
	for i, p := range all {
		if i > 0 && p.Annotations[app.AddressKey] != "" {
			t.Errorf("%s is served, and does not run", p.Name)
		}
		if len(p.Status.Conditions) > 1 || p.Status.PodIP != "" { // the scheduler wrote one
			t.Errorf("the node wrote the status of %s: %+v", p.Name, p.Status)
		}
	}
}
