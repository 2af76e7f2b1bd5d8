package state

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"
)

func TestTypicalIsNoSpikeAndNoLuckyReading(t *testing.T) {
	of := func(values ...float64) (out []Sample) {
		for _, v := range values {
			out = append(out, Sample{Value: v, Verdict: Crit})
		}
		return out
	}
	for name, c := range map[string]struct {
		below  bool
		window []Sample
		want   float64
	}{
		"one":            {false, of(3), 3},
		"a few":          {false, of(8, 3, 9, 0), 9},
		"a single spike": {false, of(8, 8, 7, 99, 6, 5, 8, 4, 3, 8), 8},
		"below":          {true, of(95, 91, 97, 96, 95, 94, 93, 97, 98, 20), 91},
		"unknown ones":   {false, append(of(4), Sample{Value: 50, Verdict: Error}), 4},
		"nothing":        {false, nil, 0},
	} {
		p := Probe{Below: c.below}
		if got, ok := p.Typical(c.window); got.Value != c.want || ok != (len(c.window) > 0) {
			t.Errorf("%s: %v, want %v", name, got.Value, c.want)
		}
	}
}

func limitOf(v float64) *float64 { return &v }

func TestRelativeThresholdsFollowTheBaseline(t *testing.T) {
	up := Probe{WarnTo: &Relative{Times: 1.1}, CritTo: &Relative{Times: 1.2, Plus: 0.01}}
	down := Probe{Below: true, CritTo: &Relative{Times: 0.8}, Warn: limitOf(0.5)}
	for name, c := range map[string]struct {
		p        Probe
		baseline float64
		value    float64
		want     Verdict
		text     string
	}{
		"well":                        {up, 1, 1.1, OK, "< 1.1"},
		"the limit itself is well":    {up, 0, 0, OK, "< 0"},
		"warn":                        {up, 1, 1.15, Warn, "< 1.1"},
		"crit":                        {up, 1, 1.22, Crit, "< 1.1"},
		"near nothing, plus allows":   {up, 0, 0.005, Warn, "< 0"},
		"near nothing, and much more": {up, 0, 0.02, Crit, "< 0"},
		"low is bad, well":            {down, 1, 0.8, OK, "> 0.5"},
		"low is bad":                  {down, 1, 0.79, Crit, "> 0.5"},
		"an absolute one beside it":   {down, 0.2, 0.3, Warn, "> 0.5"},
	} {
		p := c.p.Against(c.baseline)
		if got := p.Judge(c.value); got != c.want || p.IsRelative() || p.Text() != c.text {
			t.Errorf("%s: %s, wanted %s", name, got, p.Text())
		}
	}
	if up.Text() != "< 1.1 x baseline" || up.CritTo.Text() != "1.2 x baseline + 0.01" || !up.IsRelative() || up.Judge(1e9) != OK {
		t.Errorf("without a baseline: %s, %s, %s", up.Text(), up.CritTo.Text(), up.Judge(1e9))
	}
}

// What is no worse than before stays so when before gets worse, and every reading is
// no worse than itself.
func TestNoWorseIsAnOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 5000 {
		p := Probe{Below: r.IntN(2) == 0, Crit: limitOf(r.Float64())}
		one := func() Sample {
			return p.Rejudge(Sample{Value: r.Float64(), Verdict: OK, Told: []Verdict{"", "", Warn, Crit}[r.IntN(4)]})
		}
		before, now := one(), one()
		if !p.NoWorse(before, before) {
			t.Fatalf("%+v is worse than itself, %+v", before, p)
		}
		worse := before
		if worse.Value += 0.5; p.Below {
			worse.Value -= 1
		}
		if p.NoWorse(before, now) && worse.Value >= 0 && !p.NoWorse(worse, now) {
			t.Fatalf("%+v is no worse than %+v, but than %+v", now, before, worse)
		}
		if before.Told.Worse() < now.Told.Worse() && p.NoWorse(before, now) {
			t.Fatalf("%+v is no worse than %+v", now, before)
		}
	}
}

func TestNoWorseByTheSourcesWord(t *testing.T) {
	p := Probe{Warn: limitOf(0.5), Crit: limitOf(2)} // seconds, as of a health probe
	fails, slow, quick := Sample{Value: 0.01, Verdict: Crit, Told: Crit}, Sample{Value: 3, Verdict: Crit}, Sample{Value: 0.01, Verdict: OK}
	failsLater := Sample{Value: 0.4, Verdict: Crit, Told: Crit}
	for name, c := range map[string]struct {
		before, now Sample
		want        bool
	}{
		"failed, and fails a bit slower":    {fails, failsLater, true},
		"was slow, and fails at once":       {slow, fails, false},
		"failed, and is slow":               {fails, slow, true},
		"was well, and fails":               {quick, fails, false},
		"failed at once, and fails by time": {fails, Sample{Value: 3, Verdict: Crit, Told: Crit}, false},
	} {
		if got := p.NoWorse(c.before, c.now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A gate's decision holds what is needed to judge it again, and survives the journal.
func TestJudgedSurvivesTheJournal(t *testing.T) {
	at := time.Date(2026, 11, 22, 3, 14, 0, 0, time.UTC)
	f := GateDecided{Rollout: "r", State: GateWaiting, Judged: []Judged{{Probe: "p", Query: "q", At: at, Value: 0.2, Verdict: Crit, Crit: limitOf(0.1),
		Baseline: &Baseline{Of: "old now", At: at, Value: 0.05, Verdict: OK}, For: Duration(time.Minute), Since: at, InARow: 1, Consecutive: 3, Answer: "wait", Why: "x",
		Rank: &RankedBy{Ranked: MannWhitney([]float64{1, 2}, []float64{3}, false), Rank: Rank{RankAlpha, RankEffect}, Verdict: NoData, News: []Point{{at, 1}}}}}}
	b, err := json.Marshal(f)
	var back GateDecided
	if err == nil {
		err = json.Unmarshal(b, &back)
	}
	if err != nil || !reflect.DeepEqual(f, back) {
		t.Fatalf("%v\n%+v\n%+v", err, f, back)
	}
	// A decision of an older journal, which held samples.
	if err := json.Unmarshal([]byte(`{"readings":[{"probe":"p","at":"2026-11-22T03:14:00Z","got":"2026-11-22T03:14:00Z","value":0.2,"verdict":"crit"}]}`), &back); err != nil || back.Judged[0].Value != 0.2 {
		t.Fatalf("%v %+v", err, back)
	}
}

func TestPointsAreBoundedToTheNewest(t *testing.T) {
	var window []Sample
	for i := range 3 * WindowLength {
		window = append(window, Sample{At: time.Unix(int64(i), 0), Value: float64(i), Verdict: OK})
	}
	window[3*WindowLength-2].Verdict = Error
	window[3*WindowLength-3].Value = math.Inf(1)
	got := Points(window)
	if len(got) != WindowLength || got[len(got)-1].Value != 3*WindowLength-1 || got[len(got)-2].Value != 3*WindowLength-4 {
		t.Fatalf("%d: %v", len(got), got)
	}
}
