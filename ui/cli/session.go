package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"mayday/state"
	"mayday/state/journal"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/keeper"
	"mayday/ui"
)

// session is a keeper.Session that can also roll back from this very process.
type session struct {
	*keeper.Session
	folder string
	rb     *runbook.Runbook
	tools  tools
	now    func() time.Time

	began time.Time // incident clock

	mu   sync.Mutex
	kept *adopting // this process keeps
}

// keeper gives the keeper in this process, nil where another process keeps.
func (s *session) keeper() *adopting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept
}

func (s *session) endKeeping(why string) (kept bool, err error) {
	k := s.keeper()
	if k == nil {
		return false, nil
	}
	return true, k.Close(why)
}

// connect opens a session on an incident: with its keeper, or as its keeper.
func (a *app) connect(ctx context.Context, folder string, rb *runbook.Runbook, via string, watch bool) (*session, error) {
	t, err := newTools(rb)
	if err != nil {
		return nil, err
	}
	return a.connectWith(ctx, folder, rb, t, via, watch, nil)
}

// connectWith is connect with tools that may be in use already, and with the rollback
// that is the first thing this process does if it becomes the keeper; nil: none.
func (a *app) connectWith(ctx context.Context, folder string, rb *runbook.Runbook, t tools, via string, watch bool, urgent *state.Fire) (*session, error) {
	socket, err := keeper.Socket(folder)
	if err != nil {
		return nil, err
	}
	out := &session{folder: folder, rb: rb, tools: t, now: a.now, began: clockOf(rb).At(a.now())}
	settings := keeper.Settings{Socket: socket, Folder: folder, Via: via, As: a.flags.as, Watch: watch,
		Become: func(context.Context) (keeper.Keeping, error) {
			k, err := keep(folder, rb, t, via, urgent, a.now)
			if err != nil {
				return nil, err
			}
			mine := k.adopt(folder)
			out.mu.Lock()
			out.kept = mine
			out.mu.Unlock()
			return mine, nil
		},
		Kept: func(err error) bool { return errors.Is(err, journal.ErrKept) },
	}
	if via == "cockpit" { // for people to look at; commands have their own ways without a keeper
		settings.History = func() []state.Frame { return onDisk(folder, rb, via) }
	}
	if out.Session, err = keeper.Open(ctx, settings); err != nil {
		return nil, explain(err, folder)
	}
	return out, nil
}

// onDisk is an incident as its journal shows it, in frames.
func onDisk(folder string, rb *runbook.Runbook, via string) []state.Frame {
	f := read("", folder)
	out := []state.Frame{{Hello: &state.Hello{You: me(via), Keeper: f.in.Keeper, Incident: f.in.ID, Folder: folder, Head: f.in.Seq,
		Grace: rb.Rollback.Grace.D(), Clock: f.in.Clock}}}
	for i := range f.events {
		out = append(out, state.Frame{Event: &f.events[i]})
	}
	if past, err := journal.RecentSamples(folder); err == nil && len(past) > 0 {
		out = append(out, state.Frame{Samples: past})
	}
	return out
}

// explain turns the disk's refusals into something to do.
func explain(err error, folder string) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, errReadOnly) {
		return &state.Problem{Code: "journal-folder", What: "the incident's folder cannot be written", Why: state.Clean(err.Error()),
			Do: "Make " + folder + " writable, or set MAYDAY_HOME to a folder that is. mayday replay and mayday journal work without."}
	}
	return err
}

// RollbackHere takes production back from this process, with the plan in the
// journal: the keeper does not answer. What happens is kept beside the journal
// until a keeper takes it in. The database stays as it is.
func (s *session) RollbackHere(ctx context.Context) error { return s.rollbackHere(ctx, undo{}) }

func (s *session) rollbackHere(ctx context.Context, want undo) error {
	if s.isGuest() {
		return noFiles("roll back by itself")
	}
	f := read("", s.folder)
	database := want.database
	r, err := taking(f.in)
	if p := f.in.OwnRollout(); p != nil && p.Status == state.RolloutRolledBack && database && f.in.Rollback.LeftDatabase() {
		r, err = p, nil // a rollback before this one left the database alone, or failed with it
	}
	if err == nil {
		err = steps.Wanted(want.version, r)
	}
	if err != nil {
		return err
	}
	redact, strategy := s.tools.redact, s.tools.strategies[r.Strategy]
	if strategy == nil {
		return &state.Problem{What: "strategy " + r.Strategy + " is not built in"}
	}
	steps.Prepare(ctx, strategy, r.Plan) // all at the same time what it asks one after the other
	said := newSpool(s.folder, me("cockpit"))
	keep := func(fact state.Fact) { said.keep(f.in.Clock.At(s.now()), fact) }
	epoch := f.in.Epoch + 1
	run := fmt.Sprintf("14.rollback-e%d", epoch)
	keep(state.RollbackStarted{Rollout: r.ID, Target: r.Target, Epoch: epoch, Trigger: "R, while the keeper did not answer", Ops: r.Inverse, Database: database})
	keep(state.ItemStarted{Item: "14.rollback", Run: run})
	out := steps.NewPatient(func() (io.WriteCloser, error) { return journal.OutputFile(s.folder, run) })
	seen, err := steps.Undo(steps.WithOutput(ctx, out), strategy, r.Plan, steps.Fence{Incident: f.in.Mark, Epoch: epoch}, database, func(op state.RollbackOp) {
		op.Text, op.Title = redact.Text(state.Clean(op.Text)), redact.Text(state.Clean(op.Title))
		keep(op)
	})
	_ = out.Close() // what is lost of it is not what counts now
	// The rest of the story (the attempt is over, people are told) is the keeper's
	// that takes it in.
	keep(state.RollbackFinished{Done: err == nil, Verified: state.Clean(seen.Text), Manual: seen.Manual, Problem: state.AsProblem(err)})
	outcome := state.ItemFinished{Item: "14.rollback", Run: run, Outcome: state.ItemDone, Summary: "to " + r.Target,
		Evidence: []state.Evidence{{Name: "target", Value: r.Target}, {Name: "verified", Value: state.Clean(seen.Text)}}}
	if err != nil {
		outcome.Outcome, outcome.Problem, outcome.Summary, outcome.Evidence = state.ItemFailed, state.AsProblem(err), "", nil
	}
	keep(outcome)
	if err == nil {
		for _, left := range steps.Leftover(seen) {
			keep(left)
		}
	}
	if lost := said.close(); err == nil && lost != nil {
		return fmt.Errorf("rolled back to %s (%s), but it could not be written down: %w", r.Target, seen.Text, lost)
	}
	return err
}

// taking is what a rollback takes back, be it that the keeper stopped in the middle of it.
func taking(in *state.Incident) (*state.Rollout, error) {
	if r := in.TakesBack(); r != nil && in.Rollback.Status == state.RollbackRunning {
		return r, nil
	}
	return steps.Target(in)
}

var _ ui.Session = (*session)(nil)
