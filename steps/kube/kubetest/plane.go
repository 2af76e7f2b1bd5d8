package kubetest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"mayday/state/runbook"
	"mayday/steps/drill/app"
	"mayday/steps/drill/follow"
	"mayday/steps/drill/router"
)

// servedLabel on a namespace makes its pods wait for somebody who serves them: see
// policy.yaml.
const servedLabel = "kubetest.mayday.dev/served"

// Plane is a data plane: what makes pods answer and traffic flow.
type Plane struct {
	cluster *Cluster
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// Serve makes the pods of some namespaces answer, until the test ends: the practice
// range's app runs for each one, in the version that is its image's tag. A pod that
// is made from now on becomes ready when its app answers, not before; one with the
// tag …-notready answers without being ready. The API server's proxies to Services
// and pods reach the app, too. HTTPRoutes are accepted as by a gateway controller.
//
// Serve a namespace once, and before anything is in it.
func (c *Cluster) Serve(t testing.TB, namespaces ...string) *Plane {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &Plane{cluster: c, cancel: cancel}
	node, err := app.Start(ctx, app.Options{Config: c.Config(), Namespaces: namespaces, Kubelet: true})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		p.wg.Wait()
		node.Close()
	})
	for _, ns := range namespaces {
		p.wg.Go(func() { p.lead(ctx, ns) })
		p.wg.Go(func() { p.accept(ctx, ns) })
		if err := c.claim(t.Context(), ns); err != nil {
			t.Fatalf("serve namespace %s: %v", ns, err)
		}
	}
	return p
}

// Route starts a router in front of the pods, until the test ends: its URL leads
// where the route does, "VirtualService/app", "HTTPRoute/app" or "Service/app".
// Requests are answered 503 until a pod is ready.
func (p *Plane) Route(t testing.TB, ns, route string) *router.Router {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := router.Start(ctx, router.Options{Config: p.cluster.Config(), Namespace: ns, Route: route})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); r.Close() })
	return r
}

// claim labels a namespace and waits until new pods there wait to be served: the API
// server learns of the label over a watch.
func (c *Cluster) claim(ctx context.Context, ns string) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:"true"}}}`, servedLabel)
	if _, err := c.client.Resource(namespaces).Patch(ctx, ns, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}); err != nil {
		return err
	}
	probe := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "probe"},
		"spec": map[string]any{"containers": []any{map[string]any{"name": "probe", "image": "probe"}}}}}
	return poll(ctx, "pods wait to be served", func() error {
		pod, err := c.client.Resource(follow.Pods).Namespace(ns).Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil {
			return err
		}
		if _, marked := pod.GetAnnotations()[app.AddressKey]; !marked {
			return fmt.Errorf("the policy for the label %s has not taken effect", servedLabel)
		}
		return nil
	})
}

// lead keeps the API server's way to the pods.
func (p *Plane) lead(ctx context.Context, ns string) {
	follow.Objects(ctx, p.cluster.client, follow.Pods, ns, func(pods map[string]*corev1.Pod) {
		servers := make(map[string]string, len(pods))
		for _, pod := range pods {
			if pod.Status.PodIP != "" {
				servers[pod.Status.PodIP] = pod.Annotations[app.AddressKey]
			}
		}
		p.cluster.egress.lead(ns, servers)
	})
	p.cluster.egress.lead(ns, nil)
}

// controller is the name of the gateway controller in the status of routes.
const controller = "kubetest.mayday.dev/gateway"

// httpRoute is what the gateway controller reads of one.
type httpRoute struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ParentRefs []map[string]any `json:"parentRefs"`
	} `json:"spec"`
	Status struct {
		Parents []struct {
			ControllerName string             `json:"controllerName"`
			Conditions     []metav1.Condition `json:"conditions"`
		} `json:"parents"`
	} `json:"status"`
}

// accepted says that the controller has seen the route as it is now.
func (r *httpRoute) accepted() bool {
	for _, p := range r.Status.Parents {
		for _, c := range p.Conditions {
			if p.ControllerName == controller && c.Type == "Accepted" && c.ObservedGeneration == r.Generation {
				return true
			}
		}
	}
	return false
}

// accept plays the gateway controller: it accepts every route.
func (p *Plane) accept(ctx context.Context, ns string) {
	api := p.cluster.client.Resource(follow.HTTPRoutes).Namespace(ns)
	follow.Objects(ctx, p.cluster.client, follow.HTTPRoutes, ns, func(set map[string]*httpRoute) {
		for _, r := range set {
			if r.accepted() || len(r.Spec.ParentRefs) == 0 {
				continue
			}
			patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"resourceVersion": r.ResourceVersion},
				"status": map[string]any{"parents": parents(r)}})
			if err != nil {
				continue
			}
			// A route that has changed meanwhile comes again.
			_, _ = api.Patch(ctx, r.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "gateway-controller"}, "status")
		}
	})
}

func parents(r *httpRoute) []map[string]any {
	var out []map[string]any
	for _, ref := range r.Spec.ParentRefs {
		var conditions []metav1.Condition
		for _, kind := range []string{"Accepted", "ResolvedRefs"} {
			conditions = append(conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: kind,
				ObservedGeneration: r.Generation, LastTransitionTime: metav1.Now()})
		}
		out = append(out, map[string]any{"parentRef": ref, "controllerName": controller, "conditions": conditions})
	}
	return out
}

// Traffic observes which version answers, by the header X-Version that the range's
// app sets. It implements steps.Traffic.
type Traffic struct{}

// Versions sends n requests to the environment's URL, one after the other on fresh
// connections, and counts the answers by version; one that names none counts under "".
func (Traffic) Versions(ctx context.Context, env runbook.Environment, n int) (map[string]int, error) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	counts := map[string]int{}
	for range n {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, env.URL+"/health", nil)
		if err != nil {
			return nil, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		_ = resp.Body.Close() // nothing was written to it
		counts[resp.Header.Get("X-Version")]++
	}
	return counts, nil
}
