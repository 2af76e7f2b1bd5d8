package kube_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/kube"
	"mayday/steps/kube/kubetest"
)

// richRoute has a regex route, a mirror, a redirect and two weighted routes, one of
// which is not mayday's.
const richRoute = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app}
spec:
  hosts: [app, shop.example]
  http:
  - name: beta
    match: [{uri: {regex: "/beta/[0-9]+(/.*)?"}, headers: {cookie: {regex: "^(.*?;)?(user=[^;]+)(;.*)?$"}}}]
    route:
    - {destination: {host: reports, subset: old}, weight: 30}
    - {destination: {host: reports, subset: new}, weight: 70}
    mirror: {host: reports-shadow}
    mirrorPercentage: {value: 12.5}
  - match: [{uri: {prefix: /old}}]
    redirect: {uri: /new}
  - name: all
    route:
    - {destination: {host: app-stable, port: {number: 80}}, weight: 100, headers: {request: {set: {x-way: stable}}}}
    - {destination: {host: app-canary, port: {number: 80}}, weight: 0}
    mirror: {host: app-shadow}
    mirrorPercentage: {value: 50}
    timeout: 2s
    retries: {attempts: 3, perTryTimeout: 1s, retryOn: 5xx}
`

// TestRichRoute: of everything that a VirtualService says, two weights change.
func TestRichRoute(t *testing.T) { inEachWorld(t, testRichRoute) }

func testRichRoute(t *testing.T, open world) {
	t.Parallel()
	s := open(t, canaryObjects(t, richRoute)...)
	s.settled(t, "app-stable")
	before := s.spec(t, virtualServices, "app")
	st := s.strategy("canary", nil)
	p := mustPlan(t, st, s.order(canaryEnv("VirtualService/app")))
	for i := range 2 {
		if _, err := st.Stage(t.Context(), p, i, fence(0), t.Output()); err != nil {
			t.Fatal(err)
		}
	}
	want := strings.NewReplacer("weight: 100", "weight: 90", "weight: 0}", "weight: 10}").Replace(richRoute)
	if d := cmp.Diff(text(t, object(t, want).Object["spec"]), text(t, s.spec(t, virtualServices, "app"))); d != "" {
		t.Errorf("the weights of 10 %% (-want +got):\n%s", d)
	}
	if _, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff(before, s.spec(t, virtualServices, "app")); d != "" {
		t.Errorf("the route is not as it was (-before +after):\n%s", d)
	}
}

// TestTwoWeightedRoutes: where two rules share out between the same two, mayday does
// not guess which is meant.
func TestTwoWeightedRoutes(t *testing.T) { inEachWorld(t, testTwoWeightedRoutes) }

func testTwoWeightedRoutes(t *testing.T, open world) {
	t.Parallel()
	two := strings.Replace(virtualService, `route: [{destination: {host: app-canary}}]`,
		`route: [{destination: {host: app-stable}, weight: 50}, {destination: {host: app-canary}, weight: 50}]`, 1)
	s := open(t, canaryObjects(t, two)...)
	_, err := s.strategy("canary", nil).Plan(t.Context(), s.order(canaryEnv("VirtualService/app")))
	if !state.HasCode(err, "route") || !strings.Contains(err.Error(), "2 rules name both") {
		t.Errorf("Plan: %v", err)
	}
}

// text makes the numbers of two sources comparable.
func text(t testing.TB, v any) string {
	t.Helper()
	raw, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func (s *shop) spec(t testing.TB, gvr schema.GroupVersionResource, name string) any {
	t.Helper()
	u, err := dynamic.NewForConfigOrDie(s.cfg).Resource(gvr).Namespace(s.ns).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return u.Object["spec"]
}

// TestDeploymentDeleted: a rollout whose Deployment somebody deletes ends with a word
// about it; the rollback leads the traffic home and says what it could not restore.
func TestDeploymentDeleted(t *testing.T) { inEachWorld(t, testDeploymentDeleted) }

func testDeploymentDeleted(t *testing.T, open world) {
	t.Parallel()
	s := open(t, canaryObjects(t, virtualService)...)
	s.settled(t, "app-stable")
	st := s.strategy("canary", nil)
	p := mustPlan(t, st, s.order(canaryEnv("VirtualService/app")))
	for i := range 2 {
		if _, err := st.Stage(t.Context(), p, i, fence(0), t.Output()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.client.AppsV1().Deployments(s.ns).Delete(t.Context(), "app-canary", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := st.Stage(t.Context(), p, 2, fence(0), t.Output())
	if prob := state.AsProblem(err); err == nil || !strings.Contains(prob.What+prob.Why, "app-canary") || prob.Do == "" {
		t.Errorf("stage: %v", err)
	}
	last := map[string]state.RollbackOp{}
	v, err := st.Rollback(t.Context(), p, fence(1), func(op state.RollbackOp) { last[op.Op] = op })
	if err == nil || len(v.Manual) == 0 || last["traffic"].Status != state.ItemDone || last["canary"].Status != state.ItemFailed {
		t.Errorf("rollback: %v, %+v", err, last)
	}
	if w, err := s.canaryWeight(t.Context()); err != nil || w != 0 {
		t.Errorf("the traffic was left at %d (%v)", w, err)
	}
}

// TestQuotaFillsUp under way: the stage fails with the server's reason, not at the end
// of its patience.
func TestQuotaFillsUp(t *testing.T) { inEachWorld(t, testQuotaFillsUp) }

func testQuotaFillsUp(t *testing.T, open world) {
	t.Parallel()
	s := open(t, canaryObjects(t, virtualService)...)
	s.settled(t, "app-stable")
	st := s.strategy("canary", nil)
	p := mustPlan(t, st, s.order(canaryEnv("VirtualService/app")))
	_, err := s.client.CoreV1().ResourceQuotas(s.ns).Create(t.Context(), &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "pods"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("5")}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "the quota counts", func() bool {
		q, err := s.client.CoreV1().ResourceQuotas(s.ns).Get(t.Context(), "pods", metav1.GetOptions{})
		used := q.Status.Used[corev1.ResourcePods]
		return err == nil && used.Value() == 4
	})
	if _, err := st.Stage(t.Context(), p, 0, fence(0), t.Output()); !state.HasCode(err, "quota") || !strings.Contains(err.Error(), "exceeded quota") {
		t.Errorf("stage: %v", err)
	}
	if _, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Error(err)
	}
}

// atOnce is how soon after a status that says so a stage must end: that takes it three
// requests, which have to share CI's machine with other packages' tests.
func atOnce() time.Duration {
	if os.Getenv("CI") == "true" {
		return 15 * time.Second
	}
	return 3 * time.Second
}

// TestTroubleIsSeenAtOnce: what keeps pods from starting ends the stage within three
// seconds of the status that says so.
func TestTroubleIsSeenAtOnce(t *testing.T) {
	t.Run("drill", func(t *testing.T) {
		for _, reason := range []string{"CrashLoopBackOff", "ImagePullBackOff"} {
			t.Run(reason, func(t *testing.T) {
				t.Parallel()
				seenAtOnce(t, newShop(t, canaryObjects(t, virtualService)...), reason)
			})
		}
	})
	t.Run("control plane", func(t *testing.T) {
		for _, reason := range []string{"CrashLoopBackOff", "ImagePullBackOff", "Unschedulable"} {
			t.Run(reason, func(t *testing.T) {
				t.Parallel()
				c := kubetest.Shared(t)
				slots := corev1.ResourceList{c.Room(t, 1): resource.MustParse("1")}
				objects := edit(canaryObjects(t, virtualService), "app-canary", func(d *appsv1.Deployment) {
					d.Spec.Template.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: slots, Limits: slots}
				})
				seenAtOnce(t, shopOn(t, c, objects...), reason)
			})
		}
	})
}

func seenAtOnce(t *testing.T, s *shop, reason string) {
	s.settled(t, "app-stable")
	st := s.strategy("canary", nil)
	o := s.order(canaryEnv("VirtualService/app"))
	o.Version += map[string]string{"CrashLoopBackOff": "-crash", "ImagePullBackOff": "-nopull"}[reason]
	p := mustPlan(t, st, o)
	w, err := s.client.CoreV1().Pods(s.ns).Watch(t.Context(), metav1.ListOptions{LabelSelector: "track=canary"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	first := make(chan time.Time, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer w.Stop()
	wg.Go(func() {
		for e := range w.ResultChan() {
			if pod, ok := e.Object.(*corev1.Pod); ok && says(pod, reason) {
				first <- time.Now()
				return
			}
		}
	})
	_, err = st.Stage(t.Context(), p, 0, fence(0), t.Output())
	ended := time.Now()
	if !state.HasCode(err, "pod") {
		t.Fatalf("stage: %v, want %s", err, reason)
	}
	// The stage may be quicker than this watch, and ErrImagePull comes before its back-off.
	select {
	case at := <-first:
		t.Logf("%s: the stage ended %v after the status", reason, ended.Sub(at))
		if late := ended.Sub(at); late > atOnce() {
			t.Errorf("the stage ended %v after the status", late)
		}
	default:
	}
	if _, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Error(err)
	}
}

// says reports whether a pod's status gives the reason.
func says(p *corev1.Pod, reason string) bool {
	for _, c := range p.Status.Conditions {
		if c.Reason == reason {
			return true
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		if c.State.Waiting != nil && c.State.Waiting.Reason == reason {
			return true
		}
	}
	return false
}

// outage is how long the API server is away.
func outage() time.Duration {
	if os.Getenv("CI") == "true" {
		return 20 * time.Second
	}
	return 2 * time.Second
}

// TestAPIServerStops in the middle of a canary and of its rollback: both go on where
// they were once it is back. How long each waits for that, TestOutage says: on a busy
// machine an API server may take longer to start than the rest of forward work's patience.
func TestAPIServerStops(t *testing.T) {
	t.Parallel()
	c := kubetest.Start(t)
	s := shopOn(t, c, canaryObjects(t, virtualService)...)
	s.settled(t, "app-stable")
	p := mustPlan(t, s.strategy("canary", nil), s.order(canaryEnv("VirtualService/app")))
	// away runs f on a cluster whose API server stops right before the first write of f.
	away := func(f func(when func(*http.Request) (int, string)) error) error {
		var once sync.Once
		writes, gone, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			done <- f(func(r *http.Request) (int, string) {
				if realPatch(r) {
					once.Do(func() { close(writes); <-gone })
				}
				return 0, ""
			})
		}()
		select {
		case <-writes:
			c.StopAPIServer(t)
			close(gone)
		case err := <-done:
			return errors.Join(errors.New("it wrote nothing"), err)
		}
		select {
		case err := <-done:
			t.Errorf("it ended while the API server was away: %v", err)
			done <- err
		case <-time.After(outage()):
		}
		c.StartAPIServer(t)
		return <-done
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for i := range 2 {
		if _, err := s.strategy("canary", nil).Stage(ctx, p, i, fence(0), t.Output()); err != nil {
			t.Fatal(err)
		}
	}
	if err := away(func(when func(*http.Request) (int, string)) error {
		_, err := kube.Steadfast(s.with("canary", when)).Stage(ctx, p, 2, fence(0), t.Output())
		return err
	}); err != nil {
		t.Errorf("mid-canary: %v", err)
	}
	if err := away(func(when func(*http.Request) (int, string)) error {
		_, err := s.with("canary", when).Rollback(ctx, p, fence(1), quietly)
		return err
	}); err != nil {
		t.Errorf("mid-rollback: %v", err)
	}
	if w, err := s.canaryWeight(ctx); err != nil || w != 0 {
		t.Errorf("the canary was left with %d %% (%v)", w, err)
	}
}

// TestSeedCanary: a VirtualService with subsets and a header route as teams write it,
// in the middle of somebody's own canary.
func TestSeedCanary(t *testing.T) { inEachWorld(t, testSeedCanary) }

func testSeedCanary(t *testing.T, open world) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/canary.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t)
	s.create(t, string(raw))
	s.settled(t, "app", "app-canary")
	env := runbook.Environment{Canary: &runbook.Canary{Stable: "app", Canary: "app-canary", Route: "VirtualService/app-canary",
		Weights: []int{10, 25, 50, 75, 100}, Replicas: 1, Subsets: &runbook.Subsets{Host: "app-service", Stable: "v2-1-0", Canary: "v2-1-1"}}}
	o := s.order(env)
	o.Environment.Image, o.Version, o.Previous = "myapp:{version}", "v2.1.1", ""
	st := s.strategy("canary", nil)
	if _, err := st.Plan(t.Context(), o); !state.HasCode(err, "canary-busy") || !strings.Contains(err.Error(), "weights 100 and 0") {
		t.Errorf("Plan with 10 %% of the traffic on the canary: %v", err)
	}
	home := []byte(`[{"op":"replace","path":"/spec/http/1/route/0/weight","value":100},{"op":"replace","path":"/spec/http/1/route/1/weight","value":0}]`)
	routes := dynamic.NewForConfigOrDie(s.cfg).Resource(virtualServices).Namespace(s.ns)
	if _, err := routes.Patch(t.Context(), "app-canary", types.JSONPatchType, home, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	p := mustPlan(t, st, o)
	for i := range p.Stages {
		if _, err := st.Stage(t.Context(), p, i, fence(0), t.Output()); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.image(t, "app"); got != "myapp:v2.1.1" {
		t.Errorf("app runs %s", got)
	}
	if v, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil || !strings.HasPrefix(v.Text, "weights 100/0, v2.1.0 3/3 ready") {
		t.Errorf("rollback: %+v, %v", v, err)
	}
	rules := s.spec(t, virtualServices, "app-canary").(map[string]any)["http"].([]any)
	if match, _, _ := unstructured.NestedSlice(rules[0].(map[string]any), "match"); len(rules) != 2 || len(match) != 1 {
		t.Errorf("rules %v", rules)
	}
}
