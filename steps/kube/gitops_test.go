package kube

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// managed is a Deployment as an API server shows it, with who wrote what.
func managed(t *testing.T, meta, fields string) *unstructured.Unstructured {
	t.Helper()
	return route2(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: app, namespace: shop, `+meta+`, managedFields: [`+fields+`]},
spec: {replicas: 3, template: {spec: {containers: [{name: side, image: "s:1"}, {name: app, image: "shop:v1"}]}}}}`)
}

func entry(manager, operation, set string) string {
	return `{manager: ` + manager + `, operation: ` + operation + `, apiVersion: apps/v1, fieldsType: FieldsV1, fieldsV1: ` + set + `}`
}

const (
	imageOfApp  = `{"f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"app"}': {".": {}, "f:name": {}, "f:image": {}}}}}}}`
	imageOfSide = `{"f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"side"}': {".": {}, "f:image": {}}}}}}}`
	onlyLabels  = `{"f:metadata": {"f:labels": {"f:app": {}}}}`
)

// TestWhoTakesItBack: each tool is known by its field manager or by what it writes on
// the objects, and the plan says what to do about it.
func TestWhoTakesItBack(t *testing.T) {
	const image, replicas = "/spec/template/spec/containers/1/image", "/spec/replicas"
	for _, c := range []struct {
		name, meta, fields string
		paths              []string
		want               string // "" nobody
	}{
		{name: "nobody", meta: `labels: {app: app}`, fields: entry("kubectl-client-side-apply", "Update", imageOfApp), paths: []string{image}},
		{name: "nothing is changed there", meta: `labels: {app: app}`, fields: entry("argocd-controller", "Apply", imageOfApp)},
		{name: "argo by its fields", meta: `labels: {argocd.argoproj.io/instance: shop}`, fields: entry("argocd-controller", "Apply", imageOfApp), paths: []string{image, replicas},
			want: "Argo CD (application shop) will take back what this rollout changes: it keeps image of containers[app] of Deployment app; by itself within minutes where self-heal is on, else at its next sync. First: argocd app set shop --sync-policy none"},
		{name: "argo of another namespace", meta: `annotations: {argocd.argoproj.io/tracking-id: "team_shop:apps/Deployment:shop/app"}`, fields: entry("argocd-application-controller", "Update", imageOfApp), paths: []string{image},
			want: "argocd app set team/shop --sync-policy none"},
		{name: "argo applies as kubectl does", meta: `annotations: {argocd.argoproj.io/tracking-id: "shop:apps/Deployment:shop/app", kubectl.kubernetes.io/last-applied-configuration: '{"spec":{"template":{"spec":{"containers":[{"name":"app","image":"shop:v1"}]}}}}'}`,
			paths: []string{image, replicas}, want: "it keeps image of containers[app] of Deployment app;"},
		{name: "another container's", meta: `labels: {kustomize.toolkit.fluxcd.io/name: shop, kustomize.toolkit.fluxcd.io/namespace: flux-system}`, fields: entry("kustomize-controller", "Apply", imageOfSide), paths: []string{image},
			want: "Flux (kustomization shop) will take back what this rollout changes: it keeps Deployment app;"},
		{name: "flux", meta: `labels: {kustomize.toolkit.fluxcd.io/name: shop, kustomize.toolkit.fluxcd.io/namespace: flux-system}`, fields: entry("kustomize-controller", "Apply", imageOfApp), paths: []string{image},
			want: "by itself at its next reconciliation. First: flux suspend kustomization shop -n flux-system"},
		{name: "flux by its fields alone", meta: `labels: {app: app}`, fields: entry("kustomize-controller", "Apply", imageOfApp), paths: []string{image}, want: "flux suspend kustomization NAME"},
		{name: "flux runs helm", meta: `labels: {helm.toolkit.fluxcd.io/name: shop, helm.toolkit.fluxcd.io/namespace: apps, app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: shop}`,
			fields: entry("helm-controller", "Update", imageOfApp), paths: []string{image}, want: "flux suspend helmrelease shop -n apps"},
		{name: "helm", meta: `labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: shop}`, fields: entry("helm", "Update", imageOfApp), paths: []string{image},
			want: "Helm (release shop) will take back what this rollout changes: it keeps image of containers[app] of Deployment app; at the next helm upgrade of shop."},
		{name: "a chart that somebody else renders", meta: `labels: {app.kubernetes.io/managed-by: Helm}`, fields: entry("kubectl", "Apply", imageOfApp), paths: []string{image}},
		{name: "all of spec", meta: `labels: {app: app}`, fields: entry("helm", "Apply", imageOfApp), paths: []string{"/spec"}, want: "keeps spec of Deployment app"},
		{name: "not of spec", meta: `labels: {app: app}`, fields: entry("helm", "Apply", onlyLabels), paths: []string{"/spec"}, want: "keeps Deployment app;"},
		{name: "escapes", meta: `annotations: {argocd.argoproj.io/tracking-id: "a\u001b[2Jb c:apps/Deployment:shop/app"}`, paths: []string{image}, want: "'ab c'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := deployment("shop", "app")
			got := strings.Join(world{o: managed(t, c.meta, c.fields)}.warnings([]ref{o}, map[ref][]string{o: c.paths}), "|")
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) || strings.Contains(got, "\x1b") {
				t.Errorf("says %q, want %q", got, c.want)
			}
		})
	}
}

// TestOwnedListElements: the API server names the elements of some lists by their keys,
// of others by index or value, and takes the rest as one field.
func TestOwnedListElements(t *testing.T) {
	live := route2(t, `{kind: X, metadata: {annotations: {a/b: c}}, spec: {http: [{route: [{weight: 90}]}], ports: [{port: 80, protocol: TCP}], list: [a, b]}}`)
	for _, c := range []struct {
		set, path string
		want      bool
	}{
		{`{"f:spec": {"f:http": {}}}`, "/spec/http/0/route/0/weight", true},
		{`{"f:spec": {"f:hosts": {}}}`, "/spec/http/0/route/0/weight", false},
		{`{"f:spec": {"f:ports": {'k:{"port":80,"protocol":"TCP"}': {"f:port": {}}}}}`, "/spec/ports/0/port", true},
		{`{"f:spec": {"f:ports": {'k:{"port":81,"protocol":"TCP"}': {"f:port": {}}}}}`, "/spec/ports/0/port", false},
		{`{"f:spec": {"f:list": {'v:"b"': {}}}}`, "/spec/list/1", true},
		{`{"f:spec": {"f:list": {'v:"b"': {}}}}`, "/spec/list/0", false},
		{`{"f:spec": {"f:list": {"i:0": {}}}}`, "/spec/list/0", true},
		{`{"f:spec": {"f:list": {"i:0": {}}}}`, "/spec/list/7", false},
		{`{"f:metadata": {"f:annotations": {"f:a/b": {}}}}`, "/metadata/annotations/a~1b", true},
	} {
		if got := covers(route2(t, "{kind: X, set: "+c.set+"}").Object["set"].(map[string]any), pointer(c.path), live.Object); got != c.want {
			t.Errorf("%s owns %s: %t", c.set, c.path, got)
		}
	}
}
