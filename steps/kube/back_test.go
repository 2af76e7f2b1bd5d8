package kube

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"mayday/state"
)

// TestTheRouteGoesHomeWhateverBecameOfIt: somebody edits the route during the rollout.
// The rollback leads all traffic of both destinations to stable, and says so only when
// that is true.
func TestTheRouteGoesHomeWhateverBecameOfIt(t *testing.T) {
	rt := route{Kind: "VirtualService", Name: "app", Stable: side{Service: "app-stable"}, Canary: side{Service: "app-canary"}}
	pair := func(stable, canary string) string {
		return `{route: [{destination: {host: app-stable}, weight: ` + stable + `}, {destination: {host: app-canary}, weight: ` + canary + `}]}`
	}
	const beta, stable = `{match: [{uri: {prefix: /beta}}], route: [{destination: {host: app-canary}}]}`, `{route: [{destination: {host: app-stable}}]}`
	for _, c := range []struct {
		name, rules string
		alone       int
		home, code  string
	}{
		{"as planned", pair("75", "25"), 0, "weights 100/0", ""},
		{"home already", pair("100", "0"), 0, "weights 100/0", ""},
		{"a second pair", pair("75", "25") + ", " + pair("0", "100"), 0, "weights 100/0 and weights 100/0", ""},
		{"a third destination", `{route: [{destination: {host: app-stable}, weight: 50}, {destination: {host: app-canary}, weight: 40}, {destination: {host: x}, weight: 10}]}`, 0, "weights 100/0", ""},
		{"the canary was taken out", stable, 0, "app-canary is no destination of VirtualService app any more", ""},
		{"taken out, its own rule was there before", beta + ", " + stable, 1, "app-canary is no destination of VirtualService app any more", ""},
		{"everything was led to the canary", `{route: [{destination: {host: app-canary}}]}`, 0, "", "route"},
	} {
		rt := rt
		rt.Alone = c.alone
		u := route2(t, istio+c.rules+"]}}")
		ops, err := rt.backOps(u)
		if c.code != "" {
			_, home := rt.home(u)
			if !state.HasCode(err, c.code) || !state.HasCode(home, c.code) {
				t.Errorf("%s: %v, home %v, want code %s", c.name, err, home, c.code)
			}
			continue
		}
		after := u
		if err == nil && len(ops) > 0 {
			after, err = simulate(u, ops)
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if home, err := rt.home(after); err != nil || home != c.home {
			t.Errorf("%s: %q, %v, want %q", c.name, home, err, c.home)
		}
		if again, err := rt.backOps(after); err != nil || writes(again) {
			t.Errorf("%s: a second time writes %v, %v", c.name, again, err)
		}
	}
}

// TestAwaitedGateways: a gateway that had not accepted the route before the rollout, or
// that is no more, is not waited for.
func TestAwaitedGateways(t *testing.T) {
	const text = `{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: app, namespace: shop, generation: GEN},
spec: {parentRefs: [{name: edge}, {name: inner, sectionName: http}]}, status: {parents: [PARENTS]}}`
	says := func(ref, controller, status, generation string) string {
		return `{parentRef: ` + ref + `, controllerName: ` + controller + `, conditions: [{type: ResolvedRefs, status: "False", observedGeneration: 1},
{type: Accepted, status: "` + status + `", observedGeneration: ` + generation + `, message: no listener}]}`
	}
	const edge, whole, inner = `{name: edge}`, `{group: gateway.networking.k8s.io, kind: Gateway, name: edge, namespace: shop}`, `{name: inner, sectionName: http}`
	for _, c := range []struct{ name, before, now, want string }{
		{"nobody reports", "", "", ""},
		{"accepted", says(edge, "new.example/gw", "True", "7"), says(whole, "new.example/gw", "True", "8"), ""},
		{"not yet", says(edge, "new.example/gw", "True", "7"), says(edge, "new.example/gw", "True", "7"), "True at generation 7 of 8"},
		{"refused", says(edge, "new.example/gw", "True", "7"), says(edge, "new.example/gw", "False", "8"), "False at generation 8 of 8: no listener"},
		{"one of two", says(edge, "g", "True", "7") + "," + says(inner, "g", "True", "7"), says(edge, "g", "True", "8") + "," + says(inner, "g", "False", "8"), "no listener"},
		{"refused before too", says(edge, "g", "True", "7") + "," + says(inner, "g", "False", "7"), says(edge, "g", "True", "8") + "," + says(inner, "g", "False", "8"), ""},
		{"a controller that was replaced", says(edge, "old.example/gw", "True", "7") + "," + says(edge, "g", "True", "7"),
			says(edge, "old.example/gw", "True", "7") + "," + says(edge, "g", "True", "8"), ""},
		{"no parent any more", says(`{name: former}`, "g", "True", "7"), says(`{name: former}`, "g", "True", "7"), ""},
	} {
		at := func(generation, parents string) string {
			return strings.NewReplacer("GEN", generation, "PARENTS", parents).Replace(text)
		}
		rt := route{Kind: "HTTPRoute", Name: "app"}
		for parent := range unaccepted(route2(t, at("7", c.before))) {
			rt.Deaf = append(rt.Deaf, parent)
		}
		if got := rt.awaited(route2(t, at("8", c.now))); got != "" && c.want == "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestNeverHealthyIsNoTarget: with all pods down after two bad releases, the rollback
// goes to the last one that is known to have served.
func TestNeverHealthyIsNoTarget(t *testing.T) {
	t0 := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	set := func(name, revision string, made, ended time.Duration) *appsv1.ReplicaSet {
		rs := &appsv1.ReplicaSet{}
		rs.Name, rs.CreationTimestamp = name, metav1.NewTime(t0.Add(made))
		rs.Annotations = map[string]string{"deployment.kubernetes.io/revision": revision}
		rs.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Image: "shop:" + name}}
		none, at := int32(0), metav1.NewTime(t0.Add(ended))
		rs.Spec.Replicas = &none
		rs.ManagedFields = []metav1.ManagedFieldsEntry{{Subresource: "status", Time: &at}}
		return rs
	}
	d := &appsv1.Deployment{}
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Image: "shop:v4"}}
	// v2 took over from v1 at once; v3 never did: v2's pods lasted until v4 was there.
	v1, v2, v3, v4 := set("v1", "1", 0, 2*time.Minute), set("v2", "2", time.Minute, 12*time.Minute), set("v3", "3", 10*time.Minute, 12*time.Minute), set("v4", "4", 11*time.Minute, 0)
	if got := worthReturningTo(d, []*appsv1.ReplicaSet{v3, v1, v4, v2}); got != v2 {
		t.Errorf("%v, want v2", got)
	}
	if got := worthReturningTo(d, []*appsv1.ReplicaSet{v3, v4}); got != v3 {
		t.Errorf("where nothing is known: %v, want the newest before", got)
	}
}

// TestPinnedImages: an admission webhook that pins a tag to its digest is nobody who
// changed the image during the rollout.
func TestPinnedImages(t *testing.T) {
	const pinned = "@sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1"
	w := workload{Deployment: "app", Container: "app"}
	live := func(image string) string {
		return `{apiVersion: apps/v1, kind: Deployment, metadata: {name: app}, spec: {template: {spec: {containers: [{name: app, image: "` + image + `"}]}}}}`
	}
	for _, c := range []struct {
		now    string
		writes bool
		code   string
	}{
		{"r/shop:v2", false, ""}, {"r/shop:v2" + pinned, false, ""}, {"r/shop:v1", true, ""}, {"r/shop:v1" + pinned, true, ""},
		{"r/shop:v20", false, "drift"}, {"r/shop:v3" + pinned, false, "drift"},
	} {
		ops, err := w.imageOps(route2(t, live(c.now)), "r/shop:v2", "r/shop:v1")
		if writes(ops) != c.writes || c.code != "" && !state.HasCode(err, c.code) || c.code == "" && err != nil {
			t.Errorf("%s: %v, %v", c.now, ops, err)
		}
	}
	if isImage("r/shop:v2@sha256:1", "r/shop:v2@sha256:2") {
		t.Error("two digests are one image")
	}
}

// TestProgress: as long as something moves, a slow rollout or rollback is none that hangs.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &run{c: &Cluster{}}
		progress := r.progress(deployment("shop", "app"), 10*time.Minute)
		for _, text := range []string{"1 of 3", "2 of 3", "3 of 3"} {
			if err := progress(text); err != nil {
				t.Errorf("%s: %v", text, err)
			}
			time.Sleep(9 * time.Minute)
		}
		if err := progress("3 of 3"); err != nil {
			t.Errorf("after 9 minutes: %v", err)
		}
		time.Sleep(time.Minute)
		if err := progress("3 of 3"); !state.HasCode(err, "no-progress") {
			t.Errorf("after 10 minutes: %v", err)
		}
	})
}

// TestARollbackThatNobodyCarriesOut: where the controller is down nothing hears of the
// rollback, and it fails, so that somebody is called, well before its hour is over.
func TestARollbackThatNobodyCarriesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &appsv1.Deployment{}
		d.Generation, d.Status.ObservedGeneration = 3, 2
		d.Spec.Replicas = new(int32)
		d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "app", Image: "r/shop:v1"}}
		*d.Spec.Replicas = 3
		r := &run{c: &Cluster{}, s: snapshot{Stable: workload{Deployment: "app", Container: "app", Image: "r/shop:v1", Ready: 3}}}
		condition := r.returning(deployment("shop", "app"))
		for range 5 {
			if ok, text, err := condition(view{d: d}); ok || err != nil {
				t.Fatalf("%v, %q, %v", ok, text, err)
			}
			time.Sleep(time.Minute)
		}
		if _, _, err := condition(view{d: d}); !state.HasCode(err, "no-progress") {
			t.Errorf("after five minutes of nothing: %v", err)
		}
	})
}
