package kubetest_test

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

	admissionv1 "k8s.io/api/admission/v1"
	registrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mayday/steps/kube/kubetest"
)

// A test's own webhook on loopback is asked, for dry runs too: this one has nothing
// against a write and refuses to let it be tried.
func TestWebhook(t *testing.T) {
	t.Parallel()
	c := kubetest.Shared(t)
	ns, client := c.Namespace(t), typed(t, c)
	hook := httptest.NewUnstartedServer(http.HandlerFunc(noDryRuns))
	hook.Config.ErrorLog = log.New(io.Discard, "", 0)
	hook.StartTLS()
	t.Cleanup(hook.Close)
	url, none := hook.URL+"/", registrationv1.SideEffectClassNone
	config := &registrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: ns}, Webhooks: []registrationv1.ValidatingWebhook{{
		Name: "deployments.example.com", SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
		ClientConfig: registrationv1.WebhookClientConfig{URL: &url,
			CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hook.Certificate().Raw})},
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": ns}},
		Rules: []registrationv1.RuleWithOperations{{Operations: []registrationv1.OperationType{"CREATE"},
			Rule: registrationv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}}}},
	}}}
	webhooks := client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	if _, err := webhooks.Create(t.Context(), config, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { webhooks.Delete(context.Background(), ns, metav1.DeleteOptions{}) })
	d := deployment("registry.local/shop:v1.2.3", 1)
	eventually(t, "the webhook refuses a dry run", func() bool {
		_, err := client.AppsV1().Deployments(ns).Create(t.Context(), d, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil && !strings.Contains(err.Error(), "no dry runs here") {
			t.Fatal(err)
		}
		return err != nil
	})
	create(t, client, ns, d)
}

func noDryRuns(w http.ResponseWriter, r *http.Request) {
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	dry := review.Request.DryRun != nil && *review.Request.DryRun
	review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: !dry, Result: &metav1.Status{Message: "no dry runs here"}}
	json.NewEncoder(w).Encode(review)
}
