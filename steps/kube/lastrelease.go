package kube

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"

	"mayday/state"
	"mayday/steps"
)

// lastRelease takes a release back that mayday did not make: one Deployment returns
// to the revision before the present one, a Service to the other colour, a StatefulSet
// to the revision that a release under way is replacing. It rolls nothing out, so its
// plans have no stages; PlanUndo of the other strategies makes them.
type lastRelease struct{}

// release is what a recipe adds where a release made its way can be undone.
type release interface {
	// ranBefore finds what production ran before the present version and fills the
	// snapshot as if mayday had just rolled that one out. A *state.Problem where
	// there is nothing, or where it cannot be proven.
	ranBefore(ctx context.Context, c *Cluster, order steps.Order, s *snapshot) (world, error)
}

func (lastRelease) name() string { return "last-release" }

func (lastRelease) read(context.Context, *Cluster, steps.Order, *snapshot) (world, []state.Stage, error) {
	return nil, nil, &state.Problem{What: "the last release is undone, not rolled out", Code: "config", Do: "Choose another strategy."}
}

func (lastRelease) subject(s snapshot) string {
	switch {
	case s.Colours != nil:
		return blueGreen{}.subject(s)
	case s.Ordering != nil:
		return ordered{}.subject(s)
	}
	return immediate{}.subject(s)
}

// rights implements demanding.
func (lastRelease) rights(r *run) []right {
	if r.s.Ordering == nil {
		return nil
	}
	return ordered{}.rights(r)
}

func (lastRelease) changes(snapshot, string, int) []change { return nil }

func (lastRelease) effect(context.Context, *run, int) (steps.Effect, error) {
	return steps.Effect{}, fmt.Errorf("undoing a release has no stages")
}

// deepest is before the first stage: there is none.
func (lastRelease) deepest(snapshot) int { return -1 }

// undo is that of the strategy the release was made by, as long as production runs
// what the plan was made for: what somebody released since is not taken back.
func (lastRelease) undo(s snapshot, ns string) []undo {
	if s.Colours == nil {
		ops := immediate{}.undo(s, ns)
		if s.Ordering != nil {
			ops = ordered{}.undo(s, ns)
		}
		ops[0].restore = s.Stable.unlessMoved(ops[0].restore)
		return ops
	}
	ops := blueGreen{}.undo(s, ns)
	c, turn := *s.Colours, ops[0].build
	ops[0].build = func(live *unstructured.Unstructured) ([]patchOp, error) {
		if now := selectorOf(live)[c.Label]; now != c.Idle && now != c.Live {
			return nil, overtaken(c.String(), c.shares(live))
		}
		return turn(live)
	}
	ops[1].restore = s.Stable.unlessMoved(ops[1].restore)
	return ops
}

// unlessMoved is restore for a workload that still has the image that was planned for,
// or the one it returns to.
func (w workload) unlessMoved(restore func(*unstructured.Unstructured, map[string]any) ([]patchOp, error)) func(*unstructured.Unstructured, map[string]any) ([]patchOp, error) {
	return func(live *unstructured.Unstructured, template map[string]any) ([]patchOp, error) {
		t, err := podTemplate(live)
		if err != nil {
			return nil, err
		}
		i := containerIndex(t.Spec.Containers, w.Container)
		if i < 0 {
			return nil, overtaken(w.String(), "container "+w.Container+" is gone")
		}
		if now := t.Spec.Containers[i].Image; now != w.Live && now != w.Image {
			return nil, overtaken(w.String(), "it runs "+state.Clean(now))
		}
		return restore(live, template)
	}
}

func overtaken(what, why string) error {
	return &state.Problem{What: what + " is not what it was when the last release was looked at", Why: why + "; somebody has released since",
		Code: "drift", Do: "Find out who. R undoes that one when it is proven."}
}

// PlanUndo implements steps.Undoer. All workloads go back, or none: a release is of those
// that have the same version, now and before.
func (v several) PlanUndo(ctx context.Context, order steps.Order) (state.Plan, error) {
	first, err := v.planUndo(ctx, order)
	if err != nil || len(order.Environment.Workloads) == 0 {
		return first, err
	}
	list := []part{{Plan: first}}
	for _, w := range order.Environment.Workloads {
		of, p := order, part{Name: w.Name}
		of.Environment = order.Environment.Workload(w)
		if p.Plan, err = v.planUndo(ctx, of); err != nil {
			return state.Plan{}, p.failed(err)
		}
		if p.Plan.Version != first.Version || p.Plan.Target != first.Target {
			return state.Plan{}, &state.Problem{What: "the workloads were not released together", Code: "no-target",
				Why: fmt.Sprintf("%s runs %s and ran %s before, the others %s and %s", w.Name, p.Plan.Version, p.Plan.Target, first.Version, first.Target),
				Do:  "Take back by hand what belongs together."}
		}
		list = append(list, p)
	}
	return joined(list)
}

// planUndo is PlanUndo for one workload.
func (st *strategy) planUndo(ctx context.Context, order steps.Order) (state.Plan, error) {
	env := order.Environment
	way := st.pick(func(k special) bool { return k.fits(env) })
	if c, ok := way.(configured); ok { // what a release changed of them is not known
		way = c.recipe
	}
	k, ok := way.(release)
	if !ok {
		return state.Plan{}, &state.Problem{What: "strategy " + st.Name() + " cannot undo a release", Code: "no-undo"}
	}
	d, err := st.draft(ctx, order)
	if err != nil {
		return state.Plan{}, err
	}
	c, s := d.c, &d.s
	live, err := k.ranBefore(ctx, c, order, s)
	if err != nil {
		return state.Plan{}, err
	}
	now, before := tagOf(s.Stable.Live), s.Stable.version()
	if s.Colours != nil {
		now = tagOf(s.Canary.Live)
	}
	if err := named(now, before); err != nil {
		return state.Plan{}, err
	}
	back := lastRelease{}
	plan, err := d.plan(state.Plan{Strategy: back.name(), Version: now, Target: before, Subject: back.subject(*s)})
	if err != nil {
		return state.Plan{}, err
	}
	f := fenceAround(live, s.owner())
	f.Epoch++
	for _, u := range back.undo(*s, plan.Namespace) {
		if err := admit(u.ref, live[u.ref].GetAnnotations(), f, forward, c.Context); err != nil {
			return state.Plan{}, err
		}
		ch, err := u.resolve(ctx, c, plan.Namespace, nil)
		if err != nil {
			return state.Plan{}, err
		}
		ch.bare = true
		op, _, err := ch.op(live[u.ref], f, c.Context)
		if err != nil {
			return state.Plan{}, err
		}
		plan.Inverse = append(plan.Inverse, op)
	}
	plan.Inverse = append(plan.Inverse, state.Op{ID: opVerify, Title: before + " ready and answering"})
	return plan, nil
}

// named refuses versions that cannot be told apart, and what is newer than what runs:
// that did not come before it.
func named(now, before string) error {
	p := &state.Problem{Code: "no-target", Do: "Take it back by hand if you know better."}
	switch {
	case now == "" || before == "":
		p.What, p.Why = "the last release has no name", "an image without a tag is in it"
	case now == before:
		p.What, p.Why = "the last release changed no version", "the image before has the same tag, "+state.Clean(now)
	case semver.Compare(dotted(now), dotted(before)) < 0 && semver.IsValid(dotted(now)) && semver.IsValid(dotted(before)):
		p.What, p.Why = "the other version is no earlier one", state.Clean(before+" is newer than "+now+", which runs")
	default:
		return nil
	}
	return p
}

func dotted(version string) string { return "v" + strings.TrimPrefix(version, "v") }

func (rolling) ranBefore(ctx context.Context, c *Cluster, order steps.Order, s *snapshot) (world, error) {
	if m := order.Environment.Rolling; m != nil {
		return c.revisionBefore(ctx, m.Deployment, order, s)
	}
	return nil, unconfigured(order, "rolling")
}

func (immediate) ranBefore(ctx context.Context, c *Cluster, order steps.Order, s *snapshot) (world, error) {
	if m := order.Environment.Immediate; m != nil {
		return c.revisionBefore(ctx, m.Deployment, order, s)
	}
	return nil, unconfigured(order, "immediate")
}

// ranBefore knows the revision before while a release is under way, or hangs. Once it is
// complete nobody can tell which one that was: a StatefulSet's status names the last
// complete revision alone, the kept revisions say nothing of their pods, and those have
// the names of the ones before them. Unlike a Deployment, it leaves no witness.
func (ordered) ranBefore(ctx context.Context, c *Cluster, order steps.Order, s *snapshot) (world, error) {
	p, err := c.setFor(ctx, order.Environment.Rolling.StatefulSet, order)
	if err != nil {
		return nil, err
	}
	st, refusal := p.set.Status, &state.Problem{Code: "no-target", Do: "Take it back by hand if you know better: " + p.ref.kubectl(c.Context, "rollout history")}
	switch {
	case st.CurrentRevision == st.UpdateRevision:
		refusal.What = "what " + p.ref.String() + " ran before is not known"
		refusal.Why = "its last release is complete, and a StatefulSet keeps no trace of which revision was complete before"
		return nil, refusal
	case p.Set != st.CurrentRevision: // it has no pod ready, see worthReturningTo
		refusal.What = "whether revision " + state.Clean(st.CurrentRevision) + " was ever healthy is not known"
		refusal.Why = "none of its pods is ready"
		return nil, refusal
	}
	p.Ready = p.ready("") // as many as serve now: production may be ill already
	s.Stable = p.workload
	s.Ordering = &ordering{Partition: p.partition(), Selector: p.selector()}
	s.Ordering.Strategy, _, _ = unstructured.NestedFieldCopy(p.live.Object, "spec", "updateStrategy")
	return world{p.ref: p.live}, nil
}

// ranBefore looks at the stable Deployment, while all traffic goes there.
func (canary) ranBefore(ctx context.Context, c *Cluster, order steps.Order, s *snapshot) (world, error) {
	m := order.Environment.Canary
	if m == nil {
		return nil, unconfigured(order, "canary")
	}
	rt, _, err := c.routeFor(ctx, order.Environment)
	if err != nil {
		return nil, err
	}
	if rt.Canary.Weight > 0 {
		return nil, &state.Problem{What: fmt.Sprintf("%s receives %d %% of the traffic", rt.Canary.name(), rt.Canary.Weight), Code: "canary-busy",
			Why: "somebody's rollout is under way", Do: "Finish or undo that one first: weights 100 and 0."}
	}
	return c.revisionBefore(ctx, m.Stable, order, s)
}

func unconfigured(order steps.Order, strategy string) error {
	return &state.Problem{What: "environment " + order.Environment.Name + " has no " + strategy + " strategy", Code: "config",
		Do: "Set it up in mayday.yaml."}
}

// ranBefore turns the colours round: the idle one has the version before.
func (k blueGreen) ranBefore(ctx context.Context, c *Cluster, order steps.Order, s *snapshot) (world, error) {
	var now snapshot
	live, _, err := k.read(ctx, c, order, &now)
	if err != nil {
		return nil, err
	}
	idle, cs := *now.Canary, *now.Colours
	if idle.Image != idle.Live {
		return nil, &state.Problem{What: "Deployment " + idle.Deployment + " is not complete", Code: "no-target",
			Why: "its pods run " + state.Clean(idle.Image) + ", its template says " + state.Clean(idle.Live), Do: "Look: kubectl -n " + namespace(order.Environment) + " rollout status deployment " + idle.Deployment}
	}
	// It needs the pods that serve now, and gets them before the traffic if it lacks many.
	idle.Replicas, idle.Ready = max(idle.Replicas, now.Stable.Replicas, 1), max(now.Stable.Ready, 1)
	cs.Selector, cs.Live, cs.Idle = cs.turned(), cs.Idle, cs.Live
	s.Stable, s.Canary, s.Colours, s.Pods = idle, &now.Stable, &cs, now.Stable.Replicas
	return live, nil
}

// revisionBefore fills the snapshot with one Deployment and the revision before its
// present one.
func (c *Cluster) revisionBefore(ctx context.Context, name string, order steps.Order, s *snapshot) (world, error) {
	p, err := c.workloadFor(ctx, name, order)
	if err != nil {
		return nil, err
	}
	sets, err := c.replicaSets(ctx, p.d)
	if err != nil {
		return nil, problem(err, "cannot list the ReplicaSets of "+p.ref.String())
	}
	target, err := servedBefore(p.d, sets, p.Container)
	if err != nil {
		return nil, err
	}
	s.Stable = p.workload
	s.Stable.Set, s.Stable.SetUID, s.Stable.Revision = target.Name, string(target.UID), revisionOf(target)
	s.Stable.Image = imageIn(target, p.Container)
	// As many pods as serve now must be ready again: production may be ill already.
	s.Stable.Ready = max(p.d.Status.ReadyReplicas, 1)
	return world{p.ref: p.live}, nil
}

func imageIn(rs *appsv1.ReplicaSet, container string) string {
	i := containerIndex(rs.Spec.Template.Spec.Containers, container)
	if i < 0 {
		return ""
	}
	return rs.Spec.Template.Spec.Containers[i].Image
}

// historyAnnotation is what the controller writes on a ReplicaSet that a Deployment
// returned to: the revisions it was before.
const historyAnnotation = "deployment.kubernetes.io/revision-history"

// servedBefore finds the newest revision before the present one that had another image
// and was once complete.
//
// Nothing on a ReplicaSet says that its pods were ever ready, once they are gone. But
// a rolling update ends the last old pod only when new ones are available. So of a
// revision R, made at the time C(R) and followed by N, it is certain that it took
// production over if the older revisions lost their last pod after C(R) and before
// C(N): then R had pods available, and kept production without them until N came. The
// time of a ReplicaSet's last pod is that of the last write of its status. Where an
// older revision still had pods when N was made, R never took over, and is passed
// over; where nothing older is left to tell, or the strategy would have ended the old
// pods anyway, it is not known, and not taken back to.
func servedBefore(d *appsv1.Deployment, sets []*appsv1.ReplicaSet, container string) (*appsv1.ReplicaSet, error) {
	p := &state.Problem{Code: "no-target", Do: "Take it back by hand if you know better: kubectl -n " + d.Namespace + " rollout history deployment " + d.Name}
	now := currentSet(d, sets)
	if now == nil {
		p.What, p.Why = "Deployment "+d.Name+" has not begun with its present template", "the controller has made no ReplicaSet of it yet"
		return nil, p
	}
	if was := now.Annotations[historyAnnotation]; was != "" {
		p.What = "production was taken back to " + versionIn(now.Spec.Template.Spec.Containers, container) + " already"
		p.Why = "Deployment " + d.Name + " returned to what was its revision " + state.Clean(was)
		return nil, p
	}
	older := slices.DeleteFunc(slices.Clone(sets), func(rs *appsv1.ReplicaSet) bool { return revisionOf(rs) >= revisionOf(now) || revisionOf(rs) == 0 })
	slices.SortFunc(older, func(a, b *appsv1.ReplicaSet) int { return revisionOf(b) - revisionOf(a) })
	next := now
	for i, rs := range older {
		image := imageIn(rs, container)
		if image == imageIn(now, container) || image == "" {
			next = rs
			continue
		}
		served, why := served(d, rs, next, older[i+1:])
		switch {
		case served:
			return rs, nil
		case why != "":
			p.What = "whether " + versionIn(rs.Spec.Template.Spec.Containers, container) + " was ever healthy is not known"
			p.Why = why
			return nil, p
		}
		next = rs
	}
	p.What = "Deployment " + d.Name + " has no earlier version to return to"
	p.Why = fmt.Sprintf("of its %d revisions none that was complete has another image", len(older)+1)
	return nil, p
}

// served reports whether a revision was once complete. why is why that is not known; ""
// with false: it never was.
func served(d *appsv1.Deployment, rs, next *appsv1.ReplicaSet, older []*appsv1.ReplicaSet) (ok bool, why string) {
	if rs.Status.ReadyReplicas > 0 {
		return true, ""
	}
	if len(older) == 0 {
		return false, fmt.Sprintf("Deployment %s keeps no revision older than %d, whose end would tell", d.Name, revisionOf(rs))
	}
	if !gradual(d) {
		return false, "the update strategy of Deployment " + d.Name + " ends old pods before new ones are ready"
	}
	var last time.Time
	for _, o := range older {
		if o.Status.Replicas > 0 || replicasOf(o.Spec.Replicas) > 0 {
			return false, ""
		}
		at := lastStatus(o)
		if at.IsZero() {
			return false, "the API server does not say when the pods of ReplicaSet " + o.Name + " ended"
		}
		if at.After(last) {
			last = at
		}
	}
	switch {
	case !last.Before(next.CreationTimestamp.Time):
		return false, ""
	case last.Before(rs.CreationTimestamp.Time):
		return false, fmt.Sprintf("the pods before revision %d had ended before it was made", revisionOf(rs))
	}
	return true, ""
}

// gradual reports whether the Deployment's update strategy keeps some old pods until
// new ones are available.
func gradual(d *appsv1.Deployment) bool {
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return false
	}
	r := d.Spec.Strategy.RollingUpdate
	if r == nil || r.MaxUnavailable == nil {
		return true
	}
	if r.MaxUnavailable.Type == intstr.String {
		return r.MaxUnavailable.StrVal != "100%"
	}
	return r.MaxUnavailable.IntVal < max(replicasOf(d.Spec.Replicas), 1)
}

// lastStatus is when a ReplicaSet's status was last written, zero where the server does
// not say. The controller writes it when the number of pods changes.
func lastStatus(rs *appsv1.ReplicaSet) time.Time {
	var last time.Time
	for _, m := range rs.ManagedFields {
		if m.Subresource == "status" && m.Time != nil && m.Time.After(last) {
			last = m.Time.Time
		}
	}
	return last
}
