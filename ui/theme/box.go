package theme

import "strings"

// edges are the characters of a border.
type edges struct{ tl, tr, bl, br, h, v string }

var (
	lightEdges = edges{"╭", "╮", "╰", "╯", "─", "│"}
	// Without colours a focused box cannot turn blue, so its border turns heavy.
	heavyEdges = edges{"┏", "┓", "┗", "┛", "━", "┃"}
)

// Inner gives the width and height of what fits into a box: one cell of border and
// one of air at each side.
func Inner(w, h int) (int, int) { return max(w-4, 0), max(h-2, 0) }

// Head styles a box's title: its name, then what there is to say of it.
func (t *Theme) Head(name, rest string) string {
	if rest == "" {
		return t.Title.Render(name)
	}
	return t.Title.Render(name) + " " + t.Past.Render(rest)
}

// Box draws a rounded box of exactly w×h cells with a title at the left of its
// upper border and another text at the right; both may be styled (see Head). Body
// lines are fitted; missing ones are blank, those beyond are left out. Below 4×2
// only the title is shown.
func (t *Theme) Box(title, right string, body []string, w, h int, focused bool) string {
	if focused {
		return frame(t.BorderFocused, t.heavy, title, right, body, w, h)
	}
	return frame(t.Border, t.light, title, right, body, w, h)
}

// Frame is Box with a border of the given style: red around what destroys.
func (t *Theme) Frame(border Style, title, right string, body []string, w, h int) string {
	return frame(border, t.heavy, title, right, body, w, h)
}

func frame(st Style, e edges, title, right string, body []string, w, h int) string {
	if w <= 0 || h <= 0 {
		return ""
	}
	if w < 4 || h < 2 {
		return Sheet(append([]string{title}, body...), w, h)
	}
	iw, ih := Inner(w, h)
	var b strings.Builder
	b.Grow((w*2 + 40) * h)
	b.WriteString(topEdge(st, e, title, right, w))
	side := st.Render(e.v)
	for i := range ih {
		b.WriteByte('\n')
		b.WriteString(side)
		b.WriteByte(' ')
		if i < len(body) {
			b.WriteString(Fit(body[i], iw))
		} else {
			b.WriteString(Blank(iw))
		}
		b.WriteByte(' ')
		b.WriteString(side)
	}
	b.WriteByte('\n')
	b.WriteString(st.Render(e.bl + Repeat(e.h, w-2) + e.br))
	return b.String()
}

// topEdge draws "╭─ title ──── right ─╮". The right text goes when the title would
// be left with less than eight cells.
func topEdge(st Style, e edges, title, right string, w int) string {
	room := w - 6 // corners, one dash and one space at each side
	tw, rw := Width(title), Width(right)
	if tw == 0 && rw == 0 || room < 1 {
		return st.Render(e.tl + Repeat(e.h, w-2) + e.tr)
	}
	if rw > 0 && room-rw-3 < min(tw, 8) {
		right, rw = "", 0
	}
	if rw == 0 {
		title = Cut(title, room)
		return st.Render(e.tl+e.h) + " " + title + " " + st.Render(Repeat(e.h, room-Width(title)+1)+e.tr)
	}
	title = Cut(title, room-rw-3)
	fill := room - rw - Width(title) - 2
	return st.Render(e.tl+e.h) + " " + title + " " + st.Render(Repeat(e.h, fill)) + " " + right + " " + st.Render(e.h+e.tr)
}

// Sheet makes exactly h lines of exactly w cells of lines: what a pane without a
// border is.
func Sheet(lines []string, w, h int) string {
	out := make([]string, h)
	for i := range out {
		if i < len(lines) {
			out[i] = Fit(lines[i], w)
		} else {
			out[i] = Blank(w)
		}
	}
	return strings.Join(out, "\n")
}
