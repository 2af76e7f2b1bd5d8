package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"mayday/probes/prom"
	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/comms"
	"mayday/steps/kube"
	"mayday/steps/repo"
	"mayday/steps/shell"
)

// triedVersion is what doctor plans a rollout of. No release is called so: nothing
// already runs it.
const triedVersion = "v0.0.0-doctor"

// patient is a runbook that is examined.
type patient struct {
	rb    *runbook.Runbook
	tools tools // without a post, where its channels cannot be made
	ill   error // why they cannot
	repo  *repo.Repo
	now   func() time.Time

	survey func() (steps.Outcome, error) // what git says of production; asked once
}

func newPatient(rb *runbook.Runbook, now func() time.Time, redact *shell.Redactor) *patient {
	p := &patient{rb: rb, repo: repo.New(rb), now: now}
	if p.tools, p.ill = newTools(rb); p.ill != nil {
		p.tools.redact = redact
	}
	p.tools.strategies = strategies(rb, p.tools.redact, passingKey)
	p.survey = sync.OnceValues(func() (steps.Outcome, error) {
		ctx, cancel := context.WithTimeout(context.Background(), doctorPatience)
		defer cancel()
		return p.repo.Actions()["1.state"].Run(ctx, p.job("1.state"))
	})
	return p
}

// passingKey stands for an incident's: hashes made with it are compared with each other
// within one plan, and forgotten.
func passingKey(string) ([]byte, error) {
	key := make([]byte, sha256.Size)
	_, err := rand.Read(key)
	return key, err
}

// job runs an action that only looks, of an incident that there is not.
func (p *patient) job(item string) steps.Job {
	return steps.Job{Item: state.Item{ID: item}, Run: "doctor", Incident: new(state.Incident), Now: p.now}
}

// examinations are those of what the runbook uses, in the order they are told.
func (p *patient) examinations() []examination {
	out := []examination{one("git", p.program), one("repository", p.repository), one("remote", p.remote)}
	for _, name := range slices.Sorted(maps.Keys(p.rb.Environments)) {
		out = append(out, p.environment(p.rb.Environments[name])...)
	}
	if p.rb.Prometheus.URL != "" {
		out = append(out, one("prometheus", p.prometheus))
	}
	if p.rb.Alertmanager.URL != "" {
		out = append(out, one("alertmanager", p.alertmanager))
	}
	if _, ok := p.rb.Commands[steps.CommandItems["10.alerts"]]; ok {
		out = append(out, one("alerts configured", p.alerts))
	}
	out = append(out, examination{"probes", p.probes}, examination{"channels", p.channels})
	if p.rb.Tickets != nil && p.ill == nil {
		out = append(out, one("tracker", p.tracker))
	}
	out = append(out, examination{"programs", p.programs})
	if s := signersOf(p.rb); s != nil {
		out = append(out, one("signers", func(ctx context.Context, name string) exam {
			if err := s.Check(ctx); err != nil {
				return failing(name, err)
			}
			return well(name, "SSH signatures by keys of "+s.File()+" can be verified")
		}))
	}
	return append(out, examination{"people", p.people})
}

func (p *patient) program(ctx context.Context, name string) exam {
	said, err := p.repo.Program(ctx)
	if state.HasCode(err, "needs-git") {
		pr := state.AsProblem(err)
		return mind(name, pr.What, pr.Why, pr.Do)
	}
	if err != nil {
		return failing(name, err)
	}
	return well(name, said)
}

func (p *patient) repository(_ context.Context, name string) exam {
	got, err := p.survey()
	if err != nil {
		return failing(name, err)
	}
	if got.Facts["production.tag"] == "" {
		return mind(name, got.Summary, "production has no tag: mayday cannot tell which version a hotfix begins from",
			fmt.Sprintf("Tag what production runs (git tag %s1.2.3), and fetch the tags (git fetch --tags).", p.rb.Repo.TagPrefix))
	}
	return well(name, got.Summary)
}

func (p *patient) remote(ctx context.Context, name string) exam {
	seen, err := p.repo.Reach(ctx)
	if err != nil {
		return failing(name, err)
	}
	return well(name, seen)
}

// environment asks an environment's cluster, and has each of its strategies plan and
// prove a rollout.
func (p *patient) environment(env runbook.Environment) []examination {
	var out []examination
	list := env.Strategies()
	if slices.ContainsFunc(list, func(s string) bool { return s != "script" }) {
		out = append(out, one(env.Name+" cluster", func(ctx context.Context, name string) exam { return p.cluster(ctx, name, env) }))
	}
	for _, s := range list {
		out = append(out, one(s+" to "+env.Name, func(ctx context.Context, name string) exam { return p.rollout(ctx, name, s, env) }))
	}
	return out
}

func (p *patient) cluster(ctx context.Context, name string, env runbook.Environment) exam {
	c, err := kube.Connect(env)
	if err != nil {
		return failing(name, err)
	}
	seen, err := c.Reach(ctx, p.now())
	if err != nil {
		return failing(name, err)
	}
	text := fmt.Sprintf("%s, context %s, %s; credentials: %s", seen.Version, cmp.Or(c.Context, "of the kubeconfig"), seen.Identity, seen.Login.Text)
	if !seen.Login.OK {
		return mind(name, text, "the credentials do not outlast a rollout", "Log in again, or have a credential plugin renew them.")
	}
	return well(name, text)
}

// rollout has a strategy plan a rollout and prove its rollback: rights, credentials,
// dry runs of every write. Neither writes.
func (p *patient) rollout(ctx context.Context, name, strategy string, env runbook.Environment) exam {
	s := p.tools.strategies[strategy]
	if s == nil {
		return failing(name, fmt.Errorf("there is no strategy %s", strategy))
	}
	git, _ := p.survey() // its error is told as the repository's
	plan, err := s.Plan(ctx, steps.Order{ID: "r1", Environment: env, Version: triedVersion, Previous: git.Facts["production.tag"], Incident: "doctor"})
	if err != nil {
		return failing(name, err)
	}
	proof, err := s.Prove(ctx, plan, false)
	if err != nil {
		return failing(name, err)
	}
	found := fmt.Sprintf("%d stages, back to %s, %d of %d checks pass", len(plan.Stages), plan.Target, passed(proof), len(proof.Checks))
	const do = "Put that right before there is an incident; mayday create and deploy --dry-run show the plan itself."
	switch proof.Ready {
	case state.Ready:
		return well(name, found)
	case state.Doubtful:
		return mind(name, found, proof.Why, do)
	}
	return exam{Name: name, Status: examFailed, Cause: byConfiguration, Found: found, Why: proof.Why, Do: do}
}

func passed(p state.Proof) int {
	n := 0
	for _, c := range p.Checks {
		if c.OK {
			n++
		}
	}
	return n
}

func (p *patient) prometheus(ctx context.Context, name string) exam {
	config, err := prom.HTTPConfig(p.rb.Prometheus.HTTP)
	if err != nil {
		return failing(name, err)
	}
	a, err := prom.New(prom.Options{URL: p.rb.Prometheus.URL, HTTP: config})
	if err != nil {
		return failing(name, err)
	}
	defer a.Close()
	if err := a.Reach(ctx, p.now()); err != nil {
		return unreached(name, err)
	}
	n, err := a.Rules(ctx)
	switch {
	case err != nil:
		return mind(name, "it answers queries, and does not say which alerting rules it has", state.AsProblem(err).Error(), "Look whether another server evaluates the rules.")
	case n == 0:
		return mind(name, "it answers, and has loaded no alerting rule", "nothing would raise an alert after a deployment", "Load rules; mayday init writes two to begin with.")
	}
	return well(name, fmt.Sprintf("it answers, with %d alerting rules loaded", n))
}

func (p *patient) alertmanager(ctx context.Context, name string) exam {
	config, err := prom.HTTPConfig(p.rb.Alertmanager.HTTP)
	if err != nil {
		return failing(name, err)
	}
	a, err := prom.NewAlertmanager(prom.Options{URL: p.rb.Alertmanager.URL, HTTP: config})
	if err != nil {
		return failing(name, err)
	}
	defer a.Close()
	r, err := a.Ask(ctx, state.Probe{Name: name, Kind: prom.KindAlertmanager, Query: "{}"}, p.now())
	if err != nil {
		return unreached(name, err)
	}
	return well(name, fmt.Sprintf("it answers; %.0f alerts are active", r.Value))
}

// alerts runs what step 10 runs for "alerts configured".
func (p *patient) alerts(ctx context.Context, name string) exam {
	cmd := p.rb.Commands[steps.CommandItems["10.alerts"]]
	got, err := shell.Action(cmd, shell.Options{Dir: p.repo.Dir(), Environment: "production", Redact: p.tools.redact}).Run(ctx, p.job("10.alerts"))
	if err != nil {
		return failing(name, err)
	}
	return well(name, shell.Quote(cmd.Run)+": "+got.Summary)
}

// channels asks each channel whether a message would arrive.
func (p *patient) channels(ctx context.Context) []exam {
	if p.ill != nil {
		return []exam{failing("channels", p.ill)}
	}
	if len(p.rb.Channels) == 0 {
		return []exam{mind("channels", "the runbook has none", "nobody would be told or called", "Add one under channels in "+p.rb.Path+".")}
	}
	out := make([]exam, len(p.rb.Channels))
	var all sync.WaitGroup
	for i, c := range p.rb.Channels {
		all.Go(func() {
			seen, err := p.tools.post.Reach(ctx, c.Name)
			out[i] = answered("channel "+c.Name, seen, err)
		})
	}
	all.Wait()
	return out
}

// answered is the exam of what a service answered.
func answered(name, seen string, err error) exam {
	if err == nil {
		return well(name, seen)
	}
	e := unreached(name, err)
	if comms.Permanent(err) || state.HasCode(err, "no-secret") {
		e.Cause = byConfiguration
	}
	e.Do = "Put its entry in the runbook, its secret or the network right, then run mayday doctor again."
	return e
}

func (p *patient) tracker(ctx context.Context, name string) exam {
	seen, _, err := p.tools.post.ReachTracker(ctx)
	return answered(name, seen, err)
}

// programs looks for every command of the runbook.
func (p *patient) programs(context.Context) []exam {
	all := p.commands()
	var out []exam
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if err := shell.Present(all[name]); err != nil {
			out = append(out, failing("program of "+name, err))
		}
	}
	if n := len(all) - len(out); n > 0 {
		out = append([]exam{well("programs", fmt.Sprintf("%d of %d commands are there and executable", n, len(all)))}, out...)
	}
	return out
}

// commands are those of the runbook, by where they stand in it.
func (p *patient) commands() map[string]runbook.Command {
	out := map[string]runbook.Command{}
	add := func(name string, c *runbook.Command) {
		if c == nil {
			return
		}
		cmd := *c
		if !filepath.IsAbs(cmd.Dir) {
			cmd.Dir = filepath.Join(p.repo.Dir(), cmd.Dir)
		}
		out[name] = cmd
	}
	hooks := func(at string, list map[string]*runbook.Command) {
		for key, c := range list {
			add(at+"."+key, c)
		}
	}
	rb := p.rb
	for name, c := range rb.Commands {
		add("commands."+name, &c)
	}
	for name, env := range rb.Environments {
		if env.Script != nil {
			hooks("environments."+name+".script", env.Script.Hooks())
		}
	}
	hooks("rollback", rb.Rollback.Hooks())
	if rb.Rollback.Database != nil {
		hooks("rollback.database", rb.Rollback.Database.Hooks())
	}
	add("repo.version", rb.Repo.Version.Command)
	for _, pr := range rb.Probes {
		add("probe "+pr.Name, pr.Command)
	}
	for _, c := range rb.Channels {
		add("channel "+c.Name, c.Command)
	}
	if rb.Tickets != nil {
		add("tickets", rb.Tickets.Command)
	}
	return out
}

// people looks whether each level that is paged would hear it, and whether somebody
// could sign off what another one wrote.
func (p *patient) people(context.Context) []exam {
	pages := []string{}
	if p.ill == nil {
		pages = p.tools.post.Channels("pages")
	}
	var out []exam
	levels, roles := p.paged()
	for _, role := range roles {
		name := "people: " + role
		on, where := levels[role].channels, strings.Join(levels[role].severities, ", ")
		if len(on) == 0 {
			on = pages
		}
		who := p.who(role)
		switch by := strings.Join(on, ", "); {
		case len(who) == 0 && by == "":
			out = append(out, exam{Name: name, Status: examFailed, Cause: byConfiguration, Found: "nobody would hear a page of " + where,
				Why: "nobody has the role, and no channel has the audience pages", Do: "Give somebody the role under people, and add a channel for pages."})
		case len(who) == 0:
			out = append(out, mind(name, "nobody has the role that "+where+" pages", "its pages only go to "+by, "Give somebody the role under people."))
		case by == "" && !slices.ContainsFunc(p.rb.People, func(x runbook.Person) bool { return slices.Contains(x.Roles, role) && x.Contact != "" }):
			out = append(out, exam{Name: name, Status: examFailed, Cause: byConfiguration, Found: strings.Join(who, ", ") + " cannot be called",
				Why: "no channel has the audience pages, and no contact is known", Do: "Add a channel for pages, or a contact for somebody."})
		case by == "":
			out = append(out, mind(name, strings.Join(who, ", "), "no channel pages them: somebody must telephone", "Add a channel with the audience pages."))
		default:
			out = append(out, well(name, strings.Join(who, ", ")+" by "+by+", at "+where))
		}
	}
	if len(p.rb.People) < 2 {
		out = append(out, mind("people: sign-off", "fewer than two people are in the runbook", "nobody could sign off what another one wrote", "Add a reviewer under people, with an account of their own."))
	}
	return out
}

// level is where a role is paged.
type level struct{ severities, channels []string }

// paged gives the roles that some severity pages, in the order they are first called.
func (p *patient) paged() (levels map[string]*level, roles []string) {
	levels = map[string]*level{}
	note := func(s state.Severity, role string, channels []string) {
		if levels[role] == nil {
			levels[role] = &level{}
			roles = append(roles, role)
		}
		l := levels[role]
		if !slices.Contains(l.severities, s.String()) {
			l.severities = append(l.severities, s.String())
		}
		l.channels = append(l.channels, slices.DeleteFunc(slices.Clone(channels), func(c string) bool { return slices.Contains(l.channels, c) })...)
	}
	for s := range state.Severity(4) {
		policy := p.rb.Policy(s)
		for _, role := range policy.AtOnce {
			note(s, role, nil)
		}
		for _, l := range policy.Levels {
			note(s, l.Role, l.Channels)
		}
	}
	return levels, roles
}

// who has a role, with how they are called.
func (p *patient) who(role string) []string {
	var out []string
	for _, x := range p.rb.People {
		if slices.Contains(x.Roles, role) {
			text := x.Name
			if x.Contact != "" {
				text += " (" + x.Contact + ")"
			}
			out = append(out, text)
		}
	}
	return out
}

// probes has each probe asked until it says something, by the hub that incidents have.
func (p *patient) probes(ctx context.Context) []exam {
	git, _ := p.survey() // its error is told as the repository's
	list := steps.ProbesFor(p.rb, git.Facts, reach(p.rb))
	if len(list) == 0 {
		return []exam{mind("probes", "the runbook has none", "gates would have nothing to judge by, and nothing would roll back by itself", "Add presets or probes to "+p.rb.Path+".")}
	}
	hub, background, err := watcher(p.rb, clockOf(p.rb), p.tools.redact)
	if err != nil {
		return []exam{failing("probes", err)}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen := map[string]state.Sample{}
	known := map[string]bool{}
	hub.Set(list)
	var beside sync.WaitGroup
	for _, run := range background {
		beside.Go(func() { _ = run(ctx, nil) }) // what fails shows in its probes
	}
	err = hub.Run(ctx, func(batch []state.Sample) {
		for _, s := range batch {
			if s.Past || ctx.Err() != nil && seen[s.Probe].Probe != "" {
				continue // the end of asking is no news of what is asked
			}
			seen[s.Probe] = s
			known[s.Probe] = known[s.Probe] || s.Verdict.Known()
		}
		if len(known) == len(list) && !slices.Contains(slices.Collect(maps.Values(known)), false) {
			cancel()
		}
	})
	cancel()
	beside.Wait()
	if err != nil {
		return []exam{failing("probes", err)}
	}
	out := make([]exam, len(list))
	for i, q := range list {
		out[i] = probed(q, seen[q.Name])
	}
	return out
}

// probed is the exam of a probe by its last reading.
func probed(q state.Probe, s state.Sample) exam {
	name := "probe " + q.Name
	text := strings.TrimSpace(fmt.Sprintf("%.4g %s", s.Value, q.Unit))
	if s.Text != "" && s.Verdict.Known() {
		text += " (" + s.Text + ")"
	}
	text = string(s.Verdict) + ", " + text
	switch s.Verdict {
	case state.OK:
		return well(name, text)
	case state.Warn, state.Crit:
		return mind(name, text, "production is not well now, or the threshold is not right", "Look at production, then at the probe's warn and crit.")
	case state.NoData, state.Stale:
		return mind(name, strings.TrimSuffix(string(s.Verdict)+": "+s.Text, ": "), "a gate stops and asks where it sees nothing", "Look whether the query names what there is: "+q.Query)
	case state.Error:
		return unreached(name, &state.Problem{What: s.Text, Do: "Ask by hand what it asks: " + q.Query})
	}
	return unreached(name, errors.New("it said nothing within "+state.Duration(doctorPatience).String()))
}
