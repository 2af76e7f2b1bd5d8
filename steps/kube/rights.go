package kube

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"mayday/state"
)

// right is something the rollout or its rollback asks of the API server.
type right struct {
	verb     string
	resource schema.GroupVersionResource
	sub      string // subresource: "proxy"
	name     string // of one object; "" means any of the namespace
	// without says what happens where it is denied and the rollout can do without it;
	// "" where it cannot.
	without string
}

func (x right) String() string {
	s := x.verb + " " + x.resource.Resource
	if x.sub != "" {
		s += "/" + x.sub
	}
	if x.name != "" {
		s += " " + x.name
	}
	return s
}

// demanding is a recipe that asks more of the API server than to read its objects and
// their pods, and to patch the objects of its plan.
type demanding interface {
	rights(r *run) []right
}

// looks are the rights to look, which every strategy uses.
func (r *run) looks() []right {
	const polled = "it is polled instead"
	keeper := r.s.Stable.keeper(r.plan.Namespace).Resource
	out := []right{
		{verb: "list", resource: keeper}, {verb: "get", resource: keeper}, {verb: "list", resource: pods},
		{verb: "watch", resource: r.s.Stable.ref("").Resource, without: polled}, {verb: "watch", resource: pods, without: polled},
		{verb: "list", resource: autoscalers, without: "an autoscaler that owns the pods' number would not be known"},
	}
	for _, o := range r.refs() {
		out = append(out, right{verb: "get", resource: o.Resource, name: o.Name})
	}
	if r.s.Colours != nil {
		out = append(out, right{verb: "list", resource: endpointSlices, without: "where the Service leads would not be seen"})
	}
	return out
}

// rights asks the API server for everything that the rollout and the rollback will do:
// one finding for each object that is written, one for all that is read.
func (r *run) rights(rec recipe) []check {
	var out []check
	for _, o := range r.refs() {
		out = append(out, func(ctx context.Context) (finding, error) {
			return r.granted(ctx, "right to patch "+o.String(), []right{{verb: "patch", resource: o.Resource, name: o.Name}})
		})
	}
	look := r.looks()
	if k, ok := rec.(demanding); ok {
		look = append(look, k.rights(r)...)
	}
	return append(out, func(ctx context.Context) (finding, error) { return r.granted(ctx, "rights to look and wait", look) })
}

// granted asks for all of the rights at once.
func (r *run) granted(ctx context.Context, name string, list []right) (finding, error) {
	answers := make([]string, len(list))
	g, gctx := errgroup.WithContext(ctx)
	for i, x := range list {
		g.Go(func() (err error) { answers[i], err = r.ask(gctx, x); return err })
	}
	if err := g.Wait(); err != nil {
		if unsupported(err) || denied(err) {
			return yes(name, "this server does not say; the dry run does"), nil
		}
		return finding{}, err
	}
	var lacks, misses []string
	for i, x := range list {
		switch {
		case answers[i] == "":
		case x.without == "":
			lacks = append(lacks, strings.TrimSpace("denied "+answers[i])+" (kubectl auth can-i "+x.typed(r.plan.Namespace)+")")
		default:
			misses = append(misses, x.String()+" is denied: "+x.without)
		}
	}
	switch {
	case len(lacks) > 0:
		return no(name, state.NotReady, fmt.Errorf("%s", strings.Join(lacks, ", "))), nil
	case len(misses) > 0:
		return mind(name, strings.Join(misses, ", ")), nil
	}
	return yes(name, "allowed"), nil
}

// typed is how a person asks for the right: "patch services/app -n shop".
func (x right) typed(ns string) string {
	what := x.resource.GroupResource().String()
	if x.name != "" {
		what += "/" + x.name
	}
	if x.sub != "" {
		what += " --subresource=" + x.sub
	}
	return x.verb + " " + what + " -n " + ns
}

// ask gives "" where the right is granted, else why not.
func (r *run) ask(ctx context.Context, x right) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	about := map[string]any{"verb": x.verb, "namespace": r.plan.Namespace, "group": x.resource.Group, "version": x.resource.Version, "resource": x.resource.Resource}
	if x.name != "" {
		about["name"] = x.name
	}
	if x.sub != "" {
		about["subresource"] = x.sub
	}
	review := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": about}}}
	got, err := r.c.client.Resource(reviews).Create(ctx, review, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	if ok, _, _ := unstructured.NestedBool(got.Object, "status", "allowed"); ok {
		return "", nil
	}
	why, _, _ := unstructured.NestedString(got.Object, "status", "reason")
	return or(state.Clean(why), x.String()), nil
}
