package kube

import (
	"context"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
	"mayday/steps"
)

// configured adds the ConfigMaps and Secrets to a strategy: copies and writes to its
// first stage, closed fences to its last, their data to its rollback.
type configured struct {
	recipe
	keys Keys
}

// key gives the incident's key, or why there is none.
func (k configured) key(incident string) ([]byte, error) {
	if k.keys == nil {
		return nil, &state.Problem{What: "ConfigMaps and Secrets cannot be guarded", Why: "there is no key to hash them with", Code: "no-key"}
	}
	key, err := k.keys(incident)
	if err != nil || len(key) == 0 {
		why := "it is empty"
		if err != nil {
			why = state.Clean(err.Error())
		}
		return nil, &state.Problem{What: "the incident's key is not there: ConfigMaps and Secrets cannot be guarded", Why: why, Code: "no-key",
			Do: "Look at the incident's folder: is its disk full, or journal.key gone?"}
	}
	return key, nil
}

// wanted is an object on its way into a plan.
type wanted struct {
	ref    ref
	listed bool // in the runbook, not only in a pod template
	file   string
	how    reading
	live   *unstructured.Unstructured
	left   string // why it is left out
}

func (k configured) read(ctx context.Context, c *Cluster, order steps.Order, s *snapshot) (world, []state.Stage, error) {
	w, stages, err := k.recipe.read(ctx, c, order, s)
	if err != nil {
		return nil, nil, err
	}
	list := wantedBy(order, w)
	if len(list) == 0 {
		return w, stages, nil
	}
	key, err := k.key(order.Incident)
	if err != nil && list[0].listed {
		return nil, nil, err
	}
	for i := range list {
		if err != nil { // an incident that lost its key must still be able to deploy
			list[i].left = state.AsProblem(err).Why
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	for i := range list {
		g.Go(func() error {
			if err := c.wants(gctx, &list[i]); err != nil {
				return err
			}
			return c.may(gctx, &list[i])
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, err
	}
	for _, x := range list {
		if x.left != "" {
			s.Left = append(s.Left, leftOut{x.ref.Kind, x.ref.Name, x.left})
			continue
		}
		if x.live == nil {
			continue // an optional reference to nothing
		}
		o, err := x.planned(key, order)
		if err != nil {
			return nil, nil, err
		}
		s.Config = append(s.Config, o)
		w[x.ref] = x.live
	}
	s.Single = len(stages) == 1
	return w, stages, nil
}

// leftOut is an object that a pod template names and that is not guarded.
type leftOut struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	Why  string `json:"why"`
}

// wantedBy lists the objects of the runbook, in its order, then those of the templates.
func wantedBy(order steps.Order, w world) []wanted {
	read := readBy(w)
	var out []wanted
	for _, x := range order.Environment.Config {
		kind, name, _ := strings.Cut(x.Name, "/")
		r := configRef(kind, namespace(order.Environment), name)
		out = append(out, wanted{ref: r, listed: true, file: x.File, how: read[r]})
		delete(read, r)
	}
	listed := len(out)
	for r, how := range read {
		out = append(out, wanted{ref: r, how: how})
	}
	slices.SortFunc(out[listed:], func(a, b wanted) int { return strings.Compare(a.ref.object(), b.ref.object()) })
	return out
}

// wants reads an object. What nobody listed may be unreadable or not there.
func (c *Cluster) wants(ctx context.Context, x *wanted) error {
	var err error
	x.live, err = c.get(ctx, x.ref)
	switch {
	case err == nil && x.listed:
		return nil
	case absent(err) && x.listed:
		return &state.Problem{What: x.ref.String() + " does not exist", Why: "config of the environment in mayday.yaml names it", Code: "not-found",
			Do: "Create it first: a rollback can put data back, and cannot tell what an object that never was should hold."}
	case absent(err):
		x.live = nil
		return nil
	case denied(err) && !x.listed:
		x.left = "this user may not read it"
		return nil
	}
	return problem(err, "cannot read "+x.ref.String()+" in namespace "+x.ref.Namespace)
}

// may asks, for what nobody listed, whether this user may copy it and put it back.
func (c *Cluster) may(ctx context.Context, x *wanted) error {
	if x.listed || x.live == nil || x.left != "" {
		return nil
	}
	r := &run{c: c}
	r.plan.Namespace = x.ref.Namespace
	for _, right := range []right{{verb: "patch", resource: x.ref.Resource, name: x.ref.Name}, {verb: "create", resource: x.ref.Resource}} {
		why, err := r.ask(ctx, right)
		switch {
		case err != nil && (unsupported(err) || denied(err)): // the dry run tells
		case err != nil:
			return problem(err, "cannot ask for the rights on "+x.ref.String())
		case why != "":
			x.left = "this user may not " + right.verb + " " + right.resource.Resource
		}
	}
	return nil
}

// rights implements demanding: copies are made, and what was deleted is made again.
func (k configured) rights(r *run) []right {
	var out []right
	seen := map[string]bool{}
	for _, o := range r.s.Config {
		if at := o.ref(r.plan.Namespace); !seen[o.Kind] {
			seen[o.Kind] = true
			out = append(out, right{verb: "create", resource: at.Resource})
		}
		out = append(out, right{verb: "get", resource: o.ref(r.plan.Namespace).Resource, name: o.Copy})
	}
	if inner, ok := k.recipe.(demanding); ok {
		out = append(out, inner.rights(r)...)
	}
	return out
}

// planned makes the plan's record of an object.
func (x wanted) planned(key []byte, order steps.Order) (configObject, error) {
	o := configObject{Kind: x.ref.Kind, Name: x.ref.Name, UID: string(x.live.GetUID()), File: x.file, Env: x.how.env, Volume: x.how.volume}
	now := contentOf(x.live)
	var err error
	if o.Hash, err = now.keyed(key, o.Kind, o.Name, o.UID); err != nil {
		return o, err
	}
	if o.Copy, err = copyName(key, o.Name, o.Kind, x.ref.Namespace, o.UID, order.Incident, order.ID, o.Hash); err != nil || o.File == "" {
		return o, err
	}
	next, err := fromFile(o.Kind, o.Name, o.File)
	if err != nil {
		return o, err
	}
	if o.Next, err = next.keyed(key, o.Kind, o.Name, o.UID); err != nil {
		return o, err
	}
	if immutable(x.live) && !next.equal(now) {
		return o, &state.Problem{What: x.ref.String() + " is immutable", Why: "its data can never change, and " + o.File + " has other data", Code: "immutable",
			Do: "Put the new data into an object of another name, and have the pod template of the new version refer to that."}
	}
	return o, nil
}
