package kube_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/kube"
	"mayday/steps/steptest"
)

var (
	deployments  = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	statefulSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}
)

// planned names one object of a rollout.
type planned struct {
	gvr  schema.GroupVersionResource
	name string
}

func rollingEnv(name string) *runbook.Rolling { return &runbook.Rolling{Deployment: name} }

func canaryEnv(route string) runbook.Environment {
	return runbook.Environment{Canary: &runbook.Canary{Stable: "app-stable", Canary: "app-canary", Route: route, Replicas: 2}}
}

func TestCanaryVirtualService(t *testing.T) {
	conform(t, func(t *testing.T, open world) steptest.Fixture {
		return canaryFixture(t, open, virtualService, "VirtualService/app", virtualServices, "http", "route", 1)
	})
}

func TestCanaryHTTPRoute(t *testing.T) {
	conform(t, func(t *testing.T, open world) steptest.Fixture {
		return canaryFixture(t, open, httpRoute, "HTTPRoute/app", httpRoutes, "rules", "backendRefs", 0)
	})
}

func TestRolling(t *testing.T) {
	conform(t, func(t *testing.T, open world) steptest.Fixture { return rollingFixture(t, open, 1) })
}

func TestRollingWhole(t *testing.T) {
	conform(t, func(t *testing.T, open world) steptest.Fixture { return rollingFixture(t, open, 9) })
}

func TestRollingStatefulSet(t *testing.T) {
	conform(t, func(t *testing.T, open world) steptest.Fixture { return orderedFixture(t, open, 1) })
}

func TestRollingStatefulSetWhole(t *testing.T) {
	conform(t, func(t *testing.T, open world) steptest.Fixture { return orderedFixture(t, open, 9) })
}

func TestCanaryByPods(t *testing.T) {
	conform(t, func(t *testing.T, open world) steptest.Fixture { return podsFixture(t, open, 0) })
}

// TestCanaryByMorePods: with more pods than before, for finer shares.
func TestCanaryByMorePods(t *testing.T) {
	conform(t, func(t *testing.T, open world) steptest.Fixture { return podsFixture(t, open, 4) })
}

func TestBlueGreen(t *testing.T) { conform(t, blueGreenFixture) }

func TestImmediate(t *testing.T) { conform(t, immediateFixture) }

// conform runs the conformance suite in each world.
func conform(t *testing.T, fixture func(t *testing.T, open world) steptest.Fixture) {
	inEachWorld(t, func(t *testing.T, open world) {
		steptest.Strategy(t, func(t *testing.T) steptest.Fixture {
			t.Parallel()
			return fixture(t, open)
		})
	})
}

func immediateFixture(t *testing.T, open world) steptest.Fixture {
	s := open(t, deploy("app", "registry.local/shop:v1.2.3", 2, stableLabels()))
	s.settled(t, "app")
	f := &share{s: s, paths: []string{"app"}}
	env := runbook.Environment{Immediate: &runbook.Immediate{Deployment: "app"}}
	return s.fixture("immediate", env, f, dynamic.NewForConfigOrDie(s.cfg), planned{deployments, "app"})
}

func canaryFixture(t *testing.T, open world, text, route string, gvr schema.GroupVersionResource, rules, dests string, rule int) steptest.Fixture {
	objects := edit(canaryObjects(t, text), "app-stable", func(d *appsv1.Deployment) { *d.Spec.Replicas = 2 }) // pods cost time
	s := open(t, objects...)
	s.settled(t, "app-stable", "app-canary")
	client := dynamic.NewForConfigOrDie(s.cfg)
	weight := func(ctx context.Context) (int, error) {
		u, err := client.Resource(gvr).Namespace(s.ns).Get(ctx, "app", metav1.GetOptions{})
		if err != nil {
			return 0, err
		}
		list, _, _ := unstructured.NestedSlice(u.Object, "spec", rules)
		n, _ := list[rule].(map[string]any)[dests].([]any)[1].(map[string]any)["weight"].(int64)
		return int(n), nil
	}
	f := &share{s: s, paths: []string{"app-stable", "app-canary"}, route: weight}
	env := canaryEnv(route)
	env.Canary.Weights, env.Canary.Replicas = []int{25, 100}, 1
	if rule == 0 {
		env.Canary.Weights = []int{100}
	}
	return s.fixture("canary", env, f, client, planned{gvr, "app"}, planned{deployments, "app-stable"}, planned{deployments, "app-canary"})
}

func rollingFixture(t *testing.T, open world, batch int) steptest.Fixture {
	s := open(t, deploy("app", "registry.local/shop:v1.2.3", 3, stableLabels()))
	s.settled(t, "app")
	f := &share{s: s, paths: []string{"app"}}
	env := runbook.Environment{Rolling: &runbook.Rolling{Deployment: "app", Batch: batch}}
	return s.fixture("rolling", env, f, dynamic.NewForConfigOrDie(s.cfg), planned{deployments, "app"})
}

func orderedFixture(t *testing.T, open world, batch int) steptest.Fixture {
	s := open(t, stateful("db", "registry.local/shop:v1.2.3", 3))
	s.setSettled(t, "db")
	env := runbook.Environment{Rolling: &runbook.Rolling{StatefulSet: "db", Batch: batch}}
	return s.fixture("rolling", env, &behind{s, "app=db"}, dynamic.NewForConfigOrDie(s.cfg), planned{statefulSets, "db"})
}

func podsFixture(t *testing.T, open world, total int) steptest.Fixture {
	s := open(t, mixedObjects(2)...)
	s.settled(t, "app-stable", "app-canary")
	env := mixedEnv(25, 100)
	env.Canary.Replicas = total
	return s.fixture("canary", env, &behind{s, "app=app"}, dynamic.NewForConfigOrDie(s.cfg), planned{deployments, "app-stable"}, planned{deployments, "app-canary"})
}

// fixture ties a shop to the conformance suite.
func (s *shop) fixture(name string, env runbook.Environment, f steps.Traffic, client dynamic.Interface, objects ...planned) steptest.Fixture {
	get := func(t testing.TB, o planned) *unstructured.Unstructured {
		t.Helper()
		u, err := client.Resource(o.gvr).Namespace(s.ns).Get(t.Context(), o.name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	annotate := func(ctx context.Context, o planned, key, value string) error {
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, key, value)
		_, err := client.Resource(o.gvr).Namespace(s.ns).Patch(ctx, o.name, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	}
	return steptest.Fixture{
		Strategy: func() steps.Strategy { return s.strategy(name, f) },
		Order:    s.order(env),
		Faults:   s.faults,
		State: func(t testing.TB) string {
			out := ""
			for _, o := range objects {
				text, err := yaml.Marshal(get(t, o).Object["spec"])
				if err != nil {
					t.Fatal(err)
				}
				out += o.gvr.Resource + "/" + o.name + "\n" + string(text)
			}
			return out
		},
		Fences: func(t testing.TB) map[string]string {
			out := map[string]string{}
			for _, o := range objects {
				out[o.name] = get(t, o).GetAnnotations()[kube.FenceAnnotation]
			}
			return out
		},
		Seize: func(t testing.TB, fence string) {
			for _, o := range objects {
				if err := annotate(t.Context(), o, kube.FenceAnnotation, fence); err != nil {
					t.Fatal(err)
				}
			}
		},
		Disturb: func(testing.TB) func() {
			ctx, cancel := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			wg.Go(func() {
				tick := time.NewTicker(10 * time.Millisecond)
				defer tick.Stop()
				for n := 0; ctx.Err() == nil; n++ {
					_ = annotate(ctx, objects[n%len(objects)], "example.com/tick", fmt.Sprint(n))
					<-tick.C
				}
			})
			return func() { cancel(); wg.Wait() }
		},
		Answers: func(t testing.TB, n int) map[string]int {
			got, err := f.Versions(t.Context(), runbook.Environment{}, n)
			if err != nil {
				t.Error(err)
			}
			return got
		},
	}
}
