package steps

import (
	"fmt"
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
	policy runbook.Gate
	hold   time.Duration
	before map[string]state.Sample
	old    func(probe string) (reading, bool) // the reading a probe is compared with

	from    time.Time // a reading from before says nothing of what is judged here
	blind   time.Time // something is not known since; zero: all is
	since   time.Time // all well since; zero: not
	crits   map[string]int
	counted map[string]time.Time // the sample that was counted last
}

// decision is what a gate says at one time.
type decision struct {
	state    state.GateState
	since    time.Time
	reasons  []string
	excused  []string // what is bad, but no worse than it was: no reason, and not to be hidden
	causes   []string // the reasons' probes, without their values
	readings []state.Sample
}

func newGate(policy runbook.Gate, hold time.Duration, before map[string]state.Sample, old func(string) (reading, bool)) *gate {
	return &gate{policy: policy, hold: hold, before: before, old: old,
		crits: map[string]int{}, counted: map[string]time.Time{}}
}

// judge looks at the readings of all the gate's probes. No probe at all is
// ignorance too.
func (g *gate) judge(now time.Time, rs []reading) decision {
	d := decision{}
	worst := "pass"
	was := g.blind
	g.blind = time.Time{}
	if len(rs) == 0 {
		worst = g.unknown(now, was, "ask")
		d.reasons = append(d.reasons, "no probe watches this stage")
	}
	for _, r := range rs {
		action, reason := g.one(now, was, r)
		if r.seen {
			d.readings = append(d.readings, r.sample)
		}
		switch {
		case action != "pass":
			d.reasons = append(d.reasons, reason)
			d.causes = append(d.causes, r.probe.Name+" "+string(r.sample.Verdict))
		case reason != "":
			d.excused = append(d.excused, reason)
		}
		if rank(action) > rank(worst) {
			worst = action
		}
	}
	sort.Strings(d.reasons)
	g.decide(now, worst, &d)
	return d
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

// one says what a single probe asks for, and why; was as for unknown.
func (g *gate) one(now, was time.Time, r reading) (action, reason string) {
	p, s := r.probe, r.sample
	if !r.seen {
		return g.unknown(now, was, g.policy.NoData), p.Name + ": no reading yet"
	}
	said := fmt.Sprintf("%s %s", p.Name, state.Quantity(s.Value, p.Unit))
	switch s.Verdict {
	case state.NoData:
		return g.unknown(now, was, g.policy.NoData), p.Name + ": no data"
	case state.Stale:
		return g.unknown(now, was, g.policy.Stale), fmt.Sprintf("%s: stale, %s old", p.Name, now.Sub(s.At).Round(time.Second))
	case state.Error:
		return g.unknown(now, was, g.policy.Error), p.Name + ": " + s.Text
	}
	if s.At.Before(g.from) {
		return "wait", p.Name + ": no reading since it took effect"
	}
	if s.Verdict != state.OK && g.excused(p, s) {
		g.crits[p.Name] = 0
		return "pass", said + ", but no worse than it was"
	}
	if s.Verdict == state.OK {
		g.crits[p.Name] = 0
		return "pass", ""
	}
	if s.Verdict == state.Warn {
		g.crits[p.Name] = 0
		return g.policy.Warn, said + ", wanted " + p.Text()
	}
	if !g.counted[p.Name].Equal(s.At) {
		g.counted[p.Name] = s.At
		g.crits[p.Name]++
	}
	if n := g.crits[p.Name]; n < g.policy.Consecutive {
		return "wait", fmt.Sprintf("%s, crit %d of %d", said, n, g.policy.Consecutive)
	}
	return g.policy.Crit, fmt.Sprintf("%s, wanted %s, %d readings in a row", said, p.Text(), g.crits[p.Name])
}

// unknown excuses ignorance for the policy's patience, while the hold does not count:
// the first readings of a new version take a scrape and a window, and a single lost
// scrape is no reason to call somebody. was is since when the gate was blind before.
func (g *gate) unknown(now, was time.Time, action string) string {
	if g.blind = was; was.IsZero() {
		g.blind = now
	}
	if now.Sub(g.blind) < g.policy.Patience.D() {
		return "wait"
	}
	return action
}

// excused reports whether a bad reading is no worse than what it is compared with,
// where that was or is bad itself.
func (g *gate) excused(p state.Probe, s state.Sample) bool {
	bad := func(v state.Verdict) bool { return v == state.Warn || v == state.Crit }
	if p.Compare != "" && g.old != nil {
		o, ok := g.old(p.Compare)
		if ok && o.seen && o.sample.Verdict.Known() {
			return bad(p.Judge(o.sample.Value)) && !p.Worsened(o.sample.Value, s.Value)
		}
		// The old version has no traffic left: then what it was before counts.
		if b, ok := g.before[p.Compare]; ok && bad(p.Judge(b.Value)) {
			return !p.Worsened(b.Value, s.Value)
		}
	}
	if b, ok := g.before[p.Name]; ok && bad(b.Verdict) {
		return !p.Worsened(b.Value, s.Value)
	}
	return false
}
