package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"mayday/state"
)

// colours is what a plan remembers of a Service that leads to one of two Deployments.
type colours struct {
	Service  string            `json:"service"`
	Label    string            `json:"label"`    // the key of the selector that is switched
	Selector map[string]string `json:"selector"` // all of it, before
	Live     string            `json:"live"`     // the key's value before
	Idle     string            `json:"idle"`     // and after
	Preview  string            `json:"preview,omitempty"`
	// PreviewService leads to the idle colour, where Preview is empty.
	PreviewService string         `json:"preview_service,omitempty"`
	Drain          state.Duration `json:"drain,omitempty"`
}

func (c colours) ref(ns string) ref {
	return ref{Resource: services, Kind: "Service", Namespace: ns, Name: c.Service}
}

func (c colours) String() string { return "Service " + c.Service }

const selectorPath = "/spec/selector"

// selectorOf reads a Service's selector.
func selectorOf(live *unstructured.Unstructured) map[string]string {
	m, _, _ := unstructured.NestedStringMap(live.Object, "spec", "selector")
	return m
}

// turned is the selector that leads to the idle colour.
func (c colours) turned() map[string]string {
	out := maps.Clone(c.Selector)
	out[c.Label] = c.Idle
	return out
}

// turnOps leads the Service from the live colour to the idle one. The selector must be
// the one that was planned for.
func (c colours) turnOps(live *unstructured.Unstructured) ([]patchOp, error) {
	now := selectorOf(live)
	switch {
	case maps.Equal(now, c.turned()):
		return nil, nil
	case !maps.Equal(now, c.Selector):
		return nil, &state.Problem{What: c.String() + " has another selector than planned", Code: "drift",
			Why: "it is " + c.shares(live) + "; somebody else changed it during the rollout", Do: "Find out who, then roll back or plan again."}
	}
	return c.label(live, c.Live, c.Idle), nil
}

// backOps makes the selector what it was before, whatever it is.
func (c colours) backOps(live *unstructured.Unstructured) []patchOp {
	now := selectorOf(live)
	if maps.Equal(now, c.Selector) {
		return nil
	}
	if maps.Equal(now, c.turned()) {
		return c.label(live, c.Idle, c.Live)
	}
	return append(c.still(live), add(selectorPath, c.Selector))
}

func (c colours) label(live *unstructured.Unstructured, from, to string) []patchOp {
	path := selectorPath + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(c.Label)
	return append(c.still(live), test(path, from), replace(path, to))
}

// still tests that nobody wrote the Service since it was read: a selector is meant as
// a whole, whichever of its keys somebody changed.
func (c colours) still(live *unstructured.Unstructured) []patchOp {
	return []patchOp{test(versionPath, live.GetResourceVersion())}
}

// shares implements carrier.
func (c colours) shares(live *unstructured.Unstructured) string {
	return state.Clean("selector " + labels.SelectorFromSet(selectorOf(live)).String())
}

// home implements carrier.
func (c colours) home(live *unstructured.Unstructured) (string, error) {
	if !maps.Equal(selectorOf(live), c.Selector) {
		return "", &state.Problem{What: c.String() + " does not lead to " + c.Live, Why: c.shares(live), Code: "traffic",
			Do: "Set its selector by hand to " + labels.SelectorFromSet(c.Selector).String() + "."}
	}
	return c.Service + " → " + c.Live, nil
}

// stillOn fails when the Service was taken over or its selector moved.
func (r *run) stillOn(ctx context.Context, colour string) error {
	c := r.s.Colours
	o := c.ref(r.plan.Namespace)
	live, err := r.c.get(ctx, o)
	if err != nil {
		if transient(err) {
			return nil
		}
		return problem(err, "cannot read "+o.String())
	}
	if err := r.owned(o, live.GetAnnotations()); err != nil {
		return err
	}
	if selectorOf(live)[c.Label] != colour {
		return &state.Problem{What: o.String() + " no longer leads to " + colour, Code: "drift",
			Why: "it has " + c.shares(live) + "; somebody else changed it during the rollout", Do: "Find out who, then roll back or plan again."}
	}
	return nil
}

var endpointSlices = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}

// led waits until the Service's endpoints are pods of one Deployment alone, at least
// so many of them ready. The text says how many.
func (r *run) led(ctx context.Context, o ref, least int32) (string, error) {
	svc, give := r.s.Colours.ref(r.plan.Namespace), time.Now().Add(r.patience.follow)
	for {
		ok, text, err := r.leads(ctx, svc.Name, o, least)
		switch {
		case err != nil && (denied(err) || unsupported(err)):
			return "endpoints not seen (" + state.Clean(err.Error()) + ")", nil
		case err != nil && !transient(err):
			return "", problem(err, "cannot read the endpoints of "+svc.String())
		case err != nil:
			text = "the API server does not answer"
		case ok:
			return text, nil
		}
		if time.Now().After(give) {
			return "", &state.Problem{What: svc.String() + " does not lead to " + o.Name + " alone", Why: text, Code: "traffic",
				Do: "Look: kubectl -n " + svc.Namespace + " get endpointslices -l " + discoveryv1.LabelServiceName + "=" + svc.Name}
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return "", err
		}
	}
}

func (r *run) leads(ctx context.Context, service string, o ref, least int32) (bool, string, error) {
	v, err := r.c.view(ctx, o)
	if err != nil {
		return false, "", err
	}
	items, err := r.c.list(ctx, endpointSlices, o.Namespace, discoveryv1.LabelServiceName+"="+service)
	if err != nil {
		return false, "", err
	}
	own := v.own()
	seen := map[types.UID]bool{} // a pod has an endpoint for each family of addresses
	ready, others := int32(0), 0
	for i := range items {
		s, err := typed[discoveryv1.EndpointSlice](&items[i])
		if err != nil {
			return false, "", err
		}
		for _, e := range s.Endpoints {
			switch {
			case e.TargetRef == nil || !own[e.TargetRef.UID]:
				others++
			case !seen[e.TargetRef.UID] && (e.Conditions.Ready == nil || *e.Conditions.Ready):
				seen[e.TargetRef.UID] = true
				ready++
			}
		}
	}
	text := fmt.Sprintf("%d endpoints of %s", ready, o.Name)
	if others > 0 {
		text += fmt.Sprintf(", %d others", others)
	}
	return others == 0 && ready >= least, text, nil
}

// own are the pods that the Deployment's ReplicaSets made.
func (v view) own() map[types.UID]bool {
	out := map[types.UID]bool{}
	for _, p := range v.pods {
		if madeBy(p, v.sets) {
			out[p.UID] = true
		}
	}
	return out
}

// madeBy reports whether one of the ReplicaSets made the pod.
func madeBy(pod metav1.Object, sets []*appsv1.ReplicaSet) bool {
	by := metav1.GetControllerOf(pod)
	return by != nil && slices.ContainsFunc(sets, func(rs *appsv1.ReplicaSet) bool { return rs.UID == by.UID })
}

// strangers names the pods that a selector finds and the Deployment did not make. It reads
// the pods first: what made them is there then, and is among what is read afterwards.
func (c *Cluster) strangers(ctx context.Context, o ref, selector map[string]string) ([]string, error) {
	items, err := c.list(ctx, pods, o.Namespace, labels.SelectorFromSet(selector).String())
	if err != nil {
		return nil, err
	}
	d, err := c.deployment(ctx, o)
	if err != nil {
		return nil, err
	}
	sets, err := c.replicaSets(ctx, d)
	if err != nil {
		return nil, err
	}
	var out []string
	for i := range items {
		phase, _, _ := unstructured.NestedString(items[i].Object, "status", "phase")
		ended := phase == string(corev1.PodSucceeded) || phase == string(corev1.PodFailed) || items[i].GetDeletionTimestamp() != nil
		if !madeBy(&items[i], sets) && !ended {
			out = append(out, items[i].GetName())
		}
	}
	return out, nil
}
