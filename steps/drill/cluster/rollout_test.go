package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

func setImage(t *testing.T, client *kubernetes.Clientset, image string) {
	t.Helper()
	patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"app","image":%q}]}}}}`, image)
	must[*appsv1.Deployment](t)(client.AppsV1().Deployments("shop").Patch(t.Context(), "app", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}))
}

func TestRollingUpdateKeepsWithinItsBounds(t *testing.T) {
	for _, tc := range []struct {
		replicas           int32
		surge, unavailable intstr.IntOrString
		most, least        int
	}{
		{6, intstr.FromString("25%"), intstr.FromString("25%"), 8, 5},
		{5, intstr.FromInt32(1), intstr.FromInt32(0), 6, 5},
		{4, intstr.FromInt32(0), intstr.FromInt32(1), 4, 3},
		{3, intstr.FromString("100%"), intstr.FromString("0%"), 6, 3},
		{1, intstr.FromString("0%"), intstr.FromString("10%"), 1, 0},
	} {
		t.Run(fmt.Sprintf("%d replicas, surge %s, unavailable %s", tc.replicas, tc.surge.String(), tc.unavailable.String()), func(t *testing.T) {
			d := deployment("app", tc.replicas, "shop:v1")
			d.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxSurge: &tc.surge, MaxUnavailable: &tc.unavailable}
			_, client := start(t, d)
			kubelet(t, client)
			waitDeployment(t, client, "app", settled)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			w, err := client.CoreV1().Pods("shop").Watch(ctx, metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			seen := make(chan int, 1)
			go func() { seen <- observe(t, w, tc.most, tc.least, int(tc.replicas)) }()
			setImage(t, client, "shop:v2")
			got := waitDeployment(t, client, "app", settled)
			if n := <-seen; n < int(tc.replicas) {
				t.Errorf("only %d states seen", n)
			}
			if cond := got.Status.Conditions; len(cond) != 2 || got.Status.UpdatedReplicas != tc.replicas {
				t.Errorf("status %+v", got.Status)
			}
		})
	}
}

// observe checks every state that a watch of the Pods shows, until all of them are
// new and ready, and counts the states.
func observe(t *testing.T, w watch.Interface, most, least, want int) int {
	defer w.Stop()
	all := map[string]*corev1.Pod{}
	states, started := 0, false
	for e := range w.ResultChan() {
		p, ok := e.Object.(*corev1.Pod)
		if !ok {
			t.Errorf("%s %v", e.Type, e.Object)
			return states
		}
		all[p.Name] = p
		if e.Type == watch.Deleted {
			delete(all, p.Name)
		}
		total, ready, updated := 0, 0, 0
		for _, p := range all {
			if !active(p) {
				continue
			}
			total++
			if _, ok := readyTime(p); ok {
				ready++
				if p.Spec.Containers[0].Image == "shop:v2" {
					updated++
				}
			}
		}
		started = started || ready == want // the first events only list what there is
		if !started {
			continue
		}
		states++
		if total > most || ready < least {
			t.Errorf("after %s of %s: %d Pods (at most %d), %d ready (at least %d)", e.Type, p.Name, total, most, ready, least)
		}
		if updated == want && total == want {
			return states
		}
	}
	t.Error("the watch ended")
	return states
}

func TestUndoBringsTheOldReplicaSetBack(t *testing.T) {
	_, client := start(t, deployment("app", 3, "shop:v1"))
	kubelet(t, client)
	before := waitDeployment(t, client, "app", settled)
	sets := client.AppsV1().ReplicaSets("shop")
	first := must[*appsv1.ReplicaSetList](t)(sets.List(t.Context(), metav1.ListOptions{})).Items[0]
	setImage(t, client, "shop:v2")
	waitDeployment(t, client, "app", settled)

	// What kubectl rollout undo does: the template of the old ReplicaSet, without its hash.
	template := first.Spec.Template.DeepCopy()
	delete(template.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	raw := must[[]byte](t)(json.Marshal([]any{map[string]any{"op": "replace", "path": "/spec/template", "value": template}}))
	must[*appsv1.Deployment](t)(client.AppsV1().Deployments("shop").Patch(t.Context(), "app", types.JSONPatchType, raw, metav1.PatchOptions{}))
	after := waitDeployment(t, client, "app", settled)

	all := must[*appsv1.ReplicaSetList](t)(sets.List(t.Context(), metav1.ListOptions{})).Items
	if len(all) != 2 {
		t.Fatalf("%d ReplicaSets", len(all))
	}
	back := must[*appsv1.ReplicaSet](t)(sets.Get(t.Context(), first.Name, metav1.GetOptions{}))
	if *back.Spec.Replicas != 3 || back.UID != first.UID || revision(back) != 3 || back.Annotations[historyAnnotation] != "1" {
		t.Errorf("the old ReplicaSet: %d replicas, annotations %v", *back.Spec.Replicas, back.Annotations)
	}
	if revision(after) != 3 || revision(before) != 1 {
		t.Errorf("revisions %d, then %d", revision(before), revision(after))
	}
}

func TestBrokenImageStopsAtTheBounds(t *testing.T) {
	d := deployment("app", 4, "shop:v1")
	_, client := start(t, d)
	kubelet(t, client, "shop:broken")
	waitDeployment(t, client, "app", settled)
	setImage(t, client, "shop:broken")
	stuck := waitDeployment(t, client, "app", func(d *appsv1.Deployment) bool { return d.Status.UpdatedReplicas == 2 && d.Status.Replicas == 5 })
	if stuck.Status.AvailableReplicas != 3 || stuck.Status.UnavailableReplicas != 2 {
		t.Errorf("%+v", stuck.Status)
	}
	setImage(t, client, "shop:v1")
	waitDeployment(t, client, "app", settled)
}

func TestScaleSubresourceAndEndpoints(t *testing.T) {
	_, client := start(t, deployment("app-stable", 2, "shop:v1"))
	kubelet(t, client)
	waitDeployment(t, client, "app-stable", settled)
	api := client.AppsV1().Deployments("shop")
	sc, err := api.GetScale(t.Context(), "app-stable", metav1.GetOptions{})
	if err != nil || sc.Spec.Replicas != 2 || sc.Status.Selector != "app=app-stable" {
		t.Fatalf("%+v %v", sc, err)
	}
	sc.Spec.Replicas = 5
	if _, err := api.UpdateScale(t.Context(), "app-stable", sc, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	d := waitDeployment(t, client, "app-stable", func(d *appsv1.Deployment) bool { return settled(d) && d.Status.Replicas == 5 })
	if revision(d) != 1 {
		t.Errorf("scaling made revision %d", revision(d))
	}
	w, err := client.DiscoveryV1().EndpointSlices("shop").Watch(t.Context(), metav1.ListOptions{LabelSelector: serviceLabel + "=app-stable"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for {
		ready := 0
		for _, e := range next(t, w).Object.(*discoveryv1.EndpointSlice).Endpoints {
			if *e.Conditions.Ready && e.TargetRef.Kind == "Pod" {
				ready++
			}
		}
		if ready == 5 {
			return
		}
	}
}
