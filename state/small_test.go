package state_test

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"mayday/state"
)

func FuzzClean(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07after", "\x1b]8;;http://x\x1b\\link", "a\u202eb", "\x9b31m", "\u009b31mx",
		"\x1bP1$r\nnext", "\x1b(B", "tab\there", "\xff\xfe", "\x1b", "\x1b[", "line\u2028sep"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, out := range []string{state.Clean(s), state.CleanLines(s)} {
			if !utf8.ValidString(out) {
				t.Fatalf("%q: not UTF-8", out)
			}
			for _, r := range out {
				if unicode.IsControl(r) && r != '\n' || r >= 0x202a && r <= 0x202e || r == 0x2028 {
					t.Fatalf("%q keeps %U", out, r)
				}
			}
		}
		one := state.Clean(s)
		if strings.Contains(one, "\n") || state.Clean(one) != one {
			t.Fatalf("%q is not one clean line", one)
		}
		if state.CleanLines(state.CleanLines(s)) != state.CleanLines(s) {
			t.Fatal("cleaning twice differs")
		}
		if n := strings.Count(s, "\n"); strings.Count(state.CleanLines(s), "\n") > n {
			t.Fatal("a line was added")
		}
	})
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"  a \t b\nc  ":            "a b c",
		"\x1b[1;31mred\x1b[0m":     "red",
		"\x1b]0;evil\x07shown":     "shown",
		"\x1b]0;unfinished\nshown": "shown",
		"a\u202egpj.exe":           "agpj.exe",
		"\x1b(Bx\x1bcy":            "xy",
	} {
		if got := state.Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestClock(t *testing.T) {
	var real state.Clock
	now := time.Now()
	if got := real.At(now); !got.Equal(now) || got.Location() != time.UTC {
		t.Errorf("the real clock shifts: %v", got)
	}
	c := state.Clock{Origin: t0, Base: t0.Add(-time.Hour), Speed: 60}
	if got := c.At(t0.Add(time.Second)); !got.Equal(t0.Add(-59 * time.Minute)) {
		t.Errorf("one second is a minute: %v", got)
	}
	if c.Real(time.Hour) != time.Minute || c.Incident(time.Minute) != time.Hour {
		t.Error("durations do not scale")
	}
	b, _ := json.Marshal(c)
	var back state.Clock
	if err := json.Unmarshal(b, &back); err != nil || back != c {
		t.Errorf("%v %+v", err, back)
	}
}

func TestDuration(t *testing.T) {
	for s, want := range map[string]string{"30s": "30s", "5m": "5m", "1h30m": "1h30m", "2d": "48h", "60m": "1h", "1h0m5s": "1h0m5s", "0s": "0s", "90s": "1m30s"} {
		var d state.Duration
		if err := d.UnmarshalText([]byte(s)); err != nil || d.String() != want {
			t.Errorf("%s: %v %v, want %s", s, err, d, want)
		}
	}
	for _, s := range []string{"", "5", "x", "1 h", "d"} {
		var d state.Duration
		if d.UnmarshalText([]byte(s)) == nil {
			t.Errorf("%q is a duration of %v", s, d)
		}
	}
}

func TestSeriesIsARing(t *testing.T) {
	var none *state.Series
	if _, ok := none.Last(); ok || none.Len() != 0 {
		t.Error("no series has a reading")
	}
	for _, max := range []int{1, 3, 7} {
		s := state.NewSeries(max)
		for i := range 20 {
			s.Add(state.Sample{Value: float64(i), At: t0.Add(time.Duration(i) * time.Second)})
			n := min(i+1, max)
			if s.Len() != n || s.At(0).Value != float64(i+1-n) || s.At(n-1).Value != float64(i) {
				t.Fatalf("max %d, after %d: %d from %v to %v", max, i, s.Len(), s.At(0).Value, s.At(n-1).Value)
			}
			if got := s.Since(t0.Add(time.Duration(i-1) * time.Second)); len(got) != min(2, n) {
				t.Fatalf("since: %d", len(got))
			}
		}
	}
}

// What a ring gives back is what it was given, to the last field.
func TestSeriesKeepsAllOfASample(t *testing.T) {
	full := state.Sample{Probe: "p", At: t0, Got: t0.Add(123456789), Value: math.Inf(-1), Verdict: state.Crit, Told: state.Warn, Text: "200 12ms", Past: true,
		Lines: []string{"a", ""}, Parts: []state.Part{{Label: "v1", Value: 2, Verdict: state.OK}}}
	v := reflect.ValueOf(full)
	var all []state.Sample
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the test does not fill %s", v.Type().Field(i).Name)
		}
		alone := state.Sample{Probe: "p"}
		reflect.ValueOf(&alone).Elem().Field(i).Set(v.Field(i))
		all = append(all, alone)
	}
	all = append(all, full)
	for _, x := range all {
		s := state.NewSeries(1)
		s.Add(x)
		if got := s.At(0); !reflect.DeepEqual(got, x) {
			t.Errorf("%+v is kept as %+v", x, got)
		}
	}
}

func TestSampleValuesSurviveJSON(t *testing.T) {
	for _, v := range []float64{0, 1.5, -2, math.Inf(1), math.Inf(-1), math.MaxFloat64} {
		in := state.Sample{Probe: "p", At: t0, Got: t0, Value: v, Verdict: state.Crit, Text: "x"}
		b, err := json.Marshal(map[string]any{"s": in, "l": []state.Sample{in}})
		if err != nil {
			t.Fatal(err)
		}
		var out struct {
			S state.Sample
			L []state.Sample
		}
		if err := json.Unmarshal(b, &out); err != nil || !reflect.DeepEqual(out.S, in) || !reflect.DeepEqual(out.L[0], in) {
			t.Errorf("%v: %v %+v", v, err, out)
		}
	}
	b, err := json.Marshal(state.Sample{Value: math.NaN()})
	var out state.Sample
	if err != nil || json.Unmarshal(b, &out) != nil || out.Value != 0 {
		t.Errorf("NaN: %v %s", err, b)
	}
}

func TestVerdicts(t *testing.T) {
	warn, crit := 1.0, 5.0
	up := state.Probe{Name: "p", Warn: &warn, Crit: &crit, StaleAt: state.Duration(10 * time.Second)}
	for v, want := range map[float64]state.Verdict{0: state.OK, 1: state.OK, 1.1: state.Warn, 5: state.Warn, 6: state.Crit, math.Inf(1): state.Crit} {
		if got := up.Judge(v); got != want {
			t.Errorf("%v is %s, want %s", v, got, want)
		}
	}
	if up.Judge(math.NaN()) != state.NoData {
		t.Error("NaN is not no-data")
	}
	down := state.Probe{Name: "p", Warn: &crit, Crit: &warn, Below: true}
	if down.Judge(6) != state.OK || down.Judge(3) != state.Warn || down.Judge(0.5) != state.Crit || down.Check() != nil {
		t.Error("lower bounds")
	}
	if (state.Probe{Name: "p", Warn: &crit, Crit: &warn}).Check() == nil {
		t.Error("warn beyond crit was accepted")
	}
	x := state.Sample{At: t0, Verdict: state.OK}
	if up.Aged(x, t0.Add(10*time.Second)).Verdict != state.OK || up.Aged(x, t0.Add(11*time.Second)).Verdict != state.Stale {
		t.Error("ageing")
	}
	if !up.Worsened(1, 1.2) || up.Worsened(1, 1.05) || !down.Worsened(1, 0.8) || down.Worsened(1, 0.95) {
		t.Error("worsening")
	}
}

func TestSeverityReads(t *testing.T) {
	for s, want := range map[string]state.Severity{"sev0": 0, "SEV1": 1, "critical": 1, "high": 2, "low": 3, " 2 ": 2} {
		if got, err := state.ParseSeverity(s); err != nil || got != want {
			t.Errorf("%q: %v %v", s, got, err)
		}
	}
	if _, err := state.ParseSeverity("sev4"); err == nil {
		t.Error("sev4 exists")
	}
}

func TestThePastGoesToItsPlace(t *testing.T) {
	at := func(n int) time.Time { return time.Unix(int64(n), 0) }
	s := state.NewSeries(5)
	add := func(past bool, seconds ...int) {
		for _, n := range seconds {
			s.Add(state.Sample{At: at(n), Past: past})
		}
	}
	for _, step := range []struct {
		past    bool
		seconds []int
		want    string
	}{
		{false, []int{50, 60}, "50 60"}, {true, []int{30, 40}, "30 40 50 60"}, {false, []int{70, 80}, "40 50 60 70 80"},
		{true, []int{20}, "40 50 60 70 80"}, {true, []int{45}, "45 50 60 70 80"}, {true, []int{65, 75}, "60 65 70 75 80"},
		{false, []int{78}, "65 70 75 80 78"}, // what is told now is the newest, whatever time it is of
	} {
		add(step.past, step.seconds...)
		var got []string
		for i := range s.Len() {
			got = append(got, fmt.Sprint(s.At(i).At.Unix()))
		}
		if text := strings.Join(got, " "); text != step.want {
			t.Fatalf("after %v: %s, want %s", step.seconds, text, step.want)
		}
	}
}

// A try tells of the words it was made with: a message that was corrected meanwhile is
// neither delivered nor given up by it.
func TestATryOfWordsThatWereCorrectedMeanwhile(t *testing.T) {
	for name, try := range map[string]state.MessageTried{
		"arrived":  {ID: "m1", OK: true, Tries: 1, Ref: "C1:2", Wording: 1},
		"given up": {ID: "m1", Tries: 20, Err: "down", Dead: true, Call: "mona", Wording: 1},
		"to wait":  {ID: "m1", Tries: 1, Err: "429", Rest: state.Duration(time.Minute), Wording: 1},
	} {
		in := open(t, state.MessageQueued{ID: "m1", Channel: "slack", Purpose: "update", Text: "ETA 10"}, state.MessageCorrected{ID: "m1", Text: "ETA 20"})
		want := in.Messages[0]
		want.Ref, want.Rest = try.Ref, try.Rest
		apply(t, in, try)
		if want.Rest > 0 {
			want.Tried = in.Last
		}
		if in.Messages[0] != want {
			t.Errorf("%s: %+v, want %+v", name, in.Messages[0], want)
		}
		apply(t, in, state.MessageTried{ID: "m1", OK: true, Tries: 1, Wording: 2})
		if m := in.Messages[0]; m.Sent != in.Last || m.Tries != 1 || m.Ref != try.Ref || m.Rest != 0 {
			t.Errorf("%s, and the correction arrived: %+v", name, m)
		}
	}
	// Older journals do not say what was sent.
	in := open(t, state.MessageQueued{ID: "m1"}, state.MessageCorrected{ID: "m1", Text: "ETA 20"}, state.MessageTried{ID: "m1", OK: true, Tries: 1})
	if m := in.Messages[0]; m.Sent != in.Last || m.Tries != 1 {
		t.Errorf("an older journal: %+v", m)
	}
}
