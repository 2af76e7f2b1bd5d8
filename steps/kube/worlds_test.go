package kube_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"

	"mayday/steps/kube/kubetest"
)

// world opens a shop of its own with the objects, somewhere.
type world func(t testing.TB, objects ...runtime.Object) *shop

// inEachWorld runs a test on the drill's API and on a real control plane: what
// holds on one and not on the other is a bug of the drill, or of mayday.
func inEachWorld(t *testing.T, test func(t *testing.T, open world)) {
	t.Helper()
	t.Run("drill", func(t *testing.T) { test(t, newShop) })
	t.Run("control plane", func(t *testing.T) { test(t, realShop) })
}

// realShop is a namespace of the control plane that all tests share.
func realShop(t testing.TB, objects ...runtime.Object) *shop {
	t.Helper()
	return shopOn(t, kubetest.Shared(t), objects...)
}

// shopOn is a namespace of a control plane.
func shopOn(t testing.TB, c *kubetest.Cluster, objects ...runtime.Object) *shop {
	t.Helper()
	s := openShop(t, c.Config(), c.Namespace(t))
	for _, o := range objects {
		c.ApplyObject(t, s.ns, placed(t, o, s.ns))
	}
	return s
}

// placed is a copy of an object in another namespace, with its kind.
func placed(t testing.TB, o runtime.Object, ns string) *unstructured.Unstructured {
	t.Helper()
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o.DeepCopyObject())
	if err != nil {
		t.Fatal(err)
	}
	u := &unstructured.Unstructured{Object: fields}
	if u.GetKind() == "" {
		kinds, _, err := scheme.Scheme.ObjectKinds(o)
		if err != nil {
			t.Fatal(err)
		}
		u.SetGroupVersionKind(kinds[0])
	}
	u.SetNamespace(ns)
	return u
}
