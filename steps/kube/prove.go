package kube

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
	"mayday/steps"
)

// finding is one answer of a proof with its weight.
type finding struct {
	state.Finding
	level state.Readiness // what a failure makes of the whole: Doubtful or NotReady
}

// Prove implements steps.Strategy. It reads and dry-runs, never writes.
func (st *strategy) Prove(ctx context.Context, plan state.Plan, started bool) (state.Proof, error) {
	p, n, err := st.prove(ctx, plan, started)
	if err != nil || n.of == nil {
		return p, err
	}
	room, err := n.room(ctx)
	if err != nil {
		return state.Proof{}, unproven(err)
	}
	return summedUp(plan.Target, p, proof(plan.Target, []finding{room})), nil
}

// prove proves all but the room for the pods, which several workloads share: it gives
// what they need. Its of is nil where nothing could be looked at, and the proof says why.
func (st *strategy) prove(ctx context.Context, plan state.Plan, started bool) (state.Proof, need, error) {
	r, err := st.resume(ctx, plan, forward)
	if state.HasCode(err, "other-cluster") || state.HasCode(err, "snapshot") {
		return state.Proof{Ready: state.NotReady, Target: plan.Target, Why: err.Error()}, need{}, nil
	}
	if err != nil {
		return state.Proof{}, need{}, err
	}
	live, err := r.world(ctx)
	if err != nil {
		return state.Proof{}, need{}, err
	}
	checks := r.inverse(live, r.recipe, started)
	if !started {
		checks = append(checks, r.next(live, r.recipe)...)
	}
	checks = append(checks, r.target(live, r.recipe, started)...)
	checks = append(checks, r.rights(r.recipe)...)
	checks = append(checks, r.others(live, r.recipe, started), r.credentials())
	if k, ok := r.recipe.(configured); ok {
		checks = append(checks, k.guarded(r, live, started)...)
	}
	found := make([]finding, len(checks))
	g, gctx := errgroup.WithContext(ctx)
	for i, check := range checks {
		g.Go(func() (err error) { found[i], err = check(gctx); return err })
	}
	if err := g.Wait(); err != nil {
		return state.Proof{}, need{}, unproven(err)
	}
	return proof(plan.Target, found), r.needs(live, r.recipe, started), nil
}

func unproven(err error) error { return problem(err, "cannot prove the rollback") }

// check is one thing a proof looks at. An error means that it could not look.
type check func(ctx context.Context) (finding, error)

// proof sums the findings up.
func proof(target string, found []finding) state.Proof {
	p := state.Proof{Ready: state.Ready, Target: target}
	var why []string
	for _, f := range found {
		p.Checks = append(p.Checks, f.Finding)
		if f.OK {
			continue
		}
		why = append(why, f.Name+": "+f.Text)
		if p.Ready == state.Ready || f.level == state.NotReady {
			p.Ready = f.level
		}
	}
	p.Why = strings.Join(why, "; ")
	return p
}

// summedUp is a proof of several: as good as the worst.
func summedUp(target string, list ...state.Proof) state.Proof {
	out := state.Proof{Ready: state.Ready, Target: target}
	var why []string
	for _, p := range list {
		out.Checks = append(out.Checks, p.Checks...)
		if p.Ready == state.Ready {
			continue
		}
		why = append(why, p.Why)
		if out.Ready == state.Ready || p.Ready == state.NotReady {
			out.Ready = p.Ready
		}
	}
	out.Why = strings.Join(why, "; ")
	return out
}

// world reads the plan's objects.
func (r *run) world(ctx context.Context) (world, error) {
	refs := r.refs()
	read := make([]*unstructured.Unstructured, len(refs))
	g, gctx := errgroup.WithContext(ctx)
	for i, o := range refs {
		g.Go(func() (err error) {
			if read[i], err = r.c.get(gctx, o); absent(err) && o.isConfig() {
				read[i], err = nil, nil // a rollback makes it again; the proof says so
			} else if err != nil {
				err = problem(err, "cannot read "+o.String())
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	w := world{}
	for i, o := range refs {
		if read[i] != nil {
			w[o] = read[i]
			r.c.ahead.keep(o, read[i])
		}
	}
	return w, nil
}

// inverse dry-runs every operation of the rollback. Before the rollout it starts
// from the world as it would be at its deepest, and without tests, since they could not
// hold yet; later it is exactly what the rollback would send.
func (r *run) inverse(live world, rec recipe, started bool) []check {
	from, f := live, fenceAround(live, r.s.owner())
	if !started {
		from = r.afterwards(live, rec, f)
	}
	f.Epoch++
	var out []check
	for _, u := range rec.undo(r.s, r.plan.Namespace) {
		if live[u.ref] == nil {
			continue
		}
		out = append(out, func(ctx context.Context) (finding, error) {
			name := "rollback of " + u.ref.String()
			ch, err := u.resolve(ctx, r.c, r.plan.Namespace, nil)
			if err != nil {
				return finding{}, err
			}
			return r.dry(ctx, name, ch, live[u.ref], from[u.ref], f, started)
		})
	}
	return out
}

// afterwards is the world at the rollout's deepest stage; what cannot be simulated
// stays as it is, and the dry run of that change says why.
func (r *run) afterwards(live world, rec recipe, f steps.Fence) world {
	w := live.copy()
	for i := range rec.deepest(r.s) + 1 {
		for _, ch := range rec.changes(r.s, r.plan.Namespace, i) {
			if _, after, err := ch.op(w[ch.ref], f, ""); err == nil {
				w[ch.ref] = after
			}
		}
	}
	return w
}

// next dry-runs the first real write to each object, as the rollout would begin.
func (r *run) next(live world, rec recipe) []check {
	var out []check
	f := fenceAround(live, r.s.owner())
	seen := map[ref]bool{}
	for i := range r.plan.Stages {
		for _, ch := range rec.changes(r.s, r.plan.Namespace, i) {
			if ch.build == nil || seen[ch.ref] || live[ch.ref] == nil {
				continue
			}
			seen[ch.ref] = true
			out = append(out, func(ctx context.Context) (finding, error) {
				name := "rollout of " + ch.ref.String()
				if err := admit(ch.ref, live[ch.ref].GetAnnotations(), f, forward, r.c.Context); err != nil {
					return no(name, state.NotReady, err), nil
				}
				return r.dry(ctx, name, ch, live[ch.ref], live[ch.ref], f, true)
			})
		}
	}
	return out
}

// dry sends one change as a dry run: built from an object that may be imagined,
// with the fence of the live one.
func (r *run) dry(ctx context.Context, name string, ch change, live, from *unstructured.Unstructured, f steps.Fence, tests bool) (finding, error) {
	body, err := ch.build(from)
	if err != nil {
		return no(name, state.NotReady, err), nil
	}
	guard, claim := raise(live.GetAnnotations(), f, false)
	ops := append(append(guard, body...), claim...)
	if !tests {
		ops = withoutTests(ops)
	}
	if len(ops) == 0 {
		return yes(name, "nothing to do"), nil
	}
	_, err = r.c.send(ctx, ch.ref, ops, true)
	switch c := code(err); {
	case err == nil:
		return yes(name, "dry run ok"), nil
	case c == http.StatusConflict, c == http.StatusUnprocessableEntity && tests:
		return r.again(ctx, name, ch, f, err)
	case unrehearsed(c, err):
		return no(name, state.Doubtful, fmt.Errorf("not tried, an admission webhook forbids dry runs: %s", state.Clean(err.Error()))), nil
	case c >= 400 && c < 500 && c != http.StatusTooManyRequests:
		return no(name, state.NotReady, err), nil
	}
	return finding{}, err
}

// unrehearsed reports whether an admission webhook refuses to be tried: the API server
// says so of one that declares side effects, others say it themselves.
func unrehearsed(c int, err error) bool {
	text := strings.NewReplacer("-", " ", "dryrun", "dry run").Replace(strings.ToLower(err.Error()))
	return (c == http.StatusBadRequest || c == http.StatusForbidden) && strings.Contains(text, "admission webhook") && strings.Contains(text, "dry run")
}

// again settles a lost race of a dry run: the object moved while it was proven.
func (r *run) again(ctx context.Context, name string, ch change, f steps.Fence, first error) (finding, error) {
	var pause backoff
	for range sameRejection {
		if err := pause.wait(ctx, true); err != nil {
			return finding{}, err
		}
		live, err := r.c.get(ctx, ch.ref)
		if err != nil {
			return finding{}, err
		}
		ops, err := ch.patchFor(live, f)
		if err != nil {
			return no(name, state.NotReady, err), nil
		}
		if ops == nil {
			return yes(name, "nothing to do"), nil
		}
		if _, first = r.c.send(ctx, ch.ref, ops, true); first == nil {
			return yes(name, "dry run ok"), nil
		}
	}
	return no(name, state.NotReady, first), nil
}

func yes(name, text string) finding {
	return finding{Finding: state.Finding{Name: name, OK: true, Text: text}}
}

func no(name string, level state.Readiness, err error) finding {
	return finding{Finding: state.Finding{Name: name, Text: strings.TrimSpace(state.Clean(err.Error()))}, level: level}
}
