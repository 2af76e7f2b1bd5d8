package kube_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/kube"
)

// answering is a transport that answers some requests itself.
type answering struct {
	next http.RoundTripper
	when func(*http.Request) (code int, body string)
}

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	code, body := a.when(r)
	if code == 0 {
		return a.next.RoundTrip(r)
	}
	return &http.Response{StatusCode: code, Status: http.StatusText(code), Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// with gives a strategy whose requests are answered by when where it wants.
func (s *shop) with(name string, when func(*http.Request) (int, string)) steps.Strategy {
	cfg := rest.CopyConfig(s.cfg)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper { return answering{next, when} })
	return kube.Strategies(func(runbook.Environment) (*kube.Cluster, error) { return kube.New(cfg) }, nil, kube.Preview{}, testKeys)[name]
}

const review = `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":false,"reason":"no RBAC policy matched"}}`

func status(reason, message string, code string) string {
	return `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"` + reason + `","message":"` + message + `","code":` + code + `}`
}

// TestProve: what would fail in the fire is found before it.
func TestProve(t *testing.T) {
	dry := func(r *http.Request) bool {
		return r.Method == http.MethodPatch && r.URL.Query().Get("dryRun") == "All"
	}
	for _, c := range []struct {
		name    string
		when    func(*http.Request) (int, string)
		objects func([]runtime.Object) []runtime.Object
		started bool
		want    state.Readiness
		says    string
	}{
		{name: "all well", want: state.Ready},
		{name: "no right to patch the route", want: state.NotReady, says: "right to patch VirtualService app: denied no RBAC",
			when: func(r *http.Request) (int, string) {
				if !strings.Contains(r.URL.Path, "selfsubjectaccessreviews") {
					return 0, ""
				}
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(strings.NewReader(string(body)))
				if strings.Contains(string(body), "virtualservices") {
					return http.StatusCreated, review
				}
				return 0, ""
			}},
		{name: "a server that knows no reviews", want: state.Ready, when: func(r *http.Request) (int, string) {
			if strings.Contains(r.URL.Path, "selfsubjectaccessreviews") {
				return http.StatusNotImplemented, status("", "not implemented", "501")
			}
			return 0, ""
		}},
		{name: "forbidden patch", want: state.NotReady, says: "rollback of Deployment app-stable", when: func(r *http.Request) (int, string) {
			if dry(r) && strings.HasSuffix(r.URL.Path, "app-stable") {
				return http.StatusForbidden, status("Forbidden", "cannot patch", "403")
			}
			return 0, ""
		}},
		{name: "a webhook without dry run", want: state.Doubtful, says: `not tried, an admission webhook forbids dry runs: admission webhook "x.example.com" does not support dry run`, when: func(r *http.Request) (int, string) {
			if dry(r) {
				return http.StatusBadRequest, status("BadRequest", `admission webhook \"x.example.com\" does not support dry run`, "400")
			}
			return 0, ""
		}},
		{name: "no history", want: state.NotReady, says: "revisionHistoryLimit", objects: func(l []runtime.Object) []runtime.Object {
			return edit(l, "app-stable", func(d *appsv1.Deployment) { d.Spec.RevisionHistoryLimit = new(int32) })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			objects := canaryObjects(t, virtualService)
			if c.objects != nil {
				objects = c.objects(objects)
			}
			s := newShop(t, objects...)
			s.settled(t, "app-stable")
			if c.when == nil {
				c.when = func(*http.Request) (int, string) { return 0, "" }
			}
			p := mustPlan(t, s.strategy("canary", nil), s.order(canaryEnv("VirtualService/app")))
			proof, err := s.with("canary", c.when).Prove(t.Context(), p, false)
			if err != nil || proof.Ready != c.want || !strings.Contains(proof.Why, c.says) || len(proof.Checks) < 9 {
				t.Errorf("%+v, %v, want %s saying %q", proof, err, c.want, c.says)
			}
		})
	}
}

// TestProveDoubtsSickTarget: production that is down does not block the fix, but
// the rollback's target is in doubt.
func TestProveDoubtsSickTarget(t *testing.T) {
	t.Parallel()
	s := newShop(t, canaryObjects(t, virtualService)...)
	s.settled(t, "app-stable")
	pods, err := s.client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sick := []byte(`{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`)
	for _, p := range pods.Items {
		if _, err := s.client.CoreV1().Pods(ns).Patch(t.Context(), p.Name, types.StrategicMergePatchType, sick, metav1.PatchOptions{}, "status"); err != nil {
			t.Fatal(err)
		}
	}
	s.eventually(t, "no pod is ready", func() bool {
		l, err := s.client.AppsV1().ReplicaSets(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "track=stable"})
		return err == nil && l.Items[0].Status.ReadyReplicas == 0
	})
	st := s.strategy("canary", nil)
	p := mustPlan(t, st, s.order(canaryEnv("VirtualService/app")))
	if p.Target != "v1.2.3" {
		t.Errorf("target %s", p.Target)
	}
	if proof, err := st.Prove(t.Context(), p, false); err != nil || proof.Ready != state.Doubtful {
		t.Errorf("%+v, %v", proof, err)
	}
	if _, err := st.Stage(t.Context(), p, 0, fence(0), io.Discard); err != nil {
		t.Errorf("the fix is held up: %v", err)
	}
	if v, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Errorf("rollback to what was there: %v, %+v", err, v)
	}
}

// TestServerAway: a rollback outlasts an API server that answers nothing for a while.
func TestServerAway(t *testing.T) {
	t.Parallel()
	s := newShop(t, canaryObjects(t, virtualService)...)
	s.settled(t, "app-stable")
	st := s.strategy("canary", nil)
	p := mustPlan(t, st, s.order(canaryEnv("VirtualService/app")))
	for i := range 3 {
		if _, err := st.Stage(t.Context(), p, i, fence(0), io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	left := make(chan struct{}, 12) // so many answers are errors
	for range cap(left) {
		left <- struct{}{}
	}
	flaky := s.with("canary", func(r *http.Request) (int, string) {
		select {
		case <-left:
			if len(left)%2 == 0 {
				return http.StatusServiceUnavailable, status("ServiceUnavailable", "away", "503")
			}
			return http.StatusInternalServerError, status("InternalError", "etcd leader changed", "500")
		default:
			return 0, ""
		}
	})
	if v, err := flaky.Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Errorf("rollback: %v, %+v", err, v)
	}
}

// BenchmarkProve is one full proof of a canary under way.
func BenchmarkProve(b *testing.B) {
	s := newShop(b, canaryObjects(b, virtualService)...)
	s.settled(b, "app-stable")
	st := s.strategy("canary", nil)
	p, err := st.Plan(b.Context(), s.order(canaryEnv("VirtualService/app")))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := st.Prove(b.Context(), p, false); err != nil {
			b.Fatal(err)
		}
	}
}
