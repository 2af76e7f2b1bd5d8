package kube

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
	"mayday/steps"
)

func (k configured) changes(s snapshot, ns string, i int) []change {
	rest := k.recipe.changes(s, ns, i)
	if i > 0 || len(s.Config) == 0 {
		return rest
	}
	var copies, writes []change
	for _, o := range s.Config {
		copies = append(copies, k.copying(s, ns, o))
		writes = append(writes, k.writing(s, ns, o))
	}
	return append(append(copies, writes...), rest...)
}

// copying makes the copy of an object.
func (k configured) copying(s snapshot, ns string, o configObject) change {
	from, to := o.ref(ns), o.copyRef(ns)
	return change{id: "copy." + o.Kind + "." + o.Name, title: "immutable copy of " + from.String() + ": " + o.Copy, ref: to,
		byHand: func(context string) string { return o.copyByHand(context, ns) },
		create: func(ctx context.Context, c *Cluster) (bool, error) {
			key, err := k.key(s.Incident)
			if err != nil {
				return false, err
			}
			return c.makeCopy(ctx, o, ns, s.owner(), key, false)
		}}
}

// copyByHand is what a person types for a copy; kubectl create refuses what is there.
func (o configObject) copyByHand(context, ns string) string {
	return fmt.Sprintf("%s -o json | jq '.metadata={name:%q} | .immutable=true' | %s create -f -", o.ref(ns).kubectl(context, "get"), o.Copy, kubectlIn(context, ns))
}

// kubectlIn starts a command in a namespace.
func kubectlIn(context, ns string) string {
	if context == "" {
		return "kubectl -n " + ns
	}
	return "kubectl --context " + quote(context) + " -n " + ns
}

// makeCopy creates the copy unless it is there, from an original that still is what the
// plan was made for.
func (c *Cluster) makeCopy(ctx context.Context, o configObject, ns, incident string, key []byte, dry bool) (bool, error) {
	had, err := c.get(ctx, o.copyRef(ns))
	if err == nil {
		return false, o.genuine(had, key)
	}
	if !absent(err) {
		return false, err
	}
	live, err := c.get(ctx, o.ref(ns))
	if err != nil {
		return false, err
	}
	if !o.has(contentOf(live), key, o.Hash) || string(live.GetUID()) != o.UID {
		return false, &state.Problem{What: o.ref(ns).String() + " is not what it was when the plan was made", Code: "drift",
			Why: "somebody changed it since, and there is no copy of what it was", Do: "Find out who, then make the plan again."}
	}
	return true, c.create(ctx, o.copyRef(ns), o.copyObject(incident, live), dry)
}

// create makes an object, for real or as a dry run.
func (c *Cluster) create(ctx context.Context, r ref, u *unstructured.Unstructured, dry bool) error {
	opts := metav1.CreateOptions{FieldManager: fieldManager}
	if dry {
		opts.DryRun = []string{metav1.DryRunAll}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := c.client.Resource(r.Resource).Namespace(r.Namespace).Create(ctx, u, opts)
	return err
}

// writing sets the fence of an object and, where the runbook names a file, its data.
func (k configured) writing(s snapshot, ns string, o configObject) change {
	r := o.ref(ns)
	ch := change{id: "0." + o.Kind + "." + o.Name, title: "fence of " + r.String(), ref: r, closes: s.Single}
	if o.File == "" {
		return ch
	}
	ch.title = r.String() + " takes the data of " + o.File + "; " + o.running()
	ch.byHand = func(context string) string { return kubectlIn(context, ns) + " replace -f " + quote(o.File) }
	ch.veil = o.veil
	ch.build = func(live *unstructured.Unstructured) ([]patchOp, error) {
		key, err := k.key(s.Incident)
		if err != nil {
			return nil, err
		}
		now := contentOf(live)
		switch {
		case o.has(now, key, o.Next):
			return nil, nil
		case !o.has(now, key, o.Hash):
			return nil, &state.Problem{What: r.String() + " holds other data than planned", Code: "drift",
				Why: "somebody else changed it since the plan was made", Do: "Find out who, then roll back or plan again."}
		}
		next, err := fromFile(o.Kind, o.Name, o.File)
		if err != nil {
			return nil, err
		}
		if !o.has(next, key, o.Next) {
			return nil, &state.Problem{What: o.File + " is not what it was when the plan was made", Code: "drift",
				Why: "it was changed since", Do: "Restore it, or make the plan again."}
		}
		return next.ops(live), nil
	}
	return ch
}

// before looks at every fence before the first copy is made: work that is fenced out
// must not even leave a copy behind.
func (k configured) before(ctx context.Context, r *run, i int) error {
	if i == 0 && len(r.s.Config) > 0 {
		if err := r.mine(ctx); err != nil {
			return err
		}
	}
	if inner, ok := k.recipe.(careful); ok {
		return inner.before(ctx, r, i)
	}
	return nil
}

// mine fails with steps.ErrFenced where somebody else owns an object of the plan.
func (r *run) mine(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	for _, o := range r.refs() {
		g.Go(func() error {
			u, err := r.c.get(gctx, o)
			switch {
			case err != nil && transient(err):
				return nil // the writes try again, and look at their fences
			case err != nil:
				return problem(err, "cannot read "+o.String())
			}
			return r.owned(o, u.GetAnnotations())
		})
	}
	return g.Wait()
}

// effect closes the fences once the last stage's effect was seen: only now is the
// incident finished with the objects.
func (k configured) effect(ctx context.Context, r *run, i int) (steps.Effect, error) {
	e, err := k.recipe.effect(ctx, r, i)
	if err != nil || i < len(r.plan.Stages)-1 || len(r.s.Config) == 0 {
		return e, err
	}
	var closes []change
	for _, o := range r.s.configRefs(r.plan.Namespace) {
		closes = append(closes, change{id: "close", title: "fence of " + o.String() + " closed", ref: o, closes: true})
	}
	e.Text += fmt.Sprintf("; copies of %d ConfigMaps and Secrets stay, until: %s delete configmaps,secrets -l %s=%s",
		len(closes), kubectlIn(r.c.Context, r.plan.Namespace), IncidentLabel, labelValue(r.s.owner()))
	return e, r.apply(ctx, closes)
}
