package state

import (
	"math"
	"slices"
	"time"
)

// Series is a bounded ring of one probe's samples, oldest first: what sparklines
// and gates look at. Adding past the bound drops the oldest; of them the course of four
// hours is remembered (Long), and the file of samples keeps all. Times come back in UTC,
// to the nanosecond. Not safe for concurrent use. What it takes: SeriesBytes, and
// LabelBytes for each label of its parts; a sample's text, lines, parts or told verdict
// add 80 bytes and their own length.
type Series struct {
	probe  string
	ring   []reading
	start  int
	max    int
	added  uint64
	own    course
	tracks []*track
}

// reading is a sample as the ring keeps it, at a third of its size: there are thousands of
// rings, and most samples are no more than a number.
type reading struct {
	at, got int64 // nanoseconds since 1970, never for the zero time
	value   float64
	verdict Verdict
	past    bool
	more    *more // nil: none of it
}

type more struct {
	told  Verdict
	text  string
	lines []string
	parts []Part
}

const never = math.MinInt64

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return never
	}
	return t.UnixNano()
}

func moment(n int64) time.Time {
	if n == never {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

func packed(x Sample) reading {
	r := reading{nanos(x.At), nanos(x.Got), x.Value, x.Verdict, x.Past, nil}
	if x.Told != "" || x.Text != "" || x.Lines != nil || x.Parts != nil {
		r.more = &more{x.Told, x.Text, x.Lines, x.Parts}
	}
	return r
}

func (s *Series) sample(r *reading) Sample {
	x := Sample{Probe: s.probe, At: moment(r.at), Got: moment(r.got), Value: r.value, Verdict: r.verdict, Past: r.past}
	if m := r.more; m != nil {
		x.Told, x.Text, x.Lines, x.Parts = m.told, m.text, m.lines, m.parts
	}
	return x
}

// NewSeries makes a ring for max samples (at least 1).
func NewSeries(max int) *Series { return &Series{max: max} }

// Add appends a sample; one of the past goes to its place by the time it was true.
func (s *Series) Add(x Sample) {
	s.added++
	s.remember(x)
	s.probe = x.Probe
	r, i := packed(x), len(s.ring)
	for x.Past && i > 0 && s.kept(i-1).at > r.at {
		i--
	}
	if len(s.ring) < s.max {
		if len(s.ring) == cap(s.ring) {
			s.ring = append(make([]reading, 0, min(2*len(s.ring)+8, s.max)), s.ring...) // not beyond max: there are thousands
		}
		s.ring = slices.Insert(s.ring, i, r) // start is 0
		return
	}
	if i == 0 {
		return // older than all
	}
	if i < len(s.ring) {
		for j := range i - 1 {
			*s.kept(j) = *s.kept(j + 1)
		}
		*s.kept(i - 1) = r
		return
	}
	s.ring[s.start] = r
	s.start = (s.start + 1) % s.max
}

// kept is the i-th of the ring, 0 the oldest.
func (s *Series) kept(i int) *reading { return &s.ring[(s.start+i)%len(s.ring)] }

// Len is how many samples the ring holds.
func (s *Series) Len() int {
	if s == nil {
		return 0
	}
	return len(s.ring)
}

// Added counts the samples that were ever added: while it stays the series is as it
// was, and so is its picture.
func (s *Series) Added() uint64 {
	if s == nil {
		return 0
	}
	return s.added
}

// At gives the i-th sample, 0 the oldest.
func (s *Series) At(i int) Sample { return s.sample(s.kept(i)) }

// Last gives the newest sample.
func (s *Series) Last() (Sample, bool) {
	if s.Len() == 0 {
		return Sample{}, false
	}
	return s.At(s.Len() - 1), true
}

// Since gives the samples taken at or after t, oldest first.
func (s *Series) Since(t time.Time) []Sample {
	n := s.Len()
	lo := n
	for from := nanos(t); lo > 0 && s.kept(lo-1).at >= from; {
		lo--
	}
	out := make([]Sample, 0, n-lo)
	for ; lo < n; lo++ {
		out = append(out, s.At(lo))
	}
	return out
}
