package runbook

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mayday/state"
)

var (
	alertSources = []string{"prometheus", "alertmanager"}
	labelName    = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
)

var dnsTypes = []string{"A", "AAAA", "CNAME", "MX", "NS", "TXT"}

func (r *Runbook) checkProbes(b *binder) {
	names := map[string]bool{}
	for _, p := range r.Probes {
		names[p.Name] = true
	}
	seen := map[string]bool{}
	for i := b.own; i < len(r.Probes); i++ {
		p, path := &r.Probes[i], "probes["+strconv.Itoa(i-b.own)+"]"
		if p.Name == "" {
			b.fail(path, "%s needs a name", path)
		} else if seen[p.Name] {
			b.fail(path+".name", "a probe %q is there twice", p.Name)
		}
		seen[p.Name] = true
		r.checkProbe(b, path, p)
		b.compare(path, p, slices.Sorted(maps.Keys(names)))
	}
}

func (r *Runbook) checkProbe(b *binder, path string, p *Probe) {
	if p.Covers != "" {
		b.word(path+".covers", "sign of health", p.Covers, state.Covered)
	}
	keys, set := p.asks()
	asked := 0
	for _, is := range set {
		if is {
			asked++
		}
	}
	switch {
	case asked == 0:
		b.fail(path, "%s asks nothing: it needs %s", path, oneOf(keys))
	case asked > 1:
		b.fail(path, "%s must have only one of %s", path, strings.Join(keys, ", "))
	}
	if p.Query != "" && r.Prometheus.URL == "" && !r.Prometheus.Local {
		b.fail(path+".query", "%s.query needs metrics: set prometheus to a URL or to local", path)
	}
	if p.HTTP != nil {
		production, _ := r.Production()
		b.httpCheck(path+".http", p.HTTP, production.URL)
	}
	if kind, name, _ := strings.Cut(p.Rollout, "/"); p.Rollout != "" && (kind == "" || name == "") {
		b.fail(path+".rollout", "%s.rollout must be kind/name, such as deployment/app", path)
	}
	r.workload(b, path, p)
	b.endpoints(path, p)
	b.several(path, p)
	if p.Command != nil {
		b.program(path+".command", p.Command)
		if b.set(path + ".command.timeout") {
			b.fail(path+".command.timeout", "%s.command.timeout is not used: the probe has a timeout of its own, beside every", path)
		}
	}
	if p.Log != nil {
		b.log(path+".log", p.Log)
	}
	r.alerts(b, path, p)
	b.word(path+".role", "role", string(p.Role), probeRoles)
	b.positive(path+".every", p.Every)
	b.positive(path+".timeout", p.Timeout)
	if p.Stale < p.Every {
		b.fail(path+".stale", "%s.stale is shorter than every: each reading would be stale before the next", path)
	}
	b.conditions(path, p)
}

// workload checks probes that ask production's cluster.
func (r *Runbook) workload(b *binder, path string, p *Probe) {
	if _, err := regexp.Compile(p.Events); err != nil {
		b.fail(path+".events", "%s.events cannot be read: %v", path, err)
	}
	if p.Weight == nil {
		return
	}
	if p.Weight.Seen == "" {
		b.fail(path+".weight", "%s.weight needs seen: the PromQL of the share of requests that the canary gets", path)
	}
	if r.Prometheus.URL == "" && !r.Prometheus.Local {
		b.fail(path+".weight", "%s.weight needs metrics: set prometheus to a URL or to local", path)
	}
	if p.route == nil {
		b.fail(path+".weight", "%s.weight needs a route to read the weight from: production has no canary with one", path)
	}
}

// endpoints checks the addresses of probes that need nothing but the network.
func (b *binder) endpoints(path string, p *Probe) {
	if p.TCP != "" {
		b.hostPort(path+".tcp", p.TCP)
	}
	if p.TLS != "" {
		b.hostPort(path+".tls", p.TLS)
		if b.set(path+".below") && !p.Below {
			b.fail(path+".below", "%s counts the days that are left: few are bad, so below cannot be false", path)
		}
	}
	if g := p.GRPC; g != nil {
		b.hostPort(path+".grpc.address", g.Address)
	}
	if d := p.DNS; d != nil {
		if d.Name == "" {
			b.fail(path+".dns", "%s.dns needs the name to look up", path)
		}
		b.word(path+".dns.type", "type of record", d.Type, dnsTypes)
		for i, r := range d.Resolvers {
			host, port, err := net.SplitHostPort(r)
			if err != nil {
				host, port = r, "53"
			}
			if n, err := strconv.ParseUint(port, 10, 16); host == "" || strings.ContainsAny(host, "/ @") || err != nil || n == 0 {
				b.fail(fmt.Sprintf("%s.dns.resolvers[%d]", path, i), "%q is not a resolver; write an address, such as 9.9.9.9 or 10.0.0.1:5353", r)
			}
		}
		for i, w := range d.Want {
			a, err := netip.ParseAddr(w)
			if (d.Type == "A" || d.Type == "AAAA") && (err != nil || a.Is4() != (d.Type == "A")) {
				b.fail(fmt.Sprintf("%s.dns.want[%d]", path, i), "%q is not an address that a %s record can hold", w, d.Type)
			}
		}
	}
}

// hostPort refuses what cannot be connected to.
func (b *binder) hostPort(path, s string) {
	host, port, err := net.SplitHostPort(s)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || host == "" || portErr != nil || n == 0 || strings.ContainsAny(host, "/ ") {
		b.fail(path, "%s must be host:port, such as shop.example.com:443, not %q", path, s)
	}
}

func (b *binder) jsonPaths(path string, wanted map[string]string) {
	for _, p := range slices.Sorted(maps.Keys(wanted)) {
		if _, err := ParseJSONPath(p); err != nil {
			b.fail(path+"."+p, "%q is not a path into JSON: %v", p, err)
		}
	}
}

func (b *binder) log(path string, l *Log) {
	switch {
	case l.File == "" && l.Pods == "":
		b.fail(path, "%s needs file, or pods with a label selector", path)
	case l.File != "" && l.Pods != "":
		b.fail(path+".pods", "%s has both file and pods", path)
	case l.File != "" && l.Container != "":
		b.fail(path+".container", "%s.container says which of a pod's: it needs pods", path)
	}
	if _, err := regexp.Compile(l.Pattern); err != nil {
		b.fail(path+".pattern", "%s.pattern cannot be read: %v", path, err)
	} else if l.Pattern == "" {
		b.fail(path, "%s needs a pattern that the lines to count match", path)
	}
}

// alerts checks probes that count alerts.
func (r *Runbook) alerts(b *binder, path string, p *Probe) {
	if a := p.Alerts; a != nil {
		b.word(path+".alerts.from", "source of alerts", a.From, alertSources)
		b.match(path+".alerts.match", a.Match)
		if a.From == "prometheus" && r.Prometheus.URL == "" {
			b.fail(path+".alerts", "%s.alerts needs a server that raises them: set prometheus or alertmanager to a URL, or evaluate a file of rules (rules: {file: …})", path)
		}
		if a.From == "alertmanager" && r.Alertmanager.URL == "" {
			b.fail(path+".alerts.from", "%s.alerts.from needs alertmanager: set it to a URL", path)
		}
	}
	if u := p.Rules; u != nil {
		b.match(path+".rules.match", u.Match)
		if u.File == "" {
			b.fail(path+".rules", "%s.rules needs file", path)
		}
		if r.Prometheus.URL == "" && !r.Prometheus.Local {
			b.fail(path+".rules", "%s.rules needs metrics: set prometheus to a URL or to local", path)
		}
	}
}

func (b *binder) match(path string, match map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(match)) {
		if _, err := regexp.Compile(match[name]); err != nil {
			b.fail(path+"."+name, "%s.%s is no regular expression: %v", path, name, err)
		}
		if !labelName.MatchString(name) {
			b.fail(path+"."+name, "%q is not the name of a label", name)
		}
	}
}
