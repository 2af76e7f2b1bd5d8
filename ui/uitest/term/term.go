// Package term is a terminal for tests and benchmarks of whole programs: a child
// process on a pseudo terminal, and the screen that its output makes.
package term

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// Terminal shows one running program. Its methods are safe for concurrent use.
type Terminal struct {
	Begun time.Time // just before the program was started

	tb   testing.TB
	cmd  *exec.Cmd
	tty  *os.File
	over chan struct{} // closed when the output has ended

	mu     sync.Mutex
	screen *Screen
	bytes  int64
	at     time.Time     // of the last output
	grown  chan struct{} // closed at the next output
}

// Start runs cmd in a terminal of w×h cells, and ends it with the test. The
// program is told that the terminal is an xterm with all colours; cmd.Env, if set,
// comes on top of that.
func Start(tb testing.TB, cmd *exec.Cmd, w, h int) *Terminal {
	tb.Helper()
	t := &Terminal{tb: tb, cmd: cmd, over: make(chan struct{}), screen: NewScreen(w, h), grown: make(chan struct{})}
	base := os.Environ()
	if cmd.Env != nil {
		base = cmd.Env
	}
	cmd.Env = append(base, "TERM=xterm-256color", "COLORTERM=truecolor", "NO_COLOR=")
	t.Begun = time.Now()
	var err error
	if t.tty, err = pty.StartWithSize(cmd, &pty.Winsize{Cols: uint16(w), Rows: uint16(h)}); err != nil {
		tb.Fatal(err)
	}
	go t.read()
	tb.Cleanup(t.Close)
	return t
}

func (t *Terminal) read() {
	defer close(t.over)
	buf := make([]byte, 64<<10)
	for {
		n, err := t.tty.Read(buf)
		now := time.Now()
		t.mu.Lock()
		_, _ = t.screen.Write(buf[:n])
		t.bytes += int64(n)
		t.at = now
		close(t.grown)
		t.grown = make(chan struct{})
		t.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Type sends keys, as the terminal would.
func (t *Terminal) Type(keys string) {
	t.tb.Helper()
	if _, err := t.tty.WriteString(keys); err != nil {
		t.tb.Fatal(err)
	}
}

// Await waits until the screen is as asked and gives the time at which the output
// came that made it so. It fails the test if the program ends before, or after the
// time-out.
func (t *Terminal) Await(what string, within time.Duration, is func(screen string) bool) time.Time {
	t.tb.Helper()
	limit := time.After(within)
	for {
		t.mu.Lock()
		screen, at, grown := t.screen.String(), t.at, t.grown
		t.mu.Unlock()
		if is(screen) {
			return at
		}
		select {
		case <-grown:
		case <-t.over:
			t.tb.Fatalf("the program ended before the screen showed %s:\n%s", what, screen)
		case <-limit:
			t.tb.Fatalf("the screen did not show %s within %v:\n%s", what, within, screen)
		}
	}
}

// Shows waits until the screen holds all of the texts; see Await.
func (t *Terminal) Shows(within time.Duration, texts ...string) time.Time {
	t.tb.Helper()
	return t.Await(fmt.Sprintf("%q", texts), within, func(screen string) bool {
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				return false
			}
		}
		return true
	})
}

// Bytes is how much the program has written to the terminal so far.
func (t *Terminal) Bytes() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bytes
}

// CPU is the processor time that the program has used so far, without its children,
// to the microsecond. Linux only: elsewhere the test is skipped.
func (t *Terminal) CPU() time.Duration {
	t.tb.Helper()
	dir := fmt.Sprintf("/proc/%d/task", t.cmd.Process.Pid)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		t.tb.Skip("the processor time of another process: ", err)
	}
	var sum time.Duration
	for _, task := range tasks {
		text, err := os.ReadFile(dir + "/" + task.Name() + "/schedstat")
		if errors.Is(err, os.ErrNotExist) {
			continue // a thread that ended
		}
		var ns int64
		if _, err := fmt.Fscan(bytes.NewReader(text), &ns); err != nil {
			t.tb.Skip("the processor time of another process: ", err)
		}
		sum += time.Duration(ns)
	}
	return sum
}

// Close tells the program to end, as a terminal that is closed in order would, and
// waits for it.
func (t *Terminal) Close() {
	_ = t.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(10*time.Second, func() { _ = t.cmd.Process.Kill() })
	<-t.over
	_ = t.cmd.Wait()
	kill.Stop()
	_ = t.tty.Close()
}
