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

func (p *Pane) course(b *board, i int) course {
	x := &b.probes[i]
	var values []float64
	s := b.s.Series[x.Name]
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

// versions is the table of a pair, a row a version: now, before the rollout, and what
// the readings in the time shown came to. nil where a probe stands alone.
func (p *Pane) versions(b *board, main, old, w int) []string {
	if old < 0 || w < 76 {
		return nil
	}
	widths := []int{16, 10, 10, 10, 10, 8}
	head := []string{"version", "now", "median", "worst", "before", "read"}
	line := func(cells []string, st []theme.Style) string {
		out := ""
		for i, c := range cells {
			out += st[i].Render(theme.Fit(theme.Cut(c, widths[i]-1), widths[i]))
		}
		return out
	}
	past := slices.Repeat([]theme.Style{p.t.Past}, len(head))
	out := []string{line(head, slices.Repeat([]theme.Style{p.t.Faint}, len(head)))}
	for _, i := range []int{main, old} {
		x, r := &b.probes[i], b.read[i]
		c := p.course(b, i)
		says := func(v float64) string { return theme.Safe(state.Quantity(v, x.Unit)) }
		cells := []string{p.serves(b, x), value(x, r), theme.Dash, theme.Dash, theme.Dash, strconv.Itoa(c.n)}
		if c.n > 0 {
			cells[2], cells[3] = says(c.median), says(c.worst)
		}
		if was, ok := b.s.Incident.Before[x.Name]; ok && was.Verdict.Known() {
			cells[4] = says(was.Value)
		}
		st := slices.Clone(past)
		st[0], st[1] = p.t.Text, p.line(x, r)
		out = append(out, theme.Row(line(cells, st), p.verdict(b, r), w))
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
