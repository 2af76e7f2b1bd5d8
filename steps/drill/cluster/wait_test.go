package cluster

import (
	"context"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// waitDeployment watches a Deployment until ok accepts it.
func waitDeployment(t *testing.T, client *kubernetes.Clientset, name string, ok func(*appsv1.Deployment) bool) *appsv1.Deployment {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w, err := client.AppsV1().Deployments("shop").Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	var last *appsv1.Deployment
	for e := range w.ResultChan() {
		d, is := e.Object.(*appsv1.Deployment)
		if !is {
			t.Fatalf("watch of %s: %s %v", name, e.Type, e.Object)
		}
		last = d
		if ok(d) {
			return d
		}
	}
	t.Fatalf("deployment %s did not get there in %v: %+v", name, time.Duration(patience), last)
	return nil
}

// settled says that a rollout of the newest spec is complete.
func settled(d *appsv1.Deployment) bool {
	return complete(d, &d.Status)
}
