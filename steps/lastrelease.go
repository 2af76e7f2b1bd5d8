package steps

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// Undoer is a Strategy that can also undo the last release: one that was made without
// mayday, by hand or by a pipeline.
type Undoer interface {
	// PlanUndo reads the world and gives a plan without stages whose inverse leads
	// production from what runs now (Plan.Version) to the named revision that ran
	// before it (Plan.Target). Plan.Strategy names the Strategy that proves it and
	// carries it out. The error, a *state.Problem, says why that cannot be done, or
	// not be known for certain. Order.Version and Previous are what git says of the
	// two, "" if unknown. Changes nothing.
	PlanUndo(ctx context.Context, order Order) (state.Plan, error)
}

// Facts that concern the release that production runs.
const (
	factProduction = "production"            // as git describes it: "v1.2.3", "v1.2.3-2-g3f9c1d0"
	factReleased   = "production.tag"        // the newest release that git's production holds
	factBefore     = "production.from"       // the release before that
	factMigrations = "production.migrations" // what that changed of the database's schema
	factRunning    = "running"               // what production was taken back to, other than git's
)

// Target finds what R takes back, or says why there is nothing: a Problem with the code
// "nothing", "looking" where that is just being found out, or "already" where it is
// taken back or just being so.
func Target(in *state.Incident) (*state.Rollout, error) {
	if in.Rollback.Status == state.RollbackRunning {
		return nil, &state.Problem{Code: "already", What: "the rollback is running"}
	}
	r := in.OwnRollout()
	if r == nil {
		return lastRelease(in)
	}
	if r.Status == state.RolloutRolledBack {
		return nil, &state.Problem{Code: "already", What: "it is rolled back already", Why: r.Target + " serves"}
	}
	return r, nil
}

// Wanted refuses to take production back to another version than the one that is
// proven; "" and "previous" want whatever that is.
func Wanted(version string, r *state.Rollout) error {
	if version == "" || version == "previous" || version == r.Target {
		return nil
	}
	return &state.Problem{Code: "other-version", What: "a rollback does not lead to " + state.Clean(version),
		Why: "the plan that is proven leads from " + r.Version + " back to " + r.Target,
		Do:  "Say --version=" + r.Target + " or --version=previous. Another version is a deployment of its own: make it the next attempt's, or use your cluster's own tools."}
}

// wanted is Wanted of what R would take back now; where that is nothing, R says so.
func (e *Engine) wanted(version string) error {
	_, r, err := e.target()
	if err != nil {
		return nil
	}
	return Wanted(version, r)
}

// lastRelease is Target before mayday's own first rollout of an attempt.
func lastRelease(in *state.Incident) (*state.Rollout, error) {
	u, why := in.Undo(), ""
	switch {
	case u != nil && u.Status == state.RolloutRolledBack:
		return nil, &state.Problem{Code: "already", What: "the last release is undone already", Why: u.Target + " serves"}
	case !in.Open():
		why = "the incident has ended"
	case in.Release.Since.IsZero():
		return nil, &state.Problem{Code: "looking", What: "there is nothing to roll back yet",
			Why: "mayday has not changed production, and is just finding out whether the last release can be undone", Do: "Try again in a moment."}
	case u == nil || in.Release.Proof.Ready == state.NotReady:
		why = "the last release cannot be undone: " + in.Release.Proof.Why
	default:
		return u, nil
	}
	return nil, &state.Problem{Code: "nothing", What: "there is nothing to roll back",
		Why: "mayday has not changed production in this attempt, and " + why,
		Do:  "To undo a release all the same, use your cluster's own tools; the timeline keeps a note of it."}
}

// watchRelease finds out whether the last release could be undone, again and again as
// the rollback plan is proven, until mayday begins a rollout of its own.
func (e *Engine) watchRelease(ctx context.Context) {
	tick := time.NewTicker(proveEvery)
	defer tick.Stop()
	for {
		e.lookAtRelease(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-e.relook:
		}
	}
}

// lookAgain has watchRelease look now: something it goes by has changed.
func (e *Engine) lookAgain() {
	select {
	case e.relook <- struct{}{}:
	default:
	}
}

// lookAtRelease plans and proves once, and journals the answer if it is another one.
func (e *Engine) lookAtRelease(ctx context.Context) {
	in := e.Incident()
	if released(in) != nil {
		return
	}
	f := e.undoable(ctx, in)
	if ctx.Err() != nil || sameAnswer(&in.Release, f) {
		return // the keeper leaves, or nothing is new
	}
	// A refusal means that it is past; a journal that fails says so itself.
	_, _ = e.recordIf(e.mayday(), func(now *state.Incident) error {
		if now.Epoch != in.Epoch || now.Attempt != in.Attempt {
			return errPast
		}
		return released(now)
	}, f)
}

var errPast = &state.Problem{Code: "rolling-back", What: "R has another meaning by now"}

// released refuses to look at the last release where R means something else, or is
// about to run, or has run: what it takes back must stand then.
func released(in *state.Incident) error {
	rb := in.Rollback.Status
	if !in.Open() || in.OwnRollout() != nil || !in.Release.Undo.Started.IsZero() || rb == state.RollbackRunning || rb == state.RollbackArmed {
		return errPast
	}
	return nil
}

// undoable plans and proves. Without a plan the proof says why there is none.
func (e *Engine) undoable(ctx context.Context, in *state.Incident) state.ReleaseProven {
	ctx, cancel := context.WithTimeout(ctx, proveTime)
	defer cancel()
	plan, proof, err := e.undoProof(ctx, in)
	if err != nil {
		p := e.problem(err)
		return state.ReleaseProven{Proof: state.Proof{Ready: state.NotReady, Why: sentence(p.What, p.Why)}}
	}
	doubt := gitDiffers(in.Facts, plan)
	if doubt == "" {
		doubt = e.schemaDiffers(in.Facts, plan)
	}
	if doubt != "" {
		proof.Why = strings.TrimSuffix(doubt+"; "+proof.Why, "; ")
		if proof.Ready == state.Ready {
			proof.Ready = state.Doubtful
		}
	}
	proof.Why = e.clean(proof.Why)
	return state.ReleaseProven{Plan: &plan, Proof: proof}
}

func (e *Engine) undoProof(ctx context.Context, in *state.Incident) (plan state.Plan, proof state.Proof, err error) {
	env, err := e.environment(itemDeploy)
	if err != nil {
		return plan, proof, err
	}
	u, err := e.undoer(env)
	if err != nil {
		return plan, proof, err
	}
	if err := e.guard(discard{}, func() (err error) {
		plan, err = u.PlanUndo(ctx, Order{ID: state.UndoID, Environment: env, Incident: in.ID, Mark: in.Mark, Version: in.Facts[factReleased], Previous: in.Facts[factBefore]})
		return err
	}); err != nil {
		return plan, proof, err
	}
	plan.ID, plan.Environment, plan.Production = state.UndoID, env.Name, env.Production
	s, err := e.strategy(plan.Strategy)
	if err != nil {
		return plan, proof, err
	}
	err = e.guard(discard{}, func() (err error) { proof, err = s.Prove(ctx, plan, true); return err })
	return plan, proof, err
}

// undoer finds the strategy that knows how production was released: the one it is
// usually rolled out by, else another of its own.
func (e *Engine) undoer(env runbook.Environment) (Undoer, error) {
	for _, name := range append([]string{env.Strategy}, env.Strategies()...) {
		if u, ok := e.o.Strategies[name].(Undoer); ok {
			return u, nil
		}
	}
	return nil, &state.Problem{Code: "no-undo", What: "strategy " + env.Strategy + " cannot undo a release that mayday did not make"}
}

// gitDiffers says where git and the cluster tell another story of the last release; ""
// where they agree, or git has none. The cluster has the last word.
func gitDiffers(facts map[string]string, p state.Plan) string {
	same := func(a, b string) bool { return strings.TrimPrefix(a, "v") == strings.TrimPrefix(b, "v") }
	now, before := facts[factReleased], facts[factBefore]
	switch {
	case now != "" && !same(now, p.Version):
		return fmt.Sprintf("the cluster runs %s, git says %s", p.Version, now)
	case before != "" && !same(before, p.Target):
		return fmt.Sprintf("before %s the cluster ran %s, git says %s", p.Version, p.Target, before)
	}
	return ""
}

// schemaDiffers says that the last release migrated the database, which a rollback
// leaves as it is; "" where it did not, or the runbook declares that it does not matter.
func (e *Engine) schemaDiffers(facts map[string]string, p state.Plan) string {
	db := e.o.Runbook.Rollback.Database
	if facts[factMigrations] == "" || db != nil && db.Compatible {
		return ""
	}
	return fmt.Sprintf("%s came with %s, and the database stays migrated: whether %s runs on that is not declared (rollback.database.compatible)", p.Version, facts[factMigrations], p.Target)
}

// sameAnswer reports whether f says what is known already. What only counts otherwise,
// the pods of a moment, is no other answer; nor are the strategy's own notes.
func sameAnswer(known *state.LastRelease, f state.ReleaseProven) bool {
	var now state.Plan
	if f.Plan != nil {
		now = *f.Plan
	}
	return !known.Since.IsZero() && known.Proof.Ready == f.Proof.Ready && uncounted(known.Proof.Why) == uncounted(f.Proof.Why) &&
		known.Undo.ID == now.ID && known.Undo.Strategy == now.Strategy && known.Undo.Version == now.Version && known.Undo.Target == now.Target &&
		known.Undo.Revision == now.Revision && known.Undo.ClusterUID == now.ClusterUID && slices.Equal(known.Undo.Inverse, now.Inverse)
}

// uncounted is a text without its digits.
func uncounted(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, s)
}

// sentence joins what happened and why.
func sentence(what, why string) string {
	if what == "" || why == "" {
		return what + why
	}
	return what + ": " + why
}

// ended is what closes an attempt after a rollback: what production runs now, and what
// that means for the next attempt.
func ended(in *state.Incident, r *state.Rollout) []state.Fact {
	outcome := "rolled back to " + r.Target
	var facts []state.Fact
	if r.ID == state.UndoID {
		outcome = "the last release was undone: " + r.Version + " back to " + r.Target
		facts = append(facts, state.FactsFound{Facts: map[string]string{factProduction: r.Target, factRunning: r.Target, "baseline": r.Target}},
			state.Warned{Text: fmt.Sprintf("production runs %s now, git's production branch is still at %s: the baseline of the next attempt is %s, unless step 3 is given another",
				r.Target, cmp.Or(in.Facts[factReleased], r.Version), r.Target)})
	}
	// The attempt is closed last: a keeper that died before is known by that.
	return append(facts, state.StatusChanged{To: state.Identified, Why: outcome}, state.AttemptClosed{N: in.Attempt, Outcome: outcome})
}
