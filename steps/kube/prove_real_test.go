package kube_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/kube"
	"mayday/steps/kube/kubetest"
)

// real is a namespace on the real control plane with blue live and green asleep.
type real struct {
	c      *kubetest.Cluster
	ns     string
	client kubernetes.Interface
}

func newReal(t *testing.T) real {
	t.Helper()
	c := kubetest.Shared(t)
	r := real{c: c, ns: c.Namespace(t)}
	var err error
	if r.client, err = kubernetes.NewForConfig(c.Config()); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int32{"blue": 2, "green": 0} {
		d := deploy("app-"+name, "registry.local/shop:v1.2.3", n, colour[name])
		d.Namespace = r.ns
		if _, err := r.client.AppsV1().Deployments(r.ns).Create(t.Context(), d, metav1.CreateOptions{FieldManager: "helm"}); err != nil {
			t.Fatal(err)
		}
	}
	svc := service("app-service", colour["blue"])
	svc.Namespace = r.ns
	if _, err := r.client.CoreV1().Services(r.ns).Create(t.Context(), svc, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.settled(t, "app-blue")
	return r
}

func (r real) settled(t *testing.T, name string) {
	t.Helper()
	for give := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		d, err := r.client.AppsV1().Deployments(r.ns).Get(t.Context(), name, metav1.GetOptions{})
		if err == nil && d.Status.ObservedGeneration >= d.Generation && d.Status.AvailableReplicas == *d.Spec.Replicas && d.Status.Replicas == *d.Spec.Replicas {
			return
		}
		if time.Now().After(give) {
			t.Fatalf("%s is not rolled out: %+v, %v", name, d, err)
		}
	}
}

// as gives the strategy of a user whose kubeconfig that is.
func (r real) as(t *testing.T, kubeconfig string) (steps.Strategy, steps.Order) {
	t.Helper()
	env := blueGreenEnv()
	env.Name, env.Production, env.Namespace, env.Image, env.Kubeconfig = "production", true, r.ns, "registry.local/shop:{version}", kubeconfig
	return kube.Strategies(kube.Connect, nil, kube.Preview{}, nil)["blue-green"],
		steps.Order{ID: "r1", Environment: env, Version: "v1.2.4", Previous: "v1.2.3", Incident: "INC-20261122-01"}
}

func (r real) patch(t *testing.T, deployment, manager string, how types.PatchType, patch string) {
	t.Helper()
	force := how == types.ApplyPatchType
	opts := metav1.PatchOptions{FieldManager: manager}
	if force {
		opts.Force = &force
	}
	if _, err := r.client.AppsV1().Deployments(r.ns).Patch(t.Context(), deployment, how, []byte(patch), opts); err != nil {
		t.Fatal(err)
	}
}

// TestRealRights: what the API server's own RBAC denies is found by the proof, and what
// the proof calls ready works.
func TestRealRights(t *testing.T) {
	t.Parallel()
	r := newReal(t)
	rules := everyday[1:] // kube-system may not be read: the cluster goes by its address
	st, order := r.as(t, r.c.User(t, r.ns, rules...))
	p, err := st.Plan(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := st.Prove(t.Context(), p, false)
	if err != nil || proof.Ready != state.NotReady || !strings.Contains(proof.Why, "right to patch Service app-service: denied") || !strings.Contains(proof.Why, `cannot patch resource "services"`) {
		t.Errorf("Deployments alone: %s %q, %v", proof.Ready, proof.Why, err)
	}
	for _, f := range proof.Checks {
		if f.Name == "right to patch Deployment app-blue" && !f.OK || f.Name == "credentials" && !strings.Contains(f.Text, "the client certificate expires at") {
			t.Errorf("%+v", f)
		}
	}
	rules = append(rules, rbacv1.PolicyRule{Verbs: []string{"patch"}, APIGroups: []string{""}, Resources: []string{"services"}, ResourceNames: []string{"app-service"}})
	st, order = r.as(t, r.c.User(t, r.ns, rules...))
	if p, err = st.Plan(t.Context(), order); err != nil {
		t.Fatal(err)
	}
	if proof, err = st.Prove(t.Context(), p, false); err != nil || proof.Ready == state.NotReady {
		t.Fatalf("all it needs: %s %q, %v", proof.Ready, proof.Why, err)
	}
	for i := range p.Stages {
		if _, err := st.Stage(t.Context(), p, i, fence(0), t.Output()); err != nil {
			t.Fatalf("stage %q: %v", p.Stages[i].Name, err)
		}
	}
	if v, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Errorf("rollback: %v, %+v", err, v)
	}
}

// TestRealOwners: managedFields as the API server itself writes them.
func TestRealOwners(t *testing.T) {
	t.Parallel()
	r := newReal(t)
	st, order := r.as(t, r.c.Kubeconfig)
	warnings := func() string {
		p, err := st.Plan(t.Context(), order)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(p.Warnings, "|")
	}
	if got := warnings(); !strings.Contains(got, "Helm will take back what this rollout changes: it keeps image of containers[app] and replicas of Deployment app-green;") {
		t.Errorf("made by helm: %s", got)
	}
	applied := `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"app-green","labels":{"kustomize.toolkit.fluxcd.io/name":"shop","kustomize.toolkit.fluxcd.io/namespace":"flux-system"}},
"spec":{"template":{"spec":{"containers":[{"name":"app","image":"registry.local/shop:v1.2.3-flux"}]}}}}`
	r.patch(t, "app-green", "kustomize-controller", types.ApplyPatchType, applied)
	got := warnings()
	if !strings.Contains(got, "Flux (kustomization shop) will take back what this rollout changes: it keeps image of containers[app] of Deployment app-green; by itself at its next reconciliation. First: flux suspend kustomization shop -n flux-system") {
		t.Errorf("applied by flux: %s", got)
	}
	if !strings.Contains(got, "Helm will take back what this rollout changes: it keeps replicas of Deployment app-green;") {
		t.Errorf("helm has lost the image, not the replicas: %s", got)
	}
	p, err := st.Plan(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Stage(t.Context(), p, 0, fence(0), t.Output()); err != nil {
		t.Fatal(err)
	}
	if proof, err := st.Prove(t.Context(), p, true); err != nil || !strings.Contains(minds(proof), "flux suspend kustomization shop") || strings.Contains(proof.Why, "who else") {
		t.Errorf("under way: %s %q, to mind: %s, %v", proof.Ready, proof.Why, minds(proof), err)
	}
}

// TestRealQuota: the admission of the API server refuses the pods; the proof knew.
func TestRealQuota(t *testing.T) {
	t.Parallel()
	r := newReal(t)
	quotas := r.client.CoreV1().ResourceQuotas(r.ns)
	if _, err := quotas.Create(t.Context(), &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "team"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"pods": quantity.MustParse("3")}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for give := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		q, err := quotas.Get(t.Context(), "team", metav1.GetOptions{})
		if err == nil && q.Status.Used.Pods().Value() == 2 {
			break
		}
		if time.Now().After(give) {
			t.Fatalf("the quota is not counted: %+v, %v", q, err)
		}
	}
	st, order := r.as(t, r.c.Kubeconfig)
	p, err := st.Plan(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	if proof, err := st.Prove(t.Context(), p, false); err != nil || proof.Ready != state.Doubtful || !strings.Contains(proof.Why, "the rollout needs 2 more pods, 1 left") {
		t.Errorf("%s %q, %v", proof.Ready, proof.Why, err)
	}
	if _, err := st.Stage(t.Context(), p, 0, fence(0), t.Output()); !state.HasCode(err, "quota") || !strings.Contains(err.Error(), "exceeded quota: team") {
		t.Errorf("the stage: %v", err)
	}
	if _, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil {
		t.Errorf("rollback: %v", err)
	}
}

// TestRealHistory: the controller removes what the proof says it would.
func TestRealHistory(t *testing.T) {
	t.Parallel()
	for limit, c := range map[int32]struct {
		want state.Readiness
		left int
	}{1: {state.NotReady, 0}, 2: {state.Ready, 1}} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			t.Parallel()
			r := newReal(t)
			// v1.2.3 serves; a broken v1.2.3-crash came after it and never got ready.
			r.patch(t, "app-blue", "kubectl", types.MergePatchType, fmt.Sprintf(`{"spec":{"revisionHistoryLimit":%d}}`, limit))
			r.patch(t, "app-blue", "kubectl", types.StrategicMergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"registry.local/shop:v1.2.3-crash"}]}}}}`)
			var target string
			for give := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				l, err := r.client.AppsV1().ReplicaSets(r.ns).List(t.Context(), metav1.ListOptions{LabelSelector: "version=blue"})
				if err == nil && len(l.Items) == 2 {
					break
				}
				if time.Now().After(give) {
					t.Fatalf("%v, %v", l, err)
				}
			}
			_, order := r.as(t, r.c.Kubeconfig)
			order.Environment.BlueGreen, order.Environment.Immediate = nil, &runbook.Immediate{Deployment: "app-blue"}
			st := kube.Strategies(kube.Connect, nil, kube.Preview{}, nil)["immediate"]
			p, err := st.Plan(t.Context(), order)
			if err != nil {
				t.Fatal(err)
			}
			target = p.Revision
			proof, err := st.Prove(t.Context(), p, false)
			said := strings.Contains(proof.Why, "revisionHistoryLimit")
			if err != nil || said != (c.want == state.NotReady) || c.want == state.NotReady && proof.Ready != c.want {
				t.Errorf("%s %q, %v", proof.Ready, proof.Why, err)
			}
			if _, err := st.Stage(t.Context(), p, 0, fence(0), t.Output()); err != nil {
				t.Fatal(err)
			}
			kept := func() int {
				_, err := r.client.AppsV1().ReplicaSets(r.ns).Get(t.Context(), target, metav1.GetOptions{})
				if err != nil {
					return 0
				}
				return 1
			}
			for give := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				l, err := r.client.AppsV1().ReplicaSets(r.ns).List(t.Context(), metav1.ListOptions{LabelSelector: "version=blue"})
				if err == nil && len(l.Items) == int(limit)+1 { // the controller has cleaned up
					break
				}
				if time.Now().After(give) {
					t.Fatalf("%d ReplicaSets, %v", len(l.Items), err)
				}
			}
			if got := kept(); got != c.left {
				t.Errorf("limit %d: %d of the target left, want %d", limit, got, c.left)
			}
		})
	}
}

// TestRealTrouble: pods that cannot start fail the stage as soon as their status says
// so, minutes before the progress deadline; the way back is open.
func TestRealTrouble(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ version, says string }{{"v1.2.4-crash", "CrashLoopBackOff"}, {"v1.2.4-nopull", "ImagePull"}, {"v1.2.4", "Unschedulable"}} {
		t.Run(c.says, func(t *testing.T) {
			t.Parallel()
			r := newReal(t)
			if c.says == "Unschedulable" {
				r.patch(t, "app-green", "kubectl", types.StrategicMergePatchType, `{"spec":{"template":{"spec":{"containers":[{"name":"app","resources":{"requests":{"cpu":"10k"}}}]}}}}`)
			}
			st, order := r.as(t, r.c.Kubeconfig)
			order.Version = c.version
			p, err := st.Plan(t.Context(), order)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if _, err := st.Stage(t.Context(), p, 0, fence(0), t.Output()); !state.HasCode(err, "pod") || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "app-blue") {
				t.Errorf("%v", err)
			}
			t.Logf("seen after %v", time.Since(began))
			if _, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil {
				t.Errorf("rollback: %v", err)
			}
		})
	}
}
