package kube_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/kube"
)

// get makes a check by a real request.
type get struct{}

func (get) Check(ctx context.Context, env runbook.Environment, c runbook.Check) (string, error) {
	r, err := http.NewRequestWithContext(ctx, or(c.Method, http.MethodGet), env.URL+c.Path, strings.NewReader(c.Body))
	if err != nil {
		return "", err
	}
	for k, v := range c.Headers {
		r.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s", resp.Status)
	}
	resp.Body.Close()
	return resp.Status, err
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// asked is the server in a pod of green: it remembers what it was asked.
type asked struct {
	mu   sync.Mutex
	list []string
	code int
}

func (a *asked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list = append(a.list, r.Method+" "+r.URL.String()+" "+r.Header.Get("X-Test")+r.Header.Get("Authorization"))
	w.WriteHeader(a.code)
}

func (a *asked) taken() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := a.list
	a.list = nil
	return out
}

// TestThroughTheAPIServer: without a preview URL the checks go to a pod of the idle
// colour, or to the preview Service, by the API server's proxy.
func TestThroughTheAPIServer(t *testing.T) {
	t.Parallel()
	green := &asked{code: http.StatusOK}
	web := httptest.NewServer(green)
	defer web.Close()
	s := newShop(t, append(servedBy(colourObjects(), web), service("next", colour["green"]))...)
	s.settled(t, "app-blue")
	list := []runbook.Check{{Name: "health", Path: "/health?deep=1", Headers: map[string]string{"X-Test": "yes"}}, {Name: "buy", Method: http.MethodPost, Path: "/buy/", Body: "{}"},
		{Name: "login", Path: "/me", Headers: map[string]string{"authorization": "Bearer x"}}, {Name: "partner", Path: "http://partner/x"}}
	s.preview = kube.Preview{Environments: map[string]runbook.Environment{"production": {Checks: list}}, Checker: get{}}
	st := s.strategy("blue-green", nil)
	p := mustPlan(t, st, s.order(blueGreenEnv()))
	if _, err := st.Stage(t.Context(), p, 0, fence(0), t.Output()); err != nil {
		t.Fatal(err)
	}
	want := []string{"GET /health?deep=1 yes", "POST /buy/ "}
	e, err := st.Stage(t.Context(), p, 1, fence(0), t.Output())
	if err != nil || !strings.HasPrefix(e.Text, "2 checks pass on pod app-green-") ||
		!strings.HasSuffix(e.Text, " through the API server (2 ask another address or send Authorization, which the API server keeps, and were left out), 2/2 ready") {
		t.Errorf("%q, %v", e.Text, err)
	}
	if got := green.taken(); !slices.Equal(got, want) {
		t.Errorf("green was asked %q, want %q", got, want)
	}
	env := blueGreenEnv()
	env.BlueGreen.PreviewService = "next"
	byService := mustPlan(t, st, s.order(env))
	s.eventually(t, "the preview Service has endpoints", func() bool {
		e, err = st.Stage(t.Context(), byService, 1, fence(0), t.Output())
		return err == nil
	})
	if !strings.HasPrefix(e.Text, "2 checks pass on Service next through the API server (") {
		t.Errorf("%q", e.Text)
	}
	if got := green.taken(); !slices.Equal(got, want) {
		t.Errorf("behind the preview Service green was asked %q, want %q", got, want)
	}
	green.mu.Lock()
	green.code = http.StatusInternalServerError
	green.mu.Unlock()
	if _, err := st.Stage(t.Context(), p, 1, fence(0), t.Output()); !state.HasCode(err, "checks") || !strings.Contains(err.Error(), "2 of 2 checks fail on pod app-green-") || !strings.Contains(err.Error(), "500") {
		t.Errorf("a colour that does not work: %v", err)
	}
}

// servedBy makes green's pods answer there.
func servedBy(objects []runtime.Object, web *httptest.Server) []runtime.Object {
	return edit(objects, "app-green", func(d *appsv1.Deployment) {
		d.Spec.Template.Annotations = map[string]string{"drill.mayday.dev/address": strings.TrimPrefix(web.URL, "http://")}
	})
}

// everyday are the rights of a team that rolls out by hand.
var everyday = []rbacv1.PolicyRule{
	{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"namespaces"}},
	{Verbs: []string{"get", "list", "watch"}, APIGroups: []string{"", "apps", "autoscaling", "discovery.k8s.io", "networking.istio.io"},
		Resources: []string{"pods", "services", "resourcequotas", "deployments", "replicasets", "horizontalpodautoscalers", "endpointslices", "virtualservices", "destinationrules"}},
	{Verbs: []string{"patch"}, APIGroups: []string{"apps"}, Resources: []string{"deployments"}},
}

// TestRights: what a team may not do is found by the proof, not in the fire.
func TestRights(t *testing.T) {
	patchServices := rbacv1.PolicyRule{Verbs: []string{"patch"}, APIGroups: []string{""}, Resources: []string{"services"}, ResourceNames: []string{"app-service"}}
	patchRoutes := rbacv1.PolicyRule{Verbs: []string{"patch"}, APIGroups: []string{"networking.istio.io"}, Resources: []string{"virtualservices"}}
	proxy := rbacv1.PolicyRule{Verbs: []string{"get", "create"}, APIGroups: []string{""}, Resources: []string{"pods/proxy"}}
	without := func(resource string) []rbacv1.PolicyRule {
		out := slices.Clone(everyday)
		out[1].Resources = slices.DeleteFunc(slices.Clone(out[1].Resources), func(s string) bool { return s == resource })
		return out
	}
	blind := slices.Clone(everyday)
	blind[1].Verbs = []string{"get", "list"}
	for _, c := range []struct {
		name, strategy string
		rules          []rbacv1.PolicyRule
		want           state.Readiness
		says, minds    string
	}{
		{"all it needs", "blue-green", append(slices.Clone(everyday), patchServices, proxy), state.Ready, "", ""},
		{"Deployments alone", "blue-green", append(slices.Clone(everyday), proxy), state.NotReady, `right to patch Service app-service: denied patch services app-service (kubectl auth can-i patch services/app-service -n shop)`, ""},
		{"Deployments alone, canary", "canary", everyday, state.NotReady, "right to patch VirtualService app: denied", ""},
		{"all it needs, canary", "canary", append(slices.Clone(everyday), patchRoutes), state.Ready, "", ""},
		{"no way to the pods", "blue-green", append(slices.Clone(everyday), patchServices), state.Ready, "", "get pods/proxy is denied: green is not checked before users see it"},
		{"no watching", "blue-green", append(slices.Clone(blind), patchServices, proxy), state.Ready, "", "watch pods is denied: it is polled instead"},
		{"no slices", "blue-green", append(without("endpointslices"), patchServices, proxy), state.Ready, "", "list endpointslices is denied"},
		{"no autoscalers", "blue-green", append(without("horizontalpodautoscalers"), patchServices, proxy), state.Ready, "", "an autoscaler that owns the pods' number would not be known"},
		{"no quotas", "blue-green", append(without("resourcequotas"), patchServices, proxy), state.Ready, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			web := httptest.NewServer(&asked{code: http.StatusOK})
			defer web.Close()
			objects, env, first := servedBy(colourObjects(), web), blueGreenEnv(), "app-blue"
			if c.strategy == "canary" {
				objects, env, first = canaryObjects(t, virtualService), canaryEnv("VirtualService/app"), "app-stable"
			}
			s := newShop(t, objects...)
			s.settled(t, first)
			preview := kube.Preview{Environments: map[string]runbook.Environment{"production": {Checks: []runbook.Check{{Name: "health", Path: "/health"}}}}, Checker: get{}}
			st := kube.Strategies(func(runbook.Environment) (*kube.Cluster, error) { return kube.New(s.as("bob", c.rules...)) }, nil, preview, nil)[c.strategy]
			p := mustPlan(t, st, s.order(env))
			proof, err := st.Prove(t.Context(), p, false)
			if err != nil || proof.Ready != c.want || !strings.Contains(proof.Why, c.says) {
				t.Errorf("%s %q, %v; want %s saying %q", proof.Ready, proof.Why, err, c.want, c.says)
			}
			minds := ""
			for _, f := range proof.Checks {
				if f.Warn {
					minds += f.Text
				}
			}
			if (c.minds == "") != (minds == "") || !strings.Contains(minds, c.minds) {
				t.Errorf("to mind: %q, want %q", minds, c.minds)
			}
			if c.want != state.Ready {
				return
			}
			for i := range p.Stages { // a proof that promises must be right
				if e, err := st.Stage(t.Context(), p, i, fence(0), t.Output()); err != nil {
					t.Fatalf("stage %q: %v", p.Stages[i].Name, err)
				} else if strings.Contains(c.minds, "proxy") && i == 1 && !strings.HasPrefix(e.Text, "not checked: blue_green has no preview_url, and the API server's proxy is denied (kubectl auth can-i get pods --subresource=proxy -n shop)") {
					t.Errorf("stage %q: %s", p.Stages[i].Name, e.Text)
				}
			}
			if _, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil {
				t.Errorf("rollback: %v", err)
			}
		})
	}
}
