package metrics

import (
	"fmt"
	"strings"
	"time"

	"mayday/state"
	"mayday/ui/chart"
	"mayday/ui/theme"
)

// detail draws the selected probe in h lines of w cells: a line of words, then its
// chart, with its partner's line and the stages of the rollouts. A log's is the tail
// of its lines.
func (p *Pane) detail(b *board, w, h int) []string {
	i, ok := b.index[p.Selected()]
	if !ok || h < 1 {
		return nil
	}
	x, r := &b.probes[i], b.read[i]
	if logged(x) {
		return p.tail(b, i, w, h)
	}
	if !counted(x) {
		k := chart.Spark{Window: p.window(b).Still(w), Hold: x.StaleAt.D()}
		out := append(p.caption(b, i, -1, w), k.Dots(p.samples(b.s.Series[x.Name]), w, p.t), p.t.Past.Render(theme.Cut(theme.Safe(x.Query), w)))
		if text := theme.Safe(r.Text); text != "" {
			out = append(out, p.t.Past.Render(theme.Cut(text, w)))
		}
		if h-len(out)-1 < leastChart {
			return out
		}
		return append(append(out, ""), p.chart(b, i, -1, w, h-len(out)-1)...)
	}
	main, old := b.pair(i)
	out := p.caption(b, main, old, w)
	out = append(out, p.reason(r, w, h-len(out))...)
	if table := p.versions(b, main, old, w); len(table) > 0 && h-len(out)-len(table) >= roomy {
		out = append(out, table...)
	}
	return append(out, p.chart(b, main, old, w, h-len(out))...)
}

// Lines of a chart: the fewest, and those that it keeps beside a table of versions.
const leastChart, roomy = 4, 10

// chart draws one probe's line, or one for each label that it keeps apart, over its
// partner's.
func (p *Pane) chart(b *board, main, old, w, h int) []string {
	x := &b.probes[main]
	l := chart.Line{Window: p.window(b), Axis: p.t.Border, Text: p.t.Past,
		Label: func(v float64) string { return theme.Safe(state.Quantity(v, x.Unit)) }}
	key := lineKey{unit: x.Unit, main: p.version(b, main)}
	if old >= 0 {
		key.old = p.version(b, old)
	}
	var set []chart.Samples
	for _, s := range p.strands(b, main, old) {
		l.Series, set = append(l.Series, s.Series), append(set, s.Samples)
		key.strands += s.Style.Render(s.label+" ") + s.Hold.String()
	}
	_, top := chart.Range(l.Window, nil, set...)
	l.Limits = p.limits(b, main, old, top)
	var values []float64
	for _, limit := range l.Limits {
		if limit.Course != nil {
			set = append(set, limit.Course)
		} else {
			values = append(values, limit.Value)
		}
		key.limits += fmt.Sprint(limit.Label, limit.Value, limit.Hold, " ")
	}
	l.Lo, l.Hi = chart.Range(l.Window, values, set...)
	if x.Unit == "ratio" && l.Hi > 1 && top <= 1.2 {
		l.Hi = 1 // there is no login success of 120 %
	}
	l.Marks = p.marks(b)
	return p.draw(l, key, w, h)
}

// caption says what the chart shows: "error rate  new 0.42 %  old 8.1 %  last 15 min  warn 1 %",
// and where that is longer than w what it is measured against in a line of its own.
func (p *Pane) caption(b *board, i, old, w int) []string {
	main, r := &b.probes[i], b.read[i]
	name := theme.Safe(main.Name)
	said := func(q *state.Probe, r reading) string { return p.line(q, r).Render(value(q, r)) }
	var out string
	if old >= 0 {
		o := &b.probes[old]
		short := suffix(main, o)
		if short == name {
			short = "new"
		} else {
			name = strings.TrimSpace(strings.TrimSuffix(name, short))
		}
		out = p.t.Strong.Render(name) + p.t.Past.Render("  "+short+" ") + said(main, r) +
			p.t.Past.Render("  "+suffix(o, main)+" ") + said(o, b.read[old])
	} else {
		out = p.t.Strong.Render(name) + "  " + said(main, r)
	}
	if p.full { // else it stands in the table
		out += "  " + strings.TrimRight(p.verdict(b, r), " ")
	}
	out += p.t.Past.Render("  last " + theme.Span(p.Span()))
	against := p.thresholds(b, i)
	if theme.Width(out)+theme.Width(against) > w && main.IsRelative() {
		return []string{out, against}
	}
	return []string{out + against}
}

// reason says in full why a probe says nothing; the table has no room for it.
func (p *Pane) reason(r reading, w, h int) []string {
	if !r.has || r.Verdict.Known() || r.idle != "" || r.Text == "" || h <= leastChart {
		return nil
	}
	var out []string
	for _, l := range theme.Wrap(theme.Safe(r.Text), w) {
		if len(out) < 3 && h-len(out) > leastChart {
			out = append(out, p.t.Unknown.Render(l))
		}
	}
	return out
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
