package runbook

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"mayday/state"
)

const second = state.Duration(time.Second)

// preset lays a type's defaults down before the file is read into it. name is the
// key it stands under, where it stands in a map.
func preset(v reflect.Value, name string) {
	switch x := v.Addr().Interface().(type) {
	case *Runbook:
		*x = Runbook{Path: x.Path, Dir: x.Dir, Repo: defaultRepo(), Gate: defaultGate(),
			Prometheus: Prometheus{Interval: 5 * second, Timeout: 5 * second},
			Rollback:   Rollback{Grace: 3 * second, OnExit: "finish"}, Review: defaultReview()}
	case *Environment:
		*x = Environment{Name: name, Production: name == "production", Namespace: "default"}
	case *Canary:
		*x = Canary{Weights: []int{10, 25, 50, 75, 100}, Hold: 300 * second}
	case *BlueGreen:
		*x = BlueGreen{Label: "version", Hold: 300 * second, Drain: 300 * second}
	case *Immediate:
		*x = Immediate{Hold: 60 * second}
	case *Rolling:
		*x = Rolling{Batch: 1, Hold: 30 * second}
	case *Web:
		*x = Web{FollowRedirects: true, HTTP2: true}
	case *Authorization:
		*x = Authorization{Type: "Bearer"}
	case *Script:
		*x = Script{Hold: 60 * second}
	case *Command:
		*x = Command{Timeout: 600 * second}
		if hook, ok := strings.CutPrefix(name, "rollback."); ok && !strings.Contains(hook, ".") {
			x.Timeout = 60 * second // users are served, and somebody waits for the end
		}
	case *Check:
		*x = Check{Method: "GET", Times: 1, Timeout: 5 * second}
	case *Probe:
		*x = Probe{Every: 5 * second, Timeout: 5 * second, Role: state.RoleAll, Compare: defaultCompare}
	case *DNS:
		*x = DNS{Type: "A"}
	case *Channel:
		*x = Channel{Kind: "webhook", Audiences: []string{"team", "stakeholders", "reviewers", "pages"}}
	case *Mail:
		*x = Mail{TLS: "starttls"}
	}
}

var defaultCompare = Compare{Alpha: state.RankAlpha, Effect: state.RankEffect}

func defaultRepo() Repo {
	return Repo{Remote: "origin", Model: "git-flow", Production: "production", Develop: "develop", Main: "main",
		From: "tag", TagPrefix: "v", Branch: "issue", Version: Version{Scheme: "patch"},
		MaxChange: MaxChange{Warn: 50, Lines: 200, Files: 10}}
}

func defaultGate() Gate {
	return Gate{Warn: "wait", Crit: "rollback", NoData: "ask", Stale: "ask", Error: "ask", Consecutive: 3, Patience: 15 * second}
}

// Defaults is the runbook that an empty file would mean: every default, no service.
func Defaults() *Runbook {
	rb := new(Runbook)
	preset(reflect.ValueOf(rb).Elem(), "")
	return rb
}

// finish fills in the defaults that follow from other values, and makes paths absolute.
func (r *Runbook) finish(b *binder) {
	r.Repo.Dir = r.abs(r.Repo.Dir, r.Dir)
	if r.Repo.MaxChange.Warn > r.Repo.MaxChange.Lines && !b.set("repo.max_change.warn") {
		r.Repo.MaxChange.Warn = r.Repo.MaxChange.Lines
	}
	r.command(r.Repo.Version.Command)
	r.hooks()
	for name, e := range r.Environments {
		r.environment(&e)
		r.Environments[name] = e
	}
	r.suites()
	for name, c := range r.Commands {
		r.command(&c)
		r.Commands[name] = c
	}
	if r.Prometheus.URL != "" && !b.set("prometheus.interval") {
		r.Prometheus.Interval = 0 // how often the server scrapes is not known
	}
	r.web(b, "prometheus.http", r.Prometheus.HTTP)
	r.web(b, "alertmanager.http", r.Alertmanager.HTTP)
	for i, t := range r.Prometheus.Targets {
		if file, ok := strings.CutPrefix(t, "file:"); ok {
			r.Prometheus.Targets[i] = "file:" + r.abs(file, "")
		}
	}
	r.Signers, r.Revoked = r.abs(r.Signers, ""), r.abs(r.Revoked, "")
	for i := range r.Channels {
		r.channel(&r.Channels[i])
	}
	if t := r.Tickets; t != nil {
		t.TokenFile = r.abs(t.TokenFile, "")
		r.command(t.Command)
	}
	r.expand(b)
	for i := range r.Probes {
		r.finishProbe(i, b)
	}
}

// finishProbe is finish for one probe.
func (r *Runbook) finishProbe(i int, b *binder) {
	p, path := &r.Probes[i], fmt.Sprintf("probes[%d]", i-b.own)
	for _, l := range []*Limit{p.Warn, p.Crit} {
		p.Below = p.Below || l != nil && l.Sign == ">" && !b.set(path+".below")
	}
	p.finish()
	if p.Weight != nil {
		p.route = r.canaryRoute()
	}
	if p.Gate != nil {
		p.Gate.finish(b, path+".gate", r.Gate)
	}
	r.command(p.Command)
	if p.Log != nil {
		p.Log.File = r.abs(p.Log.File, "")
	}
	if p.Rules != nil {
		p.Rules.File = r.abs(p.Rules.File, "")
	}
	if p.Alerts != nil && p.Alerts.From == "" {
		p.Alerts.From = "prometheus"
		if r.Alertmanager.URL != "" {
			p.Alerts.From = "alertmanager"
		}
	}
}

func (r *Runbook) channel(c *Channel) {
	c.URLFile, c.TokenFile = r.abs(c.URLFile, ""), r.abs(c.TokenFile, "")
	if c.Name == "" {
		c.Name = c.Kind
	}
	r.command(c.Command)
	if m := c.Mail; m != nil {
		m.PasswordFile, m.CAFile = r.abs(m.PasswordFile, ""), r.abs(m.CAFile, "")
		if m.Port == 0 && m.TLS == "implicit" {
			m.Port = 465
		}
		m.Port = cmp.Or(m.Port, 587)
	}
}

func (p *Probe) finish() {
	if p.Stale == 0 {
		p.Stale = 3 * p.Every
	}
	if p.HTTP != nil {
		p.HTTP.finish()
	}
	if p.Covers == "" && p.HTTP != nil && !strings.Contains(p.HTTP.Path, "://") {
		p.Covers = "health"
	}
	unit := ""
	switch {
	case p.TLS != "":
		unit, p.Below = "days", p.Below || p.Warn != nil || p.Crit != nil
		if p.Warn == nil && p.Crit == nil {
			p.Warn, p.Crit, p.Below = &Limit{Value: 21}, &Limit{Value: 7}, true
		}
	case p.DNS != nil, p.Pods != "":
		unit = "ratio"
	case p.Weight != nil:
		if unit = "ratio"; p.Warn == nil && p.Crit == nil {
			p.Warn = &Limit{Value: 0.1}
		}
	case p.Restarts != "", p.Events != "":
		if unit = "restarts"; p.Events != "" {
			unit = "warnings"
		}
		if p.Warn == nil && p.Crit == nil {
			p.Warn = new(Limit) // more than none
		}
	case p.TCP != "", p.GRPC != nil, p.HTTP != nil:
		unit = "s"
	case p.Log != nil:
		unit = "lines"
	case p.Alerts != nil, p.Rules != nil:
		if unit = "alerts"; p.Warn == nil && p.Crit == nil {
			p.Warn = new(Limit) // more than none
		}
	}
	p.Unit = cmp.Or(p.Unit, unit)
}

// canaryRoute names production's route and the canary's destination in it: a Service, or
// "host/subset"; nil where it has none.
func (r *Runbook) canaryRoute() []string {
	env, _ := r.Production()
	c := env.Canary
	switch {
	case c == nil || c.Route == "":
		return nil
	case c.Subsets != nil:
		return []string{c.Route, c.Subsets.Host + "/" + c.Subsets.Canary}
	}
	return []string{c.Route, c.CanaryService}
}

func (c *Check) finish() {
	c.Method = strings.ToUpper(c.Method)
	if c.Name == "" {
		c.Name = c.Method + " " + c.Path
	}
}

func (c *Canary) finish() {
	if c == nil || c.Service != "" {
		return
	}
	if c.StableService == "" {
		c.StableService = c.Stable
	}
	if c.CanaryService == "" {
		c.CanaryService = c.Canary
	}
}

func (r *Runbook) environment(e *Environment) {
	e.Kubeconfig = r.abs(e.Kubeconfig, "")
	e.Canary.finish()
	r.workloads(e)
	r.script(e.Script)
	if e.Strategy == "" {
		if can := e.Strategies(); len(can) > 0 {
			e.Strategy = can[0]
		}
	}
	for i := range e.Checks {
		e.Checks[i].finish()
	}
	if e.Fixed != nil {
		e.Fixed.finish()
	}
}

func (r *Runbook) command(c *Command) {
	if c != nil {
		c.Dir = r.abs(c.Dir, r.Repo.Dir)
	}
}

// abs makes a path absolute from the runbook's folder; "~/" is the home. An empty
// path becomes the default.
func (r *Runbook) abs(path, byDefault string) string {
	if path == "" {
		return byDefault
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(r.Dir, path)
}
