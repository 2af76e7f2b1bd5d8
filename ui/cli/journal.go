package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mayday/state"
	"mayday/state/journal"
)

func (a *app) journalCommand() *cobra.Command {
	c := &cobra.Command{Use: "journal", Short: "Read and check an incident's journal", Args: args(cobra.NoArgs),
		Long: "The journal holds everything that happened in an incident, in order, each event chained to\nthe one before: it can be read by anybody and changed by nobody unseen.",
		RunE: func(c *cobra.Command, _ []string) error {
			return usage{errors.New("say what: mayday journal verify, mayday journal cat")}
		}}
	var head string
	verify := &cobra.Command{Use: "verify", Short: "Check that nothing was edited, reordered or cut off", Args: args(cobra.NoArgs),
		Long: "verify checks the hash chain and the signed checkpoints. With --head it also checks\nthat the journal still contains a head that a status message carried.",
		RunE: func(*cobra.Command, []string) error { return a.verify(head) }}
	verify.Flags().StringVar(&head, "head", "", "a head hash from a status message, at least 6 characters")
	var follow bool
	cat := &cobra.Command{Use: "cat", Short: "Print the timeline", Args: args(cobra.NoArgs),
		Long: "cat prints an incident's events in order, one a line; with --json exactly as they are kept.\nWithout --incident it takes the only open one, else the one written last.",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.tellEvents(c.Context(), follow, a.printer())
		}}
	cat.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is written from now on")
	c.AddCommand(verify, cat)
	return c
}

// printEvents prints a timeline from its start.
func (a *app) printEvents(events []state.Event) error {
	line := a.printer()
	for _, e := range events {
		if err := line(e); err != nil {
			return err
		}
	}
	return nil
}

// printer prints events one by one, from the first on, with the names that the
// incident has for stages and items.
func (a *app) printer() func(state.Event) error {
	in := new(state.Incident)
	return func(e state.Event) error {
		if err := in.Apply(e); err != nil {
			return err
		}
		return a.printEvent(in, e)
	}
}

// printEvent prints one event of an incident as it stands after it.
func (a *app) printEvent(in *state.Incident, e state.Event) error {
	if a.flags.json {
		return json.NewEncoder(a.out).Encode(e)
	}
	said := in.Say(e)
	_, err := fmt.Fprintf(a.out, "%5d  %s  %-10s %-10s %s\n", e.Seq, e.Time.Format(time.TimeOnly), state.Clean(e.Actor.User), said.Tag, said.Text)
	return err
}

func (a *app) verify(head string) error {
	f, err := a.files("check the journal")
	if err != nil {
		return err
	}
	rep, err := journal.Verify(f.folder, head)
	if err != nil {
		return err
	}
	if a.flags.json {
		if err := json.NewEncoder(a.out).Encode(struct {
			V int `json:"v"`
			journal.Report
		}{shape, rep}); err != nil {
			return err
		}
	} else {
		word := "ok"
		if !rep.OK() {
			word = "NOT OK"
		}
		fmt.Fprintf(a.out, "%s: %s, %d events, head %s, signed up to %d\n", f.id, word, rep.Events, rep.Short(), rep.Signed)
		if rep.HeadAt > 0 {
			fmt.Fprintf(a.out, "  the head %s is event %d\n", head, rep.HeadAt)
		}
		for _, x := range rep.Findings {
			fmt.Fprintf(a.out, "  %s\n", x)
		}
	}
	if !rep.OK() {
		return exit{exitFailed}
	}
	return nil
}
