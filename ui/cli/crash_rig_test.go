package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"mayday/state/runbook"
	"mayday/steps/drill"
)

// patience is how long these tests wait for another process (real time). Only a
// hanging one meets it.
const patience = time.Minute

// program builds mayday as people run it, once: what is killed here is no test binary,
// and a race detector in the range would only make it late.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "mayday-built-")
	if err != nil {
		return "", err
	}
	builds = dir
	name := filepath.Join(dir, "mayday")
	c := exec.Command("go", "build", "-o", name, ".")
	c.Dir = "../.."
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return name, nil
})

// builds is the folder of what was built; empty: nothing was.
var builds string

// suite is all tests, and the end of what they share.
type suite struct{ *testing.M }

func (s suite) Run() int {
	defer func() { _ = os.RemoveAll(builds) }() // in the system's temporary folder
	return s.M.Run()
}

// site is a practice range served by a process of its own, with one open incident.
type site struct {
	*host
	drill.Addresses
	scenario drill.Scenario
	id       string
	folder   string
	rb       *runbook.Runbook
}

// newSite serves a scenario with two stages that hold for hold (incident time, at
// twenty times the speed), and declares the incident.
func newSite(t *testing.T, scenario, hold string) *site {
	t.Helper()
	s := serve(t, scenario, "20")
	s.edit(hasty(hold))
	s.declare()
	return s
}

// serve is a practice range in a process of its own, and no incident yet.
func serve(t *testing.T, scenario, speed string) *site {
	t.Helper()
	s := &site{host: newHost(t)}
	var err error
	if s.scenario, err = drill.Find(scenario); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MAYDAY_HOME", s.home)
	t.Setenv("MAYDAY_RUNTIME_DIR", s.sockets)
	dir := filepath.Join(filepath.Dir(s.home), "range")
	serving := s.start("drill", scenario, "--serve", dir, "--speed", speed)
	until(t, "the range is live", func() bool {
		data, err := os.ReadFile(filepath.Join(dir, "addresses.json"))
		return err == nil && json.Unmarshal(data, &s.Addresses) == nil || serving.over()
	})
	if serving.over() {
		t.Fatalf("the range ended: %s", serving.said())
	}
	return s
}

// edit replaces regular expressions in the range's runbook; each must be there.
func (s *site) edit(changes map[string]string) {
	s.t.Helper()
	path := filepath.Join(s.Clone, runbook.FileName)
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if text, err = replaced(text, changes); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if s.rb, err = runbook.Load(path); err != nil {
		s.t.Fatal(err)
	}
}

// declare opens the incident.
func (s *site) declare() {
	s.t.Helper()
	name, err := program()
	if err != nil {
		s.t.Fatal(err)
	}
	c := exec.CommandContext(s.t.Context(), name, "incident", "create", "--severity=sev1", "--title=Logins fail", "--issue="+s.scenario.Issue, "--json")
	c.Dir, c.Env = s.Clone, s.env()
	var made struct{ Incident, Folder string }
	out, err := c.Output()
	if err == nil {
		err = json.Unmarshal(out, &made)
	}
	if err != nil {
		s.t.Fatalf("mayday incident create: %v: %s", err, out)
	}
	s.id, s.folder = made.Incident, made.Folder
}

// hasty makes a range's runbook short: two stages that hold for hold, a minute of
// monitoring. What gates think of a slow machine is the matter of other tests.
func hasty(hold string) map[string]string {
	return map[string]string{`weights: .*\n +hold: .*`: "weights: [25, 100]\n      hold: " + hold, `monitor: .*`: "monitor: 1m",
		`warn: 0.5\n +crit: 2\n`: "warn: 50\n    crit: 60\n", `warn: 0.8\n +crit: 0.95\n`: "warn: 80\n    crit: 95\n", `patience: .*`: "patience: 20m"}
}

// replaced replaces regular expressions in a runbook; each must be there.
func replaced(text []byte, changes map[string]string) ([]byte, error) {
	for old, now := range changes {
		changed := regexp.MustCompile(old).ReplaceAll(text, []byte(now))
		if bytes.Equal(changed, text) {
			return nil, fmt.Errorf("the range's runbook has no %s", old)
		}
		text = changed
	}
	return text, nil
}

// process is a mayday that can be killed, stopped and waited for.
type process struct {
	*exec.Cmd
	t    *testing.T
	out  string // file
	done chan struct{}
}

// start begins a process that does not outlive the test.
func (h *host) start(args ...string) *process {
	h.t.Helper()
	file, err := os.CreateTemp(h.home, "out")
	if err != nil {
		h.t.Fatal(err)
	}
	name, err := program()
	if err != nil {
		h.t.Fatal(err)
	}
	c := exec.Command(name, args...)
	c.Env, c.Stdout, c.Stderr, c.Dir = h.env(), file, file, h.tmp
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	p := &process{Cmd: c, t: h.t, out: file.Name(), done: make(chan struct{})}
	go func() {
		_ = c.Wait() // its exit code says it
		file.Close()
		close(p.done)
	}()
	h.t.Cleanup(func() {
		if h.t.Failed() {
			h.t.Logf("mayday %v said:\n%s", args, p.said())
		}
		_ = c.Process.Signal(syscall.SIGCONT) // gone already, most likely
		_ = c.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(patience):
			h.t.Errorf("mayday %v does not end", args)
			p.kill()
		}
	})
	return p
}

// keeper begins a process that keeps the incident, or stands by.
func (s *site) keeper() *process {
	s.t.Helper()
	return s.start("keeper", "--incident", s.id)
}

func (p *process) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) said() []byte {
	b, _ := os.ReadFile(p.out)
	return b[max(0, len(b)-4000):]
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// stop is SIGSTOP: every thread of the process stands still when it returns.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	if runtime.GOOS != "linux" {
		return // the threads of other processes are not to be seen
	}
	until(p.t, "every thread stands still", func() bool {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.Process.Pid))
		for _, name := range tasks {
			stat, err := os.ReadFile(name)
			if err != nil || !bytes.Contains(stat, []byte(") T ")) {
				return false
			}
		}
		return len(tasks) > 0
	})
}

// kill is kill -9: nothing of the process is left when it returns.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.done
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
