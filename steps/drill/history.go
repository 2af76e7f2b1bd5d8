package drill

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"mayday/steps/drill/follow"
)

// Before is the release that production ran before Broken; Oldest is the one before
// that. Both are well, and both are in the cluster's memory and in git's.
const (
	Before = "v1.2.2"
	Oldest = "v1.2.1"
)

var replicaSets = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}

// past is a clock that a cluster remembers its releases by: it stands in the past and
// jumps to the present.
type past struct{ behind atomic.Int64 }

func (p *past) now() time.Time { return time.Now().Add(-time.Duration(p.behind.Load())) }

func (p *past) ago(d time.Duration) { p.behind.Store(int64(d)) }

// How long ago the releases before Broken were made.
const (
	day       = 24 * time.Hour
	oldestAgo = 33 * day
	beforeAgo = 21 * day
)

// remember lays down what a cluster would know of production's earlier releases: a
// ReplicaSet without pods for each, with the times at which it took over and ended. The
// Deployment that is made after takes them on as its own.
func remember(ctx context.Context, config *rest.Config, clock *past) error {
	client, err := follow.Client(config)
	if err != nil {
		return err
	}
	sets := client.Resource(replicaSets).Namespace("shop")
	spaces := client.Resource(resources["Namespace"])
	clock.ago(oldestAgo)
	space := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "shop"}}}
	if _, err := spaces.Create(ctx, space, metav1.CreateOptions{FieldManager: "drill"}); err != nil {
		return fmt.Errorf("remember earlier releases: %w", err)
	}
	for i, release := range []struct {
		version string
		ago     time.Duration
	}{{Oldest, oldestAgo}, {Before, beforeAgo}} {
		clock.ago(release.ago)
		set, err := setOf(release.version, i+1)
		if err != nil {
			return err
		}
		if _, err := sets.Create(ctx, set, metav1.CreateOptions{FieldManager: "drill"}); err != nil {
			return fmt.Errorf("remember %s: %w", release.version, err)
		}
		if err := counted(ctx, sets, set.GetName(), 1); err != nil {
			return err
		}
	}
	// The oldest one's last pod ended when the next had taken over: its status was
	// written then.
	oldest, err := setOf(Oldest, 1)
	if err != nil {
		return err
	}
	patch := json.RawMessage(`{"spec":{"minReadySeconds":0}}`)
	if _, err := sets.Patch(ctx, oldest.GetName(), types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "drill"}); err != nil {
		return fmt.Errorf("remember %s: %w", Oldest, err)
	}
	if err := counted(ctx, sets, oldest.GetName(), 2); err != nil {
		return err
	}
	clock.ago(0)
	return nil
}

// counted waits until the controller has seen a generation of a ReplicaSet.
func counted(ctx context.Context, sets dynamic.ResourceInterface, name string, generation int64) error {
	for {
		u, err := sets.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("remember earlier releases: %w", err)
		}
		if seen, _, _ := unstructured.NestedInt64(u.Object, "status", "observedGeneration"); seen >= generation {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the practice cluster does not count its ReplicaSets: %w", ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}

// setOf is the ReplicaSet of a version of production, as its Deployment would own it.
func setOf(version string, revision int) (*unstructured.Unstructured, error) {
	objects, err := seeds()
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		if o.GetKind() != "Deployment" || o.GetName() != "app-stable" {
			continue
		}
		template, _, _ := unstructured.NestedMap(o.Object, "spec", "template")
		containers, _, _ := unstructured.NestedSlice(template, "spec", "containers")
		c, ok := containers[0].(map[string]any)
		image, _ := c["image"].(string)
		if !ok || !strings.HasSuffix(image, Broken) {
			return nil, fmt.Errorf("cluster.yaml's app-stable does not run %s", Broken)
		}
		c["image"] = strings.TrimSuffix(image, Broken) + version
		hash := "v" + strings.NewReplacer("v", "", ".", "").Replace(version)
		labels, _, _ := unstructured.NestedStringMap(template, "metadata", "labels")
		labels["pod-template-hash"] = hash
		set := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "ReplicaSet"}}
		set.SetName(o.GetName() + "-" + hash)
		set.SetNamespace(o.GetNamespace())
		set.SetLabels(labels)
		set.SetAnnotations(map[string]string{"deployment.kubernetes.io/revision": fmt.Sprint(revision),
			"deployment.kubernetes.io/desired-replicas": fmt.Sprint(Replicas), "deployment.kubernetes.io/max-replicas": fmt.Sprint(Replicas + 1)})
		spec := map[string]any{"replicas": int64(0), "minReadySeconds": int64(revision % 2), "template": template}
		for path, value := range map[string]any{"template.spec.containers": containers, "selector.matchLabels": anyMap(labels), "template.metadata.labels": anyMap(labels)} {
			if err := unstructured.SetNestedField(spec, value, strings.Split(path, ".")...); err != nil {
				return nil, fmt.Errorf("remember %s: %w", version, err)
			}
		}
		return set, unstructured.SetNestedField(set.Object, spec, "spec")
	}
	return nil, fmt.Errorf("cluster.yaml has no app-stable")
}

func anyMap(m map[string]string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		out[k] = v
	}
	return out
}
