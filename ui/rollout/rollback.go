package rollout

import (
	"fmt"
	"time"

	"mayday/state"
	"mayday/ui/theme"
)

// rollback draws a rollback that runs or has run: its operations with their times,
// what was seen in the world, and what to do by hand if it failed.
func (p *Pane) rollback(in *state.Incident, now time.Time, w int) (title, right string, body []string) {
	rb := &in.Rollback
	end := rb.Ended
	if end.IsZero() {
		end = now
	}
	took := theme.Clock(max(end.Sub(rb.Started), 0))
	title = p.t.Head("Rollback", "to "+target(in))
	switch rb.Status {
	case state.RollbackRunning:
		right = p.t.RunningStrong.Render("running " + took)
	case state.RollbackDone:
		right = p.t.GoodStrong.Render("done " + took)
	default:
		right = p.t.BadStrong.Render("FAILED " + took)
	}
	if rb.Status == state.RollbackFailed || len(rb.Manual) > 0 {
		body = append(body, p.byHand(rb, w)...)
	}
	for i, l := range theme.Wrap("by "+theme.Safe(rb.By)+": "+theme.Safe(rb.Trigger), max(w-3, 1)) {
		if i > 0 {
			l = "   " + l
		}
		body = append(body, p.t.Past.Render(l))
	}
	for i := range rb.Ops {
		body = append(body, p.backOp(&rb.Ops[i], now, w)...)
	}
	if rb.Verified != "" {
		for i, l := range theme.Wrap("verified: "+theme.Safe(rb.Verified), max(w-2, 1)) {
			head := theme.Check + " "
			if i > 0 {
				head = "  "
			}
			body = append(body, p.t.GoodStrong.Render(head+l))
		}
	} else if rb.Status == state.RollbackRunning {
		body = append(body, p.t.Faint.Render(theme.Circle+" verify that "+target(in)+" answers"))
	}
	return title, right, body
}

func target(in *state.Incident) string {
	if r := in.Rollout(in.Rollback.Rollout); r != nil && r.Target != "" {
		return theme.Safe(r.Target)
	}
	if t := in.Rollback.Proof.Target; t != "" {
		return theme.Safe(t)
	}
	return "the last release"
}

// byHand comes first: nothing on this screen matters more.
func (p *Pane) byHand(rb *state.Rollback, w int) []string {
	var out []string
	if rb.Problem != nil {
		for _, l := range theme.Wrap(theme.Safe(rb.Problem.Error()), w) {
			out = append(out, p.t.BadStrong.Render(l))
		}
	}
	if len(rb.Manual) > 0 {
		text := "do this by hand, in this order:"
		if rb.Status == state.RollbackDone {
			text = "left to do by hand:"
		}
		out = append(out, p.t.BadStrong.Render(text))
	}
	for i, step := range rb.Manual {
		for j, l := range theme.Wrap(theme.Safe(step), max(w-4, 1)) {
			head := theme.Blank(4)
			if j == 0 {
				head = fmt.Sprintf("%2d. ", i+1)
			}
			out = append(out, p.t.Bad.Render(head+l))
		}
	}
	return append(out, "")
}

// backOp draws one operation with the time it took; its command below while it is
// not done, for whoever must do it by hand.
func (p *Pane) backOp(op *state.OpState, now time.Time, w int) []string {
	glyph, word, st := p.t.Status(op.Status)
	title := op.Title
	if title == "" {
		title = op.ID
	}
	left := st.Render(glyph) + " " + p.t.Text.Render(theme.Safe(title))
	if op.Text != "" {
		left += "  " + p.t.Past.Render(theme.Safe(op.Text))
	}
	right := st.Render(word)
	if !op.Started.IsZero() {
		end := op.Ended
		if end.IsZero() {
			end = now
		}
		right += p.t.Past.Render(" " + theme.Span(max(end.Sub(op.Started), 0)))
	}
	out := []string{theme.Row(left, right, w)}
	if op.Command != "" && op.Status != state.ItemDone {
		for _, l := range theme.Wrap("$ "+theme.Safe(op.Command), max(w-4, 1)) {
			out = append(out, "    "+p.t.Past.Render(l))
		}
	}
	return out
}

// backLine is a rollback in one line.
func (p *Pane) backLine(in *state.Incident) string {
	rb := &in.Rollback
	done := 0
	for i := range rb.Ops {
		if rb.Ops[i].Status == state.ItemDone {
			done++
		}
	}
	head := "rollback to " + target(in) + " "
	switch rb.Status {
	case state.RollbackRunning:
		return p.t.RunningStrong.Render(fmt.Sprintf("%srunning %d of %d", head, done, len(rb.Ops)))
	case state.RollbackDone:
		if len(rb.Manual) > 0 {
			return p.t.GoodStrong.Render(head+"done") + p.t.BadStrong.Render(", not all of it: open the rollout pane")
		}
		return p.t.GoodStrong.Render(head+"done") + p.t.Past.Render("  "+theme.Safe(rb.Verified))
	}
	return p.t.BadStrong.Render(head + "FAILED, do it by hand: open the rollout pane")
}
