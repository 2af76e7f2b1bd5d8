package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"mayday/state"
)

// Readings sums up an incident's recorded samples, by probe: what the journal, which
// holds changes of verdict only, does not say. Add takes them in the order they were
// recorded.
type Readings struct {
	declared, until time.Time
	below           map[string]bool
	of              map[string]*readings
}

type readings struct {
	n     int // read while the incident ran, known or not
	known int
	worst float64
	past  time.Time // since when it was bad without a break up to the declaration
}

// settling is how long before an incident's end (real time) its samples must have come
// to count: later ones may not be on the disk when the first report is made, and each
// further one should say the same.
const settling = 2 * time.Second

// NewReadings makes an empty sum for an incident.
func NewReadings(in *state.Incident) *Readings {
	r := &Readings{declared: in.Declared, until: in.Ended, below: map[string]bool{}, of: map[string]*readings{}}
	if !in.Ended.IsZero() {
		r.until = in.Ended.Add(-in.Clock.Incident(settling))
	}
	for _, p := range in.Probes {
		r.below[p.Name] = p.Below
	}
	return r
}

// Add takes a sample in.
func (r *Readings) Add(x state.Sample) {
	s := r.of[x.Probe]
	if s == nil {
		s = &readings{}
		r.of[x.Probe] = s
	}
	if x.Past || x.At.Before(r.declared) {
		switch {
		case !bad(x.Verdict):
			s.past = time.Time{}
		case s.past.IsZero():
			s.past = x.At
		}
		return
	}
	if !r.until.IsZero() && x.Got.After(r.until) {
		return
	}
	s.n++
	if !x.Verdict.Known() {
		return
	}
	if s.known == 0 || r.below[x.Probe] && x.Value < s.worst || !r.below[x.Probe] && x.Value > s.worst {
		s.worst = x.Value
	}
	s.known++
}

func (r *Readings) probe(name string) readings {
	if r == nil || r.of[name] == nil {
		return readings{}
	}
	return *r.of[name]
}

func bad(v state.Verdict) bool { return v == state.Warn || v == state.Crit }

// spell is a stretch of time that a probe had one verdict, while a keeper looked.
type spell struct {
	verdict  state.Verdict
	from, to time.Time
	sample   state.Sample
}

// episode is a stretch of spells that have something in common.
type episode struct {
	from, to time.Time
	took     time.Duration // as long as somebody looked
	worst    spell
}

// watched is what one probe said over the incident.
type watched struct {
	probe    state.Probe
	asked    bool
	spells   []spell
	bad      []episode // warn or crit
	blind    []episode // no-data, stale, error
	red      time.Duration
	readings readings
	since    time.Time // bad for the first time, before the declaration perhaps
	decided  int       // decisions that it kept from being good
}

func total(list []episode) (sum, longest time.Duration) {
	for _, e := range list {
		sum += e.took
		longest = max(longest, e.took)
	}
	return sum, longest
}

// witness reads the verdicts of an incident out of its events.
type witness struct {
	in       *state.Incident
	of       map[string]*watched
	last     time.Time // of the event before
	looking  bool
	order    []string
	readings *Readings
}

// watch gives what each probe said, in the order of the incident's probes, then those
// that were there once.
func watch(in *state.Incident, events []state.Event, r *Readings) []*watched {
	w := &witness{in: in, of: map[string]*watched{}, readings: r, looking: true}
	for _, p := range in.Probes {
		w.probe(p)
	}
	for _, e := range events {
		if !in.Ended.IsZero() && e.Time.After(in.Ended) {
			break
		}
		w.take(e)
		w.last = e.Time
	}
	end := in.Ended
	if end.IsZero() {
		end = w.last
	}
	var out []*watched
	for _, name := range w.order {
		x := w.of[name]
		if w.looking {
			x.close(end)
		}
		x.sum(w.readings.probe(name))
		out = append(out, x)
	}
	return out
}

func (w *witness) probe(p state.Probe) *watched {
	x := w.of[p.Name]
	if x == nil {
		x = &watched{probe: p}
		w.of[p.Name] = x
		w.order = append(w.order, p.Name)
	}
	return x
}

func (w *witness) take(e state.Event) {
	switch f := e.Fact.(type) {
	case state.Declared:
		w.lay(f.Probes, e.Time)
	case state.ProbesLaid:
		w.lay(f.Probes, e.Time)
	case state.ProbeJudged:
		x := w.probe(state.Probe{Name: f.Sample.Probe})
		x.close(e.Time)
		x.spells = append(x.spells, spell{verdict: f.Sample.Verdict, from: e.Time, sample: f.Sample})
	case state.KeeperStopped:
		w.pause(e.Time)
	case state.KeeperStarted:
		if w.looking {
			w.pause(w.last) // it died, no later than that
		}
		w.looking = true
		for _, x := range w.of {
			if n := len(x.spells); n > 0 && x.asked {
				s := x.spells[n-1]
				x.spells = append(x.spells, spell{verdict: s.verdict, from: e.Time, sample: s.sample})
			}
		}
	case state.GateDecided:
		w.decided(f.State, f.Judged, f.Reasons)
	case state.WatchDecided:
		w.decided(f.State, f.Judged, f.Reasons)
	}
}

// lay takes new definitions in; what is not asked any more says nothing from now on.
func (w *witness) lay(probes []state.Probe, at time.Time) {
	for _, p := range probes {
		w.probe(p)
	}
	for name, x := range w.of {
		if x.asked = slices.ContainsFunc(probes, func(p state.Probe) bool { return p.Name == name }); !x.asked {
			x.close(at)
		}
	}
}

func (w *witness) pause(at time.Time) {
	w.looking = false
	for _, x := range w.of {
		x.close(at)
	}
}

// decided notes the probes that kept a gate or a watch from being content.
func (w *witness) decided(s state.GateState, judged []state.Judged, reasons []string) {
	if s == state.GateHolding || s == state.GatePassed {
		return
	}
	for name, x := range w.of {
		named := slices.ContainsFunc(judged, func(j state.Judged) bool { return j.Probe == name && j.Verdict != state.OK })
		if len(judged) == 0 {
			named = slices.ContainsFunc(reasons, func(r string) bool { return strings.HasPrefix(r, name+" ") })
		}
		if named {
			x.decided++
		}
	}
}

func (x *watched) close(at time.Time) {
	if n := len(x.spells); n > 0 && x.spells[n-1].to.IsZero() {
		x.spells[n-1].to = at
	}
}

// sum makes the episodes and what follows from them.
func (x *watched) sum(r readings) {
	x.readings = r
	x.bad = episodes(x.spells, func(s spell) bool { return bad(s.verdict) })
	x.blind = episodes(x.spells, func(s spell) bool { return !s.verdict.Known() })
	for _, s := range x.spells {
		if s.verdict == state.Crit {
			x.red += s.to.Sub(s.from)
		}
	}
	if len(x.bad) == 0 {
		return
	}
	x.since = x.bad[0].from
	if !r.past.IsZero() && bad(x.spells[0].verdict) {
		x.since = r.past
	}
}

// episodes joins neighbouring spells that is says yes to. One that goes on behind a time
// without a keeper is the same.
func episodes(spells []spell, is func(spell) bool) []episode {
	var out []episode
	open := false
	for _, s := range spells {
		switch {
		case !is(s):
			open = false
			continue
		case !open:
			out = append(out, episode{from: s.from, to: s.to, took: s.to.Sub(s.from), worst: s})
		default:
			e := &out[len(out)-1]
			e.to, e.took = s.to, e.took+s.to.Sub(s.from)
			if s.verdict.Worse() > e.worst.verdict.Worse() {
				e.worst = s
			}
		}
		open = true
	}
	return out
}

// From when on a probe flaps: bad so often, and never for longer.
const (
	flaps     = 3
	flapSpell = 2 * time.Minute
)

func (x *watched) flapped() bool {
	_, longest := total(x.bad)
	return len(x.bad) >= flaps && longest <= flapSpell
}

// blipTime is what a probe must be bad for, once, to be more than a blip.
const blipTime = time.Minute

// blip reports whether a probe was bad for a moment only, and is not any more.
func (x *watched) blip() bool {
	_, longest := total(x.bad)
	return longest < blipTime && !bad(x.spells[len(x.spells)-1].verdict)
}

// changes counts the verdicts one after the other.
func (x *watched) changes() map[state.Verdict]int {
	n := map[state.Verdict]int{}
	last := state.Verdict("")
	for _, s := range x.spells {
		if s.verdict != last {
			n[s.verdict]++
		}
		last = s.verdict
	}
	return n
}

// within sums the time that spells which is says yes to lie between two times; a zero end
// is the end of all.
func (x *watched) within(from, to time.Time, is func(spell) bool) time.Duration {
	var sum time.Duration
	for _, s := range x.spells {
		a, b := s.from, s.to
		if a.Before(from) {
			a = from
		}
		if !to.IsZero() && b.After(to) {
			b = to
		}
		if is(s) && b.After(a) {
			sum += b.Sub(a)
		}
	}
	return sum
}

// sawIt gives the probes that saw the trouble which the incident is about, the first
// first: bad before production was mitigated, and before the first rollout, which makes
// trouble of its own; not about the new version, and more than flapping or a blip.
func sawIt(in *state.Incident, all []*watched) []*watched {
	before := in.Mitigated
	for i := range in.Rollouts {
		if r := &in.Rollouts[i]; r.Production && !r.Started.IsZero() && (before.IsZero() || r.Started.Before(before)) {
			before = r.Started
		}
	}
	var out []*watched
	for _, x := range all {
		if x.since.IsZero() || x.probe.Role == state.RoleNew || x.flapped() || x.blip() || !before.IsZero() && x.since.After(before) {
			continue
		}
		out = append(out, x)
	}
	slices.SortStableFunc(out, func(a, b *watched) int {
		return cmp.Or(a.since.Compare(b.since), strings.Compare(a.probe.Name, b.probe.Name))
	})
	return out
}

// said writes what a spell's sample said: "12 % (should be < 1 %)".
func said(p state.Probe, s spell) string {
	x := s.sample
	text := ""
	switch {
	case x.Verdict.Known() && x.Text != "" && p.Kind != "" && p.Kind != "prometheus":
		text = x.Text
	case x.Verdict.Known():
		text = state.Quantity(x.Value, p.Unit)
	default:
		text = x.Text
	}
	if limit := p.Text(); limit != "" && bad(x.Verdict) {
		text += " (should be " + limit + ")"
	}
	return strings.TrimSpace(text)
}
