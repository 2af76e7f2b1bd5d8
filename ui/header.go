package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"mayday/state"
	"mayday/ui/theme"
)

const wideAt = 100 // columns from which the header says things in full

// header is the two lines that are always there, and a red one under them while
// something is wrong that must not be overlooked.
func (m *Model) header() []string {
	second := m.clocks()
	if bar := m.bar(); bar != "" {
		second = bar
	}
	out := []string{m.title(), second}
	if trouble := m.trouble(); trouble != "" {
		out = append(out, m.t.BadStrong.Render(theme.Fit(" "+theme.Bang+" "+trouble, m.w)))
	}
	return out
}

// title says which incident this is, who is here and how long it lasts.
func (m *Model) title() string {
	in := m.scene.Incident
	if in.ID == "" {
		return theme.Fit(" "+m.t.BadgeQuiet.Render(" mayday ")+m.t.Past.Render(" connecting to the incident…"), m.w)
	}
	badge := m.t.Badge
	if in.Severity >= 2 {
		badge = m.t.BadgeQuiet
	}
	left := badge.Render(" "+in.Severity.String()+" ") + " "
	if in.Drill != "" {
		left += m.t.WarnStrong.Render("DRILL ")
	}
	left += m.t.Strong.Render(theme.Safe(in.Title))
	right := []string{here(in)}
	if who := in.Roles[state.Driver]; who != "" { // never left out: a long title is cut instead
		right = append([]string{"driver " + theme.Cut(theme.Safe(who), max(m.w/6, 8))}, right...)
	}
	if !in.Ended.IsZero() {
		right = append(right, string(in.Status))
	}
	elapsed := " " + m.t.Strong.Render(theme.Elapsed(in.Elapsed(m.now))) + " "
	var where []string
	line := func() string {
		l := left
		if len(where) > 0 {
			l += m.t.Past.Render(" " + theme.Safe(strings.Join(where, " · ")))
		}
		return theme.Row(l, m.t.Past.Render(strings.Join(right, " · "))+elapsed, m.w)
	}
	// What else is worth knowing, the weightiest first, as far as all of it fits.
	room := m.w - theme.Width(left) - theme.Width(strings.Join(right, " · ")+elapsed) - 2
	for _, x := range m.alsoInTitle() {
		if room -= theme.Width(x.text) + 3; room < 0 {
			break
		}
		if x.person {
			right = append([]string{x.text}, right...)
		} else {
			where = append(where, x.text)
		}
	}
	return line()
}

type titlePart struct {
	text   string
	person bool // stands at the right, with those who are here
}

// alsoInTitle is what the title says where there is room, the weightiest first.
func (m *Model) alsoInTitle() []titlePart {
	in := m.scene.Incident
	var out []titlePart
	add := func(text string, person bool) {
		if text = theme.Safe(text); text != "" {
			out = append(out, titlePart{text, person})
		}
	}
	if m.w < wideAt {
		return nil
	}
	add(in.ID, false)
	if in.Ended.IsZero() {
		add(string(in.Status), false)
	}
	if in.Attempt > 1 {
		add(fmt.Sprintf("attempt %d", in.Attempt), false)
	}
	add(strings.TrimSpace(in.Environment+" "+in.Service), false)
	if who := in.Roles[state.Commander]; who != "" {
		add("commander "+who, true)
	}
	if in.Attempt == 1 {
		add("attempt 1", false)
	}
	return out
}

func here(in *state.Incident) string {
	return fmt.Sprintf("%d here", len(in.Here))
}

// clocks is the line of countdowns and of the rollback plan.
func (m *Model) clocks() string {
	in := m.scene.Incident
	if in.ID == "" {
		return theme.Blank(m.w)
	}
	// The fullest form that fits: the countdowns must never be cut. A few cells are
	// kept free, so that a growing number does not change the form each second.
	const slack = 3
	for _, f := range []struct {
		wide, acked bool
		plan        fullness
	}{{true, true, full}, {true, false, full}, {true, false, brief}, {false, false, full}, {false, false, brief}} {
		left := " " + m.nextPage(in, f.wide, f.acked) + m.nextUpdate(in, f.wide)
		right := m.readiness(in, f.plan) + " "
		if theme.Width(left)+theme.Width(right)+slack <= m.w {
			return theme.Row(left, right, m.w)
		}
	}
	left, right := " "+m.nextPage(in, false, false)+m.nextUpdate(in, false), m.readiness(in, least)+" "
	if theme.Width(left)+theme.Width(right) >= m.w {
		left = " " + m.barePage(in) + m.nextUpdate(in, false)
	}
	return theme.Row(left, right, m.w)
}

// barePage is nextPage without the roles, for where there is no room.
func (m *Model) barePage(in *state.Incident) string {
	next, ok := in.NextEscalation()
	if !in.Open() || !in.Mitigated.IsZero() || !ok {
		return m.nextPage(in, false, false)
	}
	mark := ""
	if len(unacked(in)) > 0 {
		mark = m.t.BadStrong.Render(" " + theme.Bang)
	}
	left := next.DueAt().Sub(m.now)
	if left < 0 {
		return m.t.Past.Render("page ") + m.t.BadStrong.Render("OVERDUE "+theme.Clock(-left)) + mark + "  "
	}
	return m.t.Past.Render("page ") + m.t.Warn.Render(theme.Clock(left)) + mark + "  "
}

func (m *Model) nextPage(in *state.Incident, wide, withAcked bool) string {
	word, gap, acked := "page ", "  ", m.acked(in, wide, withAcked)
	if wide {
		word, gap = "escalate ", "   "
	}
	next, ok := in.NextEscalation()
	switch {
	case !in.Open():
		return m.t.Past.Render("the incident has ended" + gap)
	case !in.Mitigated.IsZero():
		return m.t.Good.Render("mitigated, no more pages") + acked + gap
	case !ok && len(in.Levels) == 0:
		return m.t.Past.Render(word + "nobody" + gap)
	case !ok:
		return m.t.Past.Render(word+"all paged") + acked + gap
	}
	role := short(next.Role, wide)
	left := next.DueAt().Sub(m.now)
	switch {
	case left < 0:
		return m.t.Past.Render(word) + m.t.BadStrong.Render(role+" OVERDUE "+theme.Clock(-left)) + acked + gap
	case wide:
		return m.t.Past.Render(word) + m.t.Warn.Render(role+" in "+theme.Clock(left)) + acked + gap
	}
	return m.t.Past.Render(word) + m.t.Warn.Render(role+" "+theme.Clock(left)) + acked + gap
}

// acked says that nobody has a page yet, which is never left out, or (full) who has it.
func (m *Model) acked(in *state.Incident, wide, full bool) string {
	if un := unacked(in); len(un) > 0 {
		l := un[len(un)-1]
		switch {
		case !wide:
			return m.t.BadStrong.Render(" " + theme.Bang + short(l.Role, false))
		case !full:
			return m.t.BadStrong.Render(" (" + short(l.Role, false) + " not acked)")
		}
		return m.t.BadStrong.Render(" (" + l.Role + " paged " + theme.Clock(m.now.Sub(l.Paged)) + " ago, not acked)")
	}
	if !full {
		return ""
	}
	var last state.Level
	for _, l := range in.Levels {
		if l.Acked.After(last.Acked) {
			last = l
		}
	}
	if last.Acked.IsZero() {
		return ""
	}
	return m.t.Past.Render(" (" + last.Role + " acked " + theme.Clock(m.now.Sub(last.Acked)) + " ago)")
}

func short(role string, wide bool) string {
	if wide {
		return role
	}
	return strings.NewReplacer("engineering", "eng.", "incident ", "", "senior engineer", "senior eng.").Replace(role)
}

func (m *Model) nextUpdate(in *state.Incident, wide bool) string {
	word := "update "
	if wide {
		word = "update due "
	}
	due, ok := in.NextUpdate()
	if !ok {
		return ""
	}
	left := due.Sub(m.now)
	if left < 0 {
		return m.t.Past.Render("update ") + m.t.BadStrong.Render("OVERDUE "+theme.Clock(-left))
	}
	st := m.t.Text
	if left < 5*time.Minute {
		st = m.t.Warn
	}
	return m.t.Past.Render(word) + st.Render(theme.Clock(left))
}

// fullness is how much the header says of the rollback plan.
type fullness int

const (
	least fullness = iota
	brief
	full
)

// readiness is what R would do, and whether that was proven.
func (m *Model) readiness(in *state.Incident, much fullness) string {
	rb, wide := &in.Rollback, much == full
	key := m.t.RollbackKey.Render(" R ") + " "
	to := "rollback to "
	if !wide {
		to = ""
	}
	switch {
	case rb.Status == state.RollbackRunning:
		return m.t.BadStrong.Render(m.backwards())
	case rb.Status == state.RollbackFailed:
		if !wide {
			return m.t.BadStrong.Render("ROLLBACK FAILED")
		}
		return m.t.BadStrong.Render("ROLLBACK FAILED, f shows what to do")
	case m.undoes() != nil:
		return key + m.undo(in, much)
	case rb.Status == state.RollbackDone && !rb.ProvenAt.After(rb.Ended):
		if len(rb.Manual) > 0 {
			return m.t.GoodStrong.Render("rolled back to "+m.target()) + m.t.BadStrong.Render(", not all: f")
		}
		return m.t.GoodStrong.Render("rolled back to " + m.target())
	case rb.Proof.Ready == "" && !in.Release.Since.IsZero():
		if wide {
			return key + m.t.Past.Render("nothing to take back: "+theme.Cut(theme.Safe(in.Release.Proof.Why), m.w/3))
		}
		return key + m.t.Past.Render("no way back")
	case rb.Proof.Ready == "":
		if wide {
			why := rb.Proof.Why
			if why == "" {
				why = "step 9 makes and proves one"
			}
			return key + m.t.Past.Render("no rollback plan yet: "+theme.Safe(why))
		}
		return key + m.t.Past.Render("no plan yet")
	}
	word, st := m.t.Readiness(rb.Proof.Ready)
	age := m.t.Past.Render(" " + theme.Age(m.now.Sub(rb.ProvenAt)))
	if wide {
		age = m.t.Past.Render(" proven " + theme.Span(m.now.Sub(rb.ProvenAt)) + " ago")
		if rb.Proof.Ready != state.Ready && rb.Proof.Why != "" {
			age = m.t.Past.Render(": " + theme.Safe(rb.Proof.Why))
		}
	}
	return key + st.Render(to+theme.Safe(m.target())+" "+word) + age
}

// undoes gives the last release where R would undo it, nil where R means something else.
func (m *Model) undoes() *state.Rollout {
	in := m.scene.Incident
	u := in.TakesBack()
	if u == nil || u.ID != state.UndoID || u.Status == state.RolloutRolledBack || !in.Open() {
		return nil
	}
	return u
}

// undo is what R would do with the last release. Its answer is journaled when it
// changes, and has stood since.
func (m *Model) undo(in *state.Incident, much fullness) string {
	u, p := m.undoes(), in.Release.Proof
	word, st := m.t.Readiness(p.Ready)
	text := theme.Safe(u.Version) + " → " + theme.Safe(u.Target) + " " + word
	since := m.now.Sub(in.Release.Since)
	switch {
	case much == least:
		return st.Render("undo " + word)
	case much == brief && m.w < wideAt:
		return st.Render("→ " + theme.Safe(u.Target) + " " + word)
	case much == brief:
		return st.Render(text) + m.t.Past.Render(" "+theme.Age(since))
	case p.Ready != state.Ready && p.Why != "":
		return st.Render("undoes "+text) + m.t.Past.Render(": "+theme.Cut(theme.Safe(p.Why), m.w/3))
	}
	return st.Render("undoes "+text) + m.t.Past.Render(" for "+theme.Span(since))
}

// doubt says why what R would do is not proven, "" where it is.
func (m *Model) doubt() string {
	p := m.scene.Incident.Rollback.Proof
	if m.undoes() != nil {
		p = m.scene.Incident.Release.Proof
	}
	if p.Ready == state.Ready || p.Ready == "" {
		return ""
	}
	return strings.TrimSuffix(string(p.Ready)+": "+theme.Safe(p.Why), ": ")
}

// backwards says what a rollback that runs does.
func (m *Model) backwards() string {
	if u := m.scene.Incident.TakesBack(); u != nil && u.ID == state.UndoID {
		return "UNDOING " + theme.Safe(u.Version) + ", back to " + m.target()
	}
	return "ROLLING BACK to " + m.target()
}

// target is the version that R restores.
func (m *Model) target() string {
	in := m.scene.Incident
	began := in.Rollback.Status == state.RollbackRunning || in.Rollback.Status == state.RollbackDone || in.Rollback.Status == state.RollbackFailed
	if r := in.TakesBack(); r != nil && !began {
		return theme.Safe(r.Target)
	}
	if r := in.Rollout(in.Rollback.Rollout); r != nil && r.Target != "" {
		return r.Target
	}
	if r := in.Production(); r != nil && r.Target != "" {
		return r.Target
	}
	if t := in.Rollback.Proof.Target; t != "" {
		return t
	}
	return "the last release"
}

// bar is the red line of an armed rollback, "" while none is armed.
func (m *Model) bar() string {
	rb := &m.scene.Incident.Rollback
	var left, all time.Duration
	who := ""
	switch {
	case m.local != nil:
		left, all = m.local.deadline.Sub(m.real), m.local.deadline.Sub(m.rkey.barSince)
		who = "  (the keeper does not answer: from this process)"
	case m.here != nil && !m.here.over():
		return m.t.BarArmed.Render(center(m.backwards()+" from this process: the keeper does not answer", m.w))
	case rb.Status == state.RollbackArmed:
		left, all = rb.Deadline.Sub(m.real), rb.Deadline.Sub(m.rkey.barSince)
		if m.replay() {
			left = rb.Deadline.Sub(rb.Armed) // real and incident time differ in a recording
		}
		if rb.By != "" && !m.rkey.here {
			who = "  armed by " + theme.Safe(rb.By)
		}
	default:
		return ""
	}
	stop := m.stopKeys()
	seconds := max(left, 0).Seconds()
	text := fmt.Sprintf("ROLLING BACK to %s in %.1f s     enter now     %s%s", m.target(), seconds, stop, who)
	if u := m.undoes(); u != nil {
		what := fmt.Sprintf("UNDO THE LAST RELEASE: %s back to %s", theme.Safe(u.Version), theme.Safe(u.Target))
		text = fmt.Sprintf("%s (not mayday's rollout) in %.1f s     enter now     %s%s", what, seconds, stop, who)
		if theme.Width(text) > m.w {
			text = fmt.Sprintf("%s  %.1f s  enter now  c/esc stop", what, seconds)
		}
	}
	if theme.Width(text) > m.w {
		text = fmt.Sprintf("ROLLBACK %.1f s  enter now  c/esc stop", seconds)
	}
	if theme.Width(text) > m.w {
		text = fmt.Sprintf("BACK IN %.1f s c stop", seconds)
	}
	line, n := center(text, m.w), m.w
	if all > 0 && !m.rkey.barSince.IsZero() {
		n = min(max(int(int64(m.w)*int64(left)/int64(all)), 0), m.w)
	}
	rest := ansi.Truncate(line, n, "")
	return m.t.BarArmed.Render(rest) + m.t.BarSpent.Render(ansi.TruncateLeft(line, theme.Width(rest), ""))
}

// stopKeys says how an armed rollback is stopped: c is a letter where somebody writes
// while a colleague arms.
func (m *Model) stopKeys() string {
	if m.typing() && !m.rkey.here {
		return "esc or ctrl+c stop"
	}
	return "c or esc stop"
}

func center(s string, w int) string {
	return theme.Fit(theme.Blank((w-theme.Width(s))/2)+s, w)
}

// trouble is what must not be overlooked, in one line.
func (m *Model) trouble() string {
	var out []string
	s := m.scene
	if s.Lost != "" {
		out = append(out, "keeper lost: "+s.Lost)
	}
	if s.Journal.Spooled > 0 || s.Journal.Err != "" {
		text := fmt.Sprintf("%d events wait for the journal", s.Journal.Spooled)
		if s.Journal.Err != "" {
			text += ": " + s.Journal.Err
		}
		out = append(out, text)
	}
	if text := unheard(s.Incident); text != "" && s.Incident.Open() {
		out = append(out, text)
	}
	if n := len(s.Incident.Warnings); n > 0 && s.Incident.Open() {
		text := s.Incident.Warnings[n-1]
		if n > 1 {
			text += fmt.Sprintf(" (and %d more in the timeline)", n-1)
		}
		out = append(out, text)
	}
	return theme.Safe(strings.Join(out, " · "))
}
