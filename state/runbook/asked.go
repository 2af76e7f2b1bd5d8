package runbook

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"mayday/state"
)

// Kinds of probes, as state.Probe names them.
const (
	KindPrometheus = "prometheus"
	KindHTTP       = "http"
	KindRollout    = "rollout"
	KindTCP        = "tcp"
	KindTLS        = "tls"
	KindGRPC       = "grpc"
	KindDNS        = "dns"
	KindCommand    = "command"
	KindLog        = "log"
	KindPodLog     = "pod-log"
	KindAlerts     = "alerts"
	KindManager    = "alertmanager"
	KindRules      = "rules"
	KindPods       = "pods"
	KindRestarts   = "restarts"
	KindEvents     = "events"
	KindWeight     = "weight"
)

// asks lists what a probe can ask, by the keys of the file, and whether it does.
func (p *Probe) asks() (keys []string, set []bool) {
	for _, a := range []struct {
		key string
		set bool
	}{{"query", p.Query != ""}, {"http", p.HTTP != nil}, {"rollout", p.Rollout != ""},
		{"pods", p.Pods != ""}, {"restarts", p.Restarts != ""}, {"events", p.Events != ""}, {"weight", p.Weight != nil}, {"tcp", p.TCP != ""}, {"tls", p.TLS != ""},
		{"grpc", p.GRPC != nil}, {"dns", p.DNS != nil}, {"command", p.Command != nil}, {"log", p.Log != nil},
		{"alerts", p.Alerts != nil}, {"rules", p.Rules != nil}} {
		keys, set = append(keys, a.key), append(set, a.set)
	}
	return keys, set
}

// Asked gives the probe as an incident has it. fill replaces {new}, {old} and
// {service}; base is the URL that paths are joined to.
func (p *Probe) Asked(fill func(string) string, base string) state.Probe {
	s := state.Probe{Name: p.Name, Unit: p.Unit, Every: p.Every,
		Timeout: p.Timeout, StaleAt: p.Stale, Role: p.Role, Critical: p.Critical, Covers: p.Covers, Compare: p.Compare.With, Rank: p.Compare.rank()}
	p.limits(&s)
	switch {
	case p.Query != "":
		p.askedQuery(&s, fill)
	case p.HTTP != nil:
		p.HTTP.asked(&s, fill, base)
	case p.Rollout != "":
		s.Kind, s.Query = KindRollout, p.Rollout
	case p.Pods != "":
		s.Kind, s.Query = KindPods, fill(p.Pods)
	case p.Restarts != "":
		s.Kind, s.Query = KindRestarts, fill(p.Restarts)
	case p.Events != "":
		s.Kind, s.Query = KindEvents, fill(p.Events)
	case p.Weight != nil:
		s.Kind, s.Query, s.Want = KindWeight, fill(p.Weight.Seen), p.route
	case p.TCP != "":
		s.Kind, s.Query = KindTCP, fill(p.TCP)
	case p.TLS != "":
		s.Kind, s.Query = KindTLS, fill(p.TLS)
	case p.GRPC != nil:
		s.Kind, s.Query = KindGRPC, fill(p.GRPC.line())
	case p.DNS != nil:
		s.Kind, s.Query = KindDNS, fill(p.DNS.line())
		for _, want := range p.DNS.Want {
			s.Want = append(s.Want, fill(want))
		}
	case p.Command != nil:
		s.Kind = KindCommand
		for _, arg := range p.Command.Run {
			s.Args = append(s.Args, fill(arg))
		}
		s.Query = strings.Join(s.Args, " ")
		s.Env = []string{"ENVIRONMENT=production", "VERSION=" + fill("{new}"), "PREVIOUS_VERSION=" + fill("{old}")}
	case p.Log != nil:
		s.Kind, s.Query = KindLog, p.Log.File
		if p.Log.Pods != "" {
			s.Kind, s.Query = KindPodLog, fill(p.Log.Pods)
		}
		s.Pattern, s.Container = p.Log.Pattern, p.Log.Container
	case p.Alerts != nil:
		s.Kind, s.Query = KindAlerts, fill(selector(p.Alerts.Match))
		if p.Alerts.From == KindManager {
			s.Kind = KindManager
		}
	case p.Rules != nil:
		s.Kind, s.Query, s.Pattern = KindRules, p.Rules.File, fill(selector(p.Rules.Match))
	}
	return s
}

// askedQuery is Asked of a query, and of what it makes of several series.
func (p *Probe) askedQuery(s *state.Probe, fill func(string) string) {
	s.Kind, s.Query = KindPrometheus, fill(p.Query)
	if s.By = p.Series.Label(); s.By == "" {
		s.Series = state.Several(p.Series)
	} else if p.Role == state.RoleNew {
		s.New, s.Old = known(fill("{new}")), known(fill("{old}"))
	}
}

// asked is Probe.Asked of a check.
func (c *Check) asked(s *state.Probe, fill func(string) string, base string) {
	s.Kind, s.Query = KindHTTP, fill(JoinURL(base, c.Path))
	s.Method, s.Headers, s.Body, s.Status = c.Method, c.Headers, c.Body, c.Status
	s.Contains = fill(c.Contains)
	for path, want := range c.JSON {
		if s.JSON == nil {
			s.JSON = map[string]string{}
		}
		s.JSON[path] = fill(want)
	}
}

// Unknown stands for a version that is not known yet.
const Unknown = "none"

func known(version string) string {
	if version == Unknown {
		return ""
	}
	return version
}

// line is "grpc://host:port/service", or grpcs where the way is encrypted.
func (g *GRPC) line() string {
	scheme := "grpc://"
	if g.TLS {
		scheme = "grpcs://"
	}
	return strings.TrimSuffix(scheme+g.Address+"/"+g.Service, "/")
}

// line is the question as dig takes it: "A shop.example.com @9.9.9.9 @1.1.1.1".
func (d *DNS) line() string {
	out := d.Type + " " + d.Name
	for _, r := range d.Resolvers {
		out += " @" + r
	}
	return out
}

// selector writes labels to match as PromQL does.
func selector(match map[string]string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(match)) {
		out = append(out, name+"=~"+strconv.Quote(match[name]))
	}
	return "{" + strings.Join(out, ",") + "}"
}

// JoinURL puts a check's path behind an environment's URL; a whole URL stays.
func JoinURL(base, path string) string {
	if strings.Contains(path, "://") {
		return path
	}
	return strings.TrimRight(base, "/") + "/" + strings.TrimLeft(path, "/")
}
