package rules

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mayday/probes/probetest"
	"mayday/state"
)

func files(t *testing.T, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(pattern)
	if err != nil || len(all) < 4 {
		t.Fatal(all, err)
	}
	return all
}

func TestGoodFilesLoad(t *testing.T) {
	for _, name := range files(t, "testdata/good/*") {
		if _, err := Load(name); err != nil {
			t.Error(err)
		}
	}
}

// The last line of a bad file says what is wrong with it, and where.
func TestBadFilesAreRefusedWithTheirLine(t *testing.T) {
	for _, name := range files(t, "testdata/bad/*") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var line int
		_, last, _ := strings.Cut(string(text), "# line ")
		number, reason, _ := strings.Cut(strings.TrimSpace(last), ": ")
		fmt.Sscan(number, &line)
		where := name + " is no rule"
		if line > 0 {
			where = fmt.Sprintf("%s:%d is no rule", name, line)
		}
		_, err = Load(name)
		if !state.HasCode(err, "rules-file") || !strings.HasPrefix(err.Error(), where) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%v, want %q and %q", err, where, reason)
		}
	}
}

// promtool of Prometheus 2 and Load agree on every file.
func TestPromtoolAgrees(t *testing.T) {
	tool := probetest.Tool(t, "promtool")
	for _, name := range append(files(t, "testdata/good/*"), files(t, "testdata/bad/*")...) {
		out, err := exec.CommandContext(t.Context(), tool, "check", "rules", name).CombinedOutput()
		good := strings.Contains(name, "/good/")
		if good != (err == nil) {
			t.Errorf("promtool: %s: %v\n%s", name, err, out)
		}
	}
}

func TestRenamedFunctionIsNamed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "old.yml")
	text := "groups:\n- name: a\n  rules:\n  - alert: Drift\n    expr: %s(disk_free[1h], 0.5, 0.5) < 1\n"
	if err := os.WriteFile(name, fmt.Appendf(nil, text, "holt_winters"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(name)
	if err == nil || !strings.HasPrefix(err.Error(), name+":5 ") || !strings.Contains(err.Error(), "holt_winters is called double_exponential_smoothing in Prometheus 3") {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, fmt.Appendf(nil, text, "double_exponential_smoothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(name); err != nil {
		t.Fatal(err)
	}
}

func TestNoFile(t *testing.T) {
	if _, err := Load("/nowhere/rules.yml"); !state.HasCode(err, "rules-file") || !strings.Contains(err.Error(), "no such file") {
		t.Fatal(err)
	}
}
