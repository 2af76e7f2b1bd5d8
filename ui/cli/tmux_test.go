package cli

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pane is mayday in a window of a real tmux.
type pane struct {
	t      *testing.T
	socket string
}

// openPane starts mayday in a tmux server of its own, with a window of w×h. When it has
// ended, the window says "ended N" with its exit code and stays.
func openPane(t *testing.T, h *host, w, height int, command string) *pane {
	t.Helper()
	mayday, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return openTerminal(t, h, "tmux", w, height, mayday+" "+command)
}

// openTerminal is openPane for any command, and for several of one host, by their names.
func openTerminal(t *testing.T, h *host, name string, w, height int, command string) *pane {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("tmux is not installed, and CI must not go without these tests")
		}
		t.Skip("TMUX IS NOT INSTALLED: the cockpit is not tested in a real terminal. Install tmux.")
	}
	p := &pane{t, filepath.Join(filepath.Dir(h.home), name)}
	line := fmt.Sprintf("env MAYDAY_HOME=%s MAYDAY_RUNTIME_DIR=%s TMPDIR=%s GIT_CONFIG_GLOBAL=/dev/null %s; echo ended $?; exec cat",
		h.home, h.sockets, h.tmp, command)
	p.tmux("-f", "/dev/null", "new-session", "-d", "-s", "m", "-x", fmt.Sprint(w), "-y", fmt.Sprint(height), line)
	t.Cleanup(func() { p.tmux("kill-server") })
	p.tmux("set", "-g", "window-size", "manual")
	return p
}

func (p *pane) tmux(args ...string) string {
	p.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", p.socket}, args...)...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("tmux %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (p *pane) screen() string { return p.tmux("capture-pane", "-p", "-t", "m") }

// until waits for the screen to be as wanted, and gives it.
func (p *pane) until(what string, ok func(screen string) bool) string {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		s := p.screen()
		if ok(s) {
			return s
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("the screen never showed %s:\n%s", what, s)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (p *pane) shows(text string) string {
	p.t.Helper()
	return p.until(text, func(s string) bool { return strings.Contains(s, text) })
}

// key presses a key by tmux's name for it.
func (p *pane) key(name string) { p.tmux("send-keys", "-t", "m", name) }

// text types letters.
func (p *pane) text(s string) { p.tmux("send-keys", "-t", "m", "-l", s) }

// whole waits for a full frame in a window of that height: the header at the top,
// the keys at the bottom, no line wider than the window.
func (p *pane) whole(w, h int) string {
	p.t.Helper()
	return p.until(fmt.Sprintf("a whole frame of %dx%d", w, h), func(s string) bool {
		lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
		if len(lines) != h {
			return false
		}
		for _, l := range lines {
			if len([]rune(l)) > w {
				return false
			}
		}
		return strings.Contains(lines[0], "SEV1") && strings.Contains(lines[h-1], "? help") && strings.Contains(s, "1 Assess and triage")
	})
}

// answer opens the item that comes next, which must be this one, and answers it. While the
// dialog asks what would run, it takes no answer: nothing is confirmed unseen.
func (p *pane) answer(title string, keys ...string) {
	p.t.Helper()
	p.shows("› ○ " + title)
	p.key("Enter")
	p.until("the dialog of "+title, func(s string) bool { return strings.Contains(s, ": "+title+" ─") })
	for _, k := range keys {
		if k == "Enter" || k == "Tab" {
			p.until("what would run", func(s string) bool { return !strings.Contains(s, "asking what would run") })
			p.key(k)
			continue
		}
		p.text(k)
		p.shows(k)
	}
	p.until("the dialog closed", func(s string) bool { return !strings.Contains(s, ": "+title+" ─") })
}

// press presses a key on the item that comes next, which must be this one, and needs
// no more to be done.
func (p *pane) press(key, title string) {
	p.t.Helper()
	p.shows("› ○ " + title)
	p.key(key)
	p.until(title+" settled", func(s string) bool { return !strings.Contains(s, "○ "+title) })
}

// rollBack presses R, and again where it came so soon after another key that it was
// taken for a paste: no person is that quick, a test is. The countdown may be over
// before anybody has looked.
func (p *pane) rollBack() {
	p.t.Helper()
	armed := func(s string) bool { return strings.Contains(s, "esc stop") || strings.Contains(s, "rolled back to") }
	for s := ""; !armed(s); {
		p.key("R") // more of them change nothing
		s = p.until("what R does", func(s string) bool { return armed(s) || strings.Contains(s, "R was ignored") })
	}
}

// TestCockpitInTmux walks a person's first minutes in a real terminal, by keys alone,
// while the window changes its size.
func TestCockpitInTmux(t *testing.T) {
	for _, size := range []struct{ w, h int }{{80, 24}, {140, 45}, {200, 60}} {
		t.Run(fmt.Sprintf("%dx%d", size.w, size.h), func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			// Nobody is to be paged before it is over: that would put a dialog over the checklist.
			p := openPane(t, h, size.w, size.h, "drill --speed 1")
			p.whole(size.w, size.h)
			for _, title := range []string{"Affected systems", "User impact"} {
				p.answer(title, "sign-in", "Enter")
			}
			p.resize(20, 5)
			p.until("the most urgent in 20x5", func(s string) bool { return strings.Contains(s, "SEV1") && !strings.Contains(s, "Metrics") })
			p.resize(size.w, size.h)
			p.whole(size.w, size.h)
			for _, title := range []string{"Time sensitivity", "Business impact"} {
				p.answer(title, "now", "Enter")
			}
			p.answer("Severity", "Enter")
			p.answer("Hotfix or normal release", "Enter", "customers are locked out", "Enter")
			p.shows("Checklist 1/18")
			p.answer("First notification", "Enter")
			p.answer("Expected timeline", "an hour", "Enter")
			p.press("x", "Communication protocol agreed")
			p.shows("Checklist 2/18")
			p.rollBack() // the last release: mayday has rolled nothing out yet
			p.shows("rolled back to v1.2.2")
			p.key("Enter")
			p.key("q")
			s := p.shows("ended ")
			if !strings.Contains(s, "Score card of INC-") || !strings.Contains(s, "mayday replay --incident") {
				t.Errorf("no score card:\n%s", s)
			}
			h.gone()
		})
	}
}

func (p *pane) resize(w, h int) {
	p.tmux("resize-window", "-t", "m", "-x", fmt.Sprint(w), "-y", fmt.Sprint(h))
}
