package kubetest_test

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mayday/steps/kube/kubetest"
)

// abandon is set for a process that starts a control plane and is killed.
const abandon = "KUBETEST_ABANDON"

// A test binary that is killed, as go test does after its time-out, leaves nothing
// behind, not even a part that was stopped.
func TestNothingSurvivesTheTest(t *testing.T) {
	if os.Getenv(abandon) != "" {
		c := kubetest.Start(t)
		c.Signal(t, kubetest.Scheduler, syscall.SIGSTOP)
		os.Stdout.WriteString("dir " + c.Dir + "\n")
		select {} // until it is killed
	}
	t.Parallel()
	kubetest.Shared(t) // skips where there is no testbed
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), abandon+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	dir := ""
	for lines := bufio.NewScanner(out); dir == "" && lines.Scan(); {
		dir, _ = strings.CutPrefix(lines.Text(), "dir ")
		if dir == lines.Text() {
			t.Log(dir)
			dir = ""
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if cmd.Wait(); dir == "" {
		t.Fatal("it started no control plane")
	}
	eventually(t, "the folder and the processes are gone", func() bool {
		_, err := os.Stat(dir)
		return errors.Is(err, fs.ErrNotExist) && !running(t, dir)
	})
}

// running says whether a process has the folder in its arguments.
func running(t *testing.T, dir string) bool {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(all) == 0 {
		t.Skip("this system has no /proc to look for processes in")
	}
	for _, p := range all {
		// A process that has just gone cannot be read.
		if args, err := os.ReadFile(p); err == nil && strings.Contains(string(args), dir) {
			return true
		}
	}
	return false
}
