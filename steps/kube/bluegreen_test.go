package kube_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/kube"
	"mayday/steps/steptest"
)

var (
	services = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	colour   = map[string]map[string]string{"blue": {"app": "myapp", "version": "blue"}, "green": {"app": "myapp", "version": "green"}}
)

const previewURL = "http://127.0.0.1:2"

// colourObjects is the usual shape: blue is live, green asleep.
func colourObjects() []runtime.Object {
	return []runtime.Object{
		deploy("app-blue", "registry.local/shop:v1.2.3", 2, colour["blue"]),
		deploy("app-green", "registry.local/shop:v1.2.2", 0, colour["green"]),
		service("app-service", colour["blue"]),
	}
}

func blueGreenEnv() runbook.Environment {
	return runbook.Environment{BlueGreen: &runbook.BlueGreen{Service: "app-service", Blue: "app-blue", Green: "app-green", Label: "version"}}
}

// colours is what answers: behind the Service, the Deployment it selects; at the
// preview URL, green.
type colours struct{ *share }

func coloursOf(s *shop) colours {
	return colours{&share{s: s, paths: []string{"app-blue", "app-green"}, route: func(ctx context.Context) (int, error) {
		svc, err := s.client.CoreV1().Services(s.ns).Get(ctx, "app-service", metav1.GetOptions{})
		if err == nil && svc.Spec.Selector["version"] == "green" {
			return 100, nil
		}
		return 0, err
	}}}
}

func (c colours) Versions(ctx context.Context, env runbook.Environment, n int) (map[string]int, error) {
	if env.URL == previewURL {
		out := map[string]int{}
		return out, c.spread(ctx, out, "app-green", n)
	}
	return c.share.Versions(ctx, env, n)
}

// checks answers the runbook's checks and remembers where they were made.
type checks func(url, path string) error

func (c checks) Check(_ context.Context, env runbook.Environment, ch runbook.Check) (string, error) {
	return "200", c(env.URL, ch.Path)
}

func blueGreenFixture(t *testing.T, open world) steptest.Fixture {
	s := open(t, colourObjects()...)
	s.settled(t, "app-blue", "app-green")
	s.preview = kube.Preview{Environments: map[string]runbook.Environment{"production": {Checks: []runbook.Check{{Name: "health", Path: "/health"}}}},
		Checker: checks(func(string, string) error { return nil })}
	f, env := coloursOf(s), blueGreenEnv()
	env.BlueGreen.PreviewURL = previewURL
	fx := s.fixture("blue-green", env, f.share, dynamic.NewForConfigOrDie(s.cfg), planned{services, "app-service"}, planned{deployments, "app-blue"}, planned{deployments, "app-green"})
	fx.Strategy = func() steps.Strategy { return s.strategy("blue-green", f) }
	return fx
}

// TestSeedManifests: a Service and two Deployments as teams write them.
func TestSeedManifests(t *testing.T) { inEachWorld(t, testSeedManifests) }

func testSeedManifests(t *testing.T, open world) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/blue-green.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t)
	s.create(t, string(raw))
	s.settled(t, "app-blue", "app-green")
	env := blueGreenEnv()
	env.BlueGreen.Hold, env.BlueGreen.Drain = 7, 300e9
	o := s.order(env)
	o.Environment.Image, o.Version, o.Previous = "myapp:{version}", "v2.1.1", ""
	st := s.strategy("blue-green", coloursOf(s))
	p := mustPlan(t, st, o)
	names := ""
	for _, stage := range p.Stages {
		names += stage.Name + "; "
	}
	if names != "green gets v2.1.1; checks on green; traffic to green; blue stays; " || p.Target != "v2.1.0" || p.Subject != "Service app-service" ||
		p.Stages[2].Weight != 100 || p.Stages[2].Hold != 7 {
		t.Errorf("plan: %s %+v", names, p)
	}
	if c := p.Stages[2].Ops[0].Command; !strings.Contains(c, `{"op":"test","path":"/spec/selector/version","value":"blue"},{"op":"replace","path":"/spec/selector/version","value":"green"}`) ||
		strings.Contains(c, "resourceVersion") {
		t.Errorf("switch by hand: %s", c)
	}
	if c := p.Inverse[0].Command; !strings.Contains(c, `[{"op":"replace","path":"/spec/selector/version","value":"blue"}`) {
		t.Errorf("back by hand: %s", c)
	}
	for i, want := range []string{"3/3 ready", "not checked: the environment has no checks, 3/3 ready", "seen 100.0 %, 3 endpoints of app-green, 3/3 ready",
		"app-blue keeps 3 pods for open connections and the way back, for 5m at least, until TIME; then step 15 offers to scale it down"} {
		e, err := st.Stage(t.Context(), p, i, fence(0), t.Output())
		if text := regexp.MustCompile(`\d\d:\d\d:\d\d UTC`).ReplaceAllString(e.Text, "TIME"); err != nil || text != want {
			t.Fatalf("stage %d: %q, %v, want %q", i, text, err, want)
		}
	}
	lines, err := st.Look(t.Context(), p)
	if err != nil || lines[0] != "Service app-service: selector app=myapp,version=green (fence INC-20261122-01/0, closed)" {
		t.Errorf("look: %q, %v", lines, err)
	}
	// Somebody takes the old colour's pods away: the proof says so, and the way back
	// gets them first.
	s.scale(t, "app-blue", 0)
	if proof, err := st.Prove(t.Context(), p, true); err != nil || proof.Ready != state.Doubtful || !strings.Contains(proof.Why, "gets its pods first") {
		t.Errorf("proof: %+v, %v", proof, err)
	}
	var order []string
	v, err := st.Rollback(t.Context(), p, fence(1), func(op state.RollbackOp) {
		if op.Status == state.ItemRunning {
			order = append(order, op.Op)
		}
	})
	if err != nil || !strings.HasPrefix(v.Text, "app-service → blue, v2.1.0 3/3 ready, ") || !strings.HasSuffix(v.Text, "v2.1.0 answered 50 of 50 requests") || strings.Join(order, " ") != "live traffic idle verify" {
		t.Errorf("rollback: %+v, %v, %v", v, order, err)
	}
	// The other way round: green is live, blue gets the next one.
	s.patch(t, "app-service", `{"spec":{"selector":{"version":"green"}}}`)
	o.Version = "v2.1.2"
	if p = mustPlan(t, st, o); p.Stages[0].Name != "blue gets v2.1.2" || p.Target != "v2.1.1" {
		t.Errorf("plan from green: %+v", p)
	}
}

// create makes the objects of a text as a team wrote it.
func (s *shop) create(t testing.TB, manifests string) {
	t.Helper()
	client := dynamic.NewForConfigOrDie(s.cfg)
	for text := range strings.SplitSeq(manifests, "\n---\n") {
		u := object(t, text)
		u.SetNamespace(s.ns)
		gvr, _ := meta.UnsafeGuessKindToResource(u.GroupVersionKind())
		if _, err := client.Resource(gvr).Namespace(s.ns).Create(t.Context(), u, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// scale sets a Deployment's pods and waits for them.
func (s *shop) scale(t testing.TB, name string, n int32) {
	t.Helper()
	patch := []byte(`{"spec":{"replicas":` + string(rune('0'+n)) + `}}`)
	if _, err := s.client.AppsV1().Deployments(s.ns).Patch(t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	s.settled(t, name)
}

func (s *shop) patch(t testing.TB, service, patch string) {
	t.Helper()
	if _, err := s.client.CoreV1().Services(s.ns).Patch(t.Context(), service, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// TestPreview: the idle colour is tried where no user sees it, and only there.
func TestPreview(t *testing.T) {
	t.Parallel()
	s := newShop(t, colourObjects()...)
	s.settled(t, "app-blue")
	var asked []string
	var answer error
	list := []runbook.Check{{Name: "health", Path: "/health"}, {Name: "login", Path: "/login"}, {Name: "partner", Path: "http://partner/x"}}
	s.preview = kube.Preview{Environments: map[string]runbook.Environment{"production": {URL: "http://users", Checks: list}},
		Checker: checks(func(url, path string) error { asked = append(asked, url+path); return answer })}
	env := blueGreenEnv()
	env.BlueGreen.PreviewURL = previewURL
	st := s.strategy("blue-green", coloursOf(s))
	p := mustPlan(t, st, s.order(env))
	if _, err := st.Stage(t.Context(), p, 0, fence(0), t.Output()); err != nil {
		t.Fatal(err)
	}
	e, err := st.Stage(t.Context(), p, 1, fence(0), t.Output())
	if want := "2 checks pass at http://127.0.0.1:2 (1 ask another address and were left out), v1.2.4 answered 20 of 20, 2/2 ready"; err != nil || e.Text != want {
		t.Errorf("%q, %v, want %q", e.Text, err, want)
	}
	if !slices.Equal(asked, []string{previewURL + "/health", previewURL + "/login"}) {
		t.Errorf("asked %q", asked)
	}
	answer = errors.New("500\x1b[2J")
	if _, err = kube.Impatient(st, 0).Stage(t.Context(), p, 1, fence(0), t.Output()); !state.HasCode(err, "checks") || strings.Contains(err.Error(), "\x1b") || !strings.Contains(err.Error(), "2 of 2 checks fail") {
		t.Errorf("failing checks: %v", err)
	}
	if _, err = kube.Impatient(s.strategy("blue-green", answersOf{"v1.2.3": 20}), 0).Stage(t.Context(), p, 1, fence(0), t.Output()); !state.HasCode(err, "checks") || !strings.Contains(err.Error(), "v1.2.4 answered 0 of 20") {
		t.Errorf("a preview of the live colour: %v", err)
	}
}

// TestSwitchLooksFirst: users are not sent to a colour that somebody changed after
// it was checked.
func TestSwitchLooksFirst(t *testing.T) { inEachWorld(t, testSwitchLooksFirst) }

func testSwitchLooksFirst(t *testing.T, open world) {
	t.Parallel()
	s := open(t, colourObjects()...)
	s.settled(t, "app-blue")
	st := s.strategy("blue-green", nil)
	p := mustPlan(t, st, s.order(blueGreenEnv()))
	for i := range 2 {
		if _, err := st.Stage(t.Context(), p, i, fence(0), t.Output()); err != nil {
			t.Fatal(err)
		}
	}
	s.faults.Reset(nil)
	s.scale(t, "app-green", 0)
	if _, err := st.Stage(t.Context(), p, 2, fence(0), io.Discard); !state.HasCode(err, "drift") || !strings.Contains(err.Error(), "scaled to 0") {
		t.Errorf("an idle colour without pods: %v", err)
	}
	s.scale(t, "app-green", 1)
	s.patch(t, "app-service", `{"spec":{"selector":{"tier":"web"}}}`)
	if _, err := st.Stage(t.Context(), p, 2, fence(0), io.Discard); !state.HasCode(err, "drift") || !strings.Contains(err.Error(), "tier=web") {
		t.Errorf("another selector: %v", err)
	}
	if n := s.faults.Writes(); n != 0 {
		t.Errorf("%d writes", n)
	}
	if v, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil || !strings.HasPrefix(v.Text, "app-service → blue, ") {
		t.Errorf("rollback: %+v, %v", v, err)
	}
	svc, err := s.client.CoreV1().Services(s.ns).Get(t.Context(), "app-service", metav1.GetOptions{})
	if err != nil || len(svc.Spec.Selector) != 2 {
		t.Errorf("selector %v, %v", svc.Spec.Selector, err)
	}
}

// TestTrafficStays: where the traffic cannot be led back, what serves it is kept.
func TestTrafficStays(t *testing.T) { inEachWorld(t, testTrafficStays) }

func testTrafficStays(t *testing.T, open world) {
	for _, c := range []struct {
		strategy, carrier, busy, op string
		env                         runbook.Environment
		objects                     func(testing.TB) []runtime.Object
		stages                      int
	}{
		{"blue-green", "/services/app-service", "app-green", "idle", blueGreenEnv(), func(testing.TB) []runtime.Object { return colourObjects() }, 3},
		{"canary", "/virtualservices/app", "app-canary", "canary", canaryEnv("VirtualService/app"), func(t testing.TB) []runtime.Object { return canaryObjects(t, virtualService) }, 2},
	} {
		t.Run(c.strategy, func(t *testing.T) {
			t.Parallel()
			s := open(t, c.objects(t)...)
			names := map[string][]string{"blue-green": {"app-blue"}, "canary": {"app-stable"}}
			s.settled(t, names[c.strategy]...)
			st := s.strategy(c.strategy, nil)
			p := mustPlan(t, st, s.order(c.env))
			for i := range c.stages {
				if _, err := st.Stage(t.Context(), p, i, fence(0), t.Output()); err != nil {
					t.Fatal(err)
				}
			}
			denied := s.with(c.strategy, func(r *http.Request) (int, string) {
				if realPatch(r) && strings.HasSuffix(r.URL.Path, c.carrier) {
					return http.StatusForbidden, status("Forbidden", "cannot patch", "403")
				}
				return 0, ""
			})
			last := map[string]state.RollbackOp{}
			v, err := denied.Rollback(t.Context(), p, fence(1), func(op state.RollbackOp) { last[op.Op] = op })
			if !state.HasCode(err, "forbidden") || len(v.Manual) == 0 || last[c.op].Status != state.ItemFailed || !strings.Contains(last[c.op].Text, "is left as it is") {
				t.Errorf("rollback: %v, %+v", err, last[c.op])
			}
			d, err := s.client.AppsV1().Deployments(s.ns).Get(t.Context(), c.busy, metav1.GetOptions{})
			if err != nil || *d.Spec.Replicas == 0 || d.Spec.Template.Spec.Containers[0].Image != "registry.local/shop:v1.2.4" {
				t.Errorf("%s was taken away: %+v, %v", c.busy, d.Spec, err)
			}
			if _, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil {
				t.Errorf("rollback once it may: %v", err)
			}
		})
	}
}

func TestBlueGreenRefuses(t *testing.T) {
	selector := func(m map[string]string) func([]runtime.Object) []runtime.Object {
		return func(l []runtime.Object) []runtime.Object { l[2] = service("app-service", m); return l }
	}
	for _, c := range []struct {
		name    string
		objects func([]runtime.Object) []runtime.Object
		env     func(*runbook.BlueGreen)
		version string
		code    string
		says    string
	}{
		{name: "no selector", objects: selector(nil), code: "selector", says: "no selector"},
		{name: "headless", objects: func(l []runtime.Object) []runtime.Object {
			l[2].(*corev1.Service).Spec.ClusterIP = corev1.ClusterIPNone
			return l
		}, code: "selector", says: "headless"},
		{name: "another name for something", objects: func(l []runtime.Object) []runtime.Object {
			l[2].(*corev1.Service).Spec.Type, l[2].(*corev1.Service).Spec.ExternalName = corev1.ServiceTypeExternalName, "shop.example.com"
			return l
		}, code: "selector", says: "only a name for shop.example.com"},
		{name: "neither", objects: selector(map[string]string{"app": "other", "version": "blue"}), code: "selector", says: "neither"},
		{name: "both", objects: selector(map[string]string{"app": "myapp"}), code: "selector", says: "has no version"},
		{name: "the other colour would not be found", objects: func(l []runtime.Object) []runtime.Object {
			return edit(append(l[:2:2], service("app-service", map[string]string{"app": "myapp", "version": "blue", "tier": "web"})), "app-blue",
				func(d *appsv1.Deployment) {
					d.Spec.Template.Labels = map[string]string{"app": "myapp", "version": "blue", "tier": "web"}
				})
		}, code: "selector", says: "would not find app-green"},
		{name: "another label", env: func(b *runbook.BlueGreen) { b.Label = "colour" }, code: "selector", says: "label:"},
		{name: "paused", objects: func(l []runtime.Object) []runtime.Object {
			return edit(l, "app-green", func(d *appsv1.Deployment) { d.Spec.Paused = true })
		}, code: "paused", says: "app-green"},
		{name: "no service", env: func(b *runbook.BlueGreen) { b.Service = "gone" }, code: "not-found", says: "Service gone"},
		{name: "no deployment", env: func(b *runbook.BlueGreen) { b.Green = "gone" }, code: "not-found", says: "Deployment gone"},
		{name: "pods of others", objects: func(l []runtime.Object) []runtime.Object {
			return append(l, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "cron", Namespace: ns, Labels: colour["green"]},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "x:1"}}}})
		}, code: "selector", says: "cron"},
		{name: "runs already", version: "v1.2.3", code: "already-running", says: "app-blue"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			objects := colourObjects()
			if c.objects != nil {
				objects = c.objects(objects)
			}
			s := newShop(t, objects...)
			s.settled(t, "app-blue")
			o := s.order(blueGreenEnv())
			if c.env != nil {
				c.env(o.Environment.BlueGreen)
			}
			if c.version != "" {
				o.Version = c.version
			}
			_, err := s.strategy("blue-green", nil).Plan(t.Context(), o)
			var p *state.Problem
			if !errors.As(err, &p) || p.Code != c.code || p.Do == "" || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want code %q saying %q", err, c.code, c.says)
			}
		})
	}
}

// TestImmediateTells: its own update strategy is left alone, Recreate included.
func TestImmediateTells(t *testing.T) {
	t.Parallel()
	d := deploy("app", "registry.local/shop:v1.2.3", 2, stableLabels())
	d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	s := newShop(t, d)
	s.settled(t, "app")
	st := s.strategy("immediate", answersOf{"v1.2.4": 300})
	p := mustPlan(t, st, s.order(runbook.Environment{Immediate: &runbook.Immediate{Deployment: "app", Hold: 9}}))
	if len(p.Stages) != 2 || p.Stages[0].Name != "all pods take v1.2.4" || p.Stages[0].Weight != 100 || p.Stages[0].Hold != 9 ||
		strings.Contains(p.Stages[0].Ops[0].Diff, "strategy") || p.Target != "v1.2.3" {
		t.Errorf("%+v", p)
	}
	if e, err := st.Stage(t.Context(), p, 0, fence(0), t.Output()); err != nil || e.Text != "seen 100.0 %, 2/2 ready" {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := s.strategy("immediate", nil).Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Error(err)
	}
}
