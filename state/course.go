package state

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// CourseSlot is the grain of what a series remembers beyond its ring: of each slot the
// lowest and the highest value and the worst verdicts. CourseReach is how far back.
const (
	CourseSlot  = 15 * time.Second
	CourseReach = 4 * time.Hour

	courseSlots = int(CourseReach / CourseSlot)
)

// What a full series takes in memory, without the texts, lines and parts of its samples:
// SeriesBytes for SeriesLength of them in the ring, at 56 bytes each, and the slots of
// CourseReach, at 16; and LabelBytes for the slots of each label that its samples' parts
// name, at most MaxParts of them (no more than 450 kB together). Measured by
// TestSeriesBytes.
const (
	SeriesBytes = 37 << 10
	LabelBytes  = 17 << 10
)

// slot is what was read in one slot of time. Values have the precision of a picture.
type slot struct {
	n              int32 // slots since 1970
	lo, hi         float32
	known, unknown uint8 // the worst of each kind, 1 + Verdict.Worse; 0: none was read
}

var byWorse = [...]Verdict{OK, Stale, NoData, Error, Warn, Crit}

func (x slot) start() time.Time { return time.Unix(int64(x.n)*int64(CourseSlot/time.Second), 0).UTC() }

func (x *slot) merge(value float64, verdict Verdict) {
	worse := uint8(1 + verdict.Worse())
	if !verdict.Known() || math.IsNaN(value) {
		x.unknown = max(x.unknown, worse)
		return
	}
	v := float32(value)
	if x.known == 0 {
		x.lo, x.hi = v, v
	}
	x.lo, x.hi, x.known = min(x.lo, v), max(x.hi, v), max(x.known, worse)
}

// sample gives the k-th of a slot's three: lowest, highest, and what was not known, or
// the highest again. Of a slot without a value all are what was not known.
func (x slot) sample(k int) Sample {
	s := Sample{At: x.start(), Got: x.start(), Past: true}
	switch {
	case x.known == 0 || k == 2 && x.unknown > 0:
		s.Verdict = byWorse[x.unknown-1]
	case k == 0:
		s.Value, s.Verdict = float64(x.lo), byWorse[x.known-1]
	default:
		s.Value, s.Verdict = float64(x.hi), byWorse[x.known-1]
	}
	return s
}

// course is what is remembered, by time.
type course []slot

// take puts a value into the slot n; one from before all that is kept is dropped.
func (c *course) take(n int32, value float64, verdict Verdict) {
	s := *c
	at := len(s)
	if at > 0 && s[at-1].n >= n {
		var found bool
		at, found = slices.BinarySearchFunc(s, n, func(x slot, n int32) int { return cmp.Compare(x.n, n) })
		if found {
			s[at].merge(value, verdict)
			return
		}
	}
	fresh := slot{n: n}
	fresh.merge(value, verdict)
	switch {
	case len(s) < courseSlots:
		if len(s) == cap(s) {
			s = append(make(course, 0, min(2*len(s)+8, courseSlots)), s...)
		}
		*c = slices.Insert(s, at, fresh)
	case at > 0:
		copy(s, s[1:at])
		s[at-1] = fresh
	}
}

// before gives the slots that end before a time.
func (c course) before(t time.Time) course {
	n, _ := slices.BinarySearchFunc(c, t, func(x slot, t time.Time) int {
		if x.start().Add(CourseSlot).After(t) {
			return 1
		}
		return -1
	})
	return c[:n]
}

// track is the course of one label.
type track struct {
	label string
	course
}

// remember takes a sample, and each of its parts, into their slots.
func (s *Series) remember(x Sample) {
	at := x.At.Unix() / int64(CourseSlot/time.Second)
	if at < 0 || at > math.MaxInt32 {
		return
	}
	n := int32(at)
	s.own.take(n, x.Value, x.Verdict)
	for _, part := range x.Parts {
		if t := s.track(part.Label, n); t != nil {
			t.take(n, part.Value, part.Verdict)
		}
	}
}

// track gives a label's, a new one where it is not known; of too many the one that was
// seen last the longest ago makes way, nil where that is this one.
func (s *Series) track(label string, n int32) *track {
	i := slices.IndexFunc(s.tracks, func(t *track) bool { return t.label == label })
	switch {
	case i >= 0:
		return s.tracks[i]
	case len(s.tracks) >= MaxParts:
		oldest := slices.MinFunc(s.tracks, func(a, b *track) int { return cmp.Compare(a.last(), b.last()) })
		if oldest.last() >= n {
			return nil
		}
		s.tracks = slices.DeleteFunc(s.tracks, func(t *track) bool { return t == oldest })
	}
	t := &track{label: label}
	s.tracks = append(s.tracks, t)
	return t
}

// last is the newest slot that the label was seen in.
func (t *track) last() int32 { return t.course[len(t.course)-1].n }

// Labels gives the labels that the samples' parts named at or after a time, in their
// order, at most MaxParts, with the worst that the last slot of each knew; nil's are none.
func (s *Series) Labels(since time.Time) []Part {
	if s == nil {
		return nil
	}
	var out []Part
	for _, t := range s.tracks {
		if x := t.course[len(t.course)-1]; x.start().Add(CourseSlot).After(since) {
			last := x.sample(1)
			out = append(out, Part{t.label, last.Value, last.Verdict})
		}
	}
	slices.SortFunc(out, func(a, b Part) int { return cmp.Compare(a.Label, b.Label) })
	return out
}

// Long is a series as far back as it is remembered: where its ring begins, slots before
// it. A copy is the same series as it was then, for reading until the next Add.
type Long struct {
	s     *Series
	past  course // before the ring
	label string
}

// Long gives the long view; nil's is empty.
func (s *Series) Long() Long {
	if s.Len() == 0 {
		return Long{}
	}
	return Long{s, s.own.before(s.At(0).At), ""}
}

// Of gives the long view of one label of the samples' parts. It is empty before the
// label was seen.
func (l Long) Of(label string) Long {
	out := Long{s: l.s, label: label}
	if l.s.Len() > 0 {
		if i := slices.IndexFunc(l.s.tracks, func(t *track) bool { return t.label == label }); i >= 0 {
			out.past = l.s.tracks[i].before(l.s.At(0).At)
		}
	}
	return out
}

// Len is how many samples it gives: three of a slot.
func (l Long) Len() int { return 3*len(l.past) + l.s.Len() }

// At gives the i-th sample, 0 the oldest.
func (l Long) At(i int) Sample {
	if i < 3*len(l.past) {
		return l.past[i/3].sample(i % 3)
	}
	x := l.s.At(i - 3*len(l.past))
	if l.label != "" {
		return x.Of(l.label)
	}
	return x
}

// Slots gives what is remembered of the time before the ring, with all labels, as samples
// of the past of that probe: for a screen that was not there. At most three a slot.
func (l Long) Slots(probe string) []Sample {
	out := make([]Sample, 0, 2*len(l.past))
	for _, x := range l.past {
		for k := range 3 {
			y := x.sample(k)
			y.Probe, y.Parts = probe, l.s.parts(x.n, k)
			if k == 0 || !alikeSamples(y, out[len(out)-1]) {
				out = append(out, y)
			}
		}
	}
	return out
}

func alikeSamples(a, b Sample) bool {
	return a.Verdict == b.Verdict && a.Value == b.Value && slices.Equal(a.Parts, b.Parts)
}

// parts gives the k-th of the three of each label in a slot, in the labels' order.
func (s *Series) parts(n int32, k int) []Part {
	var out []Part
	for _, t := range s.tracks {
		if i, found := slices.BinarySearchFunc(t.course, n, func(x slot, n int32) int { return cmp.Compare(x.n, n) }); found {
			x := t.course[i].sample(k)
			out = append(out, Part{t.label, x.Value, x.Verdict})
		}
	}
	slices.SortFunc(out, func(a, b Part) int { return cmp.Compare(a.Label, b.Label) })
	return out
}
