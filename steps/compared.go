package steps

import (
	"fmt"
	"slices"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// compared is what readings are compared with: other probes now, and each one's time
// before the rollout.
type compared struct {
	before  map[string]state.Sample
	windows map[string]map[string][]state.Point
	old     func(probe string) (reading, bool) // nil: nothing is known of now
}

// base finds what a reading is compared with.
func (c compared) base(p state.Probe, s state.Sample, label string) (state.Baseline, bool) {
	now := func(probe string) (state.Sample, bool) {
		if c.old == nil {
			return state.Sample{}, false
		}
		r, ok := c.old(probe)
		return r.sample, ok && r.seen
	}
	return p.Baseline(s, label, c.before, now)
}

// excused reports whether a bad reading is no worse than what it is compared with,
// where that was or is bad itself. p's thresholds are no relative ones.
func excused(p state.Probe, base state.Baseline, s state.Sample) bool {
	ill := func(v state.Verdict) bool { return v == state.Warn || v == state.Crit }
	then := state.Sample{Value: base.Value, Verdict: base.Verdict, Told: base.Told}
	itself := base.Of == state.BeforeRollout && ill(base.Verdict)
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
		s = by(s, "")
		for i, x := range s.Parts {
			if x.Label == p.New && x.Verdict.Known() && s.Verdict.Known() {
				s.Parts = slices.Clone(s.Parts)
				s.Parts[i].Verdict = s.Verdict
			}
		}
		return s
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

// beforeSpan is the incident time before the rollout that it is compared with; rank tests
// may need more of it: windowSpan.
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
		all, wide := e.series[p.Name].Since(now.Add(-beforeSpan)), e.series[p.Name].Since(now.Add(-windowSpan(p)))
		s, window := r.sample, all
		if p.New != "" {
			s, window, wide = s.Of(p.Old), of(window, p.Old), of(wide, p.Old)
		}
		// The newest reading may be a lost one, and the only one of a probe that is asked rarely.
		if typical, ok := p.Typical(window); ok {
			s = typical
		} else if !s.Verdict.Known() {
			continue
		}
		s.Parts = nil
		keep(p, p.Old, wide)
		for _, x := range lastParts(all, r.sample) {
			part := of(all, x.Label)
			if typical, ok := p.Typical(part); ok {
				s.Parts = append(s.Parts, state.Part{Label: x.Label, Value: typical.Value, Verdict: typical.Verdict})
				keep(p, x.Label, part)
			}
		}
		out.Readings[p.Name] = s
	}
	return out
}

// lastParts gives the newest parts that were read.
func lastParts(window []state.Sample, newest state.Sample) []state.Part {
	for i := len(window) - 1; i >= 0 && len(newest.Parts) == 0; i-- {
		newest = window[i]
	}
	return newest.Parts
}

// Scarce gives the probes that gates ask and of which less is known from before a rollout
// that begins now than they will want, and the incident time until that can have come: as
// many readings as must be bad in a row, and as many as a rank test needs that has only
// the time before to compare with. What is ill already may look new without them, and a
// good fix be taken back. So it is where the keeper has just begun, and its source
// remembers nothing. No wait is longer than the time that is looked back on.
func Scarce(rb *runbook.Runbook, probes []state.Probe, series map[string]*state.Series, now time.Time) (few []string, wait time.Duration) {
	for _, p := range probes {
		want, span := rb.GateOf(p.Name).Consecutive, beforeSpan
		switch {
		case p.Role == state.RoleDisplay:
			continue
		case p.Rank != nil && alone(p) && p.Role == state.RoleAll:
			want, span = state.RankLeast, windowSpan(p)
		case p.New == "" && (p.Role != state.RoleAll || p.Compare != "" || p.Rank != nil):
			continue
		}
		window := series[p.Name].Since(now.Add(-span))
		if last, ok := series[p.Name].Last(); ok && len(window) == 0 {
			window = append(window, last) // asked so rarely that its newest reading is the baseline
		}
		if p.New != "" {
			window = of(window, p.Old)
		}
		if p.Every > 0 {
			want = min(want, max(int(span/p.Every.D()), 1))
		}
		if missing := want - len(state.Points(window)); missing > 0 {
			few = append(few, p.Name)
			wait = max(wait, min(time.Duration(missing)*p.Every.D(), span))
		}
	}
	return few, wait
}

// scarce warns a person before a rollout of what [Scarce] gives, but for the rank tests
// that unrankable warns of.
func (e *Engine) scarce() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	others := slices.DeleteFunc(slices.Clone(e.in.Probes), func(p state.Probe) bool { return p.Rank != nil && alone(p) })
	few, wait := Scarce(e.o.Runbook, others, e.series, e.Now())
	if len(few) == 0 {
		return nil
	}
	// What to do comes first: a narrow screen cuts the rest.
	return []string{fmt.Sprintf("wait %s: what is ill already may count as new, hardly anything is known from before the rollout of %s",
		state.Duration(wait), list(few))}
}

// of gives the samples of one label.
func of(window []state.Sample, label string) []state.Sample {
	out := make([]state.Sample, len(window))
	for i, s := range window {
		out[i] = s.Of(label)
	}
	return out
}
