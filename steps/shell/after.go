package shell

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// After gives strategies that also do what the runbook wants of a rollback of
// production behind traffic and workload: cache, CDN, DNS, and (only when it is asked
// for) the database. What a rollback does is in its plan: where the runbook has changed
// since, the plan holds, so a runbook that wants nothing wraps them too.
//
// The order is that of safety. Users come first, so nothing here runs before the
// strategy has brought the old version back, and nothing here can undo that: a hook
// that fails is told with its command, the next ones run, and the rollback is done,
// unless the runbook requires that hook.
func After(inner map[string]steps.Strategy, rb *runbook.Runbook, redact *Redactor) map[string]steps.Strategy {
	out := map[string]steps.Strategy{}
	for name, s := range inner {
		a := &after{Strategy: s, rollback: rb.Rollback, redact: redact}
		if u, ok := s.(steps.Undoer); ok {
			out[name] = afterUndoer{a, u}
			continue
		}
		out[name] = a
	}
	return out
}

type after struct {
	steps.Strategy
	rollback runbook.Rollback
	redact   *Redactor
}

// aftermath is what a plan remembers of it, beside the strategy's own snapshot.
type aftermath struct {
	Incident string    `json:"incident"`
	Hooks    hooks     `json:"hooks,omitempty"`
	Required []string  `json:"required,omitempty"`
	Database *database `json:"database,omitempty"`
}

// wrapped is the snapshot of such a plan.
type wrapped struct {
	Inner json.RawMessage `json:"inner"`
	After *aftermath      `json:"after"`
}

// names are the hooks' for a person.
var names = map[string]string{"cache": "cache", "cdn": "CDN", "dns": "DNS"}

// what says what a hook did.
var what = map[string]string{"cache": "cache invalidated", "cdn": "CDN purged", "dns": "DNS checked"}

// not says what is missing where it did not.
var not = map[string]string{"cache": "cache NOT invalidated", "cdn": "CDN NOT purged", "dns": "DNS NOT as it should be"}

// opDatabase is the operation in a plan's inverse that stands for the database.
const opDatabase = "database"

// Plan implements steps.Strategy.
func (a *after) Plan(ctx context.Context, order steps.Order) (state.Plan, error) {
	plan, err := a.Strategy.Plan(ctx, order)
	if err != nil || !order.Environment.Production {
		return plan, err
	}
	return a.behind(ctx, plan, order, a.rollback.Database)
}

// afterUndoer is after, of a strategy that can undo a release that mayday did not make.
type afterUndoer struct {
	*after
	undoer steps.Undoer
}

// PlanUndo implements steps.Undoer. What schema the version before the last release knew
// is not known: the database stays as it is.
func (a afterUndoer) PlanUndo(ctx context.Context, order steps.Order) (state.Plan, error) {
	plan, err := a.undoer.PlanUndo(ctx, order)
	if err != nil {
		return plan, err
	}
	return a.behind(ctx, plan, order, nil)
}

// behind adds what a rollback of the plan does behind the workload.
func (a *after) behind(ctx context.Context, plan state.Plan, order steps.Order, d *runbook.Database) (state.Plan, error) {
	if len(a.rollback.Hooks()) == 0 && d == nil {
		return plan, nil
	}
	m := &aftermath{Incident: order.Incident, Required: a.rollback.Required}
	var err error
	if m.Hooks, err = remember(a.rollback.Hooks(), a.redact); err != nil {
		return plan, err
	}
	v := m.told(plan)
	if d != nil {
		if m.Database, err = a.rememberDatabase(ctx, d, v); err != nil {
			return plan, err
		}
		if m.Database.Unknown != "" {
			plan.Warnings = append(plan.Warnings, "the schema's migration version is not known, so the database cannot be taken back: "+m.Database.Unknown)
		}
		plan.Inverse = append(plan.Inverse, state.Op{ID: opDatabase, Title: m.Database.title(), Object: "database"})
	}
	for _, key := range m.Hooks.those(runbook.AfterHooks...) {
		h := m.Hooks[key]
		title := names[key] + ": " + a.redact.Text(Quote(v.replace(h.Run...)))
		if slices.Contains(m.Required, key) {
			title += " (required)"
		}
		plan.Inverse = append(plan.Inverse, state.Op{ID: key, Title: title, Object: key, Command: h.shown(v, a.rollback.Hooks()[key], a.redact)})
	}
	if plan.Snapshot, err = json.Marshal(wrapped{Inner: plan.Snapshot, After: m}); err != nil {
		return plan, fmt.Errorf("encode snapshot: %w", err)
	}
	return plan, nil
}

// Retires implements steps.Retirer.
func (a *after) Retires(plan state.Plan) bool {
	inner, _ := split(plan)
	k, ok := a.Strategy.(steps.Retirer)
	return ok && k.Retires(inner)
}

// Retire implements steps.Retirer.
func (a *after) Retire(ctx context.Context, plan state.Plan, since time.Duration, fence steps.Fence, dry bool) ([]string, string, error) {
	k, ok := a.Strategy.(steps.Retirer)
	if !ok {
		return nil, "", &state.Problem{Code: "config", What: "strategy " + a.Name() + " leaves nothing standing"}
	}
	inner, _ := split(plan)
	return k.Retire(ctx, inner, since, fence, dry)
}

// told gives what its hooks are told.
func (m *aftermath) told(plan state.Plan) values {
	return told(plan.Version, plan.Target, plan.Environment, m.Incident)
}

// split gives the strategy's own plan, and what comes behind it: nil for a plan that
// was made without.
func split(plan state.Plan) (state.Plan, *aftermath) {
	var w wrapped
	if json.Unmarshal(plan.Snapshot, &w) != nil || w.After == nil {
		return plan, nil
	}
	own := func(op state.Op) bool {
		return op.ID == opDatabase && w.After.Database != nil || w.After.Hooks.have(op.ID) && what[op.ID] != ""
	}
	plan.Snapshot, plan.Inverse = w.Inner, slices.DeleteFunc(slices.Clone(plan.Inverse), own)
	return plan, w.After
}

// Stage implements steps.Strategy.
func (a *after) Stage(ctx context.Context, plan state.Plan, i int, fence steps.Fence, out io.Writer) (steps.Effect, error) {
	inner, _ := split(plan)
	return a.Strategy.Stage(ctx, inner, i, fence, out)
}

// Look implements steps.Strategy.
func (a *after) Look(ctx context.Context, plan state.Plan) ([]string, error) {
	inner, _ := split(plan)
	return a.Strategy.Look(ctx, inner)
}

// Prove implements steps.Strategy: the strategy's own proof, the programs of the
// hooks, and whether the schema is still the one the old version knows.
func (a *after) Prove(ctx context.Context, plan state.Plan, started bool) (state.Proof, error) {
	inner, m := split(plan)
	proven, err := a.Strategy.Prove(ctx, inner, started)
	if err != nil || m == nil {
		return proven, err
	}
	p := &proof{proven}
	v := m.told(plan)
	for _, key := range m.Hooks.those(runbook.AfterHooks...) {
		level := state.Doubtful
		if slices.Contains(m.Required, key) {
			level = state.NotReady
		}
		a.program(p, m.Hooks[key], "rollback."+key, v, a.rollback.Hooks()[key], level)
	}
	if m.Database != nil {
		a.proveDatabase(ctx, p, m.Database, plan, v, started)
	}
	return p.Proof, ctx.Err()
}

// program looks whether a hook could run.
func (a *after) program(p *proof, h hook, name string, v values, now *runbook.Command, level state.Readiness) {
	if _, err := h.spec(v, now, a.redact); err != nil {
		p.no(name, level, err)
		return
	}
	p.yes(name, h.Run[0]+" is there and executable")
}

// Prepare implements steps.Preparer.
func (a *after) Prepare(ctx context.Context, plan state.Plan) {
	inner, _ := split(plan)
	steps.Prepare(ctx, a.Strategy, inner)
}

// Rollback implements steps.Strategy. It never touches the database.
func (a *after) Rollback(ctx context.Context, plan state.Plan, fence steps.Fence, report func(state.RollbackOp)) (steps.Verification, error) {
	return a.undo(ctx, plan, fence, report, false)
}

// RollbackWithDatabase implements steps.Thorough.
func (a *after) RollbackWithDatabase(ctx context.Context, plan state.Plan, fence steps.Fence, report func(state.RollbackOp)) (steps.Verification, error) {
	return a.undo(ctx, plan, fence, report, true)
}

func (a *after) undo(ctx context.Context, plan state.Plan, fence steps.Fence, report func(state.RollbackOp), withDatabase bool) (steps.Verification, error) {
	inner, m := split(plan)
	if m == nil {
		return steps.Undo(ctx, a.Strategy, inner, fence, withDatabase, report)
	}
	v := m.told(plan).under(fence.Epoch)
	seen, err := a.Strategy.Rollback(ctx, inner, fence, report)
	if err != nil {
		for _, key := range m.Hooks.those(runbook.AfterHooks...) {
			seen.Manual = append(seen.Manual, a.command(m, key, v))
		}
		return seen, err
	}
	var failed error
	switch {
	case m.Database == nil && withDatabase:
		failed = noDatabase()
	case m.Database != nil && !withDatabase:
		report(state.RollbackOp{Op: opDatabase, Status: state.ItemNotNeeded, Text: "kept as it is"})
	case withDatabase:
		var text string
		var manual []string
		text, manual, failed = a.takeBack(ctx, m.Database, v, report)
		seen.Text, seen.Manual = joined(seen.Text, text), append(seen.Manual, manual...)
	}
	for _, key := range m.Hooks.those(runbook.AfterHooks...) {
		if err := a.one(ctx, m, key, v, report); err != nil {
			seen.Text, seen.Manual = joined(seen.Text, not[key]), append(seen.Manual, a.command(m, key, v))
			if failed == nil && slices.Contains(m.Required, key) {
				failed = &state.Problem{Code: "hook", What: plan.Target + " serves, and the rollback has not ended: " + not[key], Why: state.AsProblem(err).Error(),
					Do: "The runbook requires it: do it by hand, or roll back again, which tries it again."}
			}
			continue
		}
		seen.Text = joined(seen.Text, what[key])
	}
	return seen, failed
}

// one runs one hook as an operation.
func (a *after) one(ctx context.Context, m *aftermath, key string, v values, report func(state.RollbackOp)) error {
	_, err := reported(report, key, names[key], func() (string, error) {
		res, err := a.run(ctx, m.Hooks[key], v, a.rollback.Hooks()[key])
		return "in " + res.Duration.Round(time.Millisecond).String(), err
	})
	return err
}

// run runs a hook; what it prints goes to the rollback's output.
func (a *after) run(ctx context.Context, h hook, v values, now *runbook.Command) (Result, error) {
	s, err := h.spec(v, now, a.redact)
	if err != nil {
		return Result{Exit: -1}, err
	}
	s.Output = steps.Output(ctx)
	return Run(ctx, s)
}

func (a *after) command(m *aftermath, key string, v values) string {
	return m.Hooks[key].shown(v, a.rollback.Hooks()[key], a.redact)
}

func joined(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

func noDatabase() error {
	return &state.Problem{Code: "config", What: "traffic and workload are back, the database is as it was", Why: "this plan does not say how to take it back",
		Do: "Take it back by hand; rollback.database in the runbook says how next time."}
}
