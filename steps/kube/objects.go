package kube

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	namespaces   = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	services     = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	pods         = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	deployments  = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	statefulSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "statefulsets"}
	revisions    = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "controllerrevisions"}
	replicaSets  = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	autoscalers  = schema.GroupVersionResource{Group: "autoscaling", Version: "v2", Resource: "horizontalpodautoscalers"}
	reviews      = schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "selfsubjectaccessreviews"}
)

// ref names one object.
type ref struct {
	Resource  schema.GroupVersionResource
	Kind      string
	Namespace string
	Name      string
}

func deployment(ns, name string) ref {
	return ref{Resource: deployments, Kind: "Deployment", Namespace: ns, Name: name}
}

// kindStatefulSet tells a StatefulSet from a Deployment in plans and objects.
const kindStatefulSet = "StatefulSet"

func statefulSet(ns, name string) ref {
	return ref{Resource: statefulSets, Kind: kindStatefulSet, Namespace: ns, Name: name}
}

// String is what a person reads: "Deployment app-stable".
func (r ref) String() string { return r.Kind + " " + r.Name }

// object is what a plan calls it: "Deployment/shop/app-stable".
func (r ref) object() string { return r.Kind + "/" + r.Namespace + "/" + r.Name }

// kubectl starts a command on the object: "kubectl -n shop patch deployment app-stable".
func (r ref) kubectl(context, verb string) string {
	kind := strings.ToLower(r.Kind)
	if r.Resource.Group != "" && r.Resource.Group != "apps" {
		kind += "." + r.Resource.Group // "virtualservice" alone may be ambiguous
	}
	return strings.Join([]string{kubectlIn(context, r.Namespace), verb, kind, r.Name}, " ")
}

// quote makes one shell word of s.
func quote(s string) string {
	plain := strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@=,") == ""
	if s != "" && plain {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func (c *Cluster) get(ctx context.Context, r ref) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return c.client.Resource(r.Resource).Namespace(r.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
}

func (c *Cluster) list(ctx context.Context, gvr schema.GroupVersionResource, ns, selector string) ([]unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	l, err := c.client.Resource(gvr).Namespace(ns).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return nil, err
	}
	return l.Items, nil
}

// typed reads an object as its Go type.
func typed[T any](u *unstructured.Unstructured) (*T, error) {
	out := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, out); err != nil {
		return nil, fmt.Errorf("%s %s: %w", u.GetKind(), u.GetName(), err)
	}
	return out, nil
}

func (c *Cluster) deployment(ctx context.Context, r ref) (*appsv1.Deployment, error) {
	u, err := c.get(ctx, r)
	if err != nil {
		return nil, err
	}
	return typed[appsv1.Deployment](u)
}

// recent is deployment as the API server's cache has it, milliseconds old: it answers
// without asking etcd.
func (c *Cluster) recent(ctx context.Context, r ref) (*appsv1.Deployment, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	u, err := c.client.Resource(r.Resource).Namespace(r.Namespace).Get(ctx, r.Name, metav1.GetOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, err
	}
	return typed[appsv1.Deployment](u)
}

// replicaSets lists the ReplicaSets that the Deployment owns.
func (c *Cluster) replicaSets(ctx context.Context, d *appsv1.Deployment) ([]*appsv1.ReplicaSet, error) {
	items, err := c.list(ctx, replicaSets, d.Namespace, metav1.FormatLabelSelector(d.Spec.Selector))
	if err != nil {
		return nil, err
	}
	var out []*appsv1.ReplicaSet
	for i := range items {
		owner := metav1.GetControllerOf(&items[i])
		if owner == nil || owner.UID != d.UID {
			continue
		}
		rs, err := typed[appsv1.ReplicaSet](&items[i])
		if err != nil {
			return nil, err
		}
		out = append(out, rs)
	}
	return out, nil
}

// pods lists the pods the Deployment selects.
func (c *Cluster) pods(ctx context.Context, d *appsv1.Deployment) ([]*corev1.Pod, error) {
	items, err := c.list(ctx, pods, d.Namespace, metav1.FormatLabelSelector(d.Spec.Selector))
	if err != nil {
		return nil, err
	}
	out := make([]*corev1.Pod, 0, len(items))
	for i := range items {
		p, err := typed[corev1.Pod](&items[i])
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// replicasOf gives the wanted number of pods; an absent field means 1.
func replicasOf(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

// revisionOf gives the revision number the controller wrote on a ReplicaSet.
func revisionOf(rs *appsv1.ReplicaSet) int {
	n, err := strconv.Atoi(rs.Annotations["deployment.kubernetes.io/revision"])
	if err != nil {
		return 0
	}
	return n
}

// tagOf gives an image's tag, "" where it has none.
func tagOf(image string) string {
	image, _, _ = strings.Cut(image, "@")
	i := strings.LastIndexByte(image, ':')
	if i < 0 || strings.Contains(image[i:], "/") {
		return ""
	}
	return image[i+1:]
}

// withTag replaces an image's tag and drops its digest.
func withTag(image, tag string) string {
	image, _, _ = strings.Cut(image, "@")
	if old := tagOf(image); old != "" {
		image = strings.TrimSuffix(image, ":"+old)
	}
	return image + ":" + tag
}
