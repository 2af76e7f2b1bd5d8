package cli

import (
	"context"
	"regexp"
	"strings"

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

// hash is a commit as a person gives it.
var hash = regexp.MustCompile("^[0-9a-f]{7,64}$")

func (a *app) approveCommand() *cobra.Command {
	var comment, commit string
	var reject, request, dry bool
	c := &cobra.Command{Use: "approve", Short: "Sign the change off, as somebody other than its author", Args: args(cobra.NoArgs),
		Long: "approve signs step 6 of the open incident: what is committed on the hotfix branch. It needs\n" +
			"an account of its own; the author's is refused. Look at the change first: git show. With\n" +
			"--commit it signs just what you looked at, and is refused if that is not the newest any more.\n\n" +
			"--request asks for it instead: it measures and commits the change and tells the reviewers.",
		Example: "  mayday approve --commit 3f9c1d0 -m \"small, and tested\"\n  mayday approve --reject -m \"it drops the index\"",
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("commit") && !hash.MatchString(commit) {
				return usage{&state.Problem{What: "--commit " + state.Clean(commit) + " names no commit", Do: "Give 7 or more characters of its hash, as git log shows it."}}
			}
			if request {
				return a.askReview(c.Context(), dry)
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
	c.Flags().BoolVar(&request, "request", false, "ask the reviewers for their approval")
	c.Flags().BoolVar(&dry, "dry-run", false, "with --request: "+dryHelp)
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
