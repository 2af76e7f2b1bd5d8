package kube_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"mayday/state"
	"mayday/state/runbook"
)

// busyService is a VirtualService with much that is not mayday's: a rule by regular
// expression, a mirror, and a weighted pair of other hosts.
const busyService = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app}
spec:
  hosts: [app]
  http:
  - match: [{uri: {regex: "/v[0-9]+/.*"}}]
    route: [{destination: {host: app-canary}, weight: 100}]
    mirror: {host: shadow}
    mirrorPercentage: {value: 12.5}
  - match: [{uri: {prefix: /search}}]
    route:
    - {destination: {host: search-a}, weight: 60}
    - {destination: {host: search-b}, weight: 40}
  - name: mayday's
    route:
    - {destination: {host: app-stable}, weight: 100}
    - {destination: {host: app-canary}, weight: 0}
    mirror: {host: shadow}
    retries: {attempts: 2}
`

// TestOthersRules: of a VirtualService only the two weights change, whatever else it has.
func TestOthersRules(t *testing.T) {
	t.Parallel()
	s := newShop(t, canaryObjects(t, busyService)...)
	s.settled(t, "app-stable")
	spec := func() string {
		u, err := dynamic.NewForConfigOrDie(s.cfg).Resource(virtualServices).Namespace(ns).Get(t.Context(), "app", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		spec, _, _ := unstructured.NestedMap(u.Object, "spec")
		text, err := yaml.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	before := spec()
	st := s.strategy("canary", nil)
	p := mustPlan(t, st, s.order(canaryEnv("VirtualService/app")))
	stages(t, st, p, 0, 3)
	at := strings.LastIndex(before, "weight: 100") // ours is the last rule
	want := before[:at] + strings.NewReplacer("weight: 100", "weight: 75", "weight: 0", "weight: 25").Replace(before[at:])
	if got := spec(); got != want {
		t.Errorf("at 25 %%:\n%s\nwant:\n%s", got, want)
	}
	mustRollBack(t, st, p)
	if got := spec(); got != before {
		t.Errorf("after the rollback:\n%s\nwant:\n%s", got, before)
	}
}

// TestPausedUnderWay: a Deployment that somebody pauses during the rollout stops the
// stage at once, and is no obstacle to the rollback.
func TestPausedUnderWay(t *testing.T) {
	for name, env := range map[string]runbook.Environment{
		"rolling":   {Rolling: rollingEnv("app")},
		"immediate": {Immediate: &runbook.Immediate{Deployment: "app"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, deploy("app", "registry.local/shop:v1.2.3", 3, stableLabels()))
			s.settled(t, "app")
			pause := func(patch string) {
				if _, err := s.client.AppsV1().Deployments(ns).Patch(t.Context(), "app", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			st := s.strategy(name, nil)
			p := mustPlan(t, st, s.order(env))
			pause(`{"spec":{"paused":true}}`)
			if _, err := st.Stage(t.Context(), p, 0, fence(0), t.Output()); !state.HasCode(err, "paused") || !strings.Contains(err.Error(), "rollout resume deployment app") {
				t.Errorf("stage: %v", err)
			}
			// Half of it rolled before, so that there is something to come back from.
			pause(`{"spec":{"paused":false}}`)
			stages(t, st, p, 0, 1)
			pause(`{"spec":{"paused":true}}`)
			mustRollBack(t, st, p)
			d, err := s.client.AppsV1().Deployments(ns).Get(t.Context(), "app", metav1.GetOptions{})
			if err != nil || d.Spec.Paused {
				t.Errorf("paused %t after the rollback (%v)", d.Spec.Paused, err)
			}
			if got := s.pods(t); got != "v1.2.3 3, v1.2.4 0" {
				t.Errorf("pods %s", got)
			}
		})
	}
}
