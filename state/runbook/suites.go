package runbook

import (
	"fmt"
	"maps"
	"slices"
)

// Suite is a named set of checks and commands that says whether a version works
// somewhere: mayday validate runs it, and step 12 those that production is named in.
type Suite struct {
	// Checks are "paths" (every check of the environment), "fixed" (the original issue is
	// gone), "performance" (production: no reading worse than before the deployment), or
	// single checks of the environment by their names.
	Checks []string `yaml:"checks"`
	// Commands are commands of the runbook by their names: a team's own smoke and
	// integration tests, dry runs of migrations, scans.
	Commands []string `yaml:"commands"`
	// Environments are where it may run; default: every one but production.
	Environments []string `yaml:"environments"`
}

// What a suite's checks may name beside an environment's own.
const (
	SuitePaths       = "paths"
	SuiteFixed       = "fixed"
	SuitePerformance = "performance"
)

// SuitesIn gives the names of the suites that may run in an environment, sorted.
func (r *Runbook) SuitesIn(environment string) []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(r.Suites)) {
		if slices.Contains(r.Suites[name].Environments, environment) {
			out = append(out, name)
		}
	}
	return out
}

// suites fills in where suites run.
func (r *Runbook) suites() {
	for name, s := range r.Suites {
		if s.Environments == nil {
			for _, e := range slices.Sorted(maps.Keys(r.Environments)) {
				if !r.Environments[e].Production {
					s.Environments = append(s.Environments, e)
				}
			}
		}
		r.Suites[name] = s
	}
}

func (r *Runbook) checkSuites(b *binder) {
	for _, name := range slices.Sorted(maps.Keys(r.Suites)) {
		s, path := r.Suites[name], "suites."+name
		if len(s.Checks)+len(s.Commands) == 0 {
			b.fail(path, "%s names nothing: it needs checks or commands", path)
		}
		if len(s.Environments) == 0 {
			b.fail(path, "%s runs nowhere: write environments: [production], or name an environment that is not production", path)
		}
		b.distinct(path+".commands", s.Commands)
		b.distinct(path+".checks", s.Checks)
		b.distinct(path+".environments", s.Environments)
		for i, c := range s.Commands {
			b.word(fmt.Sprintf("%s.commands[%d]", path, i), "command", c, slices.Sorted(maps.Keys(r.Commands)))
		}
		for i, e := range s.Environments {
			b.word(fmt.Sprintf("%s.environments[%d]", path, i), "environment", e, slices.Sorted(maps.Keys(r.Environments)))
			if env, ok := r.Environments[e]; ok {
				b.suiteIn(path, s, env)
			}
		}
	}
}

// distinct refuses what would be run twice and reported once.
func (b *binder) distinct(path string, names []string) {
	for i, n := range names {
		if slices.Contains(names[:i], n) {
			b.fail(fmt.Sprintf("%s[%d]", path, i), "%s names %q twice", path, n)
		}
	}
}

// suiteIn checks that an environment has what a suite names.
func (b *binder) suiteIn(path string, s Suite, env Environment) {
	words := []string{SuitePaths, SuiteFixed, SuitePerformance}
	for _, c := range env.Checks {
		words = append(words, c.Name)
	}
	for i, c := range s.Checks {
		at := fmt.Sprintf("%s.checks[%d]", path, i)
		b.word(at, "check of "+env.Name, c, words)
		switch {
		case c == SuitePaths && len(env.Checks) == 0:
			b.fail(at, "%s: environments.%s has no checks", path, env.Name)
		case c == SuiteFixed && env.Fixed == nil:
			b.fail(at, "%s: environments.%s has no fixed", path, env.Name)
		case c == SuitePerformance && !env.Production:
			b.fail(at, "%s: performance is compared in production, with what was before the deployment; %s has no such baseline", path, env.Name)
		}
	}
}
