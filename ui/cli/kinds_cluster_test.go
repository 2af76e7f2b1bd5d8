package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"mayday/state"
	"mayday/state/runbook"
	rangeapp "mayday/steps/drill/app"
	"mayday/steps/kube/kubetest"
)

// sight is what a runbook's probes said so far, as the keeper would hear it.
type sight struct {
	t    *testing.T
	mu   sync.Mutex
	last map[string]state.Sample
	sum  map[string]float64 // of their values
	text map[string]string  // of the last sample that had a value
}

// sees runs the runbook's probes until the test ends.
func sees(t *testing.T, rb *runbook.Runbook) *sight {
	t.Helper()
	s := &sight{t: t, last: map[string]state.Sample{}, sum: map[string]float64{}, text: map[string]string{}}
	hub, beside, err := watcher(rb, state.Clock{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []state.Probe
	for i := range rb.Probes {
		all = append(all, rb.Probes[i].Asked(strings.NewReplacer("{new}", "v1.2.4", "{old}", "v1.2.3").Replace, ""))
	}
	hub.Set(all)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	for _, run := range beside {
		running.Go(func() {
			if err := run(ctx, nil); err != nil {
				t.Error(err)
			}
		})
	}
	running.Go(func() { _ = hub.Run(ctx, s.see) })
	return s
}

func (s *sight) see(xs []state.Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range xs {
		if x.Past {
			continue
		}
		s.last[x.Probe] = x
		if s.sum[x.Probe] += x.Value; x.Value > 0 {
			s.text[x.Probe] = x.Text
		}
	}
}

// until waits for a sample of the probe that is right.
func (s *sight) until(probe string, right func(x state.Sample) bool) {
	s.t.Helper()
	s.when(probe, func() bool { return right(s.last[probe]) })
}

func (s *sight) when(probe string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		s.mu.Lock()
		done, last := ok(), s.last[probe]
		s.mu.Unlock()
		if done {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: %+v", probe, last)
		}
	}
}

// counted waits until a count since the last look came to at least n, and gives the text
// of the newest.
func (s *sight) counted(probe string, n float64) string {
	s.t.Helper()
	s.when(probe, func() bool { return s.sum[probe] >= n })
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text[probe]
}

// reading is the right to read what the probes look at, and no other.
func reading(group string, resources ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: []string{"get", "list", "watch"}}
}

// The kinds that ask a cluster, on a real control plane with real controllers, as a user
// who may only read: a rollout that is well, one whose pods crash, one that finds no
// room, one that its quota forbids.
func TestClusterKindsOnARealServer(t *testing.T) {
	c := kubetest.Shared(t)
	ns := c.Namespace(t)
	user := c.User(t, ns, reading("apps", "deployments", "replicasets"), reading("", "pods", "events"))
	c.Apply(t, ns, podsOf("Deployment", "app", 2, "app: shop"))
	s := sees(t, load(t, fmt.Sprintf(`
service: shop
environments: {production: {namespace: %s, kubeconfig: %s, image: "registry.local/shop:{version}"}}
probes:
  - {name: rollout, rollout: deployment/app, every: 100ms, stale: 1m}
  - {name: pods, pods: app=shop, every: 100ms, stale: 1m}
  - {name: restarts, restarts: app=shop, warn: 0, crit: 2, every: 100ms, stale: 1m}
  - {name: no room, events: "^Pod/stuck$", warn: 0, every: 100ms, stale: 1m}
  - {name: quota, events: ^ReplicaSet/app-, warn: 0, every: 100ms, stale: 1m}
`, ns, user)))
	for _, probe := range []string{"rollout", "pods"} {
		s.until(probe, func(x state.Sample) bool { return x.Verdict == state.OK && x.Value == 1 && x.Text == "2/2 ready" })
	}
	for _, probe := range []string{"restarts", "no room", "quota"} {
		s.until(probe, func(x state.Sample) bool { return x.Verdict == state.OK && x.Value == 0 })
	}

	c.Apply(t, ns, strings.Replace(podsOf("Deployment", "app", 2, "app: shop"), "v1.2.3", "v1.2.4-crash", 1))
	for _, probe := range []string{"rollout", "pods"} {
		s.until(probe, func(x state.Sample) bool {
			return x.Verdict == state.Crit && strings.Contains(x.Text, "CrashLoopBackOff") && strings.Contains(x.Text, "(pod app-")
		})
	}
	s.until("restarts", func(x state.Sample) bool {
		return x.Verdict == state.Crit && x.Value >= 3 && strings.HasPrefix(x.Text, "the last: app-") && strings.HasSuffix(x.Text, "/app")
	})

	c.Apply(t, ns, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: stuck, labels: {app: other}}
spec: {containers: [{name: app, image: "registry.local/shop:v1", resources: {requests: {%[1]s: 1}, limits: {%[1]s: 1}}}]}
`, c.Room(t, 0)))
	if text := s.counted("no room", 1); !strings.HasPrefix(text, "Pod/stuck FailedScheduling: 0/2 nodes are available") {
		t.Errorf("no room: %q", text)
	}
	c.Apply(t, ns, "apiVersion: v1\nkind: ResourceQuota\nmetadata: {name: team}\nspec: {hard: {pods: 0}}")
	c.Apply(t, ns, podsOf("Deployment", "app", 4, "app: shop"))
	if text := s.counted("quota", 1); !strings.HasPrefix(text, "ReplicaSet/app-") || !strings.Contains(text, "FailedCreate: ") || !strings.Contains(text, "exceeded quota: team") {
		t.Errorf("quota: %q", text)
	}
}

// The weight of both kinds of route against the traffic that the pods' own metrics tell of.
func TestWeightOnARealServer(t *testing.T) {
	c := kubetest.Shared(t)
	for kind, route := range map[string]func(stable, canary int) string{"VirtualService": kubetest.VirtualService, "HTTPRoute": kubetest.HTTPRoute} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ns := c.Namespace(t)
			plane := c.Serve(t, ns)
			c.Apply(t, ns, podsOf("Deployment", "app-stable", 2, "app: shop, track: stable")+
				strings.Replace(podsOf("Deployment", "app-canary", 1, "app: shop, track: canary"), "v1.2.3", "v1.2.4", 1)+
				serviceOf("app-stable", "app: shop, track: stable")+serviceOf("app-canary", "app: shop, track: canary")+route(75, 25))
			way := plane.Route(t, ns, kind+"/app")
			if err := way.Wait(t.Context(), func(b map[string]int) bool { return b["app-stable"] == 2 && b["app-canary"] == 1 }); err != nil {
				t.Fatal(err)
			}
			const seen = `sum(http_requests_total{version="{new}",path="/health"}) / sum(http_requests_total{path="/health"})`
			s := sees(t, load(t, fmt.Sprintf(`
service: shop
environments:
  production:
    {namespace: %s, kubeconfig: %s, image: "registry.local/shop:{version}", canary: {stable: app-stable, canary: app-canary, route: %s/app}}
prometheus: {local: true, targets: [%q], interval: 200ms}
probes: [{name: weight, weight: {seen: %q}, warn: 0.1, every: 100ms, stale: 1m}]
`, ns, c.User(t, ns, reading("networking.istio.io", "virtualservices"), reading("gateway.networking.k8s.io", "httproutes")), kind, "file:"+targetsOf(t, c, ns), seen)))
			s.until("weight", func(x state.Sample) bool {
				return x.Verdict == state.NoData && strings.HasPrefix(x.Text, "weight 25, no traffic is seen")
			})
			for range 100 {
				visit(t, way.URL+"/health")
			}
			s.until("weight", func(x state.Sample) bool {
				return x.Verdict == state.OK && x.Value < 0.02 && strings.HasPrefix(x.Text, "weight 25 (seen 2")
			})
			c.Apply(t, ns, route(10, 90)) // and no more traffic
			s.until("weight", func(x state.Sample) bool {
				return x.Verdict == state.Warn && x.Value > 0.6 && strings.HasPrefix(x.Text, "weight 90 (seen 2")
			})
		})
	}
}

// targetsOf writes a file_sd file of all the namespace's pods.
func targetsOf(t *testing.T, c *kubetest.Cluster, ns string) string {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	pods, err := client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(pods.Items) == 0 {
		t.Fatal(err)
	}
	var all []string
	for _, p := range pods.Items {
		all = append(all, p.Annotations[rangeapp.AddressKey])
	}
	text, err := json.Marshal([]map[string]any{{"targets": all}})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "targets.json")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func visit(t *testing.T, url string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
}
