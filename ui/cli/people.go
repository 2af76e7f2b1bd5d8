package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mayday/state"
)

// tell sends one intent to the open incident's keeper, or acts as the keeper for
// as long as it takes.
func (a *app) tell(ctx context.Context, intent state.Intent) (state.Answer, error) {
	s, err := a.join(ctx, "cli", false)
	if err != nil {
		return state.Answer{}, err
	}
	answer, err := s.Do(ctx, intent)
	return answer, errors.Join(err, s.Close("the command is done"))
}

// join opens a session on the incident that --incident names, or the only open one.
func (a *app) join(ctx context.Context, via string, watch bool) (*session, error) {
	silenceClients()
	rb, rbErr := nearRunbook()
	f, ok, err := a.pick(rbErr == nil && rb.Drill != nil)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, usage{&state.Problem{What: "no incident is open", Do: "mayday declares one; mayday list shows those that ended."}}
	}
	if rb, err = runbookOf(f.in); err != nil {
		return nil, err
	}
	return a.connect(ctx, f.folder, rb, via, watch)
}

func (a *app) done(text string) error {
	if a.flags.json {
		return json.NewEncoder(a.out).Encode(map[string]string{"done": text})
	}
	_, err := fmt.Fprintln(a.out, text)
	return err
}

// hash is a commit as a person gives it.
var hash = regexp.MustCompile("^[0-9a-f]{7,64}$")

func (a *app) approveCommand() *cobra.Command {
	var comment, commit string
	var reject bool
	c := &cobra.Command{Use: "approve", Short: "Sign the change off, as somebody other than its author", Args: args(cobra.NoArgs),
		Long: "approve signs step 6 of the open incident: what is committed on the hotfix branch. It needs\n" +
			"an account of its own; the author's is refused. Look at the change first: git show. With\n" +
			"--commit it signs just what you looked at, and is refused if that is not the newest any more.",
		Example: "  mayday approve --commit 3f9c1d0 -m \"small, and tested\"\n  mayday approve --reject -m \"it drops the index\"",
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("commit") && !hash.MatchString(commit) {
				return usage{&state.Problem{What: "--commit " + state.Clean(commit) + " names no commit", Do: "Give 7 or more characters of its hash, as git log shows it."}}
			}
			answer, err := a.tell(c.Context(), state.Sign{Item: "6.signoff", Commit: commit, Comment: comment, Reject: reject})
			if err != nil {
				return err
			}
			what := strings.Join(answer.Lines, " ")
			if reject {
				return a.done("rejected " + what)
			}
			return a.done("approved " + what)
		}}
	c.Flags().StringVarP(&comment, "comment", "m", "", "what you looked at")
	c.Flags().StringVar(&commit, "commit", "", "the commit you looked at")
	c.Flags().BoolVar(&reject, "reject", false, "reject it instead")
	return c
}

func (a *app) ackCommand() *cobra.Command {
	var role string
	c := &cobra.Command{Use: "ack", Short: "Say \"I have it\" to a page", Args: args(cobra.NoArgs),
		Long:    "ack tells the team that you have it: the level that paged you is not paged again.",
		Example: "  mayday ack\n  mayday ack --role \"senior engineer\"",
		RunE: func(c *cobra.Command, _ []string) error {
			if _, err := a.tell(c.Context(), state.Ack{Role: role}); err != nil {
				return err
			}
			return a.done("acknowledged")
		}}
	c.Flags().StringVar(&role, "role", "", "the level, such as \"senior engineer\" (default: all that were paged)")
	return c
}

// oneText wants a text in quotes.
func oneText(_ *cobra.Command, list []string) error {
	if len(list) == 1 && state.Clean(list[0]) != "" {
		return nil
	}
	return usage{&state.Problem{What: "a note is one text", Do: "Put it in quotes: mayday note \"customers report it since 02:50\""}}
}

func (a *app) noteCommand() *cobra.Command {
	return &cobra.Command{Use: "note TEXT", Short: "Put a note on the timeline", Args: oneText,
		Long:    "note writes a line into the open incident's journal, with your name and the time.",
		Example: "  mayday note \"customers report it since 02:50\"",
		RunE: func(c *cobra.Command, list []string) error {
			if _, err := a.tell(c.Context(), state.AddNote{Text: list[0]}); err != nil {
				return err
			}
			return a.done("noted")
		}}
}

func (a *app) rollbackCommand() *cobra.Command {
	var immediate bool
	c := &cobra.Command{Use: "rollback", Short: "Take production back to the version before this incident's rollout", Args: args(cobra.NoArgs),
		Long: "rollback does what R does in the cockpit, waits until it is verified, and says how it went:\nexit 3 rolled back, 4 the rollback failed. Without --immediate the grace time runs first.",
		RunE: func(c *cobra.Command, _ []string) error { return a.rollback(c.Context(), immediate) }}
	c.Flags().BoolVar(&immediate, "immediate", false, "no grace time")
	return c
}

// keeperTime is how long a rollback waits for a keeper (or to become it) before
// this process takes production back by itself (real time).
const keeperTime = 1500 * time.Millisecond

func (a *app) rollback(ctx context.Context, immediate bool) error {
	soon, cancel := context.WithTimeout(ctx, keeperTime)
	s, err := a.join(soon, "cli", true)
	cancel()
	if ctx.Err() == nil && (state.HasCode(err, "no-keeper") || errors.Is(err, context.DeadlineExceeded)) {
		return a.rollbackHere(ctx)
	}
	if err != nil {
		return err
	}
	var intent state.Intent = state.Arm{Trigger: "mayday rollback"}
	if immediate {
		intent = state.Fire{Trigger: "mayday rollback"}
	}
	scene := state.NewScene()
	sent := make(chan error, 1)
	go func() {
		soon, cancel := context.WithTimeout(ctx, keeperTime)
		defer cancel()
		_, err := s.Do(soon, intent)
		sent <- err
	}()
	err = a.followRollback(ctx, s, scene, sent)
	if errors.Is(err, errSilent) && ctx.Err() == nil {
		return errors.Join(a.rollbackHere(ctx), s.Close("the keeper does not answer"))
	}
	return errors.Join(err, s.Close("the rollback is over"))
}

// errSilent: the keeper did not answer in time.
var errSilent = errors.New("the keeper does not answer")

// rollbackHere rolls back without the keeper, which hangs.
func (a *app) rollbackHere(ctx context.Context) error {
	fmt.Fprintln(a.err, "mayday: the keeper does not answer; this process rolls back")
	rb, rbErr := nearRunbook()
	f, ok, err := a.pick(rbErr == nil && rb.Drill != nil)
	if err != nil || !ok {
		return errors.Join(err, exit{exitFailed})
	}
	if rb, err = runbookOf(f.in); err != nil {
		return err
	}
	alone := &session{folder: f.folder, rb: rb, now: a.now}
	if err := alone.RollbackHere(ctx); err != nil {
		if state.HasCode(err, "nothing") {
			return err
		}
		a.complain(err)
		return exit{exitRollbackFailed}
	}
	return errors.Join(a.done("rolled back; the next keeper takes it into the journal"), exit{exitRolledBack})
}

// rollbackOver says how the rollback that was asked for ended, if it has. began: it
// is under way, or was when we asked; what earlier attempts left does not count.
func rollbackOver(in *state.Incident, began bool) (state.RollbackStatus, bool) {
	rb, r := in.Rollback.Status, in.Production()
	switch {
	case rb == state.RollbackDone && r != nil && r.Status == state.RolloutRolledBack:
		return rb, true
	case began && (rb == state.RollbackFailed || rb == ""):
		return rb, true
	}
	return "", false
}

// followRollback prints what happens until the rollback has ended.
func (a *app) followRollback(ctx context.Context, s *session, scene *state.Scene, sent chan error) error {
	accepted, began := false, false
	for {
		rb := &scene.Incident.Rollback
		if scene.Incident.Seq >= scene.Hello.Head {
			began = began || rb.Status == state.RollbackArmed || rb.Status == state.RollbackRunning
		}
		if status, over := rollbackOver(scene.Incident, began); over && accepted {
			switch status {
			case state.RollbackDone:
				return errors.Join(a.done("rolled back: "+rb.Verified), exit{exitRolledBack})
			case state.RollbackFailed:
				for _, m := range rb.Manual {
					fmt.Fprintln(a.err, "by hand: "+m)
				}
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
			if err := scene.Fold(f); err != nil {
				return err
			}
			if f.Event != nil && accepted && !a.flags.json {
				if err := a.printEvent(scene.Incident, *f.Event); err != nil {
					return err
				}
			}
		}
	}
}
