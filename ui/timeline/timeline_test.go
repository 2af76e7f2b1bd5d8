package timeline

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
		for _, size := range [][2]int{{80, 12}, {140, 8}, {200, 12}} {
			uitest.Golden(t, fmt.Sprintf("%s-%dx%d.txt", name, size[0], size[1]), New(th).View(s, uitest.Now, size[0], size[1], true))
		}
		uitest.Golden(t, name+"-lines-80.txt", strings.Join(New(th).Lines(s, uitest.Now, 80, 5), "\n"))
		p := New(th)
		p.View(s, uitest.Now, 140, 30, true)
		p.Search("canary 25")
		p.Open()
		uitest.Golden(t, name+"-facts-140x30.txt", p.View(s, uitest.Now, 140, 30, true))
	}
}

func mess(r *rand.Rand, n int) *state.Scene {
	s := uitest.Canary()
	for range n {
		switch r.IntN(4) {
		case 0:
			s.Tell(s.Last(), uitest.Junk(r), state.NoteAdded{Text: uitest.Junk(r)})
		case 1:
			s.Tell(s.Last(), uitest.Junk(r), state.Warned{Text: uitest.Junk(r) + strings.Repeat("x", r.IntN(300))})
		case 2:
			s.Tell(s.Last(), state.Mayday, state.GateDecided{Rollout: "r1", Stage: r.IntN(9) - 2, Reasons: []string{uitest.Junk(r)}})
		case 3:
			s.Tell(s.Last(), state.Mayday, state.ItemStarted{Item: uitest.Junk(r), Commands: []string{uitest.Junk(r)}})
		}
	}
	s.Scene.Journal = state.JournalState{Spooled: r.IntN(3), Err: []string{"", uitest.Junk(r)}[r.IntN(2)], Signed: uint64(r.IntN(2) * 100)}
	return s.Scene
}

func TestViewIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for i := range 120 {
		s := mess(r, r.IntN(60))
		if i%10 == 0 {
			s = state.NewScene()
		}
		p := New(theme.New(theme.Options{NoColor: i%2 == 0}))
		for range 6 {
			w, h := 1+r.IntN(220), 1+r.IntN(60)
			uitest.Exact(t, "view", p.View(s, uitest.Now, w, h, r.IntN(2) == 0), w, h)
			uitest.Exact(t, "line", p.Line(s, uitest.Now, w), w, 1)
			moves := []func(){p.Up, p.Down, p.PageUp, p.PageDown, p.Home, p.End, p.Open, func() { p.Filter(uitest.Junk(r)) }, func() { p.Filter("") },
				func() { p.Search(uitest.Junk(r)) }, func() { p.Next() }, func() { p.Prev() }, func() { p.Select(uint64(r.IntN(90))) }}
			moves[r.IntN(len(moves))]()
		}
	}
}

func text(view string) string { return ansi.Strip(view) }

func TestFollowsUntilTheCursorMoves(t *testing.T) {
	s, p := uitest.Canary(), New(theme.New(theme.Options{NoColor: true}))
	view := func() string { return text(p.View(s.Scene, uitest.Now, 100, 8, true)) }
	view()
	s.Tell(s.Last(), "alice", state.NoteAdded{Text: "the newest"})
	if out := view(); !strings.Contains(strings.Split(out, "\n")[1], "the newest") || !p.Following() {
		t.Errorf("does not follow:\n%s", out)
	}
	p.Down()
	p.Down()
	before, _ := p.Selected()
	s.Tell(s.Last(), "alice", state.NoteAdded{Text: "newer still"})
	out := view()
	if after, _ := p.Selected(); after.Seq != before.Seq || !strings.Contains(out, "3 newer") {
		t.Errorf("a new event moved the cursor from %d to %d:\n%s", before.Seq, after.Seq, out)
	}
	p.Home()
	if !p.Following() {
		t.Error("home does not follow")
	}
}

func TestFilterAndSearch(t *testing.T) {
	s, p := uitest.Canary(), New(theme.New(theme.Options{NoColor: true}))
	view := func() string { return text(p.View(s.Scene, uitest.Now, 120, 20, true)) }
	view()
	p.Filter("GATE mayday")
	if out := view(); !strings.Contains(out, "/gate mayday · 2 of ") || strings.Contains(out, "declared") {
		t.Errorf("filtered:\n%s", out)
	}
	s.Tell(s.Last(), state.Mayday, state.StagePassed{Rollout: "r1", Stage: 1})
	s.Tell(s.Last(), "bob", state.NoteAdded{Text: "by the gate"})
	if out := view(); !strings.Contains(out, " · 3 of ") {
		t.Errorf("new events are filtered too:\n%s", out)
	}
	p.Filter("nothing has this")
	if out := view(); !strings.Contains(out, "no event matches") {
		t.Errorf("nothing matches:\n%s", out)
	}
	if _, ok := p.Selected(); ok {
		t.Error("selected an event that is not there")
	}
	p.Filter("")
	if !p.Search("Canary 10") {
		t.Fatal("not found")
	}
	first, _ := p.Selected()
	p.Next()
	second, _ := p.Selected()
	p.Prev()
	back, _ := p.Selected()
	if second.Seq >= first.Seq || back.Seq != first.Seq {
		t.Errorf("found %d, next %d, back at %d", first.Seq, second.Seq, back.Seq)
	}
	if p.Search("nothing has this") {
		t.Error("found what is not there")
	}
}

func TestAnotherSceneStartsAfresh(t *testing.T) {
	p := New(theme.New(theme.Options{NoColor: true}))
	p.Filter("gate")
	p.View(uitest.Resolved().Scene, uitest.Now, 100, 10, true)
	early := uitest.Canary().Scene
	if out := text(p.View(early, uitest.Now, 100, 10, true)); !strings.Contains(out, " of 29 events") {
		t.Errorf("a replay that went back:\n%s", out)
	}
}

func TestFactsAreWholeAndClean(t *testing.T) {
	s, p := uitest.Canary(), New(theme.New(theme.Options{NoColor: true}))
	s.Tell(s.Last(), "eve", state.NoteAdded{Text: "a \x1b[31mred <note> & " + strings.Repeat("long ", 60) + "end"})
	p.Open()
	out := text(p.View(s.Scene, uitest.Now, 60, 30, true))
	for _, want := range []string{"type: \"note\"", "<note> &", "end\"", "user: \"eve\""} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func big(b *testing.B) *state.Scene {
	s := uitest.Canary()
	for i := range 100_000 {
		s.Tell(s.Last(), "alice", state.NoteAdded{Text: fmt.Sprint("note number ", i)})
	}
	b.ResetTimer()
	return s.Scene
}

func BenchmarkScroll(b *testing.B) {
	p, s := New(theme.New(theme.Options{})), big(b)
	for b.Loop() {
		p.Down()
		p.View(s, time.Time{}, 200, 50, true)
	}
}

func BenchmarkFilter(b *testing.B) {
	p, s := New(theme.New(theme.Options{})), big(b)
	p.Filter("x")
	for b.Loop() {
		p.Filter("number 77")
		p.View(s, time.Time{}, 200, 50, true)
	}
}

// The same proof every half minute is one row; another answer is a new one, and a
// filter shows them all.
func TestRepeatedProofsAreOneRow(t *testing.T) {
	s := uitest.Canary()
	p := New(theme.New(theme.Options{NoColor: true}))
	p.View(s.Scene, uitest.Now, 140, 30, true)
	was := p.rows()
	for _, why := range []string{"", "", "quota is full", "quota is full", ""} {
		s.Tell(s.Last(), state.Mayday, state.RollbackProven{Rollout: "r9", Proof: state.Proof{Ready: state.Ready, Target: "v1", Why: why}})
	}
	out := p.View(s.Scene, uitest.Now, 140, 30, true)
	if got := p.rows() - was; got != 3 || !strings.Contains(out, "2 repeated folded") {
		t.Errorf("%d rows for three answers:\n%s", got, out)
	}
	p.Filter("plan to v1 ready")
	if p.rows() < 5 {
		t.Errorf("the filter shows %d", p.rows())
	}
}
