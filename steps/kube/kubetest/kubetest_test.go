package kubetest_test

import (
	"context"
	"net"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"mayday/steps/drill/follow"
	"mayday/steps/kube/kubetest"
)

// patience bounds what the cluster brings about; only a broken one meets it.
const patience = 2 * time.Minute

func typed(t *testing.T, c *kubetest.Cluster) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func deployment(image string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": "app"}
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "app"}, Spec: appsv1.DeploymentSpec{
		Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "app", Image: image}}}}}}
}

func create(t *testing.T, client kubernetes.Interface, ns string, d *appsv1.Deployment) {
	t.Helper()
	if _, err := client.AppsV1().Deployments(ns).Create(t.Context(), d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func kubectl(t *testing.T, c *kubetest.Cluster, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, c.Kubectl, append([]string{"--kubeconfig", c.Kubeconfig}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// eventually looks at what the cluster's processes bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for give := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(give) {
			t.Fatalf("never: %s", what)
		}
	}
}

// pods gives the pods of a namespace once ok says yes to one of them.
func podWhere(t *testing.T, client kubernetes.Interface, ns, what string, ok func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	var found *corev1.Pod
	eventually(t, what, func() bool {
		list, err := client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range list.Items {
			if ok(&list.Items[i]) {
				found = &list.Items[i]
			}
		}
		return found != nil
	})
	return found
}

func TestRollout(t *testing.T) {
	t.Parallel()
	c := kubetest.Shared(t)
	ns, client := c.Namespace(t), typed(t, c)
	create(t, client, ns, deployment("registry.local/shop:v1.2.3", 3))
	out := kubectl(t, c, "-n", ns, "rollout", "status", "deployment/app")
	if !strings.Contains(out, "successfully rolled out") {
		t.Errorf("rollout status says %q", out)
	}
	d, err := client.AppsV1().Deployments(ns).Get(t.Context(), "app", metav1.GetOptions{})
	if err != nil || d.Status.AvailableReplicas != 3 {
		t.Fatalf("%d available, %v", d.Status.AvailableReplicas, err)
	}
	kubectl(t, c, "-n", ns, "set", "image", "deployment/app", "app=registry.local/shop:v1.2.4")
	kubectl(t, c, "-n", ns, "rollout", "status", "deployment/app")
	kubectl(t, c, "-n", ns, "rollout", "undo", "deployment/app")
	kubectl(t, c, "-n", ns, "rollout", "status", "deployment/app")
	eventually(t, "the pods of v1.2.4 are gone", func() bool {
		pods, err := client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
		return err == nil && len(pods.Items) == 3 && pods.Items[0].Spec.Containers[0].Image == "registry.local/shop:v1.2.3"
	})
	if out := kubectl(t, c, "version"); !strings.Contains(out, "Client Version: v1.36.3") || !strings.Contains(out, "Server Version: v1.36.3") {
		t.Errorf("kubectl version says %q", out)
	}
}

func TestStatefulSet(t *testing.T) {
	t.Parallel()
	c := kubetest.Shared(t)
	ns := c.Namespace(t)
	c.Apply(t, ns, `
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 3
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers: [{name: db, image: "registry.local/db:v1"}]
`)
	kubectl(t, c, "-n", ns, "rollout", "status", "statefulset/db")
	eventually(t, "three ready endpoints", func() bool {
		out := kubectl(t, c, "-n", ns, "get", "endpointslices", "-o", "jsonpath={.items[*].endpoints[*].conditions.ready}")
		return out == "true true true"
	})
}

// container gives the state of a pod's container; a zero one if it has none yet.
func container(p *corev1.Pod) corev1.ContainerStatus {
	if len(p.Status.ContainerStatuses) == 0 {
		return corev1.ContainerStatus{}
	}
	return p.Status.ContainerStatuses[0]
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func TestFailingPods(t *testing.T) {
	t.Parallel()
	c := kubetest.Shared(t)
	for tag, failing := range map[string]func(*corev1.Pod) bool{
		"v1.2.4-crash": func(p *corev1.Pod) bool {
			s := container(p)
			return p.Status.Phase == corev1.PodRunning && s.State.Waiting != nil && s.State.Waiting.Reason == "CrashLoopBackOff" &&
				s.RestartCount >= 2 && s.LastTerminationState.Terminated != nil && s.LastTerminationState.Terminated.ExitCode == 1
		},
		"v1.2.4-nopull": func(p *corev1.Pod) bool {
			s := container(p)
			return p.Status.Phase == corev1.PodPending && s.State.Waiting != nil && s.State.Waiting.Reason == "ImagePullBackOff" && s.ImageID == ""
		},
		"v1.2.4-notready": func(p *corev1.Pod) bool {
			return p.Status.Phase == corev1.PodRunning && container(p).State.Running != nil
		},
	} {
		t.Run(tag, func(t *testing.T) {
			t.Parallel()
			ns, client := c.Namespace(t), typed(t, c)
			create(t, client, ns, deployment("registry.local:5000/shop:"+tag, 1))
			p := podWhere(t, client, ns, tag, failing)
			if ready(p) || container(p).Ready {
				t.Errorf("%s became ready", p.Name)
			}
			// Deleted, it goes as any other.
			if err := client.AppsV1().Deployments(ns).Delete(t.Context(), "app", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the pod is gone", func() bool {
				_, err := client.CoreV1().Pods(ns).Get(t.Context(), p.Name, metav1.GetOptions{})
				return apierrors.IsNotFound(err)
			})
		})
	}
}

func TestUnschedulable(t *testing.T) {
	t.Parallel()
	c := kubetest.Shared(t)
	ns, client := c.Namespace(t), typed(t, c)
	slots := corev1.ResourceList{c.Room(t, 2): resource.MustParse("1")}
	d := deployment("registry.local/shop:v1.2.3", 3)
	d.Spec.Template.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: slots, Limits: slots}
	create(t, client, ns, d)
	podWhere(t, client, ns, "the third pod is unschedulable", func(p *corev1.Pod) bool {
		for _, cond := range p.Status.Conditions {
			if cond.Type == corev1.PodScheduled && cond.Reason == corev1.PodReasonUnschedulable {
				return strings.Contains(cond.Message, "Insufficient kubetest.mayday.dev/")
			}
		}
		return false
	})
	eventually(t, "the other two are available", func() bool {
		d, err := client.AppsV1().Deployments(ns).Get(t.Context(), "app", metav1.GetOptions{})
		return err == nil && d.Status.AvailableReplicas == 2
	})
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	c := kubetest.Shared(t)
	ns := c.Namespace(t)
	c.Apply(t, ns, routes)
	client := dynamic.NewForConfigOrDie(c.Config())
	for _, gvr := range []struct{ group, resource string }{{"networking.istio.io", "virtualservices"}, {"gateway.networking.k8s.io", "httproutes"}} {
		out := kubectl(t, c, "-n", ns, "get", gvr.resource+"."+gvr.group, "app", "-o", "jsonpath={.metadata.generation}")
		if out != "1" {
			t.Errorf("%s: generation %q", gvr.resource, out)
		}
	}
	// The schemas are the real ones: what they do not allow is refused.
	vs, err := client.Resource(follow.VirtualServices).Namespace(ns).Get(t.Context(), "app", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	vs.Object["spec"].(map[string]any)["http"] = "none"
	if _, err := client.Resource(follow.VirtualServices).Namespace(ns).Update(t.Context(), vs, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a VirtualService with http: none: %v", err)
	}
}

func TestUser(t *testing.T) {
	t.Parallel()
	c := kubetest.Shared(t)
	ns := c.Namespace(t)
	path := c.User(t, ns, rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"get", "list"}})
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.AppsV1().Deployments(ns).List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("what the user may do: %v", err)
	}
	if _, err := client.AppsV1().Deployments("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("list in another namespace: %v", err)
	}
	if err := client.AppsV1().Deployments(ns).Delete(t.Context(), "app", metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("delete: %v", err)
	}
	everywhere := c.User(t, "", rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"list"}})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, c.Kubectl, "--kubeconfig", everywhere, "get", "nodes").CombinedOutput(); err != nil {
		t.Errorf("what the other user may do: %v\n%s", err, out)
	}
}

func TestAPIServerComesBack(t *testing.T) {
	t.Parallel()
	c := kubetest.Start(t)
	client := typed(t, c)
	ns := c.Namespace(t)
	route := c.Serve(t, ns).Route(t, ns, "Service/app-stable")
	c.Apply(t, ns, colours)
	answers(t, route.URL, map[string]int{"v1.2.3": 20})
	before, err := client.AppsV1().Deployments(ns).Get(t.Context(), "blue", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.StopAPIServer(t)
	host, err := url.Parse(c.Config().Host)
	if err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", host.Host); err == nil {
		conn.Close()
		t.Error("something listens where the API server was")
	}
	answers(t, route.URL, map[string]int{"v1.2.3": 20}) // what serves goes on serving
	c.StartAPIServer(t)
	after, err := client.AppsV1().Deployments(ns).Get(t.Context(), "blue", metav1.GetOptions{})
	if err != nil || after.UID != before.UID || *after.Spec.Replicas != 2 {
		t.Fatalf("the Deployment is not what it was: %v, %v", after, err)
	}
	// The controllers go on where they were.
	kubectl(t, c, "-n", ns, "scale", "deployment/blue", "--replicas=4")
	kubectl(t, c, "-n", ns, "set", "image", "deployment/blue", "app=registry.local/shop:v1.2.5")
	answers(t, route.URL, map[string]int{"v1.2.5": 20})
	kubectl(t, c, "-n", ns, "rollout", "status", "deployment/blue")
}

// routes are one of each kind, with a quarter for the canary.
var routes = kubetest.VirtualService(75, 25) + kubetest.HTTPRoute(75, 25)
