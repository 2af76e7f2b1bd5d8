package kube_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/kube"
	"mayday/steps/steptest"
)

// severalShop is an app and its worker, which share a ConfigMap that the hotfix changes.
func severalShop(t testing.TB, open world, worker string) (*shop, runbook.Environment) {
	t.Helper()
	w := configured(deploy("worker", "registry.local/worker:v1.2.3", 1, map[string]string{"app": "worker"}))
	s := open(t, configured(deploy("app", "registry.local/shop:v1.2.3", 2, stableLabels())), w)
	s.withConfig(t)
	s.settled(t, "app", "worker")
	return s, runbook.Environment{Rolling: rollingEnv("app"), Config: deployFiles(t),
		Workloads: []runbook.Workload{{Name: "worker", Image: worker, Rolling: &runbook.Rolling{Deployment: "worker"}}}}
}

func TestSeveralConformance(t *testing.T) {
	conform(t, func(t *testing.T, open world) steptest.Fixture {
		s, env := severalShop(t, open, "")
		return configFixture(t, "rolling", s, env, &share{s: s, paths: []string{"app"}}, planned{deployments, "app"}, planned{deployments, "worker"})
	})
}

// TestSeveralOfCanary: another strategy, each with traffic of its own.
func TestSeveralOfCanary(t *testing.T) {
	conform(t, func(t *testing.T, open world) steptest.Fixture {
		objects := edit(canaryObjects(t, virtualService), "app-stable", func(d *appsv1.Deployment) { *d.Spec.Replicas = 1 })
		mail := map[string]string{"app": "mail", "track": "stable"}
		beside := map[string]string{"app": "mail", "track": "canary"}
		objects = append(objects, deploy("mail", "registry.local/mail:v1.2.3", 1, mail), deploy("mail-canary", "registry.local/mail:v1.2.3", 0, beside),
			service("mail", mail), service("mail-canary", beside),
			object(t, strings.NewReplacer("name: app}", "name: mail}", "[app]", "[mail]", "app-stable", "mail", "app-canary", "mail-canary").Replace(virtualService)))
		s := open(t, objects...)
		s.settled(t, "app-stable", "mail")
		env := canaryEnv("VirtualService/app")
		env.Canary.Weights, env.Canary.Replicas = []int{100}, 1
		env.Workloads = []runbook.Workload{{Name: "mail", Canary: &runbook.Canary{Stable: "mail", Canary: "mail-canary",
			Route: "VirtualService/mail", Replicas: 1, Weights: []int{100}}}}
		return s.fixture("canary", env, &share{s: s, paths: []string{"app-stable", "app-canary"}, route: s.canaryWeight}, dynamic.NewForConfigOrDie(s.cfg),
			planned{virtualServices, "app"}, planned{deployments, "app-stable"}, planned{deployments, "app-canary"},
			planned{virtualServices, "mail"}, planned{deployments, "mail"}, planned{deployments, "mail-canary"})
	})
}

func (s *shop) image(t testing.TB, name string) string {
	t.Helper()
	d, err := s.client.AppsV1().Deployments(s.ns).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return d.Spec.Template.Spec.Containers[0].Image
}

// rolled runs the stages until one fails.
func rolled(t testing.TB, st steps.Strategy, p state.Plan) (string, error) {
	t.Helper()
	for i := range p.Stages {
		if _, err := st.Stage(t.Context(), p, i, steps.Fence{Incident: "INC-20261122-01"}, t.Output()); err != nil {
			return p.Stages[i].Name, err
		}
	}
	return "", nil
}

// TestSecondWorkloadFails: both are restored, and everything says whose it is.
func TestSecondWorkloadFails(t *testing.T) {
	t.Parallel()
	s, env := severalShop(t, newShop, "registry.local/worker:{version}-crash")
	st, p := begun(t, s, env, 0)
	if got := p.Subject; got != "Deployment app, Deployment worker" {
		t.Errorf("subject %q", got)
	}
	at, err := rolled(t, st, p)
	if !strings.HasPrefix(at, "worker: ") || err == nil || !strings.HasPrefix(err.Error(), "worker: ") {
		t.Fatalf("ended at %q: %v", at, err)
	}
	if s.image(t, "app") != "registry.local/shop:v1.2.4" {
		t.Errorf("app runs %s", s.image(t, "app"))
	}
	lines, err := st.Look(t.Context(), p)
	if text := strings.Join(lines, "\n"); err != nil || !strings.Contains(text, "worker: Deployment worker") {
		t.Errorf("Look: %s, %v", text, err)
	}
	seen, err := st.Rollback(t.Context(), p, steps.Fence{Incident: "INC-20261122-01", Epoch: 1}, func(state.RollbackOp) {})
	if err != nil || !strings.Contains(seen.Text, "v1.2.3 2/2 ready") || !strings.Contains(seen.Text, "worker: v1.2.3 1/1 ready") {
		t.Errorf("Rollback: %+v, %v", seen, err)
	}
	if app, worker := s.image(t, "app"), s.image(t, "worker"); app != "registry.local/shop:v1.2.3" || worker != "registry.local/worker:v1.2.3" {
		t.Errorf("left %s and %s", app, worker)
	}
	if m := s.configMap(t, "app"); m.Data["MODE"] != "shop" {
		t.Errorf("left %v", m.Data)
	}
}

// TestOneWorkloadCannotGoBack: the others do, and the commands by hand are for it alone.
func TestOneWorkloadCannotGoBack(t *testing.T) {
	t.Parallel()
	s, env := severalShop(t, newShop, "")
	st, p := begun(t, s, env, 0)
	if at, err := rolled(t, st, p); err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	denied := s.with("rolling", func(r *http.Request) (int, string) {
		if r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/deployments/worker") {
			return http.StatusForbidden, status("Forbidden", "not yours", "403")
		}
		return 0, ""
	})
	seen, err := denied.Rollback(t.Context(), p, steps.Fence{Incident: "INC-20261122-01", Epoch: 1}, func(state.RollbackOp) {})
	if err == nil || !strings.HasPrefix(err.Error(), "worker: ") || !strings.Contains(seen.Text, "v1.2.3 2/2 ready") {
		t.Errorf("Rollback: %+v, %v", seen, err)
	}
	by := strings.Join(seen.Manual, "\n")
	if !strings.Contains(by, "deployment worker") || strings.Contains(by, "deployment app ") {
		t.Errorf("by hand:\n%s", by)
	}
	if app := s.image(t, "app"); app != "registry.local/shop:v1.2.3" {
		t.Errorf("app was left at %s", app)
	}
	proof, err := denied.Prove(t.Context(), p, true)
	if err != nil || proof.Ready != state.NotReady || !strings.Contains(proof.Why, "worker: ") {
		t.Errorf("Prove: %+v, %v", proof, err)
	}
}

// TestWorkloadsGoBackTogether: nothing waits for the pods of another workload. The
// worker is not read any more, once it is written, until the app is written too.
func TestWorkloadsGoBackTogether(t *testing.T) {
	t.Parallel()
	s, env := severalShop(t, newShop, "")
	st, p := begun(t, s, env, 0)
	if at, err := rolled(t, st, p); err != nil {
		t.Fatalf("%s: %v", at, err)
	}
	worker, app := make(chan struct{}), make(chan struct{})
	first, second := sync.OnceFunc(func() { close(worker) }), sync.OnceFunc(func() { close(app) })
	watched := s.with("rolling", func(r *http.Request) (int, string) {
		patch := r.Method == http.MethodPatch && !r.URL.Query().Has("dryRun")
		switch {
		case patch && strings.HasSuffix(r.URL.Path, "/deployments/app"):
			second()
		case patch && strings.HasSuffix(r.URL.Path, "/deployments/worker"):
			first()
		case strings.HasSuffix(r.URL.Path, "/deployments/worker"):
			select {
			case <-worker:
			default:
				return 0, "" // before its write
			}
			select {
			case <-app:
			case <-time.After(30 * time.Second):
				t.Error("the app waited for the worker's pods")
			}
		}
		return 0, ""
	})
	if _, err := kube.Unhurried(watched).Rollback(t.Context(), p, steps.Fence{Incident: "INC-20261122-01", Epoch: 1}, func(state.RollbackOp) {}); err != nil {
		t.Error(err)
	}
}

// TestWorkloadAlreadyRuns the version: it is left out, and said; where all do, nothing
// is planned.
func TestWorkloadAlreadyRuns(t *testing.T) {
	t.Parallel()
	s, env := severalShop(t, newShop, "registry.local/worker:v1.2.3")
	_, p := begun(t, s, env, 0)
	if text := strings.Join(p.Warnings, "\n"); !strings.Contains(text, "production/worker already runs v1.2.4 and is left as it is") {
		t.Errorf("warned %q", text)
	}
	for _, st := range p.Stages {
		if strings.HasPrefix(st.Name, "worker") {
			t.Errorf("stage %q", st.Name)
		}
	}
	order := s.order(env)
	order.Version = "v1.2.3"
	if _, err := s.strategy("rolling", nil).Plan(t.Context(), order); !state.HasCode(err, "already-running") {
		t.Errorf("Plan: %v", err)
	}
	env.Workloads[0].Rolling = nil
	_, err := s.strategy("rolling", nil).Plan(t.Context(), s.order(env))
	var problem *state.Problem
	if !errors.As(err, &problem) || problem.Code != "config" || !strings.HasPrefix(problem.What, "worker: ") {
		t.Errorf("a workload without the strategy: %v", err)
	}
}

// TestSeveralShareARoom: what one workload leaves behind, the next has no room for, and
// a rollback makes pods for all of them at once. Alone, each has room enough.
func TestSeveralShareARoom(t *testing.T) {
	twoOf := func(name string) (blue, green map[string]string) {
		return map[string]string{"app": name, "version": "blue"}, map[string]string{"app": name, "version": "green"}
	}
	colours := func() ([]runtime.Object, runbook.Environment) {
		var objects []runtime.Object
		for _, name := range []string{"app", "mail"} {
			blue, green := twoOf(name)
			objects = append(objects, deploy(name+"-blue", "registry.local/"+name+":v1.2.3", 1, blue),
				deploy(name+"-green", "registry.local/"+name+":v1.2.3", 0, green), service(name, blue))
		}
		return objects, runbook.Environment{BlueGreen: &runbook.BlueGreen{Service: "app", Blue: "app-blue", Green: "app-green", Label: "version"},
			Workloads: []runbook.Workload{{Name: "mail", BlueGreen: &runbook.BlueGreen{Service: "mail", Blue: "mail-blue", Green: "mail-green", Label: "version"}}}}
	}
	rolling := func() ([]runtime.Object, runbook.Environment) {
		return []runtime.Object{deploy("app", "registry.local/shop:v1.2.3", 1, stableLabels()), deploy("mail", "registry.local/mail:v1.2.3", 1, map[string]string{"app": "mail"})},
			runbook.Environment{Rolling: rollingEnv("app"), Workloads: []runbook.Workload{{Name: "mail", Rolling: rollingEnv("mail")}}}
	}
	for _, c := range []struct {
		name, strategy string
		world          func() ([]runtime.Object, runbook.Environment)
		pods           int64
		want           state.Readiness
		says           string
	}{
		{"colours, enough", "blue-green", colours, 4, state.Ready, ""},
		{"colours, for one alone", "blue-green", colours, 3, state.Doubtful, "room for the pods: ResourceQuota team: the rollout needs 2 more pods, 1 left; ResourceQuota team: the rollback needs 2 more pods, 1 left"},
		{"rolling, enough", "rolling", rolling, 4, state.Ready, ""},
		{"rolling, for one at a time", "rolling", rolling, 3, state.Doubtful, "room for the pods: ResourceQuota team: the rollback needs 2 more pods, 1 left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			objects, env := c.world()
			s := newShop(t, append(objects, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "team", Namespace: ns},
				Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"pods": *resource.NewQuantity(c.pods, resource.DecimalSI)}}})...)
			s.eventually(t, "the quota has counted", func() bool {
				q, err := s.client.CoreV1().ResourceQuotas(ns).Get(t.Context(), "team", metav1.GetOptions{})
				return err == nil && q.Status.Used.Pods().Value() == 2
			})
			st := s.strategy(c.strategy, nil)
			order := s.order(env)
			for i := range order.Environment.Workloads {
				order.Environment.Workloads[i].Image = "registry.local/mail:{version}"
			}
			p := mustPlan(t, st, order)
			s.eventually(t, "all pods are ready", func() bool {
				proof, err := st.Prove(t.Context(), p, false)
				return err == nil && !strings.Contains(proof.Why, "before anything was changed")
			})
			if proof, err := st.Prove(t.Context(), p, false); err != nil || proof.Ready != c.want || proof.Why != c.says {
				t.Errorf("%s %q, %v; want %s %q", proof.Ready, proof.Why, err, c.want, c.says)
			}
		})
	}
}
