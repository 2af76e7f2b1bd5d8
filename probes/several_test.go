package probes

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"mayday/state"
)

func of(label string, v float64) Series {
	return Series{Labels: fmt.Sprintf("{version=%q}", label), Label: label, Value: v}
}

func TestSeveralSeriesAreExplicit(t *testing.T) {
	five := 5.0
	nan := math.NaN()
	high, low := state.Probe{Crit: &five}, state.Probe{Crit: &five, Below: true}
	with := func(p state.Probe, how state.Several) state.Probe { p.Series = how; return p }
	by := func(p state.Probe, isNew, old string) state.Probe {
		p.By, p.New, p.Old = "version", isNew, old
		return p
	}
	abc := []Series{of("a", 3), of("b", 9), of("c", 1)}
	for name, c := range map[string]struct {
		p     state.Probe
		in    []Series
		want  float64
		text  string // holds
		err   string // holds; empty: none
		none  bool
		parts int
	}{
		"one":                   {p: high, in: []Series{of("a", 7)}, want: 7},
		"none":                  {p: with(high, "any"), none: true},
		"two, and nothing said": {p: high, in: abc[:2], err: `2 series where one is expected: {version="a"} and {version="b"}`},
		"many are counted": {p: high, in: append([]Series{of("d", 1), of("e", 1)}, abc...),
			err: `5 series where one is expected: {version="a"} and {version="d"} and {version="e"} and 2 more`},
		"any, high is bad":             {p: with(high, "any"), in: abc, want: 9, text: `{version="b"} of 3`},
		"any, low is bad":              {p: with(low, "any"), in: abc, want: 1, text: `{version="c"} of 3`},
		"all, high is bad":             {p: with(high, "all"), in: abc, want: 1},
		"all, low is bad":              {p: with(low, "all"), in: abc, want: 9},
		"max":                          {p: with(low, "max"), in: abc, want: 9},
		"min":                          {p: with(high, "min"), in: abc, want: 1},
		"any, one unknown":             {p: with(high, "any"), in: []Series{of("a", 3), of("b", nan)}, none: true, text: `nothing of {version="b"}`},
		"any, one unknown and one bad": {p: with(high, "any"), in: []Series{of("a", 9), of("b", nan)}, want: 9},
		"all, one unknown":             {p: with(high, "all"), in: []Series{of("a", 9), of("b", nan)}, want: 9},
		"max, one unknown":             {p: with(high, "max"), in: []Series{of("b", nan), of("a", 3)}, want: 3},
		"max, all unknown":             {p: with(high, "max"), in: []Series{of("a", nan), of("b", nan)}, none: true},
		"by, no version known":         {p: by(high, "", ""), in: abc, want: 9, parts: 3},
		"by, before there is a new":    {p: by(high, "", "c"), in: abc, want: 1, parts: 3},
		"by, the new one's":            {p: by(high, "a", "b"), in: abc, want: 3, parts: 3},
		"by, the new one is absent":    {p: by(high, "x", "b"), in: abc, none: true, text: "no version x among 3", parts: 3},
		"by, the new one is unknown":   {p: by(high, "a", "b"), in: []Series{of("b", 9), of("a", nan)}, none: true, parts: 2},
		"by, without the label":        {p: by(high, "a", "b"), in: []Series{of("", 9)}, err: `no label "version"`},
		"by, one label twice":          {p: by(high, "a", "b"), in: []Series{of("a", 9), of("a", 3)}, err: `two series are of one version, "a"`},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			r, err := Gather(c.p, c.in)
			s := Judge(c.p, r, err, now, now)
			switch {
			case c.err != "":
				if s.Verdict != state.Error || !strings.Contains(s.Text, c.err) {
					t.Fatalf("%+v", s)
				}
				return
			case c.none != (s.Verdict == state.NoData), !c.none && s.Value != c.want, !strings.Contains(s.Text, c.text), len(s.Parts) != c.parts:
				t.Fatalf("%+v", s)
			}
		})
	}
}

// Whatever order the series come in, the answer is the same; and it is the value of
// one of them, or of none where none is known.
func TestGatherIgnoresTheOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		p := state.Probe{Below: r.IntN(2) == 0, Series: []state.Several{"any", "all", "max", "min"}[r.IntN(4)]}
		limit := r.Float64()
		p.Crit = &limit
		if r.IntN(2) == 0 {
			p.Series, p.By, p.New = "", "version", []string{"", "v0", "v1"}[r.IntN(3)]
		}
		var all []Series
		for i := range 1 + r.IntN(5) {
			v := r.Float64()
			if r.IntN(5) == 0 {
				v = math.NaN()
			}
			all = append(all, of(fmt.Sprint("v", i), v))
		}
		now := time.Now()
		one, err := Gather(p, all)
		a := Judge(p, one, err, now, now)
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		two, err := Gather(p, all)
		b := Judge(p, two, err, now, now)
		if a.Value != b.Value || a.Verdict != b.Verdict || fmt.Sprint(a.Parts) != fmt.Sprint(b.Parts) {
			t.Fatalf("%+v\n%+v\n%+v", p, a, b)
		}
		found := a.Verdict == state.NoData
		for _, s := range all {
			found = found || s.Value == a.Value
		}
		if !found {
			t.Fatalf("%+v is none of %+v", a, all)
		}
	}
}

func TestPartsAreBounded(t *testing.T) {
	half := 0.5
	p := state.Probe{By: "version", New: "v38", Old: "v39", Crit: &half}
	var all []Series
	for i := range 40 {
		all = append(all, of(fmt.Sprintf("v%02d", i), float64(40-i)/40))
	}
	r, err := Gather(p, all)
	s := Judge(p, r, err, time.Now(), time.Now())
	if len(s.Parts) != state.MaxParts || s.Parts[0].Label != "v00" || s.Verdict != state.OK {
		t.Fatalf("%d parts, %+v", len(s.Parts), s)
	}
	for _, label := range []string{"v38", "v39", "v05"} { // the versions' own, and the worst
		if _, ok := s.Part(label); !ok {
			t.Errorf("%s is left out: %+v", label, s.Parts)
		}
	}
	if old := s.Of("v39"); old.Value != 1./40 || old.Verdict != state.OK || s.Of("v30").Verdict != state.NoData {
		t.Errorf("%+v", old)
	}
}

// Of a range each moment is gathered by itself, of the series that there were.
func TestPastIsGatheredByMoment(t *testing.T) {
	t0 := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	at := func(s Series, minute int) Series { s.At = t0.Add(time.Duration(minute) * time.Minute); return s }
	all := []Series{at(of("a", 1), 0), at(of("a", 2), 1), at(of("a", 3), 2), at(of("b", 9), 1), at(of("b", 8), 2), at(of("", 7), 2)}
	by := state.Probe{By: "version", Old: "a"}
	got, err := GatherPast(by, all)
	if err != nil || len(got) != 2 || !got[0].At.Equal(t0) || got[0].Value != 1 || len(got[0].Parts) != 1 || got[1].Value != 2 || len(got[1].Parts) != 2 {
		t.Errorf("by version, the third has one without: %+v, %v", got, err)
	}
	got, err = GatherPast(state.Probe{Series: state.SeveralMax}, all)
	if err != nil || len(got) != 3 || got[0].Value != 1 || got[1].Value != 9 || got[2].Value != 8 {
		t.Errorf("the largest: %+v, %v", got, err)
	}
	if got, err = GatherPast(state.Probe{}, all[:3]); err != nil || len(got) != 3 || got[2].Value != 3 {
		t.Errorf("the only one: %+v, %v", got, err)
	}
	if got, err = GatherPast(state.Probe{}, all); !state.HasCode(err, "many-series") {
		t.Errorf("one is expected: %+v, %v", got, err)
	}
	if got, err = GatherPast(by, nil); err != nil || len(got) != 0 {
		t.Errorf("nothing: %+v, %v", got, err)
	}
}
