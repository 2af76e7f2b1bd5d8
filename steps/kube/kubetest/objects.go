package kubetest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"
)

// callTime bounds a call that asks the API server for something; only a broken one
// takes it.
const callTime = time.Minute

// names numbers what tests make, so that no two share it.
type names struct{ n atomic.Int64 }

func (n *names) next(prefix string) string { return fmt.Sprintf("%s-%d", prefix, n.n.Add(1)) }

// Namespace makes a namespace, named after the test, that is deleted with all that
// is in it when the test ends.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	name := c.names.next(label(t.Name()))
	c.Apply(t, "", fmt.Sprintf("apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}", name))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), callTime)
		defer cancel()
		err := c.client.Resource(namespaces).Delete(ctx, name, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("delete the namespace: %v", err)
		}
	})
	return name
}

// label makes a DNS label of a test's name.
func label(name string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, name)
	return "t-" + strings.Trim(clean[:min(len(clean), 40)], "-")
}

// Apply makes or changes the objects of a YAML text, one after the other, as
// "kubectl apply --server-side" would. Objects that name no namespace go into ns.
func (c *Cluster) Apply(t testing.TB, ns, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTime)
	defer cancel()
	for doc := range strings.SplitSeq("\n"+text, "\n---") {
		u := new(unstructured.Unstructured)
		if err := yaml.Unmarshal([]byte(doc), &u.Object); err != nil {
			t.Fatalf("%v in:\n%s", err, doc)
		}
		if len(u.Object) > 0 {
			c.apply(ctx, t, ns, u)
		}
	}
}

// ApplyObject is Apply for one object of client-go. It must have its apiVersion and
// kind; a status is left out.
func (c *Cluster) ApplyObject(t testing.TB, ns string, o runtime.Object) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTime)
	defer cancel()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	c.apply(ctx, t, ns, &unstructured.Unstructured{Object: fields})
}

func (c *Cluster) apply(ctx context.Context, t testing.TB, ns string, u *unstructured.Unstructured) {
	t.Helper()
	m, err := c.mapping(u.GroupVersionKind())
	if err != nil {
		t.Fatalf("%s %s: %v", u.GetKind(), u.GetName(), err)
	}
	var api dynamic.ResourceInterface = c.client.Resource(m.Resource)
	if m.Scope.Name() == meta.RESTScopeNameNamespace {
		if u.GetNamespace() == "" {
			u.SetNamespace(ns)
		}
		api = c.client.Resource(m.Resource).Namespace(u.GetNamespace())
	}
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	if _, err := api.Apply(ctx, u.GetName(), u, metav1.ApplyOptions{FieldManager: fieldManager, Force: true}); err != nil {
		t.Fatalf("apply %s %s: %v", u.GetKind(), u.GetName(), err)
	}
}

// User makes a user who may do only what the rules say, in the namespace ns or, if
// that is "", in the whole cluster. The kubeconfig file is theirs; they may at once.
func (c *Cluster) User(t testing.TB, ns string, rules ...rbacv1.PolicyRule) (kubeconfig string) {
	t.Helper()
	name := c.names.next("user")
	role, binding := "Role", "RoleBinding"
	if ns == "" {
		role, binding = "ClusterRole", "ClusterRoleBinding"
	}
	about := metav1.ObjectMeta{Name: name, Namespace: ns}
	c.ApplyObject(t, ns, &rbacv1.Role{TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: role}, ObjectMeta: about, Rules: rules})
	c.ApplyObject(t, ns, &rbacv1.RoleBinding{TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: binding}, ObjectMeta: about,
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: role, Name: name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}}})
	if len(rules) > 0 {
		c.allowed(t, ns, name, rules[0])
	}
	cert, err := c.ca.user(name)
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err = c.kubeconfig(name, ns, &clientcmdapi.AuthInfo{ClientCertificateData: cert.cert, ClientKeyData: cert.key})
	if err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// allowed waits until the API server, which learns of roles and of bindings over watches,
// lets a user do what the rule, one for resources, says.
func (c *Cluster) allowed(t testing.TB, ns, user string, rule rbacv1.PolicyRule) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTime)
	defer cancel()
	resource, sub, _ := strings.Cut(rule.Resources[0], "/")
	does := map[string]any{"namespace": ns, "verb": rule.Verbs[0], "group": rule.APIGroups[0], "resource": resource, "subresource": sub}
	if len(rule.ResourceNames) > 0 {
		does["name"] = rule.ResourceNames[0]
	}
	review := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
		"spec": map[string]any{"user": user, "resourceAttributes": does}}}
	err := poll(ctx, user+" may do what the role says", func() error {
		got, err := c.client.Resource(accessReviews).Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if ok, _, _ := unstructured.NestedBool(got.Object, "status", "allowed"); !ok {
			return fmt.Errorf("%v is denied", does)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Room makes a resource of which the cluster has exactly n, for the pods that
// request it (in requests and limits alike): the next one is unschedulable.
func (c *Cluster) Room(t testing.TB, n int) corev1.ResourceName {
	t.Helper()
	name := corev1.ResourceName("kubetest.mayday.dev/" + c.names.next("slot"))
	c.SetAllocatable(t, Nodes[0], corev1.ResourceList{name: *resource.NewQuantity(int64(n), resource.DecimalSI)})
	return name
}

// SetAllocatable changes how much of some resources a node has; others stay. Pods
// that are there stay, too.
func (c *Cluster) SetAllocatable(t testing.TB, node string, room corev1.ResourceList) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callTime)
	defer cancel()
	patch, err := json.Marshal(map[string]any{"status": map[string]any{"capacity": room, "allocatable": room}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.client.Resource(nodes).Patch(ctx, node, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: fieldManager}, "status"); err != nil {
		t.Fatalf("room of %s: %v", node, err)
	}
}
