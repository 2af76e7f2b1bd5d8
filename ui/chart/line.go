package chart

import (
	"math"
	"slices"
	"time"

	"mayday/ui/theme"
)

// Line is a line chart in braille: two columns and four rows of dots a cell.
type Line struct {
	Window
	Series []Series // later ones are drawn over earlier ones
	Limits []Limit
	Marks  []Mark
	// Lo and Hi are the scale (see Range); it is rounded to a readable step.
	Lo, Hi float64
	// Label writes a value of the vertical axis.
	Label func(float64) string
	// Axis and Text style the axis with its marks, and the labels beside it.
	Axis, Text theme.Style
}

// Series is one line of a chart.
type Series struct {
	Samples Samples
	Style   theme.Style
	// Hold is the longest gap between two readings that is still joined.
	Hold time.Duration
}

// Limit is a threshold, drawn as a dashed line behind the data.
type Limit struct {
	Value float64
	// Course is of a threshold that moves: what it was from each reading's time on, for at
	// most Hold. nil: it is Value always.
	Course Samples
	Hold   time.Duration
	Label  string // stands in the line, where it does not hide data
	Dash   string // one cell; empty: theme.Threshold
	Style  theme.Style
}

// Mark is a moment, drawn as a vertical line with its label below.
type Mark struct {
	At    time.Time
	Label string
	Style theme.Style
}

// leaps is in how many moves a reading crosses the chart.
const leaps = 16

// least is the smallest plot that says something.
const leastW, leastH = 8, 3

// Layout is how a chart lies in its cells. Comparable: while it and the chart's series,
// limits and marks stay, so does the picture.
type Layout struct {
	w, h, rows, plot int // cells; no plot: there is no room
	label            int // width of the labels at the left
	lo, hi           float64
	axis             axis
}

// Layout lays the chart out in w×h cells.
func (l Line) Layout(w, h int) Layout {
	y := Layout{w: w, h: h, rows: h, label: 5}
	y.lo, y.hi = nice(l.Lo, l.Hi)
	for _, v := range []float64{y.hi, (y.lo + y.hi) / 2, y.lo} {
		y.label = max(y.label, theme.Width(l.label(v)))
	}
	if h > leastH {
		y.rows-- // for the time axis
	}
	if y.plot = w - y.label - 4; y.plot < leastW || y.rows < leastH { // " ┤" and two cells of air at the right
		y.plot = 0
		return y
	}
	y.axis = l.axis(y.plot*2, 2*max(y.plot/leaps, 1))
	return y
}

// Draw gives exactly h lines of w cells. The last one is the time axis, with the
// marks' labels, where h allows. Where there is no room for a plot the lines are blank.
func (l Line) Draw(w, h int) []string {
	if w <= 0 || h <= 0 {
		return nil
	}
	lay := l.Layout(w, h)
	if lay.plot == 0 {
		return blanks(w, h)
	}
	rows, lw := lay.rows, lay.label
	labels := []string{l.label(lay.hi), l.label((lay.lo + lay.hi) / 2), l.label(lay.lo)}
	p := newPlot(lay.plot, rows, lay.axis, lay.lo, lay.hi)
	for _, s := range l.Series {
		p.series(s)
	}
	p.limits(l.Limits)
	p.marks(l.Marks, l.Axis)
	p.labels(l.Limits)
	out := make([]string, 0, h)
	for y := range rows {
		label := ""
		switch {
		case y == 0:
			label = labels[0]
		case y == rows-1:
			label = labels[2]
		case rows%2 == 1 && y == rows/2:
			label = labels[1]
		}
		out = append(out, l.Text.Render(theme.FitLeft(label, lw))+l.Axis.Render(" ┤")+p.row(y)+"  ")
	}
	if rows < h {
		out = append(out, theme.Blank(lw+2)+signs(append(p.times(l.Text), l.Marks...), p, w-lw-2))
	}
	return out
}

func (l Line) label(v float64) string {
	if l.Label == nil {
		return ""
	}
	return l.Label(v)
}

func blanks(w, h int) []string {
	out := make([]string, h)
	for i := range out {
		out[i] = theme.Blank(w)
	}
	return out
}

// nice widens bounds to multiples of 1, 2, 2.5 or 5 times a power of ten, so that
// the labels at the top, the middle and the bottom are short.
func nice(lo, hi float64) (float64, float64) {
	span := hi - lo
	if !(span > 0) || math.IsInf(span, 0) {
		return 0, 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(span)))
	for _, m := range []float64{0.5, 1, 2, 2.5, 5, 10} {
		step := unit * m
		bottom := math.Floor(lo/step+1e-9) * step
		top := bottom + 2*step
		if top >= hi-span*1e-9 {
			return bottom, top
		}
	}
	return lo, hi
}

// plot is a grid of cells with eight dots each.
type plot struct {
	w, h   int
	axis   axis
	lo, hi float64
	dots   []uint8
	cells  []string // what stands behind the dots
	style  []theme.Style
	spoken []bool // a label stands there
}

func newPlot(w, h int, a axis, lo, hi float64) *plot {
	return &plot{w: w, h: h, axis: a, lo: lo, hi: hi,
		dots: make([]uint8, w*h), cells: make([]string, w*h), style: make([]theme.Style, w*h), spoken: make([]bool, w*h)}
}

// bits of a braille cell, by row of dots and column of dots.
var bits = [4][2]uint8{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}

func (p *plot) dot(x, y int, st theme.Style) {
	if x < 0 || y < 0 || x >= p.w*2 || y >= p.h*4 {
		return
	}
	i := y/4*p.w + x/2
	p.dots[i] |= bits[y%4][x%2]
	p.style[i] = st
}

// y gives the row of dots of a value, kept inside the plot.
func (p *plot) y(v float64) int {
	f := (p.hi - v) / (p.hi - p.lo) * float64(p.h*4-1)
	return int(math.Round(max(min(f, float64(p.h*4-1)), 0)))
}

// series joins the known readings; a gap longer than Hold stays open.
func (p *plot) series(s Series) {
	if s.Samples == nil {
		return
	}
	var lastX, lastY int
	var lastT time.Time
	joined := false
	for i := p.axis.from(s.Samples); i < s.Samples.Len(); i++ {
		x := s.Samples.At(i)
		if !known(x) {
			joined = false
			continue
		}
		cx, cy := p.axis.col(x.At), p.y(x.Value)
		if joined && x.At.Sub(lastT) <= s.Hold {
			p.segment(lastX, lastY, cx, cy, s.Style)
		} else {
			p.dot(cx, cy, s.Style)
		}
		lastX, lastY, lastT, joined = cx, cy, x.At, true
	}
}

// segment joins two dots: one dot a column, and what is between two rows.
func (p *plot) segment(x0, y0, x1, y1 int, st theme.Style) {
	n := max(abs(x1-x0), abs(y1-y0), 1)
	for i := 0; i <= n; i++ {
		p.dot(x0+(x1-x0)*i/n, y0+(y1-y0)*i/n, st)
	}
}

func abs(n int) int { return max(n, -n) }

func (p *plot) marks(marks []Mark, st theme.Style) {
	for _, m := range marks {
		c := p.axis.col(m.At)
		if c < 0 || c >= p.w*2 {
			continue
		}
		for y := range p.h {
			p.behind(c/2, y, theme.Mark, st)
		}
	}
}

// behind puts a sign where there are no dots.
func (p *plot) behind(x, y int, cell string, st theme.Style) {
	if i := y*p.w + x; p.dots[i] == 0 {
		p.cells[i], p.style[i] = cell, st
	}
}

func (p *plot) row(y int) string {
	var r runs
	for x := range p.w {
		i := y*p.w + x
		switch {
		case p.dots[i] != 0:
			r.put(string(rune(0x2800+int(p.dots[i]))), p.style[i])
		case p.cells[i] != "":
			r.put(p.cells[i], p.style[i])
		default:
			r.put(" ", theme.Style{})
		}
	}
	return r.String()
}

// times are the round times of the axis, in UTC as the timeline's, at least so many
// cells apart.
func (p *plot) times(st theme.Style) []Mark {
	const apart = 14
	var step time.Duration
	for _, step = range []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute,
		15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour} {
		if int64(step) >= apart*2*p.axis.step {
			break
		}
	}
	form := "15:04"
	if step < time.Minute {
		form = "15:04:05"
	}
	var out []Mark
	end := time.Unix(0, p.axis.start+p.axis.step*int64(p.axis.cols)).UTC()
	at := time.Unix(0, p.axis.start).UTC().Truncate(step)
	for range p.w { // far fewer, unless the axis is longer than a chart's should be
		if at = at.Add(step); at.After(end) {
			break
		}
		out = append(out, Mark{At: at, Label: at.Format(form), Style: st})
	}
	return out
}

// signs writes the labels below their marks, the last ones first where they would
// overlap.
func signs(marks []Mark, p *plot, w int) string {
	type spot struct{ at, end, i int }
	var spots []spot
	taken := make([]bool, w+1)
	for i := len(marks) - 1; i >= 0; i-- {
		c := p.axis.col(marks[i].At)
		n := theme.Width(marks[i].Label)
		if c < 0 || c >= p.w*2 || n == 0 || n > w {
			continue
		}
		at, ok := room(taken, min(max(c/2-(n-1)/2, 0), w-n), n)
		if !ok {
			continue
		}
		for x := at; x < at+n; x++ {
			taken[x] = true
		}
		spots = append(spots, spot{at, at + n, i})
	}
	out, x := "", 0
	for {
		next := -1
		for j, s := range spots {
			if s.at >= x && (next < 0 || s.at < spots[next].at) {
				next = j
			}
		}
		if next < 0 {
			return out + theme.Blank(w-x)
		}
		s := spots[next]
		out += theme.Blank(s.at-x) + marks[s.i].Style.Render(marks[s.i].Label)
		x = s.end
	}
}

// room finds n free cells, and one of air behind them, for a label that belongs at a
// cell, or up to its own length left of there.
func room(taken []bool, at, n int) (int, bool) {
	for from := at; from >= max(at-n, 0); from-- {
		if !slices.Contains(taken[from:from+n+1], true) {
			return from, true
		}
	}
	return 0, false
}
