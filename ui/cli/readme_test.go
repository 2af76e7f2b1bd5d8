package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mayday/state/runbook"
)

// The README's runbook is ten lines, and enough.
func TestReadmeRunbook(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```yaml\n")
	text, _, ok := strings.Cut(rest, "```")
	if !ok || strings.Count(text, "\n") > 10 {
		t.Fatalf("the README has no yaml block of ten lines:\n%s", text)
	}
	path := filepath.Join(t.TempDir(), runbook.FileName)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	rb, err := runbook.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	env, ok := rb.Production()
	if !ok || env.Strategy != "canary" || len(rb.Probes) == 0 {
		t.Errorf("production %+v, %d probes", env, len(rb.Probes))
	}
}

// The README's probes can be copied: they load, and each kind is among them.
func TestReadmeProbes(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "## What it watches")
	_, rest, _ = strings.Cut(rest, "```yaml\n")
	text, _, _ := strings.Cut(rest, "```")
	rb, err := runbook.Parse("mayday.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i := range rb.Probes {
		seen[rb.Probes[i].Asked(strings.Clone, "").Kind] = true
	}
	for _, kind := range []string{runbook.KindPrometheus, runbook.KindHTTP, runbook.KindRollout, runbook.KindTCP, runbook.KindTLS, runbook.KindGRPC, runbook.KindDNS,
		runbook.KindCommand, runbook.KindLog, runbook.KindPodLog, runbook.KindManager, runbook.KindRules,
		runbook.KindPods, runbook.KindRestarts, runbook.KindEvents, runbook.KindWeight} {
		if !seen[kind] {
			t.Errorf("the README shows no probe of kind %s", kind)
		}
	}
}

// The README names every verb there is.
func TestReadmeVerbs(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	help, err := exec.CommandContext(t.Context(), "mayday", "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(help), "Available Commands:\n")
	list, _, ok := strings.Cut(list, "\n\n")
	if !ok {
		t.Fatalf("the help lists no commands:\n%s", help)
	}
	for line := range strings.Lines(list) {
		verb := strings.Fields(line)[0]
		if verb != "help" && !strings.Contains(string(readme), "`mayday "+verb) && !strings.Contains(string(readme), "`"+verb) {
			t.Errorf("the README does not name mayday %s", verb)
		}
	}
}

// The README's channels can be copied: they load, and each kind of channel that takes
// more than a URL is among them.
func TestReadmeChannels(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "## Whom it tells")
	_, rest, _ = strings.Cut(rest, "```yaml\n")
	text, _, _ := strings.Cut(rest, "```")
	rb, err := runbook.Parse("mayday.yaml", []byte("service: shop\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range rb.Channels {
		seen[c.Kind] = true
	}
	for _, kind := range []string{"slack", "teams", "mail", "pagerduty", "statuspage", "shoutrrr", "command"} {
		if !seen[kind] {
			t.Errorf("the README shows no channel of kind %s", kind)
		}
	}
}

// So can its people and their working hours.
func TestReadmeReview(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "## How it ends")
	_, rest, _ = strings.Cut(rest, "```yaml\n")
	text, _, _ := strings.Cut(rest, "```")
	rb, err := runbook.Parse("mayday.yaml", []byte("service: shop\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	if h := rb.Review.Hours().String(); h != "Mon to Fri, 10:00 to 16:00 Europe/Berlin" || rb.People[0].Email == "" {
		t.Errorf("%s %+v", h, rb.People)
	}
	none, err := runbook.Parse("mayday.yaml", []byte("service: shop\n"))
	if err != nil || none.Review.Hours().String() != "Mon to Fri, 10:00 to 16:00 UTC" {
		t.Errorf("by default %s, %v", none.Review.Hours(), err)
	}
}

// The README's signers can be copied, beside an environment of one's own.
func TestReadmeSigners(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "## Who signs")
	_, rest, _ = strings.Cut(rest, "```yaml\n")
	text, _, _ := strings.Cut(rest, "```")
	rb, err := runbook.Parse("mayday.yaml", []byte("service: shop\n"+text))
	if err != nil {
		t.Fatal(err)
	}
	if rb.Signers != filepath.Join(rb.Dir, "ops/allowed_signers") || rb.Revoked == "" || len(rb.People) != 1 {
		t.Errorf("%q, %q, %v", rb.Signers, rb.Revoked, rb.People)
	}
}
