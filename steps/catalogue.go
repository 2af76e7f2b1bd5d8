package steps

import (
	"slices"

	"mayday/state"
	"mayday/state/runbook"
)

// Catalogue lays the 18 steps down for a runbook. Where the runbook has a command
// for an item, the item is an action; where it has none, a person checks it. The
// items' IDs are stable: journals, tests and wiring use them.
func Catalogue(rb *runbook.Runbook) []state.Step { return catalogue{rb, true}.steps() }

// Opening is the Catalogue of an incident that is just declared, with an issue or
// without: then a person is asked for the ticket.
func Opening(rb *runbook.Runbook, issue string) []state.Step {
	return catalogue{rb, issue != ""}.steps()
}

func (c catalogue) steps() []state.Step {
	return []state.Step{
		{No: 1, Title: "Assess and triage", Items: c.triage()},
		{No: 2, Title: "Incident set-up", Items: c.setUp()},
		{No: 3, Title: "Branch and environment", Items: c.branch()},
		{No: 4, Title: "Rapid development", Items: c.develop()},
		{No: 5, Title: "Accelerated testing", Items: c.test()},
		{No: 6, Title: "Fast-track review", Items: c.review()},
		{No: 7, Title: "Version and tag", Items: c.version()},
		{No: 8, Title: "Staging and validation", Items: c.staging()},
		{No: 9, Title: "Production strategy", Items: c.strategy()},
		{No: 10, Title: "Production deployment", Items: c.production()},
		{No: 11, Title: "Real-time monitoring", Items: c.monitor()},
		{No: 12, Title: "Post-deployment validation", Items: c.validate()},
		{No: 13, Title: "Communication", Items: c.communicate()},
		{No: 14, Title: "Rollback", Items: c.rollback()},
		{No: 15, Title: "Monitoring period", Items: c.watch()},
		{No: 16, Title: "Incident report", Items: c.report()},
		{No: 17, Title: "Merge back", Items: c.mergeBack()},
		{No: 18, Title: "Post-incident", Items: c.after()},
	}
}

// CommandItems says which of the runbook's commands an item runs.
var CommandItems = map[string]string{
	"4.fix": "fix", "5.focused": "focused", "5.security": "security", "8.smoke": "smoke", "10.backup": "backup",
	"10.alerts": "alerts", "10.migration": "migration", "10.config": "config", "12.security": "security-validation",
}

type catalogue struct {
	rb    *runbook.Runbook
	issue bool // the incident names one
}

// has reports whether the runbook has a command of that name.
func (c catalogue) has(name string) bool { _, ok := c.rb.Commands[name]; return ok }

func check(id, title, help string, needs ...string) state.Item {
	return state.Item{ID: id, Kind: state.Check, Title: title, Help: help, Needs: needs}
}

func ask(id, title, question string, needs ...string) state.Item {
	return state.Item{ID: id, Kind: state.Check, Title: title, Ask: question, Needs: needs}
}

// look is an action that only reads.
func look(id, title, help string, needs ...string) state.Item {
	return state.Item{ID: id, Kind: state.Action, Title: title, Help: help, Needs: needs}
}

// change is an action that is confirmed before it runs.
func change(id, title, help string, needs ...string) state.Item {
	return state.Item{ID: id, Kind: state.Action, Title: title, Help: help, Needs: needs, Changes: true}
}

// auto marks an item to run by itself as soon as it can.
func auto(it state.Item) state.Item { it.Auto = true; return it }

// command is an action where the runbook has the command, else a check.
func (c catalogue) command(id, title, byHand string, needs ...string) state.Item {
	name := CommandItems[id]
	if c.has(name) {
		return look(id, title, "runs the runbook's command \""+name+"\"", needs...)
	}
	return check(id, title, byHand, needs...)
}

func (c catalogue) triage() []state.Item {
	severity := ask("1.severity", "Severity", "How bad is it? "+
		"SEV0 "+state.Severity(0).Guidance()+"; SEV1 "+state.Severity(1).Guidance()+
		"; SEV2 "+state.Severity(2).Guidance()+"; SEV3 "+state.Severity(3).Guidance())
	severity.Options = []string{"SEV0", "SEV1", "SEV2", "SEV3"}
	decision := ask("1.decision", "Hotfix or normal release", "Is a hotfix needed, or can it wait for the normal release? In doubt, choose normal.",
		"1.severity")
	decision.Options = []string{"hotfix", "normal", "wait"}
	return []state.Item{
		auto(look("1.state", "Production as it is now", "version, last commits and tags, branches, health")),
		ask("1.affected", "Affected systems", "Which systems are affected?"),
		ask("1.impact", "User impact", "Who is affected, and how?"),
		ask("1.time", "Time sensitivity", "How soon must it be fixed?"),
		ask("1.business", "Business impact", "What does it cost the business?"),
		severity, decision,
	}
}

func (c catalogue) setUp() []state.Item {
	ticket := ask("2.ticket", "Ticket", "The ticket's number or link, or \"none\"")
	switch {
	case c.rb.Tickets != nil:
		ticket = auto(look("2.ticket", "Ticket linked", "the incident's; where it names none, one is made"))
	case c.rb.Tracker != "" && c.issue:
		ticket = auto(look("2.ticket", "Ticket linked", "a link made of the issue and the runbook's tracker"))
	}
	room := ask("2.room", "War room", "Where does everybody talk? A link or a channel")
	if c.rb.WarRoom != "" {
		room = auto(look("2.room", "War room", "the link from the runbook"))
	}
	return []state.Item{
		auto(look("2.open", "Incident opened", "id and start time; the clocks of escalation and updates run")),
		auto(look("2.roles", "Roles", "the commander, by rota or the one who declared")),
		room, ticket,
		change("2.notify", "First notification", "the declaration goes to every channel"),
		ask("2.timeline", "Expected timeline", "When do you expect it fixed?"),
		check("2.protocol", "Communication protocol agreed", "who talks to whom, where, how often"),
	}
}

func (c catalogue) branch() []state.Item {
	return []state.Item{
		look("3.baseline", "Production baseline", "fetches tags and finds the tag that production runs", "1.decision"),
		change("3.branch", "Hotfix branch", "from the baseline", "3.baseline"),
		change("3.push", "Branch pushed", "and verified: local head = remote head", "3.branch"),
	}
}

func (c catalogue) develop() []state.Item {
	var items []state.Item
	if c.has("fix") {
		items = append(items, change("4.fix", "Prepared fix applied", "runs the runbook's command \"fix\"", "3.branch"))
	}
	return append(items,
		look("4.change", "Change within budget", "the diff against the baseline: files, lines, kinds", "3.branch"),
		check("4.critical", "Only the critical issue", "no refactoring, no improvement, nothing unrelated", "3.branch"),
		check("4.patterns", "Well-tested patterns", "existing conventions, nothing new", "3.branch"),
		check("4.logging", "Minimal logging added", "enough to see it work, no more", "3.branch"),
	)
}

func (c catalogue) test() []state.Item {
	return []state.Item{
		c.command("5.focused", "Focused tests", "run the tests around the fix", "4.change"),
		c.command("5.security", "Security tests", "run what security tests there are", "4.change"),
		check("5.core", "Core functionality works", "try it by hand", "4.change"),
		check("5.resolves", "The fix resolves the issue", "reproduce the issue, see it gone", "4.change"),
		check("5.nothing", "Nothing new is broken", "look around the change", "4.change"),
		check("5.flows", "Critical user flows work", "sign in, pay, sign out", "4.change"),
	}
}

func (c catalogue) review() []state.Item {
	how := "mayday approve, from their own account"
	if c.rb.Signers != "" {
		how = "an SSH signature, of what mayday approve --statement prints"
	}
	return []state.Item{
		change("6.commit", "Committed for review", "with the hotfix message; an approval binds to this commit", "4.change", "5.focused"),
		change("6.request", "Review requested", "in the senior reviewers' channel, with a clock", "6.commit"),
		check("6.security", "Reviewed for security", "no new input trusted, nothing leaked", "6.commit"),
		check("6.correct", "Reviewed for correctness", "not for style", "6.commit"),
		{ID: "6.signoff", Kind: state.SignOff, Title: "Sign-off", Needs: []string{"6.commit"},
			Help: "by somebody other than the author: " + how},
	}
}

func (c catalogue) version() []state.Item {
	return []state.Item{
		change("7.version", "Next version", "written into the version files and committed", "6.signoff", "6.commit"),
		change("7.tag", "Annotated tag", "on the version's commit", "7.version"),
		change("7.push", "Branch and tag pushed", "and verified on the remote", "7.tag"),
	}
}

func (c catalogue) staging() []state.Item {
	return []state.Item{
		change("8.deploy", "Staging deployment", "", "7.push"),
		look("8.paths", "Critical paths on staging", "the runbook's HTTP checks", "8.deploy"),
		c.command("8.smoke", "Smoke tests", "run the smoke tests against staging", "8.deploy"),
		look("8.probes", "Staging healthy", "rollout status and the fixed function", "8.deploy"),
	}
}

func (c catalogue) strategy() []state.Item {
	choice := ask("9.strategy", "Strategy chosen", "How does it go to production?", "7.push")
	if p, ok := c.rb.Production(); ok {
		choice.Options = p.Strategies()
	}
	return []state.Item{
		choice,
		look("9.plan", "Plan made", "every change and its exact inverse; nothing happens yet", "9.strategy"),
		look("9.prove", "Plan and rollback proven", "server-side dry run of both directions", "9.plan"),
	}
}

func (c catalogue) production() []state.Item {
	before := []string{"9.prove"}
	return []state.Item{
		c.command("10.backup", "Database backup verified", "taken, fresh, not empty, restorable"),
		look("10.rollback", "Rollback plan proven", "again, just now", before...),
		c.command("10.alerts", "Alerts configured and active", "rules loaded, Alertmanager reachable"),
		look("10.channels", "Channels reachable", "every channel took its last message"),
		check("10.team", "Team standing by", "who is awake, and knows it"),
		c.command("10.migration", "Migration dry run", "or there is no migration"),
		c.command("10.config", "Configuration consistent", "staging and production differ only where they should"),
		change("10.deploy", "Production deployment", "stage by stage, a gate behind each",
			"9.prove", "8.deploy", "8.paths", "8.smoke", "8.probes", "10.backup", "10.rollback", "10.alerts", "10.channels", "10.team", "10.migration", "10.config"),
		look("10.validate", "Immediate validation", "the critical paths and the fixed function in production", "10.deploy"),
	}
}

func (c catalogue) monitor() []state.Item {
	return []state.Item{
		auto(look("11.metrics", "Metrics watched", "every probe gives readings", "10.deploy")),
		auto(look("11.health", "Health endpoints answer", "the HTTP probes", "10.deploy")),
		check("11.logs", "Logs watched", "no new errors in the application's log", "10.deploy"),
		check("11.alerts", "Alert rules quiet", "none fires that did not before", "10.deploy"),
		auto(look("11.triggers", "Automatic rollback armed", "what pulls it, and how fast", "10.deploy")),
	}
}

func (c catalogue) validate() []state.Item {
	items := []state.Item{
		look("12.paths", "Critical paths", "the runbook's HTTP checks, in production", "10.deploy"),
		look("12.fixed", "The fixed function", "the original issue is gone", "10.deploy"),
		c.command("12.security", "Security validation", "the fix holds against the attack it closes", "10.deploy"),
		look("12.performance", "Performance against before", "no reading worse than before the deployment", "10.deploy"),
	}
	if env, ok := c.rb.Production(); ok {
		if names := c.rb.SuitesIn(env.Name); len(names) > 0 {
			items = append(items, look("12.suite", "Validation suites", "runs "+list(names)+" in "+env.Name+", with evidence of each check", "10.deploy"))
		}
	}
	return items
}

func (c catalogue) communicate() []state.Item {
	tracker := check("13.tracker", "Tracker updated", "the ticket says what production runs", "10.deploy")
	if c.rb.Tickets != nil {
		tracker = change("13.tracker", "Tracker updated", "a comment on the ticket says what production runs", "2.ticket", "10.deploy")
	}
	return []state.Item{
		change("13.update", "Status update", "to stakeholders, with the next one's time"),
		change("13.deployed", "Teams told of the deployment", "with the validation's results", "10.deploy"),
		look("13.delivered", "Every message delivered", "the outbox is empty", "13.update", "13.deployed"),
		tracker,
	}
}

func (c catalogue) rollback() []state.Item {
	return []state.Item{
		auto(look("14.rollback", "Rollback", "R takes it back; not needed in a good run", state.ItemMonitor)),
	}
}

func (c catalogue) watch() []state.Item {
	items := []state.Item{
		auto(look(state.ItemMonitor, "Production watched", "for the whole monitoring period; a crit reading rolls back", "10.deploy", "10.validate")),
		check("15.feedback", "User feedback", "what do users say now?", "10.deploy"),
		check("15.tickets", "Ticket volume", "back to normal?", "10.deploy"),
		look("15.fixed", "The original issue is gone", "checked again at the end", state.ItemMonitor),
	}
	if c.spares() {
		old := change(itemRetire, "Old colour scaled down", "on demand, once drain has passed; R then takes a little longer", itemDeploy)
		old.Optional = true
		items = append(items, old)
	}
	return items
}

// spares reports whether production has a strategy that leaves the old version standing.
func (c catalogue) spares() bool {
	p, ok := c.rb.Production()
	return ok && slices.Contains(p.Strategies(), "blue-green")
}

func (c catalogue) report() []state.Item {
	return []state.Item{
		look("16.report", "Report", "report, knowledge-base article and alert-tuning list, made from the journal", state.ItemMonitor),
		ask("16.lessons", "Lessons learned", "What did we learn?", state.ItemMonitor),
		ask("16.improve", "Process improvements", "What do we do differently next time?", state.ItemMonitor),
		check("16.shared", "Shared with the team", "", "16.report"),
	}
}

func (c catalogue) mergeBack() []state.Item {
	return []state.Item{
		change("17.merge", "Merged back", "by the repository's model; never forced", state.ItemMonitor),
		change("17.push", "Pushed", "and verified on the remote", "17.merge"),
		change("17.cleanup", "Hotfix branch deleted", "here and on the remote", "17.push"),
	}
}

func (c catalogue) after() []state.Item {
	return []state.Item{
		change("18.review", "Review meeting", "24 to 48 hours from now, in working hours; the team is told, and invited by mail", state.ItemMonitor),
		ask("18.actions", "Action items", "What, who, by when?", state.ItemMonitor),
		check("18.runbook", "Runbook updated", "what was missing tonight", state.ItemMonitor),
		check("18.procedures", "Emergency procedures updated", "", state.ItemMonitor),
		check("18.alerts", "Monitoring and alerts updated", "so that it is seen earlier: report/alerts.md says where", state.ItemMonitor),
		check("18.prevent", "Preventive measures planned", "tests, monitoring", state.ItemMonitor),
		ask("18.cause", "Root cause; incident resolved", "The root cause, in one sentence", "17.push"),
	}
}
