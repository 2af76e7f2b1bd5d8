package cli

import (
	"context"

	"github.com/spf13/cobra"

	"mayday/state"
	"mayday/state/runbook"
)

// tell sends one intent to the open incident's keeper, or acts as the keeper for
// as long as it takes.
func (a *app) tell(ctx context.Context, intent state.Intent) (state.Answer, error) {
	s, err := a.join(ctx, "cli", false)
	if err != nil {
		return state.Answer{}, err
	}
	answer, err := s.Do(ctx, intent)
	return answer, a.leave(ctx, s, err)
}

// join opens a session on the incident that --incident names, or the only open one.
func (a *app) join(ctx context.Context, via string, watch bool) (*session, error) {
	f, rb, err := a.theOpen()
	if err != nil {
		if s, ok, other := a.guest(ctx, via, watch); ok {
			return s, other
		}
		return nil, err
	}
	return a.connect(ctx, f.folder, rb, via, watch)
}

// theOpen finds the open incident and its runbook.
func (a *app) theOpen() (found, *runbook.Runbook, error) {
	silenceClients()
	rb, rbErr := nearRunbook()
	f, ok, err := a.pick(rbErr == nil && rb.Drill != nil)
	if err != nil {
		return f, nil, err
	}
	if !ok {
		return f, nil, usage{&state.Problem{What: "no incident is open", Do: "mayday declares one; mayday list shows those that ended."}}
	}
	if rb == nil || rb.Path != f.in.Runbook {
		rb, err = runbookOf(f.in)
	}
	return f, rb, err
}

func (a *app) done(text string) error {
	return a.result(map[string]string{"done": text}, text)
}

func (a *app) ackCommand() *cobra.Command {
	var role string
	var dry bool
	c := &cobra.Command{Use: "ack", Short: "Say \"I have it\" to a page", Args: args(cobra.NoArgs),
		Long:    "ack tells the team that you have it: the level that paged you is not paged again.",
		Example: "  mayday ack\n  mayday ack --role \"senior engineer\"",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.act(c.Context(), state.Ack{Role: role}, dry, "acknowledged")
		}}
	c.Flags().BoolVar(&dry, "dry-run", false, dryHelp)
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
	var dry bool
	c := &cobra.Command{Use: "note TEXT", Short: "Put a note on the timeline", Args: oneText,
		Long:    "note writes a line into the open incident's journal, with your name and the time.",
		Example: "  mayday note \"customers report it since 02:50\"",
		RunE: func(c *cobra.Command, list []string) error {
			return a.act(c.Context(), state.AddNote{Text: list[0]}, dry, "noted")
		}}
	c.Flags().BoolVar(&dry, "dry-run", false, dryHelp)
	return c
}
