package kube

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
)

// mostTold bounds how many differences a warning names.
const mostTold = 8

// unlike names how the pod templates of the two Deployments of a rollout differ, apart
// from what must: labels, the image of the workload's container, and words that are
// the colour's own name. Values are not told, they may be secrets. The rollout changes
// the image alone, so what was once changed in one of the two and forgotten in the other
// would reach the users with it. "" where nothing differs.
func (s snapshot) unlike(live, idle *unstructured.Unstructured) string {
	if live == nil || idle == nil || s.Canary == nil {
		return ""
	}
	a, b := s.flatten(live, s.Stable), s.flatten(idle, *s.Canary)
	own := func(v any) any {
		if s.Colours != nil && (v == s.Colours.Live || v == s.Colours.Idle) {
			return s.Colours.Label
		}
		return v
	}
	var out []string
	keys := maps.Clone(a)
	maps.Copy(keys, b)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		va, inA := a[k]
		vb, inB := b[k]
		switch {
		case !inB:
			out = append(out, k+" (only "+s.Stable.Deployment+" has it)")
		case !inA:
			out = append(out, k+" (only "+s.Canary.Deployment+" has it)")
		case !reflect.DeepEqual(own(va), own(vb)):
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return ""
	}
	if n := len(out) - mostTold; n > 0 {
		out = append(out[:mostTold], fmt.Sprintf("%d more", n))
	}
	return state.Clean(fmt.Sprintf("%s and %s differ in more than the version: %s. %s takes over as it is: make them alike first, or mean it",
		s.Stable.Deployment, s.Canary.Deployment, strings.Join(out, ", "), s.Canary.Deployment))
}

// flatten gives a pod template's values by path. Elements of lists go by their name.
func (s snapshot) flatten(d *unstructured.Unstructured, w workload) map[string]any {
	t, _, _ := unstructured.NestedMap(d.Object, "spec", "template")
	unstructured.RemoveNestedField(t, "metadata", "labels")
	unstructured.RemoveNestedField(t, "metadata", "creationTimestamp")
	unstructured.RemoveNestedField(t, "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")
	out := map[string]any{}
	flatten(out, "", t)
	delete(out, "spec.containers["+w.Container+"].image")
	return out
}

func flatten(out map[string]any, path string, v any) {
	switch x := v.(type) {
	case map[string]any:
		for k, e := range x {
			if k == "name" && strings.HasSuffix(path, "]") {
				continue // it is in the path
			}
			flatten(out, join(path, k), e)
		}
	case []any:
		for i, e := range x {
			flatten(out, path+"["+elementName(e, i)+"]", e)
		}
	case nil:
	default:
		out[path] = x
	}
}

// elementName is what tells a list's elements apart: a name, a port, a path, else the
// index.
func elementName(e any, i int) string {
	m, _ := e.(map[string]any)
	for _, k := range []string{"name", "containerPort", "mountPath", "key", "topologyKey"} {
		if m[k] != nil {
			return fmt.Sprint(m[k])
		}
	}
	return fmt.Sprint(i)
}
