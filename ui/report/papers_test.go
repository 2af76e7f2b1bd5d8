package report

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode"

	"mayday/state"
	"mayday/ui/uitest"
)

const minute = time.Minute

// judged tells a change of verdict.
func judged(s *uitest.Story, after time.Duration, probe string, v state.Verdict, value float64) {
	at := uitest.Start.Add(after)
	s.Tell(after, state.Mayday, state.ProbeJudged{Sample: state.Sample{Probe: probe, At: at, Got: at, Value: value, Verdict: v}})
}

// troubled is an incident that three probes saw at different times, one of which flapped,
// whose first fix made something else worse, and in which nobody could read one for a
// while. The second half was kept by another process, after a minute without any.
func troubled() *uitest.Story {
	s := &uitest.Story{Scene: state.NewScene()}
	probes := uitest.Probes()
	probes[1].Query = `sum(rate(http_requests_total{code=~"5..",version="v1.2.3"}[1m]))`
	probes[3].Covers, probes[2].Covers = "sessions", "latency"
	probes[0].Reach, probes[0].Reaction = state.Duration(20*time.Second), state.Duration(25*time.Second)
	s.Tell(0, "alice", state.Declared{ID: "INC-20261122-01", Title: "Payment gateway down", Severity: 1, Service: "shop", Environment: "production", Issue: "PROD-2847",
		Impact: "8 % of logins fail", Policy: state.DefaultPolicy(1), Roles: map[string]string{state.Commander: "alice"}, Steps: uitest.Canary().Scene.Incident.Steps,
		Probes: probes, Reaction: state.Duration(25 * time.Second)})
	s.Tell(time.Second, "alice", state.KeeperStarted{})
	judged(s, 2*time.Second, "login success", state.Warn, 0.87)
	judged(s, 2*time.Second, "GET /health", state.OK, 0.012)
	judged(s, 40*time.Second, "error rate old", state.Crit, 0.081)
	s.Tell(50*time.Second, "alice", state.LevelPaged{Role: state.OnCall, Who: "alice", AtOnce: true})
	s.Tell(55*time.Second, "alice", state.LevelAcked{Role: state.OnCall})
	s.Tell(2*minute, "alice", state.ItemChecked{Item: "1.affected", Value: "sign-in of the shop"})
	s.Tell(3*minute, "bob", state.ItemStarted{Item: "3.branch", Run: "3.branch-1", Commands: []string{"git switch -c hotfix/1.2.4 v1.2.3"}})
	s.Tell(3*minute+31*time.Second, "bob", state.ItemFinished{Item: "3.branch", Run: "3.branch-1", Outcome: state.ItemDone,
		Facts: map[string]string{"branch": "hotfix/1.2.4", "baseline": "v1.2.3", "commit": "3f9c1d0", "change.files": "login.go\nlogin_test.go", "change.lines": "14"}})
	for i := range 4 { // cpu flaps
		judged(s, 4*minute+time.Duration(i)*time.Minute, "cpu app-canary", state.Warn, 0.83)
		judged(s, 4*minute+time.Duration(i)*time.Minute+12*time.Second, "cpu app-canary", state.OK, 0.4)
	}
	judged(s, 8*minute+30*time.Second, "rollout app", state.Warn, 0.6) // a blip
	judged(s, 8*minute+50*time.Second, "rollout app", state.OK, 1)
	judged(s, 9*minute, "p95 latency", state.Warn, 0.31)
	judged(s, 9*minute, "db pool wait", state.NoData, 0)
	s.Tell(10*minute, "bob", state.ItemStarted{Item: "5.tests", Run: "5.tests-1", Commands: []string{"go test ./..."}})
	s.Tell(11*minute, "bob", state.ItemFinished{Item: "5.tests", Run: "5.tests-1", Outcome: state.ItemFailed, Problem: &state.Problem{What: "exit code 1", Why: "a test fails"}})
	firstFix(s)
	secondFix(s)
	s.Tell(280*minute, "alice", state.ItemChecked{Item: "16.lessons", Value: "accounts without a profile exist"})
	s.Tell(281*minute, "alice", state.IncidentResolved{RootCause: "a nil profile in the login handler", ActionItems: []string{"test logins without a profile (bob, by 2026-12-01)"}})
	at := uitest.Start.Add(31 * time.Hour)
	s.Tell(281*minute, "alice", state.ReviewPlanned{At: at, Until: at.Add(time.Hour), Zone: "Europe/Berlin", Title: "Review"})
	return s
}

// firstFix is rolled out and taken back.
func firstFix(s *uitest.Story) {
	plan := uitest.Plan()
	s.Tell(15*minute, "bob", state.RolloutLaid{Item: "9.plan", Plan: plan})
	s.Tell(16*minute, "bob", state.RolloutStarted{Rollout: "r1", Epoch: 1, Item: "10.deploy"})
	judged(s, 16*minute+42*time.Second, "error rate new", state.Crit, 0.12)
	s.Tell(16*minute+50*time.Second, state.Mayday, state.GateDecided{Rollout: "r1", State: state.GateWaiting, Judged: []state.Judged{{Probe: "error rate new", Verdict: state.Crit}}})
	s.Tell(17*minute, state.Mayday, state.GateDecided{Rollout: "r1", State: state.GateFailed, Reasons: []string{"error rate new 12 % (should be < 1 %)"}})
	s.Tell(17*minute+1*time.Second, state.Mayday, state.RollbackStarted{Rollout: "r1", Target: "v1.2.3", Epoch: 2, Trigger: "gate: error rate new 12 %", Ops: plan.Inverse})
	s.Tell(17*minute+2*time.Second, state.Mayday, state.RollbackFinished{Done: true, Verified: "v1.2.3 answered 50 of 50 requests"})
	s.Tell(17*minute+2*time.Second, state.Mayday, state.AttemptClosed{N: 1, Outcome: "rolled back"})
	judged(s, 17*minute+30*time.Second, "error rate new", state.NoData, 0)
	s.Tell(20*minute, "alice", state.KeeperStopped{Why: "the cockpit was closed"})
	s.Tell(21*minute, "alice", state.KeeperStarted{})
}

// secondFix helps.
func secondFix(s *uitest.Story) {
	s.Tell(22*minute, "alice", state.AttemptStarted{N: 2})
	plan := uitest.Plan()
	plan.ID, plan.Version = "r2", "v1.2.5"
	s.Tell(25*minute, "bob", state.RolloutLaid{Item: "9.plan", Plan: plan})
	s.Tell(26*minute, "bob", state.RolloutStarted{Rollout: "r2", Epoch: 2, Item: "10.deploy"})
	judged(s, 26*minute+30*time.Second, "error rate new", state.OK, 0.004)
	s.Tell(30*minute, state.Mayday, state.RolloutFinished{Rollout: "r2", Outcome: state.RolloutDone})
	judged(s, 30*minute, "login success", state.OK, 0.991)
	judged(s, 30*minute, "error rate old", state.NoData, 0)
	s.Tell(31*minute, "alice", state.StatusChanged{To: state.Monitoring})
	judged(s, 33*minute, "db pool wait", state.OK, 2)
	judged(s, 40*minute, "GET /health", state.Crit, 4)
	judged(s, 52*minute, "GET /health", state.OK, 0.012)
	judged(s, 60*minute, "p95 latency", state.OK, 0.18)
}

// recorded are samples that go with it: one before the declaration, and one too late.
func recorded(in *state.Incident) *Readings {
	r := NewReadings(in)
	put := func(after time.Duration, past bool, probe string, v state.Verdict, value float64) {
		at := uitest.Start.Add(after)
		got := at
		if past {
			got = uitest.Start.Add(3 * time.Second)
		}
		r.Add(state.Sample{Probe: probe, At: at, Got: got, Value: value, Verdict: v, Past: past})
	}
	put(-14*minute, true, "login success", state.Warn, 0.89)
	put(-13*minute, true, "login success", state.OK, 0.93)
	put(-12*minute, true, "login success", state.Warn, 0.88)
	put(-minute, true, "login success", state.Warn, 0.87)
	put(time.Minute, false, "login success", state.Warn, 0.84)
	put(2*time.Minute, false, "login success", state.Warn, 0.86)
	put(time.Minute, false, "GET /health", state.OK, 0.02)
	put(10*time.Minute, false, "db pool wait", state.NoData, 99)
	put(281*minute-time.Second, false, "GET /health", state.Crit, 60)
	return r
}

func TestPapersGolden(t *testing.T) {
	in, events := troubled().Scene.Incident, troubled().Scene.Events
	uitest.Golden(t, "article.md", string(Article(in, events, recorded(in))))
	uitest.Golden(t, "alerts.md", string(Alerts(in, events, recorded(in))))
	empty := state.NewScene()
	uitest.Golden(t, "article-empty.md", string(Article(empty.Incident, nil, nil)))
	uitest.Golden(t, "alerts-empty.md", string(Alerts(empty.Incident, nil, nil)))
}

// Each suggestion has its figure, and what the trouble itself did is no noise.
func TestAlertsSuggest(t *testing.T) {
	in, events := troubled().Scene.Incident, troubled().Scene.Events
	got := string(Alerts(in, events, recorded(in)))
	for _, want := range []string{
		"The first bad reading was `login success` at 02:48:00, 12m before the declaration",
		"| error rate old | 03:00:40 | 12m40s | 40s after the declaration | crit, 8.1 % (should be &lt; 1 %) |",
		"`login success` was bad 12m before the incident was declared: an alert on it calls that much earlier.",
		"`p95 latency` saw the same trouble 21m after `login success`",
		"`cpu app-canary` flapped: bad 4 times, 48s in all, the longest 12s. `for: 15s` would have kept it quiet.",
		"`GET /health` was crit for 12m and nothing came of it",
		"`db pool wait` could not be read for 23m (1 no-data)", // a minute of the 24 nobody looked
		"`error rate new` turned bad first, after 42s; the rollback began 19s later.",
		"v1.2.5 at 03:26:00: nothing turned bad.",
		"Worst-case reaction of the gates, from a bad event to the rollback: 25s, by `error rate new`",
		"5 of 7 signs of health are watched by no probe (`covers`): health, errors, connections, dependencies, transactions.",
		"| login success | fix | &gt; 90 % | 1×, 28m58s | 28m58s | – | – | 84 % | – |", // 30 minutes but for 2 s before and a minute unwatched
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	for _, no := range []string{"`login success` was crit", "`error rate old` was crit", "`error rate new` was crit", "| 60 s |", "`error rate old` could not", "`error rate new` could not", "| cpu app-canary | 03:04:00", "| rollout app | 03:08:30"} {
		if strings.Contains(got, no) {
			t.Errorf("%q in\n%s", no, got)
		}
	}
}

// The same incident gives the same papers: what is journaled after its end, and what was
// recorded after it, changes nothing.
func TestPapersStay(t *testing.T) {
	s := troubled()
	in, events := s.Scene.Incident.Clone(), s.Scene.Events
	article, alerts := string(Article(in, events, recorded(in))), string(Alerts(in, events, recorded(in)))
	s.Tell(282*minute, state.Mayday, state.ItemFinished{Item: "17.merge", Outcome: state.ItemDone})
	judged(s, 283*minute, "GET /health", state.Crit, 9)
	s.Tell(284*minute, "alice", state.KeeperStopped{})
	in = s.Scene.Incident
	r := recorded(in)
	at := uitest.Start.Add(283 * minute)
	r.Add(state.Sample{Probe: "GET /health", At: at, Got: at, Value: 9, Verdict: state.Crit})
	if got := string(Article(in, s.Scene.Events, r)); got != article {
		t.Errorf("the article became\n%s", got)
	}
	if got := string(Alerts(in, s.Scene.Events, r)); got != alerts {
		t.Errorf("the list became\n%s", got)
	}
}

// A keeper that died without a word was there until the last thing it wrote.
func TestNobodyLookedWhileNobodyKept(t *testing.T) {
	s := &uitest.Story{Scene: state.NewScene()}
	s.Tell(0, "alice", state.Declared{ID: "INC-1", Probes: uitest.Probes()})
	s.Tell(0, "alice", state.KeeperStarted{})
	judged(s, minute, "GET /health", state.Warn, 1)
	s.Tell(3*minute, "alice", state.NoteAdded{Text: "the last word"})
	s.Tell(20*minute, "bob", state.KeeperStarted{TookOver: true})
	judged(s, 21*minute, "GET /health", state.OK, 0.01)
	for _, x := range watch(s.Scene.Incident, s.Scene.Events, nil) {
		sum, longest := total(x.bad)
		if x.probe.Name == "GET /health" && (len(x.bad) != 1 || sum != 3*minute || longest != 3*minute) {
			t.Errorf("bad %d times, %s, the longest %s", len(x.bad), sum, longest)
		}
	}
}

// Hostile text must stay text in these, too.
func TestPapersEscape(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	junk := func() string { return uitest.Junk(r) + "|<script>`*_[x](y)\n# " + uitest.Junk(r) }
	for range 100 {
		s := troubled()
		in := s.Scene.Incident
		in.Title, in.Impact, in.RootCause = junk(), junk(), junk()
		in.Facts["1.affected"], in.Facts["16.lessons"], in.Facts["ticket"], in.Facts["room"] = junk(), junk(), junk(), junk()
		in.ActionItems = []string{junk()}
		s.Tell(s.Last(), state.Mayday, state.ProbeJudged{Sample: state.Sample{Probe: junk(), Verdict: state.Error, Text: junk()}})
		for name, out := range map[string]string{"article": string(Article(in, s.Scene.Events, nil)), "alerts": string(Alerts(in, s.Scene.Events, nil))} {
			for line := range strings.SplitSeq(out, "\n") {
				if strings.ContainsFunc(line, unicode.IsControl) || strings.HasPrefix(line, "# ") && line != strings.Split(out, "\n")[0] {
					t.Fatalf("%s: %q", name, line)
				}
				if outside := code2(line); strings.Contains(outside, "<") {
					t.Fatalf("%s: HTML got through: %q", name, line)
				}
			}
		}
	}
}

// code2 gives what of a line of Markdown is outside of code.
func code2(line string) string {
	parts := strings.Split(strings.ReplaceAll(line, "\\`", ""), "`")
	var out strings.Builder
	for i := 0; i < len(parts); i += 2 {
		out.WriteString(parts[i])
	}
	return out.String()
}
