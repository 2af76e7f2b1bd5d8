package kube_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"mayday/state"
)

// TestRealWebhook: where an admission webhook forbids dry runs, the plan cannot be tried.
// That is no reason not to roll out, or back; it is a doubt, and is said.
func TestRealWebhook(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		effects registrationv1.SideEffectClass
		says    string
	}{
		// The API server does not ask such a webhook at all. Since Kubernetes 1.22 none can be
		// made; those from before are still there.
		"declares side effects": {registrationv1.SideEffectClassSome, `admission webhook "deployments.example.com" does not support dry run`},
		"refuses to be tried":   {registrationv1.SideEffectClassNone, `admission webhook "deployments.example.com" denied the request: no dry-run here`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReal(t)
			r.webhook(t, c.effects)
			st, order := r.as(t, r.c.Kubeconfig)
			p, err := st.Plan(t.Context(), order)
			if err != nil {
				t.Fatal(err)
			}
			const untried = "rollback of Deployment app-blue: not tried, an admission webhook forbids dry runs: "
			var proof state.Proof
			for give := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) { // the API server hears of it over a watch
				if proof, err = st.Prove(t.Context(), p, false); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(proof.Why, untried) && strings.Contains(proof.Why, c.says) || time.Now().After(give) {
					break
				}
			}
			if proof.Ready != state.Doubtful || !strings.Contains(proof.Why, untried) || !strings.Contains(proof.Why, c.says) {
				t.Errorf("%s %q", proof.Ready, proof.Why)
			}
			for i := range 3 {
				if _, err := st.Stage(t.Context(), p, i, fence(0), t.Output()); err != nil {
					t.Fatalf("stage %q: %v", p.Stages[i].Name, err)
				}
			}
			if proof, err = st.Prove(t.Context(), p, true); err != nil || proof.Ready != state.Doubtful || !strings.Contains(proof.Why, c.says) {
				t.Errorf("under way: %s %q, %v", proof.Ready, proof.Why, err)
			}
			if _, err := st.Rollback(t.Context(), p, fence(1), quietly); err != nil {
				t.Errorf("rollback: %v", err)
			}
		})
	}
}

// webhook has the namespace's Deployments admitted by a webhook that has nothing against
// a write and refuses to let it be tried.
func (r real) webhook(t *testing.T, effects registrationv1.SideEffectClass) {
	t.Helper()
	hook := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(q.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		dry := review.Request.DryRun != nil && *review.Request.DryRun
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: !dry, Result: &metav1.Status{Message: "no dry-run here"}}
		_ = json.NewEncoder(w).Encode(review) // the API server says what it did not get
	}))
	hook.Config.ErrorLog = log.New(io.Discard, "", 0)
	hook.StartTLS()
	t.Cleanup(hook.Close)
	url, fail, equivalent, scope, seconds := hook.URL+"/", registrationv1.Fail, registrationv1.Equivalent, registrationv1.NamespacedScope, int32(10)
	config := &registrationv1.ValidatingWebhookConfiguration{TypeMeta: metav1.TypeMeta{APIVersion: "admissionregistration.k8s.io/v1", Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: r.ns, UID: types.UID(r.ns), CreationTimestamp: metav1.Now()}, Webhooks: []registrationv1.ValidatingWebhook{{
			Name: "deployments.example.com", SideEffects: &effects, AdmissionReviewVersions: []string{"v1"}, FailurePolicy: &fail, MatchPolicy: &equivalent, TimeoutSeconds: &seconds,
			ClientConfig: registrationv1.WebhookClientConfig{URL: &url,
				CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hook.Certificate().Raw})},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": r.ns}}, ObjectSelector: &metav1.LabelSelector{},
			Rules: []registrationv1.RuleWithOperations{{Operations: []registrationv1.OperationType{"UPDATE"},
				Rule: registrationv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}, Scope: &scope}}},
		}}}
	r.c.Store(t, "validatingwebhookconfigurations/"+r.ns, config)
	t.Cleanup(func() {
		_ = r.client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Delete(context.Background(), r.ns, metav1.DeleteOptions{}) // its namespace goes too
	})
}
