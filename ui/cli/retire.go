package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"mayday/state"
)

func (a *app) scaleDownCommand() *cobra.Command {
	var dry bool
	c := &cobra.Command{Use: "scale-down", Short: "Scale the old colour of a blue-green rollout down, once its time has passed", Args: args(cobra.NoArgs),
		Long: "scale-down does what step 15's item does in the cockpit: it ends the pods of the colour that\n" +
			"served before, and is refused before drain has passed. R and mayday rollback still work: they\nbring those pods back first, then lead the traffic there.",
		RunE: func(c *cobra.Command, _ []string) error {
			if dry {
				return a.wouldRun(c.Context(), "15.old")
			}
			return a.runItem(c.Context(), "15.old")
		}}
	c.Flags().BoolVar(&dry, "dry-run", false, dryHelp)
	return c
}

// wouldRun says what running an item would do.
func (a *app) wouldRun(ctx context.Context, id string) error {
	w, err := a.walking(ctx, true)
	if err != nil {
		return err
	}
	if w.in().Item(id) == nil {
		return noSuchItem(id)
	}
	return w.close(ctx, w.walk(ctx, id))
}

func noSuchItem(id string) error {
	return &state.Problem{What: "there is nothing of that kind to do", Why: "the incident has no item " + id + ": production has no strategy that leaves the old version standing"}
}

// runItem runs an item of the open incident and waits for its end.
func (a *app) runItem(ctx context.Context, id string) error {
	if f, _, err := a.theOpen(); err == nil && f.in.Item(id) == nil {
		return noSuchItem(id)
	}
	s, err := a.join(ctx, "cli", true)
	if err != nil {
		return err
	}
	return a.leave(ctx, s, a.followItem(ctx, s, id))
}

func (a *app) followItem(ctx context.Context, s *session, id string) error {
	answer, err := s.Do(ctx, state.Run{Item: id})
	if err != nil {
		return err
	}
	for scene := state.NewScene(); ; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case f, ok := <-s.Frames():
			if !ok {
				return &state.Problem{What: "the keeper is gone", Do: "Run the command again: it does only what is missing."}
			}
			if err := scene.Fold(f); err != nil {
				return err
			}
		}
		it := scene.Incident.Item(id)
		if it == nil || scene.Incident.Seq < answer.Seq || it.Status == state.ItemRunning {
			continue
		}
		if it.Problem != nil {
			return it.Problem
		}
		return a.done(fmt.Sprintf("%s: %s", it.Title, it.Summary))
	}
}
