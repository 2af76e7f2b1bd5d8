package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mayday/probes"
	"mayday/probes/health"
	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// verifyFlags are the flags of mayday verify.
type verifyFlags struct {
	endpoints, duration, environment string
	auto, dryRun                     bool
}

var endpointWords = []string{"critical", "all"}

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{Use: "verify", Short: "Watch production for a while, by the gates that rollouts have", Args: args(cobra.NoArgs),
		Long: "verify watches the runbook's probes, and the environment's checks that only read, for the\n" +
			"duration, and says what changes: endpoints, error rate, response times, connection pool,\n" +
			"dependencies, sessions, transactions, as far as probes cover them (covers: in the runbook).\n" +
			"It judges as a rollout's gates do: readings that were bad before the rollout count when they\n" +
			"got worse, and what is not known is not well.\n\n" +
			"In an incident it asks the incident's keeper, and keeps it itself where there is none. With\n" +
			"--auto-rollback a reading that stays critical takes this incident's rollout back, as R does.\n" +
			"Without an incident it only watches: there is nothing to take back.\n\n" +
			"It exits with 0 well at the end, 1 not well, 3 rolled back, 4 the rollback failed, 5 not\n" +
			"known: a person is needed. --dry-run shows what would be watched, and how fast a bad event\n" +
			"would be answered at worst.",
		Example: "  mayday verify --endpoints=critical --duration=5m --auto-rollback\n  mayday verify --dry-run",
		RunE:    func(c *cobra.Command, _ []string) error { return a.verifyProduction(c.Context(), f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.endpoints, "endpoints", "all", "which endpoints are asked: critical (those the runbook marks, and its checks) or all")
	fl.StringVar(&f.duration, "duration", "5m", "how long to watch")
	fl.BoolVar(&f.auto, "auto-rollback", false, "take this incident's rollout back when a reading stays critical")
	fl.StringVar(&f.environment, "environment", "", "the environment (default: production)")
	fl.BoolVar(&f.dryRun, "dry-run", false, "only say what would be watched, and the worst-case reaction")
	a.complete(c, "endpoints", func() []string { return endpointWords })
	a.complete(c, "environment", environments)
	return c
}

// complete offers words for a flag to the shell.
func (a *app) complete(c *cobra.Command, flag string, words func() []string) {
	f := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words(), cobra.ShellCompDirectiveNoFileComp
	}
	if err := c.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // there is no such flag
	}
}

// environments are those of the near runbook.
func environments() []string {
	rb, err := nearRunbook()
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(rb.Environments))
}

// environmentOf finds an environment by name; "" is production.
func environmentOf(rb *runbook.Runbook, name string) (runbook.Environment, error) {
	env, ok := rb.Production()
	if name != "" {
		env, ok = rb.Environments[name]
	}
	if ok {
		return env, nil
	}
	p := &state.Problem{What: fmt.Sprintf("the runbook names no environment %q", state.Clean(name)), Do: "There are: " + strings.Join(slices.Sorted(maps.Keys(rb.Environments)), ", ")}
	if name == "" {
		p.What = "the runbook names no production environment"
	}
	if len(rb.Environments) == 0 {
		p.Do = "Add one under environments in " + rb.Path + "."
	}
	return env, usage{p}
}

// verifying is one run of mayday verify.
type verifying struct {
	*app
	verifyFlags
	rb     *runbook.Runbook
	env    runbook.Environment
	last   time.Duration // how long to watch, incident time
	clock  state.Clock
	folder string          // of the incident; "" none
	in     *state.Incident // as last folded; nil: none
	extra  []state.Probe   // that this process asks itself
	watch  *steps.Watch
	report verified
}

func (a *app) newVerify(f verifyFlags) (*verifying, error) {
	var d state.Duration
	if err := d.UnmarshalText([]byte(f.duration)); err != nil || d <= 0 {
		return nil, usage{&state.Problem{What: fmt.Sprintf("--duration %s is no time to watch", state.Clean(f.duration)), Do: "Write it as 90s, 5m or 1h."}}
	}
	if !slices.Contains(endpointWords, f.endpoints) {
		return nil, usage{&state.Problem{What: fmt.Sprintf("--endpoints %s is not known", state.Clean(f.endpoints)), Do: "Say " + strings.Join(endpointWords, " or ") + "."}}
	}
	v := &verifying{app: a, verifyFlags: f, last: d.D()}
	rb, found, ok, err := a.here()
	if err != nil {
		return nil, err
	}
	if v.env, err = environmentOf(rb, f.environment); err != nil {
		return nil, err
	}
	v.rb, v.clock, v.watch, v.report.V = rb, clockOf(rb), steps.NewWatch(rb), shape
	switch {
	case ok && !found.in.Open():
		return nil, usage{&state.Problem{What: found.id + " has ended", Do: "Leave --incident out to watch without one."}}
	case ok && v.env.Production:
		v.folder, v.in, v.clock = found.folder, found.in, found.in.Clock
		if len(v.in.Probes) == 0 { // no keeper has laid them yet
			v.in.Probes = steps.ProbesFor(rb, v.in.Facts, reach(rb))
		}
	case a.flags.incident != "":
		return nil, usage{&state.Problem{What: "an incident is about production", Why: v.env.Name + " is not", Do: "Leave --incident out."}}
	}
	v.probes()
	return v, v.enough()
}

// probes lays what this process asks itself: without an incident all, beside a keeper
// the checks that it does not make.
func (v *verifying) probes() {
	var known []state.Probe
	switch {
	case v.in != nil:
		known = v.in.Probes
	case v.env.Production:
		known = steps.ProbesFor(v.rb, nil, reach(v.rb))
		v.extra = known
	}
	v.extra = append(v.extra[:len(v.extra):len(v.extra)], steps.Endpoints(v.rb, v.env, known)...)
}

// scope is what is judged now.
func (v *verifying) scope() steps.Scope {
	var s steps.Scope
	if v.in != nil {
		s = steps.ScopeOf(v.in)
	}
	s.Probes = append(slices.Clone(s.Probes), v.extra...)
	if v.endpoints == "critical" {
		s.Probes = slices.DeleteFunc(s.Probes, func(p state.Probe) bool { return p.Endpoint() && !p.Critical })
	}
	return s
}

// judged are the probes of the scope that count, not only compare.
func (v *verifying) judged() []state.Probe {
	return slices.DeleteFunc(v.scope().Probes, func(p state.Probe) bool { return p.Role != state.RoleNew && p.Role != state.RoleAll })
}

// enough refuses to watch nothing: that would say ok of what nobody looked at.
func (v *verifying) enough() error {
	all := v.judged()
	if len(all) == 0 {
		return usage{&state.Problem{What: "there is nothing to watch in " + v.env.Name, Why: "no probe and no check of the runbook looks at it",
			Do: "Add probes, presets or checks to " + v.rb.Path + "."}}
	}
	if v.endpoints == "critical" && !slices.ContainsFunc(all, state.Probe.Endpoint) {
		return usage{&state.Problem{What: "no endpoint of " + v.env.Name + " is critical", Why: "no probe says critical: true, and no check only reads",
			Do: "Mark one in " + v.rb.Path + ", or watch without --endpoints=critical."}}
	}
	return nil
}

// takesBack says what --auto-rollback would restore, or why there is nothing.
func (v *verifying) takesBack() (string, error) {
	if v.in == nil {
		return "", &state.Problem{What: "no incident is open: nothing can be rolled back from here", Do: "Declare one to have R: mayday incident create."}
	}
	return steps.TakesBack(v.in)
}

func (a *app) verifyProduction(ctx context.Context, f verifyFlags) error {
	silenceClients()
	v, err := a.newVerify(f)
	if err != nil {
		return err
	}
	v.begin()
	if f.dryRun {
		return v.print()
	}
	if !a.flags.json {
		v.head()
	}
	if err := v.run(ctx); err != nil {
		return err
	}
	if err := v.end(); err != nil {
		return err
	}
	if v.report.Exit != exitDone {
		return exit{v.report.Exit}
	}
	return nil
}

// run watches, asks what this process asks itself, and waits for all of that to end.
func (v *verifying) run(ctx context.Context) (err error) {
	side, stop := context.WithCancel(ctx)
	defer stop()
	hub, background, err := v.hub()
	if err != nil {
		return err
	}
	hub.Set(v.extra)
	own := make(chan []state.Sample)
	ended := make(chan error, len(background)+1)
	go func() {
		ended <- hub.Run(side, func(batch []state.Sample) {
			select {
			case own <- batch:
			case <-side.Done():
			}
		})
	}()
	for _, b := range background {
		go func() { ended <- b(side, nil) }()
	}
	defer func() {
		stop()
		for range len(background) + 1 {
			if e := <-ended; !errors.Is(e, context.Canceled) {
				err = errors.Join(err, e)
			}
		}
	}()
	if v.in == nil {
		return v.alone(ctx, own)
	}
	return v.beside(ctx, own)
}

// hub asks everything without an incident, and beside a keeper endpoints alone.
func (v *verifying) hub() (*probes.Hub, []func(context.Context, *steps.Engine) error, error) {
	if v.in == nil && v.env.Production {
		return watcher(v.rb, v.clock, secretsOf(v.rb))
	}
	web := health.New(health.Options{})
	hub := probes.New(probes.Options{Clock: v.clock, Askers: map[string]probes.Asker{health.Kind: web}})
	return hub, []func(context.Context, *steps.Engine) error{func(ctx context.Context, _ *steps.Engine) error { return closing(web.Close)(ctx) }}, nil
}

// print writes what would be watched.
func (v *verifying) print() error {
	if v.flags.json {
		return json.NewEncoder(v.out).Encode(v.report)
	}
	v.head()
	for _, p := range v.report.Probes {
		at := "pulls nothing"
		switch {
		case p.Reaction > 0 && p.ByRank > 0:
			at = "at worst " + p.Reaction.String() + ", by rank " + p.ByRank.String()
		case p.Reaction > 0:
			at = "reaction at worst " + p.Reaction.String()
		case p.ByRank > 0:
			at = "by rank at worst " + p.ByRank.String()
		}
		covers := p.Covers
		if covers == "" {
			covers = "–"
		}
		_, _ = fmt.Fprintf(v.out, "  %-13s %-24s %-28s %s\n", covers, state.Clean(p.Name), at, state.Clean(p.Query))
	}
	return nil
}
