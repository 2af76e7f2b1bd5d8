package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"mayday/probes"
	"mayday/probes/logs"
	"mayday/state"
	"mayday/steps/kube/kubetest"
)

// A real API server knows the pods and says why their logs cannot be read: behind
// this one there is no kubelet that would hold them.
func TestPodLogsAskARealServer(t *testing.T) {
	c := kubetest.Shared(t)
	ns := c.Namespace(t)
	a, err := logs.NewPods(c.Config(), ns, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	defer func() { cancel(); <-done }()
	p := state.Probe{Name: "panics", Kind: logs.KindPods, Query: "app=shop", Pattern: "panic"}
	judged := func() state.Sample {
		actx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		now := time.Now()
		r, err := a.Ask(actx, p, now)
		return probes.Judge(p, r, err, now, now)
	}
	if x := judged(); x.Verdict != state.NoData || !strings.Contains(x.Text, "no pod matches app=shop") {
		t.Fatalf("%+v", x)
	}
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "app-1", Labels: map[string]string{"app": "shop"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.local/shop:v1"}}}}
	if _, err := client.CoreV1().Pods(ns).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		x := judged()
		if x.Verdict == state.Error && strings.Contains(x.Text, "no log of app=shop can be read: app-1: ") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v", x)
		}
	}
}
