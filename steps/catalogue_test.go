package steps

import (
	"testing"

	"mayday/state"
	"mayday/state/runbook"
)

// fullRunbook has every command an item can run.
func fullRunbook() *runbook.Runbook {
	rb := &runbook.Runbook{Service: "shop", Commands: map[string]runbook.Command{}, WarRoom: "https://meet/{incident}", Tracker: "https://t/{issue}",
		Environments: map[string]runbook.Environment{
			"production": {Name: "production", Production: true, Strategy: "canary", Canary: &runbook.Canary{}, Rolling: &runbook.Rolling{}, BlueGreen: &runbook.BlueGreen{}},
			"staging":    {Name: "staging", Strategy: "rolling", Rolling: &runbook.Rolling{}}},
		Gate: defaultGate(), Rollback: runbook.Rollback{Grace: 3e9}}
	for _, name := range []string{"fix", "focused", "security", "smoke", "backup", "alerts", "migration", "config", "security-validation"} {
		rb.Commands[name] = runbook.Command{Run: []string{name}}
	}
	return rb
}

// rows maps every line of the 18 steps to the items that carry it.
var rows = []struct {
	row   string
	items []string
}{
	{"1 production version, health, last commits and tags, branch status", []string{"1.state"}},
	{"1 severity form with guidance", []string{"1.severity"}},
	{"1 hotfix or normal release, with rationale", []string{"1.decision"}},
	{"1 affected systems", []string{"1.affected"}},
	{"1 user impact", []string{"1.impact"}},
	{"1 time sensitivity", []string{"1.time"}},
	{"1 business impact", []string{"1.business"}},
	{"2 id, start time, clocks", []string{"2.open"}},
	{"2 roles", []string{"2.roles"}},
	{"2 war room", []string{"2.room"}},
	{"2 first notification", []string{"2.notify"}},
	{"2 ticket", []string{"2.ticket"}},
	{"2 expected timeline", []string{"2.timeline"}},
	{"2 communication protocol", []string{"2.protocol"}},
	{"3 fetch tags, production tag", []string{"3.baseline"}},
	{"3 branch", []string{"3.branch"}},
	{"3 push and verify", []string{"3.push"}},
	{"4 live diff, budget, dependency and migration changes", []string{"4.change"}},
	{"4 the prepared fix, where there is one", []string{"4.fix"}},
	{"4 only the critical issue", []string{"4.critical"}},
	{"4 well-tested patterns", []string{"4.patterns"}},
	{"4 minimal logging", []string{"4.logging"}},
	{"5 focused tests", []string{"5.focused"}},
	{"5 security tests", []string{"5.security"}},
	{"5 core functionality", []string{"5.core"}},
	{"5 the fix resolves the issue", []string{"5.resolves"}},
	{"5 nothing new broken", []string{"5.nothing"}},
	{"5 critical user flows", []string{"5.flows"}},
	{"6 diff on screen, request to reviewers", []string{"6.commit", "6.request"}},
	{"6 security", []string{"6.security"}},
	{"6 correctness", []string{"6.correct"}},
	{"6 sign-off by somebody else", []string{"6.signoff"}},
	{"7 next version, files, commit", []string{"7.version"}},
	{"7 annotated tag", []string{"7.tag"}},
	{"7 push branch and tag", []string{"7.push"}},
	{"8 deploy to staging", []string{"8.deploy"}},
	{"8 critical-path HTTP checks", []string{"8.paths"}},
	{"8 smoke tests", []string{"8.smoke"}},
	{"8 probes of staging", []string{"8.probes"}},
	{"9 choose", []string{"9.strategy"}},
	{"9 see", []string{"9.plan"}},
	{"9 prove", []string{"9.prove"}},
	{"10 backup taken and verified", []string{"10.backup"}},
	{"10 rollback plan proven", []string{"10.rollback"}},
	{"10 alerts configured and active", []string{"10.alerts"}},
	{"10 channels reachable", []string{"10.channels"}},
	{"10 team standing by", []string{"10.team"}},
	{"10 migration dry run", []string{"10.migration"}},
	{"10 configuration consistency", []string{"10.config"}},
	{"10 production deployment", []string{"10.deploy"}},
	{"10 immediate validation", []string{"10.validate"}},
	{"11 metrics pane", []string{"11.metrics"}},
	{"11 health endpoints", []string{"11.health"}},
	{"11 log tail", []string{"11.logs"}},
	{"11 alert rules", []string{"11.alerts"}},
	{"11 automatic rollback triggers", []string{"11.triggers"}},
	{"12 critical paths", []string{"12.paths"}},
	{"12 the fixed function", []string{"12.fixed"}},
	{"12 security validation", []string{"12.security"}},
	{"12 performance against the baseline", []string{"12.performance"}},
	{"13 update clock, template, send", []string{"13.update"}},
	{"13 teams told of the deployment", []string{"13.deployed"}},
	{"13 delivery state of each message", []string{"13.delivered"}},
	{"13 tracker updated", []string{"13.tracker"}},
	{"14 rollback, or not needed with the last proof", []string{"14.rollback"}},
	{"15 monitoring period", []string{state.ItemMonitor}},
	{"15 user feedback", []string{"15.feedback"}},
	{"15 ticket volume", []string{"15.tickets"}},
	{"15 the original issue is gone", []string{"15.fixed"}},
	{"9 keep the old colour warm; scaled down on demand", []string{"15.old"}},
	{"16 report from the journal", []string{"16.report"}},
	{"16 lessons learned, process improvements", []string{"16.lessons", "16.improve"}},
	{"16 shared with the team", []string{"16.shared"}},
	{"17 merge back by model", []string{"17.merge"}},
	{"17 push", []string{"17.push"}},
	{"17 delete the branch here and on the remote", []string{"17.cleanup"}},
	{"18 review meeting as an invitation", []string{"18.review"}},
	{"18 action items with owner and due date", []string{"18.actions"}},
	{"18 runbook, procedures, alerts updated", []string{"18.runbook", "18.procedures", "18.alerts"}},
	{"18 preventive measures planned", []string{"18.prevent"}},
	{"18 resolved with the root cause", []string{"18.cause"}},
}

func TestEveryRowHasItsItem(t *testing.T) {
	steps := Catalogue(fullRunbook())
	if len(steps) != 18 {
		t.Fatalf("%d steps", len(steps))
	}
	items := map[string]state.Item{}
	for i, s := range steps {
		if s.No != i+1 {
			t.Errorf("step %d has the number %d", i+1, s.No)
		}
		for _, it := range s.Items {
			if _, twice := items[it.ID]; twice {
				t.Errorf("%s stands twice", it.ID)
			}
			items[it.ID] = it
		}
	}
	carried := map[string]bool{}
	for _, r := range rows {
		for _, id := range r.items {
			if _, ok := items[id]; !ok {
				t.Errorf("row %q has no item %s", r.row, id)
			}
			carried[id] = true
		}
	}
	for id, it := range items {
		if !carried[id] {
			t.Errorf("item %s stands for no row", id)
		}
		for _, need := range it.Needs {
			if _, ok := items[need]; !ok {
				t.Errorf("%s needs %s, which does not exist", id, need)
			}
		}
	}
}

// Every action is either the Engine's own, a rollout, a command of the runbook, or
// one that the packages below wire in; a stub cannot hide.
func TestEveryActionHasARunner(t *testing.T) {
	wired := map[string]bool{"1.state": true, "2.room": true, "2.ticket": true, "3.baseline": true, "3.branch": true, "3.push": true, "4.change": true,
		"6.commit": true, "7.version": true, "7.tag": true, "7.push": true, "10.channels": true, "13.delivered": true, "13.tracker": true, "16.report": true,
		"17.merge": true, "17.push": true, "17.cleanup": true}
	commands := map[string]bool{}
	for id := range CommandItems {
		commands[id] = true
	}
	e := &Engine{o: Options{Runbook: fullRunbook()}}
	for _, s := range Catalogue(fullRunbook()) {
		for _, it := range s.Items {
			if it.Kind != state.Action {
				continue
			}
			n := 0
			for _, runs := range []bool{isRollout(it.ID), e.own(it.ID) != nil, wired[it.ID], commands[it.ID]} {
				if runs {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%s has %d runners", it.ID, n)
			}
		}
	}
}

// Without commands the same items are there for a person to check.
func TestItemsWithoutCommandsAreChecks(t *testing.T) {
	rb := fullRunbook()
	rb.Commands = nil
	for _, s := range Catalogue(rb) {
		for _, it := range s.Items {
			if _, ok := CommandItems[it.ID]; ok && it.Kind != state.Check {
				t.Errorf("%s is a %s without its command", it.ID, it.Kind)
			}
		}
	}
}

// What step 9 chose for production in an attempt is not how the next one goes to staging.
func TestChosenStrategyIsForProductionOnly(t *testing.T) {
	in := &state.Incident{Facts: map[string]string{"9.strategy": "canary"}}
	if got := chosen(in, "8.deploy"); got != "" {
		t.Errorf("staging goes by %q, want the runbook's own", got)
	}
	if got := chosen(in, itemDeploy); got != "canary" {
		t.Errorf("production goes by %q", got)
	}
}

// Without an issue there is nothing to link: a person is asked for the ticket.
func TestTicketIsAskedForWithoutAnIssue(t *testing.T) {
	item := func(steps []state.Step) *state.Item {
		in := &state.Incident{Steps: steps}
		return in.Item("2.ticket")
	}
	if it := item(Opening(fullRunbook(), "PROD-2847")); it.Kind != state.Action || !it.Auto {
		t.Errorf("with an issue: %+v", it)
	}
	if it := item(Opening(fullRunbook(), "")); it.Kind != state.Check || it.Ask == "" || it.Auto {
		t.Errorf("without one: %+v", it)
	}
}
