package steps

import (
	"context"
	"io"

	"mayday/state"
)

// Thorough is a Strategy that can take the database back too.
type Thorough interface {
	Strategy
	// RollbackWithDatabase is Rollback, and once traffic and workload are back the
	// schema is taken back to the version that the plan remembers. Where that fails,
	// the error says so, and Verification.Manual is what is left to do by hand.
	RollbackWithDatabase(ctx context.Context, plan state.Plan, fence Fence, report func(state.RollbackOp)) (Verification, error)
}

// Undo carries a rollback out, with or without the database. It is what the Engine
// does, for a process that rolls back without it.
func Undo(ctx context.Context, s Strategy, plan state.Plan, fence Fence, database bool, report func(state.RollbackOp)) (Verification, error) {
	if !database {
		return s.Rollback(ctx, plan, fence, report)
	}
	t, ok := s.(Thorough)
	if !ok {
		seen, err := s.Rollback(ctx, plan, fence, report)
		if err == nil {
			err = &state.Problem{Code: "config", What: "traffic and workload are back, the database is as it was", Why: "the runbook does not say how to take it back",
				Do: "Take it back by hand; rollback.database in the runbook says how next time."}
		}
		return seen, err
	}
	return t.RollbackWithDatabase(ctx, plan, fence, report)
}

// Leftover says in red what a rollback that is done could not do.
func Leftover(seen Verification) []state.Fact {
	var out []state.Fact
	for _, command := range seen.Manual {
		out = append(out, state.Warned{Text: "rolled back, but by hand: " + command, Sticky: true})
	}
	return out
}

type outputKey struct{}

// WithOutput gives a rollback somewhere to write what its commands print.
func WithOutput(ctx context.Context, out io.Writer) context.Context {
	return context.WithValue(ctx, outputKey{}, out)
}

// Output is where a rollback's commands write; nobody may be looking.
func Output(ctx context.Context) io.Writer {
	if w, ok := ctx.Value(outputKey{}).(io.Writer); ok {
		return w
	}
	return io.Discard
}
