package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"mayday/state"
	"mayday/state/runbook"
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
	c := &cobra.Command{Use: "create", Short: "Declare an incident and print its id", Args: args(cobra.NoArgs),
		Long: "create declares an incident for the runbook of this folder. Its clocks start at once;\npages go out when a cockpit or mayday keeper keeps it.",
		RunE: func(*cobra.Command, []string) error {
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
				return a.done(fmt.Sprintf("would declare %s %q for %s and page %s", form.Severity, form.Title, rb.Service, calls(rb, form.Severity)))
			}
			folder, err := declare(rb, form, a.now())
			if err != nil {
				return err
			}
			return a.created(folder)
		}}
	f := c.Flags()
	f.BoolVar(&dry, "dry-run", false, dryHelp)
	f.StringVar(&severity, "severity", "sev1", severities)
	f.StringVar(&form.Title, "title", "", "what is wrong, in one line")
	f.StringVar(&form.Impact, "impact", "", "who notices what; or high, medium, low")
	f.StringVar(&form.Issue, "issue", "", "the ticket")
	return c
}

// calls says whom a declaration pages at once.
func calls(rb *runbook.Runbook, s state.Severity) string {
	if roles := rb.Policy(s).AtOnce; len(roles) > 0 {
		return strings.Join(roles, ", ")
	}
	return "nobody"
}

func (a *app) updateCommand() *cobra.Command {
	var want state.PostUpdate
	var status, audience string
	var broadcast, dry bool
	c := &cobra.Command{Use: "update", Short: "Post a status update", Args: args(cobra.NoArgs),
		Long: "update posts a status update made from the runbook's template to the team, or with\n--broadcast to stakeholders.",
		RunE: func(c *cobra.Command, _ []string) error {
			want.Status, want.Audience = state.Status(status), audience
			if broadcast {
				want.Audience = "stakeholders"
			}
			if err := expected(want.ETA); err != nil {
				return err
			}
			if dry {
				draft, err := a.tell(c.Context(), state.DraftUpdate{Audience: want.Audience, Status: want.Status, ETA: want.ETA})
				return errors.Join(err, a.done("would send to "+want.Audience+":\n"+cmp.Or(want.Text, draft.Text)))
			}
			if _, err := a.tell(c.Context(), want); err != nil {
				return err
			}
			return a.done("posted")
		}}
	f := c.Flags()
	f.StringVar(&status, "status", "", "investigating, identified, fixing or monitoring")
	f.StringVar(&want.ETA, "eta", "", `when it should be over, such as "15 minutes"`)
	f.StringVar(&want.Text, "text", "", "words of your own instead of the template's")
	f.StringVar(&audience, "audience", "team", "team, stakeholders, customers or executives")
	f.BoolVar(&dry, "dry-run", false, "print the message, and send nothing")
	f.BoolVar(&broadcast, "broadcast", false, "to stakeholders, not only to the team")
	return c
}

func (a *app) resolveCommand() *cobra.Command {
	var want state.Resolve
	var dry bool
	c := &cobra.Command{Use: "resolve", Short: "End the incident", Args: args(cobra.NoArgs),
		Long: "resolve ends the incident: the probes must say that production is well, or --override says why it\n" +
			"ends all the same. It tells team, stakeholders and customers.",
		Example: "  mayday incident resolve --root-cause=\"null pointer\" --action-items=\"add validation @bob by 2026-12-01\"",
		RunE: func(c *cobra.Command, _ []string) error {
			if want.RootCause == "" {
				return usage{&state.Problem{What: "the root cause is missing", Do: "Say it in one sentence: --root-cause \"null pointer\""}}
			}
			if dry {
				return a.done("would resolve the incident: " + want.RootCause + ", and tell team, stakeholders and customers")
			}
			if _, err := a.tell(c.Context(), want); err != nil {
				return err
			}
			return a.done("resolved")
		}}
	f := c.Flags()
	f.StringVar(&want.RootCause, "root-cause", "", "why it happened, in one sentence")
	f.StringArrayVar(&want.ActionItems, "action-items", nil, "what is still to be done, such as \"add validation @bob by 2026-12-01\"; may be given several times")
	f.StringVar(&want.Override, "override", "", "why it ends though a probe is not ok or a step before is open")
	f.BoolVar(&dry, "dry-run", false, dryHelp)
	return c
}
