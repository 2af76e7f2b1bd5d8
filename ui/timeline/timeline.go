// Package timeline is the cockpit's pane of events: the journal as a person reads
// it, newest at the top, with a filter, a search and the full facts of the
// selected event. It looks at the events in sight only; a filter or a search reads
// all of them once and then just what is new.
package timeline

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"mayday/state"
	"mayday/ui/theme"
)

// Pane is the timeline: its filter, its search and what is selected. It follows
// the newest event until the cursor moves down, and again when it is back at the
// top. Not safe for concurrent use.
type Pane struct {
	t     *theme.Theme
	scene *state.Scene // of the last View: what the cursor moves over
	sel   uint64       // the selected event's number; 0 follows the newest
	top   int          // the first row in sight
	page  int

	filter, search string
	matches        []int // events that are shown, by index, oldest first
	seen           int   // events already looked at for matches
	hay            []string
	proofs         map[string]state.Proof // the last one of each rollout
	folded         int                    // events that only repeat one before

	detail detail
}

// New makes a pane that shows all events and follows.
func New(t *theme.Theme) *Pane { return &Pane{t: t, scene: state.NewScene(), page: 1} }

// SetTheme changes the colours.
func (p *Pane) SetTheme(t *theme.Theme) { p.t, p.detail.lines = t, nil }

// Up moves the cursor to the next newer event; at the newest the pane follows.
func (p *Pane) Up() { p.move(-1) }

// Down moves the cursor to the next older event.
func (p *Pane) Down() { p.move(1) }

// PageUp moves a screenful up; with the facts of an event open, in those.
func (p *Pane) PageUp() {
	if p.detail.open {
		p.detail.top = max(p.detail.top-p.detail.page, 0)
		return
	}
	p.move(-p.page)
}

// PageDown moves a screenful down; with the facts of an event open, in those.
func (p *Pane) PageDown() {
	if p.detail.open {
		p.detail.top += p.detail.page
		return
	}
	p.move(p.page)
}

// Home goes to the newest event and follows.
func (p *Pane) Home() { p.move(-p.rows()) }

// End goes to the oldest event.
func (p *Pane) End() { p.move(p.rows()) }

// Following reports whether the newest event is selected, whatever comes.
func (p *Pane) Following() bool { return p.sel == 0 }

func (p *Pane) move(by int) {
	n := p.rows()
	k := min(max(p.cursor()+by, 0), max(n-1, 0))
	p.goTo(k)
}

func (p *Pane) goTo(k int) {
	p.detail.top = 0
	if k <= 0 || p.rows() == 0 {
		p.sel = 0
		return
	}
	p.sel = p.event(k).Seq
}

// Selected gives the event under the cursor; false where there is none.
func (p *Pane) Selected() (state.Event, bool) {
	if p.rows() == 0 {
		return state.Event{}, false
	}
	return p.event(p.cursor()), true
}

// Select puts the cursor on an event by its number, or on the next older one in
// sight of the filter.
func (p *Pane) Select(seq uint64) {
	p.sel = seq
	p.goTo(p.cursor())
}

// Filter shows only the events whose time, actor, tag or text hold every word of
// text, whatever their case. Empty shows all.
func (p *Pane) Filter(text string) {
	p.filter = strings.ToLower(strings.TrimSpace(text))
	p.matches, p.seen, p.top, p.proofs, p.folded = nil, 0, 0, nil, 0
	p.refresh(p.scene)
	p.Select(p.sel)
}

// Filtered gives the filter in force.
func (p *Pane) Filtered() string { return p.filter }

// Search puts the cursor on the first match at or below it and reports whether
// there is one. Empty ends the search.
func (p *Pane) Search(text string) bool {
	p.search = strings.ToLower(strings.TrimSpace(text))
	return p.search == "" || p.find(p.cursor(), 1)
}

// Sought gives the text that is searched for, "" for none.
func (p *Pane) Sought() string { return p.search }

// Next goes to the next older match of the search, from the oldest on to the newest.
func (p *Pane) Next() bool { return p.find(p.cursor()+1, 1) }

// Prev goes to the next newer match of the search.
func (p *Pane) Prev() bool { return p.find(p.cursor()-1, -1) }

func (p *Pane) find(from, step int) bool {
	n := p.rows()
	if n == 0 || p.search == "" {
		return false
	}
	p.haystack()
	words := strings.Fields(p.search)
	for i := range n {
		k := ((from+i*step)%n + n) % n
		if holds(p.hay[p.index(k)], words) {
			p.goTo(k)
			return true
		}
	}
	return false
}

func holds(hay string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(hay, w) {
			return false
		}
	}
	return true
}

// refresh takes a scene's new events in. Another scene, or one that went back in
// time, starts afresh.
func (p *Pane) refresh(s *state.Scene) {
	if s != p.scene || len(s.Events) < max(p.seen, len(p.hay)) {
		p.scene, p.matches, p.seen, p.hay, p.proofs, p.folded = s, nil, 0, nil, nil, 0
	}
	if p.filter != "" {
		p.haystack()
	}
	words := strings.Fields(p.filter)
	for ; p.seen < len(s.Events); p.seen++ {
		switch {
		case p.filter == "" && p.repeats(s.Events[p.seen]):
			p.folded++
		case p.filter == "" || holds(p.hay[p.seen], words):
			p.matches = append(p.matches, p.seen)
		}
	}
}

// repeats reports whether an event says only again what one before it said: the
// rollback plan is proven every half minute for hours, and the header shows the age
// of the last proof. A filter shows them all.
func (p *Pane) repeats(e state.Event) bool {
	f, ok := e.Fact.(state.RollbackProven)
	if !ok {
		return false
	}
	if p.proofs == nil {
		p.proofs = map[string]state.Proof{}
	}
	last, had := p.proofs[f.Rollout]
	p.proofs[f.Rollout] = f.Proof
	return had && f.Proof.Repeats(last)
}

// haystack writes what filter and search look at, for events that are new.
func (p *Pane) haystack() {
	for i := len(p.hay); i < len(p.scene.Events); i++ {
		e := p.scene.Events[i]
		said := p.scene.Incident.Say(e)
		p.hay = append(p.hay, strings.ToLower(stamp(e.Time)+" "+e.Actor.User+" "+said.Tag+" "+said.Text))
	}
}

// rows is how many events are shown.
func (p *Pane) rows() int { return len(p.matches) }

// index gives the k-th row's place in the scene's events; row 0 is the newest.
func (p *Pane) index(k int) int { return p.matches[len(p.matches)-1-k] }

func (p *Pane) event(k int) state.Event { return p.scene.Events[p.index(k)] }

// cursor gives the row of the selected event, or of the next older one that the
// filter lets through.
func (p *Pane) cursor() int {
	n := p.rows()
	if p.sel == 0 || n == 0 {
		return 0
	}
	return min(sort.Search(n, func(k int) bool { return p.event(k).Seq <= p.sel }), n-1)
}

// View draws the pane, exactly w×h cells. now is not shown: events have their own
// times.
func (p *Pane) View(s *state.Scene, _ time.Time, w, h int, focused bool) string {
	p.refresh(s)
	iw, ih := theme.Inner(w, h)
	list := ih
	var facts []string
	if e, ok := p.Selected(); ok && p.detail.open && ih > 0 {
		list = p.detail.share(ih)
		facts = p.detail.view(p.t, e, iw, ih-list)
	}
	body := p.list(iw, list, focused)
	if facts != nil {
		for len(body) < list {
			body = append(body, "")
		}
		body = append(body, facts...)
	}
	return p.t.Box(p.title(), p.aside(), body, w, h, focused)
}

// list draws the rows in sight.
func (p *Pane) list(w, h int, focused bool) []string {
	n := p.rows()
	if n == 0 {
		why := "nothing has happened yet"
		if p.filter != "" {
			why = "no event matches the filter"
		}
		return []string{p.t.Past.Render(why)}
	}
	p.page = max(h, 1)
	at := p.cursor()
	p.top = max(min(p.top, at), at-p.page+1)
	p.top = max(min(p.top, n-p.page), 0)
	var out []string
	for k := p.top; k < min(p.top+h, n); k++ {
		line := p.row(p.event(k), w)
		if focused && k == at {
			line = p.t.Selected.Over(theme.Fit(line, w))
		}
		out = append(out, line)
	}
	return out
}

// Lines draws the newest n events in lines of w cells without a box, for a small
// screen. The filter holds here too.
func (p *Pane) Lines(s *state.Scene, _ time.Time, w, n int) []string {
	p.refresh(s)
	var out []string
	for k := range min(n, p.rows()) {
		out = append(out, theme.Fit(" "+p.row(p.event(k), w-1), w))
	}
	for len(out) < n {
		out = append(out, theme.Blank(w))
	}
	return out
}

// Line is Lines for the newest event alone.
func (p *Pane) Line(s *state.Scene, now time.Time, w int) string { return p.Lines(s, now, w, 1)[0] }

func stamp(t time.Time) string { return t.UTC().Format("15:04:05") }

// row draws an event: time, actor, tag, text. A narrow one leaves out the actor,
// then the tag, then the time.
func (p *Pane) row(e state.Event, w int) string {
	said := p.scene.Incident.Say(e)
	out := ""
	if w >= 24 {
		out += p.t.Faint.Render(stamp(e.Time)) + "  "
	}
	if w >= 56 {
		st := p.t.Running
		if e.Actor.User == state.Mayday {
			st = p.t.Past
		}
		out += st.Render(theme.Fit(theme.Safe(e.Actor.User), 8)) + " "
	}
	if w >= 40 {
		out += p.t.Past.Render(theme.Fit(theme.Safe(said.Tag), 9)) + " "
	}
	st := p.t.Tone(said.Tone)
	if said.Tone == state.ToneRunning { // blue is for people here
		st = p.t.Text
	}
	return out + p.mark(theme.Cut(theme.Safe(said.Text), w-theme.Width(out)), st)
}

// mark underlines what the search found.
func (p *Pane) mark(text string, st theme.Style) string {
	low := strings.ToLower(text)
	words := strings.Fields(p.search)
	if len(words) == 0 || len(low) != len(text) {
		return st.Render(text)
	}
	var hits [][2]int
	for _, w := range words {
		for at := 0; ; {
			i := strings.Index(low[at:], w)
			if i < 0 {
				break
			}
			hits = append(hits, [2]int{at + i, at + i + len(w)})
			at += i + len(w)
		}
	}
	slices.SortFunc(hits, func(a, b [2]int) int { return a[0] - b[0] })
	out, at := "", 0
	for _, h := range hits {
		if h[0] < at {
			continue
		}
		out += st.Render(text[at:h[0]]) + p.t.Match.Render(text[h[0]:h[1]])
		at = h[1]
	}
	return out + st.Render(text[at:])
}

// title says what is shown and how the journal does.
func (p *Pane) title() string {
	what, n := "all", fmt.Sprintf("%d events", len(p.scene.Events))
	if len(p.scene.Events) == 1 {
		n = "1 event"
	}
	if p.filter != "" {
		what, n = "/"+theme.Safe(p.filter), fmt.Sprintf("%d of %s", p.rows(), n)
	}
	if p.folded > 0 {
		n += fmt.Sprintf(", %d repeated folded", p.folded)
	}
	sep := " " + theme.Bullet + " "
	out := what + sep + n
	if j := p.scene.Journal; j.Head != "" || j.Signed > 0 {
		out += sep + "chain ok"
		if j.Err != "" {
			out = what + sep + n
		}
		if j.Signed > 0 && j.Err == "" {
			out += fmt.Sprintf(", signed to %d", j.Signed)
		}
	}
	return p.t.Head("Timeline", out)
}

// aside is what must not be missed: events that are not on disk yet, newer events
// out of sight, a search without a match.
func (p *Pane) aside() string {
	j := p.scene.Journal
	switch {
	case j.Spooled > 0:
		return p.t.BadStrong.Render(fmt.Sprintf("%d not on disk yet", j.Spooled))
	case j.Err != "":
		return p.t.BadStrong.Render("journal: " + theme.Cut(theme.Safe(j.Err), 40))
	case p.sel != 0 && p.cursor() > 0:
		return p.t.Warn.Render(fmt.Sprintf("%d newer", p.cursor()))
	case p.search != "":
		return p.t.Past.Render("search " + theme.Cut(theme.Safe(p.search), 20) + ", > < on and back")
	}
	return ""
}
