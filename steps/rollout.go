package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// stageTime bounds one stage's writes and the wait for its effect (real time).
const stageTime = 15 * time.Minute

// codeUnhealthy is the code of a Problem that blames the new version itself.
const codeUnhealthy = "unhealthy"

// environment finds what an item deploys to.
func (e *Engine) environment(item string) (runbook.Environment, error) {
	if item != "8.deploy" {
		if env, ok := e.o.Runbook.Production(); ok {
			return env, nil
		}
		return runbook.Environment{}, &state.Problem{Code: "config", What: "the runbook names no production environment",
			Do: "Add it under environments in " + e.o.Runbook.Path + "."}
	}
	env, ok := e.o.Runbook.Environments["staging"]
	if !ok {
		return env, &state.Problem{Code: "config", What: "the runbook names no environment called staging",
			Do: "Add it under environments, or override this item with a reason."}
	}
	return env, nil
}

// strategy finds the way to roll out to an environment.
func (e *Engine) strategy(name string) (Strategy, error) {
	s, ok := e.o.Strategies[name]
	if !ok {
		return nil, &state.Problem{Code: "config", What: fmt.Sprintf("strategy %q is not built in", name),
			Do: "Choose one that mayday doctor lists, or deploy by the script strategy."}
	}
	return s, nil
}

// chosen is the strategy that step 9 chose, which is production's alone; "" leaves
// it to the runbook.
func chosen(in *state.Incident, item string) string {
	if item != itemDeploy {
		return ""
	}
	return in.Facts["9.strategy"]
}

// plan makes a plan for an item, without recording it.
func (e *Engine) plan(ctx context.Context, in *state.Incident, item, name string) (state.Plan, Strategy, error) {
	env, err := e.environment(item)
	if err != nil {
		return state.Plan{}, nil, err
	}
	if name == "" {
		name = env.Strategy
	}
	s, err := e.strategy(name)
	if err != nil {
		return state.Plan{}, nil, err
	}
	version := in.Facts["tag"]
	if version == "" {
		return state.Plan{}, nil, &state.Problem{What: "there is no version to deploy", Do: "Tag one first: step 7."}
	}
	p, err := s.Plan(ctx, Order{ID: fmt.Sprintf("r%d", len(in.Rollouts)+1), Environment: env, Version: version,
		Previous: in.Facts["baseline"], Incident: in.ID, Mark: in.Mark})
	if err != nil {
		return p, s, fmt.Errorf("plan the rollout to %s: %w", env.Name, err)
	}
	p.Environment, p.Production, p.Strategy = env.Name, env.Production, name
	if p.Production {
		p.Warnings = append(append(p.Warnings, e.unrankable()...), e.scarce()...)
	}
	e.redactOps(p.Inverse)
	for i := range p.Stages {
		e.redactOps(p.Stages[i].Ops)
	}
	return p, s, nil
}

// redactOps hides known secrets in what a plan shows: it is kept in the journal.
func (e *Engine) redactOps(ops []state.Op) {
	for i := range ops {
		ops[i].Diff, ops[i].Command = e.o.Redact(ops[i].Diff), e.o.Redact(ops[i].Command)
	}
}

// unnumbered refuses a plan whose number another item's rollout got while it was made: it
// would take that one's place.
func unnumbered(in *state.Incident, id, item string) error {
	if r := in.Rollout(id); r != nil && r.Item != item {
		return &state.Problem{Code: "numbered", What: "the plan was not kept", Why: r.Item + " was planned at the same time and has its number " + id, Do: "Run it again."}
	}
	return nil
}

// planned gives the rollout that an item will run or ran: production's was planned
// in step 9.
func planned(in *state.Incident, item string) *state.Rollout {
	for i := len(in.Rollouts) - 1; i >= 0; i-- {
		if r := &in.Rollouts[i]; r.Item == item && r.Attempt == in.Attempt {
			return r
		}
	}
	return nil
}

// startRollout begins a deployment: the plan is in the journal before its first write.
func (e *Engine) startRollout(ctx context.Context, actor state.Actor, in *state.Incident, it *state.Item) (state.Answer, error) {
	r := planned(in, it.ID)
	// A rollout goes on where it stood; to staging another version starts afresh.
	if r != nil && r.Status.Active() && (r.Production || r.Version == in.Facts["tag"]) {
		return e.resume(actor, r, state.RolloutResumed{Rollout: r.ID})
	}
	if err := shippable(in, it.ID); err != nil {
		return state.Answer{}, err
	}
	p, proof, err := e.proven(ctx, in, it.ID, r)
	if err != nil {
		return e.failedBefore(actor, it.ID, err)
	}
	run := e.newRun(it.ID)
	facts := []state.Fact{state.RolloutLaid{Plan: p, Item: it.ID}}
	if p.Production {
		facts = append(facts, state.RollbackProven{Rollout: p.ID, Proof: proof}, e.before())
		if in.Status == state.Investigating || in.Status == state.Identified {
			facts = append(facts, state.StatusChanged{To: state.Fixing})
		}
	}
	facts = append(facts, state.ItemStarted{Item: it.ID, Run: run, Commands: e.shown(planCommands(p))},
		state.RolloutStarted{Rollout: p.ID, Epoch: in.Epoch, Item: it.ID})
	seq, err := e.recordIf(actor, func(in *state.Incident) error {
		if err := e.notRolling(in); err != nil {
			return err
		}
		if err := shippable(in, it.ID); err != nil {
			return err
		}
		if err := unnumbered(in, p.ID, it.ID); err != nil {
			return err
		}
		return runnable(it.ID)(in)
	}, facts...)
	if err != nil {
		return state.Answer{}, err
	}
	e.launch(it.ID, func(ctx context.Context, w *work) { e.drive(ctx, w, actor, p.ID, it.ID, run) })
	return state.Answer{Lines: planCommands(p), Seq: seq}, nil
}

// proven gives the plan of a rollout that has not begun, made now where step 9 made
// none, with the proof that it can be taken back.
func (e *Engine) proven(ctx context.Context, in *state.Incident, item string, r *state.Rollout) (state.Plan, state.Proof, error) {
	ctx, cancel := context.WithTimeout(ctx, proveTime)
	defer cancel()
	var p state.Plan
	if r != nil && r.Status == state.RolloutPlanned {
		p = r.Plan
	} else {
		var err error
		if p, _, err = e.plan(ctx, in, item, chosen(in, item)); err != nil {
			return p, state.Proof{}, err
		}
	}
	s, err := e.strategy(p.Strategy)
	if err != nil {
		return p, state.Proof{}, err
	}
	proof, err := s.Prove(ctx, p, false)
	if err == nil && proof.Ready == state.NotReady {
		err = &state.Problem{Code: "not-proven", What: "the rollout was not started: its rollback is not proven",
			Why: proof.Why, Do: "Mend that, make the plan again (9.plan) and try again."}
	}
	return p, proof, err
}

// shippable refuses to start what was not signed off, or a plan for something else
// than what was decided since.
func shippable(in *state.Incident, item string) error {
	if item != itemDeploy {
		return nil
	}
	f := in.Facts
	if it := in.Item(itemSignOff); it != nil && !it.Status.Settled() {
		return &state.Problem{Code: "not-approved", What: "the newest commit is not signed off", Why: "the sign-off is " + string(it.Status),
			Do: "Have it approved (mayday approve), or override 6.signoff with a reason."}
	}
	if at := f["tag.commit"]; at != "" && at != f["commit"] {
		return &state.Problem{Code: "old-tag", What: f["tag"] + " does not hold the newest commit", Why: "it is at " + at + ", the newest is " + f["commit"],
			Do: "Run 7.version, 7.tag and 7.push again, deploy that to staging and make the plan again."}
	}
	r := planned(in, item)
	if r == nil || r.Status != state.RolloutPlanned {
		return nil
	}
	if r.Version != f["tag"] || f["9.strategy"] != "" && r.Strategy != f["9.strategy"] {
		return &state.Problem{Code: "old-plan", What: "the plan is for " + r.Version + " by " + r.Strategy,
			Why: "chosen since are " + f["tag"] + " and " + f["9.strategy"], Do: "Make the plan again: 9.plan, then 9.prove."}
	}
	return nil
}

func planCommands(p state.Plan) []string {
	var out []string
	for _, s := range p.Stages {
		for _, op := range s.Ops {
			if op.Command != "" {
				out = append(out, op.Command)
			}
		}
	}
	return out
}

// previewRollout shows the plan, or where a rollout stands and what is true in the
// cluster now.
func (e *Engine) previewRollout(ctx context.Context, in *state.Incident, it *state.Item) (state.Answer, error) {
	r := planned(in, it.ID)
	if r != nil && r.Status != state.RolloutPlanned {
		s, err := e.strategy(r.Strategy)
		if err != nil {
			return state.Answer{}, err
		}
		lines, err := s.Look(ctx, r.Plan)
		if err != nil {
			return state.Answer{}, fmt.Errorf("look at the cluster: %w", err)
		}
		text := "In the cluster now:\n"
		for _, l := range lines {
			text += "  " + l + "\n"
		}
		return state.Answer{Text: text, Lines: planCommands(r.Plan)}, nil
	}
	var p state.Plan
	if r != nil {
		p = r.Plan
	} else {
		var err error
		if p, _, err = e.plan(ctx, in, it.ID, chosen(in, it.ID)); err != nil {
			return state.Answer{}, err
		}
	}
	return state.Answer{Lines: planLines(p), Text: planText(p)}, nil
}

// planLines is the plan for a person who must say yes to it: first what happens, a
// line a stage, then the exact commands under their stage.
func planLines(p state.Plan) []string {
	var short, long []string
	for _, w := range p.Warnings {
		short = append(short, "# Mind: "+w)
	}
	for _, s := range p.Stages {
		var titles []string
		long = append(long, "# "+s.Name)
		for _, op := range s.Ops {
			titles = append(titles, op.Title)
			long = append(long, op.Command)
		}
		line := "# " + s.Name
		if len(titles) > 0 { // a stage may only look
			line += ": " + strings.Join(titles, "; ")
		}
		if s.Hold > 0 {
			line += "; the gate must hold " + s.Hold.String()
		}
		short = append(short, line)
	}
	back := "# R takes it back to " + p.Target + ". The commands:"
	if !p.Production {
		back = "# R is for production and leaves " + p.Environment + " as it is. The commands:"
	}
	return append(append(short, back), long...)
}

func planText(p state.Plan) string {
	text := ""
	for _, s := range p.Stages {
		text += s.Name + "\n"
		for _, op := range s.Ops {
			text += op.Diff
		}
	}
	return text
}

func (e *Engine) finishRollout(actor state.Actor, r *state.Rollout, item, run string) {
	last := r.Stages[len(r.Stages)-1]
	facts := []state.Fact{
		state.RolloutFinished{Rollout: r.ID, Outcome: state.RolloutDone},
		state.ItemFinished{Item: item, Run: run, Outcome: state.ItemDone, Summary: r.Version + " by " + r.Strategy,
			Evidence: []state.Evidence{{Name: "stages", Value: fmt.Sprint(len(r.Stages))}, {Name: "effect", Value: last.Effect},
				{Name: "output", Value: run, File: "output/" + run + ".log"}}},
	}
	if r.Production {
		what := r.Version + " is in production"
		facts = append(facts, state.StatusChanged{To: state.Monitoring, Why: what})
		facts = append(facts, e.say("change", map[string]string{"what": what + ", by " + r.Strategy}, "changes")...)
		facts = append(facts, e.unretired(r)...)
	}
	if err := e.advance(actor, r, facts...); state.HasCode(err, "journal") {
		e.must(actor, facts...) // it did happen: kept in the spool until the disk takes it
	}
}

// failRollout says how a rollout ended before its end, and pulls the rollback where
// the new version itself is to blame.
func (e *Engine) failRollout(ctx context.Context, w *work, actor state.Actor, r *state.Rollout, item, run string, err error) {
	if e.ctx.Err() != nil {
		return // the keeper leaves; the next one finds the rollout interrupted
	}
	e.mu.Lock()
	over := e.current(r)(e.in)
	e.mu.Unlock()
	if over != nil {
		return // a rollback fenced it, and tells its own story
	}
	var gate errGate
	pull := errors.As(err, &gate) || state.HasCode(err, codeUnhealthy)
	problem := e.problem(err)
	outcome, status := state.RolloutFailed, state.ItemFailed
	switch {
	case ctx.Err() != nil:
		outcome, status = state.RolloutStopped, state.ItemCancelled
		by, what := e.cancelled(w, actor)
		actor, problem = by, &state.Problem{What: "stopped where it was", Why: what, Do: "g goes on, R takes it back."}
	case errors.Is(err, ErrFenced):
		problem = &state.Problem{Code: "fenced", What: "another rollout owns the objects now", Why: e.clean(err.Error()),
			Do: "Find out who deploys. R still takes this incident's changes back."}
	case pull && r.Production:
		problem.Do = "Production is being rolled back to " + r.Target + "."
	}
	say := func() {
		e.must(actor, state.RolloutFinished{Rollout: r.ID, Outcome: outcome, Problem: problem},
			state.ItemFinished{Item: item, Run: run, Outcome: status, Problem: problem})
	}
	if pull && r.Production && ctx.Err() == nil {
		e.fireAfter(say, e.mayday(), undoing{trigger: problem.What})
		return
	}
	say()
}

// notRolling refuses forward work while a rollback has the lane. It needs mu.
func (e *Engine) notRolling(in *state.Incident) error {
	if e.rolling || in.Rollback.Status == state.RollbackRunning {
		return &state.Problem{Code: "rolling-back", What: "a rollback is running", Do: "Wait until it has ended."}
	}
	return nil
}

// goOn resumes the rollout that waits for a person.
func (e *Engine) goOn(actor state.Actor, v state.GoOn) (state.Answer, error) {
	in := e.Incident()
	if v.Reason = e.clean(v.Reason); v.Accept && v.Reason == "" {
		return state.Answer{}, &state.Problem{What: "passing a gate on your word needs a reason"}
	}
	r := in.Waiting()
	if r == nil {
		return state.Answer{}, &state.Problem{What: "no rollout waits for you"}
	}
	if at := r.StageName(); v.Stage != "" && v.Stage != at {
		return state.Answer{}, &state.Problem{What: "the rollout moved on meanwhile", Why: "you have read of " + v.Stage + ", it stands at " + at, Do: "Read what asks now, then answer that."}
	}
	return e.resume(actor, r, state.RolloutResumed{Rollout: r.ID, Accept: v.Accept, Reason: v.Reason})
}

// resume lets an asking gate look again, or drives a rollout on from where it stood.
func (e *Engine) resume(actor state.Actor, r *state.Rollout, f state.RolloutResumed) (state.Answer, error) {
	asking := r.Status == state.RolloutAsking
	run := e.newRun(r.Item)
	facts := []state.Fact{f}
	if !asking {
		if f.Accept {
			return state.Answer{}, &state.Problem{What: "no gate asks", Why: "the rollout is " + string(r.Status), Do: "Go on without it: the stage runs again, and its gate."}
		}
		facts = []state.Fact{state.ItemStarted{Item: r.Item, Run: run, Commands: e.shown(planCommands(r.Plan))}, f}
	}
	seq, err := e.recordIf(actor, func(in *state.Incident) error {
		if err := e.notRolling(in); err != nil {
			return err
		}
		if in.Epoch != r.Epoch {
			return &state.Problem{Code: "fenced", What: "it cannot go on: a rollback has begun and failed", Do: "Press R again, or finish the rollback by hand."}
		}
		if now := in.Rollout(r.ID); now == nil || now.Status != r.Status || now.Stage() != r.Stage() {
			return &state.Problem{What: "the rollout moved on meanwhile", Do: "Read what it says now, then answer that."}
		}
		return open(in)
	}, facts...)
	if err != nil {
		return state.Answer{}, err
	}
	if !asking {
		e.launch(r.Item, func(ctx context.Context, w *work) { e.drive(ctx, w, actor, r.ID, r.Item, run) })
	}
	return state.Answer{Seq: seq}, nil
}
