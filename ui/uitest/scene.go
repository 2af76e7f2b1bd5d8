package uitest

import (
	"fmt"
	"math"
	"time"

	"mayday/state"
)

// Start is when the incident of the scenes is declared, and Now when they are
// looked at.
var (
	Start = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	Now   = Start.Add(18*time.Minute + 42*time.Second)
)

// Story is an incident being told, event by event.
type Story struct {
	Scene *state.Scene
	at    time.Time
}

// Tell adds a fact at a time after Start, by a person.
func (s *Story) Tell(after time.Duration, user string, f state.Fact) *Story {
	s.at = Start.Add(after)
	e := state.Event{Seq: s.Scene.Incident.Seq + 1, Time: s.at, Actor: state.Actor{User: user, Host: "bastion", PID: 4711, Via: "cockpit"}, Fact: f}
	if err := s.Scene.Fold(state.Frame{Event: &e}); err != nil {
		panic(err)
	}
	return s
}

// Last is how long after Start the last fact came.
func (s *Story) Last() time.Duration { return s.at.Sub(Start) }

const minute = time.Minute

// Canary is an incident 18 minutes old with a canary at 25 %, its gate holding
// for 12 of 30 seconds.
func Canary() *Story {
	s := &Story{Scene: state.NewScene()}
	s.Scene.Hello = state.Hello{Incident: "INC-20261122-01", Grace: 3 * time.Second}
	s.Scene.Journal = state.JournalState{Head: "51ab9c2", Signed: 12}
	s.Tell(0, "alice", state.Declared{ID: "INC-20261122-01", Title: "Payment gateway down", Severity: 1, Service: "shop", Environment: "production",
		Impact: "8 % of logins fail", Policy: state.DefaultPolicy(1), Roles: map[string]string{state.Commander: "alice", state.Driver: "bob", state.Reviewer: "carol"},
		Steps: steps(), Probes: Probes(), Reaction: state.Duration(25 * time.Second)})
	s.prepare()
	s.Tell(17*minute+30*time.Second, "bob", state.ItemStarted{Item: "10.deploy", Run: "10.deploy-1", Commands: []string{"kubectl -n shop patch virtualservice app"}})
	s.Tell(17*minute+30*time.Second, "bob", state.RolloutStarted{Rollout: "r1", Epoch: 1, Item: "10.deploy"})
	s.Tell(17*minute+31*time.Second, "bob", state.StageStarted{Rollout: "r1", Stage: 0})
	s.Tell(17*minute+33*time.Second, state.Mayday, state.StageEffected{Rollout: "r1", Stage: 0, Effect: "seen 9.8 %, 1/1 ready", Seen: 9.8})
	s.Tell(18*minute+28*time.Second, state.Mayday, state.StagePassed{Rollout: "r1", Stage: 0, Text: "60 samples"})
	s.Tell(18*minute+29*time.Second, "bob", state.StageStarted{Rollout: "r1", Stage: 1})
	s.Tell(18*minute+30*time.Second, state.Mayday, state.StageEffected{Rollout: "r1", Stage: 1, Effect: "seen 24.7 %, 3/3 ready", Seen: 24.7})
	s.Tell(18*minute+30*time.Second, state.Mayday, state.GateDecided{Rollout: "r1", Stage: 1, State: state.GateHolding,
		Since: Start.Add(18*minute + 30*time.Second), Hold: state.Duration(30 * time.Second), Reasons: []string{"error rate new 0.42 % < old 8.10 %"}, Judged: Judged()})
	s.Samples()
	return s
}

// Judged are readings as a gate judged them when the canary got its 25 %.
func Judged() []state.Judged {
	at := Start.Add(18*minute + 29*time.Second + 400*time.Millisecond)
	f := func(v float64) *float64 { return &v }
	return []state.Judged{
		{Probe: "error rate new", Query: `sum(rate(errors_total{version="v1.2.4"}[1m])) / sum(rate(requests_total{version="v1.2.4"}[1m]))`, Unit: "ratio", At: at,
			Got: at.Add(300 * time.Millisecond), Value: 0.0042, Verdict: state.OK, Warn: f(0.01), Crit: f(0.05), Consecutive: 3, Answer: "pass",
			Baseline: &state.Baseline{Of: "error rate old now", At: at.Add(-time.Second), Value: 0.081, Verdict: state.Crit}},
		{Probe: "p95 latency", Query: "histogram_quantile(0.95, sum by (le) (rate(seconds_bucket[1m])))", Unit: "s", At: at, Got: at.Add(300 * time.Millisecond), Value: 0.203,
			Verdict: state.OK, Warn: f(0.209), Crit: f(0.25), Consecutive: 3, Answer: "pass", Baseline: &state.Baseline{Of: state.BeforeRollout, At: at.Add(-minute), Value: 0.167, Verdict: state.OK},
			Rank: &state.RankedBy{Ranked: state.Ranked{Now: 24, Old: 60, U: 890, P: 0.021, Effect: 0.62}, Rank: state.Rank{Alpha: state.RankAlpha, Effect: state.RankEffect},
				Verdict: state.OK, Against: state.BeforeRollout}},
		{Probe: "GET /health", Query: "GET https://shop.example.com/health", Unit: "s", At: at, Got: at.Add(300 * time.Millisecond), Value: 0.012, Verdict: state.OK, Text: "200 12ms", Answer: "pass"},
	}
}

// prepare tells steps 1 to 9.
func (s *Story) prepare() {
	s.Tell(1*time.Second, "alice", state.ClientJoined{ID: "c1"})
	s.Tell(40*time.Second, state.Mayday, state.LevelPaged{Role: state.OnCall, Who: "alice", AtOnce: true})
	s.Tell(50*time.Second, "alice", state.LevelAcked{Role: state.OnCall})
	s.Tell(70*time.Second, "alice", state.ItemChecked{Item: "1.impact", Value: "8 % of logins fail since 02:51"})
	s.Tell(130*time.Second, "alice", state.DecisionMade{Choice: "hotfix", Rationale: "no workaround"})
	s.Tell(3*minute, "bob", state.ItemStarted{Item: "3.branch", Run: "3.branch-1", Commands: []string{"git switch -c hotfix/1.2.4 v1.2.3"}})
	s.Tell(3*minute+31*time.Second, "bob", state.ItemFinished{Item: "3.branch", Run: "3.branch-1", Outcome: state.ItemDone, Summary: "hotfix/1.2.4 from v1.2.3",
		Facts: map[string]string{"branch": "hotfix/1.2.4", "baseline": "v1.2.3", "commit": "3f9c1d0"}})
	s.Tell(4*minute, "bob", state.ItemChecked{Item: "4.fix"})
	s.Tell(8*minute, "bob", state.ItemStarted{Item: "5.tests", Run: "5.tests-1", Commands: []string{"go test ./..."}})
	s.Tell(9*minute+55*time.Second, "bob", state.ItemFinished{Item: "5.tests", Run: "5.tests-1", Outcome: state.ItemDone, Summary: "212 passed",
		Evidence: []state.Evidence{{Name: "exit code", Value: "0", File: "output/5.tests-1.log"}}})
	s.Tell(10*minute, "bob", state.ItemPassedOver{Item: "5.security", Reason: "the scanner is down | known"})
	s.Tell(12*minute, "carol", state.ItemSigned{Item: "6.sign", Commit: "3f9c1d0", Comment: "small and right"})
	s.Tell(13*minute, "bob", state.ItemStarted{Item: "7.tag", Run: "7.tag-1", Commands: []string{"git tag -a v1.2.4"}})
	s.Tell(13*minute+22*time.Second, "bob", state.ItemFinished{Item: "7.tag", Run: "7.tag-1", Outcome: state.ItemDone, Summary: "v1.2.4", Facts: map[string]string{"version": "v1.2.4"}})
	s.Tell(14*minute, "alice", state.UpdatePosted{Status: state.Fixing, Text: "A fix is being rolled out.", Head: "51ab9c2"})
	s.Tell(14*minute, state.Mayday, state.MessageQueued{ID: "m1", Channel: "slack", Audience: "stakeholders", Purpose: "update", Text: "A fix is being rolled out."})
	s.Tell(14*minute+1*time.Second, state.Mayday, state.MessageTried{ID: "m1", OK: true, Tries: 2})
	s.Tell(15*minute, "bob", state.RolloutLaid{Item: "9.plan", Plan: Plan()})
	s.Tell(15*minute+1*time.Second, state.Mayday, state.RollbackProven{Rollout: "r1", Proof: state.Proof{Ready: state.Ready, Target: "v1.2.3"}})
	s.Tell(16*minute, state.Mayday, state.Checkpoint{Size: 12, Head: "51ab9c2", Note: "signed"})
}

// RolledBack is Canary, taken back by alice.
func RolledBack() *Story {
	s := RollingBack()
	at := s.Last()
	s.Tell(at+1*time.Second, state.Mayday, state.RollbackOp{Op: "scale", Status: state.ItemDone, Text: "app-canary 0/0"})
	s.Tell(at+2*time.Second, state.Mayday, state.RollbackFinished{Done: true, Verified: "v1.2.3 answered 50 of 50 requests"})
	s.Tell(at+3*time.Second, state.Mayday, state.AttemptClosed{N: 1, Outcome: "rolled back"})
	return s
}

// RollingBack is Canary with a rollback half-way.
func RollingBack() *Story {
	s := Canary()
	at := s.Last()
	s.Tell(at+5*time.Second, "alice", state.RollbackPrimed{Deadline: Start, Trigger: "R"})
	s.Tell(at+8*time.Second, "alice", state.RollbackStarted{Rollout: "r1", Target: "v1.2.3", Epoch: 2, Trigger: "R", Ops: Plan().Inverse})
	s.Tell(at+8*time.Second, state.Mayday, state.RollbackOp{Op: "weight", Status: state.ItemRunning})
	s.Tell(at+9*time.Second, state.Mayday, state.RollbackOp{Op: "weight", Status: state.ItemDone, Text: "100/0"})
	s.Tell(at+9*time.Second, state.Mayday, state.RollbackOp{Op: "scale", Status: state.ItemRunning})
	return s
}

// LeftUndone is RolledBack, but for the cache.
func LeftUndone() *Story {
	s := RollingBack()
	at := s.Last()
	s.Tell(at+1*time.Second, state.Mayday, state.RollbackOp{Op: "scale", Status: state.ItemDone, Text: "app-canary 0/0"})
	s.Tell(at+2*time.Second, state.Mayday, state.RollbackOp{Op: "cache", Title: "cache: ./purge.sh", Status: state.ItemFailed, Text: "no route to host"})
	s.Tell(at+3*time.Second, state.Mayday, state.RollbackFinished{Done: true, Verified: "v1.2.3 answered 50 of 50 requests, cache NOT invalidated",
		Manual: []string{"cd /srv/shop && VERSION=v1.2.4 ./purge.sh"}})
	s.Tell(at+3*time.Second, state.Mayday, state.Warned{Text: "rolled back, but by hand: cd /srv/shop && VERSION=v1.2.4 ./purge.sh", Sticky: true})
	s.Tell(at+4*time.Second, state.Mayday, state.AttemptClosed{N: 1, Outcome: "rolled back"})
	return s
}

// RollbackFailed is Canary with a rollback that did not work.
func RollbackFailed() *Story {
	s := RollingBack()
	at := s.Last()
	s.Tell(at+10*time.Second, state.Mayday, state.RollbackOp{Op: "scale", Status: state.ItemFailed, Text: "the API server does not answer"})
	s.Tell(at+11*time.Second, state.Mayday, state.RollbackFinished{Problem: &state.Problem{What: "the rollback failed", Why: "the API server does not answer",
		Do: "Do the steps below by hand."}, Manual: []string{"kubectl -n shop scale deployment app-canary --replicas=0", "curl -s https://shop/health"}})
	return s
}

// Interrupted is Canary after its keeper died.
func Interrupted() *Story {
	s := Canary()
	return s.Tell(s.Last()+time.Second, "bob", state.KeeperStarted{TookOver: true, From: state.Actor{User: "bob", PID: 4711}})
}

// Resolved is the whole story, well ended.
func Resolved() *Story {
	s := Canary()
	for i := 1; i < 5; i++ {
		if i > 1 {
			s.Tell(s.Last()+time.Second, "bob", state.StageStarted{Rollout: "r1", Stage: i})
			s.Tell(s.Last()+2*time.Second, state.Mayday, state.StageEffected{Rollout: "r1", Stage: i, Effect: "seen", Seen: float64(25 * i)})
		}
		s.Tell(s.Last()+30*time.Second, state.Mayday, state.StagePassed{Rollout: "r1", Stage: i})
	}
	s.Tell(21*minute, state.Mayday, state.RolloutFinished{Rollout: "r1", Outcome: state.RolloutDone})
	s.Tell(21*minute, "bob", state.ItemFinished{Item: "10.deploy", Run: "10.deploy-1", Outcome: state.ItemDone, Summary: "v1.2.4 serves 100 %"})
	s.Tell(22*minute, "alice", state.StatusChanged{To: state.Monitoring})
	s.Tell(23*minute, "alice", state.NoteAdded{Text: "logins are back to <normal> & *quiet*"})
	s.Tell(25*minute, state.Mayday, state.ItemUnneeded{Item: "14.rollback", Why: "not needed, last proof 4 s ago"})
	s.Tell(26*minute, "alice", state.ItemStarted{Item: state.ItemMonitor, Run: "15.watch-1"})
	s.Tell(266*minute, "alice", state.ItemFinished{Item: state.ItemMonitor, Run: "15.watch-1", Outcome: state.ItemDone, Summary: "4 h without an anomaly"})
	s.Tell(269*minute, "bob", state.ItemStarted{Item: "17.merge", Run: "17.merge-1"})
	s.Tell(270*minute, "bob", state.ItemFinished{Item: "17.merge", Run: "17.merge-1", Outcome: state.ItemDone, Summary: "production and develop"})
	s.Tell(280*minute, "alice", state.IncidentResolved{RootCause: "a nil profile in the login handler", ActionItems: []string{"test logins without a profile", "alert on login errors"}})
	return s
}

// Plan is the canary of the scenes.
func Plan() state.Plan {
	p := state.Plan{ID: "r1", Environment: "production", Production: true, Strategy: "canary", Version: "v1.2.4", Target: "v1.2.3", Revision: "app-stable-7d9f",
		Namespace: "shop", Subject: "VirtualService app",
		Inverse: []state.Op{
			{ID: "weight", Title: "all traffic to app-stable", Object: "VirtualService/shop/app", Command: "kubectl -n shop patch virtualservice app --type json -p '[…]'"},
			{ID: "scale", Title: "app-canary to 0 replicas", Object: "Deployment/shop/app-canary", Command: "kubectl -n shop scale deployment app-canary --replicas=0"}}}
	last := 0
	for _, w := range []int{10, 25, 50, 75, 100} {
		p.Stages = append(p.Stages, state.Stage{Name: fmt.Sprintf("canary %d %%", w), Weight: w, Hold: state.Duration(30 * time.Second), Ops: []state.Op{{
			ID: fmt.Sprint("weight-", w), Title: fmt.Sprintf("weight of app-canary %d → %d", last, w), Object: "VirtualService/shop/app",
			Command: fmt.Sprintf("kubectl -n shop patch virtualservice app --type json -p '[{\"op\":\"replace\",\"value\":%d}]'", w),
			Diff:    fmt.Sprintf("- weight: %d\n+ weight: %d", last, w)}}})
		last = w
	}
	return p
}

// Probes are what the scenes watch.
func Probes() []state.Probe {
	f := func(v float64) *float64 { return &v }
	every, stale := state.Duration(2500*time.Millisecond), state.Duration(10*time.Second)
	return []state.Probe{
		{Name: "error rate new", Kind: "prometheus", Unit: "ratio", Warn: f(0.01), Crit: f(0.05), Role: state.RoleNew, Compare: "error rate old", Every: every, StaleAt: stale},
		{Name: "error rate old", Kind: "prometheus", Unit: "ratio", Warn: f(0.01), Crit: f(0.05), Role: state.RoleOld, Every: every, StaleAt: stale},
		{Name: "p95 latency", Kind: "prometheus", Unit: "s", Warn: f(0.209), Role: state.RoleAll, Every: every, StaleAt: stale},
		{Name: "login success", Kind: "prometheus", Unit: "ratio", Warn: f(0.9), Below: true, Role: state.RoleFix, Every: every, StaleAt: stale},
		{Name: "cpu app-canary", Kind: "prometheus", Unit: "ratio", Warn: f(0.8), Role: state.RoleDisplay, Every: every, StaleAt: stale},
		{Name: "db pool wait", Kind: "prometheus", Unit: "", Role: state.RoleDisplay, Every: every, StaleAt: stale},
		{Name: "GET /health", Kind: "http", Unit: "s", Role: state.RoleAll, Critical: true, Every: every, StaleAt: stale},
		{Name: "rollout app", Kind: "rollout", Role: state.RoleDisplay, Every: every, StaleAt: stale},
	}
}

// Samples adds fifteen minutes of readings up to Now.
func (s *Story) Samples() *Story {
	var out []state.Sample
	put := func(p string, age time.Duration, v float64, verdict state.Verdict, text string) {
		at := Now.Add(-age)
		out = append(out, state.Sample{Probe: p, At: at, Got: at, Value: v, Verdict: verdict, Text: text})
	}
	for i := 359; i >= 0; i-- {
		age := time.Duration(i)*2500*time.Millisecond + 2*time.Second
		x := float64(i)
		if age < 75*time.Second {
			put("error rate new", age, 0.0042+0.001*math.Sin(x/3), state.OK, "")
		}
		put("error rate old", age, 0.081+0.006*math.Sin(x/9), state.Crit, "")
		put("p95 latency", age, 0.181+0.01*math.Sin(x/17), state.OK, "")
		put("login success", age, 0.932-x/20000, state.OK, "")
		put("cpu app-canary", age, 0.41-x/1000, state.OK, "")
		if age > 40*time.Second {
			put("db pool wait", age, 2, state.OK, "")
		}
		put("GET /health", age, 0.012+0.002*math.Sin(x/5), state.OK, "200 12ms")
		put("rollout app", age, 1, state.OK, "3/3 ready")
	}
	if err := s.Scene.Fold(state.Frame{Samples: out}); err != nil {
		panic(err)
	}
	return s
}

func steps() []state.Step {
	titles := []string{"Assess and triage", "Incident set-up", "Branch and environment", "Rapid development", "Accelerated testing", "Fast-track review",
		"Version and tag", "Staging and validation", "Production strategy", "Production deployment", "Real-time monitoring", "Post-deployment validation",
		"Communication", "Rollback", "Monitoring period", "Incident report", "Merge back", "Post-incident"}
	items := map[int][]state.Item{
		1: {{ID: "1.impact", Kind: state.Check, Title: "user impact", Ask: "Who is hurt?"}}, 3: {{ID: "3.branch", Kind: state.Action, Title: "hotfix branch"}},
		4: {{ID: "4.fix", Kind: state.Check, Title: "only the critical issue"}},
		5: {{ID: "5.tests", Kind: state.Action, Title: "focused tests"}, {ID: "5.security", Kind: state.Action, Title: "security tests"}},
		6: {{ID: "6.sign", Kind: state.SignOff, Title: "senior reviewer"}}, 7: {{ID: "7.tag", Kind: state.Action, Title: "annotated tag"}},
		9: {{ID: "9.plan", Kind: state.Action, Title: "rollback plan proven"}}, 10: {{ID: "10.deploy", Kind: state.Action, Title: "production deployment", Changes: true}},
		14: {{ID: "14.rollback", Kind: state.Action, Title: "rollback"}}, 15: {{ID: state.ItemMonitor, Kind: state.Action, Title: "monitoring period"}},
		17: {{ID: "17.merge", Kind: state.Action, Title: "merge back"}},
	}
	var out []state.Step
	for i, title := range titles {
		out = append(out, state.Step{No: i + 1, Title: title, Items: items[i+1]})
	}
	return out
}
