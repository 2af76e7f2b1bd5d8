package ui

import (
	"time"

	"github.com/charmbracelet/x/ansi"

	"mayday/state"
	"mayday/ui/uitest"
)

func strip(s string) string { return ansi.Strip(s) }

// early is an incident two minutes old, with an item of every kind still open.
func early() *uitest.Story {
	s := &uitest.Story{Scene: state.NewScene()}
	s.Scene.Hello = state.Hello{Incident: "INC-20261122-01"}
	s.Tell(0, "alice", state.Declared{ID: "INC-20261122-01", Title: "Payment gateway down", Severity: 1, Service: "shop", Environment: "production",
		Policy: state.DefaultPolicy(1), Roles: map[string]string{state.Commander: "alice", state.Driver: "bob", state.Senior: "dora"},
		Steps: earlySteps(), Probes: uitest.Probes()})
	s.Tell(time.Second, "alice", state.ClientJoined{ID: "c1"})
	s.Tell(2*time.Second, state.Mayday, state.LevelPaged{Role: state.OnCall, Who: "alice", AtOnce: true})
	s.Tell(2*time.Second, state.Mayday, state.LevelPaged{Role: state.Manager, Who: "mallory", AtOnce: true})
	s.Tell(3*time.Second, "alice", state.LevelAcked{Role: state.Manager})
	return s
}

func earlySteps() []state.Step {
	check, action := state.Check, state.Action
	items := map[int][]state.Item{
		1: {{ID: "1.state", Kind: action, Title: "Production as it is now", Help: "version, commits, health", Auto: true},
			{ID: "1.impact", Kind: check, Title: "User impact", Ask: "Who is affected, and how?"},
			{ID: "1.severity", Kind: check, Title: "Severity", Ask: "How bad is it?", Options: []string{"SEV0", "SEV1", "SEV2", "SEV3"}},
			{ID: "1.decision", Kind: check, Title: "Hotfix or normal release", Ask: "Is a hotfix needed?", Options: []string{"hotfix", "normal", "wait"}, Needs: []string{"1.severity"}}},
		2:  {{ID: "2.protocol", Kind: check, Title: "Communication protocol agreed", Help: "who talks to whom"}},
		3:  {{ID: "3.branch", Kind: action, Title: "Hotfix branch", Help: "from the baseline", Changes: true}},
		6:  {{ID: "6.commit", Kind: action, Title: "Committed for review", Changes: true}, {ID: "6.signoff", Kind: state.SignOff, Title: "Sign-off"}},
		9:  {{ID: "9.strategy", Kind: check, Title: "Strategy chosen", Ask: "How does it go to production?", Options: []string{"canary", "rolling"}}},
		10: {{ID: "10.deploy", Kind: action, Title: "Production deployment", Changes: true, Needs: []string{"9.strategy"}}},
		13: {{ID: "13.update", Kind: action, Title: "Status update", Changes: true}},
		14: {{ID: "14.rollback", Kind: action, Title: "Rollback"}},
		15: {{ID: state.ItemMonitor, Kind: action, Title: "Production watched", Auto: true, Needs: []string{"10.deploy"}}},
		18: {{ID: "18.cause", Kind: check, Title: "Root cause; incident resolved", Ask: "The root cause, in one sentence"}},
	}
	titles := []string{"Assess and triage", "Incident set-up", "Branch and environment", "Rapid development", "Accelerated testing", "Fast-track review",
		"Version and tag", "Staging and validation", "Production strategy", "Production deployment", "Real-time monitoring", "Post-deployment validation",
		"Communication", "Rollback", "Monitoring period", "Incident report", "Merge back", "Post-incident"}
	var out []state.Step
	for i, t := range titles {
		out = append(out, state.Step{No: i + 1, Title: t, Items: items[i+1]})
	}
	return out
}

// asking is Canary with a gate that does not know.
func asking() *uitest.Story {
	s := uitest.Canary()
	return s.Tell(s.Last()+10*time.Second, state.Mayday, state.GateDecided{Rollout: "r1", Stage: 1, State: state.GateAsking,
		Hold: state.Duration(30 * time.Second), Reasons: []string{"error rate new: no data for 15 s"}})
}
