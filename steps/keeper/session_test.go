package keeper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mayday/state"
	"mayday/steps"
)

var errKept = errors.New("kept")

// incident is what several sessions fight for: a journal with a lock, and a socket.
type incident struct {
	*mute
	t      testing.TB
	socket string
	began  atomic.Int32 // how many keepers there were
}

func newIncident(t testing.TB) *incident {
	noLeaks(t)
	return &incident{mute: begin(t, ""), t: t, socket: filepath.Join(t.TempDir(), "s")}
}

// lock takes the keeper's lock, as flock does.
func (in *incident) lock() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.kept {
		return false
	}
	in.kept = true
	return true
}

func (in *incident) unlock() {
	in.mu.Lock()
	in.kept = false
	in.mu.Unlock()
}

// keeping is a keeper in this process.
type keeping struct {
	in     *incident
	engine *steps.Engine
	server *Server
}

func (k *keeping) Close(why string) error {
	err := errors.Join(k.engine.Close(why), k.server.Close())
	k.in.unlock()
	return err
}

func (in *incident) become(context.Context) (Keeping, error) {
	if !in.lock() {
		return nil, errKept
	}
	in.began.Add(1)
	e := newWorld().engine(in.t, in.mute)
	s, err := Serve(e, rb, state.Actor{}, in.socket)
	if err != nil {
		return nil, err
	}
	return &keeping{in, e, s}, nil
}

func (in *incident) settings(watch bool) Settings {
	return Settings{Socket: in.socket, Folder: "/folder", Via: "auto", Watch: watch, Become: in.become, Kept: func(err error) bool { return errors.Is(err, errKept) }}
}

func (in *incident) open(watch bool) *Session {
	in.t.Helper()
	s, err := Open(in.t.Context(), in.settings(watch))
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() {
		if err := s.Close("the test is over"); err != nil {
			in.t.Error(err)
		}
	})
	return s
}

// dead is a keeper that greets and then does what the test wants.
func dead(t testing.TB, socket string, then func(*net.UnixConn)) *net.UnixListener {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // a process that is killed leaves its socket
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			go func() {
				if _, err := c.Read(make([]byte, 64<<10)); err == nil {
					fmt.Fprintln(c, `{"ready":true}`)
					then(c)
				}
				c.Close()
			}()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return l
}

// TestTakeOver: when the keeper dies, the next one stands within two seconds, and
// whoever looks is told.
func TestTakeOver(t *testing.T) {
	in := newIncident(t)
	in.lock()
	die := make(chan struct{})
	l := dead(t, in.socket, func(*net.UnixConn) { <-die })
	s := in.open(true)
	if s.Keeping() {
		t.Fatal("it keeps beside a keeper")
	}
	l.Close()
	in.unlock() // the kernel does that
	died := time.Now()
	close(die)
	if f := <-s.Frames(); f.Lost == "" {
		t.Errorf("not told: %+v", f)
	}
	f := <-s.Frames()
	if took := time.Since(died); took > takeOver {
		t.Errorf("taking over took %s", took)
	}
	if f.Hello == nil || !f.Hello.Keeping || f.Hello.Folder != "/folder" || !s.Keeping() {
		t.Fatalf("%+v", f)
	}
	scene := state.NewScene()
	for f := range s.Frames() {
		if err := scene.Fold(f); err != nil {
			t.Fatal(err)
		}
		if f.Event == nil {
			continue
		}
		if _, ok := f.Event.Fact.(state.KeeperStarted); ok {
			break
		}
	}
}

// TestRaceToKeep: of many that start at once, and again whenever the keeper leaves,
// exactly one keeps; an intent that was answered is in the journal, and none twice.
func TestRaceToKeep(t *testing.T) {
	in := newIncident(t)
	const n = 6
	sessions := make([]*Session, n)
	var wg sync.WaitGroup
	for i := range sessions {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s, err := Open(t.Context(), in.settings(i%2 == 0))
			if err != nil {
				t.Error(err)
				return
			}
			sessions[i] = s
		}()
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	if b := in.began.Load(); b != 1 {
		t.Fatalf("%d keepers", b)
	}
	var mu sync.Mutex
	acked := map[string]uint64{}
	stop := make(chan struct{})
	for i, s := range sessions {
		if i%2 == 0 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range s.Frames() {
					continue
				}
			}()
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			for k := 0; ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				text := fmt.Sprintf("%d/%d", i, k)
				a, err := s.Do(t.Context(), state.AddNote{Text: text})
				switch {
				case err == nil:
					mu.Lock()
					acked[text] = a.Seq
					mu.Unlock()
				case s.leaving():
					return
				case !errors.Is(err, ErrGone):
					t.Errorf("note %s: %v", text, err)
					return
				}
			}
		}()
	}
	for range n - 1 {
		kept := -1
		until(t, "a keeper", func() bool {
			for i, s := range sessions {
				if s != nil && s.Keeping() {
					kept = i
				}
			}
			return kept >= 0
		})
		mu.Lock()
		had := len(acked)
		mu.Unlock()
		until(t, "notes are taken", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(acked) >= had+n
		})
		if err := sessions[kept].Close("making room"); err != nil {
			t.Error(err)
		}
		sessions[kept] = nil
	}
	close(stop)
	for _, s := range sessions {
		if s != nil {
			if err := s.Close("over"); err != nil {
				t.Error(err)
			}
		}
	}
	wg.Wait()
	seen := map[string]uint64{}
	for _, e := range in.all() {
		if f, ok := e.Fact.(state.NoteAdded); ok {
			if seen[f.Text] != 0 {
				t.Errorf("note %s is there twice", f.Text)
			}
			seen[f.Text] = e.Seq
		}
	}
	for text, seq := range acked {
		if seen[text] != seq {
			t.Errorf("note %s was answered with event %d; in the journal it is event %d", text, seq, seen[text])
		}
	}
	if b := in.began.Load(); b < n-1 {
		t.Errorf("only %d keepers", b)
	}
	if _, err := state.Fold(in.all()); err != nil {
		t.Error(err)
	}
}

// TestUnreadFramesDoNotHoldAnswersUp: a screen that is busy with ten thousand events
// gets the answer to its R all the same.
func TestUnreadFramesDoNotHoldAnswersUp(t *testing.T) {
	in := newIncident(t)
	for range 1000 {
		if _, err := in.Append(time.Now(), state.Actor{}, 0, state.NoteAdded{Text: strings.Repeat("a long story ", 100)}); err != nil {
			t.Fatal(err)
		}
	}
	s := in.open(true)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // only a hanging test meets it
	defer cancel()
	if _, err := s.Do(ctx, state.Arm{}); err != nil {
		t.Error(err)
	}
	if _, err := s.Do(ctx, state.Disarm{}); err != nil {
		t.Error(err)
	}
}

// TestHungKeeper: a process that is stopped holds the lock and answers nobody.
func TestHungKeeper(t *testing.T) {
	in := newIncident(t)
	in.lock()
	stopped := make(chan struct{})
	defer close(stopped)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: in.socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	begun := time.Now()
	_, err = Open(t.Context(), in.settings(true))
	if !state.HasCode(err, "no-keeper") {
		t.Errorf("%v", err)
	}
	if took := time.Since(begun); took > takeOver+dialTime {
		t.Errorf("after %s", took)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, in.settings(true)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("who cannot wait so long is told %v", err)
	}
}

// TestRefusedSession is told why, at once, and does not spin when a later keeper
// refuses it.
func TestRefusedSession(t *testing.T) {
	noLeaks(t)
	var knocks atomic.Int32
	socket := fake(t, func(c *net.UnixConn) {
		_, _ = c.Read(make([]byte, 64<<10))
		if knocks.Add(1) <= 2 { // for frames and for intents
			fmt.Fprintln(c, `{"ready":true}`)
			return // and dies
		}
		fmt.Fprintln(c, `{"problem":{"what":"go away","code":"stranger"}}`)
	})
	s, err := Open(t.Context(), Settings{Socket: socket, Watch: true})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for len(told) < 2 {
		told = append(told, (<-s.Frames()).Lost)
	}
	if told[1] != "go away" {
		t.Errorf("told %q", told)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*retry)
	defer cancel()
	if _, err := s.Do(ctx, state.AddNote{Text: "x"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if n := knocks.Load(); n > 8 {
		t.Errorf("knocked %d times within %s", n, 3*retry)
	}
	if err := s.Close("over"); err != nil {
		t.Error(err)
	}
	if _, err := s.Do(t.Context(), state.AddNote{Text: "x"}); !errors.Is(err, ErrGone) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := Open(t.Context(), Settings{Socket: socket}); !state.HasCode(err, "stranger") {
		t.Errorf("%v", err)
	}
}

// TestCloseWhileBecoming: a session that is told to end while it takes over ends as
// a keeper does, and leaves no lock behind.
func TestCloseWhileBecoming(t *testing.T) {
	in := newIncident(t)
	in.lock()
	l := dead(t, in.socket, func(*net.UnixConn) {})
	becoming, goOn := make(chan struct{}), make(chan struct{})
	settings := in.settings(false)
	settings.Become = func(ctx context.Context) (Keeping, error) {
		close(becoming)
		<-goOn
		in.unlock()
		return in.become(ctx)
	}
	s, err := Open(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	<-becoming
	closed := make(chan error, 1)
	go func() { closed <- s.Close("the test is over") }()
	until(t, "closing", s.leaving)
	close(goOn)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if !in.lock() {
		t.Error("the lock is still held")
	}
	if err := s.Close("again"); err != nil {
		t.Error(err)
	}
}

// TestFailingKeeper: an error that is no other keeper's lock ends Open with it.
func TestFailingKeeper(t *testing.T) {
	in := newIncident(t)
	settings := in.settings(true)
	damage := errors.New("the journal is damaged")
	settings.Become = func(context.Context) (Keeping, error) { return nil, damage }
	if _, err := Open(t.Context(), settings); !errors.Is(err, damage) {
		t.Errorf("%v", err)
	}
}

// TestTwoCockpitsPageOnce: who looks on does not page, and who takes over does not page
// again whom the last keeper called.
func TestTwoCockpitsPageOnce(t *testing.T) {
	in := newIncident(t)
	first, second := in.open(true), in.open(true)
	looks := func(s *Session, kept string) {
		t.Helper()
		scene := state.NewScene()
		paged := map[string]int{}
		for f := range s.Frames() {
			if err := scene.Fold(f); err != nil {
				t.Fatal(err)
			}
			if f.Event == nil {
				continue
			}
			if p, ok := f.Event.Fact.(state.LevelPaged); ok {
				paged[p.Role]++
			}
			if _, ok := f.Event.Fact.(state.NoteAdded); ok && len(paged) == 2 {
				break
			} else if ok {
				t.Fatalf("%s: the pages of the declaration are %v", kept, paged)
			}
		}
		if paged[state.OnCall] != 1 || paged[state.Manager] != 1 {
			t.Errorf("%s: paged %v", kept, paged)
		}
	}
	until(t, "paged", func() bool {
		n := 0
		for _, e := range in.all() {
			if e.Fact.Kind() == (state.LevelPaged{}).Kind() {
				n++
			}
		}
		return n >= 2
	})
	if _, err := second.Do(t.Context(), state.AddNote{Text: "both look"}); err != nil {
		t.Fatal(err)
	}
	looks(first, "the first keeps")
	keeper, other := first, second
	if second.Keeping() {
		keeper, other = second, first
	}
	if err := keeper.Close("its cockpit was closed"); err != nil {
		t.Fatal(err)
	}
	until(t, "the other keeps", other.Keeping)
	if _, err := other.Do(t.Context(), state.AddNote{Text: "taken over"}); err != nil {
		t.Fatal(err)
	}
	n, keepers := 0, 0
	for _, e := range in.all() {
		switch e.Fact.(type) {
		case state.LevelPaged:
			n++
		case state.KeeperStarted:
			keepers++
		}
	}
	if n != 2 || keepers != 2 {
		t.Errorf("%d pages under %d keepers", n, keepers)
	}
}
