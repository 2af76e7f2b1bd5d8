package runbook

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"mayday/state"
)

// The words that fields choose from.
var (
	models      = []string{"git-flow", "trunk", "main"}
	froms       = []string{"tag", "main"}
	branches    = []string{"issue", "version"}
	schemes     = []string{"patch", "hotfix"}
	strategies  = []string{"canary", "blue-green", "rolling", "immediate", "script"}
	gateWords   = []string{"pass", "wait", "ask", "rollback"}
	comparisons = []string{"rank"}
	exits       = []string{"finish", "rollback"}
	kinds       = []string{"webhook", "slack", "teams", "mail", "pagerduty", "statuspage", "shoutrrr", "command"}
	trackers    = []string{"github", "jira", "command"}
	mailTLS     = []string{"starttls", "implicit"}
	audiences   = []string{"team", "stakeholders", "customers", "executives", "reviewers", "pages"}
	purposes    = []string{"declared", "update", "resolved", "page", "acked", "review", "rollback", "deployed", "change", "meeting"}
	probeRoles  = []string{string(state.RoleNew), string(state.RoleOld), string(state.RoleAll), string(state.RoleFix), string(state.RoleDisplay)}
	roles       = []string{state.OnCall, state.Senior, state.Manager, state.Commander, state.Executives, state.Driver,
		state.Reviewer, state.CommsLead, state.Scribe}
	routes = []string{"VirtualService", "HTTPRoute"}
)

// check reports what is well-formed and makes no sense.
func (r *Runbook) check(b *binder) {
	if r.Service == "" {
		b.fail("service", "the runbook needs the service's name: \"service: shop\"")
	}
	r.checkRepo(b)
	r.checkEnvironments(b)
	for _, name := range slices.Sorted(maps.Keys(r.Commands)) {
		c := r.Commands[name]
		b.program("commands."+name, &c)
	}
	r.checkSuites(b)
	r.checkMetrics(b)
	r.checkProbes(b)
	r.checkGate(b)
	r.checkPeople(b)
	r.checkSigners(b)
	r.checkChannels(b)
	r.checkTickets(b)
	r.checkLetters(b)
	r.checkReview(b)
}

// word refuses what is not one of the words.
func (b *binder) word(path, what, got string, words []string) {
	if !slices.Contains(words, got) {
		b.fail(path, "unknown %s %q%s", what, got, hint(got, words))
	}
}

func (b *binder) notNegative(path string, d state.Duration) {
	if d < 0 {
		b.fail(path, "%s is negative", path)
	}
}

func (b *binder) positive(path string, d state.Duration) {
	if d <= 0 {
		b.fail(path, "%s must be longer than nothing", path)
	}
}

func (b *binder) atLeast(path string, n, least int) {
	if n < least {
		b.fail(path, "%s must be at least %d", path, least)
	}
}

// url refuses what cannot be asked over HTTP.
func (b *binder) url(path, s string) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		b.fail(path, "%s must be a whole URL, http:// or https:// with a host", path)
	}
}

func (r *Runbook) checkRepo(b *binder) {
	b.word("repo.model", "model", r.Repo.Model, models)
	b.word("repo.from", "start", r.Repo.From, froms)
	b.word("repo.branch", "branch naming", r.Repo.Branch, branches)
	b.word("repo.version.scheme", "version scheme", r.Repo.Version.Scheme, schemes)
	if r.Repo.Version.Command != nil {
		b.program("repo.version.command", r.Repo.Version.Command)
		if len(r.Repo.Version.Files) == 0 {
			b.fail("repo.version.command", "repo.version.files must list what this command writes: the version's commit may touch nothing else")
		}
	}
	m := r.Repo.MaxChange
	b.atLeast("repo.max_change.warn", m.Warn, 0)
	b.atLeast("repo.max_change.lines", m.Lines, 0)
	b.atLeast("repo.max_change.files", m.Files, 0)
	if m.Lines > 0 && m.Warn > m.Lines {
		b.fail("repo.max_change.warn", "repo.max_change.warn (%d) is beyond lines (%d)", m.Warn, m.Lines)
	}
}

// program checks a command.
func (b *binder) program(path string, c *Command) {
	if len(c.Run) == 0 || c.Run[0] == "" {
		b.fail(path, "%s has no program to run: write run: [\"make\", \"test\"]", path)
	}
	b.positive(path+".timeout", c.Timeout)
}

func (r *Runbook) checkEnvironments(b *binder) {
	production := ""
	for _, name := range slices.Sorted(maps.Keys(r.Environments)) {
		e, path := r.Environments[name], "environments."+name
		if e.Production {
			if production != "" {
				b.fail(path+".production", "%s and %s are both production; only one can be", production, name)
			}
			production = name
		}
		r.checkEnvironment(b, path, e)
	}
	if production == "" && len(r.Environments) > 0 {
		b.fail("environments", "no environment is production: name one \"production\", or set production: true")
	}
}

func (r *Runbook) checkEnvironment(b *binder, path string, e Environment) {
	inCluster := e.Canary != nil || e.BlueGreen != nil || e.Rolling != nil || e.Immediate != nil
	switch {
	case e.Image == "" && (inCluster || e.Script == nil && e.URL == ""):
		b.fail(path, "%s has no image: write image: registry.example.com/%s:{version}", path, cmp.Or(r.Service, "name"))
	case e.Image != "" && !strings.Contains(e.Image, "{version}"):
		b.fail(path+".image", "%s.image must hold {version}, which is replaced by the tag", path)
	}
	b.strategies(path, e)
	b.workloads(path, e)
	if e.Script != nil {
		b.script(path+".script", e.Script)
	}
	if e.URL != "" {
		b.url(path+".url", e.URL)
	}
	seen := map[string]bool{}
	for i := range e.Checks {
		at := fmt.Sprintf("%s.checks[%d]", path, i)
		b.httpCheck(at, &e.Checks[i], e.URL)
		if name := e.Checks[i].Name; seen[name] {
			b.fail(at, "%s: a check %q is there twice", path, name)
		} else {
			seen[name] = true
		}
	}
	if e.Fixed != nil {
		b.httpCheck(path+".fixed", e.Fixed, e.URL)
	}
}

// strategies checks what is said of each way to roll out, and the one proposed.
func (b *binder) strategies(path string, e Environment) {
	if e.Strategy != "" {
		b.word(path+".strategy", "strategy", e.Strategy, strategies)
		described := map[string]bool{"canary": e.Canary != nil, "blue-green": e.BlueGreen != nil, "rolling": e.Rolling != nil,
			"immediate": e.Immediate != nil, "script": e.Script != nil}
		if !described[e.Strategy] && slices.Contains(strategies, e.Strategy) {
			b.fail(path+".strategy", "%s.strategy is %s, and %s.%s is not there", path, e.Strategy, path, strings.ReplaceAll(e.Strategy, "-", "_"))
		}
	}
	if e.Canary != nil {
		b.canary(path+".canary", e.Canary)
	}
	if e.BlueGreen != nil {
		b.blueGreen(path+".blue_green", e.BlueGreen, e.URL)
	}
	if r := e.Rolling; r != nil {
		b.rolled(path+".rolling", r)
		b.atLeast(path+".rolling.batch", r.Batch, 1)
		b.notNegative(path+".rolling.hold", r.Hold)
	}
	if m := e.Immediate; m != nil {
		b.named(path+".immediate", m.Deployment)
		b.notNegative(path+".immediate.hold", m.Hold)
	}
}

// rolled asks for the name of the one workload that is rolled.
func (b *binder) rolled(path string, r *Rolling) {
	switch {
	case r.Deployment == "" && r.StatefulSet == "":
		b.fail(path, "%s needs deployment or statefulset, the name of what is rolled", path)
	case r.Deployment != "" && r.StatefulSet != "":
		b.fail(path+".statefulset", "%s has a deployment and a statefulset; it rolls one of them", path)
	}
}

// named asks for the name of a strategy's Deployment.
func (b *binder) named(path, deployment string) {
	if deployment == "" {
		b.fail(path, "%s needs the deployment's name", path)
	}
}

// blueGreen checks a switch. url is where users reach the environment.
func (b *binder) blueGreen(path string, g *BlueGreen, url string) {
	for _, f := range []struct{ key, value, what string }{{"service", g.Service, "the name of the Service whose selector is switched"},
		{"blue", g.Blue, "the name of one Deployment"}, {"green", g.Green, "the name of the other Deployment"},
		{"label", g.Label, "the key of the selector that tells the two apart"}} {
		if f.value == "" {
			b.fail(path, "%s needs %s, %s", path, f.key, f.what)
		}
	}
	if g.Blue != "" && g.Blue == g.Green {
		b.fail(path+".green", "blue and green are the same Deployment")
	}
	if g.PreviewURL != "" {
		b.url(path+".preview_url", g.PreviewURL)
		if strings.TrimRight(g.PreviewURL, "/") == strings.TrimRight(url, "/") {
			b.fail(path+".preview_url", "%s.preview_url is the environment's own url: the checks would ask the colour that is live", path)
		}
	}
	switch {
	case g.PreviewService == "":
	case g.PreviewURL != "":
		b.fail(path+".preview_service", "%s needs one of preview_url and preview_service, not both", path)
	case g.PreviewService == g.Service:
		b.fail(path+".preview_service", "%s.preview_service is the service that is switched: the checks would ask the colour that is live", path)
	}
	b.notNegative(path+".hold", g.Hold)
	b.notNegative(path+".drain", g.Drain)
}

func (b *binder) canary(path string, c *Canary) {
	if c.Stable == "" {
		b.fail(path, "%s needs stable, the name of the Deployment that serves now", path)
	}
	switch c.Canary {
	case "":
		b.fail(path, "%s needs canary, the name of the Deployment for the new version", path)
	case c.Stable:
		b.fail(path+".canary", "stable and canary are the same Deployment")
	}
	b.canaryTraffic(path, c)
	b.atLeast(path+".replicas", c.Replicas, 0)
	b.notNegative(path+".hold", c.Hold)
	last := 0
	for i, w := range c.Weights {
		if w <= last || w > 100 {
			b.fail(path+".weights["+strconv.Itoa(i)+"]", "%s.weights must rise from stage to stage, up to 100: %d comes after %d", path, w, last)
			return
		}
		last = w
	}
	if last != 100 {
		b.fail(path+".weights", "%s.weights must end at 100, so that all traffic reaches the new version", path)
	}
	if s := c.Subsets; s != nil {
		for _, f := range []struct{ key, value string }{{"host", s.Host}, {"stable", s.Stable}, {"canary", s.Canary}, {"destination_rule", s.DestinationRule}} {
			if f.value == "" {
				b.fail(path+".subsets", "%s.subsets needs %s", path, f.key)
			}
		}
	}
}

// canaryTraffic checks what shares the traffic out: a route, or the numbers of pods.
func (b *binder) canaryTraffic(path string, c *Canary) {
	kind, name, _ := strings.Cut(c.Route, "/")
	switch {
	case c.Route == "" && c.Service == "":
		b.fail(path, "%s needs route: \"VirtualService/name\" or \"HTTPRoute/name\"; or service, the one Service of both Deployments, to go by numbers of pods", path)
	case c.Route != "" && c.Service != "":
		b.fail(path+".service", "%s has a route and a service; traffic goes by one of them", path)
	case c.Route != "" && (!slices.Contains(routes, kind) || name == ""):
		b.fail(path+".route", "%s.route must be \"VirtualService/name\" or \"HTTPRoute/name\", not %q", path, c.Route)
	}
	if c.Service == "" {
		return
	}
	for _, key := range []string{"host", "subsets", "stable_service", "canary_service"} {
		if b.set(path + "." + key) {
			b.fail(path+"."+key, "%s.%s belongs to a route; with service, both Deployments are behind %s", path, key, c.Service)
		}
	}
}

// httpCheck checks a request. base is what its path is joined to.
func (b *binder) httpCheck(path string, c *Check, base string) {
	whole := strings.Contains(c.Path, "://")
	switch {
	case c.Path == "":
		b.fail(path, "%s needs a path", path)
	case whole:
		b.url(path+".path", c.Path)
	case base == "":
		b.fail(path+".path", "%s.path is not a whole URL, and the environment has no url to join it to", path)
	case c.Path[0] != '/':
		b.fail(path+".path", "%s.path must begin with / or be a whole URL", path)
	}
	if c.Status != 0 && (c.Status < 100 || c.Status > 599) {
		b.fail(path+".status", "%s.status is not an HTTP status", path)
	}
	b.jsonPaths(path+".json", c.JSON)
	b.atLeast(path+".times", c.Times, 1)
	b.positive(path+".timeout", c.Timeout)
}

func (r *Runbook) checkMetrics(b *binder) {
	p := r.Prometheus
	b.server("prometheus", p.URL, p.HTTP)
	b.server("alertmanager", r.Alertmanager.URL, r.Alertmanager.HTTP)
	if r.Alertmanager.URL == "" && b.set("alertmanager") {
		b.fail("alertmanager", "alertmanager needs url")
	}
	if p.URL != "" && p.Local {
		b.fail("prometheus", "prometheus is either a server (url) or local, not both")
	}
	if p.URL == "" && p.HTTP != nil {
		b.fail("prometheus.http", "prometheus.http says how a server is reached: it needs url")
	}
	if len(p.Targets) > 0 && !p.Local {
		b.fail("prometheus.targets", "prometheus.targets are scraped by mayday itself: they need local: true")
	}
	for i, t := range p.Targets {
		if file, ok := strings.CutPrefix(t, "file:"); !ok {
			b.url("prometheus.targets["+strconv.Itoa(i)+"]", t)
		} else if file == "" {
			b.fail("prometheus.targets["+strconv.Itoa(i)+"]", "file: needs a path")
		}
	}
	if p.URL == "" || b.set("prometheus.interval") {
		b.positive("prometheus.interval", p.Interval)
	}
	b.positive("prometheus.timeout", p.Timeout)
	for i, name := range r.Presets {
		b.word("presets["+strconv.Itoa(i)+"]", "preset", name, slices.Sorted(maps.Keys(presets)))
	}
	if len(r.Presets) > 0 && p.URL == "" && !p.Local {
		b.fail("presets", "presets need metrics: set prometheus to a URL or to local")
	}
}

func (r *Runbook) checkGate(b *binder) {
	b.gate("gate", r.Gate)
	b.notNegative("rollback.grace", r.Rollback.Grace)
	b.word("rollback.on_exit", "on_exit", r.Rollback.OnExit, exits)
	r.checkHooks(b)
}

func (b *binder) gate(path string, g Gate) {
	b.word(path+".warn", "answer", g.Warn, gateWords)
	b.word(path+".crit", "answer", g.Crit, gateWords)
	b.word(path+".no_data", "answer", g.NoData, gateWords)
	b.word(path+".stale", "answer", g.Stale, gateWords)
	b.word(path+".error", "answer", g.Error, gateWords)
	b.atLeast(path+".consecutive", g.Consecutive, 1)
	b.notNegative(path+".patience", g.Patience)
}
