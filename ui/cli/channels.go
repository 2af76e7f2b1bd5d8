package cli

import (
	"context"
	"os"
	"strings"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/comms"
	"mayday/steps/comms/github"
	"mayday/steps/comms/hook"
	"mayday/steps/comms/jira"
	"mayday/steps/comms/mail"
	"mayday/steps/comms/pagerduty"
	"mayday/steps/comms/shout"
	"mayday/steps/comms/slack"
	"mayday/steps/comms/statuspage"
	"mayday/steps/comms/teams"
	"mayday/steps/comms/webhook"
	"mayday/steps/shell"
)

// maxPrinted bounds what is kept of what a channel's command prints.
const maxPrinted = 64 << 10

// channels wires the kinds of channels.
func channels() map[string]comms.Make {
	return map[string]comms.Make{
		webhook.Kind: webhook.New, slack.Kind: slack.New, teams.Kind: teams.New, mail.Kind: mail.New, pagerduty.Kind: pagerduty.New,
		statuspage.Kind: statuspage.New, shout.Kind: shout.New, hook.Kind: hook.New(tellBy),
	}
}

// trackers wires the kinds of trackers.
func trackers() map[string]comms.MakeTracker {
	return map[string]comms.MakeTracker{github.Kind: github.New, jira.Kind: jira.New, hook.Kind: hook.NewTracker(tellBy)}
}

// tellBy runs the command of a channel.
func tellBy(ctx context.Context, c runbook.Command, env []string) (hook.Result, error) {
	for name, value := range c.Env {
		env = append(env, name+"="+value)
	}
	res, err := shell.Run(ctx, shell.Spec{Args: c.Run, Dir: c.Dir, Env: env, Timeout: c.Timeout.D(), Keep: maxPrinted, Redact: shell.NewRedactor(shell.EnvSecrets(os.Environ())...)})
	if state.HasCode(err, "exit") {
		err = nil // how it ended is said by its code
	}
	return hook.Result{Exit: res.Exit, Said: strings.Join(res.Last, " "), Printed: string(res.Stdout)}, err
}
