package kube

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"mayday/state"
	"mayday/steps"
)

func TestAdmit(t *testing.T) {
	mine := steps.Fence{Incident: "INC-1", Epoch: 2}
	for _, c := range []struct {
		name        string
		annotations map[string]string
		forward     bool
		backward    bool
	}{
		{"no fence", nil, true, true},
		{"a text that is no fence", map[string]string{FenceAnnotation: "hello"}, true, true},
		{"mine", map[string]string{FenceAnnotation: "INC-1/2"}, true, true},
		{"mine, closed", map[string]string{FenceAnnotation: "INC-1/2", ClosedAnnotation: "INC-1/2"}, true, true},
		{"older", map[string]string{FenceAnnotation: "INC-1/1"}, true, true},
		{"newer", map[string]string{FenceAnnotation: "INC-1/3"}, false, false},
		{"newer, though closed", map[string]string{FenceAnnotation: "INC-1/3", ClosedAnnotation: "INC-1/3"}, false, false},
		{"foreign and live", map[string]string{FenceAnnotation: "INC-2/9"}, false, true},
		{"foreign, an older fence closed", map[string]string{FenceAnnotation: "INC-2/9", ClosedAnnotation: "INC-2/8"}, false, true},
		{"foreign and closed", map[string]string{FenceAnnotation: "INC-2/9", ClosedAnnotation: "INC-2/9"}, true, true},
	} {
		for l, want := range map[lane]bool{forward: c.forward, backward: c.backward} {
			err := admit(deployment("shop", "app"), c.annotations, mine, l, "")
			if (err == nil) != want {
				t.Errorf("%s, lane %d: %v", c.name, l, err)
			}
			if err != nil && (!errors.Is(err, steps.ErrFenced) || !state.HasCode(err, "fenced")) {
				t.Errorf("%s: %v is no fence", c.name, err)
			}
		}
	}
}

// TestStaleWriter holds a write back between its read and its patch, as a stopped
// process would be, while a rollback raises the fence: the patch must not apply.
func TestStaleWriter(t *testing.T) {
	old, newer := steps.Fence{Incident: "INC-1"}, steps.Fence{Incident: "INC-1", Epoch: 1}
	for name, annotations := range map[string]map[string]string{
		"never fenced":      nil,
		"other annotations": {"a/b": "c"},
		"fenced before":     {FenceAnnotation: "INC-1/0"},
		"foreign, closed":   {FenceAnnotation: "INC-0/4", ClosedAnnotation: "INC-0/4"},
	} {
		u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment",
			"metadata": map[string]any{"name": "app"}, "spec": map[string]any{"replicas": int64(3)}}}
		u.SetAnnotations(annotations)
		ch := change{ref: deployment("shop", "app"), build: func(live *unstructured.Unstructured) ([]patchOp, error) {
			return set("/spec/replicas", int64(3), int64(5)), nil
		}}
		stale, err := ch.patchFor(u, old)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := simulate(u, stale); err != nil {
			t.Errorf("%s: undisturbed, the patch does not apply: %v", name, err)
		}
		tests, claim := raise(u.GetAnnotations(), newer, false)
		after, err := simulate(u, append(tests, claim...))
		if err != nil {
			t.Fatalf("%s: raising the fence: %v", name, err)
		}
		if _, err := simulate(after, stale); err == nil {
			t.Errorf("%s: a patch of the older epoch applied", name)
		}
	}
}

func TestTags(t *testing.T) {
	for image, want := range map[string]string{
		"registry.local:5000/shop:v1.2.3": "v1.2.3", "registry.local:5000/shop": "", "shop": "",
		"shop:v1@sha256:ab": "v1", "shop@sha256:ab": "",
	} {
		if got := tagOf(image); got != want {
			t.Errorf("tag of %s is %q, want %q", image, got, want)
		}
	}
	for image, want := range map[string]string{
		"registry.local:5000/shop:v1.2.3": "registry.local:5000/shop:v2", "shop@sha256:ab": "shop:v2", "r:5000/shop": "r:5000/shop:v2",
	} {
		if got := withTag(image, "v2"); got != want {
			t.Errorf("%s becomes %s, want %s", image, got, want)
		}
	}
}

func route2(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := new(unstructured.Unstructured)
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := u.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return u
}

const istio = `{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: app, namespace: shop}, spec: {http: [`

func TestRoutes(t *testing.T) {
	rt := route{Kind: "VirtualService", Name: "app", Stable: side{Service: "app-stable"}, Canary: side{Service: "app-canary"}}
	pair := `{route: [{destination: {host: app-stable}, weight: 90}, {destination: {host: app-canary.shop.svc.cluster.local}, weight: 10}]}`
	for _, c := range []struct{ name, rules, want string }{
		{"one rule", pair, ""},
		{"with rules that are not ours", `{match: [{uri: {regex: "/a.*"}}], route: [{destination: {host: app-canary}}], mirror: {host: x}}, ` + pair, ""},
		{"none", `{route: [{destination: {host: app-stable}}]}`, "no rule names both"},
		{"canary in another namespace", `{route: [{destination: {host: app-stable}, weight: 100}, {destination: {host: app-canary.test.svc}}]}`, "no rule names both"},
		{"two", pair + "," + pair, "2 rules"},
		{"a third", `{route: [{destination: {host: app-stable}, weight: 90}, {destination: {host: app-canary}, weight: 5}, {destination: {host: x}, weight: 5}]}`, "third destination"},
		{"weights of 120", `{route: [{destination: {host: app-stable}, weight: 110}, {destination: {host: app-canary}, weight: 10}]}`, "sum to 120"},
	} {
		at, err := rt.places(route2(t, istio+c.rules+"]}}"))
		if err == nil {
			err = at.steerable(rt)
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestShareTouchesOnlyWeights(t *testing.T) {
	rt := route{Kind: "VirtualService", Name: "app", Stable: side{Service: "app", Subset: "v1"}, Canary: side{Service: "app", Subset: "v2"}}
	u := route2(t, istio+`{name: other, timeout: 3s}, {route: [{destination: {host: app, subset: v1}}, {destination: {host: app, subset: v2}, weight: 0}], retries: {attempts: 2}}]}}`)
	at, err := rt.places(u)
	if err != nil || at.stable.weight != 0 {
		t.Fatalf("%+v, %v", at, err)
	}
	ops := rt.weigh(u, at, 25)
	after, err := simulate(u, ops)
	if err != nil {
		t.Fatal(err)
	}
	want := "--- VirtualService/shop/app\n+++ VirtualService/shop/app\n" +
		"@@ spec.http[1].route[0].weight @@\n+75\n@@ spec.http[1].route[1].weight @@\n-0\n+25\n"
	if got := diff(rt.ref("shop"), u, after); got != want {
		t.Errorf("diff:\n%s\nwant:\n%s", got, want)
	}
	moved := route2(t, istio+`{route: [{destination: {host: app, subset: v1}}, {destination: {host: app, subset: v2}, weight: 0}]}]}}`)
	if _, err := simulate(moved, ops); err == nil {
		t.Error("the patch applied although the rule moved to another index")
	}
	if _, err := rt.shareOps(after, 50, 10, 50); !state.HasCode(err, "drift") {
		t.Errorf("from a share of 25, planned was 10: %v", err)
	}
}

func TestRolledOut(t *testing.T) {
	three := int32(3)
	base := func() *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "app", Generation: 2}, Spec: appsv1.DeploymentSpec{Replicas: &three},
			Status: appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 3}}
	}
	for _, c := range []struct {
		name string
		edit func(*appsv1.Deployment)
		done bool
		fail bool
	}{
		{"complete", func(*appsv1.Deployment) {}, true, false},
		{"not seen", func(d *appsv1.Deployment) { d.Generation = 3 }, false, false},
		{"not updated", func(d *appsv1.Deployment) { d.Status.UpdatedReplicas = 2 }, false, false},
		{"an old pod left", func(d *appsv1.Deployment) { d.Status.Replicas = 4 }, false, false},
		{"not available", func(d *appsv1.Deployment) { d.Status.AvailableReplicas = 2 }, false, false},
		{"no progress", func(d *appsv1.Deployment) {
			d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Reason: "ProgressDeadlineExceeded"}}
		}, false, true},
		{"no progress of an older generation", func(d *appsv1.Deployment) {
			d.Generation = 3
			d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Reason: "ProgressDeadlineExceeded"}}
		}, false, false},
	} {
		d := base()
		c.edit(d)
		if done, text, err := rolledOut(d, d.Generation); done != c.done || (err != nil) != c.fail {
			t.Errorf("%s: %t %q %v", c.name, done, text, err)
		}
	}
}

func TestPodTrouble(t *testing.T) {
	waiting := func(reason string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
			{Name: "app", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}}}}}
	}
	for reason, bad := range map[string]bool{"CrashLoopBackOff": true, "ImagePullBackOff": true, "ContainerCreating": false, "PodInitializing": false} {
		if err := podTrouble(waiting(reason)); (err != nil) != bad {
			t.Errorf("%s: %v", reason, err)
		}
	}
	p := &corev1.Pod{Status: corev1.PodStatus{Conditions: []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/3 nodes"}}}}
	if err := podTrouble(p); err == nil || !strings.Contains(err.Error(), "0/3 nodes") {
		t.Errorf("unschedulable: %v", err)
	}
}

// TestWorthReturningTo: a revision that never got healthy is no target while one
// that serves is there.
func TestWorthReturningTo(t *testing.T) {
	set := func(name, image string, revision string, ready int32) *appsv1.ReplicaSet {
		rs := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{"deployment.kubernetes.io/revision": revision}}}
		rs.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Image: image}}
		rs.Status.ReadyReplicas = ready
		return rs
	}
	d := &appsv1.Deployment{}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Image: "shop:v3"}}
	one, two := set("one", "shop:v1", "1", 0), set("two", "shop:v2", "2", 3)
	for _, c := range []struct {
		name string
		sets []*appsv1.ReplicaSet
		want string
	}{
		{"present and ready", []*appsv1.ReplicaSet{one, two, set("three", "shop:v3", "3", 1)}, "three"},
		{"present never ready", []*appsv1.ReplicaSet{one, two, set("three", "shop:v3", "3", 0)}, "two"},
		{"all down in mid-rollout", []*appsv1.ReplicaSet{one, set("two", "shop:v2", "2", 0), set("three", "shop:v3", "3", 0)}, "two"},
		{"all down, alone", []*appsv1.ReplicaSet{set("three", "shop:v3", "3", 0)}, "three"},
	} {
		if got := worthReturningTo(d, c.sets); got == nil || got.Name != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
	d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Reason: "NewReplicaSetAvailable"}}
	if got := worthReturningTo(d, []*appsv1.ReplicaSet{one, set("three", "shop:v3", "3", 0)}); got == nil || got.Name != "three" {
		t.Errorf("all down, once complete: %v, want three", got)
	}
}

func TestErrors(t *testing.T) {
	gr := schema.GroupResource{Resource: "deployments"}
	gone := problem(apierrors.NewNotFound(gr, "app"), "cannot read")
	if !state.HasCode(gone, "not-found") || !absent(gone) {
		t.Errorf("not found: %v", gone)
	}
	untested := apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", gr, "app", "testing path failed", 0, false)
	if !conflict(untested) || transient(untested) {
		t.Error("a failed test is a conflict")
	}
	if !transient(errors.New("connection refused")) || transient(apierrors.NewForbidden(gr, "app", nil)) || !transient(apierrors.NewServiceUnavailable("x")) {
		t.Error("what may pass by itself is not told apart")
	}
	if transient(problem(errors.New("x"), "told already")) {
		t.Error("a problem is final")
	}
}

func TestPortions(t *testing.T) {
	usual := []int{10, 25, 50, 75, 100}
	for _, c := range []struct {
		weights []int
		total   int32
		want    string
	}{
		{usual, 1, "about 50 % (1 of 2 pods), 100 % (1 of 1 pods)"},
		{usual, 2, "about 50 % (1 of 2 pods), 100 % (2 of 2 pods)"},
		{usual, 3, "about 33 % (1 of 3 pods), about 67 % (2 of 3 pods), 100 % (3 of 3 pods)"},
		{usual, 4, "about 25 % (1 of 4 pods), about 50 % (2 of 4 pods), about 75 % (3 of 4 pods), 100 % (4 of 4 pods)"},
		{usual, 10, "about 10 % (1 of 10 pods), about 20 % (2 of 10 pods), about 50 % (5 of 10 pods), about 70 % (7 of 10 pods), 100 % (10 of 10 pods)"},
		{usual, 20, "about 10 % (2 of 20 pods), about 25 % (5 of 20 pods), about 50 % (10 of 20 pods), about 75 % (15 of 20 pods), 100 % (20 of 20 pods)"},
		{[]int{1, 99, 100}, 5, "about 20 % (1 of 5 pods), about 80 % (4 of 5 pods), 100 % (5 of 5 pods)"},
		{[]int{100}, 3, "100 % (3 of 3 pods)"},
	} {
		var got []string
		for _, p := range portions(c.weights, c.total) {
			got = append(got, p.String())
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%v of %d pods: %s\nwant %s", c.weights, c.total, s, c.want)
		}
	}
}
