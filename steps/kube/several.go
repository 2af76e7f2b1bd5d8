package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"mayday/state"
	"mayday/steps"
)

// several is a strategy for all workloads of a service: what the environment names
// first, then its workloads in the order written, each with a whole plan of its own by
// the same strategy. The plan that the journal has is those plans laid end to end; its
// snapshot holds them, so that another process can go on, or back, from it alone. The
// names of a workload's stages and operations begin with its own: "worker: batch 1 of
// 2". Weights and observed shares are those of the workload that is being rolled.
//
// The first stage sets the fences of all workloads: whoever deploys one of them meanwhile
// is told so. Each workload's last stage closes its own.
//
// A rollback takes all of them back, the last one first: which of them began is not
// asked, since one may have begun that nobody knows of, and one that did not is only
// fenced. It does not wait for the pods of one before the next is written to, and an
// error of one keeps no other from being tried.
type several struct{ *strategy }

// part is one workload with its plan.
type part struct {
	Name string     `json:"name,omitempty"` // "": what the environment itself names
	Plan state.Plan `json:"plan"`
}

// parts reads the plans of the workloads; none where the plan is of one workload.
func parts(plan state.Plan) ([]part, error) {
	var s struct {
		Workloads []part `json:"workloads"`
	}
	if err := json.Unmarshal(plan.Snapshot, &s); err != nil {
		_, err := readSnapshot(plan)
		return nil, err
	}
	return s.Workloads, nil
}

// of names the workload in front of a text.
func (p part) of(text string) string {
	if p.Name == "" || text == "" {
		return text
	}
	return p.Name + ": " + text
}

// op names the workload in an operation of its plan.
func (p part) op(o state.Op) state.Op {
	o.ID, o.Title = p.id(o.ID), p.of(o.Title)
	return o
}

func (p part) id(id string) string {
	if p.Name == "" {
		return id
	}
	return p.Name + "/" + id
}

// Plan implements steps.Strategy.
func (v several) Plan(ctx context.Context, order steps.Order) (state.Plan, error) {
	env := order.Environment
	if len(env.Workloads) == 0 {
		return v.strategy.Plan(ctx, order)
	}
	var list []part
	var warnings []string
	add := func(name string, order steps.Order) error {
		p := part{Name: name}
		var err error
		if p.Plan, err = v.strategy.Plan(ctx, order); err == nil {
			list = append(list, p)
			return nil
		}
		if state.HasCode(err, "already-running") {
			warnings = append(warnings, state.AsProblem(err).What+" and is left as it is, also by a rollback")
			return nil
		}
		return p.failed(err)
	}
	if err := add("", order); err != nil {
		return state.Plan{}, err
	}
	for _, w := range env.Workloads {
		of := order
		of.Environment = env.Workload(w)
		if err := add(w.Name, of); err != nil {
			return state.Plan{}, err
		}
	}
	if len(list) == 0 {
		return state.Plan{}, &state.Problem{What: "all workloads of " + env.Name + " already run " + order.Version, Code: "already-running",
			Do: "There is nothing to roll out; validate it instead."}
	}
	plan, err := joined(list)
	if err != nil {
		return plan, err
	}
	plan.Environment, plan.Warnings = env.Name, append(plan.Warnings, warnings...)
	err = v.showFences(ctx, &plan, list)
	return plan, err
}

// fences are the changes by which the first stage takes the objects of the later
// workloads, each object once.
func fences(runs []*run) [][]change {
	out, seen := make([][]change, len(runs)), map[ref]bool{}
	for i, r := range runs {
		for _, o := range r.refs() {
			if !seen[o] && i > 0 {
				out[i] = append(out[i], change{id: "fence." + o.Kind + "." + o.Name, title: "fence of " + o.String(), ref: o})
			}
			seen[o] = true
		}
	}
	return out
}

// runs opens the cluster for each workload's plan.
func (v several) runs(ctx context.Context, list []part) ([]*run, error) {
	var out []*run
	for _, p := range list {
		r, err := v.resume(ctx, p.Plan, forward)
		if err != nil {
			return nil, p.failed(err)
		}
		out = append(out, r)
	}
	return out, nil
}

// showFences puts the later workloads' fences into the plan's first stage.
func (v several) showFences(ctx context.Context, plan *state.Plan, list []part) error {
	runs, err := v.runs(ctx, list)
	if err != nil {
		return err
	}
	var ops []state.Op
	for i, changes := range fences(runs) {
		live, err := runs[i].world(ctx)
		if err != nil {
			return err
		}
		for _, ch := range changes {
			op, _, err := ch.op(live[ch.ref], fenceAround(live, runs[i].s.owner()), runs[i].c.Context)
			if err != nil {
				return err
			}
			ops = append(ops, list[i].op(op))
		}
	}
	plan.Stages[0].Ops = append(ops, plan.Stages[0].Ops...)
	return nil
}

// hold takes all workloads' objects, unless somebody else has one of them.
func (v several) hold(ctx context.Context, list []part, fence steps.Fence, out io.Writer) error {
	runs, err := v.runs(ctx, list)
	if err != nil {
		return err
	}
	for i, r := range runs {
		r.fence, r.out = fence, out
		if err := r.mine(ctx); err != nil {
			return list[i].failed(err)
		}
	}
	for i, changes := range fences(runs) {
		if err := runs[i].apply(ctx, changes); err != nil {
			return list[i].failed(err)
		}
	}
	return nil
}

// joined lays the plans of the workloads end to end. What it shows of them it leaves out
// of those in the snapshot: the journal keeps it once.
func joined(list []part) (state.Plan, error) {
	plan := list[0].Plan
	plan.Stages, plan.Inverse, plan.Warnings = nil, nil, nil
	var subjects []string
	kept := make([]part, len(list))
	for i, p := range list {
		subjects = append(subjects, p.Plan.Subject)
		kept[i] = p
		kept[i].Plan.Stages, kept[i].Plan.Warnings = nil, nil
		for _, s := range p.Plan.Stages {
			bare := s
			bare.Ops = nil
			kept[i].Plan.Stages = append(kept[i].Plan.Stages, bare)
			named := s
			named.Name, named.Ops = p.of(s.Name), nil
			for _, o := range s.Ops {
				named.Ops = append(named.Ops, p.op(o))
			}
			plan.Stages = append(plan.Stages, named)
		}
		for _, w := range p.Plan.Warnings {
			plan.Warnings = append(plan.Warnings, p.of(w))
		}
		back := list[len(list)-1-i]
		for _, o := range back.Plan.Inverse {
			plan.Inverse = append(plan.Inverse, back.op(o))
		}
		kept[i].Plan.Inverse = nil
		for _, o := range p.Plan.Inverse {
			o.Diff = ""
			kept[i].Plan.Inverse = append(kept[i].Plan.Inverse, o)
		}
	}
	plan.Subject = strings.Join(subjects, ", ")
	raw, err := json.Marshal(map[string]any{"workloads": kept})
	if err != nil {
		return plan, fmt.Errorf("encode snapshot: %w", err)
	}
	plan.Snapshot = raw
	return plan, nil
}

// failed names the workload in an error.
func (p part) failed(err error) error {
	if p.Name == "" || err == nil {
		return err
	}
	x := *state.AsProblem(err)
	x.What = p.of(x.What)
	return &explained{&x, err}
}

// Stage implements steps.Strategy.
func (v several) Stage(ctx context.Context, plan state.Plan, i int, fence steps.Fence, out io.Writer) (steps.Effect, error) {
	list, err := parts(plan)
	if err != nil {
		return steps.Effect{}, err
	}
	if len(list) == 0 {
		return v.strategy.Stage(ctx, plan, i, fence, out)
	}
	if i == 0 {
		if err := v.hold(ctx, list, fence, out); err != nil {
			return steps.Effect{}, err
		}
	}
	for _, p := range list {
		if n := len(p.Plan.Stages); i >= n {
			i -= n
			continue
		}
		e, err := v.strategy.Stage(ctx, p.Plan, i, fence, out)
		if p.Name != "" && e.Text != "" {
			e.Text = p.Name + " " + p.Plan.Version + ": " + e.Text
		}
		return e, p.failed(err)
	}
	return steps.Effect{}, fmt.Errorf("plan %s has no such stage", plan.ID)
}

// Prove implements steps.Strategy: the proof of all is as good as the worst. Of quotas
// they need together what no one of them needs alone.
func (v several) Prove(ctx context.Context, plan state.Plan, started bool) (state.Proof, error) {
	list, err := parts(plan)
	if err != nil {
		return state.Proof{Ready: state.NotReady, Target: plan.Target, Why: err.Error()}, nil
	}
	if len(list) == 0 {
		return v.strategy.Prove(ctx, plan, started)
	}
	proofs, all := make([]state.Proof, len(list)), make([]need, len(list))
	g, gctx := errgroup.WithContext(ctx)
	for i, p := range list {
		g.Go(func() (err error) {
			proofs[i], all[i], err = v.prove(gctx, p.Plan, started)
			return p.failed(err)
		})
	}
	if err := g.Wait(); err != nil {
		return state.Proof{}, err
	}
	for i, p := range list {
		for j := range proofs[i].Checks {
			proofs[i].Checks[j].Name = p.of(proofs[i].Checks[j].Name)
		}
		proofs[i].Why = p.of(proofs[i].Why)
	}
	if !slices.ContainsFunc(all, func(n need) bool { return n.of == nil }) {
		room, err := together(all).room(ctx)
		if err != nil {
			return state.Proof{}, unproven(err)
		}
		proofs = append(proofs, proof(plan.Target, []finding{room}))
	}
	return summedUp(plan.Target, proofs...), nil
}

// Look implements steps.Strategy.
func (v several) Look(ctx context.Context, plan state.Plan) ([]string, error) {
	list, err := parts(plan)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return v.strategy.Look(ctx, plan)
	}
	var out []string
	for _, p := range list {
		lines, err := v.strategy.Look(ctx, p.Plan)
		if err != nil {
			return out, p.failed(err)
		}
		for _, l := range lines {
			out = append(out, p.of(l))
		}
	}
	return out, nil
}
