package state

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// exact gives, by the recurrence of Mann and Whitney, the share of the orders of n and
// m values without ties whose U is at most u, for each u.
func exact(n, m int) []float64 {
	type size struct{ n, m int }
	memo := map[size][]float64{}
	var orders func(n, m int) []float64 // how many have exactly u
	orders = func(n, m int) []float64 {
		if n == 0 || m == 0 {
			return []float64{1}
		}
		if out, ok := memo[size{n, m}]; ok {
			return out
		}
		out := make([]float64, n*m+1)
		for u, c := range orders(n-1, m) { // the largest is one of the n: it exceeds all m
			out[u+m] += c
		}
		for u, c := range orders(n, m-1) {
			out[u] += c
		}
		memo[size{n, m}] = out
		return out
	}
	out := slices.Clone(orders(n, m))
	for u := 1; u < len(out); u++ {
		out[u] += out[u-1]
	}
	for u, all := 0, out[len(out)-1]; u < len(out); u++ {
		out[u] /= all
	}
	return out
}

// withU makes two samples without ties in which now exceeds old in u pairs.
func withU(n, m, u int) (now, old []float64) {
	for i := range m {
		old = append(old, float64(i)*10)
	}
	for i := range n {
		over := min(u, m)
		u -= over
		now = append(now, float64(over)*10-5+float64(i)/float64(n))
	}
	return now, old
}

// The enumeration above gives the critical values of the published tables (Mann and
// Whitney 1947; Siegel 1956, table K): the largest U significant one-sided at 0.01, 0.05.
func TestExactIsThePublishedTable(t *testing.T) {
	for _, c := range []struct {
		n, m, u int
		alpha   float64
	}{{20, 20, 114, 0.01}, {20, 20, 138, 0.05}, {20, 20, 127, 0.025}, {20, 20, 105, 0.005}, {10, 10, 19, 0.01}, {10, 10, 27, 0.05}, {5, 5, 1, 0.01}, {5, 5, 4, 0.05}} {
		if p := exact(c.n, c.m); p[c.u] > c.alpha || p[c.u+1] <= c.alpha {
			t.Errorf("n %d, m %d: P(U<=%d) = %v, P(U<=%d) = %v, alpha %v", c.n, c.m, c.u, p[c.u], c.u+1, p[c.u+1], c.alpha)
		}
	}
}

// The approximation agrees with the exact distribution, at all sizes a gate uses.
func TestMannWhitneyIsNearTheExactValue(t *testing.T) {
	for _, size := range [][2]int{{20, 20}, {20, 60}, {60, 20}, {33, 24}} {
		n, m := size[0], size[1]
		all := exact(n, m)
		for u := 0; u <= n*m; u += 7 {
			now, old := withU(n, m, u)
			r := MannWhitney(now, old, false)
			if r.U != float64(u) {
				t.Fatalf("%d, %d: U %v, want %d", n, m, r.U, u)
			}
			// P(U >= u) = P(U <= n*m-u), the distribution is symmetric.
			want := all[n*m-u]
			if math.Abs(r.P-want) > 0.004 || want > 0.001 && want < 0.02 && math.Abs(r.P-want) > want/4 {
				t.Errorf("%d, %d, U %d: P %v, exact %v", n, m, u, r.P, want)
			}
		}
	}
}

// Worked by hand: ties share ranks and shrink the variance.
func TestMannWhitneyWithTies(t *testing.T) {
	// Ranks of 1 1 2 2 2 3: 1.5 1.5 4 4 4 6. Now holds 2 2 3: 14 - 6 = 8 of 9 pairs.
	// Variance 9/12 * (7 - (6+24)/30) = 4.5; z = (8 - 4.5 - 0.5)/sqrt(4.5) = 1.41421.
	r := MannWhitney([]float64{2, 2, 3}, []float64{1, 1, 2}, false)
	if r.U != 8 || math.Abs(r.Effect-8./9) > 1e-12 || math.Abs(r.P-0.0786496) > 1e-6 {
		t.Errorf("%+v", r)
	}
	if r = MannWhitney([]float64{5, 5}, []float64{5, 5, 5}, false); r.P != 1 || r.Effect != 0.5 {
		t.Errorf("all alike: %+v", r)
	}
	if r = MannWhitney(nil, []float64{5}, false); r.P != 1 || r.Effect != 0.5 {
		t.Errorf("one side empty: %+v", r)
	}
}

func TestMannWhitneyProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	values := func(n int, shift float64) (out []float64) {
		for range n {
			out = append(out, math.Round(rng.NormFloat64()*8+shift)) // with ties
		}
		return out
	}
	for range 500 {
		now, old := values(1+rng.IntN(40), 3), values(1+rng.IntN(40), 0)
		r := MannWhitney(now, old, false)
		var pairs float64
		for _, a := range now {
			for _, b := range old {
				switch {
				case a > b:
					pairs++
				case a == b:
					pairs += 0.5
				}
			}
		}
		if r.U != pairs {
			t.Fatalf("U %v, counted %v", r.U, pairs)
		}
		if r.P < 0 || r.P > 1 || r.Effect < 0 || r.Effect > 1 {
			t.Fatalf("%+v", r)
		}
		// From the other side all pairs are turned round; so are they where low is bad.
		other, low := MannWhitney(old, now, false), MannWhitney(now, old, true)
		if r.U+other.U != float64(len(now)*len(old)) || other.U != low.U || math.Abs(r.Effect+low.Effect-1) > 1e-12 {
			t.Fatalf("%+v, other side %+v, low is bad %+v", r, other, low)
		}
		// Only the order counts, not the scale; nor in which order the values came.
		grown := func(v []float64) (out []float64) {
			for _, x := range v {
				out = append(out, math.Exp(x/10))
			}
			slices.Reverse(out)
			return out
		}
		if g := MannWhitney(grown(now), grown(old), false); g != r {
			t.Fatalf("%+v, on another scale %+v", r, g)
		}
		// Worse readings never look better.
		worse := slices.Clone(now)
		worse[rng.IntN(len(worse))] += 5
		if w := MannWhitney(worse, old, false); w.Effect < r.Effect {
			t.Fatalf("%+v after a worse reading %+v", r, w)
		}
	}
}

// How often two samples of one distribution are told apart: no oftener than Alpha says.
func TestMannWhitneyIsSeldomWrong(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	wrong, crit := 0, 0
	p := Probe{Rank: &Rank{Alpha: RankAlpha, Effect: RankEffect}}
	const rounds = 4000
	for range rounds {
		var now, old []float64
		for range 24 {
			now, old = append(now, rng.ExpFloat64()), append(old, rng.ExpFloat64())
		}
		r, v := p.Ranked(now, old)
		if r.P <= RankAlpha {
			wrong++
		}
		if v == Crit {
			crit++
		}
	}
	if share := float64(wrong) / rounds; share > 0.015 || share < 0.004 {
		t.Errorf("%.4f of pairs from one distribution are significant, want about %v", share, RankAlpha)
	}
	if crit > wrong {
		t.Errorf("%d crit, %d significant", crit, wrong)
	}
}

func TestRankedNeedsMoreThanSignificance(t *testing.T) {
	p := Probe{Rank: &Rank{Alpha: RankAlpha, Effect: RankEffect}}
	spread := func(n int, from, step float64) (out []float64) {
		for i := range n {
			out = append(out, from+float64(i)*step)
		}
		return out
	}
	for name, c := range map[string]struct {
		now, old []float64
		below    bool
		want     Verdict
	}{
		"19 on one side":                   {spread(19, 900, 1), spread(40, 100, 1), false, NoData},
		"19 on the other":                  {spread(40, 900, 1), spread(19, 100, 1), false, NoData},
		"much worse":                       {spread(20, 200, 1), spread(20, 100, 1), false, Crit},
		"much better":                      {spread(20, 100, 1), spread(20, 200, 1), false, OK},
		"much lower, and low is bad":       {spread(20, 100, 1), spread(20, 200, 1), true, Crit},
		"alike":                            {spread(20, 100, 1), spread(20, 100, 1), false, OK},
		"always a little more":             {spread(60, 101, 0.001), spread(60, 100, 0.001), false, OK},
		"significant, the effect is small": {spread(60, 118, 2), spread(60, 100, 2), false, OK},
	} {
		p.Below = c.below
		if r, v := p.Ranked(c.now, c.old); v != c.want {
			t.Errorf("%s: %s, %s", name, v, r.Text())
		}
	}
	r, _ := p.Ranked(spread(60, 118, 2), spread(60, 100, 2))
	if p.Below = false; r.P > RankAlpha && r.Effect > RankEffect {
		t.Errorf("the last case shows nothing: %s", r.Text())
	}
}

// No test needs more bad readings than Slowest says, however many good ones came before
// and however many it is compared with, and some test needs that many.
func TestSlowest(t *testing.T) {
	for _, r := range []Rank{{RankAlpha, RankEffect}, {0.1, 0.51}, {0.05, 0.9}, {1e-6, 0.71}, {1e-9, RankEffect}} {
		p, worst := Probe{Rank: &r}, 0
		for _, m := range []int{RankLeast, 33, RankMost} {
			for good := 0; good <= RankMost; good += 4 {
				n := slowest(p, good, m)
				if n == 0 {
					t.Fatalf("%+v: never, after %d good readings against %d", r, good, m)
				}
				worst = max(worst, n)
			}
		}
		if got := r.Slowest(); got != worst {
			t.Errorf("%+v: %d, but some test needs %d", r, got, worst)
		}
	}
	if got := (Rank{1e-40, RankEffect}).Slowest(); got != 0 {
		t.Errorf("at an alpha that no 60 readings reach: %d", got)
	}
}

// slowest is how many bad readings after so many good ones it takes.
func slowest(p Probe, good, olds int) int {
	for bad := 1; bad <= RankMost; bad++ {
		if _, v := p.Ranked(turned(min(good, RankMost-bad), bad), alike(olds)); v == Crit {
			return bad
		}
	}
	return 0
}
