package metrics

import (
	"strings"
	"time"

	"mayday/state"
	"mayday/ui/chart"
	"mayday/ui/theme"
)

// detail draws the selected probe in h lines of w cells: a line of words, then its
// chart, with its partner's line and the stages of the rollouts.
func (p *Pane) detail(b *board, w, h int) []string {
	x, r, ok := b.of(p.Selected())
	if !ok || h < 1 {
		return nil
	}
	main, old := b.pair(x)
	if x.Kind != "prometheus" {
		k := chart.Spark{Window: p.window(b), Hold: x.StaleAt.D()}
		return []string{p.caption(b, x, nil, r), "", k.Dots(b.s.Series[x.Name], w, p.t),
			p.t.Past.Render(theme.Cut(theme.Safe(x.Query), w)), p.t.Past.Render(theme.Cut(theme.Safe(r.Text), w))}
	}
	_, mr, _ := b.of(main.Name)
	l := chart.Line{Window: p.window(b), Axis: p.t.Border, Text: p.t.Past,
		Label: func(v float64) string { return theme.Safe(state.Quantity(v, main.Unit)) }}
	var set []chart.Samples
	add := func(q *state.Probe) {
		_, r, _ := b.of(q.Name)
		hold := max(q.StaleAt.D(), 4*q.Every.D())
		l.Series = append(l.Series, chart.Series{Samples: b.s.Series[q.Name], Style: p.line(q, r), Hold: hold})
		set = append(set, b.s.Series[q.Name])
	}
	if old != nil {
		add(old)
	}
	add(main)
	l.Lo, l.Hi = chart.Range(l.Window, nil, set...)
	limits := p.limits(main, l.Hi)
	l.Lo, l.Hi = chart.Range(l.Window, limits, set...)
	if _, top := chart.Range(l.Window, nil, set...); main.Unit == "ratio" && l.Hi > 1 && top <= 1.2 {
		l.Hi = 1 // there is no login success of 120 %
	}
	for i, v := range limits {
		l.Limits = append(l.Limits, chart.Limit{Value: v, Style: []theme.Style{p.t.Warn, p.t.Bad}[min(i, 1)]})
	}
	l.Marks = p.marks(b)
	return append([]string{p.caption(b, main, old, mr)}, l.Draw(w, h-1)...)
}

// limits gives the thresholds that lie near enough to the data to be drawn: one
// far above would press the data flat.
func (p *Pane) limits(x *state.Probe, hi float64) []float64 {
	var out []float64
	for _, v := range []*float64{x.Warn, x.Crit} {
		if v != nil && *v <= 3*hi {
			out = append(out, *v)
		}
	}
	return out
}

// caption says what the chart shows: "error rate  new 0.42 %  old 8.1 %  warn 1 %   last 15 min".
func (p *Pane) caption(b *board, main, old *state.Probe, r reading) string {
	name := theme.Safe(main.Name)
	said := func(q *state.Probe, r reading) string { return p.line(q, r).Render(value(q, r)) }
	var out string
	if old != nil {
		_, or, _ := b.of(old.Name)
		short := suffix(main, old)
		out = p.t.Strong.Render(strings.TrimSpace(strings.TrimSuffix(name, short))) + p.t.Past.Render("  "+short+" ") + said(main, r) +
			p.t.Past.Render("  "+suffix(old, main)+" ") + said(old, or)
	} else {
		out = p.t.Strong.Render(name) + "  " + said(main, r)
	}
	for i, v := range []*float64{main.Warn, main.Crit} {
		if v != nil {
			out += p.t.Past.Render("  ") + []theme.Style{p.t.Warn, p.t.Bad}[i].Render([]string{"warn", "crit"}[i]) +
				p.t.Past.Render(" "+theme.Safe(state.Quantity(*v, main.Unit)))
		}
	}
	return out + p.t.Past.Render("   last "+theme.Span(p.Span()))
}

// marks are the stages of the rollouts, and rollbacks.
func (p *Pane) marks(b *board) []chart.Mark {
	var out []chart.Mark
	put := func(at time.Time, label string, st theme.Style) {
		if !at.IsZero() {
			out = append(out, chart.Mark{At: at, Label: theme.Cut(theme.Safe(label), 10), Style: st})
		}
	}
	for i := range b.s.Incident.Rollouts {
		r := &b.s.Incident.Rollouts[i]
		if !r.Production {
			continue
		}
		weight := 0
		for j := range r.Stages {
			label := r.Stages[j].Name
			if w := r.Stages[j].Weight; w > 0 {
				if w == weight {
					continue // another stage at the same weight: 100 % and then stable too
				}
				weight, label = w, state.Quantity(float64(w), "%")
			}
			put(r.Stages[j].Started, label, p.t.Running)
		}
	}
	put(b.s.Incident.Rollback.Started, "rollback", p.t.Bad)
	return out
}
