package steps

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mayday/state"
)

// previewTime bounds a preview (real time): the operator waits for it.
const previewTime = 15 * time.Second

// isRollout names the items that the Engine runs as rollouts, with their environment.
func isRollout(item string) bool { return item == "8.deploy" || item == "10.deploy" }

// action finds what an item runs: the Engine's own, then the wired ones.
func (e *Engine) action(item string) (Action, error) {
	if a := e.own(item); a != nil {
		return a, nil
	}
	if a, ok := e.o.Actions[item]; ok {
		return a, nil
	}
	return nil, &state.Problem{What: fmt.Sprintf("nothing is wired for %s", item), Do: "Override it with a reason, and report this."}
}

func (e *Engine) job(in *state.Incident, it *state.Item, run string, values map[string]string) Job {
	return Job{Item: *it, Run: run, Incident: in, Values: values, Now: e.Now, Evidence: e.o.Evidence, Output: discard{}}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// preview asks an action what it would do.
func (e *Engine) preview(ctx context.Context, v state.Preview) (state.Answer, error) {
	in := e.Incident()
	it := in.Item(v.Item)
	if it == nil {
		return state.Answer{}, &state.Problem{What: fmt.Sprintf("there is no item %q", v.Item)}
	}
	if it.Kind != state.Action {
		return e.previewSign(ctx, in, it)
	}
	// What could not be run must not be offered; where it runs, there is something to see.
	if err := runnable(it.ID)(in); it.Changes && err != nil && !state.HasCode(err, "running") {
		return state.Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, previewTime)
	defer cancel()
	if isRollout(it.ID) {
		return e.previewRollout(ctx, in, it)
	}
	a, err := e.action(it.ID)
	if err != nil {
		return state.Answer{}, err
	}
	p, err := a.Preview(ctx, e.job(in, it, "", v.Values))
	if err != nil {
		return state.Answer{}, err
	}
	return state.Answer{Lines: p.Commands, Text: p.Text}, nil
}

// previewSign shows what is signed: the diff that the budget measured.
func (e *Engine) previewSign(ctx context.Context, in *state.Incident, it *state.Item) (state.Answer, error) {
	a, ok := e.o.Actions["4.change"]
	if it.Kind != state.SignOff || !ok {
		return state.Answer{Text: it.Help}, nil
	}
	p, err := a.Preview(ctx, e.job(in, in.Item("4.change"), "", nil))
	if err != nil {
		return state.Answer{}, err
	}
	return state.Answer{Text: p.Text, Lines: []string{"commit " + in.Facts["commit"]}}, nil
}

// runItem starts an action. It journals the intent with the exact commands first.
func (e *Engine) runItem(ctx context.Context, actor state.Actor, id string, values map[string]string) (state.Answer, error) {
	in := e.Incident()
	if err := runnable(id)(in); err != nil {
		return state.Answer{}, err
	}
	it := in.Item(id)
	if isRollout(id) {
		return e.startRollout(ctx, actor, in, it)
	}
	a, err := e.action(id)
	if err != nil {
		return state.Answer{}, err
	}
	pctx, cancel := context.WithTimeout(ctx, previewTime)
	defer cancel()
	p, err := a.Preview(pctx, e.job(in, it, "", values))
	if err != nil {
		return e.failedBefore(actor, id, err)
	}
	run := e.newRun(id)
	seq, err := e.recordIf(actor, runnable(id), state.ItemStarted{Item: id, Run: run, Commands: p.Commands})
	if err != nil {
		return state.Answer{}, err
	}
	e.launch(id, func(ctx context.Context) { e.act(ctx, actor, a, id, run, values) })
	return state.Answer{Lines: p.Commands, Seq: seq}, nil
}

// failedBefore records an action that could not even say what it would do.
func (e *Engine) failedBefore(actor state.Actor, id string, err error) (state.Answer, error) {
	run := e.newRun(id)
	if _, rerr := e.recordIf(actor, runnable(id), state.ItemStarted{Item: id, Run: run},
		state.ItemFinished{Item: id, Run: run, Outcome: state.ItemFailed, Problem: state.AsProblem(err)}); rerr != nil {
		return state.Answer{}, rerr
	}
	return state.Answer{}, err
}

// runnable says why an action cannot start now.
func runnable(id string) func(*state.Incident) error {
	return func(in *state.Incident) error {
		if err := open(in); err != nil {
			return err
		}
		if err := free(id, state.Action)(in); err != nil {
			return err
		}
		if st := in.Item(id).Status; st == state.ItemRunning || st == state.ItemAsking {
			return &state.Problem{Code: "running", What: "it is running already"}
		}
		if in.Rollback.Status == state.RollbackRunning && in.Item(id).Changes {
			return &state.Problem{What: "a rollback is running", Do: "Wait until it has ended."}
		}
		if len(in.Closed) >= in.Attempt && inAttempt(id) {
			return &state.Problem{Code: "attempt-over", What: fmt.Sprintf("attempt %d was rolled back", in.Attempt),
				Do: "Open the next attempt: t in the cockpit."}
		}
		return nil
	}
}

// inAttempt reports whether an item belongs to the steps that start afresh.
func inAttempt(id string) bool {
	var no int
	if _, err := fmt.Sscanf(id, "%d.", &no); err != nil {
		return false
	}
	return no >= state.FirstOfAttempt && no <= state.LastOfAttempt
}

// newRun names a run after its item and the event that will start it.
func (e *Engine) newRun(id string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return fmt.Sprintf("%s-%d", id, e.in.Seq+1)
}

// launch runs f under a context that Cancel and Close end.
func (e *Engine) launch(id string, f func(context.Context)) {
	ctx, cancel := context.WithCancel(e.ctx)
	e.mu.Lock()
	e.running[id] = cancel
	e.mu.Unlock()
	e.spawn(func() {
		defer func() {
			cancel()
			e.mu.Lock()
			delete(e.running, id)
			e.mu.Unlock()
			e.autos()
		}()
		f(ctx)
	})
}

func (e *Engine) cancelItem(id string) error {
	e.mu.Lock()
	cancel := e.running[id]
	e.mu.Unlock()
	if cancel == nil {
		return &state.Problem{What: id + " is not running"}
	}
	cancel()
	return nil
}

// act runs an action and journals its outcome.
func (e *Engine) act(ctx context.Context, actor state.Actor, a Action, id, run string, values map[string]string) {
	out := e.output(id, run)
	in := e.Incident()
	it := in.Item(id)
	if it == nil {
		return // a new attempt laid other items down
	}
	job := e.job(in, it, run, values)
	job.Output = out
	got, err := a.Run(ctx, job)
	if cerr := out.Close(); cerr != nil {
		e.warn("the output of "+run+" is not complete: "+cerr.Error(), false)
	}
	f := state.ItemFinished{Item: id, Run: run, Outcome: state.ItemDone, Summary: state.Clean(got.Summary), Evidence: got.Evidence, Facts: got.Facts}
	switch {
	case err != nil && ctx.Err() != nil && e.ctx.Err() != nil:
		return // the keeper leaves: the next one finds the item interrupted
	case err != nil && ctx.Err() != nil:
		f.Outcome, f.Problem = state.ItemCancelled, &state.Problem{What: "cancelled", Do: "Run it again when you are ready: it does only what is missing."}
	case err != nil:
		f.Outcome, f.Problem = state.ItemFailed, state.AsProblem(err)
	case got.Unneeded:
		f.Outcome = state.ItemNotNeeded
	}
	if _, err := e.record(actor, f); err != nil {
		e.must(actor, f) // it did happen: kept in the spool until the disk takes it
	}
	if got.Facts["tag"] != "" || got.Facts["baseline"] != "" || got.Facts["production"] != "" {
		e.layProbes()
	}
}

// autos starts what runs by itself and has become possible.
func (e *Engine) autos() {
	if e.ctx.Err() != nil {
		return
	}
	in := e.Incident()
	if !in.Open() {
		return
	}
	for i := range in.Steps {
		for j := range in.Steps[i].Items {
			it := &in.Steps[i].Items[j]
			if !it.Auto || it.Status != state.ItemOpen || in.Blocker(it) != nil {
				continue
			}
			_, err := e.runItem(e.ctx, e.mayday(), it.ID, nil)
			// Another caller may have started it since; a failure is on the item already.
			if err != nil && !state.HasCode(err, "running") && !errors.Is(err, context.Canceled) && state.HasCode(err, "journal") {
				return
			}
		}
	}
}

// list joins names for a sentence.
func list(names []string) string { return strings.Join(names, ", ") }
