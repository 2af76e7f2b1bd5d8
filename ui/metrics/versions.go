package metrics

import (
	"math"
	"slices"
	"strconv"

	"mayday/state"
	"mayday/ui/theme"
)

// course is what a series came to in the time shown.
type course struct {
	median, worst float64
	n             int // known readings
}

// course looks at one probe's readings, those of one label where that is not empty.
func (p *Pane) course(b *board, i int, label string) course {
	x := &b.probes[i]
	var values []float64
	s := p.labelled(b.s.Series[x.Name], label)
	start := b.now.Add(-p.Span())
	for j := s.Len() - 1; j >= 0; j-- {
		y := s.At(j)
		if y.At.Before(start) {
			break
		}
		if y.Verdict.Known() && !math.IsNaN(y.Value) {
			values = append(values, y.Value)
		}
	}
	if len(values) == 0 {
		return course{}
	}
	slices.Sort(values)
	c := course{median: values[len(values)/2], worst: values[len(values)-1], n: len(values)}
	if x.Below {
		c.worst = values[0]
	}
	return c
}

// part gives a sample, that of one label where that is not empty.
func part(s state.Sample, label string) state.Sample {
	if label == "" {
		return s
	}
	return s.Of(label)
}

// versions is a table with a row a version, of a pair of probes or of the labels that
// one probe keeps apart: now, before the rollout, and what the readings in the time
// shown came to. nil where a probe stands alone.
func (p *Pane) versions(b *board, main, old, w int) []string {
	parts := b.read[main].Parts
	if old < 0 && len(parts) == 0 || w < 76 {
		return nil
	}
	widths := []int{16, 10, 10, 10, 10, 8}
	head := []string{"version", "now", "median", "worst", "before", "read"}
	if old < 0 {
		head[0] = theme.Safe(b.probes[main].By)
	}
	line := func(cells []string, st []theme.Style) string {
		out := ""
		for i, c := range cells {
			out += st[i].Render(theme.Fit(theme.Cut(c, widths[i]-1), widths[i]))
		}
		return out
	}
	past := slices.Repeat([]theme.Style{p.t.Past}, len(head))
	out := []string{line(head, slices.Repeat([]theme.Style{p.t.Faint}, len(head)))}
	row := func(i int, name, label string) {
		x, r := &b.probes[i], b.read[i]
		if label != "" {
			r.Sample = part(r.Sample, label)
			r.word, r.idle = string(r.Verdict), ""
		}
		c := p.course(b, i, label)
		says := func(v float64) string { return theme.Safe(state.Quantity(v, x.Unit)) }
		cells := []string{name, value(x, r), theme.Dash, theme.Dash, theme.Dash, strconv.Itoa(c.n)}
		if c.n > 0 {
			cells[2], cells[3] = says(c.median), says(c.worst)
		}
		if p.zoom > longest {
			cells[5] = theme.Dash // of what is remembered, not of readings
		}
		if was, ok := b.s.Incident.Before[x.Name]; ok && part(was, label).Verdict.Known() {
			cells[4] = says(part(was, label).Value)
		}
		st := slices.Clone(past)
		st[0], st[1] = p.t.Text, p.line(x, r)
		out = append(out, theme.Row(line(cells, st), p.verdict(b, r), w))
	}
	if old >= 0 {
		row(main, p.serves(b, &b.probes[main]), "")
		row(old, p.serves(b, &b.probes[old]), "")
		return append(out, "")
	}
	for _, x := range parts {
		row(main, theme.Safe(x.Label), x.Label)
	}
	return append(out, "")
}

// serves names the version that a probe of a pair looks at: "new v1.2.4".
func (p *Pane) serves(b *board, x *state.Probe) string {
	word, r := string(x.Role), b.s.Incident.Production()
	switch {
	case x.Role == state.RoleNew && r != nil:
		word += " " + r.Version
	case x.Role == state.RoleOld && r != nil:
		word += " " + r.Target
	case x.Role != state.RoleNew && x.Role != state.RoleOld:
		word = x.Name
	}
	return theme.Safe(word)
}
