package steps

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"mayday/state"
)

// databaseTime is what a rollback may take beyond rollbackTime where the database goes
// back too: backups are slow (real time).
const databaseTime = 2 * time.Hour

// undoing is what a rollback is asked for with.
type undoing struct {
	trigger  string
	database bool // take the database back too
}

func (p undoing) time() time.Duration {
	if p.database {
		return rollbackTime + databaseTime
	}
	return rollbackTime
}

func (e *Engine) cleanPull(p undoing) undoing {
	if p.trigger = e.clean(p.trigger); p.trigger == "" {
		p.trigger = "R"
	}
	return p
}

// targetOf is target, for a rollback that may be about the database too: R comes
// first and keeps it, and only then does somebody see that the old version cannot
// live with the new schema.
func (e *Engine) targetOf(p undoing) (*state.Incident, *state.Rollout, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.targetOfLocked(p)
}

// targetOfLocked needs mu.
func (e *Engine) targetOfLocked(p undoing) (*state.Incident, *state.Rollout, error) {
	in, r, err := e.targetLocked()
	if !p.database || !state.HasCode(err, "already") {
		return in, r, err
	}
	if e.rolling || in.Rollback.Status == state.RollbackRunning {
		if e.rolling && e.whole || !e.rolling && in.Rollback.Database {
			return in, r, err
		}
		return in, r, &state.Problem{Code: "rolling-back", What: "a rollback that keeps the database is running", Do: "Ask again when it has ended: then the database is taken back too."}
	}
	if back := in.Production(); back != nil && back.Status == state.RolloutRolledBack && in.Rollback.LeftDatabase() {
		return in, back, nil
	}
	return in, r, err
}

// widen makes an armed rollback take the database back too. It needs key.
func (e *Engine) widen(actor state.Actor, p undoing) {
	rb := e.Incident().Rollback
	if p.database && rb.Status == state.RollbackArmed && !rb.Database {
		e.must(actor, state.RollbackPrimed{Deadline: rb.Deadline, Trigger: p.trigger, Database: true})
	}
}

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

// What a rollback's commands print waits for the disk in memory, and is left out where
// that hangs.
const (
	outputLines    = 4096
	outputPatience = 2 * time.Second // for the disk, when all is done (real time)
)

// Patient is an output that never keeps its writer waiting, and is opened by the first
// word. One goroutine at a time writes.
type Patient struct {
	lines chan []byte
	done  chan struct{}
	err   error // valid when done is closed
}

// NewPatient gives an output that open opens.
func NewPatient(open func() (io.WriteCloser, error)) *Patient {
	p := &Patient{lines: make(chan []byte, outputLines), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		if bad := guarded(func() { p.err = p.run(open) }); bad != nil {
			p.err = bad // the rollback beside it goes on
		}
		for range p.lines {
			continue // nobody takes them
		}
	}()
	return p
}

func (p *Patient) run(open func() (io.WriteCloser, error)) error {
	line, ok := <-p.lines
	if !ok {
		return nil
	}
	out, err := open()
	if err != nil {
		return err
	}
	for ; ok && err == nil; line, ok = <-p.lines {
		_, err = out.Write(line)
	}
	return errors.Join(err, out.Close())
}

// Write implements io.Writer; it never fails.
func (p *Patient) Write(b []byte) (int, error) {
	select {
	case p.lines <- bytes.Clone(b):
	default:
	}
	return len(b), nil
}

// Close waits a moment for the disk.
func (p *Patient) Close() error {
	close(p.lines)
	select {
	case <-p.done:
		return p.err
	case <-time.After(outputPatience):
		return errors.New("the disk hangs")
	}
}
