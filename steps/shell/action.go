package shell

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// defaultTimeout bounds a command whose runbook entry sets no time-out.
const defaultTimeout = 10 * time.Minute

// Options say where and how a runbook's command runs.
type Options struct {
	Dir         string // folder that the command's dir starts from; also its default
	Environment string // ENVIRONMENT of the command; empty: the incident's
	Redact      *Redactor
}

// Action runs a runbook's command: its preview is the command line, its evidence
// the exit code, the duration and the captured log, output/<run>.log, which is
// what was written to job.Output.
func Action(cmd runbook.Command, o Options) steps.Action { return action{cmd, o} }

type action struct {
	cmd runbook.Command
	o   Options
}

// Preview gives the quoted command line, with the variables that the runbook sets.
func (a action) Preview(_ context.Context, job steps.Job) (steps.Preview, error) {
	lines := []string{"cd " + Quote([]string{a.dir()})}
	env := []string{}
	for _, e := range Variables(job, a.o.Environment) {
		name, value, _ := strings.Cut(e, "=")
		env = append(env, name+"="+quote(value))
	}
	for _, name := range sortedKeys(a.cmd.Env) {
		env = append(env, name+"="+quote(a.cmd.Env[name]))
	}
	lines = append(lines, a.o.Redact.Text("export "+strings.Join(env, " ")), a.o.Redact.Text(Quote(a.cmd.Run)))
	return steps.Preview{Commands: lines}, nil
}

// Run runs the command.
func (a action) Run(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	spec := Spec{Args: a.cmd.Run, Dir: a.dir(), Env: Variables(job, a.o.Environment),
		Timeout: a.cmd.Timeout.D(), Output: job.Output, Redact: a.o.Redact}
	if spec.Timeout == 0 {
		spec.Timeout = defaultTimeout
	}
	for _, name := range sortedKeys(a.cmd.Env) {
		spec.Env = append(spec.Env, name+"="+a.cmd.Env[name])
	}
	res, err := Run(ctx, spec)
	took := res.Duration.Round(time.Millisecond).String()
	out := steps.Outcome{Summary: fmt.Sprintf("exit code %d in %s", res.Exit, took)}
	if res.Exit >= 0 {
		out.Evidence = []state.Evidence{
			{Name: "exit code", Value: fmt.Sprint(res.Exit)},
			{Name: "duration", Value: took},
			{Name: "log", Value: "output of " + a.o.Redact.Text(Quote(a.cmd.Run)), File: "output/" + job.Run + ".log"},
		}
	}
	return out, err
}

func (a action) dir() string {
	if filepath.IsAbs(a.cmd.Dir) {
		return a.cmd.Dir
	}
	return filepath.Join(a.o.Dir, a.cmd.Dir)
}

// Variables gives what every command finds in its environment: VERSION,
// PREVIOUS_VERSION, ENVIRONMENT and INCIDENT_ID, as far as they are known.
func Variables(job steps.Job, environment string) []string {
	version := job.Fact("version")
	if version == "" {
		version = job.Fact("tag")
	}
	if environment == "" {
		environment = job.Incident.Environment
	}
	return []string{"VERSION=" + version, "PREVIOUS_VERSION=" + job.Fact("baseline"),
		"ENVIRONMENT=" + environment, "INCIDENT_ID=" + job.Incident.ID}
}

// Quote writes an argument vector as a person would type it in a POSIX shell.
func Quote(args []string) string {
	q := make([]string, len(args))
	for i, a := range args {
		q[i] = quote(a)
	}
	return strings.Join(q, " ")
}

func quote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@,+%^", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
