package cli

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// pairing runs mayday pair in a terminal that is no tmux, as far as it can see.
func (s *site) pairing(name string, w, h int, args string) *pane {
	s.t.Helper()
	mayday, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	return openTerminal(s.t, s.host, name, w, h, "TMUX= "+mayday+" pair --incident "+s.id+args)
}

// shared gives the tmux server that mayday pair has begun, as a pane of which screen and
// keys are not used.
func (s *site) shared() *pane {
	s.t.Helper()
	sockets, err := filepath.Glob(filepath.Join(s.sockets, s.id+"-*.tmux"))
	if err != nil || len(sockets) != 1 {
		s.t.Fatalf("sockets %v, %v", sockets, err)
	}
	s.t.Cleanup(func() { _ = exec.Command("tmux", "-S", sockets[0], "kill-server").Run() }) // it has ended, most likely
	return &pane{s.t, sockets[0]}
}

func (p *pane) says(args ...string) string {
	p.t.Helper()
	return strings.TrimSpace(p.tmux(args...))
}

// TestPair: two colleagues and a looker-on at one cockpit, until one of them ends it.
func TestPair(t *testing.T) {
	s := bareSite(t, byScripts)
	alice := s.pairing("alice", 140, 45, "")
	alice.shows("1 Assess and triage")
	alice.shows(s.id + " · 1 at this screen")
	shared := s.shared()
	for option, want := range map[string]string{"mouse": "off", "window-size": "latest", "prefix": "C-b"} {
		if got := shared.says("show-options", "-gv", option); got != want {
			t.Errorf("%s is %s, want %s", option, got, want)
		}
	}
	if keys := shared.says("list-keys", "-T", "prefix"); strings.Count(keys, "\n") != 1 || !strings.Contains(keys, "detach-client") {
		t.Errorf("tmux has other keys than to leave:\n%s", keys)
	}

	bob := s.pairing("bob", 80, 24, "")
	bob.shows("1 Assess and triage")
	alice.shows(s.id + " · 2 at this screen")
	size := func() string { return shared.says("display-message", "-p", "#{window_width}x#{window_height}") }
	for _, at := range []struct {
		who  *pane
		size string
	}{{bob, "80x23"}, {alice, "140x44"}} {
		at.who.key("Down")
		until(t, "the size follows who typed: "+at.size, func() bool { return size() == at.size })
	}

	_, join, _ := s.here("pair", "--print", "--read-only")
	if !strings.HasPrefix(join, "tmux -u -S "+shared.socket) {
		t.Fatalf("to join: %s", join)
	}
	carol := openTerminal(t, s.host, "carol", 100, 30, "TMUX= "+strings.TrimSpace(join))
	carol.shows("1 Assess and triage")
	alice.shows(" · 3 at this screen")
	if size() != "140x44" {
		t.Errorf("a looker-on makes it %s", size())
	}
	carol.key("q") // would end it
	carol.key("C-b")
	carol.key("d")
	carol.shows("ended 0")

	bob.key("C-b")
	bob.key("d")
	bob.shows("ended 0")
	bob.shows("is still shared. To join it: mayday pair")
	alice.shows(" · 1 at this screen")
	alice.key("q")
	alice.shows("ended 0")
	if code, out, errs := s.here("pair", "--read-only"); code != exitFailed || !strings.Contains(errs, "nobody shares") {
		t.Errorf("after its end: %d %s%s", code, out, errs)
	}
}

// TestPairFails: a cockpit that dies says so to who looked on, and can be opened again.
func TestPairFails(t *testing.T) {
	s := bareSite(t, byScripts)
	alice := s.pairing("alice", 120, 40, "")
	alice.shows("1 Assess and triage")
	pid, err := strconv.Atoi(s.shared().says("display-message", "-p", "#{pane_pid}"))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	alice.shows("the shared cockpit of " + s.id + " ended with 1")
	alice.shows("ended 1")
	bob := s.pairing("bob", 120, 40, "")
	bob.shows(s.id + " · 1 at this screen")
	bob.shows("1 Assess and triage")
}

// TestPairRefuses: inside a tmux, and without one (TestAnotherAccount has the third).
func TestPairRefuses(t *testing.T) {
	s := bareSite(t, byScripts)
	inside := openPane(t, s.host, 120, 30, "pair --incident "+s.id)
	inside.shows("ended 2")
	for _, want := range []string{"this is inside a tmux already", "mayday --incident " + s.id} {
		inside.shows(want)
	}
	t.Setenv("PATH", t.TempDir())
	code, _, errs := s.here("pair")
	for _, want := range []string{"tmux is not installed", "Install it", "each cockpit shows the same"} {
		if code != exitFailed || !strings.Contains(errs, want) {
			t.Errorf("without tmux: exit %d, without %q: %s", code, want, errs)
		}
	}
}
