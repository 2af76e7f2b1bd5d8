package steps

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// Watch judges probes by the gate that stages have, for whoever gets their samples:
// mayday verify, beside a keeper or without an incident. It acts on nothing. Not safe
// for concurrent use.
type Watch struct {
	g    *gate
	seen map[string]*state.Series
	got  map[string]int
	of   Scope
	said string
}

// Scope is what a Watch judges at a time.
type Scope struct {
	// Probes are all there are; those that see the new version or the whole service
	// are judged, the others only compared with.
	Probes []state.Probe
	Before map[string]state.Sample // readings before the rollout, and their windows
	// Windows as [state.Incident] has them.
	Windows map[string]map[string][]state.Point
	Canary  bool // the new version gets a part of the traffic
}

// ScopeOf is what the gates of an incident judge now. Probes that see the new version
// alone count while it is in production.
func ScopeOf(in *state.Incident) Scope {
	r := in.OwnRollout()
	live := r != nil && r.Status != state.RolloutRolledBack
	s := Scope{}
	for _, p := range in.Probes {
		if live || p.Role != state.RoleNew {
			s.Probes = append(s.Probes, p)
		}
	}
	if live {
		s.Before, s.Windows, s.Canary = in.Before, in.Windows, r.Strategy == "canary" && r.Status.Active()
	}
	return s
}

// Watched is what a Watch says at one time.
type Watched struct {
	State    state.GateState // holding, waiting, asking or failed
	Since    time.Time       // holding since
	Blind    bool            // something is not known
	Bridges  bool            // and for so short a time that it is waited for
	Reasons  []string
	Excused  []string // bad, but no worse than it was
	Readings []state.Sample
	Judged   []state.Judged // the same, as the gate judged them
	News     bool           // it says something else than at the last look
}

// NewWatch makes a Watch by the runbook's policies.
func NewWatch(rb *runbook.Runbook) *Watch {
	w := &Watch{seen: map[string]*state.Series{}, got: map[string]int{}}
	w.g = newGate(rb.Gate, math.MaxInt64, nil, nil)
	w.g.own = rb.GateOf
	w.g.history = func(probe string) []state.Sample { return newest(w.seen[probe]) }
	return w
}

// Take takes samples in, oldest first.
func (w *Watch) Take(samples ...state.Sample) {
	for _, x := range samples {
		if w.seen[x.Probe] == nil {
			w.seen[x.Probe] = state.NewSeries(state.SeriesLength)
		}
		w.seen[x.Probe].Add(x)
		w.got[x.Probe]++
	}
}

// Taken is how many samples of a probe it took.
func (w *Watch) Taken(probe string) int { return w.got[probe] }

// Look judges the scope at an incident time.
func (w *Watch) Look(now time.Time, of Scope) Watched {
	w.of, w.g.before, w.g.windows = of, of.Before, of.Windows
	w.g.old = func(name string) (reading, bool) {
		for _, p := range w.of.Probes {
			if p.Name == name {
				return w.reading(p, now), true
			}
		}
		return reading{}, false
	}
	var fresh, all []reading
	for _, p := range of.Probes {
		switch p.Role {
		case state.RoleNew:
			fresh = append(fresh, w.reading(p, now))
		case state.RoleAll:
			all = append(all, w.reading(p, now))
		}
	}
	d := w.g.judge(now, gatedOf(of.Canary, of.Before, fresh, all))
	out := Watched{State: d.state, Since: d.since, Blind: !w.g.blind.IsZero(), Bridges: w.g.bridges(now), Reasons: d.reasons, Excused: d.excused, Readings: d.readings, Judged: d.judged, News: d.key() != w.said}
	w.said = d.key()
	return out
}

func (w *Watch) reading(p state.Probe, now time.Time) reading {
	s, ok := w.seen[p.Name].Last()
	return reading{probe: p, sample: p.Aged(s, now), seen: ok}
}

// watchOf is a decision as the journal keeps it.
func watchOf(watch string, d decision) state.WatchDecided {
	st := d.state
	if st == state.GatePassed {
		st = state.GateHolding // it goes on
	}
	return state.WatchDecided{Watch: watch, State: st, Since: d.since, Reasons: append(d.reasons, d.excused...), Judged: d.judged}
}

// watchOver is what the monitoring period said last.
func watchOver(d decision) state.WatchDecided {
	f := watchOf(state.WatchMonitoring, d)
	f.State, f.Ended = d.state, true
	return f
}

// watchReadings bounds the readings of one decision that a client tells.
const watchReadings = 5000

// watched makes what a client tells fit for the journal.
func (e *Engine) watched(v state.NoteWatch) state.WatchDecided {
	f := state.WatchDecided{Watch: state.WatchVerify, State: state.GateState(e.clean(string(v.State))), Since: v.Since, Hold: v.Hold, Ended: v.Ended}
	for _, r := range v.Reasons {
		f.Reasons = append(f.Reasons, e.clean(r))
	}
	for _, j := range v.Judged[:min(len(v.Judged), watchReadings)] {
		j.Probe, j.Label, j.Query, j.Unit, j.Text, j.Why, j.Answer = e.clean(j.Probe), e.clean(j.Label), e.clean(j.Query), e.clean(j.Unit), e.clean(j.Text), e.clean(j.Why), e.clean(j.Answer)
		j.Verdict, j.Told = state.Verdict(e.clean(string(j.Verdict))), state.Verdict(e.clean(string(j.Told)))
		if b := j.Baseline; b != nil {
			b.Of, b.Verdict, b.Told = e.clean(b.Of), state.Verdict(e.clean(string(b.Verdict))), state.Verdict(e.clean(string(b.Told)))
		}
		if r := j.Rank; r != nil {
			r.Against, r.Verdict = e.clean(r.Against), state.Verdict(e.clean(string(r.Verdict)))
			r.News, r.Olds = r.News[:min(len(r.News), state.RankMost)], r.Olds[:min(len(r.Olds), state.RankMost)]
		}
		f.Judged = append(f.Judged, j)
	}
	return f
}

// checkEvery is how often a check is made as a probe (incident time), and checkFloor how
// often at most (real time).
const (
	checkEvery = 5 * time.Second
	checkFloor = 250 * time.Millisecond
)

// Endpoints gives what can be asked of an environment itself, again and again: its
// checks that only read (GET, HEAD), and the runbook's HTTP probes of its own url. Each
// check is critical. What known asks already is left out.
func Endpoints(rb *runbook.Runbook, env runbook.Environment, known []state.Probe) []state.Probe {
	var out []state.Probe
	var clock state.Clock
	if rb.Drill != nil {
		clock = rb.Drill.Clock
	}
	add := func(p runbook.Probe) {
		s := p.Asked(strings.Clone, env.URL)
		if clock.Speed > 1 {
			s.StaleAt = max(s.StaleAt, s.Every+state.Duration(clock.Incident(travelTime)))
		}
		s.Reaction, s.RankReaction = reaction(s, rb.GateOf(s.Name), clock), rankReaction(s, rb.GateOf(s.Name), clock)
		same := func(q state.Probe) bool {
			return q.Name == s.Name || q.Kind == s.Kind && q.Query == s.Query && q.Method == s.Method
		}
		if !slices.ContainsFunc(known, same) && !slices.ContainsFunc(out, same) {
			out = append(out, s)
		}
	}
	for _, p := range rb.Probes {
		if p.HTTP != nil && !strings.Contains(p.HTTP.Path, "://") && (p.Role == state.RoleAll || p.Role == state.RoleFix) {
			p.Role = state.RoleAll
			add(p)
		}
	}
	for i := range env.Checks {
		c := &env.Checks[i]
		if c.Method != "GET" && c.Method != "HEAD" {
			continue
		}
		every := state.Duration(max(checkEvery, clock.Incident(checkFloor)))
		add(runbook.Probe{Name: c.Name, HTTP: c, Every: every, Timeout: c.Timeout, Stale: 3 * every, Role: state.RoleAll, Critical: true, Covers: "health"})
	}
	return out
}

// TakesBack says what a rollback of this incident's own rollout would restore; the
// error, a *state.Problem, says why nothing is rolled back by itself.
func TakesBack(in *state.Incident) (string, error) {
	r := in.OwnRollout()
	if r == nil {
		return "", &state.Problem{Code: "nothing", What: "this incident has not changed production: nothing is rolled back by itself",
			Do: "R, or mayday rollback, undoes the last release where that is proven."}
	}
	if _, err := Target(in); err != nil {
		return "", fmt.Errorf("nothing is rolled back by itself: %w", err)
	}
	return r.Target, nil
}
