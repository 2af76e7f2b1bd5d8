package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/ui"
)

// hotfix is what mayday create was asked for.
type hotfix struct {
	issue, severity, from, description string
	dry                                bool
}

func (a *app) hotfixCommand() *cobra.Command {
	var h hotfix
	c := &cobra.Command{Use: "create", Short: "Begin a hotfix: incident, baseline, branch", Args: args(cobra.NoArgs),
		Long: "create begins a hotfix in the open incident, or declares one: the decision for a hotfix, the\n" +
			"baseline (what production runs), the branch hotfix/<issue>-<slug>, pushed; the ticket linked,\n" +
			"the first notification sent. It does only what is missing, so it can be run again; after a\n" +
			"rollback it opens the next attempt: a branch, a review and a version of its own.",
		Example: "  mayday create --issue=PROD-2847 --severity=critical --from=production",
		RunE:    func(c *cobra.Command, _ []string) error { return a.hotfix(c.Context(), h) }}
	f := c.Flags()
	f.StringVar(&h.issue, "issue", "", "the ticket: it names the branch")
	f.StringVar(&h.severity, "severity", "", severities)
	f.StringVar(&h.from, "from", "production", "what the branch starts from: production (what it runs), or a tag")
	f.StringVar(&h.description, "description", "", "what is wrong, in one line")
	f.BoolVar(&h.dry, "dry-run", false, dryHelp)
	return c
}

const (
	severities = "sev0 to sev3, or critical, high, medium, low"
	dryHelp    = "print what would be done, and do nothing"
)

func (a *app) hotfix(ctx context.Context, h hotfix) error {
	severity := state.Severity(1)
	if h.severity != "" {
		var err error
		if severity, err = state.ParseSeverity(h.severity); err != nil {
			return usage{err}
		}
	}
	rb, err := nearRunbook()
	if err != nil {
		return err
	}
	_, open, err := a.pick(rb.Drill != nil)
	if err != nil {
		return err
	}
	if !open {
		form := ui.DeclareForm{Severity: severity, Issue: h.issue, Title: h.description}
		if form.Title == "" {
			form.Title = strings.TrimSpace("hotfix " + h.issue)
		}
		if h.issue == "" && h.description == "" {
			return usage{&state.Problem{What: "the hotfix has neither an issue nor a description", Do: "Say what it is for: --issue PROD-2847, or --description \"logins fail\"."}}
		}
		if h.dry {
			r, err := a.rehearseDeclaration(rb, declaration(form))
			if err != nil {
				return err
			}
			w := a.rehearsing(r)
			return w.close(ctx, w.hotfix(ctx, h, severity))
		}
		if _, err := declare(rb, form, a.now()); err != nil {
			return err
		}
	}
	w, err := a.walking(ctx, h.dry)
	if err != nil {
		return err
	}
	return w.close(ctx, w.hotfix(ctx, h, severity))
}

func (w *walker) hotfix(ctx context.Context, h hotfix, severity state.Severity) error {
	if len(w.in().Closed) >= w.in().Attempt {
		if _, err := w.ask(ctx, state.NewAttempt{}); err != nil {
			return err
		}
	}
	if h.from != "" && h.from != "production" && h.from != w.rb.Repo.Production {
		w.values["3.baseline"] = map[string]string{"baseline": h.from}
	}
	if h.issue != "" {
		w.values["2.ticket"] = map[string]string{"issue": h.issue, "value": link(w.rb.Tracker, h.issue)}
		w.values["3.branch"] = map[string]string{"issue": h.issue}
	}
	if it := w.in().Item("1.severity"); it != nil && (!it.Status.Settled() || h.severity != "" && severity != w.in().Severity) {
		if h.severity == "" {
			severity = w.in().Severity
		}
		if _, err := w.ask(ctx, state.Tick{Item: "1.severity", Value: severity.String()}); err != nil {
			return err
		}
	}
	if it := w.in().Item("1.decision"); it != nil && !it.Status.Settled() {
		if _, err := w.ask(ctx, state.Decide{Choice: "hotfix", Rationale: "mayday create " + h.issue}); err != nil {
			return err
		}
	}
	err := w.walk(ctx, "2.ticket", "3.baseline", "3.branch", "3.push", "2.notify")
	if err != nil || w.dry {
		return err
	}
	return w.a.result(map[string]string{"incident": w.in().ID, "branch": w.in().Facts["branch"], "baseline": w.in().Facts["baseline"]},
		fmt.Sprintf("%s: %s from %s", w.in().ID, w.in().Facts["branch"], w.in().Facts["baseline"]))
}

// link is an issue as the runbook's tracker shows it.
func link(tracker, issue string) string {
	if tracker == "" || strings.Contains(issue, "://") {
		return issue
	}
	return strings.ReplaceAll(tracker, "{issue}", strings.TrimPrefix(issue, "#"))
}

// deployment is what mayday deploy was asked for.
type deployment struct {
	target, strategy, version string
	verify, notify, dry       bool
	checked                   []string
	wait                      state.Duration // for a sign-off; real time
}

func (a *app) deployCommand() *cobra.Command {
	var d deployment
	c := &cobra.Command{Use: "deploy", Short: "Deploy the approved hotfix, stage by stage", Args: args(cobra.NoArgs),
		Long: "deploy does what steps 7 to 10 ask for and is not done yet: version and tag, staging with its\n" +
			"checks, the plan and its inverse, both proven, the checks before production, then the rollout\n" +
			"with a gate behind each stage. It waits before that until gates know what was before, so that\n" +
			"what is ill already does not count as new. --target=staging ends after staging. A gate that\n" +
			"fails rolls back (exit 3); what only a person can say ends with exit 5 and what to do.",
		Example: "  mayday deploy --target=production --verify --notify-stakeholders --strategy=canary\n  mayday deploy --dry-run",
		RunE:    func(c *cobra.Command, _ []string) error { return a.deploy(c.Context(), d) }}
	f := c.Flags()
	f.StringVar(&d.target, "target", "production", "the environment")
	f.StringVar(&d.strategy, "strategy", "", "canary, blue-green, rolling, immediate or script (default: the runbook's)")
	f.StringVar(&d.version, "version", "", "the version to make, such as v1.2.4 (default: the next)")
	f.BoolVar(&d.verify, "verify", false, "and validate behind it: critical paths, the fixed function, performance")
	f.BoolVar(&d.notify, "notify-stakeholders", false, "and tell team and stakeholders of the deployment")
	f.StringSliceVar(&d.checked, "checked", nil, "a check that you have made, such as 10.team; may be given several times")
	f.Var(span{&d.wait}, "wait", "how long to wait for a sign-off that is missing, such as 30m (default: not at all)")
	f.BoolVar(&d.dry, "dry-run", false, dryHelp)
	return c
}

func (a *app) deploy(ctx context.Context, d deployment) error {
	w, err := a.walking(ctx, d.dry)
	if err != nil {
		return err
	}
	return w.close(ctx, w.deploy(ctx, d))
}

func (w *walker) deploy(ctx context.Context, d deployment) error {
	if _, ok := w.rb.Environments[d.target]; !ok && d.target == "production" {
		d.target = "" // whatever it is called
	}
	env, err := environmentOf(w.rb, d.target)
	if err != nil {
		return err
	}
	if err := stands(w.in()); err != nil {
		return err
	}
	w.checked, w.signing = d.checked, d.wait.D()
	if tag := w.in().Facts["tag"]; d.version != "" && tag != "" && strings.TrimPrefix(tag, "v") != strings.TrimPrefix(d.version, "v") {
		return usage{&state.Problem{What: "the version of this attempt is " + tag + " already", Why: "--version says " + d.version, Do: "Leave --version out, or open the next attempt."}}
	}
	if d.version != "" {
		w.values["7.version"] = map[string]string{"version": d.version}
	}
	w.versionTaken()
	items := []string{"7.version", "7.tag", "7.push", "8.deploy", "8.paths", "8.smoke", "8.probes"}
	if env.Production {
		if err := w.strategy(env, d.strategy); err != nil {
			return err
		}
		items = append(items, "9.strategy", "9.plan", "9.prove", "10.backup", "10.rollback", "10.alerts", "10.channels", "10.team",
			"10.migration", "10.config", "10.deploy", "10.validate")
		if d.verify {
			items = append(items, "12.paths", "12.fixed", "12.performance")
			if it := w.in().Item("12.security"); it != nil && it.Kind == state.Action {
				items = append(items, "12.security")
			}
		}
		if d.notify {
			items = append(items, "13.deployed")
		}
	}
	if err := w.walk(ctx, items...); err != nil || d.dry {
		return err
	}
	if err := stands(w.in()); err != nil { // taken back behind the last of them
		return err
	}
	tag := w.in().Facts["tag"]
	return w.a.result(map[string]string{"incident": w.in().ID, "environment": env.Name, "version": tag}, tag+" is on "+env.Name)
}

// stands refuses to go on with, or to call deployed, what was taken back or is about to
// be: the items of an attempt that is over stay as settled as they were.
func stands(in *state.Incident) error {
	switch rb := &in.Rollback; {
	case rb.Status == state.RollbackArmed || rb.Status == state.RollbackRunning:
		return &state.Problem{Code: "needs-person", What: "production is being taken back", Why: rb.Trigger, Do: "Wait for its end: mayday show."}
	case rb.Status == state.RollbackFailed && !madeGood(in):
		return &state.Problem{Code: "needs-person", What: "a rollback has failed: what production runs is not certain", Do: "Look first: mayday show. mayday rollback tries it again."}
	case len(in.Closed) >= in.Attempt:
		return &state.Problem{Code: "needs-person", What: fmt.Sprintf("attempt %d is over: production was taken back", in.Attempt), Why: rb.Verified,
			Do: "mayday create opens the next attempt, with a branch, an approval and a version of its own."}
	}
	return nil
}

// madeGood reports whether the failed rollback is of an attempt before this one, which
// opened on somebody's word that it was finished by hand.
func madeGood(in *state.Incident) bool {
	r := in.Rollout(in.Rollback.Rollout)
	return r != nil && r.Attempt < in.Attempt
}

// versionTaken has the version made anew where its tag was refused, as somebody else had
// released it, or is gone: the next free one is taken then.
func (w *walker) versionTaken() {
	for _, id := range []string{"7.tag", "7.push"} {
		if it := w.in().Item(id); it != nil && !it.Status.Settled() && it.Problem != nil && (it.Problem.Code == "tag-exists" || it.Problem.Code == "no-tag") {
			w.redo("7.version", "7.tag")
		}
	}
}

// strategy chooses how it goes to production, before anything of it has begun.
func (w *walker) strategy(env runbook.Environment, want string) error {
	can := env.Strategies()
	if want == "" {
		want = env.Strategy
	}
	if !slices.Contains(can, want) {
		return usage{&state.Problem{What: fmt.Sprintf("%s knows no strategy %q", env.Name, want), Do: "The runbook has " + strings.Join(can, ", ") + "."}}
	}
	w.values["9.strategy"] = map[string]string{"value": want}
	if it := w.in().Item("9.strategy"); it != nil && it.Status.Settled() && it.Value != want && w.in().Production() == nil {
		for _, id := range []string{"9.strategy", "9.plan", "9.prove", "10.rollback"} {
			w.again[id] = true
		}
	}
	return nil
}

func (a *app) mergeBackCommand() *cobra.Command {
	var dry, wait bool
	c := &cobra.Command{Use: "merge-back", Short: "Merge the hotfix back, push, and delete its branch", Args: args(cobra.NoArgs),
		Long: "merge-back does step 17, by the repository's model: production and develop (--no-ff), or\n" +
			"fast-forward and cherry-pick, or main alone. It never forces. A conflict stops it with the exact\n" +
			"state and how to go on.",
		Example: "  mayday merge-back --dry-run\n  mayday merge-back",
		RunE: func(c *cobra.Command, _ []string) error {
			w, err := a.walking(c.Context(), dry)
			if err != nil {
				return err
			}
			w.wait = wait
			if err = stands(w.in()); err != nil {
				return w.close(c.Context(), err)
			}
			err = w.walk(c.Context(), "17.merge", "17.push", "17.cleanup")
			if err == nil && !dry {
				err = a.result(map[string]string{"incident": w.in().ID, "merged": w.in().Facts["branch"]}, "merged back")
			}
			return w.close(c.Context(), err)
		}}
	c.Flags().BoolVar(&dry, "dry-run", false, dryHelp)
	c.Flags().BoolVar(&wait, "wait", false, "wait for the end of the monitoring period first")
	return c
}

// created says what was declared.
func (a *app) created(folder string) error {
	id := filepath.Base(folder)
	return a.result(map[string]string{"incident": id, "folder": folder}, id)
}
