package steps

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// Observe takes samples from the hub: into memory, to every client and to the
// file; a changed verdict becomes an event. Called from one goroutine.
func (e *Engine) Observe(samples []state.Sample) {
	var judged []state.Fact
	samples = slices.Clone(samples)
	e.mu.Lock()
	// They count from now on. The hub may have held them for a moment; a replay shows
	// them when the screens did.
	got := e.Now()
	for i := range samples {
		samples[i].Got = got
	}
	samples = slices.DeleteFunc(samples, e.knownLocked)
	e.relativeLocked(samples)
	for _, x := range samples {
		r := e.series[x.Probe]
		if r == nil {
			r = state.NewSeries(state.SeriesLength)
			e.series[x.Probe] = r
		}
		if x.Past {
			r.Add(x)
			continue
		}
		last, had := r.Last()
		if !had || last.Past {
			last, had = e.in.Verdicts[x.Probe]
		}
		if !had || last.Verdict != x.Verdict {
			from := state.Verdict("")
			if had {
				from = last.Verdict
			}
			judged = append(judged, state.ProbeJudged{Sample: x, From: from})
		}
		r.Add(x)
	}
	for s := range e.subs {
		for _, x := range samples {
			waiting := append(s.samples[x.Probe], x)
			if extra := len(waiting) - state.SeriesLength; extra > 0 {
				waiting = waiting[extra:]
			}
			s.samples[x.Probe] = waiting
		}
		s.wake()
	}
	e.mu.Unlock()
	e.keepSamples(samples)
	if len(judged) > 0 {
		e.must(e.mayday(), judged...) // a disk that hangs keeps no reading from who judges it
	}
}

// keepSamples adds samples to the recording, and wakes the recorder.
func (e *Engine) keepSamples(samples []state.Sample) {
	notice, err := e.o.Samples.Add(samples...)
	select {
	case e.added <- struct{}{}:
	default: // told already
	}
	if err != nil {
		e.tellJournal("samples are not kept: " + err.Error())
	}
	if notice != "" {
		e.must(e.mayday(), state.Warned{Text: e.clean(notice)})
	}
}

// recorder writes samples as they come. A keeper that is killed takes none along but
// those of the moment: the next one compares the new version with what this one saw. It
// waits for the disk alone; a disk that hangs holds up neither clocks nor probes, and what
// comes meanwhile goes with the next write, or is dropped at the writer's bound.
func (e *Engine) recorder(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.added:
		}
		if err := e.o.Samples.Flush(); err != nil {
			e.tellJournal("samples are not kept: " + err.Error())
		}
	}
}

// knownLocked reports whether a sample of the past is not needed: the ring holds one of
// that time, or the probe is not laid any more.
func (e *Engine) knownLocked(x state.Sample) bool {
	if !x.Past {
		return false
	}
	p, ok := e.in.Probe(x.Probe)
	r := e.series[x.Probe]
	for i := range r.Len() {
		if d := r.At(i).At.Sub(x.At).Abs(); 2*d < p.Every.D() {
			return true
		}
	}
	return !ok
}

// relativeLocked gives samples of probes whose thresholds follow a baseline their
// verdict: the Hub knows none.
func (e *Engine) relativeLocked(samples []state.Sample) {
	relative := map[string]state.Probe{}
	for i := range e.in.Probes {
		if p := &e.in.Probes[i]; p.IsRelative() {
			relative[p.Name] = *p
		}
	}
	if len(relative) == 0 {
		return
	}
	now := e.Now()
	c := compared{before: e.in.Before, old: func(name string) (reading, bool) {
		p, ok := e.in.Probe(name)
		return e.readingLocked(p, now), ok
	}}
	for i, x := range samples {
		if p, ok := relative[x.Probe]; ok {
			samples[i] = c.rejudge(p, x)
		}
	}
}

// mostRecalled bounds the probes of one Recall: a chart shows two.
const mostRecalled = 4

// recall gives what is remembered of probes from before their rings.
func (e *Engine) recall(v state.Recall) state.Answer {
	e.mu.Lock()
	defer e.mu.Unlock()
	var a state.Answer
	for _, name := range v.Probes[:min(len(v.Probes), mostRecalled)] {
		a.Samples = append(a.Samples, e.series[name].Long().Slots(name)...)
	}
	return a
}

// recent gives a probe's newest samples, as many as rank tests look at.
func (e *Engine) recent(name string) []state.Sample {
	e.mu.Lock()
	defer e.mu.Unlock()
	return newest(e.series[name])
}

// newest gives as much of a series as rank tests look at.
func newest(s *state.Series) []state.Sample {
	var out []state.Sample
	for i := max(s.Len()-state.RankMost, 0); i < s.Len(); i++ {
		out = append(out, s.At(i))
	}
	return out
}

// remember fills the rings with what a keeper before recorded, but for what answered
// another question than its probe asks now.
func (e *Engine) remember(past []state.Sample) {
	since := askedSince(e.events)
	for _, x := range past {
		if from, ok := since[x.Probe]; !ok || x.Got.Before(from) {
			continue
		}
		if e.series[x.Probe] == nil {
			e.series[x.Probe] = state.NewSeries(state.SeriesLength)
		}
		e.series[x.Probe].Add(x)
	}
}

// askedSince says since when each of the probes that were laid last has asked what it asks now.
func askedSince(events []state.Event) map[string]time.Time {
	var laid []state.Probe
	since := map[string]time.Time{}
	for _, ev := range events {
		var probes []state.Probe
		switch f := ev.Fact.(type) {
		case state.Declared:
			probes = f.Probes
		case state.ProbesLaid:
			probes = f.Probes
		default:
			continue
		}
		now := map[string]time.Time{}
		for _, p := range probes {
			now[p.Name] = ev.Time
			for _, o := range laid {
				if o.Name == p.Name && asksTheSame(o, p) {
					now[p.Name] = since[o.Name]
				}
			}
		}
		laid, since = probes, now
	}
	return since
}

// asksTheSame reports whether what a probe answered says something of what it asks now.
// One that keeps versions apart says of the old one what it said before there was a new.
func asksTheSame(o, p state.Probe) bool {
	return o.Kind == p.Kind && o.Query == p.Query && o.By == p.By && (p.By != "" || o.New == p.New && o.Old == p.Old)
}

// readings gives what is known now of the probes with one of the roles.
func (e *Engine) readings(now time.Time, roles ...state.Role) []reading {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []reading
	for _, p := range e.in.Probes {
		for _, role := range roles {
			if p.Role == role {
				out = append(out, e.readingLocked(p, now))
			}
		}
	}
	return out
}

// reading finds one probe's by name.
func (e *Engine) reading(name string, now time.Time) (reading, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, ok := e.in.Probe(name)
	if !ok {
		return reading{}, false
	}
	return e.readingLocked(p, now), true
}

// readingNow is reading at this moment, for gates that compare.
func (e *Engine) readingNow(name string) (reading, bool) { return e.reading(name, e.Now()) }

func (e *Engine) readingLocked(p state.Probe, now time.Time) reading {
	s, ok := e.series[p.Name].Last()
	return reading{probe: p, sample: p.Aged(s, now), seen: ok}
}

// layProbes makes the probes for what is known of the versions, and hands them on. What the
// journal does not take it lays later, by what is known then.
func (e *Engine) layProbes() {
	in := e.Incident()
	probes := ProbesFor(e.o.Runbook, in.Facts, e.o.Reach)
	if !sameProbes(in.Probes, probes) {
		if _, err := e.record(e.mayday(), state.ProbesLaid{Probes: probes, Reaction: Reaction(probes)}); err != nil {
			e.spawn(func() {
				select {
				case <-e.ctx.Done():
				case <-time.After(retryEvery):
					e.layProbes()
				}
			})
			return
		}
		e.forget(in.Probes, probes)
	}
	if e.o.Probes != nil {
		e.o.Probes(probes)
	}
}

// forget drops the readings of probes that ask something else now: what the last
// version answered says nothing of the next.
func (e *Engine) forget(old, probes []state.Probe) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range probes {
		for _, o := range old {
			if o.Name == p.Name && !asksTheSame(o, p) {
				delete(e.series, p.Name)
			}
		}
	}
}

// sameProbes compares all that the journal keeps of probes: a threshold that the runbook
// changed between two keepers is news, too.
func sameProbes(a, b []state.Probe) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && (bytes.Equal(x, y) || len(a)+len(b) == 0)
}

// ProbesFor turns the runbook's probes into this incident's: {new} and {old} become
// the versions. Probes of a version that is not known yet are left out. reach gives
// each one's state.Probe.Reach; nil: none has any.
func ProbesFor(rb *runbook.Runbook, facts map[string]string, reach func(state.Probe) state.Duration) []state.Probe {
	version := func(key string) string {
		if v := facts[key]; v != "" {
			return v
		}
		return runbook.Unknown
	}
	old := version("baseline")
	if facts["baseline"] == "" {
		old = version("production")
	}
	names := strings.NewReplacer("{new}", version("tag"), "{old}", old, "{service}", rb.Service)
	env, _ := rb.Production()
	var clock state.Clock
	if rb.Drill != nil {
		clock = rb.Drill.Clock
	}
	var out []state.Probe
	for _, p := range rb.Probes {
		if p.Role == state.RoleNew && facts["tag"] == "" && p.Series.Label() == "" || p.Role == state.RoleOld && old == runbook.Unknown {
			continue // nothing to see before there is a version; one that tells versions apart sees the old one
		}
		s := p.Asked(names.Replace, env.URL)
		// Under a fast clock a reading must not be stale before it can have travelled.
		if clock.Speed > 1 && s.StaleAt > 0 {
			s.StaleAt = max(s.StaleAt, s.Every+state.Duration(clock.Incident(travelTime)))
		}
		if reach != nil {
			s.Reach = reach(s)
		}
		s.Reaction, s.RankReaction = reaction(s, rb.GateOf(s.Name), clock), rankReaction(s, rb.GateOf(s.Name), clock)
		out = append(out, s)
	}
	return out
}

// travelTime is how long a reading may take from the app to the screen (real time).
const travelTime = 2 * time.Second
