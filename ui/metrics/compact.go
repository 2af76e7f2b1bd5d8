package metrics

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/ui/theme"
)

// Line draws the probes in one line of w cells, for a small screen: what is not
// well first, then the runbook's order; "+3" says how many did not fit.
func (p *Pane) Line(s *state.Scene, now time.Time, w int) string {
	return p.Lines(s, now, w, 1)[0]
}

// Lines is Line over n lines (at least one).
func (p *Pane) Lines(s *state.Scene, now time.Time, w, n int) []string {
	b := p.board(s, now)
	var rows []int
	for _, i := range b.order {
		if !b.old[i] { // it stands beside its partner
			rows = append(rows, i)
		}
	}
	slices.SortStableFunc(rows, func(x, y int) int { return b.weight(y) - b.weight(x) })
	words := firstWords(b, rows)
	out := make([]string, 0, n)
	line, shown := "", 0
	for _, i := range rows {
		entry := p.entry(b, i, words[i])
		last := len(out) == n-1
		room := w - 2
		if last && shown < len(rows)-1 {
			room -= 5 // for "  +12"
		}
		if line != "" && theme.Width(line)+2+theme.Width(entry) > room {
			if last {
				break
			}
			out = append(out, theme.Fit(" "+line, w))
			line = ""
		}
		if line != "" {
			line += "  "
		}
		line += entry
		shown++
	}
	if rest := len(rows) - shown; rest > 0 {
		line += p.t.Past.Render(fmt.Sprintf("  +%d", rest))
	}
	if len(rows) == 0 {
		line = p.t.Past.Render("no probes yet")
	}
	out = append(out, theme.Fit(" "+line, w))
	for len(out) < n {
		out = append(out, theme.Blank(w))
	}
	return out
}

// entry is one probe in a few words: "error 0.42 % old 8.1 %", "pool stale 41s".
func (p *Pane) entry(b *board, i int, name string) string {
	x, r := &b.probes[i], b.read[i]
	out := p.t.Text.Render(name) + " "
	switch {
	case !r.has:
		return out + p.t.Faint.Render("waiting")
	case r.idle != "":
		return out + p.t.Past.Render(theme.Dash)
	case !r.Verdict.Known():
		return out + p.tint(r).Render(r.label()+" "+theme.Age(b.age(r)))
	case r.Verdict != state.OK:
		out += p.tint(r).Render(value(x, r) + " " + r.label())
	case x.Role == state.RoleNew || !counted(x):
		out += p.t.Good.Render(value(x, r))
	default:
		out += p.t.Strong.Render(value(x, r))
	}
	if o, or, ok := b.named(x.Compare); ok && or.has && or.Verdict.Known() {
		out += p.t.Past.Render(" " + suffix(o, x) + " " + value(o, or))
	}
	return out
}

// firstWords shortens names to their first word where that still tells them
// apart; a health probe is its path.
func firstWords(b *board, rows []int) map[int]string {
	n := map[string]int{}
	short := map[int]string{}
	for _, i := range rows {
		p := &b.probes[i]
		word, rest, _ := strings.Cut(theme.Safe(p.Name), " ")
		if p.Kind == "http" && strings.HasPrefix(rest, "/") {
			word = rest
		}
		short[i] = word
		n[word]++
	}
	for i, word := range short {
		if n[word] > 1 || word == "" {
			short[i] = theme.Safe(b.probes[i].Name)
		}
	}
	return short
}
