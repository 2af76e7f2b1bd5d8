package kube_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/kube"
)

// edit changes an object of a kind among others.
func edit[T runtime.Object](list []runtime.Object, name string, f func(T)) []runtime.Object {
	for _, o := range list {
		if x, ok := o.(T); ok && o.(metav1.Object).GetName() == name {
			f(x)
		}
	}
	return list
}

func TestPlanRefuses(t *testing.T) { inEachWorld(t, testPlanRefuses) }

func testPlanRefuses(t *testing.T, open world) {
	swap := func(old, new string) string { return strings.Replace(virtualService, old, new, 1) }
	for _, c := range []struct {
		name    string
		route   string
		objects func([]runtime.Object) []runtime.Object
		env     func(*runbook.Environment)
		order   func(*steps.Order)
		code    string
		says    string
	}{
		{name: "deployment missing", env: func(e *runbook.Environment) { e.Canary.Canary = "gone" }, code: "not-found", says: "Deployment gone"},
		{name: "container not found", env: func(e *runbook.Environment) { e.Container = "web" }, code: "container", says: "it has app"},
		{name: "paused", objects: func(l []runtime.Object) []runtime.Object {
			return edit(l, "app-stable", func(d *appsv1.Deployment) { d.Spec.Paused = true })
		}, code: "paused", says: "rollout resume deployment app-stable"},
		{name: "no two destinations", route: swap("- {destination: {host: app-canary}, weight: 0}\n", "\n"), code: "route", says: "no rule names both"},
		{name: "weights not 100", route: swap("weight: 0", "weight: 30"), code: "route", says: "sum to 130"},
		{name: "canary busy", route: strings.NewReplacer("weight: 100", "weight: 90", "weight: 0", "weight: 10").Replace(virtualService), code: "canary-busy", says: "10 %"},
		{name: "already running", order: func(o *steps.Order) { o.Version = "v1.2.3" }, code: "already-running"},
		{name: "selector of the service", objects: func(l []runtime.Object) []runtime.Object {
			l[2] = service("app-stable", map[string]string{"app": "other"})
			return l
		}, code: "selector", says: "does not select"},
		{name: "service of both", objects: func(l []runtime.Object) []runtime.Object {
			l[2] = service("app-stable", map[string]string{"app": "app"})
			return l
		}, code: "selector", says: "too"},
		{name: "service without selector", objects: func(l []runtime.Object) []runtime.Object { l[3] = service("app-canary", nil); return l }, code: "selector", says: "no selector"},
		{name: "no route", env: func(e *runbook.Environment) { e.Canary.Route = "VirtualService/nope" }, code: "not-found"},
		{name: "unknown route kind", env: func(e *runbook.Environment) { e.Canary.Route = "Ingress/app" }, code: "route"},
		{name: "falling weights", env: func(e *runbook.Environment) { e.Canary.Weights = []int{50, 25} }, code: "config"},
		{name: "a host the route does not serve", env: func(e *runbook.Environment) { e.Canary.Host = "shop.example" }, code: "route", says: "shop.example"},
		{name: "subsets without a rule", route: swap("- {destination: {host: app-stable}, weight: 100}\n    - {destination: {host: app-canary}, weight: 0}",
			"- {destination: {host: app, subset: s}, weight: 100}\n    - {destination: {host: app, subset: c}, weight: 0}"),
			objects: func(l []runtime.Object) []runtime.Object {
				return append(l, service("app", map[string]string{"app": "app"}))
			},
			env: func(e *runbook.Environment) {
				e.Canary.Subsets = &runbook.Subsets{Host: "app", Stable: "s", Canary: "c"}
			}, code: "subsets", says: "DestinationRule"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			route := c.route
			if route == "" {
				route = virtualService
			}
			objects := canaryObjects(t, route)
			if c.objects != nil {
				objects = c.objects(objects)
			}
			s := open(t, objects...)
			env := canaryEnv("VirtualService/app")
			if c.env != nil {
				c.env(&env)
			}
			order := s.order(env)
			if c.order != nil {
				c.order(&order)
			}
			_, err := s.strategy("canary", nil).Plan(t.Context(), order)
			var p *state.Problem
			if !errors.As(err, &p) || p.Code != c.code || p.Do == "" || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want code %q saying %q", err, c.code, c.says)
			}
		})
	}
}

func TestRollingRefusesRecreate(t *testing.T) {
	d := deploy("app", "registry.local/shop:v1.2.3", 1, stableLabels())
	d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	s := newShop(t, d)
	_, err := s.strategy("rolling", nil).Plan(t.Context(), s.order(runbook.Environment{Rolling: &runbook.Rolling{Deployment: "app"}}))
	if !state.HasCode(err, "recreate") {
		t.Errorf("Plan: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	conn := func(runbook.Environment) (*kube.Cluster, error) { return kube.New(&rest.Config{Host: gone.URL}) }
	_, err := kube.Strategies(conn, nil, kube.Preview{}, nil)["canary"].Plan(t.Context(), steps.Order{Environment: canaryEnv("VirtualService/app")})
	if !state.HasCode(err, "unreachable") {
		t.Errorf("Plan: %v", err)
	}
}

// TestIdentityWithoutNamespaces: who may not read namespaces still pins a cluster.
func TestIdentityWithoutNamespaces(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`))
	}))
	defer srv.Close()
	c, err := kube.New(&rest.Config{Host: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	if id, err := c.Identity(t.Context()); err != nil || !strings.HasPrefix(id, "server+ca:") {
		t.Errorf("identity %q, %v", id, err)
	}
}

func TestConnect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	config := `{apiVersion: v1, kind: Config, current-context: one, clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}],
contexts: [{name: one, context: {cluster: c}}, {name: two, context: {cluster: c}}]}`
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, env := range map[string]runbook.Environment{"one": {Kubeconfig: path}, "two": {Kubeconfig: path, Context: "two"}} {
		c, err := kube.Connect(env)
		if err != nil || c.Context != want || c.Kubeconfig != path {
			t.Errorf("Connect: %+v, %v, want context %s", c, err, want)
		}
	}
	for _, env := range []runbook.Environment{{Kubeconfig: path, Context: "three"}, {Kubeconfig: path + "x"}} {
		if _, err := kube.Connect(env); !state.HasCode(err, "kubeconfig") {
			t.Errorf("Connect: %v", err)
		}
	}
}

// TestOtherCluster: a plan made for one cluster is never carried out in another.
func TestOtherCluster(t *testing.T) {
	one, two := newShop(t, canaryObjects(t, virtualService)...), newShop(t, canaryObjects(t, virtualService)...)
	one.settled(t, "app-stable")
	p, err := one.strategy("canary", nil).Plan(t.Context(), one.order(canaryEnv("VirtualService/app")))
	if err != nil {
		t.Fatal(err)
	}
	other := two.strategy("canary", nil)
	if _, err := other.Stage(t.Context(), p, 0, steps.Fence{Incident: "I"}, t.Output()); !state.HasCode(err, "other-cluster") {
		t.Errorf("Stage: %v", err)
	}
	if _, err := other.Rollback(t.Context(), p, steps.Fence{Incident: "I"}, func(state.RollbackOp) {}); !state.HasCode(err, "other-cluster") {
		t.Errorf("Rollback: %v", err)
	}
	if proof, err := other.Prove(t.Context(), p, false); err != nil || proof.Ready != state.NotReady {
		t.Errorf("Prove: %+v, %v", proof, err)
	}
	if n := two.faults.Writes(); n != 0 {
		t.Errorf("%d writes to another cluster", n)
	}
}

// TestAutoscaler: pods that an autoscaler owns are never counted down.
func TestAutoscaler(t *testing.T) {
	hpa := &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "app-canary", Namespace: ns},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 9,
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: "app-canary", APIVersion: "apps/v1"}}}
	s := newShop(t, canaryObjects(t, virtualService)...)
	if _, err := s.client.AutoscalingV2().HorizontalPodAutoscalers(ns).Create(t.Context(), hpa, metav1.CreateOptions{}); err != nil {
		t.Skipf("this cluster has no autoscalers: %v", err)
	}
	s.settled(t, "app-stable")
	st := s.strategy("canary", nil)
	p, err := st.Plan(t.Context(), s.order(canaryEnv("VirtualService/app")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Stage(t.Context(), p, 0, steps.Fence{Incident: "I"}, t.Output()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.AppsV1().Deployments(ns).Patch(t.Context(), "app-canary", types.MergePatchType, []byte(`{"spec":{"replicas":5}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Rollback(t.Context(), p, steps.Fence{Incident: "I", Epoch: 1}, func(state.RollbackOp) {}); err != nil {
		t.Fatal(err)
	}
	d, err := s.client.AppsV1().Deployments(ns).Get(t.Context(), "app-canary", metav1.GetOptions{})
	if err != nil || *d.Spec.Replicas != 5 {
		t.Errorf("the rollback set %d pods of an autoscaler's 5 (%v)", *d.Spec.Replicas, err)
	}
}

// TestAutoscalerTakesTheWayBack: who may shrink the Deployment that a rollback leads to is
// named before the rollout, with the command that keeps it from that.
func TestAutoscalerTakesTheWayBack(t *testing.T) {
	t.Parallel()
	least := int32(1)
	s := newShop(t, append(canaryObjects(t, virtualService), &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "scaler", Namespace: ns},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MinReplicas: &least, MaxReplicas: 9,
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "app-stable"}}})...)
	s.settled(t, "app-stable")
	st := s.strategy("canary", nil)
	p := mustPlan(t, st, s.order(canaryEnv("VirtualService/app")))
	const how = `patch hpa scaler --type=merge -p '{"spec":{"minReplicas":4}}'`
	if w := strings.Join(p.Warnings, "\n"); !strings.Contains(w, "may leave Deployment app-stable 1 of its 4 pods") || !strings.Contains(w, how) {
		t.Errorf("warnings: %s", w)
	}
	for i := range 2 {
		if _, err := st.Stage(t.Context(), p, i, fence(0), t.Output()); err != nil {
			t.Fatal(err)
		}
	}
	if proof, err := st.Prove(t.Context(), p, true); err != nil || proof.Ready != state.Ready {
		t.Errorf("before it was shrunk: %+v, %v", proof, err)
	}
	if _, err := s.client.AppsV1().Deployments(ns).Patch(t.Context(), "app-stable", types.MergePatchType, []byte(`{"spec":{"replicas":1}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "one stable pod", func() bool {
		d, err := s.client.AppsV1().Deployments(ns).Get(t.Context(), "app-stable", metav1.GetOptions{})
		return err == nil && d.Status.Replicas == 1
	})
	if proof, err := st.Prove(t.Context(), p, true); err != nil || proof.Ready != state.Doubtful || !strings.Contains(proof.Why, how) {
		t.Errorf("shrunk: %+v, %v", proof, err)
	}
}
