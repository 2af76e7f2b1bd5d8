package kube_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/kube"
)

func mustPlan(t testing.TB, st steps.Strategy, o steps.Order) state.Plan {
	t.Helper()
	p, err := st.Plan(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func fence(epoch int) steps.Fence { return steps.Fence{Incident: "INC-20261122-01", Epoch: epoch} }

func quietly(state.RollbackOp) {}

// answersOf is a Traffic that always tells the same.
type answersOf map[string]int

func (a answersOf) Versions(context.Context, runbook.Environment, int) (map[string]int, error) {
	return a, nil
}

// TestBatches: after batch k exactly k pods are new, however long nobody comes.
func TestBatches(t *testing.T) { inEachWorld(t, testBatches) }

func testBatches(t *testing.T, open world) {
	t.Parallel()
	s := open(t, deploy("app", "registry.local/shop:v1.2.3", 3, stableLabels()))
	s.settled(t, "app")
	st := s.strategy("rolling", nil)
	p := mustPlan(t, st, s.order(runbook.Environment{Rolling: &runbook.Rolling{Deployment: "app", Hold: 30}}))
	if c := p.Inverse[0].Command; !strings.Contains(c, `"path":"/spec/minReadySeconds"`) ||
		!strings.HasSuffix(c, " && kubectl -n "+s.ns+" rollout undo deployment app --to-revision=1") {
		t.Errorf("by hand: %s", c)
	}
	names := ""
	for _, stage := range p.Stages {
		names += fmt.Sprintf("%s (%d, %d); ", stage.Name, stage.Weight, stage.Hold)
	}
	if want := "batch 1 of 3 (25, 30); batch 2 of 3 (50, 30); batch 3 of 3 (75, 30); old pods end (100, 0); "; names != want {
		t.Errorf("stages: %s\nwant:   %s", names, want)
	}
	for i, want := range []string{"v1.2.3 3, v1.2.4 1", "v1.2.3 2, v1.2.4 2", "v1.2.3 1, v1.2.4 3", "v1.2.3 0, v1.2.4 3"} {
		e, err := st.Stage(t.Context(), p, i, fence(0), t.Output())
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 && e.Text != "1 of 3 ready on v1.2.4, 3 on the old version" {
			t.Errorf("effect: %s", e.Text)
		}
		// Something else stirs the controller; the partition must hold.
		stir := []byte(fmt.Sprintf(`{"metadata":{"labels":{"stir":"%d"}}}`, i))
		if _, err := s.client.AppsV1().Deployments(s.ns).Patch(t.Context(), "app", types.MergePatchType, stir, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		s.eventually(t, want, func() bool { return s.pods(t) == want })
	}
}

// pods counts the pods by version that are not ending.
func (s *shop) pods(t testing.TB) string {
	t.Helper()
	l, err := s.client.CoreV1().Pods(s.ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, p := range l.Items {
		if p.DeletionTimestamp == nil {
			n[strings.SplitAfter(p.Spec.Containers[0].Image, ":")[1]]++
		}
	}
	return fmt.Sprintf("v1.2.3 %d, v1.2.4 %d", n["v1.2.3"], n["v1.2.4"])
}

// TestBrokenPods: a version whose pods cannot start fails its stage at once, with
// the reason, and is taken back.
func TestBrokenPods(t *testing.T) { inEachWorld(t, testBrokenPods) }

func testBrokenPods(t *testing.T, open world) {
	for version, reason := range map[string]string{"v1.2.4-crash": "CrashLoopBackOff", "v1.2.4-nopull": "ImagePull"} {
		for _, name := range []string{"canary", "rolling"} {
			t.Run(name+" "+reason, func(t *testing.T) {
				t.Parallel()
				s := open(t, canaryObjects(t, virtualService)...)
				s.settled(t, "app-stable")
				st := s.strategy(name, nil)
				env := canaryEnv("VirtualService/app")
				env.Rolling = &runbook.Rolling{Deployment: "app-stable"}
				o := s.order(env)
				o.Version = version
				p := mustPlan(t, st, o)
				_, err := st.Stage(t.Context(), p, 0, fence(0), t.Output())
				if !state.HasCode(err, "pod") || !strings.Contains(err.Error(), reason) || strings.Contains(err.Error(), "\x1b") {
					t.Errorf("stage: %v, want %s", err, reason)
				}
				lines, err := st.Look(t.Context(), p)
				if err != nil || !strings.Contains(strings.Join(lines, "\n"), reason) {
					t.Errorf("look: %q, %v, want %s", lines, err, reason)
				}
				if v, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil {
					t.Errorf("rollback: %v, %+v", err, v)
				}
			})
		}
	}
}

func TestCanaryTells(t *testing.T) {
	t.Parallel()
	s := newShop(t, canaryObjects(t, virtualService)...)
	s.settled(t, "app-stable")
	o := s.order(canaryEnv("VirtualService/app"))
	o.Environment.Canary.Hold = 7
	st := s.strategy("canary", answersOf{"v1.2.3": 226, "v1.2.4": 74})
	p := mustPlan(t, st, o)
	var names []string
	for _, stage := range p.Stages {
		names = append(names, fmt.Sprintf("%s (%d, %d)", stage.Name, stage.Weight, stage.Hold))
	}
	want := "canary ready (0, 0); canary 10 % (10, 7); canary 25 % (25, 7); canary 50 % (50, 7); canary 75 % (75, 7); canary 100 % (100, 7); " +
		"stable takes v1.2.4 (100, 0); weights return (100, 0); canary to 0 (100, 0)"
	if got := strings.Join(names, "; "); got != want {
		t.Errorf("stages: %s\nwant:   %s", got, want)
	}
	op := p.Stages[2].Ops[0]
	if op.Title != "weight of app-canary 10 → 25" || op.Object != "VirtualService/shop/app" ||
		!strings.HasPrefix(op.Command, "kubectl -n shop patch virtualservice.networking.istio.io app --type=json -p '[{") ||
		!strings.Contains(op.Diff, "@@ spec.http[1].route[1].weight @@\n-10\n+25\n") {
		t.Errorf("operation: %+v", op)
	}
	var out bytes.Buffer
	if e, err := st.Stage(t.Context(), p, 0, fence(0), &out); err != nil || e.Text != "2/2 ready" {
		t.Fatalf("%+v, %v", e, err)
	}
	if !strings.Contains(out.String(), "Deployment app-canary: app-canary takes v1.2.4, 2 pods\n") {
		t.Errorf("progress: %s", &out)
	}
	// 74 of 300 is no 10 %: the stage must not be taken for done.
	_, err := kube.Impatient(s.strategy("canary", answersOf{"v1.2.3": 226, "v1.2.4": 74}), 0).Stage(t.Context(), p, 1, fence(0), t.Output())
	if !state.HasCode(err, "traffic") {
		t.Errorf("weight 10 with 24.7 %% seen: %v", err)
	}
	e, err := st.Stage(t.Context(), p, 2, fence(0), t.Output())
	if err != nil || e.Text != "seen 24.7 %, 2/2 ready" || e.Seen < 24.6 || e.Seen > 24.7 {
		t.Errorf("weight 25: %+v, %v", e, err)
	}
	lines, err := st.Look(t.Context(), p)
	if err != nil || len(lines) != 3 || lines[0] != "VirtualService app: app-stable 75, app-canary 25 (fence INC-20261122-01/0)" ||
		lines[2] != "Deployment app-canary: v1.2.4 2/2 ready (fence INC-20261122-01/0)" {
		t.Errorf("look: %q, %v", lines, err)
	}
	if c := p.Inverse[0].Command; !strings.Contains(c, `{"op":"add","path":"/spec/http/1/route/0/weight","value":100}`) || strings.Contains(c, `"test"`) {
		t.Errorf("traffic by hand: %s", c)
	}
	if c := p.Inverse[2].Command; !strings.Contains(c, `"path":"/spec/replicas","value":0`) {
		t.Errorf("canary by hand: %s", c)
	}
	failing := kube.Impatient(s.strategy("canary", answersOf{"v1.2.3": 49, "v1.2.4": 1}), 0)
	v, err := failing.Rollback(t.Context(), p, fence(1), quietly)
	if !state.HasCode(err, "traffic") || len(v.Manual) < 4 || !strings.Contains(v.Manual[1], "kubectl -n shop rollout undo deployment app-stable --to-revision=1") {
		t.Errorf("a rollback that not only the target answers: %v, by hand %q", err, v.Manual)
	}
	v, err = s.strategy("canary", nil).Rollback(t.Context(), p, fence(1), quietly)
	if err != nil || v.Text != "weights 100/0, v1.2.3 4/4 ready, answers not observed" {
		t.Errorf("rollback: %+v, %v", v, err)
	}
}

// TestFencedWhileWaiting: a stage that waits for pods learns of a rollback.
func TestFencedWhileWaiting(t *testing.T) { inEachWorld(t, testFencedWhileWaiting) }

func testFencedWhileWaiting(t *testing.T, open world) {
	t.Parallel()
	s := open(t, canaryObjects(t, virtualService)...)
	s.settled(t, "app-stable")
	st := s.strategy("canary", nil)
	o := s.order(canaryEnv("VirtualService/app"))
	o.Version = "v1.2.4-notready" // its pods never get ready here
	p := mustPlan(t, st, o)
	done := make(chan error, 1)
	go func() {
		_, err := st.Stage(t.Context(), p, 0, fence(0), io.Discard)
		done <- err
	}()
	s.eventually(t, "the canary's pods", func() bool {
		l, err := s.client.CoreV1().Pods(s.ns).List(t.Context(), metav1.ListOptions{LabelSelector: "track=canary"})
		return err == nil && len(l.Items) == 2
	})
	if _, err := s.strategy("canary", nil).Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, steps.ErrFenced) {
		t.Errorf("the stage ended with %v, want steps.ErrFenced", err)
	}
}

// TestWorkloadFirst: with no stable pod left, traffic moves only once there is one.
func TestWorkloadFirst(t *testing.T) { inEachWorld(t, testWorkloadFirst) }

func testWorkloadFirst(t *testing.T, open world) {
	t.Parallel()
	s := open(t, canaryObjects(t, virtualService)...)
	s.settled(t, "app-stable")
	st := s.strategy("canary", nil)
	p := mustPlan(t, st, s.order(canaryEnv("VirtualService/app")))
	for i := range 6 {
		if _, err := st.Stage(t.Context(), p, i, fence(0), t.Output()); err != nil {
			t.Fatal(err)
		}
	}
	var d *appsv1.Deployment
	if _, err := s.client.AppsV1().Deployments(s.ns).Patch(t.Context(), "app-stable", types.MergePatchType, []byte(`{"spec":{"replicas":0}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	s.eventually(t, "no stable pod", func() (ok bool) {
		// Of the API server's cache, as the rollback asks: it may be behind.
		var err error
		d, err = s.client.AppsV1().Deployments(s.ns).Get(t.Context(), "app-stable", metav1.GetOptions{ResourceVersion: "0"})
		return err == nil && d.Status.ReadyReplicas == 0
	})
	var order []string
	_, err := st.Rollback(t.Context(), p, fence(1), func(op state.RollbackOp) {
		if op.Status == state.ItemRunning {
			order = append(order, op.Op)
		}
	})
	if err != nil || strings.Join(order, " ") != "stable traffic canary verify" {
		t.Errorf("order %v, %v", order, err)
	}
	if d, err = s.client.AppsV1().Deployments(s.ns).Get(t.Context(), "app-stable", metav1.GetOptions{}); err != nil || d.Status.ReadyReplicas < 4 {
		t.Errorf("the traffic was led to %d of 4 pods (%v)", d.Status.ReadyReplicas, err)
	}
}

// TestLostRevision: without the ReplicaSet the proof is red, and a rollback still
// brings the named version back by its image.
func TestLostRevision(t *testing.T) { inEachWorld(t, testLostRevision) }

func testLostRevision(t *testing.T, open world) {
	t.Parallel()
	s := open(t, deploy("app", "registry.local/shop:v1.2.3", 2, stableLabels()))
	s.settled(t, "app")
	st := s.strategy("rolling", nil)
	p := mustPlan(t, st, s.order(runbook.Environment{Rolling: &runbook.Rolling{Deployment: "app"}}))
	for i := range p.Stages {
		if _, err := st.Stage(t.Context(), p, i, fence(0), t.Output()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.client.AppsV1().ReplicaSets(s.ns).Delete(t.Context(), p.Revision, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if proof, err := st.Prove(t.Context(), p, true); err != nil || proof.Ready != state.NotReady || !strings.Contains(proof.Why, "is gone") {
		t.Errorf("proof: %+v, %v", proof, err)
	}
	v, err := st.Rollback(t.Context(), p, fence(1), quietly)
	if err != nil || !strings.HasPrefix(v.Text, "v1.2.3 2/2 ready") {
		t.Errorf("rollback: %+v, %v", v, err)
	}
}

func TestSubsets(t *testing.T) { inEachWorld(t, testSubsets) }

func testSubsets(t *testing.T, open world) {
	t.Parallel()
	route := strings.NewReplacer("host: app-stable}", "host: app, subset: s}", "host: app-canary}, weight: 0", "host: app, subset: c}, weight: 0").Replace(virtualService)
	rule := object(t, `{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: app}, spec: {host: app, subsets: [
{name: s, labels: {track: stable}}, {name: c, labels: {track: canary}}]}}`)
	s := open(t, append(canaryObjects(t, route), service("app", map[string]string{"app": "app"}), rule)...)
	s.settled(t, "app-stable")
	env := canaryEnv("VirtualService/app")
	env.Canary.Subsets = &runbook.Subsets{Host: "app", Stable: "s", Canary: "c"}
	st := s.strategy("canary", nil)
	p := mustPlan(t, st, s.order(env))
	for i := range 2 {
		if _, err := st.Stage(t.Context(), p, i, fence(0), t.Output()); err != nil {
			t.Fatal(err)
		}
	}
	u, err := dynamic.NewForConfigOrDie(s.cfg).Resource(virtualServices).Namespace(s.ns).Get(t.Context(), "app", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	rules, _, _ := unstructured.NestedSlice(u.Object, "spec", "http")
	if got := fmt.Sprint(rules[1]); !strings.Contains(got, "subset:c] weight:10") || strings.Contains(fmt.Sprint(rules[0]), "weight") {
		t.Errorf("rules: %v", rules)
	}
	if _, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Error(err)
	}
}

// TestABatchHangs: a new pod that neither gets ready nor fails ends its batch after the
// Deployment's own progress deadline, which the controller does not keep meanwhile.
func TestABatchHangs(t *testing.T) {
	t.Parallel()
	d := deploy("app", "registry.local/shop:v1.2.3", 2, stableLabels())
	deadline := int32(1)
	d.Spec.ProgressDeadlineSeconds = &deadline
	s := newShop(t, d)
	s.settled(t, "app")
	st := s.strategy("rolling", nil)
	o := s.order(runbook.Environment{Name: "production", Production: true, Rolling: rollingEnv("app")})
	o.Version = "v1.2.4-notready"
	p := mustPlan(t, st, o)
	if _, err := st.Stage(t.Context(), p, 0, fence(0), io.Discard); !state.HasCode(err, "no-progress") {
		t.Errorf("the batch: %v", err)
	}
	if _, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Error(err)
	}
}
