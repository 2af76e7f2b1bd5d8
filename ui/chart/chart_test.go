package chart

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"mayday/state"
	"mayday/ui/theme"
)

var t0 = time.Date(2026, 11, 22, 3, 15, 0, 0, time.UTC)

// wave makes a reading every step from the start of the window.
func wave(n int, step time.Duration, f func(i int) float64) List {
	var l List
	for i := range n {
		at := t0.Add(-time.Duration(n-1-i) * step)
		v := f(i)
		x := state.Sample{At: at, Value: v, Verdict: state.OK}
		if math.IsNaN(v) {
			x.Verdict = state.NoData
		}
		l = append(l, x)
	}
	return l
}

func TestSpark(t *testing.T) {
	ramp := wave(8, 10*time.Second, func(i int) float64 { return float64(i) })
	win := Window{End: t0, Span: 80 * time.Second}
	for name, c := range map[string]struct {
		s    Samples
		k    Spark
		w    int
		want string
	}{
		"ramp":         {ramp, Spark{Window: win, Hi: 7}, 8, "▁▂▃▄▅▆▇▇"},
		"shared scale": {ramp, Spark{Window: win, Hi: 14}, 8, "▁▁▂▂▃▃▄▄"},
		"worst of two": {ramp, Spark{Window: win, Hi: 7}, 4, "▃▅▇▇"},
		"below":        {ramp, Spark{Window: win, Hi: 7, Below: true}, 4, "▂▄▆▇"},
		"younger":      {ramp[5:], Spark{Window: win, Hi: 7}, 8, "     ▆▇▇"},
		"ended":        {ramp[:4], Spark{Window: win, Hi: 7}, 8, "▁▂▃▄    "},
		"held":         {ramp[:4], Spark{Window: win, Hi: 7, Hold: 20 * time.Second}, 8, "▁▂▃▄▄▄  "},
		"out of scale": {ramp, Spark{Window: win, Lo: 2, Hi: 4}, 8, "▁▁▁▄▇▇▇▇"},
		"no data":      {wave(8, 10*time.Second, func(i int) float64 { return []float64{7, math.NaN()}[i/4] }), Spark{Window: win, Hi: 8}, 8, "▇▇▇▇····"},
		"infinite":     {wave(8, 10*time.Second, func(int) float64 { return math.Inf(1) }), Spark{Window: win, Hi: 8}, 8, "▇▇▇▇▇▇▇▇"},
		"empty":        {(*state.Series)(nil), Spark{Window: win, Hi: 8}, 4, "    "},
		"nothing":      {nil, Spark{Window: win, Hi: 8}, 4, "    "},
		"no room":      {ramp, Spark{Window: win, Hi: 8}, 0, ""},
	} {
		if got := c.k.Draw(c.s, c.w); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestSparkStandsStillWithinAColumn(t *testing.T) {
	ramp := wave(8, 10*time.Second, func(i int) float64 { return float64(i) })
	at := func(d time.Duration) string {
		return Spark{Window: Window{End: t0.Add(d), Span: 80 * time.Second}, Hi: 7}.Draw(ramp, 8)
	}
	if a, b := at(time.Second), at(9*time.Second); a != b {
		t.Errorf("moved within a column: %q, %q", a, b)
	}
	if got := at(11 * time.Second); got != "▂▃▄▅▆▇▇ " {
		t.Errorf("one column later: %q", got)
	}
}

func TestDots(t *testing.T) {
	l := wave(5, 10*time.Second, func(int) float64 { return 1 })
	for i, v := range []state.Verdict{state.OK, state.Warn, state.Crit, state.Error, state.OK} {
		l[i].Verdict = v
	}
	got := Spark{Window: Window{End: t0, Span: 60 * time.Second}}.Dots(l, 6, theme.New(theme.Options{NoColor: true}))
	if ansi.Strip(got) != " ●!✗·●" {
		t.Errorf("got %q", got)
	}
}

func TestRange(t *testing.T) {
	win := Window{End: t0, Span: time.Hour}
	for name, c := range map[string]struct {
		lo, hi         float64
		limits         []float64
		wantLo, wantHi float64
	}{
		"from zero":    {0.1, 8, nil, 0, 8},
		"far from it":  {60, 100, nil, 60, 100},
		"flat":         {100, 100, nil, 87.5, 112.5},
		"flat at zero": {0, 0, nil, 0, 1},
		"with a limit": {1, 2, []float64{10}, 0, 10},
		"negative":     {-4, 4, nil, -4, 4},
		"not a number": {math.NaN(), math.NaN(), []float64{math.Inf(1)}, 0, 1},
	} {
		lo, hi := Range(win, c.limits, wave(10, time.Second, func(i int) float64 { return []float64{c.lo, c.hi}[i%2] }))
		if lo != c.wantLo || hi != c.wantHi {
			t.Errorf("%s: got %v to %v, want %v to %v", name, lo, hi, c.wantLo, c.wantHi)
		}
	}
	if lo, hi := Range(win, nil); lo != 0 || hi != 1 {
		t.Errorf("nothing: %v to %v", lo, hi)
	}
}

func sample(w, h int, t *theme.Theme) []string {
	old := wave(300, 3*time.Second, func(i int) float64 { return 0.081 + 0.006*math.Sin(float64(i)/20) })
	neu := wave(130, 3*time.Second, func(i int) float64 { return 0.0042 + 0.001*math.Sin(float64(i)/7) })
	neu[60].Verdict, neu[61].Verdict, neu[62].Verdict = state.NoData, state.NoData, state.NoData
	win := Window{End: t0, Span: 15 * time.Minute}
	lo, hi := Range(win, []float64{0.01}, old, neu)
	return Line{Window: win, Lo: lo, Hi: hi, Axis: t.Border, Text: t.Past,
		Label:  func(v float64) string { return state.Quantity(v, "ratio") },
		Series: []Series{{old, t.Bad, 10 * time.Second}, {neu, t.Good, 10 * time.Second}},
		Limits: []Limit{{Value: 0.01, Style: t.Warn, Label: "warn 1 %"}},
		Marks:  []Mark{{t0.Add(-390 * time.Second), "10 %", t.Running}, {t0.Add(-100 * time.Second), "25 %", t.Running}}}.Draw(w, h)
}

// golden compares with a file under testdata; UPDATE=1 writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (UPDATE=1 accepts):\n%s", name, d)
	}
}

func TestLineGolden(t *testing.T) {
	for name, th := range map[string]*theme.Theme{"colour": theme.New(theme.Options{}), "plain": theme.New(theme.Options{NoColor: true})} {
		golden(t, "line-"+name+"-88x10.txt", strings.Join(sample(88, 10, th), "\n")+"\n")
	}
	golden(t, "line-40x5.txt", strings.Join(sample(40, 5, theme.New(theme.Options{NoColor: true})), "\n")+"\n")
}

// A threshold that follows another series is drawn where it was at each time; two are
// told apart without colours, and each is named where no data is hidden.
func TestLimits(t *testing.T) {
	th := theme.New(theme.Options{NoColor: true})
	step := wave(61, 10*time.Second, func(i int) float64 { return []float64{4, 8}[i/31] })
	data := wave(20, 10*time.Second, func(int) float64 { return 9 })
	l := Line{Window: Window{End: t0, Span: 10 * time.Minute}, Lo: 0, Hi: 10, Series: []Series{{data, th.Good, time.Minute}},
		Limits: []Limit{{Value: 2, Label: "warn 2", Style: th.Warn}, {Value: 8, Course: step, Hold: 20 * time.Second, Label: "crit 8", Dash: theme.Heavy, Style: th.Bad}}}
	var plots []string
	for _, line := range l.Draw(49, 10) {
		_, plot, _ := strings.Cut(ansi.Strip(line), "┤")
		plots = append(plots, strings.TrimRight(plot, " "))
	}
	const dash, heavy = theme.Threshold, theme.Heavy
	for y, want := range map[int]string{1: strings.Repeat(" ", 18) + strings.Repeat(heavy, 7) + strings.Repeat("⠉", 13) + "⠁" + heavy,
		5: heavy + "crit 8" + strings.Repeat(heavy, 11), 7: dash + "warn 2" + strings.Repeat(dash, 33)} {
		if y < len(plots) && plots[y] != want {
			t.Errorf("row %d is %q, want %q\n%s", y, plots[y], want, strings.Join(plots, "\n"))
		}
	}
}

// A chart of past readings is redrawn sixteen times while they cross it, not at every
// step of the clock, and the newest reading is always on it.
func TestLineMovesRarely(t *testing.T) {
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	var s List
	for at := now.Add(-30 * time.Minute); !at.After(now); at = at.Add(5 * time.Second) {
		s = append(s, state.Sample{At: at, Value: math.Sin(float64(at.Unix())), Verdict: state.OK})
	}
	draw := func(s List, now time.Time) string {
		l := Line{Window: Window{now, 15 * time.Minute}, Lo: -1, Hi: 1, Series: []Series{{Samples: s, Hold: 10 * time.Second}}}
		return strings.Join(l.Draw(100, 10), "\n")
	}
	last, moves := draw(s, now), 0
	for i := range 15 * 60 {
		next := draw(s, now.Add(time.Duration(i)*time.Second))
		if next != last {
			moves++
		}
		last = next
		if end := now.Add(-time.Duration(i) * time.Second); draw(List{{At: end, Verdict: state.OK}}, end) == draw(nil, end) {
			t.Fatalf("the reading of %v is not on the chart", end)
		}
	}
	if moves > leaps+2 {
		t.Errorf("the chart moved %d times in its width", moves)
	}
}

func TestLineIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	th := theme.New(theme.Options{})
	values := []float64{0, 1, -1, 0.004, 1e12, -1e300, 1e300, math.NaN(), math.Inf(1), math.Inf(-1)}
	for range 3000 {
		w, h := r.IntN(120)-2, r.IntN(20)-2
		s := wave(r.IntN(50), time.Duration(1+r.IntN(30))*time.Second, func(int) float64 { return values[r.IntN(len(values))] * r.Float64() })
		l := Line{Window: Window{End: t0, Span: time.Duration(r.IntN(1000)) * time.Second}, Lo: values[r.IntN(len(values))], Hi: values[r.IntN(len(values))],
			Series: []Series{{Samples: s, Style: th.Good, Hold: time.Minute}, {}},
			Limits: []Limit{{Value: values[r.IntN(len(values))], Style: th.Warn, Label: "warn"}, {Course: s, Hold: time.Minute, Style: th.Bad, Label: "crit 日本"}},
			Label:  func(v float64) string { return state.Quantity(v, "requests") }}
		for range r.IntN(6) {
			l.Marks = append(l.Marks, Mark{t0.Add(-time.Duration(r.IntN(1000)) * time.Second), fmt.Sprint(r.IntN(100), " %"), th.Running})
		}
		if r.IntN(2) == 0 {
			l.Lo, l.Hi = Range(l.Window, nil, s)
		}
		out := l.Draw(w, h)
		if len(out) != max(h, 0) && w > 0 {
			t.Fatalf("%dx%d: %d lines", w, h, len(out))
		}
		for _, line := range out {
			if ansi.StringWidth(line) != w {
				t.Fatalf("%dx%d: %d cells: %q", w, h, ansi.StringWidth(line), line)
			}
		}
		k := Spark{Window: l.Window, Lo: l.Lo, Hi: l.Hi}
		if got := ansi.StringWidth(k.Draw(s, w)); got != max(w, 0) {
			t.Fatalf("spark of %d: %d", w, got)
		}
	}
}

func BenchmarkSpark(b *testing.B) {
	s := state.NewSeries(state.SeriesLength)
	for _, x := range wave(400, 2500*time.Millisecond, func(i int) float64 { return float64(i % 17) }) {
		s.Add(x)
	}
	k := Spark{Window: Window{End: t0, Span: 15 * time.Minute}, Hi: 17, Hold: 10 * time.Second}
	for b.Loop() {
		k.Draw(s, 24)
	}
}

func BenchmarkLine(b *testing.B) {
	th := theme.New(theme.Options{})
	for b.Loop() {
		sample(130, 30, th)
	}
}
