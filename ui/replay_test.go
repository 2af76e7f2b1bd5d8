package ui

import (
	"strings"
	"testing"
	"time"

	"mayday/state"
	"mayday/ui/theme"
	"mayday/ui/uitest"
)

// reel is a film for tests: it folds events up to its cursor.
type reel struct {
	events []state.Event
	at     time.Time
	n      int
	first  *state.Scene // for what no event carries
}

func (f *reel) Bounds() (from, to time.Time) { return f.events[0].Time, f.events[len(f.events)-1].Time }
func (f *reel) Now() time.Time               { return f.at }

func (f *reel) Scene() *state.Scene {
	s := state.NewScene()
	s.Hello, s.Journal = f.first.Hello, f.first.Journal
	for i := range f.events[:f.n] {
		if err := s.Fold(state.Frame{Event: &f.events[i]}); err != nil {
			panic(err)
		}
	}
	return s
}

func (f *reel) Seek(at time.Time) {
	f.at, f.n = at, 0
	for f.n < len(f.events) && !f.events[f.n].Time.After(at) {
		f.n++
	}
}

func (f *reel) SeekEvent(seq uint64) { f.n = int(seq); f.at = f.events[f.n-1].Time }
func (f *reel) Step(by int)          { f.SeekEvent(uint64(min(max(f.n+by, 1), len(f.events)))) }
func (f *reel) NextMark() bool       { return f.mark(1) }
func (f *reel) PrevMark() bool       { return f.mark(-1) }

func (f *reel) mark(by int) bool {
	for i := f.n - 1 + by; i >= 0 && i < len(f.events); i += by {
		if state.Mark(f.events[i]) {
			f.SeekEvent(uint64(i + 1))
			return true
		}
	}
	return false
}

func onFilm(s *uitest.Story, w, h int) *Model {
	f := &reel{events: s.Scene.Events, first: s.Scene}
	f.SeekEvent(uint64(len(f.events)))
	now := uitest.Start
	return New(Options{Film: f, Now: func() time.Time { return now }, Theme: theme.New(theme.Options{NoColor: true}), Width: w, Height: h})
}

func TestReplayShowsWhatLiveShowed(t *testing.T) {
	story := uitest.Canary()
	live := still(story, 140, 40)
	live.restyle(theme.New(theme.Options{NoColor: true}))
	film := onFilm(story, 140, 40)
	film.o.Film.Seek(uitest.Now)
	film.takeScene()
	for tab := range tabs {
		if tab == tabMetrics { // the reel has no samples
			continue
		}
		if a, b := live.pane(tab, 100, 30), film.pane(tab, 100, 30); a != b {
			t.Errorf("%s differs:\n%s\n%s", tabNames[tab], a, b)
		}
	}
}

func TestReplayMoves(t *testing.T) {
	m := onFilm(uitest.Resolved(), 140, 40)
	f := m.o.Film
	from, to := f.Bounds()
	m.Update(press("home"))
	if !f.Now().Equal(from) {
		t.Fatalf("home is at %v", f.Now())
	}
	m.Update(press("["))
	if f.Now().Before(from) {
		t.Error("went before the start")
	}
	m.Update(press("]"))
	if got := f.Now().Sub(from); got != 10*time.Second {
		t.Errorf("] moved %v", got)
	}
	m.Update(press("}"))
	if got := f.Now().Sub(from); got != 70*time.Second {
		t.Errorf("} moved %v", got)
	}
	seq := m.scene.Incident.Seq
	m.Update(press("right"))
	if m.scene.Incident.Seq != seq+1 {
		t.Errorf("right: event %d after %d", m.scene.Incident.Seq, seq)
	}
	m.Update(press("n"))
	if e := m.scene.Events[len(m.scene.Events)-1]; !state.Mark(e) {
		t.Errorf("n stopped at %s, which is no marker", e.Fact.Kind())
	}
	m.Update(press("end"))
	if !f.Now().Equal(to) {
		t.Error("end is not the end")
	}
	m.Update(press("esc")) // a rollback's screen, if one lies over the rest
	for _, k := range []string{":", "g", "o", "t", "o", "space", "0", "3", ":", "0", "5", ":", "0", "0", "enter"} {
		m.Update(press(k))
	}
	if got := f.Now().Format("15:04:05"); got != "03:05:00" {
		t.Errorf("goto went to %s", got)
	}
	if s := strip(m.frame()); !strings.Contains(s, "RECORDING") || !strings.Contains(s, "03:05:00") {
		t.Errorf("the footer does not show the cursor:\n%s", s)
	}
}

func TestReplayPlays(t *testing.T) {
	m := onFilm(uitest.Resolved(), 140, 40)
	now := uitest.Start
	m.o.Now = func() time.Time { return now }
	m.Update(press("home"))
	m.Update(press("space"))
	m.Update(press("+"))
	now = now.Add(time.Second)
	m.Update(playMsg(m.film.gen))
	from, _ := m.o.Film.Bounds()
	if got := m.o.Film.Now().Sub(from); got != 2*time.Second {
		t.Errorf("a second at twice the speed moved %v", got)
	}
	m.Update(press("space"))
	now = now.Add(time.Second)
	m.Update(playMsg(m.film.gen))
	if got := m.o.Film.Now().Sub(from); got != 2*time.Second {
		t.Errorf("paused, and moved to %v", got)
	}
}

func TestReplayChangesNothing(t *testing.T) {
	for i := range table {
		b := &table[i]
		if b.in&replaying == 0 || !b.acts {
			continue
		}
		for _, k := range b.keys {
			m := onFilm(uitest.Canary(), 140, 40)
			m.Update(press(k))
			if k == "R" {
				m.Update(rWaitMsg(m.rkey.gen))
			}
			if m.modal != nil || !strings.Contains(m.said.text, "recording") {
				t.Errorf("%s in a recording: dialog %v, status %q", k, m.modal != nil, m.said.text)
			}
		}
	}
}

// What moves a recording is what its screen tells first, below and in the help.
func TestARecordingTellsItsKeysFirst(t *testing.T) {
	m := onFilm(uitest.Canary(), 80, 24)
	lines := strings.Split(strip(m.frame()), "\n")
	for _, want := range []string{"space play", "←→ event", "[ ] 10 s", "n marker", "+- speed", "? help"} {
		if !strings.Contains(lines[23], want) {
			t.Errorf("no %q among the keys: %q", want, lines[23])
		}
	}
	help := m.helpLines()
	if !strings.HasPrefix(help[0].Text, "space p") {
		t.Errorf("the help begins with %q", help[0].Text)
	}
	for _, l := range help {
		if strings.Contains(l.Text, "not now: "+whyReplay) {
			t.Errorf("the help tells what cannot be done: %q", l.Text)
		}
	}
}
