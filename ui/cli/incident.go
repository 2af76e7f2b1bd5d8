package cli

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"mayday/state"
	"mayday/ui"
)

func (a *app) incidentCommand() *cobra.Command {
	c := &cobra.Command{Use: "incident", Short: "Declare, update and resolve an incident without a screen", Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			return usage{&state.Problem{What: "say what: mayday incident create, update or resolve"}}
		}}
	c.AddCommand(a.createCommand(), a.updateCommand(), a.resolveCommand())
	return c
}

func (a *app) createCommand() *cobra.Command {
	var form ui.DeclareForm
	var severity string
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
			folder, err := declare(rb, form, a.now())
			if err != nil {
				return err
			}
			id := filepath.Base(folder)
			if a.flags.json {
				return json.NewEncoder(a.out).Encode(map[string]string{"incident": id, "folder": folder})
			}
			_, err = fmt.Fprintln(a.out, id)
			return err
		}}
	f := c.Flags()
	f.StringVar(&severity, "severity", "sev1", "sev0 to sev3, or critical, high, medium, low")
	f.StringVar(&form.Title, "title", "", "what is wrong, in one line")
	f.StringVar(&form.Impact, "impact", "", "who notices what")
	f.StringVar(&form.Issue, "issue", "", "the ticket")
	return c
}

func (a *app) updateCommand() *cobra.Command {
	var want state.PostUpdate
	var status string
	var broadcast bool
	c := &cobra.Command{Use: "update", Short: "Post a status update", Args: args(cobra.NoArgs),
		Long: "update posts a status update made from the runbook's template to the team, or with\n--broadcast to stakeholders.",
		RunE: func(c *cobra.Command, _ []string) error {
			want.Status, want.Audience = state.Status(status), "team"
			if broadcast {
				want.Audience = "stakeholders"
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
	f.BoolVar(&broadcast, "broadcast", false, "to stakeholders, not only to the team")
	return c
}

func (a *app) resolveCommand() *cobra.Command {
	var want state.Resolve
	c := &cobra.Command{Use: "resolve", Short: "End the incident", Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if _, err := a.tell(c.Context(), want); err != nil {
				return err
			}
			return a.done("resolved")
		}}
	f := c.Flags()
	f.StringVar(&want.RootCause, "root-cause", "", "why it happened, in one sentence")
	f.StringArrayVar(&want.ActionItems, "action-items", nil, "what is still to be done; may be given several times")
	return c
}
