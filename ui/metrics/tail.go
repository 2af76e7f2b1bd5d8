package metrics

import (
	"fmt"
	"regexp"

	"mayday/state"
	"mayday/ui/theme"
)

// tail draws a log's probe in h lines of w cells: what it counts, how often that came,
// and the newest lines that matched, the last at the bottom, each with what matched
// marked. Only lines that came with samples are known: the last few of each reading.
func (p *Pane) tail(b *board, i, w, h int) []string {
	x, r := &b.probes[i], b.read[i]
	out := append(p.caption(b, i, -1, w), p.t.Past.Render(theme.Cut(theme.Safe(x.Query+"  lines with "+x.Pattern), w)))
	if h >= 14 {
		out = append(out, p.chart(b, i, -1, w, h/3)...)
	}
	room := h - len(out)
	if room < 1 {
		return out[:min(h, len(out))]
	}
	lines := p.lines(b.s.Series[x.Name], x.Pattern, room)
	if len(lines) == 0 {
		text := "no line matched yet"
		if r.has && !r.Verdict.Known() {
			text = theme.Safe(r.Text)
		}
		return append(out, p.t.Faint.Render(theme.Cut(text, w)))
	}
	for _, l := range lines {
		out = append(out, theme.Fit(l, w))
	}
	return out
}

// lines gives the newest n lines of a log's samples, oldest first.
func (p *Pane) lines(s *state.Series, pattern string, n int) []string {
	re := p.pattern(pattern)
	var out []string // newest first
	for i := s.Len() - 1; i >= 0 && len(out) < n; i-- {
		x := s.At(i)
		if !x.Verdict.Known() {
			continue
		}
		at := p.t.Faint.Render(x.At.UTC().Format("15:04:05")) + "  "
		for j := len(x.Lines) - 1; j >= 0; j-- {
			out = append(out, at+p.match(re, theme.Safe(x.Lines[j])))
		}
		if more := int(x.Value) - len(x.Lines); more > 0 && len(x.Lines) > 0 {
			out = append(out, at+p.t.Past.Render(fmt.Sprintf("%d more lines matched before these", more)))
		}
	}
	out = out[:min(n, len(out))]
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// match marks what matched in a line. Cleaning and cutting may have taken it away:
// then nothing is marked.
func (p *Pane) match(re *regexp.Regexp, line string) string {
	if re == nil {
		return p.t.Text.Render(line)
	}
	out, from := "", 0
	for _, m := range re.FindAllStringIndex(line, -1) {
		if m[1] > m[0] {
			out += p.t.Text.Render(line[from:m[0]]) + p.t.Match.Render(line[m[0]:m[1]])
			from = m[1]
		}
	}
	return out + p.t.Text.Render(line[from:])
}

// pattern compiles a probe's pattern, once. nil: it cannot be read, which its verdict says.
func (p *Pane) pattern(s string) *regexp.Regexp {
	if p.re == nil || p.re.String() != s {
		re, err := regexp.Compile(s)
		if err != nil {
			return nil
		}
		p.re = re
	}
	return p.re
}
