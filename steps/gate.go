package steps

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// reading is what a gate knows of a probe.
type reading struct {
	probe  state.Probe
	sample state.Sample // aged to now
	seen   bool         // there is a sample at all
}

// gate judges a stage: it holds while all is well, waits on warnings, asks a
// person when it does not know, and fails when a crit reading repeats. It compares,
// because production is broken when mayday opens: what was red before only counts
// when it got worse, and a new version that is no worse than an old one which is
// red itself does not hold up the fix. Pure: time comes in.
type gate struct {
	compared
	policy  runbook.Gate
	own     func(probe string) runbook.Gate   // a probe's policy; nil: policy is all probes'
	history func(probe string) []state.Sample // the newest, for rank tests; nil: there are none
	hold    time.Duration

	accepted []string // probes that may lack what they are compared with: a person said so

	from    time.Time // a reading from before says nothing of what is judged here
	began   time.Time // the first look
	blind   time.Time // something is not known since; zero: all is
	since   time.Time // all well since; zero: not
	streaks map[string]*streak
}

// streak is how long a reading has been bad without a break.
type streak struct {
	warn, crit time.Time // since; zero: it is not
	n          int       // crit readings in a row that count
	counted    time.Time // the one that was counted last
}

// decision is what a gate says at one time.
type decision struct {
	state    state.GateState
	since    time.Time
	reasons  []string
	excused  []string // what is bad, but no worse than it was: no reason, and not to be hidden
	causes   []string // the reasons' probes, without their values
	readings []state.Sample
	judged   []state.Judged
}

func newGate(policy runbook.Gate, hold time.Duration, before map[string]state.Sample, old func(string) (reading, bool)) *gate {
	return &gate{policy: policy, hold: hold, compared: compared{before: before, old: old}, streaks: map[string]*streak{}}
}

// newGate makes a gate that knows of the incident's readings what there is to know.
func (e *Engine) newGate(hold time.Duration, in *state.Incident) *gate {
	g := newGate(e.o.Runbook.Gate, hold, in.Before, e.readingNow)
	g.windows, g.own, g.history = in.Windows, e.o.Runbook.GateOf, e.recent
	if r := in.Production(); r != nil {
		g.accepted = r.Uncompared
	}
	return g
}

// judge looks at the readings of all the gate's probes. No probe at all is
// ignorance too.
func (g *gate) judge(now time.Time, rs []reading) decision {
	d := decision{}
	worst := "pass"
	was := g.blind
	g.blind = time.Time{}
	if g.began.IsZero() {
		g.began = now
	}
	if len(rs) == 0 {
		worst = g.unknown(now, was, "ask", g.policy.Patience)
		d.reasons = append(d.reasons, "no probe watches this stage")
	}
	for _, r := range rs {
		if r.seen {
			d.readings = append(d.readings, r.sample)
		}
		for _, j := range g.one(now, was, r) {
			d.judged = append(d.judged, j)
			switch {
			case j.Answer != "pass":
				d.reasons = append(d.reasons, j.Why)
				d.causes = append(d.causes, j.Probe+" "+j.Label+" "+cause(j))
			case j.Why != "":
				d.excused = append(d.excused, j.Why)
			}
			if rank(j.Answer) > rank(worst) {
				worst = j.Answer
			}
		}
	}
	sort.Strings(d.reasons)
	g.decide(now, worst, &d)
	return d
}

// cause is a verdict as a person must hear of it when it changes.
func cause(j state.Judged) string {
	out := string(j.Verdict)
	if j.Rank != nil {
		out += " rank " + string(j.Rank.Verdict)
	}
	return out
}

// key tells decisions apart that a person must hear of; values may wobble.
func (d decision) key() string {
	sort.Strings(d.causes)
	return string(d.state) + " " + list(d.causes)
}

func (g *gate) decide(now time.Time, worst string, d *decision) {
	if worst != "pass" {
		g.since = time.Time{}
	} else if g.since.IsZero() {
		g.since = now
	}
	d.since = g.since
	switch worst {
	case "pass":
		d.state = state.GateHolding
		if now.Sub(g.since) >= g.hold {
			d.state = state.GatePassed
		}
	case "ask":
		d.state = state.GateAsking
	case "rollback":
		d.state = state.GateFailed
	default:
		d.state = state.GateWaiting
	}
}

// rank orders what verdicts ask for: what is worst decides.
func rank(action string) int {
	switch action {
	case "wait":
		return 1
	case "ask":
		return 2
	case "rollback":
		return 3
	}
	return 0
}

// one judges a probe: each part of it by itself where it keeps those apart and is not
// about versions.
func (g *gate) one(now, was time.Time, r reading) []state.Judged {
	p, s := r.probe, r.sample
	policy := g.policy
	if g.own != nil {
		policy = g.own(p.Name)
	}
	if p.By == "" || p.New != "" || len(s.Parts) == 0 || s.Verdict == state.Stale || s.Verdict == state.Error {
		return []state.Judged{g.single(sight{now, was, r, "", policy})}
	}
	var out []state.Judged
	for _, part := range s.Parts {
		out = append(out, g.single(sight{now, was, reading{p, s.Of(part.Label), true}, part.Label, policy}))
	}
	return out
}

// sight is one reading that is to be judged; was as for unknown.
type sight struct {
	now, was time.Time
	reading
	label  string
	policy runbook.Gate
}

// single says what one reading asks for, and why.
func (g *gate) single(l sight) state.Judged {
	p, s := l.probe, l.sample
	j := state.Judged{Probe: p.Name, Label: l.label, Query: p.Query, Unit: p.Unit, Warn: p.Warn, Crit: p.Crit, Below: p.Below, For: p.For,
		Consecutive: l.policy.Consecutive}
	if l.seen {
		j.At, j.Got, j.Value, j.Verdict, j.Told, j.Text = s.At, s.Got, s.Value, s.Verdict, s.Told, s.Text
	}
	j.Answer, j.Why = g.answer(l, &j)
	if j.Rank = g.ranked(l); j.Rank != nil && l.seen && s.Verdict.Known() && !s.At.Before(g.from) {
		answer, why := g.byRank(l, j.Rank)
		switch {
		case rank(answer) > rank(j.Answer):
			j.Answer, j.Why, j.Excused = answer, why, false
		case answer == j.Answer && j.Why == "":
			j.Why = why
		}
	}
	return j
}

// answer judges by the thresholds; what it went by it writes into j.
func (g *gate) answer(l sight, j *state.Judged) (action, reason string) {
	p, s, name := l.probe, l.sample, named(l)
	if !l.seen {
		return g.unknown(l.now, l.was, l.policy.NoData, l.policy.Patience), name + ": no reading yet"
	}
	switch s.Verdict {
	case state.NoData:
		return g.unknown(l.now, l.was, l.policy.NoData, l.policy.Patience), name + ": no data"
	case state.Stale:
		return g.unknown(l.now, l.was, l.policy.Stale, l.policy.Patience), fmt.Sprintf("%s: stale, %s old", name, l.now.Sub(s.At).Round(time.Second))
	case state.Error:
		return g.unknown(l.now, l.was, l.policy.Error, l.policy.Patience), name + ": " + s.Text
	}
	if s.At.Before(g.from) {
		return "wait", name + ": no reading since it took effect"
	}
	base, known := g.base(p, s, l.label)
	if p.IsRelative() {
		if !known {
			return g.baseless(l, j)
		}
		p = p.Against(base.Value)
		s = p.Rejudge(s)
		j.Warn, j.Crit, j.Verdict = p.Warn, p.Crit, s.Verdict
	}
	if known {
		j.Baseline = &base
	}
	st := g.streak(name)
	said := fmt.Sprintf("%s %s", name, state.Quantity(s.Value, p.Unit))
	if s.Verdict != state.OK && known && excused(p, base, s) {
		j.Excused = true
		*st = streak{counted: st.counted}
		return "pass", said + ", but no worse than it was"
	}
	return g.count(l.policy, p, s, st, j, said)
}

// baseless says what a relative threshold asks for that has no baseline: what the policy
// for no data says, until a person has accepted it once.
func (g *gate) baseless(l sight, j *state.Judged) (action, reason string) {
	j.NoBaseline, reason = true, named(l)+": nothing to compare with, no baseline"
	if slices.Contains(g.accepted, named(l)) {
		return "pass", reason + ", accepted before"
	}
	return g.unknown(l.now, l.was, l.policy.NoData, l.policy.Patience), reason
}

// count says what a reading asks for by how long it has been bad.
func (g *gate) count(policy runbook.Gate, p state.Probe, s state.Sample, st *streak, j *state.Judged, said string) (action, reason string) {
	if s.Verdict != state.Crit {
		st.n, st.crit = 0, time.Time{}
	}
	if s.Verdict == state.OK {
		st.warn = time.Time{}
		return "pass", ""
	}
	since := &st.warn
	if st.warn.IsZero() {
		st.warn = s.At
	}
	if s.Verdict == state.Crit {
		if since = &st.crit; st.crit.IsZero() {
			st.crit = s.At
		}
	}
	j.Since = *since
	if bad := s.At.Sub(*since); bad < p.For.D() {
		action = policy.Warn
		if s.Verdict == state.Crit {
			action = policy.Crit
		}
		if rank(action) > rank("wait") {
			action = "wait"
		}
		return action, fmt.Sprintf("%s, %s for %s of %s", said, s.Verdict, state.Duration(bad), p.For)
	}
	if s.Verdict == state.Warn {
		return policy.Warn, said + ", wanted " + p.Text()
	}
	st.add(s.At)
	if j.InARow = st.n; st.n < policy.Consecutive {
		return "wait", fmt.Sprintf("%s, crit %d of %d", said, st.n, policy.Consecutive)
	}
	return policy.Crit, fmt.Sprintf("%s, wanted %s, %d readings in a row", said, p.Text(), st.n)
}

// add counts a reading once, however often the gate looks at it.
func (st *streak) add(at time.Time) {
	if !st.counted.Equal(at) {
		st.counted = at
		st.n++
	}
}

func (g *gate) streak(key string) *streak {
	if g.streaks[key] == nil {
		g.streaks[key] = new(streak)
	}
	return g.streaks[key]
}

func named(l sight) string {
	if l.label == "" {
		return l.probe.Name
	}
	return l.probe.Name + " " + l.label
}

// unknown excuses ignorance for the policy's patience, while the hold does not count:
// the first readings of a new version take a scrape and a window, and a single lost
// scrape is no reason to call somebody. was is since when the gate was blind before.
func (g *gate) unknown(now, was time.Time, action string, patience state.Duration) string {
	if g.blind = was; was.IsZero() {
		g.blind = now
	}
	if now.Sub(g.blind) < patience.D() {
		return "wait"
	}
	return action
}

// bridges reports whether something is not known for so short a time that waiting for it
// is still right: a watch that ends now would end by a reading that is only late.
func (g *gate) bridges(now time.Time) bool {
	return !g.blind.IsZero() && now.Sub(g.blind) < g.policy.Patience.D()
}
