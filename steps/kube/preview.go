package kube

import (
	"context"
	"fmt"
	"io"
	"strings"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// Preview is how a colour that no user sees yet is tried out. The zero value checks
// nothing, and the rollout says so.
type Preview struct {
	// Environments are the runbook's, for their checks: these may hold secrets, so no
	// plan carries them.
	Environments map[string]runbook.Environment
	Checker      steps.Checker
}

// previewAnswers is how many requests must all come from the new version.
const previewAnswers = 20

// tryOut makes the environment's checks against the preview URL, after making sure
// that the new version answers there. The text says what passed.
func (r *run) tryOut(ctx context.Context) (string, error) {
	url := r.s.Colours.Preview
	if url == "" {
		return "not checked: blue_green has no preview_url", nil
	}
	env := r.preview.Environments[r.plan.Environment]
	env.Name, env.URL = r.plan.Environment, url
	answered, err := r.previewed(ctx, env)
	if err != nil {
		return "", err
	}
	if len(env.Checks) == 0 || r.preview.Checker == nil {
		return "not checked: the environment has no checks, " + answered, nil
	}
	passed, elsewhere, err := r.preview.run(ctx, env, r.out)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("%d checks pass at %s", passed, url)
	if elsewhere > 0 {
		text += fmt.Sprintf(" (%d ask another address and were left out)", elsewhere)
	}
	return text + ", " + answered, nil
}

// previewed makes sure that the preview URL leads to the new version, as far as
// answers name theirs: checks of the old one would prove nothing.
func (r *run) previewed(ctx context.Context, env runbook.Environment) (string, error) {
	if r.traffic == nil {
		return "version not observed", nil
	}
	counts, err := r.traffic.Versions(ctx, env, previewAnswers)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	p := &state.Problem{What: env.URL + " does not lead to " + r.s.Colours.Idle, Code: "checks",
		Do: "Correct blue_green.preview_url or what it leads to, then go on; or roll back. No user is on " + r.s.Colours.Idle + " yet."}
	if err != nil {
		p.Why = state.Clean(err.Error())
		return "", p
	}
	_, named, total := tally(counts, r.plan.Version)
	switch {
	case total > 0 && named == 0:
		return "version not observed: no answer names it", nil
	case counts[r.plan.Version] < total || total == 0:
		p.Why = fmt.Sprintf("%s answered %d of %d requests there", r.plan.Version, counts[r.plan.Version], total)
		return "", p
	}
	return fmt.Sprintf("%s answered %d of %d", r.plan.Version, counts[r.plan.Version], total), nil
}

// run makes the checks. Those that name a whole URL would ask what users see, not the
// preview, and are only counted.
func (p Preview) run(ctx context.Context, env runbook.Environment, out io.Writer) (passed, elsewhere int, err error) {
	var failed []string
	why := ""
	for _, c := range env.Checks {
		if strings.Contains(c.Path, "://") {
			elsewhere++
			continue
		}
		text, err := p.Checker.Check(ctx, env, c)
		if ctx.Err() != nil {
			return passed, elsewhere, ctx.Err()
		}
		if err != nil {
			text = err.Error()
			failed = append(failed, c.Name)
			why = or(why, text)
		} else {
			passed++
		}
		fmt.Fprintf(out, "%s: %s\n", c.Name, state.Clean(text))
	}
	if len(failed) > 0 {
		return passed, elsewhere, &state.Problem{What: fmt.Sprintf("%d of %d checks fail at %s", len(failed), passed+len(failed), env.URL), Code: "checks",
			Why: state.Clean(strings.Join(failed, ", ") + ": " + why), Do: "No user is on it yet: roll back, or mend what failed and go on."}
	}
	return passed, elsewhere, nil
}
