package cluster

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

func code(err error) int32 {
	if st, ok := err.(apierrors.APIStatus); ok {
		return st.Status().Code
	}
	return 0
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// made creates a Deployment of 2 without a kubelet: it stays as it is written.
func made(t *testing.T) (*Cluster, *kubernetes.Clientset, *appsv1.Deployment) {
	c, client := start(t)
	d := must[*appsv1.Deployment](t)(client.AppsV1().Deployments("shop").Create(t.Context(), deployment("app", 2, "shop:v1"), metav1.CreateOptions{FieldManager: "mayday"}))
	return c, client, d
}

func TestCreateFillsInWhatTheServerOwns(t *testing.T) {
	_, client, d := made(t)
	if d.UID == "" || d.Generation != 1 || d.CreationTimestamp.IsZero() || d.ResourceVersion == "" {
		t.Errorf("metadata not filled in: %+v", d.ObjectMeta)
	}
	if *d.Spec.RevisionHistoryLimit != 10 || *d.Spec.ProgressDeadlineSeconds != 600 || d.Spec.Strategy.RollingUpdate.MaxSurge.String() != "25%" {
		t.Errorf("defaults not filled in: %+v", d.Spec)
	}
	if m := d.ManagedFields; len(m) != 1 || m[0].Manager != "mayday" || m[0].Operation != metav1.ManagedFieldsOperationUpdate || m[0].Time.IsZero() ||
		!strings.Contains(m[0].FieldsV1.GetRawString(), `"f:replicas"`) {
		t.Errorf("managed fields: %+v", m)
	}
	if _, err := client.AppsV1().Deployments("shop").Create(t.Context(), deployment("app", 2, "shop:v1"), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("a second one of the name: %v", err)
	}
	if _, err := client.AppsV1().Deployments("nowhere").Create(t.Context(), func() *appsv1.Deployment { d := deployment("app", 1, "x"); d.Namespace = ""; return d }(), metav1.CreateOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("in a namespace that is not there: %v", err)
	}
}

func TestUpdateWithAnOldVersionConflicts(t *testing.T) {
	_, client, _ := made(t)
	api := client.AppsV1().Deployments("shop")
	first := waitDeployment(t, client, "app", func(d *appsv1.Deployment) bool { return d.Status.Replicas == 2 })
	stale := first.DeepCopy()
	first.Spec.Paused = true
	first.Status.Replicas = 99
	second := must[*appsv1.Deployment](t)(api.Update(t.Context(), first, metav1.UpdateOptions{}))
	if second.Generation != first.Generation+1 || second.Status.Replicas != 2 {
		t.Errorf("generation %d, status.replicas %d after a change of the spec", second.Generation, second.Status.Replicas)
	}
	stale.Labels["x"] = "y"
	if _, err := api.Update(t.Context(), stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("a write of an old version: %v", err)
	}
	labelled := must[*appsv1.Deployment](t)(api.Patch(t.Context(), "app", types.MergePatchType, []byte(`{"metadata":{"labels":{"x":"y"}}}`), metav1.PatchOptions{}))
	if labelled.Generation != second.Generation {
		t.Error("a label raised the generation")
	}
	annotated := must[*appsv1.Deployment](t)(api.Patch(t.Context(), "app", types.MergePatchType, []byte(`{"metadata":{"annotations":{"x":"y"}}}`), metav1.PatchOptions{}))
	if annotated.Generation != second.Generation+1 {
		t.Error("an annotation did not raise the generation of a Deployment")
	}
	same := must[*appsv1.Deployment](t)(api.Patch(t.Context(), "app", types.MergePatchType, []byte(`{"metadata":{"labels":{"x":"y"}}}`), metav1.PatchOptions{FieldManager: "other"}))
	if same.ManagedFields[0].Manager == "other" || strings.Contains(same.String(), "other") {
		t.Error("a patch that changes nothing was written")
	}
}

func TestPatches(t *testing.T) {
	c, client, _ := made(t)
	api := client.AppsV1().Deployments("shop")
	fence := `{"metadata":{"annotations":{"mayday.dev/fence":"INC-1/1"}}}`
	must[*appsv1.Deployment](t)(api.Patch(t.Context(), "app", types.MergePatchType, []byte(fence), metav1.PatchOptions{}))
	guarded := func(epoch string) []byte {
		return []byte(`[{"op":"test","path":"/metadata/annotations/mayday.dev~1fence","value":"INC-1/` + epoch + `"},{"op":"replace","path":"/spec/replicas","value":3}]`)
	}
	if _, err := api.Patch(t.Context(), "app", types.JSONPatchType, guarded("2"), metav1.PatchOptions{}); code(err) != http.StatusUnprocessableEntity {
		t.Errorf("a test that fails: %v", err)
	}
	if d := must[*appsv1.Deployment](t)(api.Patch(t.Context(), "app", types.JSONPatchType, guarded("1"), metav1.PatchOptions{})); *d.Spec.Replicas != 3 {
		t.Errorf("replicas %d", *d.Spec.Replicas)
	}
	image := []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"shop:v2"}]}}}}`)
	d := must[*appsv1.Deployment](t)(api.Patch(t.Context(), "app", types.StrategicMergePatchType, image, metav1.PatchOptions{}))
	if got := d.Spec.Template.Spec.Containers; len(got) != 1 || got[0].Image != "shop:v2" || len(got[0].Ports) != 1 {
		t.Errorf("a strategic patch did not merge by name: %+v", got)
	}
	if _, err := api.Patch(t.Context(), "app", types.ApplyYAMLPatchType, []byte(`{}`), metav1.PatchOptions{FieldManager: "x"}); code(err) != http.StatusNotImplemented {
		t.Errorf("server-side apply: %v", err)
	}
	_, err := dynamic.NewForConfigOrDie(c.Config()).Resource(routes).Namespace("shop").Patch(t.Context(), "app", types.StrategicMergePatchType, []byte(`{}`), metav1.PatchOptions{})
	if code(err) != http.StatusUnsupportedMediaType {
		t.Errorf("a strategic patch of a custom resource: %v", err)
	}
}

var routes = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1beta1", Resource: "virtualservices"}

func TestValidationErrorsNameTheField(t *testing.T) {
	_, client, _ := made(t)
	api := client.AppsV1().Deployments("shop")
	for patch, field := range map[string]string{
		`{"spec":{"replicas":-1}}`: "spec.replicas",
		`{"spec":{"selector":{"matchLabels":{"app":"app","a":"b"}},"template":{"metadata":{"labels":{"a":"b"}}}}}`: "spec.selector",
		`{"spec":{"template":{"spec":{"containers":[{"name":"app","image":""}]}}}}`:                                "spec.template.spec.containers[0].image",
		`{"spec":{"strategy":{"rollingUpdate":{"maxSurge":0,"maxUnavailable":0}}}}`:                                "spec.strategy.rollingUpdate.maxUnavailable",
		`{"spec":{"strategy":{"rollingUpdate":{"maxSurge":"lots"}}}}`:                                              "spec.strategy.rollingUpdate.maxSurge",
	} {
		_, err := api.Patch(t.Context(), "app", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{DryRun: []string{"All"}})
		var fields []string
		if st, ok := err.(apierrors.APIStatus); ok && st.Status().Details != nil {
			for _, cause := range st.Status().Details.Causes {
				fields = append(fields, cause.Field)
			}
		}
		if !apierrors.IsInvalid(err) || !slices.Contains(fields, field) {
			t.Errorf("%s: want %s refused, got %v %v", patch, field, fields, err)
		}
	}
	_, err := api.Patch(t.Context(), "app", types.MergePatchType, []byte(`{"spec":{"replcas":1}}`), metav1.PatchOptions{FieldValidation: "Strict"})
	if !apierrors.IsBadRequest(err) || !strings.Contains(err.Error(), `unknown field "spec.replcas"`) {
		t.Errorf("a typing error under strict validation: %v", err)
	}
}

func TestDryRunStoresNothing(t *testing.T) {
	c, client, _ := made(t)
	dry := []string{metav1.DryRunAll}
	waitDeployment(t, client, "app", func(d *appsv1.Deployment) bool { return d.Status.Replicas == 2 })
	before := c.server.store.version()
	api := client.AppsV1().Deployments("shop")
	if d := must[*appsv1.Deployment](t)(api.Create(t.Context(), deployment("other", 1, "x"), metav1.CreateOptions{DryRun: dry})); d.UID == "" || *d.Spec.RevisionHistoryLimit != 10 {
		t.Error("a dry run answers with what would be")
	}
	d := must[*appsv1.Deployment](t)(api.Patch(t.Context(), "app", types.MergePatchType, []byte(`{"spec":{"replicas":5}}`), metav1.PatchOptions{DryRun: dry}))
	if *d.Spec.Replicas != 5 {
		t.Errorf("replicas %d", *d.Spec.Replicas)
	}
	if err := api.Delete(t.Context(), "app", metav1.DeleteOptions{DryRun: dry}); err != nil {
		t.Error(err)
	}
	if after := c.server.store.version(); after != before {
		t.Errorf("a dry run wrote: version %d, was %d", after, before)
	}
	if _, err := api.Patch(t.Context(), "app", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{DryRun: []string{"Some"}}); !apierrors.IsBadRequest(err) {
		t.Errorf("dryRun=Some: %v", err)
	}
}

func TestCustomResourcesInBothVersions(t *testing.T) {
	c, _ := start(t)
	api := dynamic.NewForConfigOrDie(c.Config()).Resource(routes).Namespace("shop")
	patch := `[{"op":"test","path":"/spec/http/0/route/1/weight","value":0},{"op":"replace","path":"/spec/http/0/route/0/weight","value":75},{"op":"replace","path":"/spec/http/0/route/1/weight","value":25}]`
	vs := must[*unstructured.Unstructured](t)(api.Patch(t.Context(), "app", types.JSONPatchType, []byte(patch), metav1.PatchOptions{FieldManager: "mayday"}))
	if vs.GetAPIVersion() != "networking.istio.io/v1beta1" || vs.GetGeneration() != 2 {
		t.Errorf("%s generation %d", vs.GetAPIVersion(), vs.GetGeneration())
	}
	stored, _ := c.server.store.get(virtualServices, "shop", "app")
	if !strings.Contains(string(stored.raw), `"apiVersion":"networking.istio.io/v1"`) || !strings.Contains(string(stored.raw), `"weight":25`) {
		t.Errorf("stored: %s", stored.raw)
	}
	bad := `[{"op":"replace","path":"/spec/http/0/route/0/weight","value":"many"}]`
	if _, err := api.Patch(t.Context(), "app", types.JSONPatchType, []byte(bad), metav1.PatchOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a weight that is no number: %v", err)
	}
}

func TestEverythingInTheTableIsServedAndNothingElse(t *testing.T) {
	c, client := start(t)
	rc := client.Discovery().RESTClient()
	for _, v := range Verbs() {
		if v.sub != "" || !v.does("list") {
			continue
		}
		path := "/apis/" + v.GroupVersion() + "/" + v.Resource
		if v.Group == "" {
			path = "/api/v1/" + v.Resource
		}
		if err := rc.Get().AbsPath(path).Do(t.Context()).Error(); err != nil {
			t.Errorf("GET %s: %v", path, err)
		}
	}
	for _, path := range []string{"/apis/batch/v1/jobs", "/api/v1/namespaces/shop/pods/x/log", "/api/v1/serviceaccounts", "/metrics"} {
		if err := rc.Get().AbsPath(path).Do(t.Context()).Error(); code(err) != http.StatusNotImplemented {
			t.Errorf("GET %s: %v", path, err)
		}
	}
	if err := client.CoreV1().Pods("shop").DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); code(err) != http.StatusNotImplemented {
		t.Errorf("deletecollection: %v", err)
	}
	for _, row := range []string{"deployments/scale", "statefulsets/scale", "controllerrevisions"} {
		if !strings.Contains(VerbTable(), row) {
			t.Errorf("no %s in\n%s", row, VerbTable())
		}
	}
	preferred := map[string]bool{}
	for _, l := range must[[]*metav1.APIResourceList](t)(client.Discovery().ServerPreferredResources()) {
		for _, r := range l.APIResources {
			preferred[l.GroupVersion+" "+r.Name] = true
		}
	}
	if !preferred["networking.istio.io/v1 virtualservices"] || preferred["networking.istio.io/v1beta1 virtualservices"] || !preferred["v1 pods"] {
		t.Errorf("preferred: %v", preferred)
	}
	anonymous := c.Config()
	anonymous.BearerToken = "guess"
	if _, err := kubernetes.NewForConfigOrDie(anonymous).CoreV1().Pods("shop").List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("a wrong token: %v", err)
	}
}

func TestAccessReviewNodeAndKubeSystem(t *testing.T) {
	_, client := start(t)
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "patch", Resource: "deployments", Group: "apps"}}}
	got := must[*authorizationv1.SelfSubjectAccessReview](t)(client.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), review, metav1.CreateOptions{}))
	if !got.Status.Allowed || got.Spec.ResourceAttributes.Verb != "patch" {
		t.Errorf("%+v", got)
	}
	if ns := must[*corev1.Namespace](t)(client.CoreV1().Namespaces().Get(t.Context(), "kube-system", metav1.GetOptions{})); ns.UID == "" {
		t.Error("kube-system names the cluster by its UID")
	}
}

func TestStartNamesARefusedObject(t *testing.T) {
	_, err := Start(context.Background(), Options{Objects: append(shop(), deployment("App", 1, ""))[1:]})
	if err == nil || !strings.Contains(err.Error(), `initial Service shop/app-stable: namespaces "shop" not found`) {
		t.Errorf("%v", err)
	}
}
