package steps

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// Suite is a suite of the runbook in one environment, ready to run.
type Suite struct {
	Name        string
	Of          runbook.Suite
	Environment runbook.Environment
	Checker     Checker
	Actions     map[string]Action // the commands, by SuiteCommand
	// Compare compares production with what was before the deployment; nil: there is no
	// incident that could know.
	Compare func(ctx context.Context, job Job) (Outcome, error)
	Redact  func(string) string
}

// SuiteCommand is the key of a suite's command among the actions.
func SuiteCommand(environment, command string) string { return "suite." + environment + "." + command }

// NewSuite finds a suite that may run in an environment. A *state.Problem with the code
// "usage" says what there is instead.
func NewSuite(rb *runbook.Runbook, name string, env runbook.Environment, c Checker, actions map[string]Action, redact func(string) string) (Suite, error) {
	s, ok := rb.Suites[name]
	if !ok || !slices.Contains(s.Environments, env.Name) {
		p := &state.Problem{Code: "usage", What: fmt.Sprintf("the runbook has no suite %q for %s", state.Clean(name), env.Name), Do: "There are: " + list(rb.SuitesIn(env.Name)) + "."}
		if ok {
			p.Why = name + " may run in " + list(s.Environments)
		}
		if len(rb.SuitesIn(env.Name)) == 0 {
			p.Do = "Add it under suites in " + rb.Path + ", with " + env.Name + " among its environments."
		}
		return Suite{}, p
	}
	return Suite{Name: name, Of: s, Environment: env, Checker: c, Actions: actions, Redact: redact}, nil
}

// part is one check of a suite.
type part struct {
	name string
	does string // as a person reads it; of a command: see action
	run  func(ctx context.Context, job Job) (string, error)

	action Action
}

// Preview says what Run would ask and run, without doing any of it.
func (s Suite) Preview(ctx context.Context, job Job) (Preview, error) {
	parts, err := s.parts()
	if err != nil {
		return Preview{}, err
	}
	var out Preview
	for _, p := range parts {
		if p.action == nil {
			out.Commands = append(out.Commands, p.name+": "+p.does)
			continue
		}
		of, err := p.action.Preview(ctx, job)
		if err != nil {
			return Preview{}, err
		}
		for _, c := range of.Commands {
			out.Commands = append(out.Commands, p.name+": "+s.Redact(c))
		}
	}
	return out, nil
}

// Run runs every check of the suite, also after one that failed, and gives evidence of
// each: what it said, and with a folder in the job a file with all of its output. The
// error, a *state.Problem, names those that failed.
func (s Suite) Run(ctx context.Context, job Job) (Outcome, error) {
	parts, err := s.parts()
	if err != nil {
		return Outcome{}, err
	}
	var out Outcome
	var failed []string
	for _, p := range parts {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		said := &tail{}
		of := job
		of.Output = io.MultiWriter(job.Output, said)
		began := time.Now()
		text, err := p.run(ctx, of)
		if err != nil && ctx.Err() != nil {
			return out, ctx.Err()
		}
		result := "passed"
		if err != nil {
			result = "FAILED"
			text = strings.TrimSuffix(text+": "+err.Error(), ": ")
			failed = append(failed, p.name)
		}
		text = s.Redact(state.Clean(strings.TrimPrefix(text, ": ")))
		ev := state.Evidence{Name: p.name, Value: strings.TrimSuffix(result+", "+text, ", ")}
		if ev.File, err = s.keep(job, p.name, fmt.Sprintf("%s of %s in %s: %s after %s\n%s\n\n%s", p.name, s.Name, s.Environment.Name, result,
			time.Since(began).Round(time.Millisecond), text, said.text())); err != nil {
			ev.Value += " (not kept: " + state.Clean(err.Error()) + ")"
		}
		out.Evidence = append(out.Evidence, ev)
		_, _ = fmt.Fprintf(job.Output, "%s: %s\n", ev.Name, ev.Value) // a run's output never fails
	}
	out.Summary = fmt.Sprintf("%s: %d of %d", s.Name, len(parts)-len(failed), len(parts))
	if len(failed) > 0 {
		return out, &state.Problem{Code: "suite-failed", What: fmt.Sprintf("%d of %d checks of %s pass in %s", len(parts)-len(failed), len(parts), s.Name, s.Environment.Name),
			Why: "failed: " + list(failed), Do: "Look at their evidence; mend it and run the suite again."}
	}
	return out, nil
}

func (s Suite) parts() ([]part, error) {
	var out []part
	check := func(name string, c runbook.Check) {
		out = append(out, part{name: name, does: c.Method + " " + c.Path + " of " + s.Environment.URL, run: func(ctx context.Context, _ Job) (string, error) {
			return s.Checker.Check(ctx, s.Environment, c)
		}})
	}
	for _, name := range s.Of.Checks {
		switch name {
		case runbook.SuitePaths:
			for _, c := range s.Environment.Checks {
				check(c.Name, c)
			}
		case runbook.SuiteFixed:
			check(name, *s.Environment.Fixed)
		case runbook.SuitePerformance:
			if s.Compare == nil {
				return nil, &state.Problem{Code: "usage", What: s.Name + " compares with what was before the deployment", Why: "only an incident that deployed knows that",
					Do: "Run it in the incident, or take performance out of the suite."}
			}
			out = append(out, part{name: name, does: "readings against those before the deployment", run: func(ctx context.Context, job Job) (string, error) {
				o, err := s.Compare(ctx, job)
				for _, ev := range o.Evidence {
					_, _ = fmt.Fprintf(job.Output, "%s: %s\n", ev.Name, ev.Value)
				}
				return o.Summary, err
			}})
		default:
			for _, c := range s.Environment.Checks {
				if c.Name == name && !slices.Contains(s.Of.Checks, runbook.SuitePaths) {
					check(name, c)
				}
			}
		}
	}
	for _, name := range s.Of.Commands {
		a := s.Actions[SuiteCommand(s.Environment.Name, name)]
		if a == nil {
			return nil, &state.Problem{What: "nothing is wired for the command " + name, Do: "Report this."}
		}
		out = append(out, part{name: name, action: a, run: func(ctx context.Context, job Job) (string, error) {
			o, err := a.Run(ctx, job)
			return o.Summary, err
		}})
	}
	return out, nil
}

// keep writes a file of evidence and gives its path from the incident's folder.
func (s Suite) keep(job Job, check, text string) (string, error) {
	if job.Evidence == "" {
		return "", nil
	}
	plain := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '-'
	}
	name := strings.Map(plain, job.Run+"-"+s.Name+"-"+check) + ".txt"
	if err := os.WriteFile(filepath.Join(job.Evidence, name), []byte(s.Redact(state.CleanLines(text))), 0o600); err != nil {
		return "", err
	}
	return filepath.Join(filepath.Base(job.Evidence), name), nil
}

// maxEvidence bounds what is kept of one check's output; the end stays.
const maxEvidence = 1 << 20

// tail keeps the end of what is written to it.
type tail struct {
	b    bytes.Buffer
	lost bool
}

func (t *tail) Write(p []byte) (int, error) {
	if over := t.b.Len() + len(p) - maxEvidence; over > 0 && t.b.Len() > 0 {
		t.b.Next(min(over, t.b.Len()))
		t.lost = true
	}
	n := len(p)
	if n > maxEvidence {
		p, t.lost = p[n-maxEvidence:], true
	}
	t.b.Write(p)
	return n, nil
}

func (t *tail) text() string {
	if t.lost {
		return "(its beginning was dropped)\n" + t.b.String()
	}
	return t.b.String()
}
