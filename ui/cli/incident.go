package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mayday/state"
	"mayday/ui"
)

func (a *app) incidentCommand() *cobra.Command {
	c := &cobra.Command{Use: "incident", Short: "Declare, update and resolve an incident, and call people, without a screen", Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return usage{&state.Problem{What: "say what: mayday incident create, update, resolve, ack, escalate, snooze, handover, assign, note or timeline"}}
		}}
	c.AddCommand(a.createCommand(), a.updateCommand(), a.resolveCommand(), a.ackCommand(), a.escalateCommand(), a.snoozeCommand(),
		a.handOverCommand(), a.assignCommand(), a.noteCommand(), a.timelineCommand())
	return c
}

func (a *app) createCommand() *cobra.Command {
	var form ui.DeclareForm
	var severity string
	var dry bool
	c := &cobra.Command{Use: "create", SuggestFor: []string{"declare", "new"}, Short: "Declare an incident and print its id", Args: args(cobra.NoArgs),
		Long: "create declares an incident for the runbook of this folder, pages who is called at once and\n" +
			"sends the first notification. Who is called later is called while a cockpit or mayday keeper\n" +
			"keeps the incident. Whom it could not reach it says, and exits 5.",
		Example: "  mayday incident create --severity=sev1 --title=\"Payment Gateway Down\" --impact=high",
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if form.Severity, err = state.ParseSeverity(severity); err != nil {
				return usage{err}
			}
			if form.Title == "" {
				return usage{&state.Problem{What: "the incident has no title", Do: `Say what is wrong in one line: --title "Payment gateway down"`}}
			}
			rb, err := nearRunbook()
			if err != nil {
				return err
			}
			if dry {
				r, err := a.rehearseDeclaration(rb, declaration(form))
				if err != nil {
					return err
				}
				would := r.would()
				if text := later(r.Incident()); text != "" {
					would = append(would, consequence{Type: "escalation.paged", tag: "page", Text: text})
				}
				return a.foreseen(foresight{Would: would})
			}
			others, err := allOpen(rb.Drill != nil)
			if err != nil {
				return err
			}
			folder, err := declare(rb, form, a.now())
			if err != nil {
				return err
			}
			for _, f := range others {
				fmt.Fprintf(a.err, "mayday: %s %s is open too: from now on each command must be told which, by --incident\n", f.id, state.Clean(f.in.Title))
			}
			if err := a.created(folder); err != nil {
				return err
			}
			return a.assemble(c.Context(), filepath.Base(folder))
		}}
	f := c.Flags()
	f.BoolVar(&dry, "dry-run", false, dryHelp)
	f.StringVar(&severity, "severity", "sev1", severities)
	f.StringVar(&form.Title, "title", "", "what is wrong, in one line")
	f.StringVar(&form.Impact, "impact", "", "who notices what; or high, medium, low")
	f.StringVar(&form.Issue, "issue", "", "the ticket")
	return c
}

// assemble calls the people of a new incident: the pages that are due at once and the
// first notification. A runbook without channels calls nobody, and says so.
func (a *app) assemble(ctx context.Context, id string) error {
	words := *a
	words.flags.incident, words.out = id, io.Discard // the id alone is what was asked for
	w, err := words.walking(ctx, false)
	if err != nil {
		return err
	}
	err = w.until(ctx, func(in *state.Incident) bool {
		return !slices.ContainsFunc(in.Levels, func(l state.Level) bool { return l.AtOnce && l.Paged.IsZero() })
	})
	switch {
	case err != nil:
	case len(w.rb.Channels) == 0:
		fmt.Fprintln(a.err, "mayday: the runbook has no channels: nobody was told")
	default:
		err = w.announce(ctx, "2.notify", "declared")
	}
	return w.close(ctx, err)
}

// announce runs an item that sends messages for a purpose, and waits no longer for them
// than closing would: whom they did not reach is said there.
func (w *walker) announce(ctx context.Context, id, purpose string) error {
	if _, err := w.ask(ctx, state.Run{Item: id}); err != nil && !state.HasCode(err, "running") {
		return err
	}
	err := w.until(ctx, func(in *state.Incident) bool { return announced(in, id, purpose) })
	p := w.in().Item(id).Problem
	if err != nil || p == nil || p.Code == "undelivered" || p.Code == "no-channel" { // all channels are for others: pages, say
		return err
	}
	return p
}

// announced reports whether an item that sends messages for a purpose is over, or has
// queued them and none of them is on its first ways any more. Pages may be sent long
// before it has queued any. One that somebody else has just started may still look open
// here: it is not over, it has not been seen to begin.
func announced(in *state.Incident, id, purpose string) bool {
	queued, waits := false, false
	for _, m := range in.Messages {
		if m.Purpose == purpose {
			queued = true
			waits = waits || m.Sent.IsZero() && !m.Dead && m.Tries < drainTries
		}
	}
	status := in.Item(id).Status
	return status != state.ItemOpen && status != state.ItemRunning || queued && !waits
}

func (a *app) updateCommand() *cobra.Command {
	var want state.PostUpdate
	var status, audience string
	var broadcast, dry bool
	c := &cobra.Command{Use: "update", Short: "Post a status update", Args: args(cobra.NoArgs),
		Long: "update posts a status update made from the runbook's template to the team, or with --broadcast\nto everybody: team, stakeholders, customers and executives, each in words of their own.",
		RunE: func(c *cobra.Command, _ []string) error {
			want.Status, want.Audience = state.Status(status), audience
			if broadcast {
				want.Audience = state.Everybody
			}
			if !broadcast && !slices.Contains(audiences, audience) {
				return usage{&state.Problem{What: fmt.Sprintf("there is no audience %q", state.Clean(audience)), Do: "There are: " + strings.Join(audiences, ", ") + "; --broadcast tells all of them."}}
			}
			if err := expected(want.ETA); err != nil {
				return err
			}
			if dry {
				return a.act(c.Context(), want, dry, "")
			}
			return a.post(c.Context(), want)
		}}
	f := c.Flags()
	f.StringVar(&status, "status", "", "investigating, identified, fixing or monitoring")
	f.StringVar(&want.ETA, "eta", "", `when it should be over, such as "15 minutes"`)
	f.StringVar(&want.Text, "text", "", "words of your own instead of the template's")
	f.StringVar(&audience, "audience", "team", strings.Join(audiences, ", "))
	f.BoolVar(&dry, "dry-run", false, dryHelp)
	f.BoolVar(&broadcast, "broadcast", false, "to stakeholders, customers and executives too, not only to the team")
	return c
}

// audiences of a status update.
var audiences = []string{"team", "stakeholders", "customers", "executives"}

// post posts a status update, and says by which channels. One that no channel takes
// stands on the timeline, and is heard by nobody.
func (a *app) post(ctx context.Context, want state.PostUpdate) error {
	answer, err := a.tell(ctx, want)
	if err != nil {
		return err
	}
	if len(answer.Lines) == 0 {
		if _, rb, err := a.theOpen(); err == nil && len(rb.Channels) == 0 {
			fmt.Fprintln(a.err, "mayday: the runbook has no channels: nobody was told")
			return a.done("posted on the timeline")
		}
		return &state.Problem{Code: "needs-person", What: "it stands on the timeline, but nobody was told", Why: "no channel of the runbook is for " + want.Audience,
			Do: "Tell them yourself; or name a channel for that audience in the runbook."}
	}
	return a.done("posted: " + state.Clean(strings.Join(answer.Lines, ", ")))
}

func (a *app) resolveCommand() *cobra.Command {
	var want state.Resolve
	var dry bool
	c := &cobra.Command{Use: "resolve", SuggestFor: []string{"close", "end"}, Short: "End the incident", Args: args(cobra.NoArgs),
		Long: "resolve ends the incident: the probes must say that production is well, or --override says why it\n" +
			"ends all the same. It tells team, stakeholders, customers, executives and the status page, gives\n" +
			"each action item an owner and a day, plans the review meeting (24 to 48 hours later, in the runbook's\n" +
			"working hours) and invites to it, and writes report, knowledge-base article and alert-tuning list.",
		Example: "  mayday incident resolve --root-cause=\"null pointer\" --action-items=\"add validation @bob by 2026-12-01\"",
		RunE: func(c *cobra.Command, _ []string) error {
			if want.RootCause == "" {
				return usage{&state.Problem{What: "the root cause is missing", Do: "Say it in one sentence: --root-cause \"null pointer\""}}
			}
			if dry {
				return a.act(c.Context(), want, dry, "")
			}
			return a.resolve(c.Context(), want)
		}}
	f := c.Flags()
	f.StringVar(&want.RootCause, "root-cause", "", "why it happened, in one sentence")
	f.StringArrayVar(&want.ActionItems, "action-items", nil, "what is still to be done, such as \"add validation @bob by 2026-12-01\"; may be given several times")
	f.StringVar(&want.Override, "override", "", "why it ends though a probe is not ok or a step before is open")
	f.BoolVar(&dry, "dry-run", false, dryHelp)
	return c
}
