package cli

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"mayday/state"
	"mayday/state/runbook"
)

//go:embed starter
var starter embed.FS

func (a *app) initCommand() *cobra.Command {
	var actions, dry bool
	c := &cobra.Command{Use: "init", Short: "Write a first mayday.yaml, alert rules, and a workflow for GitHub Actions", Args: args(cobra.NoArgs),
		Long: "init writes mayday.yaml into this folder, the top of the service's repository, and beside it\n" +
			"mayday-alerts.yml, two alert rules for after a deployment. With --github-actions it also writes\n" +
			".github/workflows/mayday-hotfix.yml: a hotfix by mayday's commands, on a runner of yours.\n\n" +
			"What is there already is left as it is. The next thing to run, once mayday.yaml is filled in: mayday doctor.",
		Example: "  mayday init\n  mayday init --github-actions --dry-run",
		RunE:    func(*cobra.Command, []string) error { return a.begins(actions, dry) }}
	c.Flags().BoolVar(&actions, "github-actions", false, "and the workflow")
	c.Flags().BoolVar(&dry, "dry-run", false, dryHelp)
	return c
}

// begins writes the starter's files into this folder.
func (a *app) begins(actions, dry bool) error {
	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find this folder: %w", err)
	}
	files := []struct{ name, as string }{{"mayday.yaml", runbook.FileName}, {"mayday-alerts.yml", "mayday-alerts.yml"}}
	if actions {
		files = append(files, struct{ name, as string }{"mayday-hotfix.yml", filepath.Join(".github", "workflows", "mayday-hotfix.yml")})
	}
	var plan planned
	plan.Item, plan.Title = "init", "in "+dir
	for _, f := range files {
		text, err := starter.ReadFile("starter/" + f.name)
		if err != nil {
			return fmt.Errorf("the starter: %w", err)
		}
		said := "write " + f.as
		if _, err := os.Stat(filepath.Join(dir, f.as)); err == nil {
			said = f.as + " is there already: left as it is"
		} else if !dry {
			if err := written(filepath.Join(dir, f.as), filled(text, filepath.Base(dir), me("cli").User)); err != nil {
				return err
			}
			said = "wrote " + f.as
		}
		plan.Commands = append(plan.Commands, said)
	}
	if dry {
		return a.foreseen(foresight{Plan: []planned{plan}})
	}
	return a.done(strings.Join(append(plan.Commands, "next: fill mayday.yaml in, then run mayday doctor"), "\n"))
}

// unquoted is what names may not hold without quotes in YAML.
var unquoted = regexp.MustCompile(`[^a-zA-Z0-9_-]+`)

// filled puts names into a starter's file.
func filled(text []byte, service, user string) []byte {
	name := func(s, otherwise string) string {
		if s = strings.Trim(unquoted.ReplaceAllString(s, "-"), "-_"); s == "" {
			return otherwise
		}
		return s
	}
	return []byte(strings.NewReplacer("SERVICE", name(service, "service"), "USER", name(user, "alice")).Replace(string(text)))
}

// written makes a file that must not be there.
func written(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return notWritten(path, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return notWritten(path, err)
	}
	if _, err = f.Write(text); err != nil {
		_ = f.Close() // the write's error counts
		return notWritten(path, err)
	}
	if err := f.Close(); err != nil {
		return notWritten(path, err)
	}
	return nil
}

func notWritten(path string, err error) error {
	return &state.Problem{What: "cannot write " + path, Why: state.Clean(err.Error()), Do: "Make the folder writable, or run mayday init where it is."}
}
