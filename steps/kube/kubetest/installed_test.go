package kubetest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Without a testbed, here because there is no module around, a test is skipped and
// says why; where CI is true that would hide what was never tested, and it fails.
func TestWithoutTestbed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		ci, verdict string
		fails       bool
	}{{"", "--- SKIP: TestRollout", false}, {"true", "--- FAIL: TestRollout", true}} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRollout$", "-test.v")
		cmd.Dir, cmd.Env = t.TempDir(), append(os.Environ(), "CI="+test.ci)
		out, err := cmd.CombinedOutput()
		if (err != nil) != test.fails || !strings.Contains(string(out), test.verdict) || !strings.Contains(string(out), "no Kubernetes control plane: ") {
			t.Errorf("CI=%q: %v\n%s", test.ci, err, out)
		}
	}
}
