package cluster

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// TestRights: a user does what the rules say and is told of the rest as RBAC tells it;
// a review of the same right agrees each time.
func TestRights(t *testing.T) {
	c, _, _ := made(t)
	client := kubernetes.NewForConfigOrDie(c.As("bob",
		rbacv1.PolicyRule{Verbs: []string{"get", "list", "watch"}, APIGroups: []string{"", "apps"}, Resources: []string{"*"}},
		rbacv1.PolicyRule{Verbs: []string{"patch"}, APIGroups: []string{"apps"}, Resources: []string{"deployments"}, ResourceNames: []string{"app"}}))
	patch := func(dry []string) error {
		_, err := client.CoreV1().Services("shop").Patch(t.Context(), "app-stable", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{DryRun: dry})
		return err
	}
	for _, dry := range [][]string{nil, {metav1.DryRunAll}} {
		if err := patch(dry); !apierrors.IsForbidden(err) ||
			err.Error() != `services "app-stable" is forbidden: User "bob" cannot patch resource "services" in API group "" in the namespace "shop"` {
			t.Errorf("patch of a Service, dry run %q: %v", dry, err)
		}
	}
	if _, err := client.AppsV1().Deployments("shop").Patch(t.Context(), "app", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{}); err != nil {
		t.Errorf("patch of the Deployment: %v", err)
	}
	if _, err := client.CoreV1().Pods("shop").Create(t.Context(), &corev1.Pod{}, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("create: %v", err)
	}
	for _, r := range []struct {
		a    authorizationv1.ResourceAttributes
		want bool
	}{
		{authorizationv1.ResourceAttributes{Verb: "patch", Resource: "services", Name: "app-stable", Namespace: "shop"}, false},
		{authorizationv1.ResourceAttributes{Verb: "patch", Group: "apps", Resource: "deployments", Name: "app", Namespace: "shop"}, true},
		{authorizationv1.ResourceAttributes{Verb: "patch", Group: "apps", Resource: "deployments", Name: "other", Namespace: "shop"}, false},
		{authorizationv1.ResourceAttributes{Verb: "patch", Group: "apps", Resource: "deployments", Namespace: "shop"}, false},
		{authorizationv1.ResourceAttributes{Verb: "watch", Resource: "pods", Namespace: "shop"}, true},
		{authorizationv1.ResourceAttributes{Verb: "get", Resource: "pods", Subresource: "proxy", Namespace: "shop"}, true},
	} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &r.a}}
		got := must[*authorizationv1.SelfSubjectAccessReview](t)(client.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{}))
		if got.Status.Allowed != r.want {
			t.Errorf("%+v: %+v", r.a, got.Status)
		}
	}
}

// TestProxy: requests reach the pods through the API server, the client's credentials
// do not.
func TestProxy(t *testing.T) {
	var got []string
	pod := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Method+" "+r.URL.String()+" "+r.Header.Get("Authorization")+r.Header.Get("X-Test"))
		if r.URL.Path == "/teapot" {
			w.WriteHeader(http.StatusTeapot)
		}
		w.Write([]byte("from the pod"))
	}))
	defer pod.Close()
	port := quantity.MustParse(pod.URL[strings.LastIndexByte(pod.URL, ':')+1:])
	_, client := start(t, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "app-1", Namespace: "shop", Labels: map[string]string{"app": "app-stable"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "shop:v1", Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: int32(port.Value())}}}}}})
	rc := client.CoreV1().RESTClient()
	at := func(kind, name, path string) string {
		return "/api/v1/namespaces/shop/" + kind + "/" + name + "/proxy" + path
	}
	if err := rc.Get().AbsPath(at("pods", "app-1:"+port.String(), "/")).Do(t.Context()).Error(); !apierrors.IsBadRequest(err) {
		t.Errorf("a pod without an address: %v", err)
	}
	if err := rc.Get().AbsPath(at("services", "app-stable:80", "/")).Do(t.Context()).Error(); !apierrors.IsServiceUnavailable(err) || !strings.Contains(err.Error(), "no endpoints available") {
		t.Errorf("a Service nobody is behind: %v", err)
	}
	ready := []byte(`{"status":{"phase":"Running","podIP":"127.0.0.1","conditions":[{"type":"Ready","status":"True"}]}}`)
	must[*corev1.Pod](t)(client.CoreV1().Pods("shop").Patch(t.Context(), "app-1", types.StrategicMergePatchType, ready, metav1.PatchOptions{}, "status"))
	raw := must[[]byte](t)(rc.Get().AbsPath(at("pods", "app-1:"+port.String(), "/health/")).Param("deep", "1").SetHeader("X-Test", "yes").Do(t.Context()).Raw())
	if string(raw) != "from the pod" || !slices.Equal(got, []string{"GET /health/?deep=1 yes"}) {
		t.Errorf("%q, the pod got %q", raw, got)
	}
	waitFor(t, "the endpoint", func() bool {
		return rc.Get().AbsPath(at("services", "http:app-stable:http", "/")).Do(t.Context()).Error() == nil
	})
	if err := rc.Post().AbsPath(at("services", "app-stable:80", "/teapot")).Do(t.Context()).Error(); code(err) != http.StatusTeapot {
		t.Errorf("what the pod answers is passed on: %v", err)
	}
	for name, want := range map[string]int32{"gone:80": http.StatusNotFound, "a:b:c:d": http.StatusBadRequest, "app-1:1": http.StatusServiceUnavailable} {
		if err := rc.Get().AbsPath(at("pods", name, "/")).Do(t.Context()).Error(); code(err) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestQuota: pods beyond it are refused, and the Deployment says so.
func TestQuota(t *testing.T) {
	hard := corev1.ResourceList{"pods": quantity.MustParse("2"), "requests.cpu": quantity.MustParse("1"), "configmaps": quantity.MustParse("1")}
	_, client := start(t, &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "team", Namespace: "shop"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}})
	d := deployment("app", 3, "shop:v1")
	d.Spec.Template.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": quantity.MustParse("400m")}
	must[*appsv1.Deployment](t)(client.AppsV1().Deployments("shop").Create(t.Context(), d, metav1.CreateOptions{}))
	waitFor(t, "two pods, and no third", func() bool {
		q, err := client.CoreV1().ResourceQuotas("shop").Get(t.Context(), "team", metav1.GetOptions{})
		used := q.Status.Used
		return err == nil && used.Pods().Value() == 2 && used.Name("requests.cpu", quantity.DecimalSI).String() == "800m"
	})
	waitDeployment(t, client, "app", func(d *appsv1.Deployment) bool {
		return slices.ContainsFunc(d.Status.Conditions, func(c appsv1.DeploymentCondition) bool {
			return c.Type == appsv1.DeploymentReplicaFailure && c.Reason == "FailedCreate" && strings.Contains(c.Message, "exceeded quota: team")
		})
	})
	waitFor(t, "an event of why", func() bool {
		l, err := client.CoreV1().Events("shop").List(t.Context(), metav1.ListOptions{})
		return err == nil && slices.ContainsFunc(l.Items, func(e corev1.Event) bool {
			return e.Reason == "FailedCreate" && strings.Contains(e.Message, "exceeded quota: team, requested: pods=1,requests.cpu=400m, used: pods=2,requests.cpu=800m, limited: pods=2,requests.cpu=1")
		})
	})
	more := []byte(`{"spec":{"hard":{"pods":"3","requests.cpu":"2"}}}`)
	must[*corev1.ResourceQuota](t)(client.CoreV1().ResourceQuotas("shop").Patch(t.Context(), "team", types.MergePatchType, more, metav1.PatchOptions{}))
	waitDeployment(t, client, "app", func(d *appsv1.Deployment) bool {
		return d.Status.Replicas == 3 && !slices.ContainsFunc(d.Status.Conditions, func(c appsv1.DeploymentCondition) bool { return c.Type == appsv1.DeploymentReplicaFailure })
	})
}

// waitFor looks again and again until ok says so.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for give := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(give) {
			t.Fatalf("never: %s", what)
		}
	}
}
