package state

import (
	"fmt"
	"math"
	"slices"
)

// Rank asks a gate to compare a probe's readings with others by a rank test: the new
// version's with the old one's, or now with before the rollout. A worsening is crit
// when it is significant (P at most Alpha), large (at least Effect) and more than the
// margin of Worsened between the medians; significance alone never is, since with
// enough readings any difference is significant.
type Rank struct {
	Alpha  float64 `json:"alpha"`  // above 0, at most 0.1
	Effect float64 `json:"effect"` // of A12, above 0.5 and at most 1
}

// Defaults of a rank test. Alpha is 0.01 and not the customary 0.05, because a gate
// tests again at each reading, and because readings whose windows overlap are not
// independent, which makes P too small. Effect 0.71 is where Vargha and Delaney call a
// difference large: of ten pairs of readings, the new one is worse in seven.
const (
	RankAlpha  = 0.01
	RankEffect = 0.71
)

// RankLeast is how many readings each side must have: below it the normal
// approximation is poor and a large effect often chance. RankMost bounds them, to the
// newest.
const (
	RankLeast = 20
	RankMost  = 60
)

// Ranked is the outcome of a rank test of now against old.
type Ranked struct {
	Now    int     `json:"now"` // readings on each side
	Old    int     `json:"old"`
	U      float64 `json:"u"`      // pairs in which now is worse; ties count half
	P      float64 `json:"p"`      // one-sided: how likely so many or more would be by chance
	Effect float64 `json:"effect"` // A12, U of all pairs: 0.5 no difference, 1 all of now is worse than all of old
}

// MannWhitney tests whether now's values are worse than old's, where high is bad, or
// low with below. P is by the normal approximation with correction for ties and for
// continuity: good from about ten values on each side. Either side empty, or all
// values alike: P is 1.
//
// Sources: H. B. Mann, D. R. Whitney, "On a test of whether one of two random variables
// is stochastically larger than the other", Ann. Math. Statist. 18 (1947) 50–60; the
// corrections as in M. Hollander, D. A. Wolfe, E. Chicken, Nonparametric Statistical
// Methods, 3rd ed., section 4.1; the effect size A12 by A. Vargha, H. D. Delaney,
// J. Educ. Behav. Stat. 25 (2000) 101–132.
func MannWhitney(now, old []float64, below bool) Ranked {
	r := Ranked{Now: len(now), Old: len(old), P: 1, Effect: 0.5}
	if len(now) == 0 || len(old) == 0 {
		return r
	}
	type value struct {
		v   float64
		now bool
	}
	all := make([]value, 0, len(now)+len(old))
	for _, v := range now {
		all = append(all, value{v, true})
	}
	for _, v := range old {
		all = append(all, value{v, false})
	}
	slices.SortFunc(all, func(a, b value) int {
		switch {
		case a.v < b.v:
			return -1
		case a.v > b.v:
			return 1
		}
		return 0
	})
	n, m := float64(len(now)), float64(len(old))
	var ranks, ties float64 // the sum of now's ranks; of t³-t for each group of t ties
	for lo := 0; lo < len(all); {
		hi := lo
		for hi < len(all) && all[hi].v == all[lo].v {
			hi++
		}
		rank := float64(lo+hi+1) / 2 // ranks count from 1; ties share their mean
		for _, x := range all[lo:hi] {
			if x.now {
				ranks += rank
			}
		}
		t := float64(hi - lo)
		ties += t*t*t - t
		lo = hi
	}
	if r.U = ranks - n*(n+1)/2; below {
		r.U = n*m - r.U
	}
	r.Effect = r.U / (n * m)
	variance := n * m / 12 * (n + m + 1 - ties/((n+m)*(n+m-1)))
	if variance > 0 {
		z := (r.U - n*m/2 - 0.5) / math.Sqrt(variance)
		r.P = math.Erfc(z/math.Sqrt2) / 2
	}
	return r
}

// Ranked judges now's readings against old's as p.Rank says. No data means that a side
// has fewer than RankLeast. It panics on a probe without Rank.
func (p Probe) Ranked(now, old []float64) (Ranked, Verdict) {
	r := MannWhitney(now, old, p.Below)
	switch {
	case min(len(now), len(old)) < RankLeast:
		return r, NoData
	case r.P <= p.Rank.Alpha && r.Effect >= p.Rank.Effect && p.Worsened(median(old), median(now)):
		return r, Crit
	}
	return r, OK
}

// Slowest is how many bad readings in a row the test needs at worst until it says crit,
// where each is worse than all before it by more than the margin of Worsened: RankLeast
// at the beginning; later those that outweigh as many good ones as it remembers, against
// a baseline of as few readings as it takes. 0: however many, it never says so.
func (r Rank) Slowest() int {
	p := Probe{Rank: &r}
	old := alike(RankLeast)
	for bad := 1; bad <= RankMost; bad++ {
		if _, v := p.Ranked(turned(RankMost-bad, bad), old); v == Crit {
			return max(bad, RankLeast)
		}
	}
	return 0
}

// alike gives n values that differ just enough to be no ties.
func alike(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = 1 + 1e-9*(float64(i)+0.5)/float64(n)
	}
	return out
}

// turned gives good values as alike, and then bad ones just beyond the margin.
func turned(good, bad int) []float64 {
	out := alike(good)
	for range bad {
		out = append(out, 1.15)
	}
	return out
}

// Text says the outcome: "24 against 24 readings, p 0.0003, A12 0.93".
func (r Ranked) Text() string {
	return fmt.Sprintf("%d against %d readings, p %.2g, A12 %.2f", r.Now, r.Old, r.P, r.Effect)
}

func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
