package metrics

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mayday/state"
	"mayday/ui/theme"
	"mayday/ui/uitest"
)

// A sparkline and a chart are drawn again when what they show has changed, and only
// then: not at a key, not at a tick, not because another probe has news.
func TestPicturesAreDrawnWhenTheyChange(t *testing.T) {
	th := theme.New(theme.Options{})
	p, s := New(th), uitest.Canary().Scene
	now, w, h := uitest.Now, 92, 30
	count := func(what string, want int) {
		t.Helper()
		before := p.drawn.drawn
		p.View(s, now, w, h, true)
		if n := p.drawn.drawn - before; n != want {
			t.Errorf("%s: %d pictures were drawn, want %d", what, n, want)
		}
	}
	news := func(probe string) {
		t.Helper()
		x := state.Sample{Probe: probe, At: now, Got: now, Value: 0.005, Verdict: state.OK}
		if err := s.Fold(state.Frame{Samples: []state.Sample{x}}); err != nil {
			t.Fatal(err)
		}
	}
	count("at first", len(s.Incident.Probes)+1)
	count("nothing new", 0)
	p.Down()
	p.Down()
	count("another probe is selected: its chart", 1)
	now = now.Add(time.Second)
	count("a second later", 0)
	news("login success")
	count("news of a probe that is not charted", 1)
	news("p95 latency")
	count("news of the one that is", 2)
	news("error rate old")
	count("news of one of a pair, which share a scale", 2)
	p.Zoom(1)
	count("another stretch of time", len(s.Incident.Probes)+1)
	w = 140
	count("another width", len(s.Incident.Probes)+1)
	h = 40
	count("another height: the chart", 1)
	p.SetTheme(theme.New(theme.Options{NoColor: true}))
	count("another theme", len(s.Incident.Probes)+1)
	now = now.Add(time.Minute)
	count("a minute later all have moved", len(s.Incident.Probes)+1)
}

// A probe that is not in sight costs no picture.
func TestOnlyWhatIsInSightIsDrawn(t *testing.T) {
	p, s := New(theme.New(theme.Options{})), many(1000, 3)
	p.View(s, uitest.Now, 140, 20, true)
	if n := p.drawn.drawn; n > 20 {
		t.Errorf("%d pictures for 18 lines", n)
	}
	for range 990 {
		p.Down()
	}
	out := names(p.View(s, uitest.Now, 140, 20, true))
	if !strings.Contains(out, "probe 0990") || strings.Contains(out, "probe 0001") {
		t.Errorf("the 991st probe is not in sight:\n%s", out)
	}
}

// The order is the runbook's with old versions below the new ones, and while no
// verdict changes the worst-first order stays too.
func TestOrderIsStable(t *testing.T) {
	story := uitest.Canary()
	f := func(name string, role state.Role, compare string) state.Probe {
		return state.Probe{Name: name, Kind: "prometheus", Role: role, Compare: compare}
	}
	story.Tell(story.Last(), state.Mayday, state.ProbesLaid{Probes: []state.Probe{f("errors old", state.RoleOld, ""), f("p95 old", state.RoleOld, ""),
		f("errors", state.RoleNew, "errors old"), f("cpu", state.RoleAll, ""), f("p95", state.RoleNew, "p95 old"), f("ring a", "", "ring b"), f("ring b", "", "ring a")}})
	p, s := New(theme.New(theme.Options{})), story.Scene
	p.View(s, uitest.Now, 92, 22, true)
	if got := strings.Join(p.order, ","); got != "errors,errors old,cpu,p95,p95 old,ring a,ring b" {
		t.Errorf("order %s", got)
	}
	p.WorstFirst()
	fold := func(i int, verdicts string) string {
		for j, v := range strings.Fields(verdicts) {
			x := state.Sample{Probe: []string{"errors", "cpu", "p95"}[j], At: uitest.Now, Value: float64(i), Verdict: state.Verdict(v)}
			if err := s.Fold(state.Frame{Samples: []state.Sample{x}}); err != nil {
				t.Fatal(err)
			}
		}
		p.View(s, uitest.Now, 92, 22, true)
		return strings.Join(p.order[:3], ",")
	}
	for i := range 5 {
		if got := fold(i, "warn crit warn"); got != "cpu,errors,p95" {
			t.Errorf("worst first: %s", got)
		}
	}
	if got := fold(9, "warn ok crit"); got != "p95,errors,errors old" {
		t.Errorf("after a change of verdicts: %s", got)
	}
}

func TestTailMarksMatches(t *testing.T) {
	story := uitest.Canary()
	crit := 0.0
	story.Tell(story.Last(), state.Mayday, state.ProbesLaid{Probes: []state.Probe{
		{Name: "panics", Kind: "pod-log", Query: "app=shop", Pattern: "panic|FATAL", Unit: "lines", Crit: &crit, StaleAt: state.Duration(time.Minute)}}})
	p, s := New(theme.New(theme.Options{NoColor: true})), story.Scene
	if out := names(p.View(s, uitest.Now, 92, 22, true)); !strings.Contains(out, "no line matched yet") {
		t.Errorf("nothing was counted:\n%s", out)
	}
	for i := range 4 {
		x := state.Sample{Probe: "panics", At: uitest.Now.Add(time.Duration(i-4) * 5 * time.Second), Value: float64(2 * i), Verdict: state.Crit}
		for j := range i {
			x.Lines = append(x.Lines, fmt.Sprintf("app-%d: panic: nil map \x1b[2J in request %d, then FATAL", i, 10*i+j))
		}
		if i == 0 {
			x.Verdict = state.OK
		}
		if err := s.Fold(state.Frame{Samples: []state.Sample{x}}); err != nil {
			t.Fatal(err)
		}
	}
	styled := p.View(s, uitest.Now, 92, 22, true)
	out := names(styled)
	if strings.Count(styled, p.t.Match.Render("panic")) != 6 || strings.Count(styled, p.t.Match.Render("FATAL")) != 6 {
		t.Errorf("not every match is marked: %q", styled)
	}
	for _, want := range []string{"6 lines", "app=shop  lines with panic|FATAL", "03:18:37  app-3: panic: nil map in request 30, then FATAL", "03:18:32  2 more lines matched before these"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if a, b := strings.Index(out, "request 10"), strings.Index(out, "request 32"); a < 0 || b < a {
		t.Errorf("the newest line is not the last:\n%s", out)
	}
	p.Full()
	if out := names(p.View(s, uitest.Now, 92, 8, true)); !strings.Contains(out, "request 32") || strings.Contains(out, "request 10") {
		t.Errorf("in little room the newest lines are shown:\n%s", out)
	}
}

// The chart alone is what the pane shows, for whichever probe the cursor is on.
func TestFullSizeChart(t *testing.T) {
	p, s := New(theme.New(theme.Options{NoColor: true})), uitest.Canary().Scene
	p.Full()
	out := names(p.View(s, uitest.Now, 92, 24, true))
	for _, want := range []string{"error rate  new 0.42 %  old 8.1 %", "new v1.2.4", "old v1.2.3", "10 % ┤", "25 %", "03:10"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "cpu") {
		t.Errorf("the table is still there:\n%s", out)
	}
	p.Down()
	p.Down()
	if out := names(p.View(s, uitest.Now, 92, 24, true)); !strings.Contains(out, "p95 latency  18") {
		t.Errorf("the cursor does not move:\n%s", out)
	}
}

// A probe that keeps the values of a label apart has a row for each.
func TestTableByLabel(t *testing.T) {
	p, s := New(theme.New(theme.Options{NoColor: true})), uitest.Canary()
	s.Tell(s.Last(), state.Mayday, state.ProbesLaid{Probes: []state.Probe{{Name: "errors", Kind: "prometheus", By: "version", Unit: "ratio"}}})
	s.Tell(s.Last(), state.Mayday, state.BeforeMeasured{Readings: map[string]state.Sample{"errors": {Probe: "errors", Verdict: state.Crit, Value: 0.2,
		Parts: []state.Part{{Label: "v1.2.3", Value: 0.2, Verdict: state.Crit}}}}})
	for i, v := range []float64{0.04, 0.01, 0.02} {
		_ = s.Scene.Fold(state.Frame{Samples: []state.Sample{{Probe: "errors", At: uitest.Now.Add(time.Duration(i-3) * 5 * time.Second), Value: 0.3, Verdict: state.Crit,
			Parts: []state.Part{{Label: "v1.2.3", Value: 0.3, Verdict: state.Crit}, {Label: "v1.2.4", Value: v, Verdict: state.OK}}}}})
	}
	p.Full()
	var rows []string
	for line := range strings.Lines(names(p.View(s.Scene, uitest.Now, 110, 30, true))) {
		if f := strings.Join(strings.Fields(strings.Trim(line, "┃\n")), " "); strings.HasPrefix(f, "version now") || strings.HasPrefix(f, "v1.2.") {
			rows = append(rows, f)
		}
	}
	want := []string{"version now median worst before read", "v1.2.3 30 % 30 % 30 % 20 % 3 crit 5s", "v1.2.4 2 % 2 % 4 % – 3 ok 5s"}
	if !slices.Equal(rows, want) {
		t.Errorf("%q, want %q", rows, want)
	}
}

// many is Canary with n probes that have so many readings each.
func many(n, readings int) *state.Scene {
	s := uitest.Canary()
	var probes []state.Probe
	for i := range n {
		probes = append(probes, state.Probe{Name: fmt.Sprintf("probe %04d", i), Kind: "prometheus", Every: state.Duration(2500 * time.Millisecond),
			StaleAt: state.Duration(10 * time.Second)})
		for j := range readings {
			at := uitest.Now.Add(-time.Duration(readings-j) * 2500 * time.Millisecond)
			_ = s.Scene.Fold(state.Frame{Samples: []state.Sample{{Probe: probes[i].Name, At: at, Value: float64(j % 9), Verdict: state.OK}}})
		}
	}
	s.Tell(s.Last(), state.Mayday, state.ProbesLaid{Probes: probes})
	return s.Scene
}

// BenchmarkView draws the pane anew: at a key, when nothing else has changed; and
// when samples came.
func BenchmarkView(b *testing.B) {
	for _, n := range []int{8, 1000} {
		s := many(n, state.SeriesLength)
		p := New(theme.New(theme.Options{}))
		b.Run(fmt.Sprintf("key/%d", n), func(b *testing.B) {
			for b.Loop() {
				p.Down()
				p.View(s, uitest.Now, 140, 45, true)
			}
		})
		b.Run(fmt.Sprintf("samples/%d", n), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				_ = s.Fold(state.Frame{Samples: []state.Sample{{Probe: fmt.Sprintf("probe %04d", i%n), At: uitest.Now, Value: float64(i % 9), Verdict: state.OK}}})
				p.View(s, uitest.Now, 140, 45, true)
			}
		})
	}
}
