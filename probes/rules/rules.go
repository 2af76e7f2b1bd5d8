// Package rules evaluates files of alerting and recording rules itself, as a
// Prometheus server would: an alert fires when its expression has held for the time
// that its rule wants. So the alerts that a team trusts gate a rollout also where no
// server evaluates them, or it is down.
package rules

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"

	"mayday/probes"
	"mayday/probes/prom"
	"mayday/state"
)

// Kind is the kind of the probes this package asks: p.Query is the path of a file,
// p.Pattern the selector of the alerts that count, {severity="critical"}.
const Kind = "rules"

const (
	patience  = 10 * time.Second // where the caller's context has no time-out
	maxAlerts = 5000             // of one rule

	alertMetric = "ALERTS" // whose series are the alerts that are
)

// Source is what rules are evaluated against. Safe for concurrent use.
type Source interface {
	// Vector evaluates an expression at an incident time. Blocks; honours ctx. What is
	// missing of the answer the source says in warning.
	Vector(ctx context.Context, expr string, at time.Time) (v promql.Vector, warning string, err error)
	// Record keeps what a rule made, and ends the series in gone. A source that others
	// write keeps nothing: where other rules of the file read it, it is an error if the
	// source does not have it either.
	Record(ctx context.Context, at time.Time, made promql.Vector, gone []labels.Labels, read bool) error
	// Health says from when the newest data is (zero: as new as it is asked for), what
	// keeps the source from seeing all ("" nothing does), and whether it has only begun.
	Health(at time.Time) (newest time.Time, trouble string, begun bool)
}

// Asker evaluates files of rules. Make one with New; safe for concurrent use. What it
// remembers of alerts, since when each holds, is gone with the process: then their
// time starts anew.
type Asker struct {
	source Source

	mu    sync.Mutex
	files map[string]*file // by probe
}

var _ probes.Asker = (*Asker)(nil)

// New makes an asker that has loaded nothing yet.
func New(source Source) *Asker { return &Asker{source: source, files: map[string]*file{}} }

// file is one file as it was loaded last, with its alerts. mu guards all but path.
type file struct {
	path string

	mu     sync.Mutex
	stamp  string // of the file that was loaded
	groups []*group
}

type group struct {
	rulefmt.RuleGroup
	rules []*rule
	last  time.Time // of the last evaluation
	warns string    // what the source said in it
}

type rule struct {
	rulefmt.Rule
	labels map[string]string        // its own and its group's
	read   bool                     // by rules of its file
	active map[uint64]*alert        // by labels
	made   map[uint64]labels.Labels // by the last evaluation, for other rules to read
}

type alert struct {
	labels labels.Labels
	since  time.Time // when the expression began to hold
	until  time.Time // when it last held
	quiet  time.Time // when it was first seen not to, zero while it holds
	firing bool
}

// Ask evaluates the file's groups whose interval has passed, in their order, and
// counts the alerts that fire. An expression that cannot be evaluated is an error, as
// is a file that cannot be loaded; a changed file is loaded anew. While the source
// does not see everything the verdict is at least warn: silence then proves nothing.
func (a *Asker) Ask(ctx context.Context, p state.Probe, at time.Time) (probes.Reading, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	a.mu.Lock()
	f := a.files[p.Name]
	if f == nil || f.path != p.Query {
		f = &file{path: p.Query}
		a.files[p.Name] = f
	}
	a.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.load(); err != nil {
		return probes.Reading{}, err
	}
	newest, trouble, begun := a.source.Health(at)
	if begun {
		return probes.Reading{NoData: true, Pending: true, Text: trouble}, nil
	}
	var all []prom.Alert
	for _, g := range f.groups {
		if err := a.group(ctx, f, g, at); err != nil {
			if ctx.Err() != nil {
				err = fmt.Errorf("%s: %w", f.path, ctx.Err())
			}
			return probes.Reading{}, err
		}
		trouble = cmp.Or(trouble, g.warns)
		for _, r := range g.rules {
			for _, x := range r.active {
				all = append(all, prom.Alert{Labels: x.labels.Map(), Firing: x.firing})
			}
		}
	}
	r, err := prom.CountAlerts(p.Pattern, all)
	if err == nil && trouble != "" {
		r.Verdict, r.Text = state.Warn, strings.TrimPrefix(r.Text+"; "+trouble, "; ")
	}
	r.At = newest
	return r, err
}

// load reads the file if it is new or has changed. Alerts begin anew with it.
func (f *file) load() error {
	stamp := ""
	if info, err := os.Stat(f.path); err == nil {
		stamp = fmt.Sprint(info.Size(), info.ModTime())
	}
	if stamp != "" && stamp == f.stamp {
		return nil
	}
	groups, err := Load(f.path)
	if err != nil {
		f.stamp = ""
		return err
	}
	f.stamp, f.groups = stamp, nil
	read := reads(groups)
	for _, g := range groups.Groups {
		out := &group{RuleGroup: g}
		for _, r := range g.Rules {
			own := map[string]string{}
			for _, from := range []map[string]string{g.Labels, r.Labels} {
				for k, v := range from {
					own[k] = v
				}
			}
			out.rules = append(out.rules, &rule{Rule: r, labels: own, read: read(cmp.Or(r.Record, alertMetric)), active: map[uint64]*alert{}})
		}
		f.groups = append(f.groups, out)
	}
	return nil
}

// group evaluates a group's rules if it is time.
func (a *Asker) group(ctx context.Context, f *file, g *group, at time.Time) error {
	if !at.After(g.last) || g.Interval > 0 && at.Sub(g.last) < time.Duration(g.Interval) {
		return nil
	}
	asOf := at
	if g.QueryOffset != nil {
		asOf = at.Add(-time.Duration(*g.QueryOffset))
	}
	g.warns = ""
	for i, r := range g.rules {
		v, warning, err := a.source.Vector(ctx, r.Expr, asOf)
		g.warns = cmp.Or(g.warns, warning)
		if err == nil && g.Limit > 0 && len(v) > g.Limit {
			err = fmt.Errorf("%d series, more than the group's limit of %d", len(v), g.Limit)
		}
		if err == nil && len(v) > maxAlerts {
			err = fmt.Errorf("%d series, more than %d", len(v), maxAlerts)
		}
		switch {
		case err == nil && r.Record != "":
			err = a.record(ctx, r, v, at)
		case err == nil:
			err = a.alert(ctx, r, v, at)
		}
		if err != nil {
			return fmt.Errorf("rule %d of group %q in %s (%s): %w", i+1, g.Name, f.path, r.Alert+r.Record, err)
		}
	}
	g.last = at
	return nil
}

// record keeps a recording rule's series.
func (a *Asker) record(ctx context.Context, r *rule, v promql.Vector, at time.Time) error {
	out := make(promql.Vector, 0, len(v))
	for _, s := range v {
		b := labels.NewBuilder(s.Metric).Set(model.MetricNameLabel, r.Record)
		for name, value := range r.labels {
			b.Set(name, value)
		}
		out = append(out, promql.Sample{Metric: b.Labels(), F: s.F, H: s.H})
	}
	return a.keep(ctx, r, out, at)
}

// keep hands a rule's series on, and ends those it makes no more.
func (a *Asker) keep(ctx context.Context, r *rule, all promql.Vector, at time.Time) error {
	made := make(map[uint64]labels.Labels, len(all))
	for i, s := range all {
		all[i].T = at.UnixMilli()
		if _, twice := made[s.Metric.Hash()]; twice {
			return fmt.Errorf("two series have the labels %s", s.Metric)
		}
		made[s.Metric.Hash()] = s.Metric
	}
	var gone []labels.Labels
	for hash, ls := range r.made {
		if _, still := made[hash]; !still {
			gone = append(gone, ls)
		}
	}
	r.made = made
	return a.source.Record(ctx, at, all, gone, r.read)
}

// alert moves a rule's alerts on: what holds begins, what held long enough fires, what
// does not hold ends. Other rules may read them as the series ALERTS.
func (a *Asker) alert(ctx context.Context, r *rule, v promql.Vector, at time.Time) error {
	for _, s := range v {
		ls := a.labels(ctx, r, s, at)
		x := r.active[ls.Hash()]
		if x == nil {
			x = &alert{labels: ls, since: at}
			r.active[ls.Hash()] = x
		} else if x.until.Equal(at) {
			return fmt.Errorf("two series have the labels %s", ls)
		}
		x.until = at
		x.firing = x.firing || at.Sub(x.since) >= time.Duration(r.For)
	}
	var out promql.Vector
	for hash, x := range r.active {
		holds := x.until.Equal(at)
		switch {
		case holds:
			x.quiet = time.Time{}
		case x.quiet.IsZero():
			x.quiet = at
		}
		if !holds && (!x.firing || at.Sub(x.quiet) >= time.Duration(r.KeepFiringFor)) {
			delete(r.active, hash)
			continue
		}
		stage := "pending"
		if x.firing {
			stage = "firing"
		}
		out = append(out, promql.Sample{F: 1,
			Metric: labels.NewBuilder(x.labels).Set(model.MetricNameLabel, alertMetric).Set("alertstate", stage).Labels()})
	}
	return a.keep(ctx, r, out, at)
}

// labels gives an alert's: the series', and the rule's with their templates filled.
func (a *Asker) labels(ctx context.Context, r *rule, s promql.Sample, at time.Time) labels.Labels {
	b := labels.NewBuilder(s.Metric).Del(model.MetricNameLabel)
	for _, name := range sorted(r.labels) {
		text := r.labels[name]
		if strings.Contains(text, "{{") {
			// The variables that Prometheus gives to every template of an alert.
			const given = `{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}`
			data := template.AlertTemplateData(s.Metric.Map(), map[string]string{}, "", s)
			filled, err := template.NewTemplateExpander(ctx, given+text, "__alert_"+r.Alert, data, model.TimeFromUnixNano(at.UnixNano()),
				a.query, &url.URL{}, nil).Expand()
			if err != nil {
				filled = "cannot be filled: " + err.Error()
			}
			text = filled
		}
		b.Set(name, text)
	}
	return b.Set("alertname", r.Alert).Labels()
}

// query answers what a template asks.
func (a *Asker) query(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
	v, _, err := a.source.Vector(ctx, expr, at)
	return v, err
}

func sorted(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
