package steps

import (
	"fmt"
	"slices"
	"time"

	"mayday/state"
)

// ranked tests a reading's time since the gate began by rank, nil where its probe asks
// for no such test. The old version counts in the same time; where that does not see it
// often enough, as when it has no traffic left, with all that is known of it. A probe
// that names nobody is compared with its own time before the rollout.
func (g *gate) ranked(l sight) *state.RankedBy {
	p := l.probe
	if p.Rank == nil || l.label != "" {
		return nil
	}
	out := &state.RankedBy{Rank: *p.Rank, News: g.points(p.Name, p.New, g.from)}
	if alone(p) {
		out.Olds, out.Against = g.windows[p.Name][""], state.BeforeRollout
	} else {
		probe, label, name := p.Name, p.Old, p.Old
		if p.Compare != "" {
			probe, label, name = p.Compare, "", p.Compare
		}
		out.Olds, out.Against = g.points(probe, label, g.from), name+" now"
		if len(out.Olds) < state.RankLeast {
			out.Olds, out.Against = joined(g.windows[probe][label], g.points(probe, label, time.Time{})), name+" until now"
		}
	}
	out.Ranked, out.Verdict = p.Ranked(values(out.News), values(out.Olds))
	return out
}

// alone reports whether a probe's rank test has only its own time before the rollout to
// compare with: what is missing there never comes.
func alone(p state.Probe) bool { return p.Compare == "" && p.New == "" }

// points gives the known readings of a probe, or of one of its parts, since from.
func (g *gate) points(probe, label string, from time.Time) []state.Point {
	if g.history == nil {
		return nil
	}
	var seen []state.Sample
	for _, s := range g.history(probe) {
		if label != "" {
			s = s.Of(label)
		}
		if !s.At.Before(from) {
			seen = append(seen, s)
		}
	}
	return state.Points(distinct(seen))
}

// joined is two stretches of one series as one, which may overlap: its newest readings.
func joined(a, b []state.Point) []state.Point {
	all := slices.Concat(a, b)
	slices.SortStableFunc(all, func(x, y state.Point) int { return x.At.Compare(y.At) })
	all = slices.CompactFunc(all, func(x, y state.Point) bool { return x.At.Equal(y.At) })
	return all[max(len(all)-state.RankMost, 0):]
}

// byRank says what a rank test asks for. Too few readings never pass by themselves:
// until they can have come the gate waits, then it goes by the policy for no data. A
// person who accepts that once has accepted it for the rest of the rollout: no stage can
// know more than that one did.
func (g *gate) byRank(l sight, r *state.RankedBy) (action, why string) {
	st := g.streak(named(l) + " by rank")
	switch r.Verdict {
	case state.NoData:
		*st = streak{counted: st.counted}
		return g.unranked(l, r)
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

// unranked says what too few readings ask for.
func (g *gate) unranked(l sight, r *state.RankedBy) (action, why string) {
	why = fmt.Sprintf("%s: not enough data to compare by rank, %d against %d readings, %d are needed (%s)", named(l), r.Now, r.Old, state.RankLeast, r.Against)
	start := g.began
	if g.from.After(start) {
		start = g.from
	}
	due := start.Add(time.Duration(state.RankLeast+1)*l.probe.Every.D() + l.policy.Patience.D())
	never := alone(l.probe) && r.Old < state.RankLeast
	switch {
	case !never && l.now.Before(due):
		return "wait", why
	case slices.Contains(g.accepted, named(l)):
		return "pass", why + ", accepted before"
	case never:
		why += "; no more will come: accept that, or roll back"
		return neverCome(l.policy.NoData), why
	}
	return l.policy.NoData, why
}

// neverCome is the policy for no data where no data will come: waiting is asking.
func neverCome(action string) string {
	if action == "wait" {
		return "ask"
	}
	return action
}

// unrankable warns before a rollout of rank tests that will not have what to compare
// with, and says how long to wait until they would.
func (e *Engine) unrankable() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	now := e.Now()
	for _, p := range e.in.Probes {
		will := map[string]string{"ask": "ask", "rollback": "roll back"}[neverCome(e.o.Runbook.GateOf(p.Name).NoData)]
		if p.Rank == nil || !alone(p) || will == "" {
			continue
		}
		have := len(state.Points(e.series[p.Name].Since(now.Add(-windowSpan(p)))))
		if have < state.RankLeast {
			wait := time.Duration(state.RankLeast-have) * p.Every.D()
			out = append(out, fmt.Sprintf("%s is to be compared by rank with before the rollout, of which there are %d of %d readings: start in %s, or its gate will %s",
				p.Name, have, state.RankLeast, state.Duration(wait), will))
		}
	}
	return out
}

// windowSpan is the incident time before a rollout that a probe is compared with: for a
// rank test at least what holds its readings, and one more for the one that is on its way.
func windowSpan(p state.Probe) time.Duration {
	if p.Rank == nil {
		return beforeSpan
	}
	return max(beforeSpan, time.Duration(state.RankLeast+1)*p.Every.D())
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
