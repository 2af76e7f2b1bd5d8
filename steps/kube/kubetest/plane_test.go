package kubetest_test

import (
	"context"
	"maps"
	"os/exec"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mayday/state/runbook"
	"mayday/steps/drill/app"
	"mayday/steps/kube/kubetest"
)

// colours is two Deployments, a Service for each and one that chooses between them.
const colours = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: blue}
spec:
  replicas: 2
  selector: {matchLabels: {app: app, colour: blue}}
  template:
    metadata: {labels: {app: app, colour: blue}}
    spec: {containers: [{name: app, image: "registry.local/shop:v1.2.3"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: green}
spec:
  replicas: 2
  selector: {matchLabels: {app: app, colour: green}}
  template:
    metadata: {labels: {app: app, colour: green}}
    spec: {containers: [{name: app, image: "registry.local/shop:v1.2.4"}]}
---
apiVersion: v1
kind: Service
metadata: {name: app-stable}
spec: {selector: {app: app, colour: blue}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: app-canary}
spec: {selector: {app: app, colour: green}, ports: [{port: 80, targetPort: 8080}]}
`

// answers waits until 20 requests are answered by these versions: the router learns
// of a change over a watch.
func answers(t *testing.T, url string, want map[string]int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var got map[string]int
	eventually(t, "the right answers", func() bool {
		var err error
		if got, err = (kubetest.Traffic{}).Versions(ctx, runbook.Environment{URL: url}, 20); err != nil {
			t.Fatal(err)
		}
		return maps.Equal(got, want)
	})
}

func TestTraffic(t *testing.T) {
	t.Parallel()
	c := kubetest.Shared(t)
	ns := c.Namespace(t)
	plane := c.Serve(t, ns)
	c.Apply(t, ns, colours+routes)
	kubectl(t, c, "-n", ns, "rollout", "status", "deployment/blue")
	kubectl(t, c, "-n", ns, "rollout", "status", "deployment/green")

	mesh, gateway, service := plane.Route(t, ns, "VirtualService/app"), plane.Route(t, ns, "HTTPRoute/app"), plane.Route(t, ns, "Service/app-stable")
	answers(t, mesh.URL, map[string]int{"v1.2.3": 15, "v1.2.4": 5})
	answers(t, gateway.URL, map[string]int{"v1.2.3": 15, "v1.2.4": 5})
	answers(t, service.URL, map[string]int{"v1.2.3": 20})

	kubectl(t, c, "-n", ns, "patch", "service", "app-stable", "--type=merge", "-p", `{"spec":{"selector":{"colour":"green"}}}`)
	answers(t, service.URL, map[string]int{"v1.2.4": 20})

	kubectl(t, c, "-n", ns, "patch", "httproute", "app", "--type=json", "-p", `[{"op":"replace","path":"/spec/rules/0/backendRefs/1/weight","value":0}]`)
	eventually(t, "the route is accepted as it is now", func() bool {
		return kubectl(t, c, "-n", ns, "get", "httproute", "app", "-o",
			`jsonpath={.metadata.generation} {.status.parents[0].conditions[?(@.type=="Accepted")].observedGeneration}`) == "2 2"
	})
}

// A pod is ready only when its app answers, so that a rollout loses no request.
func TestReadyMeansAnswering(t *testing.T) {
	t.Parallel()
	c := kubetest.Shared(t)
	ns, client := c.Namespace(t), typed(t, c)
	plane := c.Serve(t, ns)
	pods, err := client.CoreV1().Pods(ns).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer pods.Stop()
	c.Apply(t, ns, colours)
	addresses := map[string]bool{}
	for give := time.After(patience); len(addresses) < 4; {
		select {
		case e := <-pods.ResultChan():
			if p, ok := e.Object.(*corev1.Pod); ok && ready(p) {
				addresses[p.Annotations[app.AddressKey]] = true
			}
		case <-give:
			t.Fatalf("ready at %v", addresses)
		}
	}
	if addresses[""] {
		t.Error("a pod was ready before its app was")
	}

	route := plane.Route(t, ns, "Service/app-stable")
	answers(t, route.URL, map[string]int{"v1.2.3": 20})
	kubectl(t, c, "-n", ns, "set", "image", "deployment/blue", "app=registry.local/shop:v1.2.5")
	eventually(t, "v1.2.5 answers alone", func() bool {
		got, err := kubetest.Traffic{}.Versions(t.Context(), runbook.Environment{URL: route.URL}, 20)
		if err != nil || got["v1.2.3"]+got["v1.2.5"] != 20 {
			t.Fatalf("during the rollout: %v, %v", got, err)
		}
		return got["v1.2.5"] == 20
	})
}

// What the API server proxies to a Service reaches the app of its pods.
func TestServiceProxy(t *testing.T) {
	t.Parallel()
	c := kubetest.Shared(t)
	ns := c.Namespace(t)
	c.Serve(t, ns)
	c.Apply(t, ns, colours)
	kubectl(t, c, "-n", ns, "rollout", "status", "deployment/green")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out []byte
	eventually(t, "the Service has endpoints", func() (ok bool) {
		var err error
		out, err = exec.CommandContext(ctx, c.Kubectl, "--kubeconfig", c.Kubeconfig, "get", "--raw", "/api/v1/namespaces/"+ns+"/services/app-canary:80/proxy/health").CombinedOutput()
		return err == nil
	})
	if string(out) != `{"status":"ok","version":"v1.2.4"}`+"\n" {
		t.Errorf("the Service's proxy answers %q", out)
	}
}
