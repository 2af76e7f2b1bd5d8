package checklist

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

func plain() *Pane { return New(theme.New(theme.Options{NoColor: true})) }

func TestGolden(t *testing.T) {
	for name, story := range map[string]*uitest.Story{"canary": uitest.Canary(), "interrupted": uitest.Interrupted(),
		"rolled-back": uitest.RolledBack(), "resolved": uitest.Resolved()} {
		for _, s := range []struct{ w, h int }{{48, 30}, {80, 13}} {
			got := New(theme.New(theme.Options{})).View(story.Scene, uitest.Now, s.w, s.h, true)
			uitest.Exact(t, name, got, s.w, s.h)
			uitest.Golden(t, fmt.Sprintf("%s-%dx%d.golden", name, s.w, s.h), got)
		}
	}
}

// Where the cursor is in it, the whole playbook is there: what is done, by whom or with
// what, what is late and what is to come.
func TestPlaybookGolden(t *testing.T) {
	story := uitest.Canary()
	for after, item := range map[time.Duration]string{19 * time.Minute: "p1.3", 20 * time.Minute: "p2.1"} {
		story.Tell(after, "alice", state.ItemChecked{Item: item})
	}
	for _, s := range []struct{ w, h int }{{48, 30}, {80, 13}} {
		p := New(theme.New(theme.Options{}))
		p.Select("p2.2")
		got := p.View(story.Scene, uitest.Now.Add(2*time.Minute), s.w, s.h, true)
		uitest.Exact(t, "playbook", got, s.w, s.h)
		uitest.Golden(t, fmt.Sprintf("playbook-%dx%d.golden", s.w, s.h), got)
	}
}

func TestEverySizeIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	s := uitest.Canary().Scene
	for i := range s.Incident.Steps {
		for j := range s.Incident.Steps[i].Items {
			it := &s.Incident.Steps[i].Items[j]
			it.Title, it.Summary, it.Value, it.By = uitest.Junk(r), uitest.Junk(r), uitest.Junk(r), uitest.Junk(r)
			it.Status = []state.ItemStatus{state.ItemOpen, state.ItemRunning, state.ItemDone, state.ItemFailed, state.ItemCancelled,
				state.ItemInterrupted, state.ItemOverridden, state.ItemNotNeeded, state.ItemAsking}[r.IntN(9)]
		}
	}
	p := plain()
	for range 400 {
		w, h := r.IntN(130), r.IntN(50)
		[]func(*state.Scene){p.Up, p.Down, p.PageUp, p.PageDown, p.Home, p.End}[r.IntN(6)](s)
		uitest.Exact(t, fmt.Sprint(w, "x", h), p.View(s, uitest.Now, w, h, true), w, h)
		uitest.Exact(t, "line", p.Line(s, uitest.Now, max(w, 1)), max(w, 1), 1)
	}
}

// The cursor is always in sight, however small the pane and wherever it is.
func TestCursorInSight(t *testing.T) {
	s := uitest.Canary().Scene
	p := plain()
	p.Home(s)
	for range 20 {
		title := p.Selected(s).Title
		if view := ansi.Strip(p.View(s, uitest.Now, 60, 6, true)); !strings.Contains(view, "› ") || !strings.Contains(view, title) {
			t.Fatalf("%q is not in sight:\n%s", title, view)
		}
		p.Down(s)
	}
}

func TestFollowsTheIncident(t *testing.T) {
	p := plain()
	story := uitest.Canary()
	if it := p.Selected(story.Scene); it.ID != "10.deploy" {
		t.Fatalf("with a rollout under way the cursor is on %s", it.ID)
	}
	p.Up(story.Scene)
	chosen := p.Chosen()
	story.Tell(19*time.Minute, "bob", state.NoteAdded{Text: "x"})
	if p.Selected(story.Scene).ID != chosen {
		t.Error("an event moved the cursor that a person had put somewhere")
	}
	p.Select("")
	done := uitest.Resolved()
	if it := p.Selected(done.Scene); it == nil {
		t.Error("nothing is selected when all is done")
	}
}

func TestSteps(t *testing.T) {
	p := plain()
	s := uitest.Canary().Scene
	p.PageUp(s)
	if got := p.Selected(s).ID; got != "9.plan" {
		t.Errorf("page up went to %s, want the step before", got)
	}
	p.PageDown(s)
	if got := p.Selected(s).ID; got != "10.deploy" {
		t.Errorf("page down went to %s", got)
	}
}

func TestFilter(t *testing.T) {
	p := plain()
	s := uitest.Canary().Scene
	p.SetFilter("TESTS")
	view := ansi.Strip(p.View(s, uitest.Now, 60, 20, true))
	for _, want := range []string{"focused tests", "security tests", "filter: tests"} {
		if !strings.Contains(view, want) {
			t.Errorf("no %q in:\n%s", want, view)
		}
	}
	if strings.Contains(view, "Merge back") {
		t.Errorf("what does not match is shown:\n%s", view)
	}
	p.SetFilter("nonesuch")
	if view := ansi.Strip(p.View(s, uitest.Now, 60, 20, true)); !strings.Contains(view, "nothing matches") {
		t.Errorf("an empty list says nothing:\n%s", view)
	}
}

// Every status has a word, so that nothing is said by colour alone.
func TestEveryStatusHasAWord(t *testing.T) {
	s := uitest.Canary().Scene
	it := s.Incident.Item("9.plan")
	p := plain()
	p.Select("9.plan")
	for _, st := range []state.ItemStatus{state.ItemRunning, state.ItemFailed, state.ItemCancelled, state.ItemInterrupted,
		state.ItemOverridden, state.ItemNotNeeded, state.ItemAsking} {
		it.Status, it.Started = st, uitest.Start
		if view := ansi.Strip(p.View(s, uitest.Now, 70, 30, true)); !strings.Contains(view, string(st)) {
			t.Errorf("%s is not said:\n%s", st, view)
		}
	}
}

func TestClocks(t *testing.T) {
	s := uitest.Resolved()
	p := plain()
	m := uitest.Canary()
	m.Tell(26*time.Minute, "alice", state.ItemStarted{Item: state.ItemMonitor, Run: "15.watch-1"})
	if view := ansi.Strip(p.View(m.Scene, uitest.Start.Add(86*time.Minute), 60, 40, true)); !strings.Contains(view, "3:00:00 left") {
		t.Errorf("the monitoring period does not count down:\n%s", view)
	}
	if view := ansi.Strip(p.View(m.Scene, uitest.Start.Add(40*time.Minute), 60, 40, true)); !strings.Contains(view, "OVERDUE") {
		t.Errorf("an overdue update is not said:\n%s", view)
	}
	if view := ansi.Strip(p.View(s.Scene, uitest.Now, 60, 40, true)); strings.Contains(view, "OVERDUE") {
		t.Errorf("the clock runs after the end:\n%s", view)
	}
}

func TestStageNames(t *testing.T) {
	st := func(names ...string) (out []state.StageState) {
		for _, n := range names {
			out = append(out, state.StageState{Stage: state.Stage{Name: n}})
		}
		return out
	}
	for want, in := range map[string][]state.StageState{
		"canary 50, 75, 100 %":                          st("canary 50 %", "canary 75 %", "canary 100 %"),
		"canary 50, 75 %; stable takes v1.2.4":          st("canary 50 %", "canary 75 %", "stable takes v1.2.4"),
		"stable takes v1.2.4; canary 0 %; batch 1 of 3": st("stable takes v1.2.4", "canary 0 %", "batch 1 of 3"),
	} {
		if got := names(in); got != want {
			t.Errorf("names: %q, want %q", got, want)
		}
	}
}
