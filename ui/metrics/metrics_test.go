package metrics

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"mayday/state"
	"mayday/ui/theme"
	"mayday/ui/uitest"
)

func TestGolden(t *testing.T) {
	s := uitest.Canary().Scene
	for name, th := range map[string]*theme.Theme{"colour": theme.New(theme.Options{}), "plain": theme.New(theme.Options{NoColor: true})} {
		for _, size := range [][2]int{{80, 22}, {92, 22}, {140, 40}, {200, 30}, {48, 10}} {
			p := New(th)
			uitest.Golden(t, fmt.Sprintf("%s-%dx%d.txt", name, size[0], size[1]), p.View(s, uitest.Now, size[0], size[1], true))
		}
		uitest.Golden(t, name+"-lines-80.txt", strings.Join(New(th).Lines(s, uitest.Now, 80, 2), "\n"))
	}
}

// mess is a scene whose names, units and texts are hostile.
func mess(r *rand.Rand, n int) *state.Scene {
	s := uitest.Canary()
	verdicts := []state.Verdict{state.OK, state.Warn, state.Crit, state.NoData, state.Stale, state.Error, ""}
	var probes []state.Probe
	var xs []state.Sample
	limit := 0.5
	for i := range n {
		p := state.Probe{Name: fmt.Sprint(uitest.Junk(r), i), Kind: []string{"prometheus", "http", "rollout"}[r.IntN(3)], Unit: []string{"ratio", "s", "", uitest.Junk(r)}[r.IntN(4)],
			StaleAt: state.Duration(time.Minute)}
		if r.IntN(2) == 0 {
			p.Warn = &limit
		}
		if r.IntN(3) == 0 && i > 0 {
			p.Compare = probes[r.IntN(i)].Name
		}
		probes = append(probes, p)
		for range r.IntN(5) {
			xs = append(xs, state.Sample{Probe: p.Name, At: uitest.Now.Add(-time.Duration(r.IntN(100)) * time.Second), Value: r.NormFloat64() * 1e3,
				Verdict: verdicts[r.IntN(len(verdicts))], Text: uitest.Junk(r)})
		}
	}
	s.Tell(s.Last(), state.Mayday, state.ProbesLaid{Probes: probes})
	if len(xs) > 0 {
		if err := s.Scene.Fold(state.Frame{Samples: xs}); err != nil {
			panic(err)
		}
	}
	return s.Scene
}

func TestViewIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 120 {
		s := mess(r, r.IntN(40))
		if i%10 == 0 {
			s = state.NewScene()
		}
		p := New(theme.New(theme.Options{NoColor: i%2 == 0}))
		for range 4 {
			w, h := 1+r.IntN(220), 1+r.IntN(60)
			uitest.Exact(t, "view", p.View(s, uitest.Now, w, h, r.IntN(2) == 0), w, h)
			for _, l := range p.Lines(s, uitest.Now, w, 1+r.IntN(3)) {
				uitest.Exact(t, "line", l, w, 1)
			}
			[]func(){p.Up, p.Down, p.PageUp, p.PageDown, p.Home, p.End, p.Pin, p.WorstFirst, func() { p.Zoom(1) }, func() { p.Zoom(-1) }}[r.IntN(10)]()
		}
	}
}

func names(view string) string { return ansi.Strip(view) }

func TestStaleIsSaid(t *testing.T) {
	p := New(theme.New(theme.Options{NoColor: true}))
	out := names(p.View(uitest.Canary().Scene, uitest.Now, 92, 22, false))
	for _, want := range []string{"stale 42s", "1 stale", "42 s old", "old 8.", "prometheus ok, worst-case reaction 25 s", "1 crit", "25 %", "last 15 min"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestRedBeforeIsNoNews(t *testing.T) {
	s := uitest.Canary()
	bad := state.Sample{Probe: "error rate old", Value: 0.081, Verdict: state.Crit, At: uitest.Start}
	s.Tell(s.Last(), state.Mayday, state.BeforeMeasured{Readings: map[string]state.Sample{"error rate old": bad}})
	p := New(theme.New(theme.Options{NoColor: true}))
	if out := names(p.View(s.Scene, uitest.Now, 92, 22, false)); !strings.Contains(out, "red before 2s") || strings.Contains(out, "1 crit") {
		t.Errorf("what was red before must say so and not count:\n%s", out)
	}
	worse := state.Sample{Probe: "error rate old", Value: 0.2, Verdict: state.Crit, At: uitest.Now}
	if err := s.Scene.Fold(state.Frame{Samples: []state.Sample{worse}}); err != nil {
		t.Fatal(err)
	}
	if out := names(p.View(s.Scene, uitest.Now, 92, 22, false)); !strings.Contains(out, "crit 0s") {
		t.Errorf("what got worse is news:\n%s", out)
	}
}

func TestOrderAndCursor(t *testing.T) {
	p := New(theme.New(theme.Options{}))
	s := uitest.Canary().Scene
	view := func() { p.View(s, uitest.Now, 92, 8, true) }
	view()
	if p.Selected() != "error rate new" {
		t.Errorf("starts at %q", p.Selected())
	}
	p.End()
	view()
	if p.Selected() != "rollout app" || p.top != 2 {
		t.Errorf("end: %q, top %d", p.Selected(), p.top)
	}
	p.Pin()
	p.WorstFirst()
	view()
	if got := strings.Join(p.order[:3], ","); got != "rollout app,error rate old,db pool wait" {
		t.Errorf("pinned, then worst: %s", got)
	}
	if p.Selected() != "rollout app" {
		t.Errorf("the cursor left its probe: %q", p.Selected())
	}
	p.Home()
	p.Up()
	p.PageDown()
	view()
	if p.cursor() != 6 {
		t.Errorf("a page of 6 on: %d", p.cursor())
	}
	p.Zoom(9)
	if p.Span() != 2*time.Minute {
		t.Errorf("zoomed in: %v", p.Span())
	}
	p.Zoom(-9)
	if p.Span() != 4*time.Hour {
		t.Errorf("zoomed out: %v", p.Span())
	}
}
