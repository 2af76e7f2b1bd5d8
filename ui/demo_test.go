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

// release is early, with a last release that R would undo.
func release() *uitest.Story {
	s := early()
	return s.Tell(4*time.Second, state.Mayday, state.ReleaseProven{Proof: state.Proof{Ready: state.Ready, Target: "v1.2.2"},
		Plan: &state.Plan{ID: state.UndoID, Environment: "production", Production: true, Strategy: "last-release", Version: "v1.2.3", Target: "v1.2.2", Revision: "app-6d4",
			Inverse: []state.Op{{ID: "stable", Title: "app-stable back to v1.2.2 (app-6d4)", Command: "kubectl -n shop rollout undo deployment app-stable --to-revision=2"},
				{ID: "verify", Title: "v1.2.2 ready and answering"}}}})
}

// noRelease is early, with a last release that cannot be undone.
func noRelease() *uitest.Story {
	return early().Tell(4*time.Second, state.Mayday, state.ReleaseProven{Proof: state.Proof{Ready: state.NotReady,
		Why: "whether v1.2.2 was ever healthy is not known: Deployment app keeps no revision older than 1, whose end would tell"}})
}

func releaseArmed() *uitest.Story {
	s := release()
	return s.Tell(s.Last()+time.Second, "alice", state.RollbackPrimed{Deadline: uitest.Start.Add(1900 * time.Millisecond), Trigger: "R"})
}

func releaseUndoing() *uitest.Story {
	s := releaseArmed()
	at := s.Last() + 3*time.Second
	s.Tell(at, "alice", state.RollbackStarted{Rollout: state.UndoID, Target: "v1.2.2", Epoch: 1, Trigger: "R", Ops: s.Scene.Incident.Release.Undo.Inverse})
	return s.Tell(at, state.Mayday, state.RollbackOp{Op: "stable", Status: state.ItemRunning})
}

func releaseUndone() *uitest.Story {
	s := releaseUndoing()
	at := s.Last() + time.Second
	s.Tell(at, state.Mayday, state.RollbackOp{Op: "stable", Status: state.ItemDone, Text: "v1.2.2 6/6 ready"})
	s.Tell(at, state.Mayday, state.RollbackFinished{Done: true, Verified: "v1.2.2 answered 50 of 50 requests"})
	return s.Tell(at, state.Mayday, state.AttemptClosed{N: 1, Outcome: "the last release was undone: v1.2.3 back to v1.2.2"})
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
