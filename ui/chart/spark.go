package chart

import (
	"math"
	"strings"
	"time"

	"mayday/state"
	"mayday/ui/theme"
)

// levels leave the full block out: it would touch the row above.
var levels = [...]string{"▁", "▂", "▃", "▄", "▅", "▆", "▇"}

// Spark is a sparkline: one block of seven heights per column.
type Spark struct {
	Window
	Lo, Hi float64 // the scale, as from Range
	// Below says that low values are the bad ones: a column shows its worst value.
	Below bool
	// Hold is how long a reading stands for what follows it: the probe's stale
	// time. A column without a reading and after Hold is blank.
	Hold time.Duration
}

// Draw gives exactly w cells. Unknown readings are dots, no readings are blank.
func (k Spark) Draw(s Samples, w int) string {
	if w <= 0 {
		return ""
	}
	var b strings.Builder
	b.Grow(w * 3)
	for _, c := range k.columns(s, w) {
		switch {
		case !c.has:
			b.WriteByte(' ')
		case !c.known:
			b.WriteString(theme.Bullet)
		default:
			b.WriteString(levels[k.level(c.value)])
		}
	}
	return b.String()
}

func (k Spark) level(v float64) int {
	f := (v - k.Lo) / (k.Hi - k.Lo) * float64(len(levels))
	if math.IsNaN(f) {
		return 0
	}
	return int(max(min(f, float64(len(levels)-1)), 0))
}

// Dots draws verdicts instead of values, for health probes: one sign a column, the
// worst of its readings. Each verdict has a sign of its own beside its colour.
func (k Spark) Dots(s Samples, w int, t *theme.Theme) string {
	if w <= 0 {
		return ""
	}
	var r runs
	for _, c := range k.columns(s, w) {
		switch {
		case !c.has:
			r.put(" ", theme.Style{})
		case c.verdict == state.OK:
			r.put(theme.Dot, t.Good)
		case c.verdict == state.Warn:
			r.put(theme.Bang, t.Warn)
		case c.verdict == state.Crit:
			r.put(theme.Cross, t.Bad)
		default:
			r.put(theme.Bullet, t.Unknown)
		}
	}
	return r.String()
}

// column is what the readings of one column come to.
type column struct {
	has, known bool
	value      float64
	verdict    state.Verdict
	until      int // the last column it may stand for
}

func (k Spark) columns(s Samples, w int) []column {
	out := make([]column, w)
	if s == nil || s.Len() == 0 {
		return out
	}
	a := k.axis(w, 1)
	var before column // the last reading left of the window
	for i := a.from(s); i < s.Len(); i++ {
		x := s.At(i)
		c := a.col(x.At)
		if c >= w {
			break
		}
		until := a.col(x.At.Add(k.Hold))
		if c < 0 {
			before = column{has: true, known: known(x), value: x.Value, verdict: x.Verdict, until: until}
			continue
		}
		out[c].merge(x, until, k.Below)
	}
	last := before
	for i := range out {
		switch {
		case out[i].has:
			last = out[i]
		case last.has && i <= last.until:
			out[i] = last
		}
	}
	return out
}

// merge adds a reading to its column: the worst value shows.
func (c *column) merge(x state.Sample, until int, below bool) {
	ok := known(x)
	if !c.has || x.Verdict.Worse() > c.verdict.Worse() {
		c.verdict = x.Verdict
	}
	switch {
	case ok && !c.known, ok && below && x.Value < c.value, ok && !below && x.Value > c.value:
		c.value = x.Value
	}
	c.has, c.known, c.until = true, c.known || ok, until
}

// runs builds a line of cells, one escape sequence per run of the same style.
type runs struct {
	b    strings.Builder
	cur  strings.Builder
	last theme.Style
}

func (r *runs) put(cell string, st theme.Style) {
	if st != r.last {
		r.flush()
		r.last = st
	}
	r.cur.WriteString(cell)
}

func (r *runs) flush() {
	if r.cur.Len() > 0 {
		r.b.WriteString(r.last.Render(r.cur.String()))
		r.cur.Reset()
	}
}

func (r *runs) String() string {
	r.flush()
	return r.b.String()
}
