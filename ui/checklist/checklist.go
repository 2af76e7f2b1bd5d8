// Package checklist draws the 18 steps with their items: what is done and how
// long it took, what runs, what waits for whom. The step around the cursor is
// unfolded; the others take one line each.
package checklist

import (
	"fmt"
	"strings"
	"time"

	"mayday/state"
	"mayday/ui/theme"
)

// Pane is the checklist. Without a choice of the operator's own it follows the
// incident: the cursor is on the item that comes next. Not safe for concurrent use.
type Pane struct {
	t      *theme.Theme
	sel    string // the item chosen by hand; empty: follow
	filter string
}

// New makes a pane that follows the incident.
func New(t *theme.Theme) *Pane { return &Pane{t: t} }

// SetTheme changes the colours.
func (p *Pane) SetTheme(t *theme.Theme) { p.t = t }

// Selected gives the item under the cursor: the one chosen, or the one that comes
// next, or the last one where all is settled. nil before the declaration.
func (p *Pane) Selected(s *state.Scene) *state.Item {
	in := s.Incident
	if p.sel != "" {
		if it := in.Item(p.sel); it != nil {
			return it
		}
	}
	if it := busy(in); it != nil {
		return it
	}
	if it := next(in); it != nil {
		return it
	}
	if ids := p.ids(in); len(ids) > 0 {
		return in.Item(ids[len(ids)-1])
	}
	return nil
}

// busy finds what needs eyes before anything new is begun: an item that asks, else
// a rollout under way.
func busy(in *state.Incident) *state.Item {
	if r := in.Current(); r != nil && r.Status.Active() && r.Attempt == in.Attempt {
		if it := in.Item(r.Item); it != nil && !it.Status.Settled() {
			return it
		}
	}
	return nil
}

// next is what to do next: the monitoring period runs by itself, so what can be
// done meanwhile comes first.
func next(in *state.Incident) *state.Item {
	first := in.Next()
	if first == nil || first.ID != state.ItemMonitor || first.Status != state.ItemRunning {
		return first
	}
	for i := range in.Steps {
		for j := range in.Steps[i].Items {
			it := &in.Steps[i].Items[j]
			if it.Status != state.ItemRunning && !it.Status.Settled() && !it.Optional && in.Blocker(it) == nil {
				return it
			}
		}
	}
	return first
}

// Select puts the cursor on an item, or lets it follow again with "".
func (p *Pane) Select(id string) { p.sel = id }

// Chosen is the item chosen by hand, "" while the cursor follows the incident.
func (p *Pane) Chosen() string { return p.sel }

// SetFilter shows only items whose title or ID holds the text; "" shows all.
func (p *Pane) SetFilter(q string) { p.filter = strings.ToLower(strings.TrimSpace(q)) }

// Filter gives the filter as set.
func (p *Pane) Filter() string { return p.filter }

// Up moves the cursor to the item before.
func (p *Pane) Up(s *state.Scene) { p.move(s, -1) }

// Down moves the cursor to the item after.
func (p *Pane) Down(s *state.Scene) { p.move(s, 1) }

// PageUp moves to the first item of this step, or of the step before.
func (p *Pane) PageUp(s *state.Scene) { p.jump(s, -1) }

// PageDown moves to the first item of the next step.
func (p *Pane) PageDown(s *state.Scene) { p.jump(s, 1) }

// Home moves to the first item.
func (p *Pane) Home(s *state.Scene) {
	if ids := p.ids(s.Incident); len(ids) > 0 {
		p.sel = ids[0]
	}
}

// End moves to the last item.
func (p *Pane) End(s *state.Scene) {
	if ids := p.ids(s.Incident); len(ids) > 0 {
		p.sel = ids[len(ids)-1]
	}
}

func (p *Pane) move(s *state.Scene, by int) {
	ids := p.ids(s.Incident)
	if len(ids) == 0 {
		return
	}
	at := p.at(s, ids)
	p.sel = ids[min(max(at+by, 0), len(ids)-1)]
}

func (p *Pane) jump(s *state.Scene, by int) {
	ids := p.ids(s.Incident)
	if len(ids) == 0 {
		return
	}
	at := p.at(s, ids)
	first := func(i int) int { // of the step that ids[i] is in
		for i > 0 && step(ids[i-1]) == step(ids[i]) {
			i--
		}
		return i
	}
	if by < 0 {
		if f := first(at); f < at {
			at = f
		} else if f > 0 {
			at = first(f - 1)
		}
	} else {
		for i := at; i < len(ids); i++ {
			if step(ids[i]) != step(ids[at]) {
				at = i
				break
			}
		}
	}
	p.sel = ids[at]
}

func (p *Pane) at(s *state.Scene, ids []string) int {
	if it := p.Selected(s); it != nil {
		for i, id := range ids {
			if id == it.ID {
				return i
			}
		}
	}
	return 0
}

// ids lists the items that the filter lets through, in order.
func (p *Pane) ids(in *state.Incident) []string {
	var out []string
	add := func(items []state.Item) {
		for i := range items {
			if p.matches(&items[i]) {
				out = append(out, items[i].ID)
			}
		}
	}
	for i := range in.Playbook {
		add(in.Playbook[i].Items)
	}
	for i := range in.Steps {
		add(in.Steps[i].Items)
	}
	return out
}

func (p *Pane) matches(it *state.Item) bool {
	return p.filter == "" || strings.Contains(strings.ToLower(it.ID+" "+it.Title), p.filter)
}

func step(id string) string {
	no, _, _ := strings.Cut(id, ".")
	return no
}

// row is one line of the list.
type row struct {
	left, right string
	rightWins   bool // cut the left text before the right one
	step        int
	item        string
}

// View draws the pane: exactly w×h cells with its border.
func (p *Pane) View(s *state.Scene, now time.Time, w, h int, focused bool) string {
	in := s.Incident
	iw, ih := theme.Inner(w, h)
	sel := p.Selected(s)
	rows := p.rows(s, sel, now)
	cursor, from, to := 0, 0, 0
	if sel != nil {
		cursor, from, to = window(rows, sel.ID)
	}
	off := offset(len(rows), ih, cursor, from, to)
	var body []string
	for i := off; i < len(rows) && len(body) < ih; i++ {
		line := rows[i].fit(iw)
		if sel != nil && rows[i].item == sel.ID && i == cursor {
			line = p.t.Selected.Over(line)
		}
		body = append(body, line)
	}
	if about := p.about(in, sel, iw); len(rows)+len(about)+1 <= ih {
		for len(body)+len(about) < ih {
			body = append(body, "")
		}
		body = append(body, about...)
	}
	rest := fmt.Sprintf("%d/%d done", in.Done(), len(in.Steps))
	right := ""
	switch {
	case p.filter != "":
		right = p.t.Match.Render("filter: " + theme.Safe(p.filter))
	case in.Open() && in.NextPhase() != nil && in.NextPhase().Late(now):
		right = p.t.Bad.Render("playbook overdue")
	case in.Attempt > 1:
		right = p.t.Warn.Render(fmt.Sprintf("attempt %d", in.Attempt))
	}
	if len(rows) == 0 {
		body = []string{p.t.Past.Render("nothing matches the filter; esc shows everything")}
		if p.filter == "" {
			body[0] = p.t.Past.Render("waiting for the incident…")
		}
	}
	return p.t.Box(p.t.Head("Checklist", rest), right, body, w, h, focused)
}

// about says what the item under the cursor is, for the room below the list.
func (p *Pane) about(in *state.Incident, it *state.Item, w int) []string {
	if it == nil || p.filter != "" {
		return nil
	}
	if in.Score != nil {
		return p.score(in.Score, w)
	}
	var out []string
	say := func(st theme.Style, text string) {
		for _, l := range theme.Wrap(theme.Safe(text), w) {
			out = append(out, st.Render(l))
		}
	}
	out = append(out, p.t.Border.Render(theme.Repeat("─", w)))
	say(p.t.Strong, it.Title)
	if it.Ask != "" && !it.Status.Settled() {
		say(p.t.Text, it.Ask)
	}
	if it.Help != "" {
		say(p.t.Past, it.Help)
	}
	if it.Summary != "" {
		say(p.t.Text, it.Summary)
	} else if it.Value != "" {
		say(p.t.Text, it.Value)
	}
	if x := it.Problem; x != nil && !it.Status.Settled() {
		say(p.t.Bad, x.Error())
	}
	if b := in.Blocker(it); b != nil && !it.Status.Settled() {
		say(p.t.Warn, "waits for: "+b.Title)
	}
	if len(out) < 3 {
		return nil // the title alone stands in the list
	}
	if len(out) > 8 {
		out = append(out[:7], p.t.Past.Render("d shows the rest"))
	}
	return out
}

// score is a drill's card, once it was made.
func (p *Pane) score(s *state.Score, w int) []string {
	word, st := "not as it should end", p.t.BadStrong
	if s.Passed {
		word, st = "passed", p.t.GoodStrong
	}
	took := func(what string, d state.Duration) string {
		says := theme.Dash
		if d > 0 {
			says = theme.Clock(d.D())
		}
		return theme.Row(p.t.Past.Render(what), p.t.Text.Render(says), w)
	}
	count := func(what string, n int) string {
		st := p.t.Text
		if n > 0 {
			st = p.t.Warn
		}
		return theme.Row(p.t.Past.Render(what), st.Render(fmt.Sprint(n)), w)
	}
	out := []string{p.t.Border.Render(theme.Repeat("─", w)), theme.Row(p.t.Strong.Render("Score card")+p.t.Past.Render(" "+theme.Safe(s.Scenario)), st.Render(word), w)}
	for _, l := range theme.Wrap(theme.Safe(s.Outcome), w) {
		out = append(out, p.t.Text.Render(l))
	}
	return append(out, took("acknowledged after", s.Acknowledge), took("decided after", s.Decide), took("mitigated after", s.Mitigate), took("rolled back after", s.Rollback),
		count("status updates missed", s.MissedUpd), count("escalations missed", s.MissedEsc), count("items overridden", s.Overridden))
}

func (r row) fit(w int) string {
	if r.rightWins {
		return theme.Row(r.left, r.right, w)
	}
	return theme.RowLeft(r.left, r.right, w)
}

// window finds the cursor's row and the block of its step.
func window(rows []row, id string) (cursor, from, to int) {
	for i := range rows {
		if rows[i].item == id {
			cursor = i
			break
		}
	}
	from, to = cursor, cursor
	for from > 0 && rows[from-1].step == rows[cursor].step {
		from--
	}
	for to < len(rows)-1 && rows[to+1].step == rows[cursor].step {
		to++
	}
	return cursor, from, to
}

// offset picks the first visible row: the whole step if it fits, with what came
// before above it; else the cursor in the middle.
func offset(n, h, cursor, from, to int) int {
	off := to - h + 1
	if to-from+1 > h {
		off = min(max(cursor-h/2, from), to-h+1)
	}
	return max(min(off, n-h), 0)
}

// Line is the checklist in one line, for the smallest screens: the item that comes
// next and how far we are.
func (p *Pane) Line(s *state.Scene, now time.Time, w int) string {
	in := s.Incident
	it := p.Selected(s)
	if it == nil {
		return theme.Fit("", w)
	}
	r := p.item(s, it, now)
	return theme.Row(strings.TrimLeft(r.left, " "), r.right+p.t.Past.Render(fmt.Sprintf(" %d/%d", in.Done(), len(in.Steps))), w)
}
