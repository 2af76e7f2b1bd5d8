package state

import (
	"slices"
	"time"
)

// Series is a bounded ring of one probe's samples, oldest first: what sparklines
// and gates look at. Adding past the bound drops the oldest (the file of samples
// keeps them). Not safe for concurrent use.
type Series struct {
	ring  []Sample
	start int
	max   int
	added uint64
}

// NewSeries makes a ring for max samples (at least 1).
func NewSeries(max int) *Series { return &Series{max: max} }

// Add appends a sample; one of the past goes to its place by the time it was true.
func (s *Series) Add(x Sample) {
	s.added++
	i := len(s.ring)
	for x.Past && i > 0 && s.At(i-1).At.After(x.At) {
		i--
	}
	if len(s.ring) < s.max {
		if len(s.ring) == cap(s.ring) {
			s.ring = append(make([]Sample, 0, min(2*len(s.ring)+8, s.max)), s.ring...) // not beyond max: there are thousands
		}
		s.ring = slices.Insert(s.ring, i, x) // start is 0
		return
	}
	if i == 0 {
		return // older than all
	}
	if i < len(s.ring) {
		for j := range i - 1 {
			s.ring[(s.start+j)%len(s.ring)] = s.At(j + 1)
		}
		s.ring[(s.start+i-1)%len(s.ring)] = x
		return
	}
	s.ring[s.start] = x
	s.start = (s.start + 1) % s.max
}

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
func (s *Series) At(i int) Sample { return s.ring[(s.start+i)%len(s.ring)] }

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
	for lo > 0 && !s.At(lo-1).At.Before(t) {
		lo--
	}
	out := make([]Sample, 0, n-lo)
	for ; lo < n; lo++ {
		out = append(out, s.At(lo))
	}
	return out
}
