package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/spf13/cobra"

	"mayday/state"
)

// shape is the version of what --json prints, in every object's "v". It is raised when
// a field goes away or changes its meaning; new fields do not raise it.
const shape = 1

// result prints what came of a command: fields for machines, a sentence for people.
func (a *app) result(fields map[string]string, text string) error {
	if !a.flags.json {
		_, err := fmt.Fprintln(a.out, text)
		return err
	}
	out := map[string]any{"v": shape}
	for k, v := range maps.All(fields) {
		out[k] = v
	}
	return json.NewEncoder(a.out).Encode(out)
}

// jsonTopic documents the shape: mayday help json.
func jsonTopic() *cobra.Command {
	return &cobra.Command{Use: "json", Short: "What --json prints (a help topic)",
		Long: "With --json each command prints one JSON object on standard output, errors go to standard\n" +
			"error, and the exit code says how it ended. \"v\" is the version of the shape, now 1: a field that\n" +
			"goes away or changes its meaning raises it, a new field does not.\n\n" +
			"  incident create   {v, incident, folder}\n" +
			"  create            {v, incident, branch, baseline}\n" +
			"  deploy            {v, incident, environment, version}\n" +
			"  approve --statement {v, incident, tag, baseline, commit, diff, statement}\n" +
			"  merge-back        {v, incident, merged}\n" +
			"  list              {v, incidents: [{id, title, severity, status, open, drill, declared, steps_done, events, folder, problem}]}\n" +
			"  list --stats      {v, incidents, acknowledged, mitigated, resolved, mtta, mttm, mttr}, means in seconds\n" +
			"  show              {v, id, title, severity, status, open, drill, declared, steps_done, events, folder, problem,\n" +
			"                    roles: {role: person}, levels: [{role, who, due, paged, acked, ack_by, ack_ends, snoozed_until}], update_due,\n" +
			"                    not_delivered: [{id, purpose, channel, audience, queued, tries, given_up, error, call}],\n" +
			"                    steps: [{no, title, status, items: [{id, kind, title, status, by, value, summary, evidence, problem}]}],\n" +
			"                    playbook: [{name, from, due, items}], facts}\n" +
			"  drill --list      {v, scenarios: [{name, title, story, teaches, exit}]}\n" +
			"  drill --auto      events a line, then {v, incident, score, points, answers, outcome, exit, steps}\n" +
			"  drill --trend     {v, drills: [{incident, declared, auto, speed, points, score}], trends: [{scenario, auto, figure, values, last, before, direction}]}\n" +
			"  incident resolve  {v, done, incident, folder, confirmed, review, review_note, not_invited, report_file, article_file, alerts_file, review_file}\n" +
			"  report            {v, incident, folder, papers: [{name, value, file}]}\n" +
			"  validate          {v, incident, environment, suite, passed, summary, evidence: [{name, value, file}], problem}\n" +
			"  verify            {v, incident, service, environment, duration, worst_case_reaction, worst_case_reaction_by_rank,\n" +
			"                    rollback_to, no_rollback, probes, not_covered, decisions: [{time, state, reasons, readings}], outcome, reasons, exit}\n" +
			"  doctor            {v, runbook, checks: [{name, status, cause, found, why, do}], ok, warnings, failed, exit};\n" +
			"                    status: ok, warning, failed; cause of a failure: configuration, unreachable\n" +
			"  pair              {v, incident, join}: the command to join\n" +
			"  version           {v, version, go, platform, commit}\n" +
			"  all others        {v, done}\n" +
			"  with --dry-run    {v, dry_run, would: [{type, text, channel, kind, for, message}],\n" +
			"                    plan: [{item, title, person, after, commands, text, problem}]}; verify's is its own\n" +
			"  journal cat, incident timeline: an event a line, as the journal keeps it: {seq, time, actor, type, data}"}
}

// span is a flag that takes "15m" and "15 minutes".
type span struct{ d *state.Duration }

func (s span) String() string {
	if s.d == nil || *s.d == 0 {
		return ""
	}
	return s.d.String()
}
func (s span) Set(text string) error { return s.d.UnmarshalText([]byte(text)) }
func (span) Type() string            { return "duration" }

// expected checks an --eta: a duration, or a time of day.
func expected(text string) error {
	if _, err := time.Parse("15:04", text); err == nil || text == "" {
		return nil
	}
	var d state.Duration
	if err := d.UnmarshalText([]byte(text)); err != nil {
		return usage{&state.Problem{What: "--eta " + state.Clean(text) + " is neither a duration nor a time", Do: `Write "15 minutes", 15m or 16:30.`}}
	}
	return nil
}
