package output

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

func print(s *state.Scene, run, text string) {
	if err := s.Fold(state.Frame{Output: &state.Output{Run: run, Text: text}}); err != nil {
		panic(err)
	}
}

func scene() *state.Scene {
	s := uitest.Canary().Scene
	print(s, "5.tests-1", "ok  \tshop/login\t0.31s\n- a list, no diff\ndiff --git a/login.go b/login.go\nindex 1..2\n--- a/login.go\n+++ b/login.go\n@@ -1,3 +1,4 @@\n func login() {\n"+
		"-\treturn u.Profile.Name\n+\tif u.Profile == nil {\n\n--- FAIL: TestOther\n"+strings.Repeat("a very long line ", 12)+"\nPASS\n")
	return s
}

func TestGolden(t *testing.T) {
	for name, th := range map[string]*theme.Theme{"colour": theme.New(theme.Options{}), "plain": theme.New(theme.Options{NoColor: true})} {
		for _, w := range []int{80, 140, 200} {
			uitest.Golden(t, fmt.Sprintf("%s-%d.txt", name, w), New(th).View(scene(), uitest.Now, w, 18, true))
		}
	}
}

func TestViewIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for i := range 120 {
		s := scene()
		if i%9 == 0 {
			s = state.NewScene()
		}
		for range r.IntN(20) {
			print(s, uitest.Junk(r), uitest.Junk(r)+strings.Repeat("long", r.IntN(100)))
		}
		p := New(theme.New(theme.Options{NoColor: i%2 == 0}))
		for range 5 {
			w, h := 1+r.IntN(220), 1+r.IntN(60)
			uitest.Exact(t, "view", p.View(s, uitest.Now, w, h, r.IntN(2) == 0), w, h)
			for _, l := range Diff(p.t, []string{uitest.Junk(r), "+" + uitest.Junk(r)}, w) {
				if ansi.StringWidth(l) > w {
					t.Fatalf("diff line of %d in %d: %q", ansi.StringWidth(l), w, l)
				}
			}
			[]func(){p.Up, p.Down, p.PageUp, p.PageDown, p.Home, p.End}[r.IntN(6)]()
		}
	}
}

func TestFollowAndScroll(t *testing.T) {
	s, p := uitest.Canary().Scene, New(theme.New(theme.Options{NoColor: true}))
	for i := range 50 {
		print(s, "5.tests-1", fmt.Sprintf("line %02d\n", i))
	}
	view := func() string { return ansi.Strip(p.View(s, uitest.Now, 60, 12, true)) }
	if out := view(); !strings.Contains(out, "line 49") || !strings.Contains(out, "focused tests · 5.tests-1") || !strings.Contains(out, "done 01:55") {
		t.Errorf("does not follow, or no title:\n%s", out)
	}
	p.PageUp()
	before := view()
	if strings.Contains(before, "line 49") || !strings.Contains(before, "line 39") || !strings.Contains(before, "scrolled up") {
		t.Errorf("a page up:\n%s", before)
	}
	print(s, "5.tests-1", "line 50\nline 51\n")
	if after := view(); after != before {
		t.Errorf("what is read moved:\n%s\n%s", before, after)
	}
	p.Home()
	if out := view(); !strings.Contains(out, "line 00") {
		t.Errorf("home:\n%s", out)
	}
	p.End()
	if out := view(); !strings.Contains(out, "line 51") || !p.Following() {
		t.Errorf("end:\n%s", out)
	}
	print(s, "another", "other\n")
	p.Up()
	if out := view(); !strings.Contains(out, "other") || strings.Contains(out, "line") {
		t.Errorf("another run:\n%s", out)
	}
}

func TestAMinusIsRedOnlyInADiff(t *testing.T) {
	th := theme.New(theme.Options{})
	got := paint(th, scene().Output["5.tests-1"])
	for i, want := range map[int]theme.Style{0: th.Good, 1: th.Text, 2: th.Strong, 6: th.Running, 8: th.Bad, 9: th.Good, 11: th.Bad} {
		if got[i] != want {
			t.Errorf("line %d has another style", i)
		}
	}
}

func BenchmarkView(b *testing.B) {
	s, p := state.NewScene(), New(theme.New(theme.Options{}))
	for i := range state.OutputLines {
		print(s, "x", fmt.Sprintf("line %d of many that are printed\n", i))
	}
	for b.Loop() {
		p.View(s, time.Time{}, 200, 50, true)
	}
}
