package steps

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// own gives the actions that the Engine itself runs: those that need its clocks,
// readings, messages or rollouts.
func (e *Engine) own(item string) Action {
	run := map[string]func(context.Context, Job) (Outcome, error){
		"2.open":          e.opened,
		"2.roles":         e.roles,
		"8.paths":         e.paths,
		"8.probes":        e.stagingHealthy,
		"9.plan":          e.makePlan,
		"9.prove":         e.provePlan,
		"10.rollback":     e.provePlan,
		"10.validate":     e.validated,
		"11.metrics":      e.metricsSeen,
		"11.health":       e.healthSeen,
		"11.triggers":     e.triggers,
		"12.paths":        e.paths,
		"12.fixed":        e.fixed,
		"12.performance":  e.performance,
		"12.suite":        e.suites,
		"14.rollback":     e.rollbackUnneeded,
		"15.fixed":        e.fixed,
		state.ItemMonitor: e.monitor,
	}[item]
	if run != nil {
		return ActionFunc(run)
	}
	switch item {
	case itemRetire:
		return retiring{e}
	case itemReview:
		return reviewing{e}
	}
	audiences := map[string]struct {
		purpose string
		to      []string
	}{
		"2.notify":    {"declared", []string{"team", "stakeholders", "customers", "reviewers"}}, // who reviews is awake then
		"6.request":   {"review", []string{"reviewers"}},
		"13.update":   {"update", []string{"stakeholders"}},
		"13.deployed": {"deployed", []string{"team", "stakeholders"}},
	}
	if a, ok := audiences[item]; ok {
		return sending{e, a.purpose, a.to}
	}
	return nil
}

// sending is an action that sends a message to audiences and shows it first.
type sending struct {
	e       *Engine
	purpose string
	to      []string
}

// letter is one message to one channel.
type letter struct{ channel, audience, text string }

// letters renders the message for each channel once, in the words for its first
// audience.
func (s sending) letters(job Job) ([]letter, error) {
	var out []letter
	seen := map[string]bool{}
	for _, a := range s.to {
		text := job.Values["text"]
		if text == "" {
			var err error
			if text, err = s.e.o.Messenger.Render(s.purpose, a, job.Incident, s.e.Now(), map[string]string{"head": s.e.head()}); err != nil {
				return nil, err
			}
		}
		for _, ch := range s.e.o.Messenger.Channels(a) {
			if !seen[ch] {
				seen[ch] = true
				out = append(out, letter{ch, a, text})
			}
		}
	}
	return out, nil
}

// Preview shows the messages and where they go; where they differ, who gets which.
func (s sending) Preview(_ context.Context, job Job) (Preview, error) {
	letters, err := s.letters(job)
	var p Preview
	to, texts := map[string][]string{}, []string{}
	for _, l := range letters {
		p.Commands = append(p.Commands, "send to "+l.channel+" ("+l.audience+")")
		if to[l.text] == nil {
			texts = append(texts, l.text)
		}
		to[l.text] = append(to[l.text], l.channel)
	}
	for _, text := range texts {
		if len(texts) > 1 {
			p.Text += "To " + list(to[text]) + ":\n"
		}
		p.Text += strings.TrimRight(text, "\n") + "\n\n"
	}
	return p, err
}

// Run queues the messages and waits until they were tried, as far as ctx lets it.
func (s sending) Run(ctx context.Context, job Job) (Outcome, error) {
	letters, err := s.letters(job)
	if err != nil {
		return Outcome{}, err
	}
	var facts []state.Fact
	var ids []string
	for _, l := range letters {
		m := s.e.message(s.purpose, l.channel, l.audience, l.text)
		facts, ids = append(facts, m), append(ids, m.ID)
	}
	if len(facts) == 0 {
		return Outcome{}, &state.Problem{Code: "no-channel", What: "no channel takes this message", Why: "the runbook has none for " + list(s.to),
			Do: "Add one under channels, or tell them yourself and override this item with that as the reason."}
	}
	if s.purpose == "update" {
		facts = append(facts, state.UpdatePosted{Status: job.Incident.Status, Text: s.e.o.Redact(state.CleanLines(letters[0].text)), Head: s.e.head()})
	}
	if _, err := s.e.record(s.e.mayday(), facts...); err != nil {
		return Outcome{}, err
	}
	return s.e.delivered(ctx, ids)
}

// deliverTime is how long an action waits for its messages (real time); they stay
// in the outbox beyond that.
const deliverTime = 20 * time.Second

// delivered waits until every message was delivered or given up.
func (e *Engine) delivered(ctx context.Context, ids []string) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, deliverTime)
	defer cancel()
	for {
		changed := e.Changed()
		out := Outcome{}
		waiting, dead := 0, []string{}
		for _, m := range e.Incident().Messages {
			if !contains(ids, m.ID) {
				continue
			}
			switch {
			case !m.Sent.IsZero():
				out.Evidence = append(out.Evidence, state.Evidence{Name: m.Channel, Value: "delivered " + m.Sent.Format(time.TimeOnly) + " as " + m.ID})
			case m.Dead:
				dead = append(dead, m.Channel+": "+m.Err)
			default:
				waiting++
			}
		}
		if len(dead) > 0 {
			return out, &state.Problem{Code: "undelivered", What: "not delivered to every channel", Why: list(dead), Do: "Tell them another way, then override this item, or run it again."}
		}
		if waiting == 0 {
			out.Summary = fmt.Sprintf("delivered to %d", len(out.Evidence))
			return out, nil
		}
		select {
		case <-ctx.Done():
			return out, &state.Problem{Code: "undelivered", What: fmt.Sprintf("%d of %d messages wait in the outbox", waiting, len(ids)),
				Do: "They are tried again by themselves; run this again to see, or tell them another way."}
		case <-changed:
		}
	}
}

func (e *Engine) opened(_ context.Context, job Job) (Outcome, error) {
	in := job.Incident
	return Outcome{Summary: in.ID, Evidence: []state.Evidence{{Name: "incident", Value: in.ID}, {Name: "started", Value: in.Declared.Format(time.RFC3339)},
		{Name: "update every", Value: in.Policy.Update.String()}, {Name: "escalation levels", Value: fmt.Sprint(len(in.Levels))}}}, nil
}

// roles gives the commander's role to the rota's first, else to who declared, and the
// driver's to who declared. Whoever has one keeps it, also if they got it just now.
func (e *Engine) roles(context.Context, Job) (Outcome, error) {
	for {
		in := e.Incident()
		commander, why := in.Roles[state.Commander], "already set"
		if commander == "" {
			commander, why = e.o.Runbook.Holder(state.Commander), "by the runbook's people"
		}
		if commander == "" {
			commander, why = e.nameOf(in.By.User), "declared the incident"
		}
		driver := in.Roles[state.Driver]
		if driver == "" {
			driver = e.nameOf(in.By.User)
		}
		_, err := e.recordIf(e.mayday(), sameRoles(in), state.RoleAssigned{Role: state.Commander, Person: commander},
			state.RoleAssigned{Role: state.Driver, Person: driver})
		if state.HasCode(err, "overtaken") {
			continue
		}
		if err != nil {
			return Outcome{}, err
		}
		return Outcome{Summary: "commander " + commander + ", driver " + driver,
			Evidence: []state.Evidence{{Name: "commander", Value: commander + " (" + why + ")"}, {Name: "driver", Value: driver}}}, nil
	}
}

// sameRoles refuses what was found for roles that somebody has been given since.
func sameRoles(then *state.Incident) func(*state.Incident) error {
	return func(in *state.Incident) error {
		if !maps.Equal(in.Roles, then.Roles) {
			return &state.Problem{Code: "overtaken", What: "the roles are others by now"}
		}
		return nil
	}
}

// nameOf is an account's person, as the runbook names them; else the account.
func (e *Engine) nameOf(account string) string {
	if p, known := e.o.Runbook.Person(account); known {
		return p.Name
	}
	return account
}

// envOf gives the environment whose checks an item makes.
func (e *Engine) envOf(item string) (runbook.Environment, error) {
	if strings.HasPrefix(item, "8.") {
		return e.environment("8.deploy")
	}
	return e.environment("10.deploy")
}

// paths makes the runbook's HTTP checks.
func (e *Engine) paths(ctx context.Context, job Job) (Outcome, error) {
	env, err := e.envOf(job.Item.ID)
	if err != nil {
		return Outcome{}, err
	}
	if len(env.Checks) == 0 {
		return Outcome{}, &state.Problem{Code: "config", What: "the runbook names no critical paths for " + env.Name,
			Do: "Try them by hand and override this item with what you saw."}
	}
	return e.checks(ctx, job, env, env.Checks)
}

func (e *Engine) checks(ctx context.Context, job Job, env runbook.Environment, checks []runbook.Check) (Outcome, error) {
	var out Outcome
	var failed []string
	for _, c := range checks {
		text, err := e.o.Checker.Check(ctx, env, c)
		if err != nil {
			text = e.clean(err.Error())
			failed = append(failed, c.Name+" ("+text+")")
		}
		out.Evidence = append(out.Evidence, state.Evidence{Name: c.Name, Value: state.Clean(text)})
		fmt.Fprintf(job.Output, "%s: %s\n", c.Name, text)
	}
	out.Summary = fmt.Sprintf("%d of %d", len(checks)-len(failed), len(checks))
	if len(failed) > 0 {
		return out, &state.Problem{Code: "check-failed", What: out.Summary + " checks of " + env.Name + " pass", Why: "failed: " + list(failed),
			Do: "Look at the output; run it again, or roll back with R."}
	}
	return out, nil
}

// fixed checks that the original issue is gone.
func (e *Engine) fixed(ctx context.Context, job Job) (Outcome, error) {
	env, err := e.envOf(job.Item.ID)
	if err != nil {
		return Outcome{}, err
	}
	if env.Fixed == nil {
		return Outcome{}, &state.Problem{Code: "config", What: "the runbook has no check that the issue is gone (fixed)",
			Do: "Try it by hand and override this item with what you saw."}
	}
	return e.checks(ctx, job, env, []runbook.Check{*env.Fixed})
}

func (e *Engine) stagingHealthy(ctx context.Context, job Job) (Outcome, error) {
	r := planned(job.Incident, "8.deploy")
	var out Outcome
	if r != nil && r.Status != state.RolloutDone {
		return out, &state.Problem{What: "the deployment to staging has not ended well", Why: "it is " + string(r.Status), Do: "Run 8.deploy again."}
	}
	if r != nil {
		s, err := e.strategy(r.Strategy)
		if err != nil {
			return out, err
		}
		lines, err := s.Look(ctx, r.Plan)
		if err != nil {
			return out, fmt.Errorf("look at staging: %w", err)
		}
		for i, l := range lines {
			out.Evidence = append(out.Evidence, state.Evidence{Name: fmt.Sprintf("object %d", i+1), Value: state.Clean(l)})
		}
	}
	fixed, err := e.fixed(ctx, job)
	out.Evidence = append(out.Evidence, fixed.Evidence...)
	if err == nil {
		out.Summary = "healthy, issue gone"
	}
	return out, err
}

// validated is the immediate validation after the deployment.
func (e *Engine) validated(ctx context.Context, job Job) (Outcome, error) {
	out, err := e.paths(ctx, job)
	if err != nil {
		return out, err
	}
	fixed, err := e.fixed(ctx, job)
	out.Evidence = append(out.Evidence, fixed.Evidence...)
	if err == nil {
		out.Summary += ", issue gone"
	}
	return out, err
}
