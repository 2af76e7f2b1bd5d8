package cli

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rhysd/actionlint"
	"github.com/spf13/cobra"

	"mayday/probes/rules"
	"mayday/state/runbook"
)

// TestInit: what init writes loads, and what was there stays as it was.
func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my shop")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	does := func(want ...string) {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run([]string{"init", "--github-actions"}, strings.NewReader(""), &out, &errs); code != exitDone || errs.Len() > 0 {
			t.Fatalf("exit %d: %s", code, errs.String())
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("it does not say %q: %s", w, out.String())
			}
		}
	}
	does("run mayday doctor", "wrote mayday.yaml", "wrote mayday-alerts.yml", "wrote .github/workflows/mayday-hotfix.yml")
	rb, err := runbook.Load(runbook.FileName)
	if err != nil {
		t.Fatal(err)
	}
	if env, ok := rb.Production(); rb.Service != "my-shop" || !ok || len(env.Strategies()) == 0 || len(rb.Probes) == 0 || len(rb.Channels) == 0 {
		t.Errorf("%+v", rb)
	}
	if _, err := rules.Load("mayday-alerts.yml"); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile("mayday-alerts.yml")
	for _, alert := range []string{"HighErrorRateAfterDeploy", "ResponseTimeRegression"} {
		if err != nil || !strings.Contains(string(text), "alert: "+alert+"\n") {
			t.Errorf("there is no alert %s: %v", alert, err)
		}
	}
	if err := os.WriteFile(runbook.FileName, []byte("service: mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	does("mayday.yaml is there already: left as it is")
	if text, _ := os.ReadFile(runbook.FileName); string(text) != "service: mine\n" {
		t.Errorf("the runbook was overwritten: %s", text)
	}
}

func workflow(t *testing.T) []byte {
	t.Helper()
	text, err := starter.ReadFile("starter/mayday-hotfix.yml")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestWorkflowIsValid: GitHub would take the workflow.
func TestWorkflowIsValid(t *testing.T) {
	l, err := actionlint.NewLinter(io.Discard, &actionlint.LinterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := l.Lint("mayday-hotfix.yml", workflow(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found {
		t.Error(e)
	}
	broken := bytes.Replace(workflow(t), []byte("steps.production.outcome"), []byte("steps.nowhere.outcome"), 1)
	if found, err := l.Lint("mayday-hotfix.yml", broken, nil); err != nil || len(found) == 0 {
		t.Errorf("a step that does not exist is not found: %v, %v", found, err)
	}
}

// word is one of a shell's command line, as far as the workflow and the examples have them.
var word = regexp.MustCompile(`(?:[^\s"']|"(?:[^"\\]|\\.)*"|'[^']*')+`)

// parses checks that mayday would take a command line: the verb, its flags, its arguments.
func parses(t *testing.T, line string) (verb string) {
	t.Helper()
	var words []string
	for _, w := range word.FindAllString(line, -1) {
		if w == "||" || w == "&&" || w == "|" || w == "#" {
			break
		}
		words = append(words, strings.NewReplacer(`"`, "", "'", "").Replace(w))
	}
	root := new(app).root()
	root.InitDefaultCompletionCmd()
	c, rest, err := root.Find(words[1:])
	if err == nil {
		err = c.ParseFlags(rest)
	}
	if err == nil {
		err = c.ValidateArgs(c.Flags().Args())
	}
	if err != nil {
		t.Errorf("%s: %v", line, err)
		return ""
	}
	return c.CommandPath()
}

// TestWorkflowsCommands: every command of the workflow is one that mayday takes, and the
// verbs of a hotfix are among them.
func TestWorkflowsCommands(t *testing.T) {
	var verbs []string
	for line := range strings.Lines(string(workflow(t))) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "run:"))
		if strings.HasPrefix(line, "mayday ") {
			verbs = append(verbs, parses(t, line))
		}
	}
	for _, want := range []string{"create", "approve", "validate", "deploy", "verify", "rollback", "incident update", "incident timeline"} {
		if !slices.Contains(verbs, "mayday "+want) {
			t.Errorf("the workflow does not run mayday %s", want)
		}
	}
}

// TestExamplesParse: what the help gives as examples can be typed.
func TestExamplesParse(t *testing.T) {
	n := 0
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "mayday ") {
				parses(t, line)
				n++
			}
		}
		for _, sub := range c.Commands() {
			each(sub)
		}
	}
	each(new(app).root())
	if n < 10 {
		t.Errorf("there are only %d examples", n)
	}
}
