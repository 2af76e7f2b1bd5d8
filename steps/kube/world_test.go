package kube_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/drill/cluster"
	"mayday/steps/kube"
	"mayday/steps/kube/kubetest"
	"mayday/steps/steptest"
)

const ns = "shop"

// shop is a production namespace whose pods are ready at once, unless the tag of
// their image says otherwise: …-notready, …-crash, …-nopull.
type shop struct {
	ns      string // the const ns on the drill's API
	cfg     *rest.Config
	client  kubernetes.Interface
	faults  *steptest.Faults
	conn    func(runbook.Environment) (*kube.Cluster, error)
	preview kube.Preview
	as      func(user string, rules ...rbacv1.PolicyRule) *rest.Config

	kubeconfig []byte
	broken     atomic.Pointer[string] // the version whose new pods crash, nil: none but "-crash"
}

var (
	virtualServices = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
	httpRoutes      = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}
)

// TestMain spends memory for time: many small clusters make much garbage, and tests
// mostly wait for pods. There is a limit to it, because the race detector takes five times
// what the heap ever was, and never gives it back.
func TestMain(m *testing.M) {
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(512 << 20)
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// newShop starts a cluster with the objects; it is gone when the test ends.
func newShop(t testing.TB, objects ...runtime.Object) *shop {
	t.Helper()
	return newShopAt(t, nil, objects...)
}

// newShopAt is newShop with a clock of its own; nil is the real one.
func newShopAt(t testing.TB, now func() time.Time, objects ...runtime.Object) *shop {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	all := append([]runtime.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}}, objects...)
	c, err := cluster.Start(ctx, cluster.Options{Objects: all, Now: now})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	s := openShop(t, c.Config(), ns)
	s.as = c.As
	s.kubeconfig = c.Kubeconfig()
	var kubelet sync.WaitGroup
	kubelet.Go(func() { s.runKubelet(ctx) })
	t.Cleanup(func() { cancel(); c.Close(); kubelet.Wait() })
	return s
}

// openShop connects to a namespace.
func openShop(t testing.TB, cfg *rest.Config, ns string) *shop {
	t.Helper()
	s := &shop{ns: ns, cfg: cfg, faults: new(steptest.Faults)}
	var err error
	if s.client, err = kubernetes.NewForConfig(cfg); err != nil {
		t.Fatal(err)
	}
	faulty := rest.CopyConfig(cfg)
	faulty.Wrap(func(next http.RoundTripper) http.RoundTripper { return &faultyTransport{next, s.faults} })
	once := sync.OnceValues(func() (*kube.Cluster, error) { return kube.New(faulty) }) // one connection: handshakes are dear
	s.conn = func(runbook.Environment) (*kube.Cluster, error) { return once() }
	return s
}

// faultyTransport puts steptest.Faults between the strategy and the server.
type faultyTransport struct {
	next   http.RoundTripper
	faults *steptest.Faults
}

func (f *faultyTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	reads := r.Method == http.MethodGet || r.URL.Query().Has("dryRun") || strings.Contains(r.URL.Path, "selfsubjectaccessreviews")
	if reads {
		return f.next.RoundTrip(r)
	}
	if err := f.faults.Before(); err != nil {
		return nil, err
	}
	resp, err := f.next.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	if resp.StatusCode >= 300 { // refused: nothing was written
		return resp, nil
	}
	if err := f.faults.After(); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// runKubelet plays the node: it starts pods, or lets them fail as their image's tag
// says, and ends those that terminate.
func (s *shop) runKubelet(ctx context.Context) {
	for ctx.Err() == nil {
		w, err := s.client.CoreV1().Pods(ns).Watch(ctx, metav1.ListOptions{})
		if err != nil {
			continue
		}
		for e := range w.ResultChan() {
			if p, ok := e.Object.(*corev1.Pod); ok && e.Type != "DELETED" {
				tend(ctx, s.client, p, s.broken.Load())
			}
		}
	}
}

// breakPods lets every pod of a version that starts from now on crash.
func (s *shop) breakPods(version string) { s.broken.Store(&version) }

func tend(ctx context.Context, client kubernetes.Interface, p *corev1.Pod, broken *string) {
	if p.DeletionTimestamp != nil {
		_ = client.CoreV1().Pods(ns).Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
		return
	}
	if p.Status.Phase == corev1.PodRunning || len(p.Status.ContainerStatuses) > 0 {
		return
	}
	image := p.Spec.Containers[0].Image
	status := corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1", Conditions: []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}}
	running := corev1.ContainerStatus{Name: p.Spec.Containers[0].Name, Ready: true, Image: image,
		State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}}
	fails := func(reason, message string) {
		status.Phase = corev1.PodPending
		status.Conditions[0].Status = corev1.ConditionFalse
		running.Ready, running.State = false, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	}
	switch {
	case strings.HasSuffix(image, "-notready"):
		status.Conditions[0].Status, running.Ready = corev1.ConditionFalse, false
	case strings.HasSuffix(image, "-crash"), broken != nil && strings.HasSuffix(image, *broken):
		fails("CrashLoopBackOff", "back-off 5m0s restarting failed container\x1b[2J")
	case strings.HasSuffix(image, "-nopull"):
		fails("ImagePullBackOff", "manifest unknown")
	}
	status.ContainerStatuses = []corev1.ContainerStatus{running}
	// Only of what it saw: a pod that somebody changed meanwhile comes again.
	raw, _ := json.Marshal(map[string]any{"status": status, "metadata": map[string]any{"resourceVersion": p.ResourceVersion}})
	_, _ = client.CoreV1().Pods(ns).Patch(ctx, p.Name, types.StrategicMergePatchType, raw, metav1.PatchOptions{}, "status")
}

func deploy(name, image string, replicas int32, labels map[string]string) *appsv1.Deployment {
	quarter := intstr.FromString("25%")
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns}, Spec: appsv1.DeploymentSpec{
		Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
		Strategy: appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType,
			RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &quarter, MaxUnavailable: &quarter}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "app", Image: image, Env: []corev1.EnvVar{{Name: "MODE", Value: "shop"}}}}}}}}
}

func stateful(name, image string, replicas int32) *appsv1.StatefulSet {
	l := map[string]string{"app": name}
	return &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns}, Spec: appsv1.StatefulSetSpec{
		Replicas: &replicas, ServiceName: name, Selector: &metav1.LabelSelector{MatchLabels: l},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: l}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "app", Image: image, Env: []corev1.EnvVar{{Name: "MODE", Value: "shop"}}}}}}}}
}

func service(name string, selector map[string]string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns}, Spec: corev1.ServiceSpec{
		Selector: selector, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}}}
}

func object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	u := new(unstructured.Unstructured)
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	u.SetNamespace(ns)
	return u
}

var (
	// virtualService has a rule for testers, which is not mayday's, before the one that counts.
	virtualService = strings.Replace(kubetest.VirtualService(100, 0), "  http:\n",
		"  http:\n  - match: [{headers: {x-tester: {exact: \"1\"}}}]\n    route: [{destination: {host: app-canary}}]\n", 1)
	httpRoute = kubetest.HTTPRoute(100, 0)
)

func stableLabels() map[string]string { return map[string]string{"app": "app", "track": "stable"} }
func canaryLabels() map[string]string { return map[string]string{"app": "app", "track": "canary"} }

// canaryObjects is the usual shape of a canary, ready to be changed by a test.
func canaryObjects(t testing.TB, route string) []runtime.Object {
	return []runtime.Object{
		deploy("app-stable", "registry.local/shop:v1.2.3", 4, stableLabels()),
		deploy("app-canary", "registry.local/shop:v1.2.3", 0, canaryLabels()),
		service("app-stable", stableLabels()), service("app-canary", canaryLabels()), object(t, route),
	}
}

// mixedObjects is a canary without a mesh: both Deployments behind one Service.
func mixedObjects(pods int32) []runtime.Object {
	return []runtime.Object{
		deploy("app-stable", "registry.local/shop:v1.2.3", pods, stableLabels()),
		deploy("app-canary", "registry.local/shop:v1.2.3", 0, canaryLabels()),
		service("app", map[string]string{"app": "app"}),
	}
}

func mixedEnv(weights ...int) runbook.Environment {
	return runbook.Environment{Canary: &runbook.Canary{Stable: "app-stable", Canary: "app-canary", Service: "app", Weights: weights}}
}

// setSettled waits until the StatefulSet is rolled out.
func (s *shop) setSettled(t testing.TB, name string) {
	t.Helper()
	s.eventually(t, name+" is rolled out", func() bool {
		set, err := s.client.AppsV1().StatefulSets(s.ns).Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && set.Status.ObservedGeneration >= set.Generation && set.Status.ReadyReplicas == *set.Spec.Replicas &&
			set.Status.CurrentRevision == set.Status.UpdateRevision && set.Status.UpdatedReplicas == *set.Spec.Replicas
	})
}

// settled waits until the Deployments are rolled out.
func (s *shop) settled(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		s.eventually(t, name+" is rolled out", func() bool {
			d, err := s.client.AppsV1().Deployments(s.ns).Get(t.Context(), name, metav1.GetOptions{})
			return err == nil && d.Status.ObservedGeneration >= d.Generation && d.Status.AvailableReplicas == *d.Spec.Replicas &&
				d.Status.UpdatedReplicas == *d.Spec.Replicas && d.Status.Replicas == *d.Spec.Replicas
		})
	}
}

func (s *shop) eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for give := time.Now().Add(60 * time.Second); !ok(); {
		if time.Now().After(give) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (s *shop) order(env runbook.Environment) steps.Order {
	env.Name, env.Production, env.Namespace, env.Image = "production", true, s.ns, "registry.local/shop:{version}"
	env.URL = "http://127.0.0.1:1"
	return steps.Order{ID: "r1", Environment: env, Version: "v1.2.4", Previous: "v1.2.3", Incident: "INC-20261122-01"}
}

func (s *shop) strategy(name string, traffic steps.Traffic) steps.Strategy {
	return kube.Strategies(s.conn, traffic, s.preview, testKeys)[name]
}

// behind is what answers behind one Service: the ready pods of a selector, in turn.
type behind struct {
	s        *shop
	selector string
}

// Versions implements steps.Traffic.
func (b *behind) Versions(ctx context.Context, _ runbook.Environment, n int) (map[string]int, error) {
	out := map[string]int{}
	return out, b.s.inTurn(ctx, out, b.selector, n)
}

// share is the pods' and the route's view of who would answer.
type share struct {
	s     *shop
	paths []string                                          // Deployments, stable first
	route func(ctx context.Context) (canary int, err error) // nil: the first Deployment alone
}

// Versions implements steps.Traffic by counting ready pods behind the route.
func (f *share) Versions(ctx context.Context, _ runbook.Environment, n int) (map[string]int, error) {
	weight := 0
	if f.route != nil {
		var err error
		if weight, err = f.route(ctx); err != nil {
			return nil, err
		}
	}
	out := map[string]int{}
	if err := f.spread(ctx, out, f.paths[0], n*(100-weight)/100); err != nil {
		return nil, err
	}
	if weight > 0 {
		if err := f.spread(ctx, out, f.paths[1], n*weight/100); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (f *share) spread(ctx context.Context, out map[string]int, name string, n int) error {
	d, err := f.s.client.AppsV1().Deployments(f.s.ns).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	return f.s.inTurn(ctx, out, metav1.FormatLabelSelector(d.Spec.Selector), n)
}

// inTurn lets the ready pods of a selector answer in turn.
func (s *shop) inTurn(ctx context.Context, out map[string]int, selector string, n int) error {
	pods, err := s.client.CoreV1().Pods(s.ns).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return err
	}
	var ready []string
	for _, p := range pods.Items {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil {
				_, tag, _ := strings.Cut(p.Spec.Containers[0].Image, ":")
				ready = append(ready, tag)
			}
		}
	}
	if len(ready) == 0 {
		return fmt.Errorf("nobody answers behind %s", selector)
	}
	for i := range n {
		out[ready[i%len(ready)]]++
	}
	return nil
}
