package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mayday/state"
	"mayday/steps"
)

var hang = state.Preview{Item: "5.hang"}

func TestWhoAsks(t *testing.T) {
	d := open(t, "good", usual)
	if m := mode(t, d.socket); m.Perm() != 0o666 {
		t.Errorf("colleagues cannot knock: %s", m)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	f := <-dial(t, d.socket, "cli\x1b[31m", "", true).Frames()
	if h := f.Hello; h == nil || h.You.User != me.Username || h.You.PID != os.Getpid() || !h.Keeping || h.You.Via != state.Clean("cli\x1b[31m") || h.Keeper.PID != 7 {
		t.Fatalf("%+v", f.Hello)
	}
	carol := dial(t, d.socket, "cli", "carol", false)
	if _, err := carol.Do(t.Context(), state.AddNote{Text: "looks right"}); err != nil {
		t.Error(err)
	}
	if _, err := carol.Do(t.Context(), state.SetSeverity{To: 0}); !state.HasCode(err, "role") {
		t.Errorf("a reviewer sets the severity: %v", err)
	}
	if _, err := Dial(t.Context(), d.socket, "cli", "mallory", false); !state.HasCode(err, "stranger") {
		t.Errorf("a stranger: %v", err)
	}
	for _, e := range d.engine.Events() {
		if _, ok := e.Fact.(state.NoteAdded); ok && (e.Actor.User != "carol" || e.Actor.Host != "bastion" || e.Actor.PID != os.Getpid()) {
			t.Errorf("the note is by %+v", e.Actor)
		}
	}
}

func TestNobodySpeaksForAnotherInARealIncident(t *testing.T) {
	d := open(t, "", usual)
	if _, err := Dial(t.Context(), d.socket, "cli", "carol", false); !state.HasCode(err, "as") {
		t.Errorf("%v", err)
	}
}

func TestPresence(t *testing.T) {
	d := open(t, "", usual)
	c := dial(t, d.socket, "cockpit", "", true)
	h := (<-c.Frames()).Hello
	until(t, "joined", func() bool { return len(d.engine.Incident().Here) == 1 })
	if here := d.engine.Incident().Here[0]; here.ID != h.Client || here.Actor.PID != os.Getpid() {
		t.Errorf("%+v, told %+v", here, h)
	}
	c.Close()
	until(t, "left", func() bool { return len(d.engine.Incident().Here) == 0 })
}

// refused checks that a hello is answered with a problem, and with no word more.
func refused(t *testing.T, socket, name, hello string) {
	t.Helper()
	r := knock(t, socket)
	_, _ = io.WriteString(r, hello) // the keeper may hang up in the middle
	got, err := r.hears()
	if err != nil || got.Problem == nil || got.Problem.Code != "protocol" || got.Ready {
		t.Errorf("%s: %+v %v", name, got, err)
	}
	if _, err := r.hears(); err == nil {
		t.Errorf("%s: the keeper goes on talking", name)
	}
}

func TestWordsThatDoNotCome(t *testing.T) {
	d := open(t, "", patience{hello: 20 * time.Millisecond, write: time.Second, last: time.Second})
	refused(t, d.socket, "silence", "")
	refused(t, d.socket, "half a hello", `{"protocol":1`)
}

func TestWrongWords(t *testing.T) {
	d := open(t, "", patience{hello: time.Minute, write: time.Second, last: time.Second})
	for _, c := range []struct{ name, hello string }{
		{"a newer version", `{"protocol":2}` + "\n"},
		{"no protocol", `{}` + "\n"},
		{"not JSON", "GET / HTTP/1.1\n"},
		{"too long a hello", strings.Repeat("x", maxRequest+1) + "\n"},
	} {
		refused(t, d.socket, c.name, c.hello)
	}
	for _, c := range []struct{ name, request string }{
		{"not a request", "nonsense\n"},
		{"too long a request", `{"id":1,"verb":"note","data":{"text":"` + strings.Repeat("x", maxRequest) + `"}}` + "\n"},
	} {
		r := knock(t, d.socket)
		r.say(t, `{"protocol":1,"via":"cli"}`+"\n")
		if got, err := r.hears(); err != nil || !got.Ready {
			t.Fatalf("%+v %v", got, err)
		}
		_, _ = io.WriteString(r, c.request) // the keeper may hang up in the middle
		if got, err := r.hears(); err != nil || got.Problem == nil || got.Problem.Code != "protocol" {
			t.Errorf("%s: %+v %v", c.name, got, err)
		}
		if _, err := r.hears(); err == nil {
			t.Errorf("%s: the keeper goes on talking", c.name)
		}
	}
	r := knock(t, d.socket)
	r.say(t, `{"protocol":1}`+"\n"+`{"id":7,"verb":"dance"}`+"\n"+`{"id":8,"verb":"note","data":{"text":"on"}}`+"\n"+`{"id":9,"verb":"note","data":{"text":"cut off"}}`)
	r.CloseWrite()
	answers := map[uint64]reply{}
	for {
		got, err := r.hears()
		if err != nil {
			break
		}
		answers[got.ID] = got
	}
	if answers[7].Problem == nil || answers[8].Problem != nil {
		t.Errorf("an unknown verb must cost nothing but itself: %+v", answers)
	}
	if _, ok := answers[9]; ok {
		t.Error("a line without an end was carried out, whose sender was told that nothing was sent")
	}
}

// TestRollbackIsReadWhileRequestsHang: sixteen requests wait for a cluster that does
// not answer. R must not wait with them.
func TestRollbackIsReadWhileRequestsHang(t *testing.T) {
	d := open(t, "", usual)
	c := dial(t, d.socket, "cockpit", "", false)
	var wg sync.WaitGroup
	defer wg.Wait()
	for range maxPending {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if a, err := c.Do(t.Context(), hang); err != nil || a.Text != "at last" {
				t.Errorf("%+v %v", a, err)
			}
		}()
	}
	for range maxPending {
		<-d.hanging
	}
	defer close(d.release)
	if _, err := c.Do(t.Context(), state.AddNote{Text: "one more"}); !state.HasCode(err, "busy") {
		t.Errorf("one more is not refused: %v", err)
	}
	if _, err := c.Do(t.Context(), state.Arm{}); err != nil {
		t.Error(err)
	}
	if s := d.engine.Incident().Rollback.Status; s != state.RollbackArmed {
		t.Errorf("R left it %q", s)
	}
	if _, err := c.Do(t.Context(), state.Disarm{}); err != nil {
		t.Error(err)
	}
	if _, err := c.Do(t.Context(), state.Fire{}); err != nil {
		t.Error(err)
	}
	until(t, "rolled back", func() bool { return d.engine.Incident().Rollback.Status == state.RollbackDone })
}

// TestClientThatNeverReads is obeyed, holds nobody up, and is let go.
func TestClientThatNeverReads(t *testing.T) {
	d := open(t, "", patience{hello: time.Second, write: 50 * time.Millisecond, last: time.Second})
	text := strings.Repeat("a long story ", 1000)
	for range 100 {
		if err := d.engine.Record(state.NoteAdded{Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	deaf := knock(t, d.socket)
	deaf.say(t, `{"protocol":1,"via":"auto","watch":true}`+"\n"+`{"id":1,"verb":"rollback.arm"}`+"\n")
	until(t, "armed by a client that does not read", func() bool { return d.engine.Incident().Rollback.Status == state.RollbackArmed })
	other := dial(t, d.socket, "cli", "", false)
	if _, err := other.Do(t.Context(), state.Disarm{}); err != nil {
		t.Error(err)
	}
	until(t, "let go", func() bool {
		d.server.mu.Lock()
		defer d.server.mu.Unlock()
		return len(d.server.conns) == 1
	})
}

// TestFloodOfRequests: whoever asks without reading the answers is let go, and the
// keeper does not grow.
func TestFloodOfRequests(t *testing.T) {
	d := open(t, "", patience{hello: time.Second, write: time.Minute, last: time.Second})
	r := knock(t, d.socket)
	r.say(t, `{"protocol":1,"via":"cli"}`+"\n")
	line := `{"id":1,"verb":"dance` + strings.Repeat("!", 1000) + `"}` + "\n"
	for {
		if _, err := io.WriteString(r, line); err != nil {
			return // hung up
		}
	}
}

// TestAnswerComesBeforeTheHistory: an R in a cockpit that has just connected must
// not be answered after ten thousand events.
func TestAnswerComesBeforeTheHistory(t *testing.T) {
	d := open(t, "", usual)
	text := strings.Repeat("a long story ", 1000)
	for range 100 {
		if err := d.engine.Record(state.NoteAdded{Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	r := knock(t, d.socket)
	r.say(t, `{"protocol":1,"via":"auto","watch":true}`+"\n"+`{"id":1,"verb":"rollback.arm"}`+"\n")
	until(t, "armed", func() bool { return d.engine.Incident().Rollback.Status == state.RollbackArmed })
	for n := 0; ; n++ {
		got, err := r.hears()
		if err != nil {
			t.Fatal(err)
		}
		if got.ID == 1 {
			if n > 60 { // what the socket held already
				t.Errorf("after %d others", n)
			}
			return
		}
	}
}

// TestLastWords: clients hear what the Engine says while it closes, whoever they are,
// and are then let go.
func TestLastWords(t *testing.T) {
	d := open(t, "", usual)
	d.undo = make(chan struct{})
	type heard struct {
		last state.Event
		err  error
	}
	const n = 5
	out := make(chan heard, n)
	var ready sync.WaitGroup
	for range n {
		ready.Add(1)
		c := dial(t, d.socket, "cockpit", "", true)
		go func() {
			var h heard
			scene := state.NewScene()
			once := sync.OnceFunc(ready.Done)
			for f := range c.Frames() {
				once()
				h.err = errors.Join(h.err, scene.Fold(f))
			}
			if len(scene.Events) > 0 {
				h.last = scene.Events[len(scene.Events)-1]
			}
			out <- h
		}()
	}
	ready.Wait()
	quiet := dial(t, d.socket, "cli", "", false)
	if _, err := quiet.Do(t.Context(), state.Arm{Trigger: "R"}); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() { // it finishes the armed rollback first
		defer close(closed)
		d.close(t)
	}()
	until(t, "rolling", func() bool { return d.engine.Incident().Rollback.Status == state.RollbackRunning })
	if _, err := quiet.Do(t.Context(), state.AddNote{Text: "too late"}); !state.HasCode(err, steps.CodeLeaving) {
		t.Errorf("asked while it closes: %v", err)
	}
	close(d.undo)
	<-closed
	for range n {
		h := <-out
		if _, ok := h.last.Fact.(state.KeeperStopped); !ok || h.err != nil {
			t.Errorf("the last word is %+v, %v", h.last, h.err)
		}
	}
	if s := d.engine.Incident().Rollback.Status; s != state.RollbackDone {
		t.Errorf("the rollback is %s", s)
	}
	if _, err := quiet.Do(t.Context(), state.AddNote{Text: "much too late"}); !errors.Is(err, ErrGone) {
		t.Errorf("asked after the end: %v", err)
	}
	if _, err := os.Lstat(d.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

// TestCloseIsBounded: neither a client that does not read nor a request that hangs
// holds it up.
func TestCloseIsBounded(t *testing.T) {
	d := open(t, "", patience{hello: time.Minute, write: time.Minute, last: 20 * time.Millisecond})
	text := strings.Repeat("a long story ", 1000)
	for range 100 {
		if err := d.engine.Record(state.NoteAdded{Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	deaf := knock(t, d.socket)
	deaf.say(t, `{"protocol":1,"via":"auto","watch":true}`+"\n")
	knock(t, d.socket) // says nothing
	c := dial(t, d.socket, "cli", "", false)
	gone := make(chan error, 1)
	go func() {
		_, err := c.Do(t.Context(), hang)
		gone <- err
	}()
	<-d.hanging
	begun := time.Now()
	d.close(t)
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("closing took %s", took)
	}
	if err := <-gone; err == nil {
		t.Error("a request that hung was answered well")
	}
}

func TestDeadKeepersSocketIsTakenOver(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := Dial(t.Context(), socket, "cli", "", false); err == nil {
		t.Fatal("somebody answers")
	}
	w := newWorld()
	e := w.engine(t, begin(t, ""))
	s, err := Serve(e, rb, state.Actor{}, socket)
	if err != nil {
		t.Fatal(err)
	}
	dial(t, socket, "cli", "", false)
	if err := errors.Join(e.Close("over"), s.Close()); err != nil {
		t.Error(err)
	}
}

func TestGone(t *testing.T) {
	noLeaks(t)
	greeted := func(then func(*net.UnixConn, []byte)) string {
		return fake(t, func(c *net.UnixConn) {
			b := make([]byte, 64<<10)
			_, _ = c.Read(b)
			fmt.Fprintln(c, `{"ready":true}`)
			n, _ := c.Read(b)
			then(c, b[:n])
		})
	}
	c := dial(t, greeted(func(*net.UnixConn, []byte) {}), "cli", "", false)
	if _, err := c.Do(t.Context(), state.AddNote{Text: "x"}); !errors.Is(err, ErrGone) || errors.Is(err, errUnsent) {
		t.Errorf("died with the intent in its hands: %v", err)
	}
	<-c.Gone()
	if _, err := c.Do(t.Context(), state.AddNote{Text: "x"}); !errors.Is(err, errUnsent) {
		t.Errorf("died before: %v", err)
	}
	c = dial(t, greeted(func(c *net.UnixConn, _ []byte) { fmt.Fprintln(c, `{"id":1,"answer":{"seq":42}}`) }), "cli", "", false)
	if a, err := c.Do(t.Context(), state.AddNote{Text: "x"}); err != nil || a.Seq != 42 {
		t.Errorf("answered and died: %+v %v", a, err)
	}
	if _, err := c.Do(t.Context(), state.AddNote{Text: strings.Repeat("x", maxRequest)}); !state.HasCode(err, "protocol") {
		t.Errorf("too long: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c = dial(t, greeted(func(c *net.UnixConn, _ []byte) { cancel(); _, _ = c.Read(make([]byte, 1)) }), "cli", "", false)
	if _, err := c.Do(ctx, state.AddNote{Text: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("not waited for: %v", err)
	}
	c.Close()
}
