package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"mayday/probes"
	"mayday/probes/command"
	"mayday/probes/dns"
	"mayday/probes/health"
	"mayday/probes/local"
	"mayday/probes/logs"
	"mayday/probes/prom"
	"mayday/probes/rollout"
	"mayday/probes/rpc"
	"mayday/probes/rules"
	"mayday/probes/weight"
	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/shell"
)

// watcher makes the hub with an asker per kind of probe, and what runs beside it.
func watcher(rb *runbook.Runbook, clock state.Clock, redact *shell.Redactor) (*probes.Hub, []func(context.Context, *steps.Engine) error, error) {
	w, err := newAskers(rb, clock, redact)
	if err != nil {
		return nil, nil, err
	}
	return probes.New(probes.Options{Clock: clock, Askers: w.kinds}), w.background, nil
}

// askers are collected for a hub.
type askers struct {
	kinds      map[string]probes.Asker
	background []func(context.Context, *steps.Engine) error
}

func newAskers(rb *runbook.Runbook, clock state.Clock, redact *shell.Redactor) (*askers, error) {
	w := &askers{kinds: map[string]probes.Asker{
		health.KindTCP: health.TCP{}, health.KindTLS: health.TLS{}, rpc.Kind: rpc.Asker{}, dns.Kind: dns.Asker{},
		command.Kind: command.Asker{Run: commands(rb, redact)},
	}}
	web := health.New(health.Options{})
	files := logs.NewFiles(redact.Text)
	w.kinds[health.Kind], w.kinds[logs.KindFile] = web, files
	w.beside(closing(web.Close))
	w.beside(closing(files.Close))
	switch {
	case rb.Prometheus.Local:
		l, err := local.New(local.Options{Targets: rb.Prometheus.Targets, Dir: rb.Dir, Interval: rb.Prometheus.Interval, Clock: clock, Job: rb.Service})
		if err != nil {
			return nil, fmt.Errorf("prometheus: local: %w", err)
		}
		w.kinds[prom.Kind], w.kinds[rules.Kind] = l, rules.New(l)
		w.beside(l.Run)
	case rb.Prometheus.URL != "":
		w.server(rb.Prometheus)
	}
	if rb.Alertmanager.URL != "" {
		w.manager(rb.Alertmanager)
	}
	return w, w.cluster(rb, redact)
}

func (w *askers) beside(run func(context.Context) error) {
	w.background = append(w.background, func(ctx context.Context, _ *steps.Engine) error { return run(ctx) })
}

// cluster adds what asks production's cluster, where some probe does. Where that
// cannot be reached, the probes say so on the screen; the rest must work without it.
func (w *askers) cluster(rb *runbook.Runbook, redact *shell.Redactor) error {
	env, ok := rb.Production()
	asked := func(is func(p *runbook.Probe) bool) bool {
		return slices.ContainsFunc(rb.Probes, func(p runbook.Probe) bool { return is(&p) })
	}
	pods := asked(func(p *runbook.Probe) bool { return p.Rollout+p.Pods+p.Restarts != "" })
	events := asked(func(p *runbook.Probe) bool { return p.Events != "" })
	weights := asked(func(p *runbook.Probe) bool { return p.Weight != nil })
	podLogs := asked(func(p *runbook.Probe) bool { return p.Log != nil && p.Log.Pods != "" })
	if !ok || !pods && !events && !weights && !podLogs {
		return nil
	}
	config, err := rollout.Config(env.Kubeconfig, env.Context)
	if err != nil {
		for _, kind := range []string{rollout.Kind, rollout.KindPods, rollout.KindRestarts, rollout.KindEvents, weight.Kind, logs.KindPods} {
			w.kinds[kind] = refusing{err}
		}
		return nil
	}
	if pods {
		if err := w.rollouts(config, env.Namespace); err != nil {
			return err
		}
	}
	if events {
		e, err := rollout.NewEvents(config, env.Namespace)
		if err != nil {
			return fmt.Errorf("events: %w", err)
		}
		w.kinds[rollout.KindEvents] = e
		w.beside(e.Run)
	}
	if seen := w.kinds[prom.Kind]; weights && seen != nil {
		if w.kinds[weight.Kind], err = weight.New(config, env.Namespace, seen); err != nil {
			return fmt.Errorf("weights: %w", err)
		}
	}
	if podLogs {
		p, err := logs.NewPods(config, env.Namespace, redact.Text)
		if err != nil {
			return fmt.Errorf("pod logs: %w", err)
		}
		w.kinds[logs.KindPods] = p
		w.beside(p.Run)
	}
	return nil
}

func (w *askers) rollouts(config *rest.Config, namespace string) error {
	r, err := rollout.New(config, namespace)
	if err != nil {
		return fmt.Errorf("rollout probes: %w", err)
	}
	w.kinds[rollout.Kind], w.kinds[rollout.KindPods], w.kinds[rollout.KindRestarts] = r, rollout.Pods{Asker: r}, rollout.NewRestarts(r)
	w.beside(r.Run)
	return nil
}

// server adds what asks a Prometheus server. Where its settings cannot work, its
// probes say so on the screen: an incident must open without metrics too.
func (w *askers) server(p runbook.Prometheus) {
	config, err := prom.HTTPConfig(p.HTTP)
	var a *prom.Asker
	if err == nil {
		a, err = prom.New(prom.Options{URL: p.URL, HTTP: config})
	}
	if err != nil {
		w.kinds[prom.Kind], w.kinds[prom.KindAlerts], w.kinds[rules.Kind] = refusing{err}, refusing{err}, refusing{err}
		return
	}
	w.kinds[prom.Kind], w.kinds[prom.KindAlerts], w.kinds[rules.Kind] = a, prom.Alerts{Asker: a}, rules.New(a)
	w.beside(closing(a.Close))
}

func (w *askers) manager(m runbook.Alertmanager) {
	config, err := prom.HTTPConfig(m.HTTP)
	var a *prom.Alertmanager
	if err == nil {
		a, err = prom.NewAlertmanager(prom.Options{URL: m.URL, HTTP: config})
	}
	if err != nil {
		w.kinds[prom.KindAlertmanager] = refusing{err}
		return
	}
	w.kinds[prom.KindAlertmanager] = a
	w.beside(closing(a.Close))
}

// closing makes what ends with the context of what ends at once.
func closing(end func()) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		end()
		return nil
	}
}

// refusing answers every probe with the reason why its kind cannot be asked.
type refusing struct{ err error }

func (r refusing) Ask(context.Context, state.Probe, time.Time) (probes.Reading, error) {
	return probes.Reading{}, r.err
}

// scrapeAtMost is how often a Prometheus server is taken to scrape where the runbook
// does not say (prometheus.interval): its own default.
const scrapeAtMost = time.Minute

// reach says how long after a bad event a probe's readings may still look good. What
// cannot be read adds nothing: it never reads crit, and the probe itself says why.
func reach(rb *runbook.Runbook) func(state.Probe) state.Duration {
	scrape := cmp.Or(rb.Prometheus.Interval.D(), scrapeAtMost)
	return func(p state.Probe) state.Duration {
		var d time.Duration
		switch p.Kind {
		case prom.Kind, weight.Kind:
			d, _ = prom.Reach(p.Query, func(string) time.Duration { return scrape })
		case rules.Kind:
			d, _ = rules.Reach(p.Query, scrape)
		}
		return state.Duration(d)
	}
}

// printed bounds what is read of a probe's command: it prints a number.
const printed = 4 << 10

// commands runs the commands of probes as it runs those of steps: in a process group
// of their own that ends with the command or the time-out. What the runbook puts into a command's
// environment is looked up here, by the probe's name, so that no journal holds it.
func commands(rb *runbook.Runbook, redact *shell.Redactor) command.Run {
	of := map[string]*runbook.Command{}
	for _, p := range rb.Probes {
		of[p.Name] = p.Command
	}
	return func(ctx context.Context, p state.Probe) (command.Result, error) {
		spec := shell.Spec{Args: p.Args, Env: p.Env, Redact: redact, Keep: printed, Sweep: true}
		if c := of[p.Name]; c != nil {
			spec.Dir = c.Dir
			for name, value := range c.Env {
				spec.Env = append(spec.Env, name+"="+value)
			}
		}
		r, err := shell.Run(ctx, spec)
		out := command.Result{Exit: r.Exit, Stdout: redact.Text(string(r.Stdout)), Said: strings.Join(r.Last, "\n")}
		if err == nil || state.HasCode(err, "exit") {
			return out, nil
		}
		return out, errors.Join(err, ctx.Err())
	}
}
