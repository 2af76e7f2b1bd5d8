package steps

import (
	"context"
	"errors"

	"mayday/state"
)

// workSuite is what a validation suite runs as, beside the items: Cancel stops it by
// this name.
const workSuite = "validate"

// suite finds a suite for an environment of the runbook.
func (e *Engine) suite(name, environment string) (Suite, error) {
	env, ok := e.o.Runbook.Environments[environment]
	if !ok {
		return Suite{}, &state.Problem{Code: "usage", What: "the runbook names no environment " + e.clean(environment)}
	}
	s, err := NewSuite(e.o.Runbook, name, env, e.o.Checker, e.o.Actions, e.o.Redact)
	if env.Production {
		s.Compare = e.performance
	}
	return s, err
}

// validate runs a suite for mayday validate. The answer's text names the run, whose end
// is a state.SuiteFinished.
func (e *Engine) validate(actor state.Actor, v state.Validate) (state.Answer, error) {
	s, err := e.suite(v.Suite, v.Environment)
	if err != nil {
		return state.Answer{}, err
	}
	run := e.newRun(workSuite)
	seq, err := e.recordIf(actor, func(in *state.Incident) error {
		if e.running[workSuite] != nil {
			return &state.Problem{Code: "running", What: "a suite is running already", Do: "Wait until it has ended."}
		}
		return open(in)
	}, state.SuiteStarted{Run: run, Suite: s.Name, Environment: s.Environment.Name})
	if err != nil {
		return state.Answer{}, err
	}
	e.launch(workSuite, func(ctx context.Context, w *work) { e.runSuite(ctx, w, actor, s, run) })
	return state.Answer{Text: run, Seq: seq}, nil
}

func (e *Engine) runSuite(ctx context.Context, w *work, actor state.Actor, s Suite, run string) {
	job := e.job(e.Incident(), &state.Item{}, run, nil)
	out := e.output(workSuite, run)
	job.Output = out
	var got Outcome
	err := e.guard(out, func() (err error) { got, err = s.Run(ctx, job); return err })
	if cerr := out.Close(); cerr != nil {
		e.warn("the output of "+run+" is not complete: "+cerr.Error(), false)
	}
	clean := e.outcome("", run, got)
	f := state.SuiteFinished{Run: run, Suite: s.Name, Environment: s.Environment.Name, Summary: clean.Summary, Evidence: clean.Evidence, Problem: e.problem(err)}
	if err != nil && ctx.Err() != nil {
		what := "the keeper ended"
		if e.ctx.Err() == nil {
			actor, what = e.cancelled(w, actor)
		}
		f.Problem = &state.Problem{What: what, Do: "Run the suite again."}
	}
	// Free before the outcome can be seen, so that whoever sees it can ask for the next.
	e.mu.Lock()
	if e.running[workSuite] == w {
		delete(e.running, workSuite)
	}
	e.mu.Unlock()
	e.must(actor, f) // it did run
}

// suites is step 12's: every suite that may run in production.
func (e *Engine) suites(ctx context.Context, job Job) (Outcome, error) {
	env, err := e.environment(itemDeploy)
	if err != nil {
		return Outcome{}, err
	}
	var out Outcome
	var failed []string
	for _, name := range e.o.Runbook.SuitesIn(env.Name) {
		s, err := e.suite(name, env.Name)
		var got Outcome
		if err == nil {
			got, err = s.Run(ctx, job)
		}
		if ctx.Err() != nil {
			return out, errors.Join(ctx.Err(), err)
		}
		out.Evidence = append(out.Evidence, got.Evidence...)
		if out.Summary != "" && got.Summary != "" {
			out.Summary += ", "
		}
		if out.Summary += got.Summary; err != nil {
			failed = append(failed, e.clean(err.Error()))
		}
	}
	if len(failed) > 0 {
		return out, &state.Problem{Code: "suite-failed", What: "not every suite passes in " + env.Name, Why: list(failed), Do: "Look at the evidence; run this again, or roll back with R."}
	}
	return out, nil
}
