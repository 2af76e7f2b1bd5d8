package metrics

import (
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/ui/chart"
	"mayday/ui/theme"
)

// strand is one line of a chart.
type strand struct {
	chart.Series
	label string // of a part; empty: the probe's own
}

// labelled is the course of one label of a probe that keeps them apart.
type labelled struct {
	*state.Series
	label string
}

// At implements chart.Samples.
func (l labelled) At(i int) state.Sample { return l.Series.At(i).Of(l.label) }

// labelled gives the course of a label as far back as the time shown reaches; without a
// label it is the series' own.
func (p *Pane) labelled(s *state.Series, label string) chart.Samples {
	switch {
	case label == "":
		return p.samples(s)
	case p.zoom > longest:
		return s.Long().Of(label)
	}
	return labelled{s, label}
}

// follower is the course of a threshold that follows a series.
type follower struct {
	chart.Samples
	to state.Relative
}

// At implements chart.Samples.
func (f follower) At(i int) state.Sample {
	x := f.Samples.At(i)
	x.Value = f.to.Limit(x.Value)
	return x
}

// strands are the lines of a probe's chart, what matters most last: it is drawn over
// the others.
func (p *Pane) strands(b *board, main, old int) []strand {
	own := func(i int) strand {
		v := p.version(b, i)
		return strand{Series: chart.Series{Samples: p.samples(v.series), Style: v.style, Hold: p.joined(&b.probes[i])}}
	}
	if old >= 0 {
		return []strand{own(old), own(main)}
	}
	x, parts := b.probes[main], p.parts(b, main)
	if len(parts) == 0 {
		return []strand{own(main)}
	}
	weight := func(s state.Part) int {
		return slices.Index([]string{"", x.Old, x.New}, s.Label) // others -1
	}
	slices.SortStableFunc(parts, func(s, t state.Part) int {
		if d := weight(s) - weight(t); d != 0 || s.Value == t.Value {
			return d
		} else if x.Worse(s.Value, t.Value) {
			return 1
		}
		return -1
	})
	var out []strand
	for _, part := range parts {
		q := x
		if part.Label == x.Old {
			q.Role = state.RoleOld
		}
		out = append(out, strand{label: part.Label, Series: chart.Series{Samples: p.labelled(b.s.Series[x.Name], part.Label), Hold: p.joined(&x),
			Style: p.line(&q, reading{has: true, Sample: state.Sample{Verdict: part.Verdict}})}})
	}
	return out
}

// joined is the longest gap in a line.
func (p *Pane) joined(x *state.Probe) time.Duration {
	d := max(x.StaleAt.D(), 4*x.Every.D())
	if p.zoom > longest {
		d = max(d, 2*state.CourseSlot)
	}
	return d
}

// samples gives a series as far back as the time shown reaches.
func (p *Pane) samples(s *state.Series) chart.Samples {
	if p.zoom > longest {
		return s.Long()
	}
	return s
}

// Lacks names the probes of the chart that the time shown reaches back beyond, as far as
// this screen has seen them; none where it was there all the time.
func (p *Pane) Lacks(s *state.Scene, now time.Time) []string {
	if p.zoom <= longest || p.last == nil || p.last.s != s {
		return nil
	}
	start := now.Add(-p.Span())
	if began := s.Incident.Declared; start.Before(began) {
		start = began
	}
	i, ok := p.last.index[p.Selected()]
	if !ok {
		return nil
	}
	main, old := p.last.pair(i)
	var out []string
	for _, i := range []int{main, old} {
		if i < 0 {
			continue
		}
		l := s.Series[p.last.probes[i].Name].Long()
		if l.Len() > 0 && l.At(0).At.After(start.Add(2*state.CourseSlot)) {
			out = append(out, p.last.probes[i].Name)
		}
	}
	return out
}

// parts are the labels that a probe kept apart in the time shown, with their last values;
// those that are gone say no more how they are.
func (p *Pane) parts(b *board, i int) []state.Part {
	x := &b.probes[i]
	if x.By == "" {
		return nil
	}
	s := b.s.Series[x.Name]
	now := []state.Part{}
	for j := s.Len() - 1; j >= 0; j-- {
		if now = s.At(j).Parts; len(now) > 0 {
			break
		}
	}
	out := s.Labels(b.now.Add(-p.Span()))
	for j := range out {
		if k := slices.IndexFunc(now, func(y state.Part) bool { return y.Label == out[j].Label }); k >= 0 {
			out[j] = now[k]
		} else {
			out[j].Verdict = state.NoData
		}
	}
	return out
}

// against gives a probe with its thresholds as they are now, and the baseline that they
// follow; where there is none, thresholds that need it stay what they are, and ok is
// false. Of several labels' it is the worst one's.
func (b *board) against(i int) (x state.Probe, base state.Baseline, ok bool) {
	x, r := b.probes[i], b.read[i]
	if !x.IsRelative() {
		return x, base, false
	}
	label := ""
	if x.By != "" && x.New == "" {
		for _, part := range r.Parts {
			if label == "" || part.Value == r.Value {
				label = part.Label
			}
		}
	}
	base, ok = x.Baseline(r.Sample, label, b.s.Incident.Before, func(name string) (state.Sample, bool) {
		_, o, ok := b.named(name)
		return o.Sample, ok && o.has
	})
	if ok {
		x = x.Against(base.Value)
	}
	return x, base, ok
}

// followed is the series that a probe's baseline is read from now; nil where that is not
// a series but what was measured before the rollout.
func (p *Pane) followed(b *board, main, old int) chart.Samples {
	x := &b.probes[main]
	if old >= 0 && x.Compare == b.probes[old].Name {
		if r := b.read[old]; r.has && r.Verdict.Known() {
			return p.samples(b.s.Series[x.Compare])
		}
		return nil
	}
	if part, ok := b.read[main].Part(x.Old); ok && x.New != "" && part.Verdict.Known() {
		return p.labelled(b.s.Series[x.Name], x.Old)
	}
	return nil
}

// limits gives the thresholds that lie near enough to the data to be drawn: one
// far above would press the data flat.
func (p *Pane) limits(b *board, main, old int, hi float64) []chart.Limit {
	x, _, _ := b.against(main)
	var out []chart.Limit
	for i, v := range []*float64{x.Warn, x.Crit} {
		if v == nil || *v > 3*hi {
			continue
		}
		l := chart.Limit{Value: *v, Label: grades[i] + " " + theme.Safe(state.Quantity(*v, x.Unit)), Dash: []string{theme.Threshold, theme.Heavy}[i],
			Style: []theme.Style{p.t.Warn, p.t.Bad}[i]}
		if to := []*state.Relative{b.probes[main].WarnTo, b.probes[main].CritTo}[i]; to != nil {
			if s := p.followed(b, main, old); s != nil {
				l.Course, l.Hold = follower{s, *to}, p.joined(&x)
			}
		}
		out = append(out, l)
	}
	return out
}

// grades name the two thresholds.
var grades = [2]string{"warn", "crit"}

// thresholds says what a probe is measured against: "warn 1 %  crit 4.3 % = 1.5 x
// baseline  baseline 2.9 % (v1.2.3 now)".
func (p *Pane) thresholds(b *board, i int) string {
	was := &b.probes[i]
	x, base, ok := b.against(i)
	var out strings.Builder
	for j, v := range []*float64{x.Warn, x.Crit} {
		to := []*state.Relative{was.WarnTo, was.CritTo}[j]
		if v == nil && to == nil {
			continue
		}
		out.WriteString(p.t.Past.Render("  ") + []theme.Style{p.t.Warn, p.t.Bad}[j].Render(grades[j]))
		text := ""
		if v != nil {
			text = " " + theme.Safe(state.Quantity(*v, x.Unit))
		}
		if to != nil && v != nil {
			text += " ="
		}
		if to != nil {
			text += " " + to.Text()
		}
		out.WriteString(p.t.Past.Render(text))
	}
	switch {
	case ok:
		out.WriteString(p.t.Past.Render("  baseline " + theme.Safe(state.Quantity(base.Value, x.Unit)+" ("+base.Of+")")))
	case was.IsRelative():
		out.WriteString(p.t.Unknown.Render("  no baseline yet"))
	}
	return out.String()
}
