package kube

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// byPods is canary without a mesh: one Service leads to the pods of both Deployments,
// each of which gets about the same traffic, so that the numbers of pods are the
// weights. Few pods allow few shares, and the plan says which.
//
// There are never fewer pods ready than before: the canary grows and is ready before
// the stable Deployment shrinks. At 100 % the stable one has no pods; it takes the new
// version there, grows back, and then the canary goes to sleep. Stages: 0 to n-1 are
// the shares, then "stable takes", "stable returns", "canary to 0".
type byPods struct{}

// mix is what a plan remembers of the numbers of pods.
type mix struct {
	Service string    `json:"service"`
	Shares  []portion `json:"shares"`
}

// portion is how many pods each side has in a stage.
type portion struct {
	Canary int32 `json:"canary"`
	Stable int32 `json:"stable"`
}

// share is the canary's part in percent, rounded.
func (p portion) share() int {
	all := p.Canary + p.Stable
	return int((200*p.Canary + all) / (2 * all))
}

func (p portion) String() string {
	about := "about "
	if p.Stable == 0 {
		about = ""
	}
	return fmt.Sprintf("%s%d %% (%d of %d pods)", about, p.share(), p.Canary, p.Canary+p.Stable)
}

// portions spreads total pods for each weight: as near to it as pods allow, the canary
// rather too small; but it has a pod from the first stage on, and the stable side keeps
// one until 100. Weights that come out alike are one stage.
func portions(weights []int, total int32) []portion {
	var out []portion
	for _, w := range weights {
		p := portion{Canary: total}
		if w < 100 {
			p.Canary = min(max((2*int32(w)*total+99)/200, 1), max(total-1, 1))
			p.Stable = max(total-p.Canary, 1)
		}
		if n := len(out); n == 0 || out[n-1] != p {
			out = append(out, p)
		}
	}
	return out
}

func (byPods) fits(env runbook.Environment) bool {
	return env.Canary != nil && env.Canary.Route == "" && env.Canary.Service != ""
}

func (byPods) made(s snapshot) bool { return s.Mix != nil }

func (byPods) subject(s snapshot) string { return "Service " + s.Mix.Service }

func (byPods) stages(s snapshot, order steps.Order) []state.Stage {
	var out []state.Stage
	for _, p := range s.Mix.Shares {
		out = append(out, state.Stage{Name: "canary " + p.String(), Weight: p.share(), Hold: order.Environment.Canary.Hold})
	}
	return append(out,
		state.Stage{Name: "stable takes " + order.Version, Weight: 100},
		state.Stage{Name: fmt.Sprintf("stable returns with %d pods", s.Stable.Replicas), Weight: 100},
		state.Stage{Name: "canary to 0", Weight: 100})
}

// at are the numbers of pods of a share's stage, and of those before the first.
func (s snapshot) at(i int) portion {
	if i < 0 {
		return portion{Stable: s.Stable.Replicas}
	}
	return s.Mix.Shares[min(i, len(s.Mix.Shares)-1)]
}

func (k byPods) changes(s snapshot, ns string, i int) []change {
	stable, can := s.Stable.ref(ns), s.Canary.ref(ns)
	end := s.at(len(s.Mix.Shares))
	switch i - len(s.Mix.Shares) {
	case 0:
		return []change{{id: fmt.Sprintf("%d.stable", i), title: fmt.Sprintf("%s takes %s", stable.Name, tagOf(s.Stable.Next)), ref: stable,
			build: func(live *unstructured.Unstructured) ([]patchOp, error) {
				return s.Stable.imageOps(live, s.Stable.Next, s.Stable.Live)
			}}}
	case 1:
		return []change{s.Stable.count(fmt.Sprintf("%d.stable", i), stable, end.Stable, s.Stable.Replicas)}
	case 2:
		sleep := s.Canary.count(fmt.Sprintf("%d.canary", i), can, end.Canary, s.Canary.Replicas)
		sleep.closes = true
		return []change{sleep, {id: fmt.Sprintf("%d.stable", i), title: "fence of " + stable.String() + " closed", ref: stable, closes: true}}
	}
	return k.shift(s, stable, can, i)
}

// shift moves pods from one share to the next. What grows is ready before the other
// side shrinks or, in the first stage, before the canary is there to be too much of all.
func (byPods) shift(s snapshot, stable, can ref, i int) []change {
	was, is := s.at(i-1), s.at(i)
	grow := s.Canary.count(fmt.Sprintf("%d.canary", i), can, was.Canary, is.Canary)
	if i == 0 {
		number := grow.build
		grow.title = fmt.Sprintf("%s takes %s, %d pods", can.Name, tagOf(s.Canary.Next), is.Canary)
		grow.build = func(live *unstructured.Unstructured) ([]patchOp, error) {
			ops, err := s.Canary.imageOps(live, s.Canary.Next, s.Canary.Live)
			if err != nil {
				return nil, err
			}
			more, err := number(live)
			return append(ops, more...), err
		}
	}
	grow.then = func(ctx context.Context, r *run) error {
		_, err := r.c.await(ctx, can, r.out, r.complete(can))
		return err
	}
	other := s.Stable.count(fmt.Sprintf("%d.stable", i), stable, was.Stable, is.Stable)
	if is.Stable > was.Stable {
		other.then = func(ctx context.Context, r *run) error {
			_, err := r.c.await(ctx, stable, r.out, r.sized(stable, is.Stable))
			return err
		}
		return []change{other, grow}
	}
	if i > 0 {
		return []change{grow, other}
	}
	claim := change{id: "0.fence", title: "fence of " + stable.String(), ref: stable}
	if is.Stable == was.Stable {
		return []change{claim, grow}
	}
	return []change{claim, grow, other}
}

// count changes the number of pods from one that was planned to another.
func (w workload) count(id string, r ref, from, to int32) change {
	return change{id: id, ref: r, title: fmt.Sprintf("pods of %s %d → %d", r.Name, from, to),
		build: func(live *unstructured.Unstructured) ([]patchOp, error) {
			now, _, _ := unstructured.NestedInt64(live.Object, "spec", "replicas")
			if now != int64(from) && now != int64(to) {
				return nil, &state.Problem{What: w.String() + " has another number of pods than planned", Code: "drift",
					Why: fmt.Sprintf("it wants %d, planned was %d; somebody else changed it during the rollout", now, from), Do: "Find out who, then roll back or plan again."}
			}
			return w.replicaOps(live, to, false), nil
		}}
}

// sized is the condition for await: the Deployment has that many pods, whether they are
// ready or not.
func (r *run) sized(o ref, n int32) func(view) (bool, string, error) {
	return func(v view) (bool, string, error) {
		text := fmt.Sprintf("%s %d pods", o.Name, v.d.Status.Replicas)
		return v.heard() && v.d.Status.Replicas == n, text, r.owned(o, v.d.Annotations)
	}
}

func (k byPods) effect(ctx context.Context, r *run, i int) (steps.Effect, error) {
	stable, can := r.s.Stable.ref(r.plan.Namespace), r.s.Canary.ref(r.plan.Namespace)
	switch i - len(r.s.Mix.Shares) {
	case 0:
		text, err := r.c.await(ctx, stable, r.out, r.complete(stable))
		return steps.Effect{Text: text}, err
	case 1:
		text, err := r.c.await(ctx, stable, r.out, r.complete(stable))
		if err != nil {
			return steps.Effect{}, err
		}
		seen, what, err := r.observe(ctx, 100, func(context.Context) error { return nil })
		return steps.Effect{Text: what + ", " + text, Seen: seen}, err
	case 2:
		return canary{}.asleep(ctx, r, can)
	}
	is := r.s.at(i)
	if _, err := r.c.await(ctx, stable, r.out, r.sized(stable, is.Stable)); err != nil {
		return steps.Effect{}, err
	}
	text, err := r.c.await(ctx, can, r.out, r.complete(can))
	if err != nil {
		return steps.Effect{}, err
	}
	seen, what, err := r.observe(ctx, is.share(), func(ctx context.Context) error { return r.stillMixed(ctx, is) })
	return steps.Effect{Text: fmt.Sprintf("%s, %s %s", what, text, is), Seen: seen}, err
}

// stillMixed fails when a Deployment was taken over or its number of pods changed.
func (r *run) stillMixed(ctx context.Context, is portion) error {
	for _, side := range []struct {
		w workload
		n int32
	}{{r.s.Stable, is.Stable}, {*r.s.Canary, is.Canary}} {
		o := side.w.ref(r.plan.Namespace)
		live, err := r.c.get(ctx, o)
		if err != nil {
			if transient(err) {
				continue
			}
			return problem(err, "cannot read "+o.String())
		}
		if err := r.owned(o, live.GetAnnotations()); err != nil {
			return err
		}
		if _, err := side.w.count("", o, side.n, side.n).build(live); err != nil {
			return err
		}
	}
	return nil
}

// deepest is "stable takes": all pods are the canary's, both Deployments changed.
func (byPods) deepest(s snapshot) int { return len(s.Mix.Shares) }

// undo gets the stable pods back first: the canary's are taken away when others answer.
func (byPods) undo(s snapshot, ns string) []undo {
	stable, can := s.Stable.ref(ns), s.Canary.ref(ns)
	out := []undo{
		{change: change{id: opStable, title: fmt.Sprintf("%s back to %s (%s), %d pods", stable.Name, s.Stable.version(), s.Stable.Set, s.Stable.Replicas), ref: stable},
			of: &s.Stable, restore: s.Stable.revertWithPods,
			after: func(ctx context.Context, r *run) (string, error) { return r.restored(ctx, stable) }},
		{change: change{id: opCanary, title: fmt.Sprintf("%s as it was, %d pods", can.Name, s.Canary.Replicas), ref: can,
			build: func(live *unstructured.Unstructured) ([]patchOp, error) {
				ops, err := s.Canary.imageOps(live, s.Canary.Live)
				return append(ops, s.Canary.replicaOps(live, s.Canary.Replicas, false)...), err
			}},
			may: func(ctx context.Context, r *run) error { return r.replaced(ctx) },
			after: func(ctx context.Context, r *run) (string, error) {
				e, err := canary{}.asleep(ctx, r, can)
				return e.Text, err
			}},
	}
	if s.at(0).Stable > s.Stable.Replicas {
		out = append(out, undo{change: change{id: "size", title: fmt.Sprintf("%s to %d pods", stable.Name, s.Stable.Replicas), ref: stable,
			build: func(live *unstructured.Unstructured) ([]patchOp, error) {
				return s.Stable.replicaOps(live, s.Stable.Replicas, false), nil
			}}})
	}
	return out
}

// replaced refuses to take the canary's pods away while too few others could answer.
func (r *run) replaced(ctx context.Context) error {
	o := r.s.Stable.ref(r.plan.Namespace)
	d, err := r.c.deployment(ctx, o)
	if err == nil && 2*d.Status.ReadyReplicas < r.s.Stable.Ready {
		err = &state.Problem{What: r.s.Canary.String() + " is left as it is", Code: "no-capacity",
			Why: fmt.Sprintf("%s has %d pods ready, before it had %d: they could not answer for all", o, d.Status.ReadyReplicas, r.s.Stable.Ready),
			Do:  "Get its pods ready, then roll back again: " + o.kubectl(r.c.Context, "describe")}
	}
	return err
}
