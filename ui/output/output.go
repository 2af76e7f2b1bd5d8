// Package output is the cockpit's pane of what a running action prints, and draws
// diffs wherever one is shown.
package output

import (
	"strings"
	"time"

	"mayday/state"
	"mayday/ui/theme"
)

// longest bounds what is drawn of one line, in bytes: a minified file on one line
// must not stop the screen.
const longest = 4096

// Pane shows the output of the run that printed last and follows its end until it
// is scrolled up. Not safe for concurrent use.
type Pane struct {
	t    *theme.Theme
	run  string // of the last View
	back int    // lines between the bottom row and the newest line; 0 follows
	size int    // lines of the last View
	page int
}

// New makes a pane that follows.
func New(t *theme.Theme) *Pane { return &Pane{t: t, page: 1} }

// SetTheme changes the colours.
func (p *Pane) SetTheme(t *theme.Theme) { p.t = t }

// Up scrolls one line up; the pane stops following.
func (p *Pane) Up() { p.scroll(1) }

// Down scrolls one line down; at the end the pane follows again.
func (p *Pane) Down() { p.scroll(-1) }

// PageUp scrolls a screenful up.
func (p *Pane) PageUp() { p.scroll(p.page) }

// PageDown scrolls a screenful down.
func (p *Pane) PageDown() { p.scroll(-p.page) }

// Home goes to the first line that is kept.
func (p *Pane) Home() { p.scroll(p.size) }

// End goes to the newest line and follows.
func (p *Pane) End() { p.back = 0 }

// Following reports whether the newest line is shown, whatever comes.
func (p *Pane) Following() bool { return p.back == 0 }

func (p *Pane) scroll(by int) { p.back = min(max(p.back+by, 0), max(p.size-p.page, 0)) }

// View draws the pane, exactly w×h cells, as things stand at now (incident time).
func (p *Pane) View(s *state.Scene, now time.Time, w, h int, focused bool) string {
	lines := s.Output[s.Run]
	if s.Run != p.run {
		p.run, p.back, p.size = s.Run, 0, len(lines)
	}
	if p.back > 0 { // what is read stays where it is while more is printed
		p.back += max(len(lines)-p.size, 0)
	}
	iw, ih := theme.Inner(w, h)
	p.size, p.page = len(lines), max(ih, 1)
	p.scroll(0)
	it := ran(s.Incident, s.Run)
	body := p.window(lines, iw, ih)
	if len(lines) == 0 {
		body = []string{p.t.Past.Render("nothing has been printed yet")}
	}
	return p.t.Box(p.title(s, it), p.aside(it, now), body, w, h, focused)
}

// window draws the h rows that end at the line `back` above the newest.
func (p *Pane) window(lines []string, w, h int) []string {
	paints := paint(p.t, lines)
	rows := make([]string, 0, h)
	for i := len(lines) - 1 - p.back; i >= 0 && len(rows) < h; i-- {
		parts := wrap(lines[i], w)
		for j := len(parts) - 1; j >= 0 && len(rows) < h; j-- {
			rows = append(rows, paints[i].Render(parts[j]))
		}
	}
	for i, j := 0, len(rows)-1; i < j; i, j = i+1, j-1 {
		rows[i], rows[j] = rows[j], rows[i]
	}
	return rows
}

func wrap(line string, w int) []string {
	if len(line) > longest {
		line = strings.ToValidUTF8(line[:longest], "") + theme.Ellipsis
	}
	return theme.Wrap(theme.Verbatim(line), w)
}

// ran finds the item whose run printed; nil where the attempt is over.
func ran(in *state.Incident, run string) *state.Item {
	for i := range in.Steps {
		for j := range in.Steps[i].Items {
			if it := &in.Steps[i].Items[j]; it.Run == run && run != "" {
				return it
			}
		}
	}
	return nil
}

func (p *Pane) title(s *state.Scene, it *state.Item) string {
	name := theme.Safe(s.Run)
	if it != nil {
		name = theme.Safe(it.Title) + " " + theme.Bullet + " " + name
	}
	return p.t.Head("Output", name)
}

// aside says how the run stands and how long it has taken, or that newer lines are
// out of sight.
func (p *Pane) aside(it *state.Item, now time.Time) string {
	out := ""
	if it != nil {
		_, word, st := p.t.Status(it.Status)
		out = st.Render(word)
		if !it.Started.IsZero() {
			if !it.Ended.IsZero() {
				now = it.Ended
			}
			out += p.t.Past.Render(" " + theme.Clock(max(now.Sub(it.Started), 0)))
		}
	}
	if p.back > 0 {
		out = p.t.Warn.Render("scrolled up, end follows") + theme.Repeat(" "+p.t.Past.Render(theme.Bullet)+" ", min(len(out), 1)) + out
	}
	return out
}
