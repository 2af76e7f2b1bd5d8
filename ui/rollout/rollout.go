// Package rollout is the cockpit's pane of the deployment under way: how traffic is
// split, how far the stages came, what the gate waits for and why, what comes next
// with the exact commands; and while R runs and after it, the rollback.
package rollout

import (
	"fmt"
	"strings"
	"time"

	"mayday/state"
	"mayday/ui/theme"
)

// Pane shows the newest rollout. It scrolls where its text is longer than its
// place. Not safe for concurrent use.
type Pane struct {
	t    *theme.Theme
	top  int
	size int // lines of the last View
	page int
}

// New makes a pane.
func New(t *theme.Theme) *Pane { return &Pane{t: t, page: 1} }

// SetTheme changes the colours.
func (p *Pane) SetTheme(t *theme.Theme) { p.t = t }

// Up scrolls one line up.
func (p *Pane) Up() { p.scroll(-1) }

// Down scrolls one line down.
func (p *Pane) Down() { p.scroll(1) }

// PageUp scrolls a screenful up.
func (p *Pane) PageUp() { p.scroll(-p.page) }

// PageDown scrolls a screenful down.
func (p *Pane) PageDown() { p.scroll(p.page) }

// Home goes to the top.
func (p *Pane) Home() { p.top = 0 }

// End goes to the bottom.
func (p *Pane) End() { p.scroll(p.size) }

func (p *Pane) scroll(by int) { p.top = max(min(p.top+by, p.size-p.page), 0) }

// View draws the pane, exactly w×h cells, as things stand at now (incident time).
func (p *Pane) View(s *state.Scene, now time.Time, w, h int, focused bool) string {
	iw, ih := theme.Inner(w, h)
	var title, right string
	var body []string
	switch r := s.Incident.Current(); {
	case takenBack(s.Incident):
		title, right, body = p.rollback(s.Incident, now, iw)
	case r == nil:
		title, right, body = p.t.Head("Rollout", "none yet, it needs first:"), "", p.before(s.Incident, iw)
	default:
		title, right = p.title(s.Incident, r)
		body = p.rollout(s, r, now, iw, ih)
	}
	if ih > 5 && meansRelease(s.Incident) {
		body = append(body, p.lastRelease(s.Incident, now, iw)...)
	}
	p.size, p.page = len(body), max(ih, 1)
	p.scroll(0)
	if more := len(body) - p.top - ih; ih > 2 && more > 0 {
		body = append(append([]string{}, body[p.top:p.top+ih-1]...), p.t.Faint.Render(fmt.Sprintf("%d more below", more+1)))
	} else {
		body = body[p.top:]
	}
	return p.t.Box(title, right, body, w, h, focused)
}

// meansRelease reports whether R is for the last release: in an attempt whose own
// rollout has not begun.
func meansRelease(in *state.Incident) bool {
	st := in.Rollback.Status
	return in.OwnRollout() == nil && st != state.RollbackRunning && st != state.RollbackFailed && len(in.Closed) < in.Attempt
}

// takenBack reports whether the rollback is what there is to see: it runs, or what
// it took back is the newest rollout that ever started.
func takenBack(in *state.Incident) bool {
	rb := &in.Rollback
	switch rb.Status {
	case state.RollbackRunning, state.RollbackFailed:
		return true
	case state.RollbackDone:
		r := in.Current()
		// Not by rb.Rollout: a newer plan's proof names that one.
		return r == nil || r.Status == state.RolloutRolledBack || !r.Started.IsZero() && r.Started.Before(rb.Started)
	}
	return false
}

func (p *Pane) title(in *state.Incident, r *state.Rollout) (title, right string) {
	what := theme.Safe(r.Strategy)
	if r.Subject != "" {
		what += " on " + theme.Safe(r.Subject)
	}
	if !r.Production {
		what += " in " + theme.Safe(r.Environment)
	}
	if r.Attempt != in.Attempt {
		what += fmt.Sprintf(", attempt %d", r.Attempt)
	}
	word, st := p.t.Rollout(r.Status)
	return p.t.Head("Rollout", what), st.Render(word)
}

// rollout draws a rollout, the weightiest lines first where the place is low.
func (p *Pane) rollout(s *state.Scene, r *state.Rollout, now time.Time, w, h int) []string {
	bar, versions := p.bar(r, w), p.versions(r, w)
	strip, gate := p.strip(r, now, w), p.gate(s, r, w)
	armed := s.Incident.Rollback.Status == state.RollbackArmed
	switch {
	case armed && h > 0 && h < 5:
		gate = p.t.BadStrong.Render("rollback armed: enter runs it now, c stops it")
	case h <= 0:
		return nil
	}
	switch h {
	case 1:
		return []string{strip}
	case 2:
		return []string{strip, gate}
	case 3:
		return []string{versions, strip, gate}
	case 4:
		return []string{bar, versions, strip, gate}
	}
	out := []string{bar, versions, "", strip, gate}
	if armed {
		out[2] = p.t.BadStrong.Render("rollback armed by " + theme.Safe(s.Incident.Rollback.By) + ": enter runs it now, c or esc stops it")
	}
	if say := p.call(r); say != "" {
		if armed {
			out = append(out, say)
		} else {
			out[2] = say
		}
	}
	if h > len(out) {
		out = append(append(out, ""), p.decided(s, r, now, w)...)
		out = append(out, p.table(r, now, w)...)
		out = append(out, p.more(s.Incident, r, now, w)...)
	}
	return out
}

// call says what a person can do now, where the rollout does not go on by itself.
func (p *Pane) call(r *state.Rollout) string {
	at := "the last stage"
	if i := r.Stage(); i < len(r.Stages) {
		at = theme.Safe(r.Stages[i].Name)
	}
	keys, back := ": g goes on, R takes it back", "R takes it back"
	if !r.Production { // R is for production
		keys, back = ": g goes on", "its item can be run again"
	}
	switch r.Status {
	case state.RolloutPlanned:
		if len(r.Warnings) > 0 {
			return p.t.WarnStrong.Render("planned, nothing has happened yet; mind: ") + p.t.Warn.Render(theme.Safe(r.Warnings[0]))
		}
		return p.t.Past.Render(fmt.Sprintf("planned, nothing has happened yet: %d stages", len(r.Stages)))
	case state.RolloutAsking:
		return p.t.WarnStrong.Render("paused at " + at + ", you decide" + keys)
	case state.RolloutInterrupted:
		return p.t.WarnStrong.Render("interrupted in " + at + ": g reads the world again and goes on, " + back)
	case state.RolloutStopped:
		return p.t.WarnStrong.Render("stopped in " + at + " and left as it stands" + keys)
	case state.RolloutFailed:
		why := ""
		if r.Problem != nil {
			why = ", " + theme.Safe(r.Problem.Error())
		}
		return p.t.BadStrong.Render("failed in "+at+": "+back) + p.t.Bad.Render(why)
	case state.RolloutDone:
		return p.t.Good.Render("done in " + theme.Clock(r.Ended.Sub(r.Started)))
	}
	return ""
}

// before says what is still needed for a rollout, when none is planned.
func (p *Pane) before(in *state.Incident, w int) []string {
	line := func(ok bool, what, have string) string {
		g, st := theme.Circle, p.t.Faint
		if ok {
			g, st = theme.Check, p.t.Good
		}
		return theme.RowLeft(st.Render(g)+" "+p.t.Text.Render(what), p.t.Past.Render(theme.Safe(have)), w)
	}
	fact := func(what, key string) string {
		v := in.Facts[key]
		if v == "" {
			return line(false, what, "not yet")
		}
		return line(true, what, v)
	}
	step := func(no int) string {
		st := in.Step(no)
		if st == nil {
			return line(false, fmt.Sprintf("step %d", no), "not yet")
		}
		_, word, _ := p.t.Status(st.Status())
		return line(st.Status().Settled(), theme.Safe(st.Title), word)
	}
	return []string{
		fact("a branch from what runs in production", "branch"), fact("an approval", "approved.by"), fact("a version", "version"), step(8), step(9)}
}

// lastRelease says what R means before mayday's own rollout: which release it would
// undo by which commands, or why there is nothing to take back, and all that is doubted.
func (p *Pane) lastRelease(in *state.Incident, now time.Time, w int) []string {
	rel := &in.Release
	if rel.Since.IsZero() || !in.Open() || in.Undone() {
		return nil
	}
	head := p.t.Past.Render("R     ") + p.t.Strong.Render("would do nothing")
	if rel.Proof.Ready != state.NotReady && rel.Undo.ID != "" {
		word, st := p.t.Readiness(rel.Proof.Ready)
		head = p.t.Past.Render("R     ") + st.Render(word) + p.t.Past.Render(": would undo the last release, "+theme.Safe(rel.Undo.Version)+" back to "+theme.Safe(rel.Undo.Target))
	}
	out := []string{"", head + p.t.Past.Render(", for "+theme.Span(now.Sub(rel.Since)))}
	put := func(style theme.Style, text string) {
		for _, l := range theme.Wrap(theme.Safe(text), max(w-6, 1)) {
			out = append(out, "      "+style.Render(l))
		}
	}
	put(p.t.Warn, rel.Proof.Why)
	for _, f := range rel.Proof.Checks {
		switch {
		case f.Text == rel.Proof.Why:
		case !f.OK:
			put(p.t.Bad, theme.Cross+" "+f.Name+" "+f.Text)
		case f.Warn:
			put(p.t.Warn, theme.Bang+" "+f.Name+": "+f.Text)
		}
	}
	if rel.Proof.Ready != state.NotReady { // exactly what will run
		for _, op := range rel.Undo.Inverse {
			out = append(out, p.op(state.Op{Title: op.Title, Object: op.Object, Command: op.Command}, w)...)
		}
	}
	return out
}

// Line says in one line of w cells where the rollout stands, for a small screen.
func (p *Pane) Line(s *state.Scene, now time.Time, w int) string {
	in := s.Incident
	r := in.Current()
	switch {
	case takenBack(in):
		return theme.Fit(" "+p.backLine(in), w)
	case r == nil:
		return theme.Fit(p.t.Past.Render(" no rollout yet"), w)
	}
	word, st := p.t.Rollout(r.Status)
	parts := []string{st.Render(theme.Safe(strings.TrimSpace(r.Strategy + " " + p.Brief(s))))}
	if r.Status != state.RolloutRunning && p.Brief(s) != word {
		parts = append(parts, st.Render(word))
	}
	if i := r.Stage(); i < len(r.Stages) && (r.Status == state.RolloutRunning || r.Status == state.RolloutAsking) {
		parts = append(parts, p.t.Past.Render("gate ")+p.holding(r, i, now))
	}
	if seen, ok := lastSeen(r); ok {
		parts = append(parts, p.t.Past.Render("seen ")+p.t.Text.Render(state.Quantity(seen, "%")))
	}
	if r := s.Incident.Reaction.D(); r > 0 {
		parts = append(parts, p.t.Past.Render("reaction "+theme.Within(r)))
	}
	return theme.Fit(" "+strings.Join(parts, "  "), w)
}

// Brief says where the newest rollout is in a word or two, for a tab: "25 %",
// "batch 2", "done"; empty before the first.
func (p *Pane) Brief(s *state.Scene) string {
	r := s.Incident.Current()
	switch {
	case takenBack(s.Incident):
		return "rollback"
	case r == nil:
		return ""
	}
	i := r.Stage()
	if r.Status == state.RolloutPlanned || i >= len(r.Stages) {
		word, _ := p.t.Rollout(r.Status)
		return word
	}
	if w := r.Stages[i].Weight; w > 0 {
		return fmt.Sprintf("%d %%", w)
	}
	return label(r, i)
}
