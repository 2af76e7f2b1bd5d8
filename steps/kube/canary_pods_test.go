package kube_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/kube"
)

func mixedShop(t *testing.T, pods int32) *shop {
	t.Helper()
	s := newShop(t, mixedObjects(pods)...)
	s.settled(t, "app-stable", "app-canary")
	return s
}

func TestByPodsTells(t *testing.T) {
	t.Parallel()
	s := mixedShop(t, 4)
	st := s.strategy("canary", &behind{s, "app=app"})
	env := mixedEnv()
	env.Canary.Hold = 7
	p := mustPlan(t, st, s.order(env))
	var names []string
	for _, stage := range p.Stages {
		names = append(names, fmt.Sprintf("%s (%d, %d)", stage.Name, stage.Weight, stage.Hold))
	}
	want := "canary about 25 % (1 of 4 pods) (25, 7); canary about 50 % (2 of 4 pods) (50, 7); canary about 75 % (3 of 4 pods) (75, 7); canary 100 % (4 of 4 pods) (100, 7); " +
		"stable takes v1.2.4 (100, 0); stable returns with 4 pods (100, 0); canary to 0 (100, 0)"
	if got := strings.Join(names, "; "); got != want || p.Subject != "Service app" {
		t.Errorf("%s: %s\nwant: %s", p.Subject, got, want)
	}
	var titles []string
	for _, op := range p.Stages[1].Ops {
		titles = append(titles, op.Title)
	}
	if got := strings.Join(titles, "; "); got != "pods of app-canary 1 → 2; pods of app-stable 3 → 2" {
		t.Errorf("operations: %s", got)
	}
	for i, want := range []string{"v1.2.3 3, v1.2.4 1", "v1.2.3 2, v1.2.4 2", "v1.2.3 1, v1.2.4 3", "v1.2.3 0, v1.2.4 4"} {
		e, err := st.Stage(t.Context(), p, i, fence(0), t.Output())
		if err != nil {
			t.Fatal(err)
		}
		if share := 25 * (i + 1); e.Seen != float64(share) || !strings.HasPrefix(e.Text, fmt.Sprintf("seen %d.0 %%, %d/%d ready ", share, i+1, i+1)) ||
			!strings.HasSuffix(e.Text, fmt.Sprintf("%d %% (%d of 4 pods)", share, i+1)) {
			t.Errorf("effect: %+v", e)
		}
		s.eventually(t, want, func() bool { return s.pods(t) == want })
	}
	lines, err := st.Look(t.Context(), p)
	if err != nil || strings.Join(lines, "; ") != "Deployment app-stable: v1.2.3 0/0 ready (fence INC-20261122-01/0); Deployment app-canary: v1.2.4 4/4 ready (fence INC-20261122-01/0)" {
		t.Errorf("look: %q, %v", lines, err)
	}
	if v := mustRollBack(t, st, p); v.Text != "v1.2.3 4/4 ready, v1.2.3 answered 50 of 50 requests" {
		t.Errorf("verification %q", v.Text)
	}
}

// TestByPodsOrder: on the way back, the canary's pods stay until others answer.
func TestByPodsOrder(t *testing.T) {
	t.Parallel()
	s := mixedShop(t, 2)
	st := s.strategy("canary", nil)
	p := mustPlan(t, st, s.order(mixedEnv(50, 100)))
	stages(t, st, p, 0, 2)
	var order []string
	_, err := st.Rollback(t.Context(), p, fence(1), func(op state.RollbackOp) {
		if op.Status == state.ItemRunning {
			order = append(order, op.Op)
		}
	})
	if err != nil || strings.Join(order, " ") != "stable canary verify" {
		t.Errorf("order %v, %v", order, err)
	}
	// Where the old version no longer starts, the new one is left to answer.
	p = mustPlan(t, st, s.order(mixedEnv(50, 100)))
	for i := range 2 {
		if _, err := st.Stage(t.Context(), p, i, fence(1), t.Output()); err != nil {
			t.Fatal(err)
		}
	}
	s.breakPods("v1.2.3")
	v, err := st.Rollback(t.Context(), p, fence(2), quietly)
	if !state.HasCode(err, "pod") || len(v.Manual) < 3 {
		t.Errorf("rollback to a version that does not start: %v, %+v", err, v)
	}
	d, err := s.client.AppsV1().Deployments(ns).Get(t.Context(), "app-canary", metav1.GetOptions{})
	if err != nil || d.Status.ReadyReplicas != 2 {
		t.Errorf("%d pods of the new version are left to answer, want 2 (%v)", d.Status.ReadyReplicas, err)
	}
}

// fewest follows the pods behind a selector and tells the smallest number that was ever
// ready at once.
func (s *shop) fewest(t *testing.T, selector string) func() int {
	t.Helper()
	list, err := s.client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		t.Fatal(err)
	}
	ready := map[types.UID]bool{}
	note := func(p *corev1.Pod, gone bool) {
		delete(ready, p.UID)
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue && p.DeletionTimestamp == nil && !gone {
				ready[p.UID] = true
			}
		}
	}
	for i := range list.Items {
		note(&list.Items[i], false)
	}
	least := len(ready)
	ctx, cancel := context.WithCancel(context.Background())
	w, err := s.client.CoreV1().Pods(ns).Watch(ctx, metav1.ListOptions{LabelSelector: selector, ResourceVersion: list.ResourceVersion})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range w.ResultChan() {
			p, ok := e.Object.(*corev1.Pod)
			if !ok || p.Name == "marker" { // all before it was seen
				return
			}
			note(p, e.Type == watch.Deleted)
			least = min(least, len(ready))
		}
	}()
	t.Cleanup(func() { cancel(); w.Stop(); <-done })
	return func() int {
		key, value, _ := strings.Cut(selector, "=")
		marker := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "marker", Namespace: ns, Labels: map[string]string{key: value}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "x:v-notready"}}}}
		if _, err := s.client.CoreV1().Pods(ns).Create(t.Context(), marker, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		<-done
		return least
	}
}

// TestNeverFewerPods: at no moment of a canary by pods, nor of its rollback from the
// stage where the stable side is gone, are fewer pods ready than before.
func TestNeverFewerPods(t *testing.T) {
	for _, to := range []int{3, 5} {
		t.Run(fmt.Sprintf("rollback after %d stages", to), func(t *testing.T) {
			t.Parallel()
			s := mixedShop(t, 3)
			st := s.strategy("canary", nil)
			p := mustPlan(t, st, s.order(mixedEnv(30, 60, 100)))
			fewest := s.fewest(t, "app=app")
			stages(t, st, p, 0, to)
			mustRollBack(t, st, p)
			if n := fewest(); n < 3 {
				t.Errorf("only %d pods were ready at one moment, 3 before", n)
			}
		})
	}
}

func TestByPodsRefuses(t *testing.T) {
	hpa := func(of string) func([]runtime.Object) []runtime.Object {
		return func(l []runtime.Object) []runtime.Object {
			return append(l, &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Name: "scaler", Namespace: ns},
				Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 9,
					ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: of, APIVersion: "apps/v1"}}})
		}
	}
	selector := func(m map[string]string) func([]runtime.Object) []runtime.Object {
		return func(l []runtime.Object) []runtime.Object { return append(l[:2], service("app", m)) }
	}
	size := func(name string, n int32) func([]runtime.Object) []runtime.Object {
		return func(l []runtime.Object) []runtime.Object {
			return edit(l, name, func(d *appsv1.Deployment) { *d.Spec.Replicas = n })
		}
	}
	for _, c := range []struct {
		name    string
		objects func([]runtime.Object) []runtime.Object
		env     func(*runbook.Canary)
		code    string
		says    string
	}{
		{name: "autoscaler of stable", objects: hpa("app-stable"), code: "autoscaler", says: "Deployment app-stable is sized by HorizontalPodAutoscaler scaler"},
		{name: "autoscaler of canary", objects: hpa("app-canary"), code: "autoscaler", says: "app-canary"},
		{name: "selects stable alone", objects: selector(stableLabels()), code: "selector", says: "does not select the pods of Deployment app-canary"},
		{name: "selects canary alone", objects: selector(canaryLabels()), code: "selector", says: "does not select the pods of Deployment app-stable"},
		{name: "no selector", objects: selector(nil), code: "selector", says: "no selector"},
		{name: "no service", env: func(c *runbook.Canary) { c.Service = "gone" }, code: "not-found", says: "Service gone"},
		{name: "pods of a third", objects: func(l []runtime.Object) []runtime.Object {
			return append(l, deploy("other", "registry.local/shop:v1", 1, map[string]string{"app": "app", "track": "other"}))
		}, code: "selector", says: "pods of neither Deployment"},
		{name: "busy", objects: size("app-canary", 1), code: "canary-busy", says: "already has 1 pods"},
		{name: "asleep", objects: size("app-stable", 0), code: "capacity", says: "no pods"},
		{name: "fewer", env: func(c *runbook.Canary) { c.Replicas = 1 }, code: "config", says: "fewer pods"},
		{name: "paused", objects: func(l []runtime.Object) []runtime.Object {
			return edit(l, "app-stable", func(d *appsv1.Deployment) { d.Spec.Paused = true })
		}, code: "paused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			objects := mixedObjects(2)
			if c.objects != nil {
				objects = c.objects(objects)
			}
			s := newShop(t, objects...)
			s.eventually(t, "a pod of other", func() bool { // made by a controller
				l, err := s.client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "track=other"})
				return err == nil && (c.name != "pods of a third" || len(l.Items) == 1)
			})
			if c.name == "fewer" { // all else is as it should be
				s.settled(t, "app-stable", "app-canary")
			}
			env := mixedEnv(50, 100)
			if c.env != nil {
				c.env(env.Canary)
			}
			_, err := s.strategy("canary", nil).Plan(t.Context(), s.order(env))
			if !state.HasCode(err, c.code) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want code %q saying %q", err, c.code, c.says)
			}
		})
	}
}

// TestByPodsNotSo: the share seen is compared with the one that the pods allow, and
// numbers of pods that somebody changed are told.
func TestByPodsNotSo(t *testing.T) {
	t.Parallel()
	s := mixedShop(t, 4)
	p := mustPlan(t, s.strategy("canary", nil), s.order(mixedEnv(10, 100)))
	// 10 % was asked for, 25 % is what one of four pods can mean.
	_, err := kube.Impatient(s.strategy("canary", answersOf{"v1.2.3": 270, "v1.2.4": 30}), 0).Stage(t.Context(), p, 0, fence(0), t.Output())
	if !state.HasCode(err, "traffic") || !strings.Contains(err.Error(), "25 % wanted") || !strings.Contains(err.Error(), "Service app") {
		t.Errorf("10 %% seen with one of four pods: %v", err)
	}
	st := s.strategy("canary", answersOf{"v1.2.3": 226, "v1.2.4": 74})
	if e, err := st.Stage(t.Context(), p, 0, fence(0), t.Output()); err != nil || !strings.HasPrefix(e.Text, "seen 24.7 %, 1/1 ready about 25 % (1 of 4 pods)") {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := s.client.AppsV1().Deployments(ns).Patch(t.Context(), "app-stable", types.MergePatchType, []byte(`{"spec":{"replicas":7}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Stage(t.Context(), p, 1, fence(0), t.Output()); !state.HasCode(err, "drift") || !strings.Contains(err.Error(), "wants 7") {
		t.Errorf("after somebody scaled: %v", err)
	}
}
