package runbook

import (
	"cmp"
	"slices"

	"mayday/state"
)

// presets are probe sets by one word.
var presets = map[string]func(scope) []Probe{"golden-signals": goldenSignals, "kubernetes-workload": kubernetesWorkload,
	"jvm": jvm, "node": node, "postgres-pool": postgresPool}

// scope is what a preset's queries look at.
type scope struct {
	window    state.Duration // of rates
	namespace string         // of production
}

// expand puts the presets' probes before the file's own. A probe of the file with
// the name of a preset's replaces it.
func (r *Runbook) expand(b *binder) {
	// A rate needs four readings in its window to be steady.
	window := max(60*second, 4*r.Prometheus.Interval)
	if r.Prometheus.Local {
		window = max(15*second, 4*r.Prometheus.Interval)
	}
	production, _ := r.Production()
	see := scope{window, cmp.Or(production.Namespace, "default")}
	var out []Probe
	for _, name := range r.Presets {
		make, ok := presets[name]
		if !ok {
			continue // check says so
		}
		for _, p := range make(see) {
			own := slices.ContainsFunc(r.Probes, func(q Probe) bool { return q.Name == p.Name })
			if !own {
				out = append(out, p)
			}
		}
	}
	b.own = len(out)
	r.Probes = append(out, r.Probes...)
}

// goldenSignals watches errors, latency and traffic by the metrics that most HTTP
// libraries export. The numerator of an error rate falls back to 0, because a version
// that never failed has no series of failures; without traffic the rate still is
// no-data, not 0.
func goldenSignals(see scope) []Probe {
	w := "[" + see.window.String() + "]"
	errors := func(match string) string {
		with := match
		if with != "" {
			with += ","
		}
		return `(sum(rate(http_requests_total{` + with + `code=~"5.."}` + w + `)) or vector(0)) / sum(rate(http_requests_total{` + match + `}` + w + `))`
	}
	p95 := func(match string) string {
		return `histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{` + match + `}` + w + `)))`
	}
	const isNew, isOld = `version="{new}"`, `version="{old}"`
	out := []Probe{
		probeOf("error rate new", errors(isNew), "ratio", state.RoleNew, 0.01, 0.05),
		probeOf("error rate old", errors(isOld), "ratio", state.RoleOld, 0.01, 0.05),
		probeOf("error rate", errors(""), "ratio", state.RoleAll, 0.01, 0.05),
		probeOf("p95 latency new", p95(isNew), "s", state.RoleNew, 1, 2),
		probeOf("p95 latency", p95(""), "s", state.RoleAll, 1, 2),
		probeOf("traffic", `sum(rate(http_requests_total`+w+`))`, "req/s", state.RoleDisplay),
	}
	for i, covers := range []string{"errors", "errors", "errors", "latency", "latency"} {
		out[i].Covers = covers
	}
	out[0].Compare.With = "error rate old"
	out[3].Compare.With = "p95 latency"
	return out
}

// probeOf makes one of a preset's: the limits are warn and crit, or warn alone, or none.
func probeOf(name, query, unit string, role state.Role, limits ...float64) Probe {
	p := Probe{Name: name, Query: query, Unit: unit, Role: role, Every: 5 * second, Timeout: 5 * second, Compare: defaultCompare}
	if len(limits) > 0 {
		p.Warn = &Limit{Value: limits[0]}
	}
	if len(limits) > 1 {
		p.Crit = &Limit{Value: limits[1]}
	}
	return p
}
