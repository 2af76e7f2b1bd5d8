package state

import (
	"cmp"
	"slices"
)

// Several says what a probe makes of an answer of several series. Empty: it expects
// exactly one, and two are an error that names them, never the first by chance.
type Several string

// Ways to make one value of several series.
const (
	SeveralAny Several = "any" // the worst one counts: bad when any of them is
	SeveralAll Several = "all" // the best one counts: bad only when all of them are
	SeveralMax Several = "max" // the largest, whichever direction is bad
	SeveralMin Several = "min"
)

// MaxParts bounds a sample's parts.
const MaxParts = 24

// Part is the value of one series among several, by the value of a label: the error
// rate of one version. Its verdict is by the probe's thresholds; the value means
// nothing unless that is known.
type Part struct {
	Label   string  `json:"label"`
	Value   float64 `json:"value"`
	Verdict Verdict `json:"verdict"`
}

// Part gives the part with that label.
func (s Sample) Part(label string) (Part, bool) {
	for _, x := range s.Parts {
		if x.Label == label {
			return x, true
		}
	}
	return Part{}, false
}

// Of gives the sample as if it were of that part alone: what a probe of the old
// version would have read. An absent part is no data.
func (s Sample) Of(label string) Sample {
	x, ok := s.Part(label)
	out := Sample{Probe: s.Probe, At: s.At, Got: s.Got, Value: x.Value, Verdict: x.Verdict}
	switch {
	case s.Verdict == Stale || s.Verdict == Error:
		out.Verdict, out.Value = s.Verdict, 0
	case !ok:
		out.Verdict = NoData
	}
	return out
}

// Fewer gives a copy of the parts in the order of their labels, at most MaxParts of
// them: the versions' own and the worst of the others.
func (p Probe) Fewer(parts []Part) []Part {
	kept := slices.Clone(parts)
	if len(kept) > MaxParts {
		slices.SortStableFunc(kept, func(a, b Part) int {
			return cmp.Or(cmp.Compare(p.own(b), p.own(a)), cmp.Compare(b.Verdict.Worse(), a.Verdict.Worse()), p.badness(b.Value, a.Value))
		})
		kept = kept[:MaxParts]
	}
	slices.SortFunc(kept, func(a, b Part) int { return cmp.Compare(a.Label, b.Label) })
	return kept
}

func (p Probe) own(x Part) int {
	if x.Label != "" && (x.Label == p.New || x.Label == p.Old) {
		return 1
	}
	return 0
}

// badness orders values: positive where a is worse than b.
func (p Probe) badness(a, b float64) int {
	if p.Below {
		return cmp.Compare(b, a)
	}
	return cmp.Compare(a, b)
}

// Worse reports whether a is the worse of two values.
func (p Probe) Worse(a, b float64) bool { return p.badness(a, b) > 0 }
