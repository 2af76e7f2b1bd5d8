// Package chart draws samples in text: sparklines, rows of dots and braille line
// charts. Everything is a pure function of samples, times and sizes; results have
// exactly the size asked for. Samples that say nothing of the world (no data,
// stale, error, NaN) are gaps, never zeros.
//
// The time axis is cut into columns whose borders are multiples of the column's
// length, not counted back from now: a picture moves by whole columns, and stays
// still (and costs the terminal nothing) in between. A line chart, of which a move
// redraws nearly everything, moves by many columns at once: what is new comes into
// the space at its right edge.
package chart

import (
	"math"
	"time"

	"mayday/state"
)

// Samples is a probe's readings, oldest first. *state.Series is one, nil included.
type Samples interface {
	Len() int
	At(i int) state.Sample
}

// List is Samples of a slice.
type List []state.Sample

// Len implements Samples.
func (l List) Len() int { return len(l) }

// At implements Samples.
func (l List) At(i int) state.Sample { return l[i] }

// Window is the stretch of time that a picture shows.
type Window struct {
	End  time.Time // the right edge: now
	Span time.Duration
}

// axis is a window cut into columns.
type axis struct {
	start int64 // Unix nanoseconds of the left edge, a multiple of step
	step  int64
	cols  int
}

// Still gives the window that ends at the border of the column that its end is in, of
// as many columns: its pictures stay the same until that column is over.
func (w Window) Still(cols int) Window {
	a := w.axis(cols, 1)
	return Window{End: time.Unix(0, a.start+a.step*int64(a.cols-1)).UTC(), Span: w.Span}
}

// axis cuts the window into columns. The left edge is a multiple of leap columns, and
// up to leap-1 columns at the right lie after the window's end.
func (w Window) axis(cols, leap int) axis {
	step := max(int64(w.Span)/int64(max(cols, 1)), 1)
	last := w.End.UnixNano()
	last += step*int64(leap-1) - mod(last, step*int64(leap))
	return axis{start: last - step*int64(cols-1), step: step, cols: cols}
}

func mod(a, b int64) int64 {
	m := a % b
	if m < 0 {
		m += b
	}
	return m
}

// col gives the column of a time; below 0 or from cols on it is outside.
func (a axis) col(t time.Time) int {
	d := t.UnixNano() - a.start
	c := d / a.step
	if d < 0 {
		c--
	}
	return int(max(min(c, int64(a.cols)), -1))
}

// from gives the index of the first sample that may matter to the axis: the last
// one before its left edge, which may reach into it.
func (a axis) from(s Samples) int {
	i := s.Len()
	for i > 0 && s.At(i-1).At.UnixNano() >= a.start {
		i--
	}
	return max(i-1, 0)
}

func known(x state.Sample) bool { return x.Verdict.Known() && !math.IsNaN(x.Value) }

// Range gives bounds that hold all known values of the series in the window, and
// the limits, for a scale that several pictures share. The bounds start at 0
// unless the values lie close together far from it; they are never equal.
func Range(win Window, limits []float64, series ...Samples) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	put := func(v float64) {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	start := win.End.Add(-win.Span)
	for _, s := range series {
		if s == nil {
			continue
		}
		for i := s.Len() - 1; i >= 0; i-- {
			x := s.At(i)
			if x.At.Before(start) {
				break
			}
			if known(x) {
				put(x.Value)
			}
		}
	}
	for _, l := range limits {
		put(l)
	}
	return widen(lo, hi)
}

// widen makes bounds that a picture can use.
func widen(lo, hi float64) (float64, float64) {
	if lo > hi {
		return 0, 1
	}
	if lo >= 0 && lo <= hi/2 {
		lo = 0
	}
	least := math.Max(math.Abs(lo), math.Abs(hi)) / 4 // less would show noise as a storm
	if least == 0 {
		return lo, lo + 1
	}
	if hi-lo < least {
		mid := lo + (hi-lo)/2
		lo, hi = mid-least/2, mid+least/2
	}
	return lo, hi
}
