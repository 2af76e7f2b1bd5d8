package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mayday/state"
	"mayday/steps/drill"
)

// host is a machine of its own for mayday: its journals, sockets and temporary files.
type host struct {
	t                  *testing.T
	home, sockets, tmp string
}

// newHost makes a host. Its folders have short names: the path of a socket may not
// be longer than about a hundred bytes.
func newHost(t *testing.T) *host {
	t.Helper()
	dir, err := os.MkdirTemp("", "md")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	h := &host{t: t, home: filepath.Join(dir, "home"), sockets: filepath.Join(dir, "run"), tmp: filepath.Join(dir, "tmp")}
	for _, d := range []string{h.home, h.sockets, h.tmp} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// env is this process's environment, on the host.
func (h *host) env() []string {
	return append(os.Environ(), "MAYDAY_HOME="+h.home, "MAYDAY_RUNTIME_DIR="+h.sockets, "TMPDIR="+h.tmp, "GIT_CONFIG_GLOBAL=/dev/null")
}

// command is mayday on the host, as it is built for people, in a process of its own.
func (h *host) command(args ...string) *exec.Cmd {
	h.t.Helper()
	name, err := program()
	if err != nil {
		h.t.Fatal(err)
	}
	c := exec.CommandContext(h.t.Context(), name, args...)
	c.Env = h.env()
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 10 * time.Second
	return c
}

// run runs mayday to its end.
func (h *host) run(args ...string) (code int, out, errs string) {
	h.t.Helper()
	c := h.command(args...)
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	err := c.Run()
	if c.ProcessState == nil {
		h.t.Fatalf("mayday %s: %v", strings.Join(args, " "), err)
	}
	return c.ProcessState.ExitCode(), o.String(), e.String()
}

// gone fails if a process of this host, a temporary file or a socket is left.
func (h *host) gone() {
	h.t.Helper()
	for _, dir := range []string{h.tmp, h.sockets} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, e := range entries {
			h.t.Errorf("%s is left behind", filepath.Join(dir, e.Name()))
		}
	}
	if runtime.GOOS != "linux" {
		return // the environment of other processes is not to be seen
	}
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		env, err := os.ReadFile(f)
		if err == nil && bytes.Contains(env, []byte("MAYDAY_HOME="+h.home)) {
			cmd, _ := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
			h.t.Errorf("process %s is left behind: %s", f, bytes.ReplaceAll(cmd, []byte{0}, []byte{' '}))
		}
	}
}

// card is the last object that drill --auto --json prints.
type card struct {
	Incident string         `json:"incident"`
	Score    state.Score    `json:"score"`
	Answers  map[string]int `json:"answers"`
	Outcome  string         `json:"outcome"`
	Exit     int            `json:"exit"`
	Steps    []stepRow      `json:"steps"`
}

// rehearse plays a scenario by itself in a folder that stays, watches it as a second
// screen does, and gives what the drill printed and its exit code. In the end the
// recording must show what the screen showed.
func (h *host) rehearse(scenario, dir string) (printed string, code int) {
	h.t.Helper()
	var out, errs bytes.Buffer
	c := h.command("drill", "--auto", scenario, "--speed", "60", "--json", "--serve", dir)
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	seen, folder := h.watch()
	_ = c.Wait() // its exit code says it
	if errs.Len() > 0 {
		h.t.Errorf("it complained: %s", errs.String())
	}
	h.gone()
	sameAsLive(h.t, folder, seen)
	return out.String(), c.ProcessState.ExitCode()
}

// stream reads what drill --auto --json prints: events, then the score.
func stream(t *testing.T, printed string) (events []state.Event, c card) {
	t.Helper()
	lines := bufio.NewScanner(strings.NewReader(printed))
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		if c.Incident != "" {
			t.Fatalf("something follows the score: %s", lines.Text())
		}
		if bytes.HasPrefix(lines.Bytes(), []byte(`{"seq":`)) {
			var e state.Event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatalf("not an event: %v: %.200s", err, lines.Text())
			}
			if e.Seq != uint64(len(events)+1) {
				t.Fatalf("event %d follows event %d", e.Seq, len(events))
			}
			events = append(events, e)
			continue
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatalf("neither an event nor the score: %v: %.200s", err, lines.Text())
		}
	}
	if c.Incident == "" || len(events) == 0 {
		t.Fatalf("%d events and no score", len(events))
	}
	return events, c
}

// TestDrillsPlayThemselves is each scenario from the alarm to the score card, at
// sixty times the speed, each in a process of its own.
func TestDrillsPlayThemselves(t *testing.T) {
	for _, s := range drill.Scenarios() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t)
			dir := filepath.Join(h.home, "range")
			printed, code := h.rehearse(s.Name, dir)
			events, c := stream(t, printed)
			if code != s.ExitCode() || c.Exit != code || !c.Score.Passed {
				t.Errorf("exit %d (%d in the score, passed %v), want %d: %s", code, c.Exit, c.Score.Passed, s.ExitCode(), c.Outcome)
			}
			h.sameAsJournal(c.Incident, events)
			evidence(t, c.Steps)
			if c.Score.Overridden != 0 {
				t.Errorf("the operator overrode something: %+v", c.Score)
			}
			endings[s.Name](t, c, filepath.Join(dir, "remote.git"))
		})
	}
}

// endings say what must be true after each scenario.
var endings = map[string]func(t *testing.T, c card, remote string){
	"good":       hotfixIsOut,
	"bad-canary": takenBack,
	"slow-burn":  takenBack,
	"no-data": func(t *testing.T, c card, remote string) {
		if it := item(c.Steps, "10.deploy"); it.Status != state.ItemAsking {
			t.Errorf("the deployment is %s", it.Status)
		}
		if c.Answers[drill.Broken] == 0 || c.Answers[drill.Fixed] == 0 {
			t.Errorf("the paused rollout serves %v", c.Answers)
		}
		notMerged(t, remote)
	},
}

// sameAsJournal checks that what was printed is what the journal holds, and that
// the journal is whole.
func (h *host) sameAsJournal(id string, printed []state.Event) {
	h.t.Helper()
	code, out, errs := h.run("journal", "verify", "--json", "--incident", id)
	if code != exitDone {
		h.t.Errorf("journal verify: exit %d: %s%s", code, out, errs)
	}
	code, out, errs = h.run("journal", "cat", "--json", "--incident", id)
	if code != exitDone {
		h.t.Fatalf("journal cat: exit %d: %s", code, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) < len(printed) { // what follows the end of the game is not printed
		h.t.Fatalf("%d events were printed, the journal has %d", len(printed), len(lines))
	}
	for i, e := range printed {
		want, err := json.Marshal(e)
		if err != nil {
			h.t.Fatal(err)
		}
		if lines[i] != string(want) {
			h.t.Fatalf("event %d was printed as\n%s\nand is in the journal as\n%s", i+1, want, lines[i])
		}
	}
}

// evidence checks that everything that mayday did shows something for it.
func evidence(t *testing.T, steps []stepRow) {
	t.Helper()
	if len(steps) != 18 {
		t.Errorf("%d steps", len(steps))
	}
	for _, s := range steps {
		for _, it := range s.Items {
			if it.Kind == state.Action && it.Status == state.ItemDone && len(it.Evidence) == 0 {
				t.Errorf("%s %s is done without evidence", it.ID, it.Title)
			}
		}
	}
}

func item(steps []stepRow, id string) itemRow {
	for _, s := range steps {
		for _, it := range s.Items {
			if it.ID == id {
				return it
			}
		}
	}
	return itemRow{}
}

func hotfixIsOut(t *testing.T, c card, remote string) {
	for _, s := range c.Steps {
		want := state.ItemDone
		if s.No == 14 {
			want = state.ItemNotNeeded
		}
		if s.Status != want {
			t.Errorf("step %d %s is %s", s.No, s.Title, s.Status)
		}
	}
	if c.Score.Done != 18 {
		t.Errorf("%d of 18 steps are done", c.Score.Done)
	}
	if it := item(c.Steps, "14.rollback"); len(it.Evidence) == 0 {
		t.Error("step 14 is not needed, and does not show why")
	}
	if len(c.Answers) != 1 || c.Answers[drill.Fixed] == 0 {
		t.Errorf("production answers %v", c.Answers)
	}
	if kind := git(t, remote, "cat-file", "-t", "refs/tags/"+drill.Fixed); kind != "tag" {
		t.Errorf("%s is a %s, not an annotated tag", drill.Fixed, kind)
	}
	for _, branch := range []string{"production", "develop"} {
		git(t, remote, "merge-base", "--is-ancestor", drill.Fixed+"^{commit}", branch)
		if parents := strings.Fields(git(t, remote, "log", "-1", "--format=%P", branch)); len(parents) != 2 {
			t.Errorf("the head of %s has %d parents: no merge", branch, len(parents))
		}
	}
	if left := git(t, remote, "branch", "--list", "hotfix/*"); left != "" {
		t.Errorf("branches are left on the remote: %s", left)
	}
}

// takenBack checks a rollback by what answers requests, and that nothing was merged.
func takenBack(t *testing.T, c card, remote string) {
	if len(c.Answers) != 1 || c.Answers[drill.Broken] == 0 {
		t.Errorf("production answers %v", c.Answers)
	}
	if it := item(c.Steps, "14.rollback"); it.Status != state.ItemDone || len(it.Evidence) == 0 {
		t.Errorf("step 14 is %s with %d pieces of evidence", it.Status, len(it.Evidence))
	}
	for _, s := range c.Steps {
		for _, it := range s.Items {
			if it.Status == state.ItemRunning || it.Status == state.ItemAsking {
				t.Errorf("%s is %s after the rollback", it.ID, it.Status)
			}
		}
	}
	notMerged(t, remote)
}

func notMerged(t *testing.T, remote string) {
	t.Helper()
	if out := git(t, remote, "branch", "--contains", drill.Fixed, "--list", "production", "develop"); out != "" {
		t.Errorf("%s is in %s", drill.Fixed, out)
	}
}

// git runs git on a repository and gives what it says.
func git(t *testing.T, repo string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), "git", append([]string{"-C", repo}, args...)...)
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// TestDrillLeavesNothing plays a drill in this process: no goroutine, file or
// socket outlives it, even when it is interrupted in the middle.
func TestDrillLeavesNothing(t *testing.T) {
	h := newHost(t)
	t.Setenv("MAYDAY_HOME", h.home)
	t.Setenv("MAYDAY_RUNTIME_DIR", h.sockets)
	t.Setenv("TMPDIR", h.tmp)
	// The runtime's own goroutine for signals stays once there was one.
	c := make(chan os.Signal, 1)
	signal.Notify(c, os.Interrupt)
	signal.Stop(c)
	before := stacks()
	var errs bytes.Buffer
	out := &trigger{word: `"item":"8.deploy"`, pull: func() error { return syscall.Kill(os.Getpid(), syscall.SIGINT) }}
	code := run([]string{"drill", "--auto", "good", "--speed", "60", "--json"}, strings.NewReader(""), out, &errs)
	if code != exitFailed || !out.pulled {
		t.Errorf("interrupted, it exits %d (%s)", code, errs.String())
	}
	if strings.Contains(errs.String(), "panic") {
		t.Error(errs.String())
	}
	h.gone()
	deadline := time.Now().Add(5 * time.Second) // what has been told to end may take a moment
	for {
		left := slices.DeleteFunc(stacks(), func(s string) bool { return slices.Contains(before, s) })
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d kinds of goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// trigger is an output that pulls when a word is written to it.
type trigger struct {
	word   string
	pull   func() error
	pulled bool
}

func (w *trigger) Write(p []byte) (int, error) {
	if !w.pulled && bytes.Contains(p, []byte(w.word)) {
		w.pulled = true
		return len(p), w.pull()
	}
	return len(p), nil
}

// stacks gives where every other goroutine began and what it waits in, without
// numbers and addresses.
func stacks() []string {
	buf := make([]byte, 4<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var out []string
	for i, g := range strings.Split(string(buf), "\n\n") {
		if i == 0 {
			continue // this one
		}
		var lines []string
		for _, l := range strings.Split(g, "\n")[1:] {
			if !strings.HasPrefix(l, "\t") {
				l, _, _ = strings.Cut(l, "(0x")
				l, _, _ = strings.Cut(l, " in goroutine ")
				lines = append(lines, l)
			}
		}
		if text := strings.Join(lines, "\n"); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

func TestUnknownScenario(t *testing.T) {
	h := newHost(t)
	code, _, errs := h.run("drill", "--auto", "flood")
	if code != exitUsage || !strings.Contains(errs, "bad-canary") {
		t.Errorf("exit %d: %s", code, errs)
	}
	h.gone()
	if code, _, errs = h.run("drill", "--speed", "1000"); code != exitUsage || !strings.Contains(errs, "between 1 and 100") {
		t.Errorf("exit %d: %s", code, errs)
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs = h.run("drill", "--serve", full); code != exitUsage || !strings.Contains(errs, "not empty") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if _, err := os.Stat(filepath.Join(full, "mine")); err != nil {
		t.Error(fmt.Errorf("the folder was touched: %w", err))
	}
}
