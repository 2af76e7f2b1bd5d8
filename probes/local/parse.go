package local

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"mayday/state"
)

// parse reads the page in t.body. One of too many lines is refused unread: each would
// become an object many times its length.
func (t *target) parse() (map[string]*dto.MetricFamily, error) {
	if bytes.Count(t.body.Bytes(), []byte("\n")) > maxLines {
		return nil, fmt.Errorf("the page holds more than %d lines", maxLines)
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(t.body.Bytes()))
	if err != nil {
		return nil, fmt.Errorf("not a metrics page: %s", state.Clean(err.Error()))
	}
	return families, nil
}

// expand calls f for every sample of the families: a histogram or summary is
// several. extra and val are the label that tells its parts apart, if any. An
// error of f ends it.
func expand(families map[string]*dto.MetricFamily, f func(name string, m *dto.Metric, extra, val string, v float64) error) error {
	for name, mf := range families {
		for _, m := range mf.Metric {
			var err error
			switch {
			case m.Counter != nil:
				err = f(name, m, "", "", m.Counter.GetValue())
			case m.Gauge != nil:
				err = f(name, m, "", "", m.Gauge.GetValue())
			case m.Untyped != nil:
				err = f(name, m, "", "", m.Untyped.GetValue())
			case m.Summary != nil:
				err = summary(name, m, f)
			case m.Histogram != nil:
				err = histogram(name, m, f)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func summary(name string, m *dto.Metric, f func(string, *dto.Metric, string, string, float64) error) error {
	s := m.Summary
	for _, q := range s.Quantile {
		if err := f(name, m, "quantile", number(q.GetQuantile()), q.GetValue()); err != nil {
			return err
		}
	}
	return total(name, m, s.GetSampleSum(), float64(s.GetSampleCount()), f)
}

func histogram(name string, m *dto.Metric, f func(string, *dto.Metric, string, string, float64) error) error {
	h := m.Histogram
	infinite := false
	for _, b := range h.Bucket {
		infinite = infinite || math.IsInf(b.GetUpperBound(), 1)
		if err := f(name+"_bucket", m, "le", number(b.GetUpperBound()), float64(b.GetCumulativeCount())); err != nil {
			return err
		}
	}
	if !infinite {
		if err := f(name+"_bucket", m, "le", "+Inf", float64(h.GetSampleCount())); err != nil {
			return err
		}
	}
	return total(name, m, h.GetSampleSum(), float64(h.GetSampleCount()), f)
}

func total(name string, m *dto.Metric, sum, count float64, f func(string, *dto.Metric, string, string, float64) error) error {
	if err := f(name+"_sum", m, "", "", sum); err != nil {
		return err
	}
	return f(name+"_count", m, "", "", count)
}

// number writes a bound as Prometheus' clients do: "0.5", "1", "+Inf".
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// label gives the labels of a sample with the target's own. A label of the page
// that is in the way is kept as exported_….
func (t *target) label(name string, pairs []*dto.LabelPair, extra, val string) labels.Labels {
	b := &t.labelb
	b.Reset()
	b.Add(model.MetricNameLabel, name)
	t.labels.Range(func(l labels.Label) { b.Add(l.Name, l.Value) })
	for _, p := range pairs {
		n := p.GetName()
		if t.labels.Has(n) || strings.HasPrefix(n, "__") {
			n = "exported_" + n
		}
		if p.GetValue() != "" {
			b.Add(n, p.GetValue())
		}
	}
	if extra != "" {
		b.Add(extra, val)
	}
	b.Sort()
	return b.Labels()
}
