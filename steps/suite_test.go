package steps

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"mayday/state"
	"mayday/state/runbook"
)

// asked answers checks by their names.
type asked map[string]error

func (a asked) Check(_ context.Context, env runbook.Environment, c runbook.Check) (string, error) {
	return "200 of " + env.Name, a[c.Name]
}

func suiteRunbook() *runbook.Runbook {
	rb := fullRunbook()
	rb.Environments = map[string]runbook.Environment{
		"staging":    {Name: "staging", Checks: []runbook.Check{{Name: "login"}, {Name: "pay"}}, Fixed: &runbook.Check{Name: "the bug"}},
		"production": {Name: "production", Production: true},
	}
	rb.Suites = map[string]runbook.Suite{
		"critical-path": {Checks: []string{"paths", "login", "fixed"}, Commands: []string{"smoke"}, Environments: []string{"staging"}},
		"one":           {Checks: []string{"pay"}, Environments: []string{"staging"}},
		"after":         {Checks: []string{"performance"}, Commands: []string{"smoke"}, Environments: []string{"production"}},
	}
	return rb
}

func TestSuiteRunsEveryCheckAndKeepsEvidence(t *testing.T) {
	rb, folder := suiteRunbook(), filepath.Join(t.TempDir(), "evidence")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	smoke := ActionFunc(func(_ context.Context, job Job) (Outcome, error) {
		fmt.Fprintln(job.Output, "signed in as hunter2\x1b[31m")
		return Outcome{Summary: "exit code 0 in 1s"}, nil
	})
	hide := func(s string) string { return strings.ReplaceAll(s, "hunter2", "•••") }
	s, err := NewSuite(rb, "critical-path", rb.Environments["staging"], asked{"pay": errors.New("500, want 2xx")}, map[string]Action{"suite.staging.smoke": smoke}, hide)
	if err != nil {
		t.Fatal(err)
	}
	var live strings.Builder
	out, err := s.Run(t.Context(), Job{Run: "validate-7", Incident: &state.Incident{}, Output: &live, Evidence: folder})
	if !state.HasCode(err, "suite-failed") || !strings.Contains(err.Error(), "pay") || out.Summary != "critical-path: 3 of 4" {
		t.Errorf("%v, %q", err, out.Summary)
	}
	want := map[string]string{"login": "passed, 200 of staging", "pay": "FAILED, 200 of staging: 500, want 2xx", "fixed": "passed, 200 of staging", "smoke": "passed, exit code 0 in 1s"}
	if len(out.Evidence) != len(want) {
		t.Errorf("%+v", out.Evidence)
	}
	for _, ev := range out.Evidence {
		if ev.Value != want[ev.Name] || ev.File != "evidence/validate-7-critical-path-"+ev.Name+".txt" {
			t.Errorf("%+v", ev)
		}
		text, err := os.ReadFile(filepath.Join(filepath.Dir(folder), ev.File))
		if err != nil || !strings.HasPrefix(string(text), ev.Name+" of critical-path in staging: ") || strings.ContainsAny(string(text), "\x1b") || strings.Contains(string(text), "hunter2") {
			t.Errorf("%v %q", err, text)
		}
		if ev.Name == "smoke" && !strings.Contains(string(text), "signed in as •••") {
			t.Errorf("%q", text)
		}
	}
}

func TestSuiteThatCannotBeMeant(t *testing.T) {
	rb := suiteRunbook()
	for _, c := range []struct{ suite, env, want string }{
		{"critical", "staging", "critical-path, one"}, {"critical-path", "production", "may run in staging"}, {"after", "staging", "may run in production"},
	} {
		_, err := NewSuite(rb, c.suite, rb.Environments[c.env], asked{}, nil, strings.Clone)
		p := state.AsProblem(err)
		if !state.HasCode(err, "usage") || !strings.Contains(p.Why+p.Do, c.want) {
			t.Errorf("%s in %s: %v", c.suite, c.env, err)
		}
	}
	s, err := NewSuite(rb, "after", rb.Environments["production"], asked{}, nil, strings.Clone)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(t.Context(), Job{}); !state.HasCode(err, "usage") {
		t.Errorf("nothing to compare with: %v", err)
	}
}

// In an incident the keeper runs a suite and journals it; step 12 runs production's.
func TestSuiteInAnIncident(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig, o *Options) {
			rb := suiteRunbook()
			rb.Probes = o.Runbook.Probes
			*o.Runbook = *rb
			o.Checker = asked{}
			o.Actions["suite.staging.smoke"], o.Actions["suite.production.smoke"] = ActionFunc(done), ActionFunc(failing)
		})
		finished := func(run string) (f state.SuiteFinished) {
			r.until("finished", func(*state.Incident) bool {
				for _, e := range r.journal.all() {
					if x, ok := e.Fact.(state.SuiteFinished); ok && x.Run == run {
						f = x
						return true
					}
				}
				return false
			})
			return f
		}
		a, err := r.Do(t.Context(), alice, state.Validate{Suite: "critical-path", Environment: "staging"})
		r.must(err)
		if f := finished(a.Text); f.Problem != nil || f.Summary != "critical-path: 4 of 4" || len(f.Evidence) != 4 {
			t.Errorf("%+v", f)
		}
		a, err = r.Do(t.Context(), alice, state.Validate{Suite: "after", Environment: "production"})
		r.must(err)
		if f := finished(a.Text); f.Problem == nil || !strings.Contains(f.Problem.Why, "performance, smoke") {
			t.Errorf("%+v", f)
		}
		for _, bad := range []state.Validate{{Suite: "critical-path", Environment: "moon"}, {Suite: "none", Environment: "staging"}} {
			if err := r.do(bad); !state.HasCode(err, "usage") {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		r.must(r.Close("the test is over"))
	})
}

// The item is there where production has a suite.
func TestCatalogueHasSuites(t *testing.T) {
	has := func(rb *runbook.Runbook) bool {
		for _, s := range Catalogue(rb) {
			for _, it := range s.Items {
				if it.ID == "12.suite" {
					return true
				}
			}
		}
		return false
	}
	if rb := suiteRunbook(); !has(rb) {
		t.Error("step 12 has no suite")
	} else if delete(rb.Suites, "after"); has(rb) {
		t.Error("a suite that production is not named in runs there")
	}
}
