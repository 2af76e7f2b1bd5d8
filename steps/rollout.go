package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// stageTime bounds one stage's writes and the wait for its effect (real time).
const stageTime = 15 * time.Minute

// gateTick is how often a gate looks (incident time), never faster than gateFloor (real).
const (
	gateTick  = time.Second
	gateFloor = 50 * time.Millisecond
)

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
		Previous: in.Facts["baseline"], Incident: in.ID})
	if err != nil {
		return p, s, fmt.Errorf("plan the rollout to %s: %w", env.Name, err)
	}
	p.Environment, p.Production, p.Strategy = env.Name, env.Production, name
	return p, s, nil
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
	if r != nil && r.Status.Active() {
		return e.resume(actor, r, state.RolloutResumed{Rollout: r.ID})
	}
	var p state.Plan
	if r != nil && r.Status == state.RolloutPlanned {
		p = r.Plan
	} else {
		var err error
		name := ""
		if it.ID == "10.deploy" {
			name = in.Facts["9.strategy"]
		}
		if p, _, err = e.plan(ctx, in, it.ID, name); err != nil {
			return e.failedBefore(actor, it.ID, err)
		}
	}
	s, err := e.strategy(p.Strategy)
	if err != nil {
		return state.Answer{}, err
	}
	proof, err := s.Prove(ctx, p, false)
	if err == nil && proof.Ready == state.NotReady {
		err = &state.Problem{Code: "not-proven", What: "the rollout was not started: its rollback is not proven",
			Why: proof.Why, Do: "Mend that, make the plan again (9.plan) and try again."}
	}
	if err != nil {
		return e.failedBefore(actor, it.ID, err)
	}
	run := e.newRun(it.ID)
	facts := []state.Fact{state.RolloutLaid{Plan: p, Item: it.ID}}
	if p.Production {
		facts = append(facts, state.RollbackProven{Rollout: p.ID, Proof: proof}, state.BeforeMeasured{Readings: e.before()})
		if in.Status == state.Investigating || in.Status == state.Identified {
			facts = append(facts, state.StatusChanged{To: state.Fixing})
		}
	}
	facts = append(facts, state.ItemStarted{Item: it.ID, Run: run, Commands: planCommands(p)},
		state.RolloutStarted{Rollout: p.ID, Epoch: in.Epoch, Item: it.ID})
	seq, err := e.recordIf(actor, func(in *state.Incident) error {
		if err := e.notRolling(in); err != nil {
			return err
		}
		return runnable(it.ID)(in)
	}, facts...)
	if err != nil {
		return state.Answer{}, err
	}
	e.launch(it.ID, func(ctx context.Context) { e.drive(ctx, actor, p.ID, it.ID, run) })
	return state.Answer{Lines: planCommands(p), Seq: seq}, nil
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
		if p, _, err = e.plan(ctx, in, it.ID, in.Facts["9.strategy"]); err != nil {
			return state.Answer{}, err
		}
	}
	return state.Answer{Lines: planLines(p), Text: planText(p)}, nil
}

// planLines is the plan for a person who must say yes to it: first what happens, a
// line a stage, then the exact commands under their stage.
func planLines(p state.Plan) []string {
	var short, long []string
	for _, s := range p.Stages {
		var titles []string
		long = append(long, "# "+s.Name)
		for _, op := range s.Ops {
			titles = append(titles, op.Title)
			long = append(long, op.Command)
		}
		line := "# " + s.Name + ": " + strings.Join(titles, "; ")
		if s.Hold > 0 {
			line += "; the gate must hold " + s.Hold.String()
		}
		short = append(short, line)
	}
	return append(append(short, "# R takes it back to "+p.Target+". The commands:"), long...)
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

// before gives every probe's last known reading: what "no worse than before" means.
func (e *Engine) before() map[string]state.Sample {
	out := map[string]state.Sample{}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.Now()
	for _, p := range e.in.Probes {
		if r := e.readingLocked(p, now); r.seen && r.sample.Verdict.Known() && p.Role != state.RoleNew {
			out[p.Name] = r.sample
		}
	}
	return out
}

// drive takes a rollout through its remaining stages.
func (e *Engine) drive(ctx context.Context, actor state.Actor, id, item, run string) {
	out := e.output(item, run)
	defer func() { _ = out.Close() }() // its error is on the journal's state already
	r := e.Incident().Rollout(id)
	s, err := e.strategy(r.Strategy)
	for err == nil {
		r = e.Incident().Rollout(id)
		i := r.Stage()
		if i >= len(r.Stages) {
			e.finishRollout(actor, r, item, run)
			return
		}
		err = e.stage(ctx, actor, s, r, i, out)
	}
	e.failRollout(ctx, actor, r, s, item, run, err)
}

// stage runs one stage: journal, writes, effect, journal, gate, journal.
func (e *Engine) stage(ctx context.Context, actor state.Actor, s Strategy, r *state.Rollout, i int, out io.Writer) error {
	if r.Stages[i].Effected.IsZero() || r.Stages[i].Status == state.ItemInterrupted {
		if _, err := e.record(actor, state.StageStarted{Rollout: r.ID, Stage: i}); err != nil {
			return err
		}
	}
	sctx, cancel := context.WithTimeout(ctx, stageTime)
	defer cancel()
	eff, err := s.Stage(sctx, r.Plan, i, Fence{Incident: e.id(), Epoch: r.Epoch}, out)
	if err != nil {
		return err
	}
	if _, err := e.record(e.mayday(), state.StageEffected{Rollout: r.ID, Stage: i, Effect: state.Clean(eff.Text), Seen: eff.Seen}); err != nil {
		return err
	}
	text := ""
	if r.Stages[i].Hold > 0 {
		if text, err = e.holdGate(ctx, r, i); err != nil {
			return err
		}
	}
	_, err = e.record(e.mayday(), state.StagePassed{Rollout: r.ID, Stage: i, Text: text})
	return err
}

func (e *Engine) id() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.in.ID
}

// errGate ends a stage whose gate asks for the rollback; the text says why.
type errGate struct{ reasons []string }

func (g errGate) Error() string { return "gate: " + list(g.reasons) }

// holdGate watches until the gate passes, a person accepts, or it fails.
func (e *Engine) holdGate(ctx context.Context, r *state.Rollout, i int) (string, error) {
	if !r.Production {
		return "", nil // staging has no probes of its own: its checks are items of step 8
	}
	roles := []state.Role{state.RoleNew}
	if r.Strategy != "canary" {
		roles = append(roles, state.RoleAll)
	}
	hold := r.Stages[i].Hold.D()
	in := e.Incident()
	now := e.Now()
	old := func(name string) (reading, bool) { return e.reading(name, e.Now()) }
	g := newGate(e.o.Runbook.Gate, hold, in.Before, old)
	tick := time.NewTicker(max(e.o.Clock.Real(gateTick), gateFloor))
	defer tick.Stop()
	var said state.GateState
	for {
		now = e.Now()
		d := g.judge(now, e.readings(now, roles...))
		if d.state != said {
			said = d.state
			if _, err := e.record(e.mayday(), state.GateDecided{Rollout: r.ID, Stage: i, State: d.state, Since: d.since,
				Hold: state.Duration(hold), Reasons: d.reasons, Readings: d.readings}); err != nil {
				return "", err
			}
		}
		switch d.state {
		case state.GatePassed:
			return fmt.Sprintf("held %s, %d readings", state.Duration(hold), len(d.readings)), nil
		case state.GateFailed:
			return "", errGate{d.reasons}
		case state.GateAsking:
			why, err := e.waitForPerson(ctx, r.ID)
			if err != nil || why != "" {
				return why, err
			}
			g, said = newGate(e.o.Runbook.Gate, hold, in.Before, old), ""
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-tick.C:
		}
	}
}

// waitForPerson blocks while the gate asks. It returns why the gate may pass, or
// "" to look again.
func (e *Engine) waitForPerson(ctx context.Context, rollout string) (string, error) {
	from := len(e.Events())
	for {
		changed := e.Changed()
		events := e.Events()
		for ; from < len(events); from++ {
			if f, ok := events[from].Fact.(state.RolloutResumed); ok && f.Rollout == rollout {
				if f.Accept {
					return "accepted by " + events[from].Actor.User + ": " + f.Reason, nil
				}
				return "", nil
			}
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-changed:
		}
	}
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
		facts = append(facts, state.StatusChanged{To: state.Monitoring, Why: r.Version + " is in production"})
	}
	e.must(actor, facts...)
}

// failRollout says how a rollout ended before its end, and pulls the rollback where
// the new version itself is to blame.
func (e *Engine) failRollout(ctx context.Context, actor state.Actor, r *state.Rollout, s Strategy, item, run string, err error) {
	if e.ctx.Err() != nil {
		return // the keeper leaves; the next one finds the rollout interrupted
	}
	in := e.Incident()
	if in.Epoch != r.Epoch {
		return // a rollback fenced it, and tells its own story
	}
	var gate errGate
	pull := errors.As(err, &gate) || state.HasCode(err, "unhealthy")
	problem := state.AsProblem(err)
	outcome, status := state.RolloutFailed, state.ItemFailed
	switch {
	case ctx.Err() != nil:
		outcome, status = state.RolloutStopped, state.ItemCancelled
		problem = &state.Problem{What: "stopped where it was", Do: "g goes on, R takes it back."}
	case errors.Is(err, ErrFenced):
		problem = &state.Problem{Code: "fenced", What: "another rollout owns the objects now", Why: state.Clean(err.Error()),
			Do: "Find out who deploys. R still takes this incident's changes back."}
	case pull && r.Production:
		problem.Do = "Production is being rolled back to " + r.Target + "."
	}
	say := func() {
		e.must(actor, state.RolloutFinished{Rollout: r.ID, Outcome: outcome, Problem: problem},
			state.ItemFinished{Item: item, Run: run, Outcome: status, Problem: problem})
	}
	if pull && r.Production && ctx.Err() == nil {
		e.fireAfter(say, e.mayday(), problem.What)
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
	if v.Accept && state.Clean(v.Reason) == "" {
		return state.Answer{}, &state.Problem{What: "passing a gate on your word needs a reason"}
	}
	for i := len(in.Rollouts) - 1; i >= 0; i-- {
		r := &in.Rollouts[i]
		if r.Attempt == in.Attempt && r.Status.Active() && r.Status != state.RolloutRunning {
			return e.resume(actor, r, state.RolloutResumed{Rollout: r.ID, Accept: v.Accept, Reason: state.Clean(v.Reason)})
		}
	}
	return state.Answer{}, &state.Problem{What: "no rollout waits for you"}
}

// resume lets an asking gate look again, or drives a rollout on from where it stood.
func (e *Engine) resume(actor state.Actor, r *state.Rollout, f state.RolloutResumed) (state.Answer, error) {
	asking := r.Status == state.RolloutAsking
	run := e.newRun(r.Item)
	facts := []state.Fact{f}
	if !asking {
		facts = []state.Fact{state.ItemStarted{Item: r.Item, Run: run, Commands: planCommands(r.Plan)}, f}
	}
	seq, err := e.recordIf(actor, func(in *state.Incident) error {
		if err := e.notRolling(in); err != nil {
			return err
		}
		if now := in.Rollout(r.ID); now == nil || now.Status != r.Status {
			return &state.Problem{What: "the rollout moved on meanwhile"}
		}
		return open(in)
	}, facts...)
	if err != nil {
		return state.Answer{}, err
	}
	if !asking {
		e.launch(r.Item, func(ctx context.Context) { e.drive(ctx, actor, r.ID, r.Item, run) })
	}
	return state.Answer{Seq: seq}, nil
}
