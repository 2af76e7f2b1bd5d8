package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"mayday/probes/prom"
	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/shell"
)

// validation is what mayday validate says, for machines.
type validation struct {
	V           int              `json:"v"` // see shape
	Incident    string           `json:"incident,omitempty"`
	Environment string           `json:"environment"`
	Suite       string           `json:"suite"`
	Passed      bool             `json:"passed"`
	Summary     string           `json:"summary,omitempty"`
	Evidence    []state.Evidence `json:"evidence"`
	Problem     *state.Problem   `json:"problem,omitempty"`
}

func (a *app) validateCommand() *cobra.Command {
	want := state.Validate{}
	var dry bool
	c := &cobra.Command{Use: "validate", Short: "Run one of the runbook's validation suites", Args: args(cobra.NoArgs),
		Long: "validate runs a suite of the runbook (suites:) in an environment: checks of its critical\n" +
			"paths, and the team's own commands, such as smoke and integration tests, a dry run of the\n" +
			"migration, scans, configuration, dependencies, compatibility. Every check runs, also after\n" +
			"one that failed.\n\n" +
			"In an incident the keeper runs it, and its evidence is kept with the incident; without one\n" +
			"it only reports. It exits with 0 passed, 1 failed, 2 wrong usage or runbook.",
		Example: "  mayday validate --environment=staging --test-suite=critical-path",
		RunE:    func(c *cobra.Command, _ []string) error { return a.validate(c.Context(), want, dry) },
	}
	f := c.Flags()
	f.StringVar(&want.Environment, "environment", "staging", "where it runs")
	f.StringVar(&want.Suite, "test-suite", "", "the suite")
	f.BoolVar(&dry, "dry-run", false, dryHelp)
	a.complete(c, "environment", environments)
	a.complete(c, "test-suite", func() []string {
		rb, err := nearRunbook()
		if err != nil {
			return nil
		}
		return rb.SuitesIn(want.Environment)
	})
	return c
}

func (a *app) validate(ctx context.Context, want state.Validate, dry bool) error {
	silenceClients()
	rb, f, ok, err := a.here()
	if err != nil {
		return err
	}
	env, err := environmentOf(rb, want.Environment)
	if err != nil {
		return err
	}
	want.Environment = env.Name
	// Looked up here too: what cannot be meant is refused before a keeper is asked.
	redact := secretsOf(rb)
	suite, err := steps.NewSuite(rb, want.Suite, env, checker{}, suiteActions(rb, redact), redact.Text)
	if err != nil {
		return err
	}
	if ok && !f.in.Open() {
		return usage{&state.Problem{What: f.id + " has ended", Do: "Leave --incident out to validate without one."}}
	}
	if dry {
		return a.wouldValidate(ctx, suite, f.in)
	}
	v := validation{V: shape, Environment: env.Name, Suite: want.Suite}
	if ok {
		v.Incident = f.id
		err = a.validateIn(ctx, f, rb, want, &v)
	} else {
		err = a.validateHere(ctx, suite, &v)
	}
	if err != nil {
		return err
	}
	return a.validated(v)
}

// wouldValidate says what a suite would ask and run.
func (a *app) wouldValidate(ctx context.Context, s steps.Suite, in *state.Incident) error {
	if in == nil {
		in = new(state.Incident)
	} else { // whose keeper can compare
		s.Compare = func(context.Context, steps.Job) (steps.Outcome, error) { return steps.Outcome{}, nil }
	}
	plan, err := s.Preview(ctx, steps.Job{Incident: in, Now: a.now})
	if err != nil {
		return err
	}
	return a.foreseen(foresight{Plan: []planned{{Item: s.Name, Title: "in " + s.Environment.Name, Commands: plan.Commands}}})
}

// secretsOf is what must not be shown of a runbook's world.
func secretsOf(rb *runbook.Runbook) *shell.Redactor {
	return shell.NewRedactor(slices.Concat(prom.Secrets(rb.Prometheus.HTTP), prom.Secrets(rb.Alertmanager.HTTP), shell.EnvSecrets(os.Environ()))...)
}

// suiteActions wires the commands of suites, for each environment where they may run.
func suiteActions(rb *runbook.Runbook, redact *shell.Redactor) map[string]steps.Action {
	out := map[string]steps.Action{}
	for _, s := range rb.Suites {
		for _, env := range s.Environments {
			for _, name := range s.Commands {
				out[steps.SuiteCommand(env, name)] = shell.Action(rb.Commands[name], shell.Options{Dir: rb.Repo.Dir, Environment: env, Redact: redact})
			}
		}
	}
	return out
}

// live is where a suite's output goes while it runs.
func (a *app) live() io.Writer {
	if a.flags.json {
		return io.Discard
	}
	return cleanWriter{a.out}
}

// cleanWriter strips what a terminal would obey.
type cleanWriter struct{ to io.Writer }

func (w cleanWriter) Write(b []byte) (int, error) {
	_, err := io.WriteString(w.to, state.CleanLines(string(b)))
	return len(b), err
}

// validateHere runs a suite without an incident.
func (a *app) validateHere(ctx context.Context, s steps.Suite, v *validation) error {
	out, err := s.Run(ctx, steps.Job{Run: "validate", Incident: &state.Incident{}, Output: a.live(), Now: a.now})
	v.Summary, v.Evidence = out.Summary, out.Evidence
	if state.HasCode(err, "usage") || ctx.Err() != nil {
		return err
	}
	v.Problem = state.AsProblem(err)
	return nil
}

// validateIn has the incident's keeper run it.
func (a *app) validateIn(ctx context.Context, f found, rb *runbook.Runbook, want state.Validate, v *validation) error {
	s, err := a.connect(ctx, f.folder, rb, "cli", true)
	if err != nil {
		return err
	}
	answer := make(chan state.Answer, 1)
	refused := make(chan error, 1)
	go func() {
		got, err := s.Do(ctx, want)
		if err != nil {
			refused <- err
			return
		}
		answer <- got
	}()
	run, live := "", a.live()
	ended := map[string]state.SuiteFinished{}
	for {
		if end, ok := ended[run]; ok && run != "" {
			v.Summary, v.Evidence, v.Problem = end.Summary, end.Evidence, end.Problem
			return s.Close("the suite has ended")
		}
		select {
		case <-ctx.Done():
			stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			_, err := s.Do(stop, state.Cancel{Item: "validate"})
			cancel()
			return errors.Join(ctx.Err(), err, s.Close("the command was stopped"))
		case err := <-refused:
			return errors.Join(err, s.Close("the command is done"))
		case got := <-answer:
			run = got.Text
		case frame, ok := <-s.Frames():
			if !ok {
				return &state.Problem{What: "the keeper is gone", Do: "Run mayday validate again."}
			}
			if frame.Lost != "" {
				return errors.Join(&state.Problem{What: "the keeper ended while the suite ran", Why: frame.Lost, Do: "Run mayday validate again."}, s.Close("the command is done"))
			}
			if frame.Event != nil {
				if end, ok := frame.Event.Fact.(state.SuiteFinished); ok {
					ended[end.Run] = end
				}
			}
			if frame.Output != nil && frame.Output.Item == "validate" {
				_, _ = io.WriteString(live, frame.Output.Text) // the journal has it all
			}
		}
	}
}

// validated prints what a suite came to.
func (a *app) validated(v validation) error {
	v.Passed = v.Problem == nil
	var err error
	if a.flags.json {
		err = json.NewEncoder(a.out).Encode(v)
	} else {
		_, err = fmt.Fprintln(a.out, v.Summary)
		if v.Problem != nil {
			a.complain(v.Problem)
		}
	}
	if err == nil && !v.Passed {
		return exit{exitFailed}
	}
	return err
}
