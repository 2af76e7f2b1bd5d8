package rollout

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/ui/output"
	"mayday/ui/theme"
)

// share is the part of the traffic, or of the work where no traffic moves, that
// the new version has: 0 to 1.
func share(r *state.Rollout) float64 {
	if seen, ok := lastSeen(r); ok {
		return min(max(seen/100, 0), 1)
	}
	if weighted(r) {
		return min(max(float64(r.Weight())/100, 0), 1)
	}
	if len(r.Stages) == 0 {
		return 0
	}
	return float64(r.Stage()) / float64(len(r.Stages))
}

func weighted(r *state.Rollout) bool {
	for i := range r.Stages {
		if r.Stages[i].Weight > 0 {
			return true
		}
	}
	return false
}

// lastSeen is the share of traffic in percent that was seen after the newest stage
// whose effect showed; false where nothing was measured.
func lastSeen(r *state.Rollout) (float64, bool) {
	for i := len(r.Stages) - 1; i >= 0; i-- {
		if s := &r.Stages[i]; !s.Effected.IsZero() {
			ok := s.Seen > 0 && !math.IsNaN(s.Seen) && !math.IsInf(s.Seen, 0)
			return s.Seen, ok
		}
	}
	return 0, false
}

// bar splits the line between the old version and the new one.
func (p *Pane) bar(r *state.Rollout, w int) string {
	n := int(math.Round(share(r) * float64(w)))
	if share(r) > 0 {
		n = max(n, 1)
	}
	n = min(n, w)
	old := theme.Block
	if p.t.Plain {
		old = theme.Shade // without colours the two must differ in themselves
	}
	return p.t.Past.Render(theme.Repeat(old, w-n)) + p.t.Good.Render(theme.Repeat(theme.Block, n))
}

// versions names both sides of the bar.
func (p *Pane) versions(r *state.Rollout, w int) string {
	left, right := "old", "new"
	if r.Strategy == "canary" {
		left, right = "stable", "canary"
	}
	var oldShare, newShare string
	switch {
	case r.Status == state.RolloutDone: // also where the last stages moved no traffic
		left, right, oldShare, newShare = "", "everywhere", "gone", ""
	case weighted(r):
		oldShare, newShare = fmt.Sprintf(" %d %%", 100-r.Weight()), fmt.Sprintf(" %d %%", r.Weight())
	default:
		newShare = fmt.Sprintf(" %d of %d", r.Stage(), len(r.Stages))
	}
	effect := ""
	for i := range r.Stages {
		if !r.Stages[i].Effected.IsZero() && r.Stages[i].Effect != "" {
			effect = theme.Safe(r.Stages[i].Effect)
		}
	}
	l := p.t.Past.Render(theme.Safe(r.Target) + " " + left + oldShare)
	rt := p.t.GoodStrong.Render(theme.Safe(r.Version) + " " + right + newShare)
	if room := w - theme.Width(l) - theme.Width(rt) - 3; effect != "" && room > 4 {
		rt += p.t.Past.Render(" " + theme.Cut(effect, room))
	}
	return theme.Row(l, rt, w)
}

// label names a stage in the strip: its weight, or its name without "of 3".
func label(r *state.Rollout, i int) string {
	s := &r.Stages[i]
	if s.Weight > 0 && (i == 0 || r.Stages[i-1].Weight != s.Weight) {
		return fmt.Sprint(s.Weight)
	}
	head, _, _ := strings.Cut(theme.Safe(s.Name), " of ")
	return theme.Cut(head, 18)
}

// holding says how far the current stage is: "12/30 s", "taking effect", "asking".
func (p *Pane) holding(r *state.Rollout, i int, now time.Time) string {
	st := &r.Stages[i]
	g := r.Gate
	switch {
	case r.Status == state.RolloutPlanned || st.Status == state.ItemOpen:
		return p.t.Faint.Render("not begun")
	case st.Status == state.ItemRunning && st.Effected.IsZero():
		return p.t.Running.Render("taking effect")
	case st.Status == state.ItemAsking || g.State == state.GateAsking:
		return p.t.WarnStrong.Render("asking")
	case st.Status != state.ItemRunning:
		_, word, style := p.t.Status(st.Status)
		return style.Render(word)
	case g.State == state.GateWaiting:
		return p.t.Warn.Render("waiting")
	case g.State == state.GateFailed:
		return p.t.BadStrong.Render("failed")
	}
	hold := g.Hold
	if hold == 0 {
		hold = st.Hold
	}
	if hold == 0 {
		return p.t.Running.Render("no gate")
	}
	return p.t.RunningStrong.Render(progress(g.Held(now), hold.D()))
}

// progress writes "12/30 s", from ten minutes on in minutes.
func progress(have, all time.Duration) string {
	if all >= 10*time.Minute {
		return fmt.Sprintf("%d/%d min", have/time.Minute, all/time.Minute)
	}
	return fmt.Sprintf("%d/%d s", have/time.Second, all/time.Second)
}

// strip draws the stages in a row: "10 ✓ ━━━ 25 ▶ 12/30 s ━━━ 50 ○". Rails shorten
// first; then the stages far from the current one are counted instead.
func (p *Pane) strip(r *state.Rollout, now time.Time, w int) string {
	cells := make([]string, len(r.Stages))
	at := min(r.Stage(), max(len(r.Stages)-1, 0))
	for i := range r.Stages {
		cells[i] = p.stage(r, i, now, i == at)
	}
	for _, rail := range []int{5, 3, 1} {
		if out := p.join(cells, rail); theme.Width(out) <= w {
			return out
		}
	}
	lo, hi := at, at+1
	best := p.some(cells, lo, hi)
	for lo > 0 || hi < len(cells) {
		l, h := lo, hi
		if h < len(cells) && (h-at <= at-l || l == 0) {
			h++
		} else {
			l--
		}
		next := p.some(cells, l, h)
		if theme.Width(next) > w {
			break
		}
		lo, hi, best = l, h, next
	}
	return theme.Cut(best, w)
}

func (p *Pane) stage(r *state.Rollout, i int, now time.Time, current bool) string {
	s := &r.Stages[i]
	glyph, _, st := p.t.Status(s.Status)
	if s.Status == state.ItemOpen {
		return st.Render(label(r, i) + " " + glyph)
	}
	if s.Status == state.ItemRunning {
		st = p.t.RunningStrong
	}
	out := st.Render(label(r, i) + " " + glyph)
	if current && s.Status != state.ItemDone {
		out += " " + p.holding(r, i, now)
	}
	return out
}

func (p *Pane) join(cells []string, rail int) string {
	return strings.Join(cells, p.t.Border.Render(" "+theme.Repeat(theme.Rail, rail)+" "))
}

// some is the strip with only the stages from lo to hi, the others counted.
func (p *Pane) some(cells []string, lo, hi int) string {
	if len(cells) == 0 {
		return ""
	}
	part := append([]string{}, cells[lo:hi]...)
	if lo > 0 {
		part = append([]string{p.t.Good.Render(fmt.Sprintf("%d %s", lo, theme.Check))}, part...)
	}
	if rest := len(cells) - hi; rest > 0 {
		part = append(part, p.t.Faint.Render(fmt.Sprintf("+%d %s", rest, theme.Circle)))
	}
	return p.join(part, 1)
}

// gate says what the gate thinks, by which readings, and how late it may notice.
func (p *Pane) gate(s *state.Scene, r *state.Rollout, w int) string {
	word, st := "", p.t.Past
	switch r.Gate.State {
	case state.GateHolding:
		word = "gate"
	case state.GateWaiting:
		word, st = "gate waits", p.t.Warn
	case state.GateAsking:
		word, st = "gate asks", p.t.WarnStrong
	case state.GatePassed:
		word, st = "gate passed", p.t.Good
	case state.GateFailed:
		word, st = "gate failed", p.t.BadStrong
	default:
		word = "gate"
	}
	why := theme.Safe(strings.Join(r.Gate.Reasons, ", "))
	i := r.Stage()
	switch {
	case why != "" || r.Gate.State == state.GatePassed:
	case r.Status != state.RolloutRunning || i >= len(r.Stages):
		why = "not open"
	case r.Gate.State == state.GateHolding:
		why = "all its probes are well"
	case r.Stages[i].Effected.IsZero():
		why = "opens when the effect is seen"
	default:
		why = "waits for the first readings"
	}
	left := st.Render(word) + p.t.Past.Render("  "+why)
	calm := r.Gate.State == state.GateHolding || r.Gate.State == "" // else its reasons come first
	for _, brief := range []bool{false, true} {
		right := theme.Reaction(s.Incident, brief)
		if theme.Width(left)+3+theme.Width(right) <= w || calm && brief && right != "" && w > 2*theme.Width(right) {
			return theme.Row(left, p.t.Past.Render(right), w)
		}
	}
	return theme.Fit(left, w)
}

// table lists the stages below each other, with what was seen and how long each took.
func (p *Pane) table(r *state.Rollout, now time.Time, w int) []string {
	name := 0
	for i := range r.Stages {
		name = max(name, theme.Width(theme.Safe(r.Stages[i].Name)))
	}
	name = min(name, max(w/3, 10))
	var out []string
	for i := range r.Stages {
		s := &r.Stages[i]
		glyph, word, st := p.t.Status(s.Status)
		says := word
		switch {
		case s.Status == state.ItemOpen && s.Hold > 0:
			says = "then its gate must hold for " + theme.Span(s.Hold.D())
		case s.Status == state.ItemOpen:
			says = ""
		case s.Effect != "":
			says = theme.Safe(s.Effect)
			if took := s.Effected.Sub(s.Started); took > 0 {
				says += " after " + theme.Span(took)
			}
		}
		left := st.Render(glyph) + " " + p.t.Text.Render(theme.Fit(theme.Safe(s.Name), name)) + "  " + p.t.Past.Render(says)
		right := ""
		if !s.Started.IsZero() {
			end := s.Passed
			if end.IsZero() {
				end = now
			}
			right = p.t.Faint.Render(s.Started.UTC().Format("15:04:05")) + p.t.Past.Render("  "+theme.Clock(max(end.Sub(s.Started), 0)))
		}
		if i == r.Stage() && s.Status != state.ItemOpen && s.Status != state.ItemDone {
			right = p.holding(r, i, now) + "  " + right
		}
		out = append(out, theme.Row(left, right, w))
	}
	return append(out, "")
}

// more is what a tall pane adds: every reason, the way back, the next writes.
func (p *Pane) more(in *state.Incident, r *state.Rollout, now time.Time, w int) []string {
	var out []string
	if len(r.Gate.Reasons) > 1 {
		for _, why := range r.Gate.Reasons {
			out = append(out, p.t.Past.Render(theme.Cut("      "+theme.Safe(why), w)))
		}
	}
	if rb := &in.Rollback; rb.Rollout == r.ID || rb.Proof.Ready != "" {
		head := "R     back to "
		if in.OwnRollout() == nil { // until then R is for the last release
			head = "once it runs, R goes back to "
		}
		out = append(out, p.proof(head, rb, r, now, w)...)
	}
	for _, warning := range r.Warnings {
		for _, l := range theme.Wrap("mind  "+theme.Safe(warning), max(w, 1)) {
			out = append(out, p.t.Warn.Render(l))
		}
	}
	i := r.Stage()
	if i < len(r.Stages) && r.Stages[i].Status != state.ItemOpen && !r.Stages[i].Effected.IsZero() {
		i++ // its writes are made; the next ones are what is coming
	}
	if i >= len(r.Stages) || r.Status == state.RolloutDone || r.Status == state.RolloutRolledBack {
		return out
	}
	out = append(out, "", p.t.Strong.Render("next ")+p.t.Text.Render(theme.Safe(r.Stages[i].Name)))
	for _, op := range r.Stages[i].Ops {
		out = append(out, p.op(op, w)...)
	}
	return out
}

// proof says where R leads and whether that was tried.
func (p *Pane) proof(head string, rb *state.Rollback, r *state.Rollout, now time.Time, w int) []string {
	word, st := p.t.Readiness(rb.Proof.Ready)
	back := theme.Safe(rb.Proof.Target)
	if back == "" {
		back = theme.Safe(r.Target)
	}
	line := p.t.Past.Render(head+back+" ") + st.Render(word)
	if !rb.ProvenAt.IsZero() {
		line += p.t.Past.Render(", proven " + theme.Span(now.Sub(rb.ProvenAt)) + " ago")
	}
	out := []string{line}
	if rb.Proof.Why != "" {
		out = append(out, p.t.Warn.Render(theme.Cut("      "+theme.Safe(rb.Proof.Why), w)))
	}
	for _, f := range rb.Proof.Checks {
		switch {
		case !f.OK:
			out = append(out, p.t.Bad.Render(theme.Cut("      "+theme.Cross+" "+theme.Safe(f.Name)+" "+theme.Safe(f.Text), w)))
		case f.Warn && !slices.Contains(r.Warnings, f.Text): // those of the plan are told below
			out = append(out, p.t.Warn.Render(theme.Cut("      ! "+theme.Safe(f.Name)+": "+theme.Safe(f.Text), w)))
		}
	}
	return out
}

// op draws a write: what it does, the command a person would type, its diff.
func (p *Pane) op(op state.Op, w int) []string {
	out := []string{theme.RowLeft(p.t.Text.Render("  "+theme.Safe(op.Title)), p.t.Faint.Render(theme.Safe(op.Object)), w)}
	for _, l := range theme.Wrap("$ "+theme.Safe(op.Command), max(w-4, 1)) {
		if op.Command != "" {
			out = append(out, "    "+p.t.Past.Render(l))
		}
	}
	if op.Diff != "" {
		for _, l := range output.Diff(p.t, strings.Split(strings.TrimRight(op.Diff, "\n"), "\n"), max(w-4, 1)) {
			out = append(out, "    "+l)
		}
	}
	return out
}
