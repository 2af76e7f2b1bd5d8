package metrics

import (
	"mayday/state"
	"mayday/ui/chart"
	"mayday/ui/theme"
)

// columns are the widths of a table; a width of 0 leaves the column out.
type columns struct{ name, value, spark, notes, verdict int }

// columns shares the width: verdict and value always, then the name, then the
// sparkline, then notes.
func (p *Pane) columns(b *board, rows []int, w int) columns {
	var c columns
	c.name = b.width
	if len(p.pinned) > 0 {
		c.name += 2
	}
	for i := p.top; i < min(p.top+p.page, len(rows)); i++ {
		c.value = max(c.value, theme.Width(value(&b.probes[rows[i]], b.read[rows[i]])))
		c.verdict = max(c.verdict, theme.Width(b.read[rows[i]].label())+4)
	}
	c.value = min(max(c.value, 6), 12)
	c.verdict = max(c.verdict, 8)
	c.name = min(c.name, max(w/4, 14))
	left := w - c.name - 2 - c.value - 2 - c.verdict
	if left < 0 {
		c.name = max(c.name+left, 4)
	}
	if left >= 12 {
		c.spark = min(max(left/2, 10), max(24, w/3))
		left -= c.spark + 2
	}
	if left >= 10 {
		c.notes = left - 2
	}
	return c
}

func (p *Pane) name(x *state.Probe) string {
	if p.pinned[x.Name] {
		return "* " + theme.Safe(x.Name)
	}
	return theme.Safe(x.Name)
}

// row draws one probe.
func (p *Pane) row(b *board, i int, c columns, w int) string {
	x, r := &b.probes[i], b.read[i]
	name, val := p.t.Text.Render(theme.Fit(p.name(x), c.name)), p.t.Strong.Render(theme.Fit(value(x, r), c.value))
	line := name + "  " + val + "  "
	if c.spark > 0 {
		line += p.spark(b, i, c.spark) + "  "
	}
	verdict := p.verdict(b, r)
	room := w - theme.Width(line)
	if c.notes > 0 {
		note := join(b.notes(i), room-theme.Width(verdict)-2)
		verdict = p.t.Past.Render(note) + "  " + verdict
	}
	return line + theme.FitLeft(verdict, room)
}

// join takes as many notes as fit into w; the first one is cut if it must be.
func join(notes []string, w int) string {
	if len(notes) == 0 {
		return ""
	}
	out := theme.Cut(notes[0], w)
	for _, n := range notes[1:] {
		if theme.Width(out)+2+theme.Width(n) > w {
			break
		}
		out += "  " + n
	}
	return out
}

// label is the word for the verdict.
func (r reading) label() string {
	if !r.has {
		return "waiting"
	}
	return r.word
}

func (p *Pane) verdict(b *board, r reading) string {
	if !r.has {
		return p.t.Faint.Render("waiting    ")
	}
	return p.tint(r).Render(r.label()) + p.t.Past.Render(" "+theme.Fit(theme.Age(b.age(r)), 3))
}

func (p *Pane) tint(r reading) theme.Style {
	switch {
	case r.word == redBefore || r.word == amberBefore:
		return p.t.WarnStrong
	case r.idle != "":
		return p.t.Past
	}
	_, st := p.t.Verdict(r.Verdict)
	return st
}

func (p *Pane) window(b *board) chart.Window { return chart.Window{End: b.now, Span: p.Span()} }

// line is the style of a probe's line, in the table and in the chart.
func (p *Pane) line(x *state.Probe, r reading) theme.Style {
	switch {
	case !r.has || !r.Verdict.Known():
		return p.t.Faint
	case r.Verdict == state.Crit:
		return p.t.Bad
	case r.Verdict == state.Warn:
		return p.t.Warn
	case x.Role == state.RoleNew:
		return p.t.Good
	}
	return p.t.Running
}
