package cli

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"mayday/state"
	"mayday/state/replay"
	"mayday/steps/keeper"
	"mayday/ui"
	"mayday/ui/theme"
)

// picture is what a live screen showed at a cursor.
type picture struct {
	seq     uint64
	at      time.Time
	samples int               // received by then
	frames  map[string]string // by size and keys pressed
	output  map[string][]string
}

// glances are the sizes, and at each the keys that were pressed: panes and selections.
var glances = []struct {
	w, h int
	keys []string
}{
	{200, 60, nil}, {140, 45, []string{"down", "down", "down"}}, {140, 45, []string{"2", "down", "down"}},
	{80, 24, nil}, {80, 24, []string{"2", "down"}}, {80, 24, []string{"3", "down", "down", "down"}}, {80, 24, []string{"4"}},
}

// still is a scene that stands, as a film of one frame: live and recorded scenes go
// through the same model.
type still struct {
	scene *state.Scene
	at    time.Time
}

func (s still) Bounds() (from, to time.Time) { return s.at.Add(-time.Hour), s.at.Add(time.Hour) }
func (s still) Now() time.Time               { return s.at }
func (s still) Scene() *state.Scene          { return s.scene }
func (s still) Seek(time.Time)               {}
func (s still) Step(int)                     {}
func (s still) NextMark() bool               { return false }
func (s still) PrevMark() bool               { return false }

// look draws a scene as every glance sees it. When the lines of a running action
// came is not recorded, so its output is left out.
func look(s *state.Scene, at time.Time) map[string]string {
	quiet := *s
	quiet.Run, quiet.Output = "", nil
	out := map[string]string{}
	for _, g := range glances {
		m := ui.New(ui.Options{Film: still{&quiet, at}, Now: func() time.Time { return at }, Theme: theme.New(theme.Options{NoColor: true}), Width: g.w, Height: g.h})
		for _, k := range g.keys {
			m.View() // panes learn their order and height by being drawn
			m.Update(keypress(k))
		}
		out[fmt.Sprintf("%dx%d %s", g.w, g.h, strings.Join(g.keys, " "))] = ansi.Strip(m.View().Content)
	}
	return out
}

func keypress(k string) tea.KeyPressMsg {
	if k == "down" {
		return tea.KeyPressMsg{Code: tea.KeyDown}
	}
	return tea.KeyPressMsg{Code: rune(k[0]), Text: k}
}

func readings(s *state.Scene) int {
	n := 0
	for _, r := range s.Series {
		n += r.Len()
	}
	return n
}

// sameAsLive asks the recording for what was to be seen live.
func sameAsLive(t *testing.T, folder string, seen []picture) {
	t.Helper()
	film, err := replay.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(seen) // backwards first: the film is built afresh, not played on
	for _, order := range []string{"backwards", "forwards"} {
		same := 0
		for _, p := range seen {
			same += compare(t, order, film, p)
		}
		if t.Failed() {
			return
		}
		if len(seen) < 10 || same*10 < len(seen)*9 {
			t.Errorf("%s: %d of %d pictures were at a cursor that the film has", order, same, len(seen))
		}
		slices.Reverse(seen)
	}
}

// compare fails where the film shows something else. It gives 0 where the film has
// no such cursor: two things happened at the same time, and the screen had seen one.
func compare(t *testing.T, order string, film *replay.Film, p picture) int {
	t.Helper()
	film.Seek(p.at)
	s := film.Scene()
	if film.Seq() != p.seq || readings(s) != p.samples {
		return 0
	}
	for name, frame := range look(s, p.at) {
		if diff := cmp.Diff(strings.Split(p.frames[name], "\n"), strings.Split(frame, "\n")); diff != "" {
			t.Errorf("%s, event %d at %s, %s: the film differs (-live +film)\n%s", order, p.seq, p.at.Format(time.StampMilli), name, diff)
			return 0
		}
	}
	for run, lines := range s.Output {
		// What was printed before this screen joined is on the disk alone.
		live := p.output[run]
		if diff := cmp.Diff(live, lines[max(len(lines)-len(live), 0):]); diff != "" && len(live) > 0 {
			t.Errorf("%s, event %d: the output of %s differs (-live +film)\n%s", order, p.seq, run, diff)
			return 0
		}
	}
	return 1
}

// watch joins the drill that runs on this host, as a second screen, until it is
// over. It gives what was to be seen on the way, and the incident's folder.
func (h *host) watch() (seen []picture, folder string) {
	h.t.Helper()
	s, folder := h.join()
	scene := state.NewScene()
	for f := range s.Frames() {
		if f.Lost != "" {
			break // the keeper ended
		}
		if err := scene.Fold(f); err != nil {
			h.t.Fatal(err)
		}
		// The journal's state comes last: what was said before it is all there is.
		if n := scene.Incident.Seq; f.Journal != nil && n > 0 && (len(seen) == 0 || n >= seen[len(seen)-1].seq+8) {
			seen = append(seen, photo(scene))
		}
	}
	if err := s.Close("seen enough"); err != nil {
		h.t.Error(err)
	}
	return seen, folder
}

// photo keeps what a scene shows right after the last thing it heard of.
func photo(s *state.Scene) picture {
	at := s.Incident.Last
	for _, r := range s.Series {
		if x, ok := r.Last(); ok && x.Got.After(at) {
			at = x.Got
		}
	}
	p := picture{seq: s.Incident.Seq, at: at, samples: readings(s), frames: look(s, at), output: map[string][]string{}}
	for run, lines := range s.Output {
		p.output[run] = slices.Clone(lines)
	}
	maps.DeleteFunc(p.output, func(_ string, l []string) bool { return len(l) == 0 })
	return p
}

// join connects to the one keeper of this host as soon as it is there.
func (h *host) join() (s *keeper.Session, folder string) {
	h.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	err := errors.New("there is none")
	for time.Now().Before(deadline) {
		sockets, _ := filepath.Glob(filepath.Join(h.sockets, "*-????????.sock")) // its second name aside
		folders, _ := filepath.Glob(filepath.Join(h.home, "incidents", "*"))
		if len(sockets) == 1 && len(folders) == 1 {
			s, err = keeper.Open(h.t.Context(), keeper.Settings{Socket: sockets[0], Folder: folders[0], Via: "cli", Watch: true})
			if err == nil {
				return s, folders[0]
			}
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.t.Fatalf("no keeper came up: %v", err)
	return nil, ""
}
