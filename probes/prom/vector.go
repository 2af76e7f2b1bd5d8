package prom

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"mayday/state"
)

// Vector evaluates PromQL at an incident time to all the series it gives; a scalar is
// one series without labels. What is neither is a *state.Problem. Native histograms
// are left out. Warnings say that the answer is partial.
func (a *Asker) Vector(ctx context.Context, expr string, at time.Time) (out promql.Vector, warning string, err error) {
	ctx, cancel := patient(ctx)
	defer cancel()
	v, warnings, err := a.api.Query(ctx, expr, moment(at))
	if err != nil {
		return nil, "", a.failed(ctx, err)
	}
	if len(warnings) > 0 {
		warning = "Prometheus warns: " + strings.Join(warnings, "; ")
	}
	switch v := v.(type) {
	case model.Vector:
		for _, s := range v {
			if s.Histogram != nil {
				continue
			}
			b := labels.NewScratchBuilder(len(s.Metric))
			for name, value := range s.Metric {
				b.Add(string(name), string(value))
			}
			b.Sort()
			out = append(out, promql.Sample{Metric: b.Labels(), T: int64(s.Timestamp), F: float64(s.Value)})
		}
		return out, warning, nil
	case *model.Scalar:
		return promql.Vector{{T: int64(v.Timestamp), F: float64(v.Value)}}, warning, nil
	}
	return nil, "", &state.Problem{What: fmt.Sprintf("the query gives a %s, not series of numbers", v.Type()), Code: "prometheus-query"}
}

// renamed are the functions that have another name in Prometheus 3.
var renamed = map[string]string{"holt_winters": "double_exponential_smoothing"}

// Renamed says what a function is called now, where the text is the complaint of a
// parser of Prometheus 3 about its old name, else "".
func Renamed(complaint string) string {
	for old, now := range renamed {
		if strings.Contains(complaint, fmt.Sprintf("unknown function with name %q", old)) {
			return fmt.Sprintf("%s is called %s in Prometheus 3, whose language mayday speaks: write that", old, now)
		}
	}
	return ""
}

// Record keeps nothing: what rules make is there where the server evaluates them too.
// Where other rules read it and the server does not have it, that is a *state.Problem:
// they would stay silent for ever.
func (a *Asker) Record(ctx context.Context, at time.Time, made promql.Vector, _ []labels.Labels, read bool) error {
	if !read || len(made) == 0 {
		return nil
	}
	metric := made[0].Metric.Get(model.MetricNameLabel)
	selector := fmt.Sprintf("{%s=%q", model.MetricNameLabel, metric)
	if alert := made[0].Metric.Get(model.AlertNameLabel); alert != "" {
		selector += fmt.Sprintf(",%s=%q", model.AlertNameLabel, alert)
	}
	found, _, err := a.Vector(ctx, "count("+selector+"})", at)
	if err == nil && len(found) == 0 {
		err = &state.Problem{What: fmt.Sprintf("%s has no series %s}, which other rules of the file read", a.what, selector),
			Why: "it does not evaluate this rule itself", Do: "Load the file into the server, or write the rule's expression where its name is read", Code: "rules-unknown"}
	}
	return err
}

// Health knows nothing against the server: a question that it cannot answer fails.
func (a *Asker) Health(time.Time) (time.Time, string, bool) { return time.Time{}, "", false }
