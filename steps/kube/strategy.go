package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// Strategies gives the strategies of this package by name. connect opens an
// environment's cluster (usually Connect); what it opened is kept, one connection
// for each kubeconfig and context. traffic may be nil: then no share of traffic is
// observed and the effects say so. preview makes the checks of a blue-green rollout.
// keys may be nil where no rollout touches a ConfigMap or Secret.
func Strategies(connect func(runbook.Environment) (*Cluster, error), traffic steps.Traffic, preview Preview, keys Keys) map[string]steps.Strategy {
	b := &base{connect: connect, traffic: traffic, preview: preview, patience: usual, open: map[[2]string]*Cluster{}}
	out := map[string]steps.Strategy{}
	for name, recipes := range map[string][]recipe{"canary": {byPods{}, canary{}}, "blue-green": {blueGreen{}}, "rolling": {ordered{}, rolling{}},
		"immediate": {immediate{}}} {
		out[name] = several{&strategy{base: b, name: name, recipes: recipes, keys: keys}}
	}
	out[lastRelease{}.name()] = several{&strategy{base: b, name: lastRelease{}.name(), recipes: []recipe{lastRelease{}}, keys: keys}}
	return out
}

// base is what all strategies share.
type base struct {
	connect  func(runbook.Environment) (*Cluster, error)
	traffic  steps.Traffic
	preview  Preview
	patience patience

	preparing singleflight.Group

	mu   sync.Mutex
	open map[[2]string]*Cluster
}

func (b *base) cluster(env runbook.Environment) (*Cluster, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := [2]string{env.Kubeconfig, env.Context}
	old := b.open[key]
	if old != nil && !old.outdated() {
		return old, nil
	}
	c, err := b.connect(env)
	switch {
	case err != nil && old != nil: // half-written: what is known still serves
		return old, nil
	case err != nil:
		return nil, err
	}
	b.open[key] = c
	return c, nil
}

// recipe is what one strategy adds: which objects, which changes, which effects.
// Everything else (plan, proof, fence, retries, rollback) is shared.
type recipe interface {
	// read looks at the world for a plan and refuses what it cannot roll out. It
	// fills the snapshot and lays the stages down without their operations.
	read(ctx context.Context, c *Cluster, order steps.Order, s *snapshot) (world, []state.Stage, error)
	// subject names what carries the rollout: "VirtualService app".
	subject(s snapshot) string
	// changes are the writes of a stage.
	changes(s snapshot, ns string, i int) []change
	// effect waits until the stage is seen in the world.
	effect(ctx context.Context, r *run, i int) (steps.Effect, error)
	// deepest is the stage after which a rollback has the most to do: what the
	// inverse is shown and first proven from.
	deepest(s snapshot) int
	// undo are the operations of a rollback, in order.
	undo(s snapshot, ns string) []undo
}

// special is a recipe for some environments only, where a strategy has several.
type special interface {
	// fits says from the runbook whether a plan follows this recipe.
	fits(env runbook.Environment) bool
	// made says from a plan whether it followed this recipe.
	made(s snapshot) bool
}

// careful is a recipe that looks before the writes of a stage: what was ready when
// an earlier stage ended may no longer be.
type careful interface {
	before(ctx context.Context, r *run, i int) error
}

type strategy struct {
	*base
	name    string
	recipes []recipe // all but the last are special
	keys    Keys
}

// pick gives the first recipe that is the right one; the last one is, where no other is.
// Each takes care of ConfigMaps and Secrets too.
func (st *strategy) pick(right func(special) bool) recipe {
	last := len(st.recipes) - 1
	for _, k := range st.recipes[:last] {
		if sp, ok := k.(special); ok && right(sp) {
			return configured{k, st.keys}
		}
	}
	return configured{st.recipes[last], st.keys}
}

// run is one call: the plan and the cluster it is for.
type run struct {
	*base
	recipe recipe
	c      *Cluster
	plan   state.Plan
	s      snapshot
	fence  steps.Fence
	lane   lane
	out    io.Writer
	wrote  func() // of a rollback: the operation at hand is written; nil: nobody asks
}

func (r *run) env() runbook.Environment { return r.s.environment(r.plan) }

// resume opens the cluster of a plan and makes sure that it is the same one.
func (st *strategy) resume(ctx context.Context, plan state.Plan, l lane) (*run, error) {
	r, err := st.open(plan)
	if err != nil {
		return nil, err
	}
	r.lane = l
	return r, r.c.same(ctx, plan, l)
}

// open opens the cluster of a plan, without asking it anything.
func (st *strategy) open(plan state.Plan) (*run, error) {
	s, err := readSnapshot(plan)
	if err != nil {
		return nil, err
	}
	c, err := st.cluster(s.environment(plan))
	if err != nil {
		return nil, err
	}
	recipe := st.pick(func(k special) bool { return k.made(s) })
	return &run{base: st.base, recipe: recipe, c: c, plan: plan, s: s, out: io.Discard}, nil
}

// Name implements steps.Strategy.
func (st *strategy) Name() string { return st.name }

// Plan implements steps.Strategy.
func (st *strategy) Plan(ctx context.Context, order steps.Order) (state.Plan, error) {
	env := order.Environment
	recipe := st.pick(func(k special) bool { return k.fits(env) })
	d, err := st.draft(ctx, order)
	if err != nil {
		return state.Plan{}, err
	}
	c, s := d.c, &d.s
	live, stages, err := recipe.read(ctx, c, order, s)
	if err != nil {
		return state.Plan{}, err
	}
	if err := c.remember(ctx, namespace(env), &s.Stable); err != nil {
		return state.Plan{}, err
	}
	if s.Stable.Live == s.Stable.Next {
		return state.Plan{}, &state.Problem{What: env.Name + " already runs " + order.Version, Code: "already-running",
			Why: s.Stable.ref("").String() + " has image " + state.Clean(s.Stable.Live), Do: "There is nothing to roll out; validate it instead."}
	}
	plan, err := d.plan(state.Plan{Strategy: st.Name(), Version: order.Version, Target: or(s.Stable.version(), order.Previous), Subject: recipe.subject(*s), Stages: stages})
	if err != nil {
		return state.Plan{}, err
	}
	if len(s.Stable.Digests) == 1 {
		plan.Digest = s.Stable.Digests[0]
	}
	if plan.Target == "" {
		return state.Plan{}, &state.Problem{What: "the version in " + env.Name + " has no name", Code: "no-target",
			Why: "image " + state.Clean(s.Stable.Image) + " has no tag, and git knows no version of production", Do: "Tag what runs there, then plan again."}
	}
	if err := describe(ctx, c, recipe, &plan, *s, live); err != nil {
		return state.Plan{}, err
	}
	plan.Warnings = append(warnings(recipe, plan, *s, live), s.leftOut()...)
	return plan, nil
}

// draft is a plan of which the cluster is known and the objects are not read yet.
type draft struct {
	order    steps.Order
	c        *Cluster
	identity string
	s        snapshot
}

// draft opens the environment's cluster.
func (st *strategy) draft(ctx context.Context, order steps.Order) (*draft, error) {
	env := order.Environment
	c, err := st.cluster(env)
	if err != nil {
		return nil, err
	}
	id, err := c.Identity(ctx)
	return &draft{order, c, id, snapshot{Incident: order.Incident, Mark: order.Mark, Kubeconfig: or(env.Kubeconfig, c.Kubeconfig), URL: env.URL}}, err
}

// plan fills in where the plan belongs, and the snapshot as it is now.
func (d *draft) plan(p state.Plan) (state.Plan, error) {
	env := d.order.Environment
	p.ID, p.Environment, p.Production, p.Namespace = d.order.ID, env.Name, env.Production, namespace(env)
	p.Revision, p.Context, p.ClusterUID = d.s.Stable.Set, d.c.Context, d.identity
	var err error
	if p.Snapshot, err = json.Marshal(d.s); err != nil {
		return p, fmt.Errorf("encode snapshot: %w", err)
	}
	return p, nil
}

// describe writes down every operation of the stages and of the inverse, by
// carrying them out on a copy of the world.
func describe(ctx context.Context, c *Cluster, recipe recipe, plan *state.Plan, s snapshot, live world) error {
	w, f := live.copy(), fenceAround(live, s.owner())
	var deepest world
	for i := range plan.Stages {
		for _, ch := range recipe.changes(s, plan.Namespace, i) {
			op, after, err := ch.op(w[ch.ref], f, c.Context)
			if err != nil {
				return err
			}
			w[ch.ref] = after
			plan.Stages[i].Ops = append(plan.Stages[i].Ops, op)
		}
		if i == recipe.deepest(s) {
			deepest = w.copy()
		}
	}
	f.Epoch++
	for _, u := range recipe.undo(s, plan.Namespace) {
		ch, err := u.resolve(ctx, c, plan.Namespace, nil)
		if err != nil {
			return err
		}
		ch.bare = true
		op, _, err := ch.op(deepest[ch.ref], f, c.Context)
		if err != nil {
			return err
		}
		plan.Inverse = append(plan.Inverse, op)
	}
	plan.Inverse = append(plan.Inverse, state.Op{ID: opVerify, Title: plan.Target + " ready and answering"})
	return nil
}

// fenceAround gives the fence a plan is shown with: the newest epoch the objects
// know of this incident. The Engine says at each stage which one really holds.
func fenceAround(w world, incident string) steps.Fence {
	f := steps.Fence{Incident: incident}
	for _, u := range w {
		if own, ok := readFence(u.GetAnnotations()[FenceAnnotation]); ok && own.Incident == incident {
			f.Epoch = max(f.Epoch, own.Epoch)
		}
	}
	return f
}

// Stage implements steps.Strategy.
func (st *strategy) Stage(ctx context.Context, plan state.Plan, i int, fence steps.Fence, out io.Writer) (steps.Effect, error) {
	if i < 0 || i >= len(plan.Stages) {
		return steps.Effect{}, fmt.Errorf("plan %s has no stage %d", plan.ID, i)
	}
	r, err := st.resume(ctx, plan, forward)
	if err != nil {
		return steps.Effect{}, err
	}
	r.fence, r.out = fence, out
	if k, ok := r.recipe.(careful); ok {
		if err := k.before(ctx, r, i); err != nil {
			return steps.Effect{}, err
		}
	}
	if err := r.apply(ctx, r.recipe.changes(r.s, plan.Namespace, i)); err != nil {
		return steps.Effect{}, err
	}
	return r.recipe.effect(ctx, r, i)
}

// apply makes changes one after the other and tells what it did.
func (r *run) apply(ctx context.Context, changes []change) error {
	for _, ch := range changes {
		wrote, err := r.c.write(ctx, ch, r.fence, r.lane)
		if err != nil {
			return err
		}
		if wrote {
			fmt.Fprintf(r.out, "%s: %s\n", ch.ref, ch.title)
		} else if ch.then == nil {
			fmt.Fprintf(r.out, "%s: already so (%s)\n", ch.ref, ch.title)
		}
		if ch.then != nil {
			if err := ch.then(ctx, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// Look implements steps.Strategy.
func (st *strategy) Look(ctx context.Context, plan state.Plan) ([]string, error) {
	r, err := st.resume(ctx, plan, forward)
	if err != nil {
		return nil, err
	}
	refs := r.refs()
	lines := make([]string, len(refs))
	g, ctx := errgroup.WithContext(ctx)
	for i, o := range refs {
		g.Go(func() (err error) { lines[i], err = r.lookAt(ctx, o); return err })
	}
	return lines, g.Wait()
}

// refs are the plan's objects, the carrier first.
func (r *run) refs() []ref {
	var out []ref
	if k := r.s.carrier(); k != nil {
		out = append(out, k.ref(r.plan.Namespace))
	}
	out = append(out, r.s.Stable.ref(r.plan.Namespace))
	if r.s.Canary != nil {
		out = append(out, r.s.Canary.ref(r.plan.Namespace))
	}
	return append(out, r.s.configRefs(r.plan.Namespace)...)
}

func (r *run) lookAt(ctx context.Context, o ref) (string, error) {
	u, err := r.c.get(ctx, o)
	if absent(err) {
		return o.String() + ": does not exist", nil
	}
	if err != nil {
		return "", problem(err, "cannot read "+o.String())
	}
	own := "no fence"
	if text := u.GetAnnotations()[FenceAnnotation]; text != "" {
		own = "fence " + state.Clean(text)
		if u.GetAnnotations()[ClosedAnnotation] == text {
			own += ", closed"
		}
	}
	if cfg, ok := r.s.config(o); ok {
		return r.lookAtConfig(ctx, cfg, u, own)
	}
	switch o.Kind {
	case "Deployment":
		return r.lookAtDeployment(ctx, o, own)
	case kindStatefulSet:
		return r.lookAtSet(ctx, o, own)
	}
	return fmt.Sprintf("%s: %s (%s)", o, r.s.carrier().shares(u), own), nil
}

func (r *run) lookAtDeployment(ctx context.Context, o ref, own string) (string, error) {
	v, err := r.c.view(ctx, o)
	if err != nil {
		return "", problem(err, "cannot read "+o.String())
	}
	text := ""
	for _, rs := range v.sets {
		if replicasOf(rs.Spec.Replicas) == 0 && rs.Status.Replicas == 0 {
			continue
		}
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("%s %d/%d ready", versionIn(rs.Spec.Template.Spec.Containers, r.container(o)), rs.Status.ReadyReplicas, replicasOf(rs.Spec.Replicas))
	}
	if text == "" {
		text = versionIn(v.d.Spec.Template.Spec.Containers, r.container(o)) + " 0/0 ready"
	}
	if v.d.Spec.Paused {
		text += ", paused"
	}
	if err := trouble(v.d, v.current, v.pods); err != nil {
		text += ", " + state.AsProblem(err).What
	}
	return fmt.Sprintf("%s: %s (%s)", o, text, own), nil
}

func (r *run) container(o ref) string {
	if r.s.Canary != nil && r.s.Canary.Deployment == o.Name {
		return r.s.Canary.Container
	}
	return r.s.Stable.Container
}
