package cli

import (
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"mayday/state"
	"mayday/state/journal"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/kube/kubetest"
)

// wire is the way from mayday to the API server. A test sees every write on it before
// it is sent and before its answer is handed over; what only reads passes unseen.
type wire struct {
	url   string
	proxy *httputil.ReverseProxy

	mu      sync.Mutex
	hook    func(n int, sent bool) bool
	n       int
	refused map[int]string // writes that the API server refused, by their number: "PATCH deployments/app 422"
	flow    sync.WaitGroup
}

// newWire leads to the cluster until the test ends.
func newWire(t *testing.T, c *kubetest.Cluster) *wire {
	t.Helper()
	cfg := c.Config()
	to, err := url.Parse(cfg.Host)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := rest.TransportFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{refused: map[int]string{}, proxy: &httputil.ReverseProxy{Transport: transport, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}}
	server := httptest.NewServer(w)
	w.url = server.URL
	t.Cleanup(func() { server.CloseClientConnections(); w.flow.Wait(); server.Close() })
	return w
}

// at sets the hook: it is called with the number of a write, from 0, before it is sent
// and after it was answered. Where it says no, the write or its answer is lost.
func (w *wire) at(hook func(n int, sent bool) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hook, w.n, w.refused = hook, 0, map[int]string{}
}

// writes says how many were sent since at.
func (w *wire) writes() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

func (w *wire) ask(n int, sent bool) bool {
	w.mu.Lock()
	hook := w.hook
	w.mu.Unlock()
	return hook == nil || hook(n, sent)
}

// ServeHTTP implements http.Handler.
func (w *wire) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w.flow.Add(1)
	defer w.flow.Done()
	asks := strings.Contains(r.URL.Path, "selfsubject")
	if r.Method == http.MethodGet || r.URL.Query().Has("dryRun") || asks {
		w.proxy.ServeHTTP(out, r)
		return
	}
	w.mu.Lock()
	n := w.n
	w.n++
	w.mu.Unlock()
	if !w.ask(n, false) {
		panic(http.ErrAbortHandler)
	}
	answer := httptest.NewRecorder()
	// What has left the process arrives, whatever becomes of the process.
	w.proxy.ServeHTTP(answer, r.WithContext(context.WithoutCancel(r.Context())))
	if answer.Code >= 300 {
		path := strings.Split(r.URL.Path, "/")
		w.mu.Lock()
		w.refused[n] = fmt.Sprintf("%s %s %d", r.Method, strings.Join(path[max(0, len(path)-2):], "/"), answer.Code)
		w.mu.Unlock()
	}
	if !w.ask(n, true) {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(out.Header(), answer.Header())
	out.WriteHeader(answer.Code)
	_, _ = out.Write(answer.Body.Bytes()) // whoever asked may be gone
}

// way is one strategy with the objects it needs, on the control plane.
type way struct {
	name, env string   // the environment's strategy in the runbook
	objects   string   // YAML
	of        []object // those that the rollout writes
	everyday  bool     // else with CI=true only
}

type object struct{ group, version, resource, name string }

func deploymentOf(name string) object { return object{"apps", "v1", "deployments", name} }

// podsOf is YAML of a Deployment or StatefulSet.
func podsOf(kind, name string, replicas int, labels string) string {
	return fmt.Sprintf(`---
apiVersion: apps/v1
kind: %s
metadata: {name: %s}
spec:
  replicas: %d
  selector: {matchLabels: {%[4]s}}
  template:
    metadata: {labels: {%[4]s}}
    spec: {containers: [{name: app, image: "registry.local/shop:v1.2.3"}]}
`, kind, name, replicas, labels)
}

func serviceOf(name, selector string) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec: {selector: {%s}, ports: [{port: 80, targetPort: 8080}]}\n", name, selector)
}

// ways are the strategies. Gates do not hold: what they think is the matter of other tests.
func ways() []way {
	twins := podsOf("Deployment", "app-stable", 2, "app: app, track: stable") + podsOf("Deployment", "app-canary", 0, "app: app, track: canary")
	behind := twins + serviceOf("app-stable", "app: app, track: stable") + serviceOf("app-canary", "app: app, track: canary")
	both := []object{deploymentOf("app-stable"), deploymentOf("app-canary")}
	return []way{
		{"canary", "canary: {stable: app-stable, canary: app-canary, route: VirtualService/app, weights: [50, 100], hold: 0s}", behind + kubetest.VirtualService(100, 0), append([]object{{"networking.istio.io", "v1", "virtualservices", "app"}}, both...), true},
		{"blue-green", "blue_green: {service: app, blue: app-blue, green: app-green, hold: 0s}",
			podsOf("Deployment", "app-blue", 2, "app: app, version: blue") + podsOf("Deployment", "app-green", 0, "app: app, version: green") + serviceOf("app", "app: app, version: blue"),
			[]object{{"", "v1", "services", "app"}, deploymentOf("app-blue"), deploymentOf("app-green")}, true},
		{"rolling", "rolling: {deployment: app, hold: 0s}", podsOf("Deployment", "app", 2, "app: app"), []object{deploymentOf("app")}, true},
		{"StatefulSet", "rolling: {statefulset: db, hold: 0s}", podsOf("StatefulSet", "db", 2, "app: db"), []object{{"apps", "v1", "statefulsets", "db"}}, true},
		{"immediate", "immediate: {deployment: app, hold: 0s}", podsOf("Deployment", "app", 2, "app: app"), []object{deploymentOf("app")}, false},
		{"canary by pods", "canary: {stable: app-stable, canary: app-canary, service: app, weights: [50, 100], hold: 0s}", twins + serviceOf("app", "app: app"), both, false},
		{"several", "rolling: {deployment: app, hold: 0s}\n    workloads: [{name: worker, rolling: {deployment: worker, hold: 0s}}]",
			podsOf("Deployment", "app", 2, "app: app") + podsOf("Deployment", "worker", 2, "app: worker"), []object{deploymentOf("app"), deploymentOf("worker")}, false},
	}
}

// ground is a namespace of the control plane with an open incident that may deploy to
// it: all before its deployment is passed over.
type ground struct {
	*site
	*wire
	way    way
	ns     string
	client dynamic.Interface
}

// newGround makes one. sockets is where this test process looks for keepers.
func newGround(t *testing.T, w way, sockets string) *ground {
	t.Helper()
	c := kubetest.Shared(t)
	g := &ground{site: &site{host: newHost(t)}, wire: newWire(t, c), way: w, ns: c.Namespace(t)}
	g.sockets = sockets
	var err error
	if g.client, err = dynamic.NewForConfig(c.Config()); err != nil {
		t.Fatal(err)
	}
	c.Apply(t, g.ns, w.objects)
	for _, o := range w.of {
		if o.group != "apps" {
			continue
		}
		if out, err := exec.CommandContext(t.Context(), c.Kubectl, "--kubeconfig", c.Kubeconfig, "-n", g.ns, "rollout", "status", o.resource+"/"+o.name).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	path := filepath.Join(g.tmp, "kubeconfig")
	cfg := clientcmdapi.NewConfig()
	cfg.Clusters["testbed"] = &clientcmdapi.Cluster{Server: g.url}
	cfg.Contexts["testbed"] = &clientcmdapi.Context{Cluster: "testbed", Namespace: g.ns}
	cfg.CurrentContext = "testbed"
	if err := clientcmd.WriteToFile(*cfg, path); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("service: shop\nenvironments:\n  production:\n    namespace: %s\n    kubeconfig: %s\n    image: \"registry.local/shop:{version}\"\n    %s\n", g.ns, path, w.env)
	file := filepath.Join(g.tmp, runbook.FileName)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if g.rb, err = runbook.Load(file); err != nil {
		t.Fatal(err)
	}
	g.declare()
	return g
}

// declare leaves the incident's journal.
func (g *ground) declare() {
	g.t.Helper()
	g.id = "INC-20261122-01"
	g.folder = journal.Folder(g.home, g.id)
	j, err := journal.Create(g.folder)
	if err != nil {
		g.t.Fatal(err)
	}
	list := steps.Catalogue(g.rb)
	facts := []state.Fact{state.Declared{ID: g.id, Title: "logins fail", Severity: 1, Service: "shop", Policy: state.DefaultPolicy(1),
		Steps: list, PublicKey: j.PublicKey(), Runbook: g.rb.Path},
		state.FactsFound{Facts: map[string]string{"tag": "v1.2.4", "baseline": "v1.2.3"}}}
	for _, s := range list {
		for _, it := range s.Items {
			if s.No <= 10 && it.ID != "10.deploy" && it.ID != "10.validate" {
				facts = append(facts, state.ItemPassedOver{Item: it.ID, Reason: "not what this test is about"})
			}
		}
	}
	for _, f := range facts {
		if _, err := j.Append(time.Now(), state.Actor{User: "alice", PID: os.Getpid(), Via: "cockpit"}, 0, f); err != nil {
			g.t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		g.t.Fatal(err)
	}
}

// specs renders what the rollout may change. Equal text means equal worlds.
func (g *ground) specs() string {
	g.t.Helper()
	out := ""
	for _, o := range g.way.of {
		gvr := schema.GroupVersionResource{Group: o.group, Version: o.version, Resource: o.resource}
		u, err := g.client.Resource(gvr).Namespace(g.ns).Get(g.t.Context(), o.name, metav1.GetOptions{})
		if err != nil {
			g.t.Fatal(err)
		}
		spec, _ := u.Object["spec"].(map[string]any)
		for _, own := range []string{"clusterIP", "clusterIPs"} { // each namespace's Service has another
			delete(spec, own)
		}
		text, err := yaml.Marshal(spec)
		if err != nil {
			g.t.Fatal(err)
		}
		out += o.resource + "/" + o.name + "\n" + string(text)
	}
	return out
}

// refusal is how the API server refused a write, "" where it did not, or not yet.
func (w *wire) refusal(n int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused[n]
}
