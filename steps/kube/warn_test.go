package kube_test

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"mayday/state"
)

// minds joins the findings that are good enough and should be read.
func minds(p state.Proof) string {
	out := ""
	for _, f := range p.Checks {
		if f.Warn {
			out += f.Name + ": " + f.Text + "\n"
		}
	}
	return out
}

// TestGitOps: a tool that will take the rollout back is named in the plan and in every
// proof, and keeps nothing from being done.
func TestGitOps(t *testing.T) {
	t.Parallel()
	s := newShop(t, canaryObjects(t, virtualService)...)
	s.settled(t, "app-stable")
	st := s.strategy("canary", nil)
	if p := mustPlan(t, st, s.order(canaryEnv("VirtualService/app"))); len(p.Warnings) != 0 {
		t.Errorf("nobody else is there: %q", p.Warnings)
	}
	synced := `{"metadata":{"annotations":{"argocd.argoproj.io/tracking-id":"shop:apps/Deployment:shop/app-stable"}},"spec":{"template":{"spec":{"containers":[{"name":"app","image":"registry.local/shop:v1.2.3-r1"}]}}}}`
	if _, err := s.client.AppsV1().Deployments(ns).Patch(t.Context(), "app-stable", types.StrategicMergePatchType, []byte(synced), metav1.PatchOptions{FieldManager: "argocd-controller"}); err != nil {
		t.Fatal(err)
	}
	s.settled(t, "app-stable")
	p := mustPlan(t, st, s.order(canaryEnv("VirtualService/app")))
	const first = "argocd app set shop --sync-policy none"
	if len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "Argo CD (application shop) will take back what this rollout changes: it keeps image of containers[app] of Deployment app-stable;") ||
		!strings.HasSuffix(p.Warnings[0], first) {
		t.Errorf("warnings %q", p.Warnings)
	}
	for i := -1; i < len(p.Stages); i++ {
		if i >= 0 {
			if _, err := st.Stage(t.Context(), p, i, fence(0), t.Output()); err != nil {
				t.Fatal(err)
			}
		}
		proof, err := st.Prove(t.Context(), p, i >= 0)
		if err != nil || proof.Ready != state.Ready || !strings.Contains(minds(proof), first) {
			t.Errorf("after stage %d: %s %s, %v, to mind: %s", i, proof.Ready, proof.Why, err, minds(proof))
		}
	}
}

// TestTemplatesDiffer: what was changed in one colour alone is named, without values.
func TestTemplatesDiffer(t *testing.T) {
	t.Parallel()
	s := newShop(t, edit(colourObjects(), "app-green", func(d *appsv1.Deployment) {
		d.Spec.Template.Spec.Containers[0].Env = append(d.Spec.Template.Spec.Containers[0].Env, corev1.EnvVar{Name: "TOKEN", Value: "hunter2"})
	})...)
	s.settled(t, "app-blue")
	p := mustPlan(t, s.strategy("blue-green", nil), s.order(blueGreenEnv()))
	if got := strings.Join(p.Warnings, "|"); !strings.Contains(got, "app-blue and app-green differ in more than the version: spec.containers[app].env[TOKEN].value (only app-green has it).") || strings.Contains(got, "hunter2") {
		t.Errorf("warnings %q", got)
	}
}

// TestRoomForThePods: a canary of 2 beside 4 that are exchanged one by one needs 7 at
// its most, forth as well as back.
func TestRoomForThePods(t *testing.T) {
	for pods, c := range map[int]struct {
		want state.Readiness
		says string
	}{
		7: {state.Ready, ""},
		6: {state.Doubtful, "room for the pods: ResourceQuota team: the rollout needs 3 more pods, 2 left; ResourceQuota team: the rollback needs 3 more pods, 2 left"},
	} {
		t.Run(fmt.Sprint(pods), func(t *testing.T) {
			t.Parallel()
			quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "team", Namespace: ns},
				Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"pods": *quantity.NewQuantity(int64(pods), quantity.DecimalSI), "requests.cpu": quantity.MustParse("1")}}}
			s := newShop(t, append(canaryObjects(t, virtualService), quota)...)
			s.settled(t, "app-stable")
			s.eventually(t, "the quota has counted", func() bool {
				q, err := s.client.CoreV1().ResourceQuotas(ns).Get(t.Context(), "team", metav1.GetOptions{})
				return err == nil && q.Status.Used.Pods().Value() == 4
			})
			st := s.strategy("canary", nil)
			p := mustPlan(t, st, s.order(canaryEnv("VirtualService/app")))
			if proof, err := st.Prove(t.Context(), p, false); err != nil || proof.Ready != c.want || !strings.Contains(proof.Why, c.says) {
				t.Errorf("%s %q, %v", proof.Ready, proof.Why, err)
			}
		})
	}
}

// TestQuotaExceeded: pods that cannot even be created fail the stage at once, with what
// the server said.
func TestQuotaExceeded(t *testing.T) {
	t.Parallel()
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "team", Namespace: ns}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"pods": quantity.MustParse("5")}}}
	s := newShop(t, append(canaryObjects(t, virtualService), quota)...)
	s.settled(t, "app-stable")
	st := s.strategy("canary", nil)
	p := mustPlan(t, st, s.order(canaryEnv("VirtualService/app")))
	if _, err := st.Stage(t.Context(), p, 0, fence(0), t.Output()); !state.HasCode(err, "quota") || !strings.Contains(err.Error(), "exceeded quota: team, requested: pods=1, used: pods=5, limited: pods=5") {
		t.Errorf("%v", err)
	}
	if _, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Errorf("rollback: %v", err)
	}
}

// TestCanaryGetsItsPodsFirst: stable was scaled down while the canary took all traffic.
func TestCanaryGetsItsPodsFirst(t *testing.T) {
	t.Parallel()
	s := newShop(t, canaryObjects(t, virtualService)...)
	s.settled(t, "app-stable")
	st := s.strategy("canary", nil)
	env := canaryEnv("VirtualService/app")
	env.Canary.Weights = []int{100}
	p := mustPlan(t, st, s.order(env))
	for i := range 2 {
		if _, err := st.Stage(t.Context(), p, i, fence(0), t.Output()); err != nil {
			t.Fatal(err)
		}
	}
	s.scale(t, "app-stable", 0)
	if proof, err := st.Prove(t.Context(), p, true); err != nil || proof.Ready != state.Doubtful || !strings.Contains(proof.Why, "gets its pods first") {
		t.Errorf("proof: %+v, %v", proof, err)
	}
	var order []string
	v, err := st.Rollback(t.Context(), p, fence(1), func(op state.RollbackOp) {
		if op.Status == state.ItemRunning {
			order = append(order, op.Op)
		}
	})
	if err != nil || strings.Join(order, " ") != "stable traffic canary verify" {
		t.Errorf("rollback: %+v, %v, %v", v, order, err)
	}
}

// TestMovedTag: pods of one tag that run two images.
func TestMovedTag(t *testing.T) {
	t.Parallel()
	s := newShop(t, canaryObjects(t, virtualService)...)
	s.settled(t, "app-stable")
	image := func(i int, digest string) {
		l, err := s.client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{LabelSelector: "track=stable"})
		if err != nil {
			t.Fatal(err)
		}
		patch := fmt.Appendf(nil, `{"status":{"containerStatuses":[{"name":"app","image":"registry.local/shop:v1.2.3","imageID":"registry.local/shop@sha256:%s","ready":true,"state":{"running":{}}}]}}`, digest)
		if _, err := s.client.CoreV1().Pods(ns).Patch(t.Context(), l.Items[i].Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status"); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 {
		image(i, "aaaaaaaaaaaaaaaaaaaa")
	}
	st := s.strategy("canary", nil)
	p := mustPlan(t, st, s.order(canaryEnv("VirtualService/app")))
	if p.Digest != "sha256:aaaaaaaaaaaaaaaaaaaa" {
		t.Errorf("the plan names %q", p.Digest)
	}
	if proof, err := st.Prove(t.Context(), p, false); err != nil || minds(proof) != "" {
		t.Errorf("one image: %s, %v", minds(proof), err)
	}
	if v, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil || !strings.Contains(v.Text, "image sha256:aaaaaaaaaaaa as before") {
		t.Errorf("rollback: %+v, %v", v, err)
	}
	image(1, "bbbbbbbbbbbbbbbbbbbb")
	proof, err := st.Prove(t.Context(), p, true)
	if want := "the tag was moved, it is sha256:aaaaaaaaaaaa (3 pods) and sha256:bbbbbbbbbbbb (1 pod)"; err != nil || !strings.Contains(minds(proof), want) || proof.Ready != state.Ready {
		t.Errorf("two images: %s, %s, %v", proof.Ready, minds(proof), err)
	}
	if v, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil || !strings.Contains(v.Text, "the tag was moved") {
		t.Errorf("rollback: %+v, %v", v, err)
	}
}
