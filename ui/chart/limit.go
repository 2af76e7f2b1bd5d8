package chart

import (
	"math"

	"mayday/ui/theme"
)

// limits draws thresholds behind the data, later ones over earlier ones.
func (p *plot) limits(limits []Limit) {
	for _, l := range limits {
		dash := l.Dash
		if dash == "" {
			dash = theme.Threshold
		}
		for x, y := range p.height(l) {
			if y >= 0 {
				p.behind(x, y, dash, l.Style)
			}
		}
	}
}

// height gives the row of a threshold in each column of cells; -1 where it is out of
// sight or not known.
func (p *plot) height(l Limit) []int {
	rows := make([]int, p.w)
	next, last := 0, math.NaN()
	var until int // the last column of dots that the last value stands for
	if l.Course != nil {
		next = p.axis.from(l.Course)
	}
	for x := range rows {
		v := l.Value
		if l.Course != nil {
			for ; next < l.Course.Len(); next++ {
				y := l.Course.At(next)
				if p.axis.col(y.At) > 2*x+1 {
					break
				}
				if known(y) {
					last, until = y.Value, p.axis.col(y.At.Add(l.Hold))
				}
			}
			if v = last; until < 2*x {
				v = math.NaN()
			}
		}
		if rows[x] = -1; v >= p.lo && v <= p.hi { // not NaN
			rows[x] = p.y(v) / 4
		}
	}
	return rows
}

// labels names the thresholds in their lines, from the left where there is room.
func (p *plot) labels(limits []Limit) {
	for _, l := range limits {
		text := []rune(l.Label)
		rows := p.height(l)
		for x := 1; x+len(text) < p.w && len(text) > 0 && theme.Width(l.Label) == len(text); x++ {
			if y := rows[x+len(text)/2]; y >= 0 && p.free(x-1, y, len(text)+2) {
				for i, r := range text {
					c := y*p.w + x + i
					p.cells[c], p.style[c], p.spoken[c] = string(r), l.Style, true
				}
				break
			}
		}
	}
}

// free reports whether n cells hold neither data nor a label.
func (p *plot) free(x, y, n int) bool {
	for i := y*p.w + x; i < y*p.w+min(x+n, p.w); i++ {
		if p.dots[i] != 0 || p.spoken[i] {
			return false
		}
	}
	return true
}
