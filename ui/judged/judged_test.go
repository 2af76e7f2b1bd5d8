package judged

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"mayday/state"
	"mayday/ui/theme"
	"mayday/ui/uitest"
)

// Each reading says its probe, value, verdict, thresholds, baseline, time and answer at
// every width, in whole, those first that asked for the most.
func TestLinesSayEverything(t *testing.T) {
	all := uitest.Judged()
	limit := 0.043
	all = append(all, state.Judged{Probe: "failures", Label: "v1.2.4", Query: "sum by (version) (x)", Unit: "ratio", At: uitest.Now, Got: uitest.Now.Add(time.Second), Value: 0.25,
		Verdict: state.Crit, Crit: &limit, For: state.Duration(15 * time.Second), Since: uitest.Now.Add(-20 * time.Second), InARow: 3, Consecutive: 3, Answer: "rollback",
		Why: "failures v1.2.4 25 %, wanted < 4.3 %, 3 readings in a row", Baseline: &state.Baseline{Of: "v1.2.3 now", At: uitest.Now, Value: 0.02, Verdict: state.Warn},
		Rank: &state.RankedBy{Verdict: state.NoData, Against: "v1.2.3 now", Ranked: state.Ranked{Now: 4, Old: 4, P: 1, Effect: 1}}},
		state.Judged{Probe: "pool", Verdict: state.Stale, Text: "the target hangs", At: uitest.Start, Answer: "wait", Why: "pool: stale"}, state.Judged{Probe: "new", Answer: "ask"})
	for _, w := range []int{76, 116, 196} {
		lines := Lines(theme.New(theme.Options{NoColor: true}), all, w, true)
		for _, l := range lines {
			if n := theme.Width(l); n > w {
				t.Errorf("%d cells of %d: %q", n, w, l)
			}
		}
		out := ansi.Strip(strings.Join(lines, "\n"))
		flat := strings.Join(strings.Fields(out), " ")
		for _, want := range []string{"25 %", "crit > 4.3 %", "v1.2.3 now 2 %", "bad since 03:18:22, counts after 15s", "3 of 3 in a row", "by rank too few readings", "rollback",
			"warn > 209 ms", "known here 300 ms later", "the target hangs", "read 03:18:28.4", "waiting ", "sum by (version) (x)", "4 against 4 readings"} {
			if !strings.Contains(flat, want) {
				t.Errorf("at %d no %q in\n%s", w, want, out)
			}
		}
		if !strings.HasPrefix(out, theme.Cross+" failures v1.2.4") || strings.Index(out, "new") < strings.Index(out, "fail") {
			t.Errorf("the worst is not the first:\n%s", out)
		}
	}
}

func TestLinesAreClean(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		v := r.NormFloat64()
		j := state.Judged{Probe: uitest.Junk(r), Label: uitest.Junk(r), Query: uitest.Junk(r), Unit: uitest.Junk(r), Text: uitest.Junk(r), Why: uitest.Junk(r), Answer: uitest.Junk(r),
			Verdict: state.Verdict(uitest.Junk(r)), Value: v, Crit: &v, Baseline: &state.Baseline{Of: uitest.Junk(r)}, Rank: &state.RankedBy{Against: uitest.Junk(r)}, At: uitest.Now}
		w := 1 + r.IntN(200)
		for _, l := range Lines(theme.New(theme.Options{NoColor: true}), []state.Judged{j}, w, r.IntN(2) == 0) {
			if ansi.StringWidth(l) > w || strings.ContainsAny(ansi.Strip(l), "\n\r\t\x1b\x00") {
				t.Fatalf("at %d: %q", w, l)
			}
		}
	}
}
