// Package metrics is the cockpit's pane of probes: one row a probe with its value,
// its sparkline, what it is compared with and its verdict, and the chart of the
// selected one below where there is room. It draws only the rows in sight, so that
// a thousand probes cost what twenty do.
package metrics

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/ui/theme"
)

// spans are the time ranges to zoom through.
var spans = []time.Duration{2 * time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 4 * time.Hour}

// longest is the index of what is shown without zooming, once there is that much.
const longest = 2

// Pane is the metrics pane: what is selected, pinned and in sight. View remembers
// the order it drew, which is the order the cursor moves in. Not safe for
// concurrent use.
type Pane struct {
	t      *theme.Theme
	sel    string // the probe selected by hand; empty: follow
	follow string // without a choice: the gate's probe, or the worst
	top    int    // the first row in sight
	page   int    // rows in sight, of the last View
	order  []string
	zoom   int  // index into spans
	zoomed bool // by hand; else the incident so far, up to fifteen minutes
	worst  bool
	pinned map[string]bool
	full   bool // the chart has the whole pane
	last   *board
	drawn  pictures
	re     *regexp.Regexp // of the log shown last
}

// New makes a pane in the runbook's order that charts what matters most just now.
func New(t *theme.Theme) *Pane {
	return &Pane{t: t, zoom: longest, pinned: map[string]bool{}, page: 1}
}

// SetTheme changes the colours.
func (p *Pane) SetTheme(t *theme.Theme) { p.t = t }

// Up moves the cursor one probe up.
func (p *Pane) Up() { p.move(-1) }

// Down moves the cursor one probe down.
func (p *Pane) Down() { p.move(1) }

// PageUp moves the cursor a screenful up.
func (p *Pane) PageUp() { p.move(-p.page) }

// PageDown moves the cursor a screenful down.
func (p *Pane) PageDown() { p.move(p.page) }

// Home moves the cursor to the first probe.
func (p *Pane) Home() { p.move(-len(p.order)) }

// End moves the cursor to the last probe.
func (p *Pane) End() { p.move(len(p.order)) }

func (p *Pane) move(by int) {
	if len(p.order) == 0 {
		return
	}
	p.sel = p.order[min(max(p.cursor()+by, 0), len(p.order)-1)]
}

func (p *Pane) cursor() int {
	if at := slices.Index(p.order, p.sel); at >= 0 {
		return at
	}
	return max(slices.Index(p.order, p.follow), 0)
}

// Selected names the probe under the cursor; empty before the first View.
func (p *Pane) Selected() string {
	if len(p.order) == 0 {
		return ""
	}
	return p.order[p.cursor()]
}

// Zoom shows a shorter (+1) or a longer (-1) stretch of time.
func (p *Pane) Zoom(by int) {
	p.zoom, p.zoomed = min(max(p.zoom-by, 0), len(spans)-1), true
}

// Span is the stretch of time shown.
func (p *Pane) Span() time.Duration { return spans[p.zoom] }

// Pin keeps the selected probe at the top, or lets it go again.
func (p *Pane) Pin() {
	if name := p.Selected(); name != "" {
		if p.pinned[name] {
			delete(p.pinned, name)
		} else {
			p.pinned[name] = true
		}
	}
}

// Full gives the whole pane to the chart of the selected probe, or back to the table.
func (p *Pane) Full() { p.full = !p.full }

// IsFull reports whether the chart has the whole pane.
func (p *Pane) IsFull() bool { return p.full }

// WorstFirst switches between the runbook's order and worst first.
func (p *Pane) WorstFirst() { p.worst = !p.worst }

// View draws the pane, exactly w×h cells, as things stand at now (incident time).
func (p *Pane) View(s *state.Scene, now time.Time, w, h int, focused bool) string {
	b := p.board(s, now)
	rows := p.arrange(b)
	p.attend(b, rows)
	iw, ih := theme.Inner(w, h)
	if p.full && len(rows) > 0 {
		return p.t.Box(p.title(b, w), p.counts(b), p.detail(b, iw, ih), w, h, focused)
	}
	table, chart := split(len(rows), ih)
	p.scroll(table)
	var body []string
	if len(rows) == 0 {
		body = append(body, p.t.Past.Render("no probes yet: the runbook names them"))
	}
	c, selected := p.columns(b, rows, iw), p.Selected()
	for i := p.top; i < min(p.top+table, len(rows)); i++ {
		line := p.row(b, rows[i], c, iw)
		if focused && b.probes[rows[i]].Name == selected {
			line = p.t.Selected.Over(theme.Fit(line, iw))
		}
		body = append(body, line)
	}
	if chart > 0 && len(rows) > 0 {
		body = append(body, "")
		body = append(body, p.detail(b, iw, chart)...)
	}
	return p.t.Box(p.title(b, w), p.counts(b), body, w, h, focused)
}

// split shares the height between the table and, after an empty line, the chart.
// The chart gets what the table leaves; in a tall pane at least nine lines.
func split(rows, h int) (table, chart int) {
	const least = leastChart + 1
	switch {
	case h-rows-1 >= least:
		return rows, h - rows - 1
	case h >= 18:
		return h - 10, 9
	}
	return h, 0
}

// arrange puts the probes in order: pinned, then worst where asked for, then the
// runbook's.
func (p *Pane) arrange(b *board) []int {
	rows := b.order
	if p.worst || len(p.pinned) > 0 {
		rows = slices.Clone(rows)
		slices.SortStableFunc(rows, func(x, y int) int {
			px, py := p.pinned[b.probes[x].Name], p.pinned[b.probes[y].Name]
			switch {
			case px != py && px:
				return -1
			case px != py:
				return 1
			case p.worst:
				return b.read[y].rank() - b.read[x].rank()
			}
			return 0
		})
	}
	p.order = p.order[:0]
	for _, i := range rows {
		p.order = append(p.order, b.probes[i].Name)
	}
	return rows
}

// attend picks the stretch of time and the probe to chart, where nobody chose: the
// new version's while it goes out, else the worst, and that one until another is worse.
func (p *Pane) attend(b *board, rows []int) {
	if in := b.s.Incident; !p.zoomed && !in.Declared.IsZero() {
		p.zoom = 0
		for p.zoom < longest && b.now.Sub(in.Declared) > spans[p.zoom] {
			p.zoom++
		}
	}
	best, at := -1, ""
	for _, i := range rows {
		name := b.probes[i].Name
		if n := b.weight(i); n > best || n == best && n > 0 && name == p.follow {
			best, at = n, name
		}
	}
	p.follow = at
}

// Worst says how many probes are how ill, for a tab; OK and 0 where all are well.
func (p *Pane) Worst(s *state.Scene, now time.Time) (state.Verdict, int) {
	b := p.board(s, now)
	worst, n := state.OK, 0
	for i := range b.read {
		r := &b.read[i]
		switch {
		case !r.has || r.rank() < 2:
		case r.Verdict.Worse() > worst.Worse():
			worst, n = r.Verdict, 1
		case r.Verdict == worst:
			n++
		}
	}
	return worst, n
}

func (p *Pane) scroll(rows int) {
	p.page = max(rows, 1)
	at := p.cursor()
	p.top = min(p.top, at)
	p.top = max(p.top, at-p.page+1)
	p.top = max(min(p.top, len(p.order)-p.page), 0)
}

// title says how the source does and how late a gate may notice.
func (p *Pane) title(b *board, w int) string {
	var parts []string
	if src := b.source(); src != "" {
		parts = append(parts, src)
	}
	if r := theme.Reaction(b.s.Incident, w < 90); r != "" {
		parts = append(parts, r)
	}
	return p.t.Head("Metrics", strings.Join(parts, ", "))
}

// counts says how many probes are not well, the worst first.
func (p *Pane) counts(b *board) string {
	n := map[string]int{}
	for i := range b.read {
		if b.read[i].idle == "" {
			n[b.read[i].word]++
		}
	}
	var parts []string
	for _, v := range []state.Verdict{state.Crit, state.Warn, state.Error, state.NoData, state.Stale} {
		if c := n[string(v)]; c > 0 {
			_, st := p.t.Verdict(v)
			parts = append(parts, st.Render(fmt.Sprintf("%d %s", c, v)))
		}
	}
	return strings.Join(parts, p.t.Past.Render(" · "))
}
