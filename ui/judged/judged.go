// Package judged draws what a gate went by: for each reading which probe said what,
// against which threshold and which baseline, measured when, and what that asked for.
package judged

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/ui/theme"
)

// Lines draws the readings of one decision in lines of at most w cells, those that
// asked for the most first. Each is one line, and more where that is too narrow for
// what there is to say. With full it has its times, its rank test and its query too.
func Lines(t *theme.Theme, all []state.Judged, w int, full bool) []string {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b state.Judged) int { return weight(b) - weight(a) })
	c := columns{w: w}
	for _, j := range all {
		c.name, c.value = max(c.name, theme.Width(name(j))), max(c.value, theme.Width(value(j)))
	}
	c.name, c.value = min(c.name, max(w/4, 16)), min(max(c.value, 4), 12)
	var out []string
	for _, j := range all {
		out = append(out, c.lines(t, j, full)...)
	}
	return out
}

// weight orders by what a reading asked for, and by how ill it was.
func weight(j state.Judged) int {
	return 10*slices.Index([]string{"pass", "wait", "ask", "rollback"}, j.Answer) + j.Verdict.Worse()
}

type columns struct{ w, name, value int }

const (
	indent = 4
	least  = 20 // cells for what is said between a value and its time
)

func (c columns) lines(t *theme.Theme, j state.Judged, full bool) []string {
	glyph, st := answer(t, j)
	word, look := t.Verdict(j.Verdict)
	if j.Excused {
		look = t.Warn
	}
	left := st.Render(glyph) + " " + t.Text.Render(theme.Fit(name(j), c.name)) + "  " + t.Strong.Render(theme.Fit(value(j), c.value)) + "  " +
		look.Render(theme.Fit(word, 8))
	right := st.Render(theme.Fit(theme.Safe(j.Answer), 8))
	if !j.At.IsZero() {
		right = t.Past.Render("read "+clock(j.At)+"  ") + right
	}
	said := says(j)
	room := c.w - theme.Width(left) - theme.Width(right) - 4
	var line string
	for len(said) > 0 && room >= least && theme.Width(line)+2+theme.Width(said[0]) <= room {
		line += "  " + said[0]
		said = said[1:]
	}
	out := []string{theme.Row(left+t.Past.Render(line), right, c.w)}
	more := func(text string, st theme.Style) {
		in := max(min(indent, c.w-1), 0)
		for _, l := range theme.Wrap(text, max(c.w-in, 1)) {
			out = append(out, theme.Blank(in)+st.Render(l))
		}
	}
	if len(said) > 0 {
		more(strings.Join(said, "  "), t.Past)
	}
	if !full {
		return out
	}
	for _, text := range details(j) {
		more(text, t.Past)
	}
	if j.Query != "" {
		more(theme.Safe(j.Query), t.Faint)
	}
	return out
}

func answer(t *theme.Theme, j state.Judged) (glyph string, st theme.Style) {
	switch j.Answer {
	case "pass":
		return theme.Check, t.Good
	case "rollback":
		return theme.Cross, t.BadStrong
	case "ask":
		return theme.Question, t.UnknownStrong
	}
	return theme.Bang, t.Warn
}

func name(j state.Judged) string { return theme.Safe(strings.TrimSpace(j.Probe + " " + j.Label)) }

func value(j state.Judged) string {
	if !j.Verdict.Known() {
		return theme.Dash
	}
	return quantity(j, j.Value)
}

func quantity(j state.Judged, v float64) string { return theme.Safe(state.Quantity(v, j.Unit)) }

// says is what a reading was measured against, and why it asked for what it did.
func says(j state.Judged) []string {
	var out []string
	add := func(format string, args ...any) { out = append(out, theme.Safe(fmt.Sprintf(format, args...))) }
	sign := ">"
	if j.Below {
		sign = "<"
	}
	for i, v := range []*float64{j.Crit, j.Warn} {
		if v != nil {
			add("%s %s %s", []string{"crit", "warn"}[i], sign, quantity(j, *v))
		}
	}
	if j.Text != "" && (!j.Verdict.Known() || j.Crit == nil && j.Warn == nil) {
		add("%s", j.Text)
	}
	if b := j.Baseline; b != nil {
		add("%s %s", b.Of, quantity(j, b.Value))
	}
	if j.Excused {
		add("no worse than it was")
	}
	if !j.Since.IsZero() && j.For > 0 {
		add("bad since %s, counts after %s", clock(j.Since), j.For)
	}
	if j.InARow > 0 {
		add("%d of %d in a row", j.InARow, j.Consecutive)
	}
	if r := j.Rank; r != nil {
		word := map[state.Verdict]string{state.OK: "no worse", state.Crit: "worse", state.NoData: "too few readings"}[r.Verdict]
		add("by rank %s", word)
		if r.InARow > 0 {
			add("%d of %d in a row", r.InARow, j.Consecutive)
		}
	}
	return out
}

// details are what full adds.
func details(j state.Judged) []string {
	var out []string
	if late := j.Got.Sub(j.At); !j.At.IsZero() && late >= 0 {
		out = append(out, "true at "+stamp(j.At)+", known here "+theme.Span(late)+" later")
	}
	if b := j.Baseline; b != nil {
		out = append(out, theme.Safe("baseline: "+b.Of+" "+quantity(j, b.Value)+" "+string(b.Verdict))+", read "+stamp(b.At))
	}
	if r := j.Rank; r != nil {
		out = append(out, theme.Safe(fmt.Sprintf("rank test: %s, %s; worse at p up to %g and A12 from %g", r.Against, r.Text(), r.Rank.Alpha, r.Rank.Effect)))
	}
	if j.Why != "" && j.Answer != "pass" {
		out = append(out, theme.Safe(j.Answer+": "+j.Why))
	}
	return out
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05") }

func stamp(t time.Time) string { return t.UTC().Format("15:04:05.0") }
