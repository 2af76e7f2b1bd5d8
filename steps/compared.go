package steps

import (
	"time"

	"mayday/state"
)

// compared is what readings are compared with: other probes now, and each one's time
// before the rollout.
type compared struct {
	before  map[string]state.Sample
	windows map[string]map[string][]state.Point
	old     func(probe string) (reading, bool) // nil: nothing is known of now
}

// base finds what a reading is compared with: the old version now, where the probe
// names it and it can be seen; else what that was like before the rollout, else the
// probe's own time before it.
func (c compared) base(p state.Probe, s state.Sample, label string) (state.Baseline, bool) {
	of := func(name string, x state.Sample) (state.Baseline, bool) {
		return state.Baseline{Of: name, At: x.At, Value: x.Value, Verdict: x.Verdict, Told: x.Told}, x.Verdict.Known()
	}
	if p.Compare != "" && c.old != nil {
		if o, ok := c.old(p.Compare); ok && o.seen && o.sample.Verdict.Known() {
			return of(p.Compare+" now", o.sample)
		}
	}
	if x, ok := s.Part(p.Old); ok && p.New != "" && x.Verdict.Known() {
		return of(p.Old+" now", s.Of(p.Old))
	}
	// The old version has no traffic left: then what it was before counts.
	if b, ok := c.before[p.Compare]; ok && p.Compare != "" {
		return of(p.Compare+" before the rollout", b)
	}
	b, ok := c.before[p.Name]
	if !ok {
		return state.Baseline{}, false
	}
	if label != "" {
		b = b.Of(label)
	}
	return of("before the rollout", b)
}

// excused reports whether a bad reading is no worse than what it is compared with,
// where that was or is bad itself. p's thresholds are no relative ones.
func excused(p state.Probe, base state.Baseline, s state.Sample) bool {
	ill := func(v state.Verdict) bool { return v == state.Warn || v == state.Crit }
	then := state.Sample{Value: base.Value, Verdict: base.Verdict, Told: base.Told}
	itself := base.Of == "before the rollout" && ill(base.Verdict)
	return (itself || ill(p.Judge(base.Value)) || ill(base.Told)) && p.NoWorse(then, s)
}

// rejudge gives a sample the verdict that relative thresholds make of it, as far as
// there is a baseline.
func (c compared) rejudge(p state.Probe, s state.Sample) state.Sample {
	by := func(s state.Sample, label string) state.Sample {
		base, ok := c.base(p, s, label)
		if !ok {
			return s
		}
		return p.Against(base.Value).Rejudge(s)
	}
	if p.By == "" || p.New != "" || len(s.Parts) == 0 {
		return by(s, "")
	}
	parts := make([]state.Part, len(s.Parts))
	for i, x := range s.Parts {
		one := by(s.Of(x.Label), x.Label)
		parts[i] = state.Part{Label: x.Label, Value: one.Value, Verdict: one.Verdict}
		if s.Verdict.Known() && one.Verdict.Worse() > s.Verdict.Worse() {
			s.Verdict, s.Value = one.Verdict, one.Value
		}
	}
	s.Parts = parts
	return s
}

// ranked tests a reading's time since the gate began by rank, nil where its probe asks
// for no such test. The old version counts in the same time; where that does not see
// it often enough, and where the probe names nobody, in the window before the rollout.
func (g *gate) ranked(l sight) *state.RankedBy {
	p := l.probe
	if p.Rank == nil || l.label != "" {
		return nil
	}
	points := func(probe, label string) []state.Point {
		if g.history == nil {
			return nil
		}
		var seen []state.Sample
		for _, s := range g.history(probe) {
			if label != "" {
				s = s.Of(label)
			}
			if !s.At.Before(g.from) {
				seen = append(seen, s)
			}
		}
		return state.Points(distinct(seen))
	}
	out := &state.RankedBy{Rank: *p.Rank, News: points(p.Name, p.New), Against: "before the rollout"}
	switch {
	case p.Compare != "":
		out.Olds, out.Against = points(p.Compare, ""), p.Compare+" now"
	case p.New != "":
		out.Olds, out.Against = points(p.Name, p.Old), p.Old+" now"
	}
	if len(out.Olds) < state.RankLeast {
		before, against := g.windows[p.Name][p.Old], "before the rollout"
		if p.Compare != "" {
			before, against = g.windows[p.Compare][""], p.Compare+" before the rollout"
		}
		if len(before) > len(out.Olds) {
			out.Olds, out.Against = before, against
		}
	}
	out.Ranked, out.Verdict = p.Ranked(values(out.News), values(out.Olds))
	return out
}

// byRank says what a rank test asks for. Too few readings never pass: until they can
// have come the gate waits, then it goes by the policy for no data.
func (g *gate) byRank(l sight, r *state.RankedBy) (action, why string) {
	st := g.streak(named(l) + " by rank")
	switch r.Verdict {
	case state.NoData:
		*st = streak{counted: st.counted}
		start := g.began
		if g.from.After(start) {
			start = g.from
		}
		why = named(l) + ": not enough data to compare by rank, " + r.Text() + " (" + r.Against + ")"
		if l.now.Before(start.Add(time.Duration(state.RankLeast+1)*l.probe.Every.D() + l.policy.Patience.D())) {
			return "wait", why
		}
		return l.policy.NoData, why
	case state.OK:
		*st = streak{counted: st.counted}
		return "pass", ""
	}
	st.add(l.sample.At)
	r.InARow = st.n
	why = named(l) + " worse than " + r.Against + " by rank: " + r.Text()
	if st.n < l.policy.Consecutive {
		return "wait", why
	}
	return l.policy.Crit, why
}

// distinct drops readings of the same data, which prove nothing twice.
func distinct(all []state.Sample) []state.Sample {
	var out []state.Sample
	for _, s := range all {
		if len(out) == 0 || !out[len(out)-1].At.Equal(s.At) {
			out = append(out, s)
		}
	}
	return out
}

func values(points []state.Point) []float64 {
	out := make([]float64, len(points))
	for i, p := range points {
		out[i] = p.Value
	}
	return out
}

// beforeSpan is the incident time before the rollout that it is compared with.
const beforeSpan = 5 * time.Minute

// before gives for every probe that is known now what its last five minutes were
// like: what "no worse than before" means.
func (e *Engine) before() state.BeforeMeasured {
	out := state.BeforeMeasured{Readings: map[string]state.Sample{}, Windows: map[string]map[string][]state.Point{}}
	e.mu.Lock()
	defer e.mu.Unlock()
	now, room := e.Now(), state.WindowsTotal
	keep := func(p state.Probe, label string, window []state.Sample) {
		points := state.Points(window)
		if p.Role == state.RoleDisplay || len(points) == 0 || len(points) > room {
			return
		}
		if room -= len(points); out.Windows[p.Name] == nil {
			out.Windows[p.Name] = map[string][]state.Point{}
		}
		out.Windows[p.Name][label] = points
	}
	for _, p := range e.in.Probes {
		r := e.readingLocked(p, now)
		if !r.seen || p.Role == state.RoleNew && p.By == "" {
			continue
		}
		window := e.series[p.Name].Since(now.Add(-beforeSpan))
		s := r.sample
		if p.New != "" {
			s, window = s.Of(p.Old), of(window, p.Old)
		}
		if !s.Verdict.Known() {
			continue
		}
		if typical, ok := p.Typical(window); ok {
			s = typical
		}
		s.Parts = nil
		keep(p, p.Old, window)
		for _, x := range r.sample.Parts {
			part := of(e.series[p.Name].Since(now.Add(-beforeSpan)), x.Label)
			if typical, ok := p.Typical(part); ok {
				s.Parts = append(s.Parts, state.Part{Label: x.Label, Value: typical.Value, Verdict: typical.Verdict})
				keep(p, x.Label, part)
			}
		}
		out.Readings[p.Name] = s
	}
	return out
}

// of gives the samples of one label.
func of(window []state.Sample, label string) []state.Sample {
	out := make([]state.Sample, len(window))
	for i, s := range window {
		out[i] = s.Of(label)
	}
	return out
}
