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

// Items that the Engine knows by name.
const (
	itemCommit   = "6.commit"
	itemSignOff  = "6.signoff"
	itemStaging  = "8.deploy"
	itemPlan     = "9.plan"
	itemDeploy   = "10.deploy"
	itemRollback = "14.rollback"
	itemRetire   = "15.old"
)

// isRollout names the items that the Engine runs as rollouts, with their environment.
func isRollout(item string) bool { return item == itemStaging || item == itemDeploy }

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
		return e.previewSign(ctx, in, it, v.Values)
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
	seq, err := e.recordIf(actor, func(in *state.Incident) error {
		if inAttempt(id) || it.Changes { // the lane is taken before the fold knows of it
			if err := e.notRolling(in); err != nil {
				return err
			}
		}
		return runnable(id)(in)
	}, state.ItemStarted{Item: id, Run: run, Commands: e.shown(p.Commands)})
	if err != nil {
		return state.Answer{}, err
	}
	e.launch(id, func(ctx context.Context, w *work) { e.act(ctx, w, actor, a, id, run, values) })
	return state.Answer{Lines: p.Commands, Seq: seq}, nil
}

// failedBefore records an action that could not even say what it would do.
func (e *Engine) failedBefore(actor state.Actor, id string, err error) (state.Answer, error) {
	run := e.newRun(id)
	if _, rerr := e.recordIf(actor, runnable(id), state.ItemStarted{Item: id, Run: run},
		state.ItemFinished{Item: id, Run: run, Outcome: state.ItemFailed, Problem: e.problem(err)}); rerr != nil {
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
			it := in.Item(id)
			return &state.Problem{Code: "running", What: id + " " + it.Title + " is running already", Why: it.By + " started it at " + it.Started.Format(time.TimeOnly),
				Do: "Wait for its end; C in the cockpit cancels it."}
		}
		// What only looks is as well left alone: the attempt ends with the rollback, and
		// an item that began meanwhile would be left running in it.
		if in.Rollback.Status == state.RollbackRunning && (in.Item(id).Changes || inAttempt(id)) {
			return &state.Problem{What: "a rollback is running", Do: "Wait until it has ended."}
		}
		if err := repeatable(in, id); err != nil {
			return err
		}
		if len(in.Closed) >= in.Attempt && inAttempt(id) {
			return &state.Problem{Code: "attempt-over", What: fmt.Sprintf("attempt %d was rolled back", in.Attempt),
				Do: "Open the next attempt: t in the cockpit."}
		}
		return nil
	}
}

// frozen are the items that say what is deployed: once it is, they stand.
var frozen = map[string]bool{"3.baseline": true, "3.branch": true, itemCommit: true, "7.version": true, "7.tag": true, itemPlan: true}

// repeatable says why an item cannot be run again: what is deployed must stay what
// was planned, proven and signed.
func repeatable(in *state.Incident, id string) error {
	r := in.Production()
	started := r != nil && r.Status != state.RolloutPlanned
	switch {
	case started && r.Status != state.RolloutRolledBack && frozen[id]:
		return &state.Problem{Code: "in-production", What: r.Version + " has gone to production: this stands",
			Do: "For another change roll back with R and open the next attempt, or finish this incident and declare another."}
	case id == itemDeploy && started && r.Status == state.RolloutDone:
		return &state.Problem{Code: "done", What: r.Version + " is deployed already", Do: "Go on with its validation, or roll back with R."}
	case id == itemRollback && started && (r.Status == state.RolloutRolledBack || in.Rollback.Rollout == r.ID && in.Rollback.Status != ""):
		return &state.Problem{Code: "done", What: "the rollback is asked for by R alone", Why: "it is " + string(in.Rollback.Status)}
	}
	if s := planned(in, itemStaging); id == itemStaging && s != nil && s.Status == state.RolloutDone && s.Version == in.Facts["tag"] {
		return &state.Problem{Code: "done", What: s.Version + " is on staging already", Do: "Go on with its checks."}
	}
	return nil
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

// work is something that runs for an item.
type work struct {
	cancel context.CancelFunc
	done   chan struct{}
	by     string // who cancelled it; "" nobody. Guarded by the Engine's mu
}

// launch runs f under a context that Cancel and Close end. What still runs for the
// item, told to stop by a rollback or a cancel, is waited for: never two at once.
func (e *Engine) launch(id string, f func(context.Context, *work)) {
	ctx, cancel := context.WithCancel(e.ctx)
	w := &work{cancel: cancel, done: make(chan struct{})}
	e.mu.Lock()
	before := e.running[id]
	e.running[id] = w
	if e.rolling && inAttempt(id) { // it began when the rollback had told all others to stop
		cancel()
	}
	e.mu.Unlock()
	e.spawn(func() {
		defer e.autos()
		defer func() {
			cancel()
			e.mu.Lock()
			if e.running[id] == w {
				delete(e.running, id)
			}
			e.mu.Unlock()
			close(w.done)
		}()
		if before != nil {
			select {
			case <-before.done:
			case <-ctx.Done():
			}
		}
		f(ctx, w)
	})
}

func (e *Engine) cancelItem(actor state.Actor, id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.running[id]
	if w == nil {
		return &state.Problem{What: id + " is not running"}
	}
	if w.by == "" {
		w.by = actor.User
	}
	w.cancel()
	return nil
}

// cancelled says who stopped a work, as the actor of its end.
func (e *Engine) cancelled(w *work, actor state.Actor) (state.Actor, string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if w.by == "" {
		return actor, "cancelled"
	}
	return actor.As(w.by), "cancelled by " + w.by
}

// act runs an action and journals its outcome.
func (e *Engine) act(ctx context.Context, w *work, actor state.Actor, a Action, id, run string, values map[string]string) {
	in := e.Incident()
	it := in.Item(id)
	if it == nil || it.Run != run {
		return // a new attempt laid other items down
	}
	job := e.job(in, it, run, values)
	out := e.output(id, run)
	job.Output = out
	var got Outcome
	err := ctx.Err() // cancelled while it waited for the last run to end
	if err == nil {
		err = e.guard(out, func() (err error) { got, err = a.Run(ctx, job); return err })
	}
	if cerr := out.Close(); cerr != nil {
		e.warn("the output of "+run+" is not complete: "+cerr.Error(), false)
	}
	f := e.outcome(id, run, got)
	switch {
	case err != nil && ctx.Err() != nil && e.ctx.Err() != nil:
		return // the keeper leaves: the next one finds the item interrupted
	case err != nil && ctx.Err() != nil:
		by, what := e.cancelled(w, actor)
		actor = by
		f.Outcome, f.Problem = state.ItemCancelled, &state.Problem{What: what, Do: "Run it again when you are ready: it does only what is missing."}
	case err != nil:
		f.Outcome, f.Problem = state.ItemFailed, e.problem(err)
	case got.Unneeded:
		f.Outcome = state.ItemNotNeeded
	}
	facts := append([]state.Fact{f}, e.reopened(in, f)...)
	if _, err := e.record(actor, facts...); err != nil {
		e.must(actor, facts...) // it did happen: kept in the spool until the disk takes it
	}
	if got.Facts["tag"] != "" || got.Facts["baseline"] != "" || got.Facts["production"] != "" {
		e.layProbes()
	}
	if got.Facts[factReleased] != "" {
		e.lookAgain()
	}
}

// outcome makes what an action reports fit for the journal.
func (e *Engine) outcome(id, run string, got Outcome) state.ItemFinished {
	f := state.ItemFinished{Item: id, Run: run, Outcome: state.ItemDone, Summary: e.clean(got.Summary)}
	for _, ev := range got.Evidence {
		f.Evidence = append(f.Evidence, state.Evidence{Name: e.clean(ev.Name), Value: e.clean(ev.Value), File: ev.File})
	}
	for k, v := range got.Facts {
		if f.Facts == nil {
			f.Facts = map[string]string{}
		}
		f.Facts[k] = e.o.Redact(state.CleanLines(v))
	}
	return f
}

// reopened takes a sign-off back that was for another commit than the one just made:
// an approval binds to a commit. What was overridden stays so, in red.
func (e *Engine) reopened(in *state.Incident, f state.ItemFinished) []state.Fact {
	it := in.Item(itemSignOff)
	commit := f.Facts["commit"]
	if f.Item != itemCommit || it == nil || commit == "" || it.Status != state.ItemDone && it.Status != state.ItemFailed {
		return nil
	}
	tag, signed := f.Facts["review.tag"], in.Facts["approved.tag"]
	switch {
	case commit != in.Facts["commit"]:
		return []state.Fact{state.ItemUnchecked{Item: itemSignOff},
			state.Warned{Text: "the sign-off was for another commit; " + e.clean(commit) + " must be signed off anew"}}
	case signed != "" && tag != signed:
		return []state.Fact{state.ItemUnchecked{Item: itemSignOff},
			state.Warned{Text: "the signature was for " + signed + "; " + e.clean(tag) + " must be signed off anew"}}
	}
	return nil
}

// shown makes commands fit for the journal.
func (e *Engine) shown(commands []string) []string {
	out := make([]string, 0, len(commands))
	for _, c := range commands {
		out = append(out, e.o.Redact(state.CleanLines(c)))
	}
	return out
}

// autos lets what runs by itself and has become possible start. It does not wait.
func (e *Engine) autos() {
	select {
	case e.poke <- struct{}{}:
	default:
	}
}

// runAutos is the one that starts them, so that none is started twice and nobody
// waits for what an action looks up first. What the journal did not take is tried again:
// nothing else may happen for hours.
func (e *Engine) runAutos() {
	var again <-chan time.Time
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-e.poke:
		case <-again:
		}
		again = nil
		if !e.startAutos() {
			again = time.After(retryEvery)
		}
	}
}

// startAutos reports whether the journal took what it had to say.
func (e *Engine) startAutos() bool {
	in := e.Incident()
	if !in.Open() {
		return true
	}
	for i := range in.Steps {
		for j := range in.Steps[i].Items {
			it := &in.Steps[i].Items[j]
			// They only look: one that a dead keeper left is simply begun again.
			waits := it.Status == state.ItemOpen || it.Status == state.ItemInterrupted
			if !it.Auto || !waits || in.Blocker(it) != nil {
				continue
			}
			_, err := e.runItem(e.ctx, e.mayday(), it.ID, nil)
			// Another caller may have started it since; a failure is on the item already.
			if err != nil && !state.HasCode(err, "running") && !errors.Is(err, context.Canceled) && state.HasCode(err, "journal") {
				return false
			}
		}
	}
	return true
}

// list joins names for a sentence.
func list(names []string) string { return strings.Join(names, ", ") }
