package rollout

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"mayday/state"
	"mayday/ui/theme"
	"mayday/ui/uitest"
)

func planned() *uitest.Story {
	s := &uitest.Story{Scene: state.NewScene()}
	s.Tell(0, "alice", state.Declared{ID: "INC-1", Title: "x", Policy: state.DefaultPolicy(1), Steps: uitest.Canary().Scene.Incident.Steps})
	return s.Tell(time.Minute, "bob", state.RolloutLaid{Item: "9.plan", Plan: uitest.Plan()})
}

// warned is a plan that somebody else will undo, and a proof with one more such finding.
func warned() *uitest.Story {
	s := planned()
	p := uitest.Plan()
	p.Warnings = []string{"Argo CD (application shop) owns the image of Deployment app-stable and puts it back by itself where self-heal is on. First: argocd app set shop --sync-policy none"}
	s.Tell(time.Minute, "bob", state.RolloutLaid{Item: "9.plan", Plan: p})
	return s.Tell(time.Minute, state.Mayday, state.RollbackProven{Rollout: p.ID, Proof: state.Proof{Ready: state.Ready, Target: "v1.2.3", Checks: []state.Finding{
		{Name: "others", OK: true, Warn: true, Text: p.Warnings[0]}, {Name: "right to patch Deployment app-stable", OK: true, Text: "allowed"},
		{Name: "image of v1.2.3", OK: true, Warn: true, Text: "its pods run 2 images, the tag was moved\x1b[2J"}}}})
}

func rolling() *uitest.Story {
	p := uitest.Plan()
	p.ID, p.Strategy, p.Subject, p.Stages = "r2", "rolling", "Deployment app-stable", nil
	for i := range 40 {
		p.Stages = append(p.Stages, state.Stage{Name: fmt.Sprintf("batch %d of 40", i+1), Hold: state.Duration(time.Minute)})
	}
	s := uitest.Canary()
	s.Tell(s.Last(), "bob", state.RolloutLaid{Item: "10.deploy", Plan: p})
	s.Tell(s.Last(), "bob", state.RolloutStarted{Rollout: "r2", Epoch: 1, Item: "10.deploy"})
	for i := range 7 {
		s.Tell(s.Last(), "bob", state.StageStarted{Rollout: "r2", Stage: i})
		s.Tell(s.Last(), state.Mayday, state.StageEffected{Rollout: "r2", Stage: i, Effect: fmt.Sprintf("%d/40 ready", i+1)})
		if i < 6 {
			s.Tell(s.Last(), state.Mayday, state.StagePassed{Rollout: "r2", Stage: i})
		}
	}
	return s
}

func asking() *uitest.Story {
	s := uitest.Canary()
	return s.Tell(s.Last()+time.Second, state.Mayday, state.GateDecided{Rollout: "r1", Stage: 1, State: state.GateAsking,
		Reasons: []string{"error rate new is no-data for 20 s", "p95 latency is stale"}})
}

// release is an incident before any rollout, with a last release that R would undo.
func release() *uitest.Story {
	s := &uitest.Story{Scene: state.NewScene()}
	s.Tell(0, "alice", state.Declared{ID: "INC-1", Title: "x", Policy: state.DefaultPolicy(1), Steps: uitest.Canary().Scene.Incident.Steps})
	why := "git knows no tag v1.2.2, so nobody can say what it was built from; the image of its ReplicaSet is all there is to go by"
	return s.Tell(15*time.Minute, state.Mayday, state.ReleaseProven{
		Proof: state.Proof{Ready: state.Doubtful, Target: "v1.2.2", Why: why, Checks: []state.Finding{
			{Name: "target v1.2.2", OK: true, Warn: true, Text: why}, {Name: "image of v1.2.2", OK: true, Warn: true, Text: "its tag was moved\x1b[2J"}, {Name: "dry run", OK: true, Text: "ok"}}},
		Plan: &state.Plan{ID: state.UndoID, Environment: "production", Production: true, Strategy: "last-release", Version: "v1.2.3", Target: "v1.2.2",
			Inverse: []state.Op{{ID: "stable", Title: "app-stable back to v1.2.2 (app-6d4)", Object: "Deployment/shop/app-stable", Command: "kubectl -n shop rollout undo deployment app-stable --to-revision=2", Diff: "-v1.2.3\n+v1.2.2"},
				{ID: "verify", Title: "v1.2.2 ready and answering"}}}})
}

// again is a second attempt before its rollout.
func again() *uitest.Story {
	s := uitest.RolledBack()
	s.Tell(s.Last()+time.Second, "bob", state.AttemptStarted{N: 2})
	return s.Tell(s.Last()+time.Second, state.Mayday, release().Scene.Events[1].Fact)
}

func noRelease() *uitest.Story {
	s := release()
	return s.Tell(s.Last(), state.Mayday, state.ReleaseProven{Proof: state.Proof{Ready: state.NotReady,
		Why: "whether v1.2.2 was ever healthy is not known: Deployment app keeps no revision older than 1, whose end would tell"}})
}

func failed() *uitest.Story {
	s := uitest.Canary()
	return s.Tell(s.Last()+time.Second, state.Mayday, state.RolloutFinished{Rollout: "r1", Outcome: state.RolloutFailed,
		Problem: &state.Problem{What: "pods of app-canary do not start", Why: "ImagePullBackOff"}})
}

func armed() *uitest.Story {
	s := uitest.Canary()
	return s.Tell(s.Last()+time.Second, "alice", state.RollbackPrimed{Deadline: uitest.Now, Trigger: "R"})
}

func stories() map[string]*uitest.Story {
	return map[string]*uitest.Story{
		"empty": {Scene: state.NewScene()}, "planned": planned(), "warned": warned(), "canary": uitest.Canary(), "interrupted": uitest.Interrupted(), "asking": asking(),
		"armed": armed(), "rolling": rolling(), "failed": failed(), "rolling-back": uitest.RollingBack(), "rolled-back": uitest.RolledBack(), "left-undone": uitest.LeftUndone(),
		"rollback-failed": uitest.RollbackFailed(), "done": uitest.Resolved(), "release": release(), "no-release": noRelease(),
	}
}

func TestGolden(t *testing.T) {
	th := theme.New(theme.Options{NoColor: true})
	for name, s := range stories() {
		var all []string
		for _, size := range [][2]int{{92, 7}, {92, 22}, {60, 12}} {
			all = append(all, New(th).View(s.Scene, uitest.Now, size[0], size[1], false))
		}
		all = append(all, New(th).Line(s.Scene, uitest.Now, 80))
		uitest.Golden(t, name+".txt", strings.Join(all, "\n"))
	}
	for _, w := range []int{80, 140, 200} {
		uitest.Golden(t, fmt.Sprintf("colour-%d.txt", w), New(theme.New(theme.Options{})).View(uitest.Canary().Scene, uitest.Now, w, 20, true))
	}
}

func TestViewIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for i := range 25 {
		for name, s := range stories() {
			if i > 0 {
				mess(s, r)
			}
			p := New(theme.New(theme.Options{NoColor: i%2 == 0}))
			for range 4 {
				w, h := 1+r.IntN(220), 1+r.IntN(40)
				uitest.Exact(t, name, p.View(s.Scene, uitest.Now, w, h, r.IntN(2) == 0), w, h)
				uitest.Exact(t, name, p.Line(s.Scene, uitest.Now, w), w, 1)
				[]func(){p.Up, p.Down, p.PageUp, p.PageDown, p.Home, p.End}[r.IntN(6)]()
			}
		}
	}
}

// mess changes a scene with hostile text and odd numbers.
func mess(s *uitest.Story, r *rand.Rand) {
	for i := range s.Scene.Incident.Rollouts {
		ro := &s.Scene.Incident.Rollouts[i]
		ro.Strategy, ro.Version, ro.Target, ro.Subject = uitest.Junk(r), uitest.Junk(r), uitest.Junk(r), uitest.Junk(r)
		for j := range ro.Stages {
			st := &ro.Stages[j]
			st.Name, st.Effect, st.Seen, st.Weight = uitest.Junk(r), uitest.Junk(r), r.NormFloat64()*100, r.IntN(250)-50
			st.Ops = []state.Op{{Title: uitest.Junk(r), Command: uitest.Junk(r), Diff: uitest.Junk(r), Object: uitest.Junk(r)}}
		}
		f := r.NormFloat64()
		s.Tell(s.Last(), state.Mayday, state.GateDecided{Rollout: ro.ID, Reasons: []string{uitest.Junk(r)}, Judged: []state.Judged{{Probe: uitest.Junk(r), Label: uitest.Junk(r),
			Query: uitest.Junk(r), Unit: uitest.Junk(r), Value: f, Text: uitest.Junk(r), Crit: &f, Answer: uitest.Junk(r), Verdict: state.Verdict(uitest.Junk(r)),
			At: uitest.Now, Baseline: &state.Baseline{Of: uitest.Junk(r)}, Rank: &state.RankedBy{Against: uitest.Junk(r)}}}})
		ro.Gate.Reasons, ro.Warnings = []string{uitest.Junk(r), uitest.Junk(r)}, []string{uitest.Junk(r)}
		if r.IntN(5) == 0 {
			ro.Stages = nil
		}
	}
	rb := &s.Scene.Incident.Rollback
	rb.Trigger, rb.By, rb.Manual = uitest.Junk(r), uitest.Junk(r), []string{uitest.Junk(r)}
	rb.Proof.Checks = []state.Finding{{Name: uitest.Junk(r), Text: uitest.Junk(r)}, {Name: uitest.Junk(r), Text: uitest.Junk(r), OK: true, Warn: true}}
	for i := range rb.Ops {
		rb.Ops[i].Title, rb.Ops[i].Text, rb.Ops[i].Command = uitest.Junk(r), uitest.Junk(r), uitest.Junk(r)
	}
}

func TestSays(t *testing.T) {
	for name, want := range map[string][]string{
		"empty": {"none yet, it needs first:", "an approval", "not yet"},
		"release": {"R     DOUBTFUL: would undo the last release, v1.2.3 back to v1.2.2, for 3 min", "git knows no tag v1.2.2", "! image of v1.2.2: its tag was moved",
			"$ kubectl -n shop rollout undo deployment app-stable --to-revision=2"},
		"no-release": {"R     would do nothing", "keeps no revision older than 1"},
		"planned":    {"nothing has happened yet: 5 stages", "next canary 10 %", "$ kubectl -n shop patch virtualservice"},
		"warned":     {"nothing has happened yet; mind: Argo CD", "READY", "! image of v1.2.3: its pods run 2 images", "--sync-policy none"},
		"canary": {"10 ✓", "25 ▶ 12/30 s", "100 ○", "v1.2.3 stable 75 %", "v1.2.4 canary 25 % seen 24.7 %, 3/3 ready", "next canary 50 %", "+ weight: 50", "back to v1.2.3 READY, proven 3 min ago",
			"decided 03:18:30  canary 25 % holding", "error rate new  0.42 %  ok", "crit > 5 %  warn > 1 %", "read 03:18:29  pass", "error rate old now 8.1 %"},
		"interrupted":     {"25 ‖ interrupted", "g reads the world again", "interrupted in canary 25 %"},
		"asking":          {"you decide: g goes on, R takes it back", "gate asks", "p95 latency is stale"},
		"armed":           {"rollback armed by alice"},
		"rolling":         {"6 ✓", "batch 7 ▶ 0/60 s", "v1.2.4 new 6 of 40"},
		"failed":          {"failed in canary 25 %: R takes it back", "ImagePullBackOff"},
		"rolling-back":    {"running", "✓ all traffic to app-stable", "1 s", "▶ app-canary to 0 replicas", "verify that v1.2.3 answers"},
		"rolled-back":     {"done 00:03", "verified: v1.2.3 answered 50 of 50 requests"},
		"rollback-failed": {"FAILED", "do this by hand, in this order:", "1. kubectl -n shop scale", "2. curl"},
		"done":            {"done in 03:30", "100 ✓"},
	} {
		out := ansi.Strip(New(theme.New(theme.Options{})).View(stories()[name].Scene, uitest.Now, 110, 40, true))
		for _, s := range want {
			if !strings.Contains(out, s) {
				t.Errorf("%s: no %q in\n%s", name, s, out)
			}
		}
	}
}

func TestANewPlanHidesTheOldRollback(t *testing.T) {
	s := uitest.RolledBack()
	p := uitest.Plan()
	p.ID, p.Version = "r2", "v1.2.5"
	s.Tell(s.Last()+time.Minute, "bob", state.RolloutLaid{Item: "9.plan", Plan: p})
	out := ansi.Strip(New(theme.New(theme.Options{})).View(s.Scene, uitest.Now, 110, 24, true))
	if !strings.Contains(out, "v1.2.5") || strings.Contains(out, "Rollback") {
		t.Errorf("the new plan is not shown:\n%s", out)
	}
}

func BenchmarkView(b *testing.B) {
	s, p := uitest.Canary().Scene, New(theme.New(theme.Options{}))
	for b.Loop() {
		p.View(s, uitest.Now, 200, 40, true)
	}
}

// The second attempt's rollout is what there is to see, not the rollback before it,
// also once its own way back was proven.
func TestNextAttemptIsShown(t *testing.T) {
	s := uitest.RolledBack()
	at := s.Last()
	plan := uitest.Plan()
	plan.ID, plan.Version = "r2", "v1.2.5"
	s.Tell(at+1*time.Second, "bob", state.AttemptStarted{N: 2})
	s.Tell(at+2*time.Second, "bob", state.RolloutLaid{Item: "9.plan", Plan: plan})
	s.Tell(at+3*time.Second, state.Mayday, state.RollbackProven{Rollout: "r2", Proof: state.Proof{Ready: state.Ready, Target: "v1.2.3"}})
	p := New(theme.New(theme.Options{NoColor: true}))
	if out := p.View(s.Scene, uitest.Now, 92, 9, false); !strings.Contains(out, "v1.2.5") || strings.Contains(out, "Rollback to") {
		t.Errorf("planned, but the pane shows:\n%s", out)
	}
	if out := p.View(again().Scene, uitest.Now, 92, 22, false); !strings.Contains(out, "would undo the last release, v1.2.3 back to v1.2.2") {
		t.Errorf("the second attempt does not say what R means before its rollout:\n%s", out)
	}
	s.Tell(at+4*time.Second, "bob", state.RolloutStarted{Rollout: "r2", Epoch: 2, Item: "10.deploy"})
	if out := p.View(s.Scene, uitest.Now, 92, 9, false); !strings.Contains(out, "v1.2.5") || strings.Contains(out, "Rollback to") {
		t.Errorf("under way, but the pane shows:\n%s", out)
	}
}
