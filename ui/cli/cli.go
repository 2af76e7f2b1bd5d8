// Package cli is mayday's command line, and the one place that wires everything
// together: journal, Engine, actions, strategies, probes, channels and screen.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mayday/state"
	"mayday/state/runbook"
)

// Exit codes, the same for every verb.
const (
	exitDone           = 0
	exitFailed         = 1
	exitUsage          = 2
	exitRolledBack     = 3
	exitRollbackFailed = 4
	exitPerson         = 5
)

// exit is an error that only carries a code: all has been said.
type exit struct{ code int }

func (e exit) Error() string { return fmt.Sprintf("exit %d", e.code) }

// usage is an error in how the command was called or configured.
type usage struct{ err error }

func (u usage) Error() string { return u.err.Error() }
func (u usage) Unwrap() error { return u.err }

// app is one run of the command line.
type app struct {
	in       io.Reader
	out, err io.Writer
	now      func() time.Time
	flags    struct {
		incident string
		json     bool
		plain    bool
		color    string
		as       string
		bell     bool
	}
}

// Main runs the command line and gives the exit code: 0 done, 1 failed, 2 bad usage
// or configuration, 3 rolled back, 4 rollback failed, 5 needs a person.
func Main(args []string) int {
	return run(args, os.Stdin, os.Stdout, os.Stderr)
}

func run(args []string, in io.Reader, out, errs io.Writer) int {
	// A killed pane or a second Ctrl-C must not leave a rollout half-way unsaid: the
	// signal ends the context, and everything ends in order.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	a := &app{in: in, out: out, err: errs, now: time.Now}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	return a.report(err)
}

// report says an error once, as a person reads it, and gives its code.
func (a *app) report(err error) int {
	var e exit
	var u usage
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &e):
		return e.code
	case errors.As(err, &u):
		a.complain(u.err)
		return exitUsage
	}
	a.complain(err)
	var p *state.Problem
	if errors.As(err, &p) {
		switch p.Code {
		case "config", "usage":
			return exitUsage
		case "needs-person":
			return exitPerson
		}
	}
	return exitFailed
}

func (a *app) complain(err error) {
	var mistakes *runbook.Error // its text shows the spots
	var p *state.Problem
	if errors.As(err, &mistakes) || !errors.As(err, &p) {
		fmt.Fprintln(a.err, "mayday: "+state.CleanLines(err.Error()))
		return
	}
	fmt.Fprintln(a.err, "mayday: "+state.CleanLines(p.What))
	if p.Why != "" {
		fmt.Fprintln(a.err, "  why: "+state.CleanLines(p.Why))
	}
	if p.Do != "" {
		fmt.Fprintln(a.err, "  do:  "+state.CleanLines(p.Do))
	}
}

func (a *app) root() *cobra.Command {
	c := &cobra.Command{
		Use:   "mayday",
		Short: "A cockpit for emergency hotfixes",
		Long: "mayday walks you through an emergency hotfix: triage, branch, tests, review, tag,\n" +
			"staging, production stage by stage, monitoring, messages, merge back. R takes it back.\n\n" +
			"Without arguments it opens the incident that is open, or declares one.\n" +
			"To try it on the built-in practice range: mayday drill\n\n" +
			"Every command exits with 0 done, 1 failed, 2 wrong usage or configuration, 3 rolled back,\n" +
			"4 the rollback failed, 5 a person is needed. Journals are kept in $MAYDAY_HOME, or else\n" +
			"under $XDG_STATE_HOME/mayday or ~/.local/state/mayday.",
		Args:          args(cobra.NoArgs),
		SilenceErrors: true,
		SilenceUsage:  true,
		// Before cobra does, whose error would look like a failure.
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if err := c.ValidateFlagGroups(); err != nil {
				return usage{&state.Problem{What: err.Error(), Do: seeHelp(c)}}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return a.open(c.Context()) },
	}
	f := c.PersistentFlags()
	f.StringVar(&a.flags.incident, "incident", "", "the incident, such as INC-20261122-01 (default: the only open one)")
	f.BoolVar(&a.flags.json, "json", false, "print JSON for machines")
	f.BoolVar(&a.flags.plain, "plain", false, "a plain stream of lines instead of a screen")
	f.StringVar(&a.flags.color, "color", "auto", "auto, always or never")
	f.StringVar(&a.flags.as, "as", "", "play another person (in a drill only)")
	f.BoolVar(&a.flags.bell, "bell", false, "ring the terminal when a page goes out, a gate asks or a rollback starts")
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if typed := c.Flags().Args(); c.HasSubCommands() && len(typed) > 0 {
			return usage{unknown(c, typed[0])} // whose flag it is, nobody knows
		}
		return usage{&state.Problem{What: err.Error(), Do: seeHelp(c)}}
	})
	c.AddCommand(a.drillCommand(), a.replayCommand(), a.journalCommand(), a.listCommand(), a.showCommand(),
		a.approveCommand(), a.ackCommand(), a.noteCommand(), a.rollbackCommand(), a.verifyCommand(), a.validateCommand(), a.incidentCommand(), a.keeperCommand(), a.versionCommand(), a.scaleDownCommand(),
		a.hotfixCommand(), a.deployCommand(), a.mergeBackCommand(), a.reportCommand(), a.initCommand(), a.doctorCommand(), a.pairCommand(), jsonTopic())
	a.completions(c)
	return c
}

// args wraps cobra's argument checks so that they exit with 2 and say what to type.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, list []string) error {
		err := check(c, list)
		switch {
		case err == nil:
			return nil
		case c.HasSubCommands() && len(list) > 0:
			return usage{unknown(c, list[0])}
		case c.Args != nil && len(list) > 0 && !strings.Contains(c.Use, " "):
			return usage{&state.Problem{What: fmt.Sprintf("%s takes no argument %q", c.CommandPath(), state.Clean(list[0])), Do: seeHelp(c)}}
		}
		return usage{&state.Problem{What: err.Error(), Do: seeHelp(c)}}
	}
}

func seeHelp(c *cobra.Command) string { return c.CommandPath() + " --help shows how it is called." }

// unknown is what is said of a command that there is not: which there is that is written
// nearly so, or has that name below another one.
func unknown(c *cobra.Command, name string) *state.Problem {
	p := &state.Problem{What: fmt.Sprintf("there is no command %q", c.CommandPath()+" "+state.Clean(name)), Do: c.CommandPath() + " --help lists those there are."}
	var like []string
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		c.SuggestionsMinimumDistance = min(2, len(name)/2)
		for _, s := range c.SuggestionsFor(name) {
			like = append(like, c.CommandPath()+" "+s)
		}
		for _, sub := range c.Commands() {
			each(sub)
		}
	}
	if each(c); len(like) == 0 {
		each(c.Root())
	}
	if len(like) > 0 {
		p.Do = "Did you mean " + strings.Join(like, ", or ") + "? " + p.Do
	}
	return p
}
