package checklist

import (
	"fmt"
	"strings"
	"time"

	"mayday/state"
	"mayday/ui/theme"
)

// playbook is the playbook above the steps: the phase that is on in one line, and all
// of it where the cursor is in it.
func (p *Pane) playbook(s *state.Scene, sel *state.Item, now time.Time) []row {
	in := s.Incident
	open := sel != nil && in.Phase(sel.ID) != nil
	next := in.NextPhase()
	var rows []row
	for i := range in.Playbook {
		ph := &in.Playbook[i]
		var items []row
		for j := range ph.Items {
			it := &ph.Items[j]
			if !p.matches(it) || !open && p.filter == "" {
				continue
			}
			r := p.item(s, it, now)
			if it.Status == state.ItemOpen && in.Open() && ph.Late(now) {
				r.right, r.rightWins = p.t.Bad.Render("late"), true
			}
			if sel != nil && it.ID == sel.ID {
				r.left = "    " + p.t.RunningStrong.Render("›") + " " + r.left[6:]
			}
			r.step, r.item = -i-1, it.ID
			items = append(items, r)
		}
		last := next == nil && i == len(in.Playbook)-1 // all is done: said once
		if p.filter != "" && len(items) == 0 || p.filter == "" && !open && ph != next && !last {
			continue
		}
		rows = append(append(rows, p.phase(in, ph, next, now, -i-1)), items...)
	}
	return rows
}

// phase is a phase's own line: "◷  P Playbook: investigation   2/5 due 02:10".
func (p *Pane) phase(in *state.Incident, ph, next *state.PhaseState, now time.Time, step int) row {
	glyph, style, title := theme.Due, p.t.Warn, p.t.Text
	done := fmt.Sprintf("%d/%d ", ph.Settled(), len(ph.Items))
	right := p.t.Past.Render(done) + p.due(in, ph, now)
	switch {
	case ph.Settled() == len(ph.Items):
		glyph, _, style = p.t.Status(state.ItemDone)
		title, right = p.t.Past, p.t.Past.Render("done")
	case !in.Open():
		style, title, right = p.t.Past, p.t.Past, p.t.Past.Render(done)
	case ph.Late(now):
		style, title = p.t.Bad, p.t.Strong
	case now.Before(ph.From) && ph != next:
		style = p.t.Past
	}
	return row{left: style.Render(glyph) + " " + p.t.Text.Render(" P") + " " + title.Render("Playbook: "+theme.Safe(strings.ToLower(ph.Name))), right: right, rightWins: true, step: step}
}

// due says when what is open of a phase has to be done.
func (p *Pane) due(in *state.Incident, ph *state.PhaseState, now time.Time) string {
	switch {
	case !in.Open():
		return ""
	case ph.Late(now):
		return p.t.BadStrong.Render("late " + theme.Clock(now.Sub(ph.Due)))
	case now.Before(ph.From):
		return p.t.Past.Render("in " + theme.Clock(ph.From.Sub(now)))
	case ph.Due.IsZero():
		return p.t.Warn.Render("now")
	}
	return p.t.Warn.Render("due " + theme.Clock(ph.Due.Sub(now)))
}
