package dialog

import (
	"fmt"
	"slices"
	"strings"

	"mayday/state"
	"mayday/ui/theme"
)

// View draws the dialog as a box of at most w×h cells; all its lines have the same
// width.
func (d *Dialog) View(w, h int) string {
	bw := min(w, 78)
	if d.spec.Wide {
		bw = min(w, 120)
	}
	if w > bw+4 && bw > 40 {
		bw = min(bw, w-4)
	}
	iw, room := theme.Inner(bw, h)
	foot := d.foot(iw)
	d.growAreas(iw, room-len(foot)-len(d.spec.Intro)-1)
	fields, focus := d.fieldLines(iw)
	var intro []string
	for _, s := range d.spec.Intro {
		for _, l := range theme.Wrap(theme.Safe(s), iw) {
			intro = append(intro, d.t.Past.Render(l))
		}
	}
	bodyLines := d.bodyLines(iw)
	left := room - len(fields) - len(foot)
	if want := min(len(bodyLines), 3); len(intro) > max(left-want-1, 0) {
		intro = intro[:max(min(len(intro), left-want-1), 0)]
	}
	if len(intro) > 0 && left > len(intro) {
		intro = append(intro, "")
	}
	left -= len(intro)
	body := d.bodyWindow(bodyLines, left)
	if len(fields) > room-len(foot)-len(body) { // too small for all: around the focus
		n := max(room-len(foot)-len(body), 1)
		off := max(min(focus, len(fields)-n), 0)
		fields = fields[off:min(off+n, len(fields))]
	}
	lines := append(append(append(intro, body...), fields...), foot...)
	bh := min(len(lines)+2, h)
	title := d.t.Title.Render(theme.Safe(d.spec.Title))
	if d.spec.Danger {
		return d.t.Frame(d.t.Bad, d.t.BadStrong.Render(theme.Safe(d.spec.Title)), "", lines, bw, bh)
	}
	return d.t.Box(title, "", lines, bw, bh, true)
}

// bodyLines styles and fits the body. Long lines are wrapped where they are read
// (commands must be seen whole), and cut in diffs.
func (d *Dialog) bodyLines(w int) []string {
	var out []string
	command := d.t.Strong
	if slices.ContainsFunc(d.spec.Body, func(l Line) bool { return l.Tone == Command && strings.HasPrefix(l.Text, "# ") }) {
		command = d.t.Text // what the words say is read first
	}
	for _, l := range d.spec.Body {
		text := safe(l.Text)
		if l.Tone == Diff {
			out = append(out, d.diff(theme.Cut(text, w)))
			continue
		}
		st := map[Tone]theme.Style{Plain: d.t.Text, Quiet: d.t.Past, Command: command, Heading: d.t.Title, Alarm: d.t.BadStrong}[l.Tone]
		indent := ""
		if l.Tone == Command {
			indent = "  "
			if said, ok := strings.CutPrefix(text, "# "); ok { // what the commands do, for the eye to find
				indent, st, text = "", d.t.Strong, said
			}
		}
		hang := min(max(l.Indent, len(text)-len(strings.TrimLeft(text, " "))), w/3)
		for i, part := range hanging(text, max(w-len(indent), 1), hang) {
			if i > 0 {
				part = theme.Blank(hang) + part
			}
			out = append(out, indent+st.Render(part))
		}
	}
	return out
}

// hanging wraps text so that all lines but the first leave hang cells free.
func hanging(text string, w, hang int) []string {
	lines := theme.Wrap(text, w)
	if hang <= 0 || len(lines) < 2 {
		return lines
	}
	rest := strings.TrimLeft(strings.TrimPrefix(text, lines[0]), " ")
	return append(lines[:1], theme.Wrap(rest, max(w-hang, 1))...)
}

// safe is theme.Safe that keeps the spaces inside a line: diffs and tables need them.
func safe(s string) string {
	words := strings.Split(strings.ReplaceAll(strings.TrimRight(state.CleanLines(s), "\n"), "\n", " "), " ")
	for i := range words {
		words[i] = theme.Safe(words[i])
	}
	return strings.Join(words, " ")
}

func (d *Dialog) diff(line string) string {
	switch {
	case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"), strings.HasPrefix(line, "diff "):
		return d.t.Strong.Render(line)
	case strings.HasPrefix(line, "+"):
		return d.t.Good.Render(line)
	case strings.HasPrefix(line, "-"):
		return d.t.Bad.Render(line)
	case strings.HasPrefix(line, "@@"):
		return d.t.Running.Render(line)
	}
	return d.t.Past.Render(line)
}

// bodyWindow cuts the visible part out, with a line that says how much there is
// where it does not fit.
func (d *Dialog) bodyWindow(lines []string, h int) []string {
	if len(lines) == 0 || h <= 0 {
		return nil
	}
	if len(lines) < h {
		d.page, d.scroll = len(lines), 0
		return append(lines, "")
	}
	d.page = max(h-1, 1)
	d.scroll = max(min(d.scroll, len(lines)-d.page), 0)
	to := min(d.scroll+d.page, len(lines))
	out := append([]string{}, lines[d.scroll:to]...)
	if h == 1 {
		return out
	}
	return append(out, d.t.Faint.Render(fmt.Sprintf("lines %d to %d of %d, pgup and pgdown scroll", d.scroll+1, to, len(lines))))
}

// fieldLines draws the fields and says in which line the focus is.
func (d *Dialog) fieldLines(w int) (lines []string, focus int) {
	for i, f := range d.fields {
		on := i == d.focus
		if on {
			focus = len(lines)
		}
		mark, label := "  ", d.t.Past
		if on {
			mark, label = d.t.Running.Render("› "), d.t.Strong
		}
		name := theme.Safe(f.Label)
		if f.Required {
			name += " (needed)"
		}
		if f.Kind == Area && f.lines(w) > f.area.Height() {
			name += ", longer than is shown"
		}
		lines = append(lines, mark+label.Render(theme.Cut(name, w-2)))
		switch f.Kind {
		case Text:
			f.line.SetWidth(max(w-5, 1))
			lines = append(lines, "  "+theme.Fit(f.line.View(), w-2))
		case Area:
			f.area.SetWidth(max(w-2, 2))
			for _, l := range strings.Split(f.area.View(), "\n") {
				lines = append(lines, "  "+theme.Fit(l, w-2))
			}
		case Choice:
			opts, at := d.options(f, on, w)
			if on {
				focus = len(lines) + at
			}
			lines = append(lines, opts...)
		}
		lines = append(lines, "")
	}
	return lines, focus
}

// growAreas gives areas the height that their text needs, as far as there is room:
// what is about to be sent should be seen whole.
func (d *Dialog) growAreas(w, room int) {
	for _, f := range d.fields {
		if f.Kind != Area {
			continue
		}
		need := f.lines(w) + 1
		f.area.SetHeight(1)
		lines, _ := d.fieldLines(w)
		f.area.SetHeight(max(min(need, room-len(lines)+1), 3))
	}
}

// lines is about how many lines an area's text takes.
func (f *field) lines(w int) (n int) {
	for _, l := range strings.Split(f.area.Value(), "\n") {
		n += theme.Width(l)/max(w-3, 1) + 1
	}
	return n
}

// options are the answers one below the other; at is the line of the chosen one.
func (d *Dialog) options(f *field, on bool, w int) (out []string, at int) {
	widest, helped := 0, 0
	for _, o := range f.Options {
		widest, helped = max(widest, theme.Width(o.label())), max(helped, theme.Width(theme.Safe(o.Help)))
	}
	if line, ok := d.inline(f, on, w); ok {
		return []string{line}, 0
	}
	// What an answer means has at least a third of the line: a long name must not push
	// "not delivered" out of sight.
	col := min(widest, max(w-6-min(helped, w/3), 1))
	for i, o := range f.Options {
		mark, st := theme.Circle, d.t.Past
		if i == f.choice {
			mark, st = theme.Dot, d.t.Strong
			at = len(out)
		}
		head := "  " + st.Render(mark+" "+theme.Fit(o.label(), col)) + "  "
		help := theme.Wrap(theme.Safe(o.Help), max(w-col-6, 10))
		for j, l := range append(help, "")[:max(len(help), 1)] {
			if j > 0 {
				head = theme.Blank(col + 6)
			}
			row := theme.Fit(head+d.t.Past.Render(l), w)
			if on && i == f.choice {
				row = d.t.Selected.Over(row)
			}
			out = append(out, row)
		}
	}
	return out, at
}

// inline puts short answers that need no explanation into one line.
func (d *Dialog) inline(f *field, on bool, w int) (string, bool) {
	line, used := "  ", 2
	for i, o := range f.Options {
		if o.Help != "" {
			return "", false
		}
		part := theme.Circle + " " + o.label()
		used += theme.Width(part) + 3
		switch {
		case i != f.choice:
			line += d.t.Past.Render(part) + "   "
		case on:
			line += d.t.Selected.Over(d.t.Strong.Render(theme.Dot+" "+o.label())) + "   "
		default:
			line += d.t.Strong.Render(theme.Dot+" "+o.label()) + "   "
		}
	}
	return line, used <= w
}

func (o Option) label() string {
	if o.Label != "" {
		return theme.Safe(o.Label)
	}
	return theme.Safe(o.Value)
}

// foot is the refusal, where there is one, and the line of keys.
func (d *Dialog) foot(w int) []string {
	if d.held != "" {
		return []string{d.t.BadStrong.Render(theme.Cut(d.held, w))}
	}
	var keys []string
	key := func(k, what string) { keys = append(keys, d.t.Key.Render(k)+" "+d.t.Past.Render(what)) }
	onButton := d.focus >= len(d.fields)
	last := len(d.fields) > 0 && d.focus == len(d.fields)-1
	switch {
	case d.loading != "":
		keys = append(keys, d.t.Running.Render(d.loading+"…"))
	case d.spec.Button == "":
		key("enter", "close")
	case onButton || last && d.fields[d.focus].Kind != Area:
		key("enter", d.spec.Button)
	case d.fields[d.focus].Kind == Area:
		key("ctrl+s", d.spec.Button)
	default:
		key("enter", "next field")
		key("ctrl+s", d.spec.Button)
	}
	if len(d.fields) > 1 {
		key("tab", "move")
	}
	for _, k := range d.spec.Keys {
		key(k[0], k[1])
	}
	if d.spec.Button != "" || d.loading != "" {
		leave := d.spec.Leave
		if leave == "" {
			leave = "cancel"
		}
		key("esc", leave)
	}
	line := strings.Join(keys, "  ")
	if len(d.fields) > 0 && d.stops() > len(d.fields) && d.loading == "" && d.spec.Button != "" {
		label := "[ " + d.spec.Button + " ]"
		if onButton {
			line = d.t.BadgeQuiet.Render(label) + "  " + line
		} else {
			line = d.t.Past.Render(label) + "  " + line
		}
	}
	if d.why != "" {
		return []string{d.t.WarnStrong.Render(theme.Cut(theme.Bang+" "+d.why, w)), line}
	}
	return []string{line}
}
