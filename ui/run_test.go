package ui

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/colorprofile"

	"mayday/state"
	"mayday/ui/uitest"
)

// stage is a session with real frames, for the real program.
type stage struct {
	desk
	frames chan state.Frame
	grace  time.Duration // 0: short
}

func (s *stage) Frames() <-chan state.Frame { return s.frames }

// screen is an output that tells when it shows a text.
type screen struct {
	mu    sync.Mutex
	all   bytes.Buffer
	grown chan struct{}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.grown <- struct{}{}:
	default:
	}
	return s.all.Write(p)
}

func (s *screen) await(t *testing.T, text string) {
	t.Helper()
	limit := time.After(time.Minute) // only a hanging test meets it
	for {
		s.mu.Lock()
		has := strings.Contains(s.all.String(), text)
		s.mu.Unlock()
		if has {
			return
		}
		select {
		case <-s.grown:
		case <-limit:
			t.Fatalf("the screen never showed %q", text)
		}
	}
}

func perform(t *testing.T, ctx context.Context, s *stage, play func(keys io.Writer, out *screen)) Result {
	t.Helper()
	story := uitest.Canary()
	s.frames = make(chan state.Frame, 256)
	s.frames <- state.Frame{Hello: &state.Hello{Incident: "INC-20261122-01", Grace: cmp.Or(s.grace, 50*time.Millisecond), Head: story.Scene.Incident.Seq,
		Clock: state.Clock{Origin: time.Now(), Base: uitest.Now, Speed: 1}}}
	for i := range story.Scene.Events {
		s.frames <- state.Frame{Event: &story.Scene.Events[i]}
	}
	in, keys := io.Pipe()
	defer keys.Close()
	out := &screen{grown: make(chan struct{}, 1)}
	var res Result
	done := make(chan error, 1)
	go func() {
		var err error
		res, err = Run(ctx, Options{Session: s, Input: in, Output: out, Color: "never", Env: []string{"TERM=xterm-256color"}, Width: 100, Height: 30})
		done <- err
	}()
	out.await(t, "Payment gateway down")
	play(keys, out)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return res
}

func TestRunUntilQuit(t *testing.T) {
	res := perform(t, t.Context(), &stage{}, func(keys io.Writer, _ *screen) { io.WriteString(keys, "q") })
	if res.Ended || res.Scene.Incident.Title != "Payment gateway down" {
		t.Errorf("result %+v", res)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	perform(t, ctx, &stage{}, func(io.Writer, *screen) { cancel() })
}

// A rollback of this process is finished before Run returns, even if the screen is
// closed in the middle of it.
func TestRunFinishesItsRollback(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := &stage{}
	s.fail = map[string]error{"rollback.arm": errGone}
	s.hold = make(chan struct{})
	res := perform(t, ctx, s, func(keys io.Writer, out *screen) {
		io.WriteString(keys, "\x12") // ctrl+r
		out.await(t, "from this process")
		out.await(t, "ROLLING BACK")
		for {
			s.mu.Lock()
			began := s.here == 1
			s.mu.Unlock()
			if began {
				break
			}
			out.await(t, "ROLLING BACK")
			time.Sleep(time.Millisecond)
		}
		cancel()
		out.await(t, "finishing the rollback")
		close(s.hold)
	})
	if !res.RolledBackHere || res.RollbackErr != nil {
		t.Errorf("result %+v", res)
	}
}

// A rollback that was asked for is done, even if the connection is lost before a silent
// keeper has answered, or while the countdown runs here.
func TestRunSeesAnArmedRollbackThrough(t *testing.T) {
	for name, c := range map[string]struct {
		silent bool
		shown  string // before the connection is lost
	}{
		"counting down here": {false, "rolls back itself"},
		"no answer yet":      {true, "arming the rollback"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			s := &stage{grace: 30 * time.Second}
			s.fail = map[string]error{"rollback.arm": errGone}
			s.mute = map[string]bool{"rollback.arm": c.silent}
			res := perform(t, ctx, s, func(keys io.Writer, out *screen) {
				io.WriteString(keys, "\x12") // ctrl+r
				out.await(t, c.shown)
				cancel()
			})
			if !res.RolledBackHere || res.RollbackErr != nil || s.here != 1 {
				t.Errorf("rolled back here %d times, result %+v", s.here, res)
			}
		})
	}
}

func TestNoColor(t *testing.T) {
	for _, c := range []struct {
		env   []string
		color string
		want  colorprofile.Profile
	}{
		{[]string{"TERM=xterm", "TTY_FORCE=1", "COLORTERM=truecolor"}, "", colorprofile.TrueColor},
		{[]string{"TERM=xterm", "TTY_FORCE=1", "COLORTERM=truecolor", "NO_COLOR=please"}, "", colorprofile.ASCII},
		{[]string{"TERM=xterm", "TTY_FORCE=1", "COLORTERM=truecolor", "NO_COLOR="}, "", colorprofile.TrueColor},
		{[]string{"TERM=xterm", "TTY_FORCE=1", "COLORTERM=truecolor"}, "never", colorprofile.ASCII},
		{[]string{"TERM=dumb"}, "always", colorprofile.TrueColor},
	} {
		o := Options{Env: c.env, Color: c.color, Output: io.Discard}
		if got := o.profile(); got != c.want {
			t.Errorf("%v, color %q: %v, want %v", c.env, c.color, got, c.want)
		}
	}
}
