package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"mayday/probes/health"
	"mayday/probes/prom"
	"mayday/state"
	"mayday/state/journal"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/comms"
	"mayday/steps/keeper"
	"mayday/steps/kube"
	"mayday/steps/repo"
	"mayday/steps/shell"
	"mayday/steps/signers"
)

// me says who runs this process.
func me(via string) state.Actor {
	a := state.Actor{User: "unknown", PID: os.Getpid(), Via: via}
	if u, err := user.Current(); err == nil {
		a.User = u.Username
	}
	if h, err := os.Hostname(); err == nil {
		a.Host = h
	}
	return a
}

// clockOf is the incident clock that a runbook asks for: real, but in a drill.
func clockOf(rb *runbook.Runbook) state.Clock {
	if rb.Drill != nil {
		return rb.Drill.Clock
	}
	return state.Clock{}
}

// kept is a keeper in this process: journal, Engine and socket.
type kept struct {
	engine  *steps.Engine
	server  *keeper.Server
	journal *journal.Journal
	samples *journal.SampleWriter
	once    sync.Once
	err     error
}

// Close ends in order: the Engine finishes a rollback and says its last word, then
// the clients are let go, then the lock.
func (k *kept) Close(why string) error {
	k.once.Do(func() {
		err := k.engine.Close(why)
		k.err = errors.Join(err, k.server.Close(), k.samples.Close(), k.journal.Close())
	})
	return k.err
}

// strategies wires what can deploy and undo for a runbook. keys are those of an
// incident's hashes of ConfigMaps and Secrets.
func strategies(rb *runbook.Runbook, redact *shell.Redactor, keys kube.Keys) map[string]steps.Strategy {
	out := kube.Strategies(kube.Connect, health.Traffic{}, kube.Preview{Environments: rb.Environments, Checker: checker{}}, keys)
	fences := ""
	if home, err := journal.Home(); err == nil { // without one, the strategy says so
		fences = filepath.Join(home, "fences")
	}
	script := shell.Script(shell.ScriptOptions{Service: rb.Service, Environments: rb.Environments, Fences: fences, Traffic: health.Traffic{}, Redact: redact})
	out[script.Name()] = script
	return shell.After(out, rb, redact)
}

// configKey is the key that an incident's hashes of ConfigMaps and Secrets are made with.
func configKey(incident string) ([]byte, error) {
	home, err := journal.Home()
	if err != nil {
		return nil, err
	}
	return journal.DerivedKey(journal.Folder(home, incident), "config objects")
}

// tools are what acts and speaks for a runbook.
type tools struct {
	post       *comms.Post
	redact     *shell.Redactor
	strategies map[string]steps.Strategy
}

func newTools(rb *runbook.Runbook) (tools, error) {
	post, err := comms.New(rb, channels(), trackers())
	if err != nil {
		return tools{}, err
	}
	redact := shell.NewRedactor(slices.Concat(post.Secrets(), prom.Secrets(rb.Prometheus.HTTP), prom.Secrets(rb.Alertmanager.HTTP), shell.EnvSecrets(os.Environ()))...)
	return tools{post, redact, strategies(rb, redact, configKey)}, nil
}

// keep opens an incident's journal as its keeper and starts the Engine behind its
// socket. journal.ErrKept (errors.Is) if another process keeps it.
func keep(folder string, rb *runbook.Runbook, t tools, via string, urgent *state.Fire, now func() time.Time) (*kept, error) {
	j, events, err := journal.Open(folder)
	if err != nil {
		return nil, err
	}
	k := &kept{journal: j}
	if err := k.start(folder, rb, t, via, urgent, events, now); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return k, nil
}

func (k *kept) start(folder string, rb *runbook.Runbook, t tools, via string, urgent *state.Fire, events []state.Event, now func() time.Time) error {
	events, err := k.importSpool(folder, events)
	if err != nil {
		return err
	}
	if k.samples, err = journal.NewSampleWriter(folder); err != nil {
		return fmt.Errorf("record samples: %w", err)
	}
	// A recording helps, it proves nothing: what cannot be read is not shown.
	past, _ := journal.RecentSamples(folder)
	actor := me(via)
	clock := clockOf(rb)
	hub, background, err := watcher(rb, clock, t.redact)
	if err != nil {
		return err
	}
	outbox := comms.NewOutbox(t.post)
	background = append(background,
		func(ctx context.Context, e *steps.Engine) error { return hub.Run(ctx, e.Observe) },
		func(ctx context.Context, e *steps.Engine) error { return outbox.Run(ctx, e) })
	o := engineOptions(folder, rb, t, actor, now)
	o.Journal, o.History, o.Samples, o.Past = k.journal, events, k.samples, past
	o.Output = func(run string) (io.WriteCloser, error) { return journal.OutputFile(folder, run) }
	o.Probes, o.Background, o.Urgent = hub.Set, background, urgent
	o.Papers = func(in *state.Incident, events []state.Event) ([]state.Evidence, error) {
		return writePapers(folder, in, events)
	}
	if k.engine, err = steps.NewEngine(o); err != nil {
		return err
	}
	if err := k.engine.Start(); err != nil {
		return err
	}
	for _, note := range k.journal.Notes() {
		if err := k.engine.Record(state.Warned{Text: note}); err != nil {
			return errors.Join(err, k.engine.Close("the journal fails"))
		}
	}
	socket, err := keeper.Socket(folder)
	if err == nil {
		k.server, err = keeper.Serve(k.engine, rb, actor, socket)
	}
	if err != nil {
		return errors.Join(err, k.engine.Close("could not listen"))
	}
	return nil
}

// signersOf is whose signatures approve a change, nil where approvals need none.
func signersOf(rb *runbook.Runbook) steps.Signers {
	if s := signers.New(rb); s != nil {
		return s
	}
	return nil // and not a *Signers that is nil
}

// engineOptions is what every Engine of an incident is wired with, be it that it only
// rehearses.
func engineOptions(folder string, rb *runbook.Runbook, t tools, actor state.Actor, now func() time.Time) steps.Options {
	return steps.Options{
		Runbook: rb, Actions: actions(rb, t.post, t.redact, folder), Strategies: t.strategies,
		Traffic: health.Traffic{}, Checker: checker{}, Signers: signersOf(rb), Messenger: t.post, Redact: t.redact.Text,
		Evidence: filepath.Join(folder, journal.EvidenceDir), Actor: actor, Now: now, Clock: clockOf(rb), Reach: reach(rb),
	}
}

// actions wires what each item runs.
func actions(rb *runbook.Runbook, post *comms.Post, redact *shell.Redactor, folder string) map[string]steps.Action {
	r := repo.New(rb)
	out := r.Actions()
	maps.Copy(out, post.Actions())
	for item, name := range steps.CommandItems {
		if cmd, ok := rb.Commands[name]; ok {
			env := "production"
			if item == "8.smoke" {
				env = "staging"
			}
			out[item] = shell.Action(cmd, shell.Options{Dir: r.Dir(), Environment: env, Redact: redact})
		}
	}
	maps.Copy(out, suiteActions(rb, redact))
	out["16.report"] = steps.ActionFunc(func(_ context.Context, job steps.Job) (steps.Outcome, error) {
		return writeReport(folder, job)
	})
	return out
}

// writeReport makes the papers from the journal as it stands on the disk; the
// invitation is step 18's.
func writeReport(folder string, job steps.Job) (steps.Outcome, error) {
	events, _, err := journal.Read(folder)
	if err != nil {
		return steps.Outcome{}, err
	}
	papers, err := writePapers(folder, job.Incident, events)
	return steps.Outcome{Summary: fmt.Sprintf("%d events", len(events)),
		Evidence: slices.DeleteFunc(papers, func(e state.Evidence) bool { return e.Name == steps.PaperInvitation })}, err
}

// checker makes the runbook's HTTP checks.
type checker struct{}

func (checker) Check(ctx context.Context, env runbook.Environment, c runbook.Check) (string, error) {
	r, err := health.Check(ctx, env, c)
	return r.Text, err
}
