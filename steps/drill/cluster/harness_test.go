package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// patience bounds every wait for the cluster; it is never what a test waits for.
const patience = 20 * time.Second

// start runs a cluster with the range's objects and gives a client of it.
func start(t *testing.T, more ...runtime.Object) (*Cluster, *kubernetes.Clientset) {
	t.Helper()
	c, err := Start(t.Context(), Options{Objects: append(shop(), more...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, kubernetes.NewForConfigOrDie(c.Config())
}

func shop() []runtime.Object {
	return []runtime.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "app-stable", Namespace: "shop"}, Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "app-stable"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}}}},
		&unstructured.Unstructured{Object: map[string]any{"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
			"metadata": map[string]any{"name": "app", "namespace": "shop"},
			"spec": map[string]any{"hosts": []any{"app"}, "http": []any{map[string]any{"route": []any{
				map[string]any{"destination": map[string]any{"host": "app-stable"}, "weight": 100},
				map[string]any{"destination": map[string]any{"host": "app-canary"}, "weight": 0}}}}}}},
	}
}

// deployment gives a Deployment of n Pods in the namespace shop.
func deployment(name string, n int32, image string) *appsv1.Deployment {
	l := map[string]string{"app": name}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", Labels: l},
		Spec: appsv1.DeploymentSpec{Replicas: &n, Selector: &metav1.LabelSelector{MatchLabels: l},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: l}, Spec: corev1.PodSpec{
				Containers: []corev1.Container{{Name: "app", Image: image, Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}}}}}}}
}

// kubelet runs every Pod, until the test ends: ready at once, gone as soon as it is
// asked to. Images in broken never become ready.
func kubelet(t *testing.T, client *kubernetes.Clientset, broken ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w, err := client.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		ip := 0
		for e := range w.ResultChan() {
			p, ok := e.Object.(*corev1.Pod)
			if !ok || e.Type == watch.Deleted {
				continue
			}
			ip++
			// The cluster ends with the test's context, which is cancelled before any cleanup.
			if err := tend(ctx, client, p, ip, broken); err != nil && t.Context().Err() == nil {
				t.Errorf("kubelet: %v", err)
			}
		}
	})
	t.Cleanup(func() { cancel(); w.Stop(); done.Wait() })
}

func tend(ctx context.Context, client *kubernetes.Clientset, p *corev1.Pod, ip int, broken []string) error {
	pods := client.CoreV1().Pods(p.Namespace)
	if p.DeletionTimestamp != nil {
		now := int64(0)
		uid := p.UID
		err := pods.Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &uid}})
		return ignoreGone(err)
	}
	if p.Spec.NodeName == "" || p.Status.Phase != corev1.PodPending {
		return nil
	}
	for _, b := range broken {
		if p.Spec.Containers[0].Image == b {
			return nil
		}
	}
	patch := fmt.Sprintf(`{"status":{"phase":"Running","podIP":"10.0.0.%d","conditions":[{"type":"Ready","status":"True","lastTransitionTime":%q}],
		"containerStatuses":[{"name":"app","ready":true,"started":true,"image":"x","imageID":"","restartCount":0,"state":{"running":{}}}]}}`,
		ip, time.Now().UTC().Format(time.RFC3339))
	_, err := pods.Patch(ctx, p.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	return ignoreGone(err)
}
