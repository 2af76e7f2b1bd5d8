package drill

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"text/template"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"mayday/steps/drill/follow"
)

//go:embed files/cluster.yaml
var clusterYAML string

// How many pods the range has.
const (
	Replicas        = 6 // of app-stable in production
	stagingReplicas = 2
)

// resources says where the kinds of cluster.yaml live.
var resources = map[string]schema.GroupVersionResource{
	"Namespace":      {Version: "v1", Resource: "namespaces"},
	"Deployment":     {Group: "apps", Version: "v1", Resource: "deployments"},
	"Service":        follow.Services,
	"VirtualService": follow.VirtualServices,
	"HTTPRoute":      follow.HTTPRoutes,
}

// Seed creates what a drill begins with, production and staging on Broken, in any
// cluster that has the kinds. What is there already stays as it is.
func Seed(ctx context.Context, config *rest.Config) error {
	client, err := follow.Client(config)
	if err != nil {
		return err
	}
	objects, err := seeds()
	if err != nil {
		return err
	}
	for _, o := range objects {
		gvr, ok := resources[o.GetKind()]
		if !ok {
			return fmt.Errorf("cluster.yaml has a %s, which the range does not know", o.GetKind())
		}
		_, err := client.Resource(gvr).Namespace(o.GetNamespace()).Create(ctx, o, metav1.CreateOptions{FieldManager: "drill"})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

type seed struct {
	Name, Namespace, Track, Version string
	Replicas                        int
}

// seeds renders and reads cluster.yaml.
func seeds() ([]*unstructured.Unstructured, error) {
	t, err := template.New("cluster.yaml").Parse(clusterYAML)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = t.Execute(&text, map[string][]seed{
		"Deployments": {
			{"app-stable", "shop", "stable", Broken, Replicas}, {"app-canary", "shop", "canary", Broken, 0},
			{"app", "staging", "stable", Broken, stagingReplicas}},
		"Services": {
			{Name: "app-stable", Namespace: "shop", Track: "stable"}, {Name: "app-canary", Namespace: "shop", Track: "canary"},
			{Name: "app", Namespace: "shop"}, {Name: "app", Namespace: "staging"}},
	})
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	for doc := range bytes.SplitSeq(text.Bytes(), []byte("\n---\n")) {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(doc, &o.Object); err != nil {
			return nil, fmt.Errorf("cluster.yaml: %w", err)
		}
		if len(o.Object) > 0 {
			out = append(out, o)
		}
	}
	return out, nil
}
