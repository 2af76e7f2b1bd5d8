package checklist

import (
	"fmt"
	"strings"
	"time"

	"mayday/state"
	"mayday/ui/theme"
)

func (p *Pane) rows(s *state.Scene, sel *state.Item, now time.Time) []row {
	in := s.Incident
	next := in.Next()
	rows := p.playbook(s, sel, now)
	for i := range in.Steps {
		st := &in.Steps[i]
		open := sel != nil && step(sel.ID) == fmt.Sprint(st.No)
		var items []row
		for j := range st.Items {
			it := &st.Items[j]
			if !p.matches(it) || !open && p.filter == "" {
				continue
			}
			r := p.item(s, it, now)
			if sel != nil && it.ID == sel.ID {
				r.left = "    " + p.t.RunningStrong.Render("›") + " " + r.left[6:]
			}
			r.step, r.item = st.No, it.ID
			items = append(items, r)
			for _, sub := range p.stages(in, it, now) {
				sub.step = st.No
				items = append(items, sub)
			}
		}
		if p.filter != "" && len(items) == 0 {
			continue
		}
		rows = append(rows, p.step(in, st, next, now))
		rows = append(rows, items...)
	}
	return rows
}

// step is a step's own line: "✓  6 Fast-track review    02:20".
func (p *Pane) step(in *state.Incident, st *state.Step, next *state.Item, now time.Time) row {
	status := st.Status()
	current := next != nil && step(next.ID) == fmt.Sprint(st.No)
	glyph, word, style := p.t.Status(status)
	title := p.t.Past
	switch {
	case status == state.ItemOpen && current:
		glyph, style, title = theme.Play, p.t.Running, p.t.Strong
	case status == state.ItemOpen && st.No == 13:
		glyph, style, title = theme.Due, p.t.Warn, p.t.Text
	case status == state.ItemOpen && st.No == 14:
		glyph, style, title = theme.Undo, p.t.Running, p.t.Text
	case status == state.ItemOpen:
		title = p.t.Text
	case !status.Settled():
		title = p.t.Strong
	}
	right, wins := p.stepSays(in, st, status, word, now)
	if due, ok := in.NextUpdate(); st.No == 13 && ok && in.Open() && due.Before(now) {
		glyph, style = theme.Due, p.t.Bad // a check beside an overdue clock would contradict it
	}
	left := style.Render(glyph) + " " + p.t.Text.Render(fmt.Sprintf("%2d", st.No)) + " " + title.Render(theme.Safe(st.Title))
	return row{left: left, right: right, rightWins: wins, step: st.No}
}

// stepSays is the right-hand side of a step's line.
func (p *Pane) stepSays(in *state.Incident, st *state.Step, status state.ItemStatus, word string, now time.Time) (string, bool) {
	_, _, style := p.t.Status(status)
	switch {
	case st.No == 13 && in.Open():
		if due, ok := in.NextUpdate(); ok {
			if left := due.Sub(now); left < 0 {
				return p.t.BadStrong.Render("OVERDUE " + theme.Clock(-left)), true
			} else {
				return p.t.Warn.Render("due " + theme.Clock(left)), true
			}
		}
	case st.No == 14 && !status.Settled():
		return p.rollbackSays(in), true
	case st.No == 15 && !status.Settled():
		if end, ok := in.MonitoringEnds(); ok {
			return p.t.Running.Render(theme.Clock(max(end.Sub(now), 0)) + " left"), true
		}
		if status == state.ItemOpen {
			return p.t.Past.Render(theme.Span(in.Policy.Monitor.D())), false
		}
	}
	from, to := st.Span()
	switch status {
	case state.ItemDone:
		if from.IsZero() || to.Sub(from) < time.Second {
			return p.t.Past.Render("done"), false
		}
		return p.t.Past.Render(theme.Clock(to.Sub(from))), true
	case state.ItemRunning:
		return style.Render(strings.TrimSpace(word + " " + since(from, now))), true
	case state.ItemOpen:
		if !st.Touched() {
			return "", false
		}
		n := 0
		for i := range st.Items {
			if st.Items[i].Status.Settled() {
				n++
			}
		}
		return p.t.Past.Render(fmt.Sprintf("%d of %d", n, len(st.Items))), true
	}
	return style.Render(word), true
}

// rollbackSays is what step 14 shows: the key's state, else the plan's.
func (p *Pane) rollbackSays(in *state.Incident) string {
	switch in.Rollback.Status {
	case state.RollbackArmed:
		return p.t.BadStrong.Render("ARMED")
	case state.RollbackRunning:
		return p.t.BadStrong.Render("RUNNING")
	case state.RollbackFailed:
		return p.t.BadStrong.Render("FAILED")
	case state.RollbackDone:
		if !in.Rollback.ProvenAt.After(in.Rollback.Ended) { // else a newer plan is proven
			return p.t.GoodStrong.Render("rolled back")
		}
	}
	word, style := p.t.Readiness(in.Rollback.Proof.Ready)
	return style.Render(word)
}

// item is one item's line; the first six cells are indentation.
func (p *Pane) item(s *state.Scene, it *state.Item, now time.Time) row {
	in := s.Incident
	glyph, word, style := p.t.Status(it.Status)
	title := p.t.Text
	if it.Status.Settled() {
		title = p.t.Past
	} else if it.Status != state.ItemOpen {
		title = p.t.Strong
	}
	r := row{left: "      " + style.Render(glyph) + " " + title.Render(theme.Safe(it.Title))}
	summary := theme.Safe(it.Summary)
	switch it.Status {
	case state.ItemDone:
		switch {
		case summary != "" && it.Kind != state.SignOff:
			r.right = p.t.Past.Render(summary)
		case it.Kind == state.SignOff:
			r.right = p.t.Good.Render("signed by " + theme.Safe(it.By+keyOf(it)))
		case it.Value != "":
			r.right = p.t.Past.Render(theme.Safe(it.Value))
		default:
			r.right = p.t.Past.Render(theme.Safe(it.By))
		}
	case state.ItemNotNeeded:
		r.right, r.rightWins = p.t.Past.Render(word), true
	case state.ItemOverridden:
		r.right, r.rightWins = p.t.BadStrong.Render(word+" by "+theme.Safe(it.By)), true
	case state.ItemRunning:
		r.right, r.rightWins = p.t.Running.Render(strings.TrimSpace(word+" "+since(it.Started, now))), true
		if end, ok := in.MonitoringEnds(); ok && it.ID == state.ItemMonitor {
			r.right = p.t.Running.Render(theme.Clock(max(end.Sub(now), 0)) + " left")
		}
	case state.ItemOpen:
		r.right = p.openSays(in, it)
	default:
		r.right, r.rightWins = style.Render(word), true
	}
	return r
}

// keyOf is as much of a signature's key as tells two apart, "" where it was signed
// without one.
func keyOf(it *state.Item) string {
	_, print, ok := strings.Cut(it.SignedWith(), "SHA256:")
	if !ok {
		return ""
	}
	return ", SHA256:" + print[:min(len(print), 8)]
}

// openSays tells what an open item waits for.
func (p *Pane) openSays(in *state.Incident, it *state.Item) string {
	if b := in.Blocker(it); b != nil {
		return p.t.Faint.Render("after: " + theme.Safe(b.Title))
	}
	switch {
	case it.Kind == state.SignOff:
		return p.t.Warn.Render("needs a signature")
	case it.Auto:
		return p.t.Past.Render("by itself")
	case it.Kind == state.Action:
		return p.t.Past.Render("enter runs it")
	case it.Ask != "":
		return p.t.Past.Render("needs an answer")
	}
	return p.t.Past.Render("needs a tick")
}

// stages are the lines below the item that carries a rollout: the stage under way
// and, in one line, those to come.
func (p *Pane) stages(in *state.Incident, it *state.Item, now time.Time) []row {
	var r *state.Rollout
	for i := range in.Rollouts {
		if x := &in.Rollouts[i]; x.Item == it.ID && x.Attempt == in.Attempt {
			r = x
		}
	}
	if r == nil || it.Status.Settled() || !r.Status.Active() {
		return nil
	}
	at := r.Stage()
	if at >= len(r.Stages) {
		return nil
	}
	glyph, word, style := p.t.Status(r.Stages[at].Status)
	says := word
	if g := r.Gate; r.Stages[at].Status == state.ItemRunning && g.Stage == at && g.Hold > 0 && !r.Stages[at].Effected.IsZero() {
		says = fmt.Sprintf("gate %d/%d s", int(g.Held(now)/time.Second), int(g.Hold.D()/time.Second))
		if g.State == state.GateWaiting {
			says, style = "gate waits", p.t.Warn
		}
	}
	rows := []row{{left: "        " + style.Render(glyph) + " " + p.t.Strong.Render(theme.Safe(r.Stages[at].Name)),
		right: style.Render(says), rightWins: true}}
	if rest := r.Stages[at+1:]; len(rest) > 0 {
		rows = append(rows, row{left: "        " + p.t.Faint.Render(theme.Circle) + " " + p.t.Text.Render(theme.Safe(names(rest)))})
	}
	return rows
}

// names writes stages to come in one line: "canary 50, 75, 100 %" where they share
// their words, else their names.
func names(stages []state.StageState) string {
	var out []string
	last := ""
	for _, s := range stages {
		word, n, _ := strings.Cut(strings.TrimSuffix(s.Name, " %"), " ")
		if strings.HasSuffix(s.Name, " %") && word == last {
			out[len(out)-1] = strings.TrimSuffix(out[len(out)-1], " %") + ", " + n + " %"
			continue
		}
		last = ""
		if strings.HasSuffix(s.Name, " %") {
			last = word
		}
		out = append(out, s.Name)
	}
	return strings.Join(out, "; ")
}

// since writes how long something has run; nothing where its start is not known.
func since(from, now time.Time) string {
	if from.IsZero() {
		return ""
	}
	return theme.Clock(max(now.Sub(from), 0))
}
