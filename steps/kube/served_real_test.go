package kube_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/drill/app"
	"mayday/steps/kube"
	"mayday/steps/kube/kubetest"
)

// served is a namespace of the real control plane whose pods answer, behind a route.
type served struct {
	*shop
	c   *kubetest.Cluster
	url string
}

func newServed(t *testing.T, route string, objects ...runtime.Object) served {
	t.Helper()
	c := kubetest.Shared(t)
	s := openShop(t, c.Config(), c.Namespace(t))
	plane := c.Serve(t, s.ns)
	for _, o := range objects {
		c.ApplyObject(t, s.ns, placed(t, o, s.ns))
	}
	return served{s, c, plane.Route(t, s.ns, route).URL}
}

// answersWith waits until users get one version alone.
func (s served) answersWith(t *testing.T, version string) {
	t.Helper()
	s.eventually(t, version+" alone answers", func() bool {
		got, err := kubetest.Traffic{}.Versions(t.Context(), runbook.Environment{URL: s.url}, 20)
		return err == nil && got[version] == 20
	})
}

// TestRealPreview: before any user sees it the idle colour is asked through the real API
// server, by the proxy of a pod and by that of a Service, and its own app answers.
func TestRealPreview(t *testing.T) {
	t.Parallel()
	s := newServed(t, "Service/app-service", append(colourObjects(), service("next", colour["green"]))...)
	s.settled(t, "app-blue", "app-green")
	s.answersWith(t, "v1.2.3")
	s.preview = kube.Preview{Checker: get{}, Environments: map[string]runbook.Environment{"production": {Checks: []runbook.Check{
		{Name: "health", Path: "/health?deep=1"}, {Name: "login", Method: http.MethodPost, Path: "/api/login", Body: `{"email":"` + app.Accounts[0] + `","password":"` + app.Password + `"}`}}}}}
	st := s.strategy("blue-green", kubetest.Traffic{})
	env := blueGreenEnv()
	order := s.order(env)
	order.Environment.URL = s.url
	p := mustPlan(t, st, order)
	if _, err := st.Stage(t.Context(), p, 0, fence(0), t.Output()); err != nil {
		t.Fatal(err)
	}
	e, err := st.Stage(t.Context(), p, 1, fence(0), t.Output())
	if err != nil || !strings.HasPrefix(e.Text, "2 checks pass on pod app-green-") || !strings.HasSuffix(e.Text, " through the API server, 2/2 ready") {
		t.Errorf("by a pod: %q, %v", e.Text, err)
	}
	order.Environment.BlueGreen.PreviewService = "next"
	byService := mustPlan(t, st, order)
	e, err = st.Stage(t.Context(), byService, 1, fence(0), t.Output())
	if err != nil || !strings.HasPrefix(e.Text, "2 checks pass on Service next through the API server, v1.2.4 answered 20 of 20, ") {
		t.Errorf("by a Service: %q, %v", e.Text, err)
	}
	s.answersWith(t, "v1.2.3") // users saw nothing of it
	for i := 2; i < len(p.Stages); i++ {
		if e, err := st.Stage(t.Context(), p, i, fence(0), t.Output()); err != nil || i == 2 && !strings.HasPrefix(e.Text, "seen 100.0 %") {
			t.Fatalf("stage %q: %q, %v", p.Stages[i].Name, e.Text, err)
		}
	}
	if v, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil || !strings.HasSuffix(v.Text, "v1.2.3 answered 50 of 50 requests") {
		t.Errorf("rollback: %+v, %v", v, err)
	}
}

// TestRealPreviewFails: a colour that does not work is found before users are sent there.
func TestRealPreviewFails(t *testing.T) {
	t.Parallel()
	s := newServed(t, "Service/app-service", colourObjects()...)
	s.settled(t, "app-blue", "app-green")
	s.preview = kube.Preview{Checker: get{}, Environments: map[string]runbook.Environment{"production": {Checks: []runbook.Check{{Name: "new page", Path: "/not-there"}}}}}
	st := s.strategy("blue-green", nil)
	p := mustPlan(t, st, s.order(blueGreenEnv()))
	if _, err := st.Stage(t.Context(), p, 0, fence(0), t.Output()); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Stage(t.Context(), p, 1, fence(0), t.Output()); !state.HasCode(err, "checks") || !strings.Contains(err.Error(), "404") {
		t.Errorf("%v", err)
	}
}

// released gives a Deployment another version, as somebody does without mayday, and waits
// until the clock of the API server, which counts whole seconds, tells it from the next.
func (s served) released(t *testing.T, name, version string) {
	t.Helper()
	patch := `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"registry.local/shop:` + version + `"}]}}}}`
	if _, err := s.client.AppsV1().Deployments(s.ns).Patch(t.Context(), name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	s.settled(t, name)
	s.eventually(t, "the old pods are counted out", func() bool {
		sets, err := s.client.AppsV1().ReplicaSets(s.ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return false
		}
		last := time.Time{}
		for _, rs := range sets.Items {
			if rs.Status.Replicas != *rs.Spec.Replicas || rs.Status.TerminatingReplicas != nil && *rs.Status.TerminatingReplicas > 0 {
				return false
			}
			for _, m := range rs.ManagedFields {
				if m.Subresource == "status" && m.Time.After(last) {
					last = m.Time.Time
				}
			}
		}
		return time.Since(last) > time.Second
	})
}

// TestRealUndo: R before mayday's own first rollout, by what the real controllers leave
// behind of the releases before.
func TestRealUndo(t *testing.T) {
	t.Parallel()
	t.Run("one Deployment", func(t *testing.T) {
		t.Parallel()
		s := newServed(t, "Service/app", deploy("app", "registry.local/shop:v1.2.1", 2, stableLabels()), service("app", stableLabels()))
		s.settled(t, "app")
		for _, version := range []string{"v1.2.2", "v1.2.3"} {
			s.released(t, "app", version)
		}
		s.takesBack(t, "rolling", runbook.Environment{Rolling: rollingEnv("app")}, "v1.2.3", "v1.2.2")
		if p, err := undo(t, s.strategy("rolling", nil), s.order(runbook.Environment{Rolling: rollingEnv("app")})); !state.HasCode(err, "no-target") || !strings.Contains(err.Error(), "already") {
			t.Errorf("after it R leads to %s, %v", p.Target, err)
		}
	})
	t.Run("colours", func(t *testing.T) {
		t.Parallel()
		s := newServed(t, "Service/app-service", colourObjects()...)
		s.settled(t, "app-blue", "app-green")
		s.takesBack(t, "blue-green", blueGreenEnv(), "v1.2.3", "v1.2.2")
	})
}

// takesBack has R undo the last release, and looks at what answers.
func (s served) takesBack(t *testing.T, strategy string, env runbook.Environment, from, to string) {
	t.Helper()
	s.answersWith(t, from)
	order := s.order(env)
	order.Environment.URL = s.url
	p, err := undo(t, s.strategy(strategy, kubetest.Traffic{}), order)
	if err != nil {
		t.Fatal(err)
	}
	if p.Version != from || p.Target != to || len(p.Stages) != 0 {
		t.Fatalf("the plan leads from %s to %s: %+v", p.Version, p.Target, p)
	}
	back := s.strategy(p.Strategy, kubetest.Traffic{})
	if proof, err := back.Prove(t.Context(), p, true); err != nil || proof.Ready == state.NotReady {
		t.Fatalf("proof: %+v, %v", proof, err)
	}
	if v, err := back.Rollback(t.Context(), p, fence(1), quietly); err != nil || !strings.HasSuffix(v.Text, to+" answered 50 of 50 requests") {
		t.Fatalf("%+v, %v", v, err)
	}
	s.answersWith(t, to)
	if _, err := back.Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Errorf("twice: %v", err)
	}
}
