package kube_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// calendar is a clock of a cluster on which days pass between releases.
type calendar struct{ days atomic.Int64 }

func (c *calendar) now() time.Time { return time.Now().AddDate(0, 0, int(c.days.Load())) }

// years is a shop with one Deployment that has seen releases, one a day.
type years struct {
	*shop
	*calendar
}

func newYears(t *testing.T, objects ...runtime.Object) years {
	t.Helper()
	c := &calendar{}
	return years{newShopAt(t, c.now, objects...), c}
}

// release gives a Deployment an image tag, a day after the last one. A tag that never
// gets healthy is not waited for.
func (y years) release(t *testing.T, name, tag string) {
	t.Helper()
	y.days.Add(1)
	patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"registry.local/shop:%s"}]}}}}`, tag)
	if _, err := y.client.AppsV1().Deployments(ns).Patch(t.Context(), name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(tag, "-") {
		y.settled(t, name)
		y.eventually(t, "the old pods are counted out", func() bool {
			sets, err := y.client.AppsV1().ReplicaSets(ns).List(t.Context(), metav1.ListOptions{})
			return err == nil && !slices.ContainsFunc(sets.Items, func(rs appsv1.ReplicaSet) bool {
				return rs.Status.Replicas != *rs.Spec.Replicas || rs.Status.ObservedGeneration != rs.Generation ||
					rs.Status.TerminatingReplicas != nil && *rs.Status.TerminatingReplicas > 0
			})
		})
		return
	}
	y.eventually(t, tag+" has a pod", func() bool {
		pods, err := y.client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
		return err == nil && slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool {
			return strings.HasSuffix(p.Spec.Containers[0].Image, ":"+tag) && len(p.Status.ContainerStatuses) > 0
		})
	})
}

// undo asks for the plan of R before mayday's own first rollout.
func undo(t *testing.T, st steps.Strategy, o steps.Order) (state.Plan, error) {
	t.Helper()
	u, ok := st.(steps.Undoer)
	if !ok {
		t.Fatalf("%s cannot undo a release", st.Name())
	}
	o.ID = state.UndoID
	return u.PlanUndo(t.Context(), o)
}

// ways are the strategies that release one Deployment.
func ways() map[string]runbook.Environment {
	return map[string]runbook.Environment{
		"rolling":   {Rolling: rollingEnv("app-stable")},
		"immediate": {Immediate: &runbook.Immediate{Deployment: "app-stable"}},
		"canary":    canaryEnv("VirtualService/app"),
	}
}

// TestUndoOneDeployment: the release before is found, proven, and gone back to, and
// nothing but that is written.
func TestUndoOneDeployment(t *testing.T) {
	for name, env := range ways() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := newYears(t, canaryObjects(t, virtualService)...)
			y.settled(t, "app-stable")
			for _, tag := range []string{"v1.2.4", "v1.2.5"} {
				y.release(t, "app-stable", tag)
			}
			f := &share{s: y.shop, paths: []string{"app-stable"}}
			st := y.strategy(name, f)
			p, err := undo(t, st, y.order(env))
			if err != nil {
				t.Fatal(err)
			}
			if p.Version != "v1.2.5" || p.Target != "v1.2.4" || p.Revision == "" || len(p.Stages) != 0 || p.Strategy != "last-release" || len(p.Inverse) != 2 {
				t.Fatalf("plan: %+v", p)
			}
			if c := p.Inverse[0].Command; !strings.Contains(c, "rollout undo deployment app-stable --to-revision=2") {
				t.Errorf("by hand: %s", c)
			}
			back := y.strategy(p.Strategy, f)
			if proof, err := back.Prove(t.Context(), p, true); err != nil || proof.Ready != state.Ready || proof.Target != "v1.2.4" {
				t.Errorf("proof: %+v, %v", proof, err)
			}
			if n := y.faults.Writes(); n != 0 {
				t.Errorf("planning and proving made %d writes", n)
			}
			y.undone(t, back, p, name)
		})
	}
}

// undone takes a release back with a process that dies at each write, and looks.
func (y years) undone(t *testing.T, back steps.Strategy, p state.Plan, name string) {
	t.Helper()
	epoch := 0
	for dead := true; dead; {
		epoch++
		ctx, kill := context.WithCancel(t.Context())
		died := false
		y.faults.Reset(func(n int, sent bool) error {
			if epoch > 2 || sent == (epoch == 1) {
				return nil
			}
			died = true
			kill()
			return context.Canceled
		})
		v, err := back.Rollback(ctx, p, fence(epoch), quietly)
		kill()
		if died == (err == nil) {
			t.Fatalf("epoch %d, died %t: %v", epoch, died, err)
		}
		if !died && !strings.Contains(v.Text, p.Target+" answered 50 of 50") {
			t.Errorf("verified by %q", v.Text)
		}
		dead = died
	}
	y.faults.Reset(nil)
	if _, err := back.Rollback(t.Context(), p, fence(epoch), quietly); err != nil || y.faults.Writes() != 0 {
		t.Errorf("twice: %v, %d writes", err, y.faults.Writes())
	}
	counts, err := (&share{s: y.shop, paths: []string{"app-stable"}}).Versions(t.Context(), runbook.Environment{}, 50)
	if err != nil || counts[p.Target] != 50 {
		t.Errorf("after it %v answer, %v", counts, err)
	}
	// What was taken back is not gone forward to by the next R.
	env := ways()[name]
	if again, err := undo(t, y.strategy(name, nil), y.order(env)); !state.HasCode(err, "no-target") || !strings.Contains(err.Error(), "already") {
		t.Errorf("after it the plan is %s back to %s, %v", again.Version, again.Target, err)
	}
}

// TestUndoPassesOverWhatWasNeverHealthy: a release in between that never took over is
// not gone back to.
func TestUndoPassesOverWhatWasNeverHealthy(t *testing.T) {
	t.Parallel()
	y := newYears(t, deploy("app", "registry.local/shop:v1.2.1", 2, stableLabels()))
	y.settled(t, "app")
	for _, tag := range []string{"v1.2.2", "v1.2.3-crash", "v1.2.4"} {
		y.release(t, "app", tag)
	}
	p, err := undo(t, y.strategy("rolling", nil), y.order(runbook.Environment{Rolling: rollingEnv("app")}))
	if err != nil || p.Version != "v1.2.4" || p.Target != "v1.2.2" {
		t.Errorf("%s back to %s, %v", p.Version, p.Target, err)
	}
}

// TestUndoOfAReleaseThatHangs: the new version never gets ready, the old one still
// serves, as far as it was left.
func TestUndoOfAReleaseThatHangs(t *testing.T) {
	t.Parallel()
	y := newYears(t, deploy("app", "registry.local/shop:v1.2.2", 2, stableLabels()))
	y.settled(t, "app")
	y.release(t, "app", "v1.2.3-crash")
	f := &share{s: y.shop, paths: []string{"app"}}
	env := runbook.Environment{Immediate: &runbook.Immediate{Deployment: "app"}}
	p, err := undo(t, y.strategy("immediate", f), y.order(env))
	if err != nil || p.Version != "v1.2.3-crash" || p.Target != "v1.2.2" {
		t.Fatalf("%s back to %s, %v", p.Version, p.Target, err)
	}
	if _, err := y.strategy(p.Strategy, f).Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Error(err)
	}
}

// TestUndoRefuses: what cannot be proven is not offered, and says why.
func TestUndoRefuses(t *testing.T) {
	plain := runbook.Environment{Rolling: rollingEnv("app-stable")}
	for _, c := range []struct {
		name    string
		way     string
		env     runbook.Environment
		objects func([]runtime.Object) []runtime.Object
		tags    []string
		then    func(t *testing.T, y years)
		says    string
	}{
		{name: "one revision", env: plain, says: "no earlier version"},
		{name: "nothing older to tell", env: plain, tags: []string{"v1.2.4"}, says: "whether v1.2.3 was ever healthy is not known"},
		{name: "recreated", env: plain, tags: []string{"v1.2.4", "v1.2.5"}, says: "ends old pods before new ones are ready",
			objects: func(l []runtime.Object) []runtime.Object {
				return edit(l, "app-stable", func(d *appsv1.Deployment) {
					d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
				})
			}},
		{name: "all may end at once", env: plain, tags: []string{"v1.2.4", "v1.2.5"}, says: "ends old pods before new ones are ready",
			objects: func(l []runtime.Object) []runtime.Object {
				return edit(l, "app-stable", func(d *appsv1.Deployment) { d.Spec.Strategy.RollingUpdate.MaxUnavailable.StrVal = "100%" })
			}},
		{name: "taken back already", env: plain, tags: []string{"v1.2.4", "v1.2.5", "v1.2.4"}, says: "taken back to v1.2.4 already"},
		{name: "asleep in between", env: plain, tags: []string{"v1.2.4", "v1.2.5"}, says: "had ended before it was made",
			objects: func(l []runtime.Object) []runtime.Object {
				return edit(l, "app-stable", func(d *appsv1.Deployment) { *d.Spec.Replicas = 0 })
			}},
		{name: "a newer one before", env: plain, tags: []string{"v2.0.0", "v1.9.0"}, says: "v2.0.0 is newer than v1.9.0"},
		{name: "no name", env: plain, tags: []string{"v1.2.4", "v1.2.5"}, says: "no name", then: func(t *testing.T, y years) {
			patch := `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"registry.local/shop@sha256:` + strings.Repeat("a", 64) + `"}]}}}}`
			if _, err := y.client.AppsV1().Deployments(ns).Patch(t.Context(), "app-stable", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
			y.settled(t, "app-stable")
		}},
		{name: "paused", env: plain, tags: []string{"v1.2.4", "v1.2.5"}, says: "is paused", then: func(t *testing.T, y years) {
			if _, err := y.client.AppsV1().Deployments(ns).Patch(t.Context(), "app-stable", types.MergePatchType, []byte(`{"spec":{"paused":true}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "another incident's rollout", env: plain, tags: []string{"v1.2.4", "v1.2.5"}, says: "belongs to incident INC-9", then: func(t *testing.T, y years) {
			if _, err := y.client.AppsV1().Deployments(ns).Patch(t.Context(), "app-stable", types.MergePatchType, []byte(`{"metadata":{"annotations":{"mayday.dev/fence":"INC-9/0"}}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a canary under way", way: "canary", env: canaryEnv("VirtualService/app"), tags: []string{"v1.2.4", "v1.2.5"}, says: "10 % of the traffic",
			objects: func(l []runtime.Object) []runtime.Object {
				return append(l[:len(l)-1], object(t, strings.NewReplacer("weight: 100", "weight: 90", "weight: 0", "weight: 10").Replace(virtualService)))
			}},
		{name: "not set up", way: "rolling", says: "has no rolling strategy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			objects := canaryObjects(t, virtualService)
			if c.objects != nil {
				objects = c.objects(objects)
			}
			y := newYears(t, objects...)
			y.settled(t, "app-stable")
			for _, tag := range c.tags {
				y.release(t, "app-stable", tag)
			}
			if c.then != nil {
				c.then(t, y)
			}
			way := c.way
			if way == "" {
				way = "rolling"
			}
			p, err := undo(t, y.strategy(way, nil), y.order(c.env))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s back to %s, %v; want %q", p.Version, p.Target, err, c.says)
			}
			if pr := state.AsProblem(err); pr != nil && (pr.Why == "" && c.name != "not set up" || pr.Do == "") {
				t.Errorf("not fully told: %+v", pr)
			}
		})
	}
}

// TestUndoOfAnotherReleaseSince: what somebody released after the plan was made is not
// taken back by it, and the proof says so first.
func TestUndoOfAnotherReleaseSince(t *testing.T) {
	t.Parallel()
	y := newYears(t, deploy("app", "registry.local/shop:v1.2.1", 2, stableLabels()))
	y.settled(t, "app")
	y.release(t, "app", "v1.2.2")
	y.release(t, "app", "v1.2.3")
	env := runbook.Environment{Immediate: &runbook.Immediate{Deployment: "app"}}
	f := &share{s: y.shop, paths: []string{"app"}}
	p, err := undo(t, y.strategy("immediate", f), y.order(env))
	if err != nil {
		t.Fatal(err)
	}
	y.release(t, "app", "v1.2.4")
	back := y.strategy(p.Strategy, f)
	if proof, err := back.Prove(t.Context(), p, true); err != nil || proof.Ready != state.NotReady || !strings.Contains(proof.Why, "released since") {
		t.Errorf("proof: %+v, %v", proof, err)
	}
	y.faults.Reset(nil)
	if _, err := back.Rollback(t.Context(), p, fence(1), quietly); !state.HasCode(err, "drift") || y.faults.Writes() != 0 {
		t.Errorf("rolled back: %v, %d writes", err, y.faults.Writes())
	}
}

// TestUndoColours: the Service goes back to the colour that has the version before,
// which gets its pods first where it sleeps.
func TestUndoColours(t *testing.T) {
	for _, c := range []struct {
		name  string
		pods  int32
		ready state.Readiness
		first string
	}{{"warm", 2, state.Ready, "traffic"}, {"asleep", 0, state.Doubtful, "live"}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, colourObjects()...)
			s.settled(t, "app-blue", "app-green")
			y := years{s, &calendar{}}
			y.release(t, "app-green", "v1.2.2")
			s.scale(t, "app-green", c.pods)
			s.scale(t, "app-blue", 2)
			s.settled(t, "app-blue", "app-green")
			f := coloursOf(s)
			p, err := undo(t, s.strategy("blue-green", f), s.order(blueGreenEnv()))
			if err != nil {
				t.Fatal(err)
			}
			if p.Version != "v1.2.3" || p.Target != "v1.2.2" || p.Subject != "Service app-service" || len(p.Inverse) != 4 {
				t.Fatalf("plan: %+v", p)
			}
			back := s.strategy(p.Strategy, f)
			if proof, err := back.Prove(t.Context(), p, true); err != nil || proof.Ready != c.ready {
				t.Errorf("proof: %+v, %v", proof, err)
			}
			var order []string
			v, err := back.Rollback(t.Context(), p, fence(1), func(op state.RollbackOp) {
				if op.Status == state.ItemRunning {
					order = append(order, op.Op)
				}
			})
			if err != nil || order[0] != c.first || !strings.Contains(v.Text, "v1.2.2 answered 50 of 50") {
				t.Errorf("%+v in the order %v, %v", v, order, err)
			}
			d, err := s.client.AppsV1().Deployments(ns).Get(t.Context(), "app-green", metav1.GetOptions{})
			if err != nil || *d.Spec.Replicas != 2 {
				t.Errorf("green has %d pods, %v", *d.Spec.Replicas, err)
			}
			if d, err = s.client.AppsV1().Deployments(ns).Get(t.Context(), "app-blue", metav1.GetOptions{}); err != nil || *d.Spec.Replicas != 2 {
				t.Errorf("blue keeps %d pods, %v", *d.Spec.Replicas, err)
			}
		})
	}
}

// TestUndoColoursRefuses: a colour with the next version is none to go back to.
func TestUndoColoursRefuses(t *testing.T) {
	t.Parallel()
	s := newShop(t, colourObjects()...)
	s.settled(t, "app-blue", "app-green")
	y := years{s, &calendar{}}
	y.release(t, "app-green", "v1.2.9")
	if p, err := undo(t, s.strategy("blue-green", nil), s.order(blueGreenEnv())); err == nil || !strings.Contains(err.Error(), "v1.2.9 is newer than v1.2.3") {
		t.Errorf("%s back to %s, %v", p.Version, p.Target, err)
	}
}

// TestUndoSeveralWorkloads: all of a release go back together, or none.
func TestUndoSeveralWorkloads(t *testing.T) {
	t.Parallel()
	worker := map[string]string{"app": "worker"}
	y := newYears(t, deploy("app", "registry.local/shop:v1.2.1", 2, stableLabels()), deploy("worker", "registry.local/shop:v1.2.1", 1, worker))
	y.settled(t, "app", "worker")
	for _, tag := range []string{"v1.2.2", "v1.2.3"} {
		y.release(t, "app", tag)
		y.release(t, "worker", tag)
	}
	env := runbook.Environment{Rolling: rollingEnv("app"), Workloads: []runbook.Workload{{Name: "worker", Rolling: rollingEnv("worker")}}}
	p, err := undo(t, y.strategy("rolling", nil), y.order(env))
	if err != nil || p.Version != "v1.2.3" || p.Target != "v1.2.2" || len(p.Inverse) != 4 {
		t.Fatalf("%+v, %v", p, err)
	}
	back := y.strategy(p.Strategy, nil)
	if proof, err := back.Prove(t.Context(), p, true); err != nil || proof.Ready != state.Ready {
		t.Errorf("proof: %+v, %v", proof, err)
	}
	if _, err := back.Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"app", "worker"} {
		d, err := y.client.AppsV1().Deployments(ns).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || !strings.HasSuffix(d.Spec.Template.Spec.Containers[0].Image, ":v1.2.2") {
			t.Errorf("%s: %+v, %v", name, d.Spec.Template.Spec.Containers, err)
		}
	}
	y.release(t, "app", "v1.2.4")
	y.release(t, "worker", "v1.2.5")
	if p, err := undo(t, y.strategy("rolling", nil), y.order(env)); err == nil {
		t.Errorf("two releases are taken for one: %s back to %s", p.Version, p.Target)
	}
}

// TestUndoStatefulSet: a release that hangs goes back to what it was replacing, the pod
// that blocks the way included; one that is complete is not taken back.
func TestUndoStatefulSet(t *testing.T) { inEachWorld(t, testUndoStatefulSet) }

func testUndoStatefulSet(t *testing.T, open world) {
	t.Parallel()
	s := open(t, stateful("db", "registry.local/shop:v1.2.2", 2))
	s.setSettled(t, "db")
	env := runbook.Environment{Rolling: &runbook.Rolling{StatefulSet: "db"}}
	release := func(version string) {
		t.Helper()
		patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"registry.local/shop:%s"}]}}}}`, version)
		if _, err := s.client.AppsV1().StatefulSets(s.ns).Patch(t.Context(), "db", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	release("v1.2.3")
	s.setSettled(t, "db")
	st := s.strategy("rolling", &behind{s, "app=db"})
	if p, err := undo(t, st, s.order(env)); !state.HasCode(err, "no-target") || !strings.Contains(err.Error(), "keeps no trace") {
		t.Errorf("a complete release: back to %s, %v", p.Target, err)
	}
	release("v1.2.4-crash")
	s.eventually(t, "the release hangs", func() bool {
		pod, err := s.client.CoreV1().Pods(s.ns).Get(t.Context(), "db-1", metav1.GetOptions{})
		return err == nil && strings.HasSuffix(pod.Spec.Containers[0].Image, "-crash") && len(pod.Status.ContainerStatuses) > 0
	})
	p, err := undo(t, st, s.order(env))
	if err != nil || p.Version != "v1.2.4-crash" || p.Target != "v1.2.3" || p.Subject != "StatefulSet db" || len(p.Inverse) != 3 {
		t.Fatalf("%+v, %v", p, err)
	}
	back := s.strategy(p.Strategy, &behind{s, "app=db"})
	if proof, err := back.Prove(t.Context(), p, true); err != nil || proof.Ready == state.NotReady {
		t.Errorf("proof: %+v, %v", proof, err)
	}
	if v, err := back.Rollback(t.Context(), p, fence(1), quietly); err != nil || !strings.Contains(v.Text, "v1.2.3 1/2 ready") && !strings.Contains(v.Text, "v1.2.3 2/2 ready") {
		t.Errorf("%+v, %v", v, err)
	}
	s.setSettled(t, "db")
	if got, err := (&behind{s, "app=db"}).Versions(t.Context(), runbook.Environment{}, 20); err != nil || got["v1.2.3"] != 20 {
		t.Errorf("%v answer, %v", got, err)
	}
	// A plan that is overtaken is not carried out.
	release("v1.2.5")
	s.setSettled(t, "db")
	if _, err := back.Rollback(t.Context(), p, fence(1), quietly); !state.HasCode(err, "drift") {
		t.Errorf("over a newer release: %v", err)
	}
}
