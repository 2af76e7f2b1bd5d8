package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

func (a *app) rollbackCommand() *cobra.Command {
	var want undo
	var preserve, dry bool
	c := &cobra.Command{Use: "rollback", SuggestFor: []string{"undo", "revert", "back"}, Short: "Take production back to the version before this incident's rollout", Args: args(cobra.NoArgs),
		Long: "rollback does what R does in the cockpit, waits until it is verified, and says how it went:\nexit 3 rolled back, 4 the rollback failed. Without --immediate the grace time runs first.\n\n" +
			"Before this incident's own rollout it undoes the last release, where it is proven which\nversion ran before; else it says why not.\n\n" +
			"Data is preserved: the database stays as it is. With --with-database its schema is taken back\n" +
			"too, behind traffic and workload, as rollback.database in the runbook says: backup, rollback,\n" +
			"integrity check. That works after a rollback, too.",
		Example: "  mayday rollback --version=previous --preserve-data --immediate\n  mayday rollback --with-database",
		RunE: func(c *cobra.Command, _ []string) error {
			if preserve && want.database {
				return usage{&state.Problem{What: "--preserve-data and --with-database contradict each other", Do: "Data is preserved unless --with-database is given."}}
			}
			if dry {
				return a.wouldRollBack(want)
			}
			return a.rollback(c.Context(), want)
		}}
	f := c.Flags()
	f.BoolVar(&dry, "dry-run", false, "print where it leads and what it does, and do nothing")
	f.BoolVar(&want.immediate, "immediate", false, "no grace time")
	f.BoolVar(&want.database, "with-database", false, "take the database's schema back too")
	f.StringVar(&want.version, "version", "previous", "refuse unless the rollback leads to this version")
	f.BoolVar(&preserve, "preserve-data", false, "keep the database as it is (the default)")
	return c
}

// wouldRollBack says what a rollback would do now, in its order, by hand.
func (a *app) wouldRollBack(want undo) error {
	f, _, err := a.theOpen()
	if err != nil {
		return err
	}
	r, err := taking(f.in)
	if err == nil {
		err = steps.Wanted(want.version, r)
	}
	if err != nil {
		return err
	}
	plan := planned{Item: "14.rollback", Title: "Rollback", Text: "would take production back from " + r.Version + " to " + r.Target}
	if p := f.in.Rollback.Proof; p.Target == r.Target && p.Ready != "" {
		plan.Text += ", " + strings.TrimSpace(string(p.Ready)+" at "+f.in.Rollback.ProvenAt.Format(time.TimeOnly)+" "+p.Why)
	}
	for _, op := range r.Inverse {
		plan.Commands = append(plan.Commands, strings.TrimSuffix(op.Title+": "+op.Command, ": "))
	}
	return a.foreseen(foresight{Plan: []planned{plan}})
}

// undo is how a rollback is wanted.
type undo struct {
	immediate, database bool
	version             string // "" or "previous": wherever it leads
}

// keeperTime is how long a rollback waits for a keeper (or to become it) before
// this process takes production back by itself (real time).
const keeperTime = 1500 * time.Millisecond

func (a *app) rollback(ctx context.Context, want undo) error {
	f, rb, err := a.theOpen()
	if err != nil {
		if s, ok, other := a.guest(ctx, "cli", true); other == nil && ok {
			return a.rollbackBy(ctx, s, want, 0, func() error { return s.rollbackHere(ctx, want) })
		} else if ok {
			return other
		}
		return err
	}
	if want.database && !rb.Rollback.Database.Undoes() {
		return noDatabase(rb)
	}
	t, err := newTools(rb)
	if err != nil {
		return err
	}
	defer prepare(ctx, f.in, t)()
	var urgent *state.Fire
	if fire, ok := want.intent().(state.Fire); ok && a.flags.as == "" { // else it is somebody else's
		urgent = &fire
	}
	soon, cancel := context.WithTimeout(ctx, keeperTime)
	s, err := a.connectWith(soon, f.folder, rb, t, "cli", true, urgent)
	cancel()
	if ctx.Err() == nil && (state.HasCode(err, "no-keeper") || errors.Is(err, context.DeadlineExceeded)) {
		return a.rollbackAlone(ctx, f, rb, t, want)
	}
	if err != nil {
		return err
	}
	return a.rollbackBy(ctx, s, want, f.in.Seq, func() error { return a.rollbackAlone(ctx, f, rb, t, want) })
}

// intent is what the keeper is asked for.
func (w undo) intent() state.Intent {
	if w.immediate {
		return state.Fire{Trigger: "mayday rollback", WithDatabase: w.database, Version: w.version}
	}
	return state.Arm{Trigger: "mayday rollback", WithDatabase: w.database, Version: w.version}
}

// rollbackBy asks the keeper for the rollback and follows it, printing what happens
// after the event seen (0: after the head that the keeper tells); alone is what is done
// where it does not answer.
func (a *app) rollbackBy(ctx context.Context, s *session, want undo, seen uint64, alone func() error) error {
	scene := state.NewScene()
	sent := make(chan error, 1)
	go func() { sent <- pull(ctx, s, want.intent()) }()
	err := a.followRollback(ctx, s, scene, want, seen, sent)
	if errors.Is(err, errSilent) && ctx.Err() == nil {
		return errors.Join(alone(), s.Close("the keeper does not answer"))
	}
	return a.leave(ctx, s, err)
}

// prepare begins to ask the cluster what the rollback will ask, beside finding or
// becoming the keeper. The func it gives ends that.
func prepare(ctx context.Context, in *state.Incident, t tools) func() {
	r, err := taking(in)
	if err != nil || t.strategies[r.Strategy] == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		steps.Prepare(ctx, t.strategies[r.Strategy], r.Plan)
	}()
	return func() { cancel(); <-done }
}

// noDatabase refuses before anything is done: without the flag, it works.
func noDatabase(rb *runbook.Runbook) error {
	return usage{&state.Problem{What: "nothing was done: the runbook does not say how to take the database back", Why: "there is no rollback.database.rollback in " + rb.Path,
		Do: "Roll back without --with-database, then take the database back by hand."}}
}

// lookTime is how long a rollback waits for a keeper that has just begun to find out
// whether there is anything to take back (real time).
const lookTime = 30 * time.Second

// pull asks the keeper for the rollback.
func pull(ctx context.Context, s *session, intent state.Intent) error {
	for end := time.Now().Add(lookTime); ; {
		soon, cancel := context.WithTimeout(ctx, keeperTime)
		_, err := s.Do(soon, intent)
		cancel()
		if !state.HasCode(err, "looking") || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// errSilent: the keeper did not answer in time.
var errSilent = errors.New("the keeper does not answer")

// rollbackHere rolls back without the keeper, which hangs.
func (a *app) rollbackHere(ctx context.Context, want undo) error {
	f, rb, err := a.theOpen()
	if err != nil {
		return err
	}
	t, err := newTools(rb)
	if err != nil {
		return err
	}
	return a.rollbackAlone(ctx, f, rb, t, want)
}

// rollbackAlone is rollbackHere with what was found already. What is rolled back by now
// ends as with a keeper.
func (a *app) rollbackAlone(ctx context.Context, f found, rb *runbook.Runbook, t tools, want undo) error {
	fmt.Fprintln(a.err, "mayday: the keeper does not answer; this process rolls back")
	alone := &session{folder: f.folder, rb: rb, tools: t, now: a.now}
	if err := alone.rollbackHere(ctx, want); err != nil {
		// Somebody was quicker, as this very process is that began to keep and then had no
		// answer: what was asked for is there, as the keeper would say.
		if in := read("", f.folder).in; state.HasCode(err, "already") {
			if _, over := rollbackOver(in, want, false); over {
				return errors.Join(a.done("rolled back: "+in.Rollback.Verified), exit{exitRolledBack})
			}
		}
		if state.HasCode(err, "nothing") || state.HasCode(err, "looking") || state.HasCode(err, "already") || state.HasCode(err, "other-version") {
			return err
		}
		a.complain(err)
		return exit{exitRollbackFailed}
	}
	return errors.Join(a.done("rolled back; the next keeper takes it into the journal"), exit{exitRolledBack})
}

// rollbackOver says how the rollback that was asked for ended, if it has. began: it
// is under way, or was when we asked; what earlier attempts left does not count.
func rollbackOver(in *state.Incident, want undo, began bool) (state.RollbackStatus, bool) {
	rb, r := in.Rollback.Status, in.OwnRollout()
	if r == nil {
		r = in.Undo()
	}
	switch {
	case want.database && rb == state.RollbackDone && !in.Rollback.Database:
	case rb == state.RollbackDone && r != nil && r.Status == state.RolloutRolledBack:
		return rb, true
	case began && (rb == state.RollbackFailed || rb == ""):
		return rb, true
	}
	return "", false
}

// followRollback prints what happens after the event seen until the rollback has ended.
// Where this process keeps the incident, the rollback may be under way before the
// keeper tells its head: what this process has read before it began counts.
func (a *app) followRollback(ctx context.Context, s *session, scene *state.Scene, want undo, seen uint64, sent chan error) error {
	accepted, began := false, false
	for {
		rb := &scene.Incident.Rollback
		if scene.Incident.Seq >= scene.Hello.Head {
			began = began || rb.Status == state.RollbackArmed || rb.Status == state.RollbackRunning
		}
		if status, over := rollbackOver(scene.Incident, want, began); over && accepted {
			for _, m := range rb.Manual {
				fmt.Fprintln(a.err, "by hand: "+state.Clean(m))
			}
			switch status {
			case state.RollbackDone:
				return errors.Join(a.done("rolled back: "+rb.Verified), exit{exitRolledBack})
			case state.RollbackFailed:
				if rb.Problem != nil {
					a.complain(rb.Problem)
				}
				return exit{exitRollbackFailed}
			}
			return errors.Join(a.done("the rollback was stopped by a colleague"), exit{exitPerson})
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-sent:
			var refusal *state.Problem
			if err != nil && !errors.As(err, &refusal) {
				return fmt.Errorf("%w: %w", errSilent, err)
			}
			if err != nil {
				return err
			}
			accepted = true
			sent = nil
		case f, ok := <-s.Frames():
			if !ok {
				return &state.Problem{What: "the keeper is gone", Do: "Run mayday rollback again."}
			}
			known := scene.Incident.Seq // a new keeper tells the past again
			if err := scene.Fold(f); err != nil {
				return err
			}
			if seen == 0 {
				seen = scene.Hello.Head
			}
			if f.Event != nil && f.Event.Seq > max(known, seen) && !a.flags.json {
				if err := a.printEvent(scene.Incident, *f.Event); err != nil {
					return err
				}
			}
		}
	}
}
