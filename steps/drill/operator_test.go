package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// keeper is a pretended keeper: it journals what intents ask for at once, and lets
// the world of a scenario happen.
type keeper struct {
	mu       sync.Mutex // held in do, and by what the world does later
	t        *testing.T
	scenario string
	in       *state.Incident
	events   []state.Event
	frames   chan state.Frame
	user     string
	asked    []state.Intent             // in order
	failing  map[string]int             // items that fail so often
	refuse   map[string]bool            // items whose runs are refused
	mute     map[string]bool            // items that start and never end
	world    func(k *keeper, id string) // what else an item brings about
}

func newKeeper(t *testing.T, scenario string) *keeper {
	k := &keeper{t: t, scenario: scenario, in: new(state.Incident), frames: make(chan state.Frame, 4096), user: "ops",
		failing: map[string]int{}, refuse: map[string]bool{}, mute: map[string]bool{}}
	rb := &runbook.Runbook{Tracker: "x", WarRoom: "y", Commands: map[string]runbook.Command{"fix": {}, "focused": {}, "smoke": {}},
		Environments: map[string]runbook.Environment{"production": {Production: true, Canary: &runbook.Canary{}, Rolling: &runbook.Rolling{}, Strategy: "rolling"}}}
	policy := state.DefaultPolicy(1)
	policy.Monitor = minutes(20)
	k.record("ops", state.Declared{ID: "INC-1", Severity: 1, Steps: steps.Catalogue(rb), Policy: policy,
		Probes: []state.Probe{{Name: latencyProbe, Role: state.RoleAll}, {Name: "error rate new", Role: state.RoleNew}}})
	k.record(state.Mayday, state.LevelPaged{Role: state.OnCall, AtOnce: true})
	k.autos()
	return k
}

func (k *keeper) record(user string, facts ...state.Fact) uint64 {
	for _, f := range facts {
		e := state.Event{Seq: k.in.Seq + 1, Time: time.Now(), Actor: state.Actor{User: user}, Fact: f}
		if err := k.in.Apply(e); err != nil {
			k.t.Fatal(err)
		}
		k.events = append(k.events, e)
		k.frames <- state.Frame{Event: &e}
	}
	return k.in.Seq
}

// As gives the same keeper in another name.
func (k *keeper) As(user string) Doer {
	return doer(func(i state.Intent) (state.Answer, error) { return k.do(user, i) })
}

type doer func(state.Intent) (state.Answer, error)

func (d doer) Do(_ context.Context, i state.Intent) (state.Answer, error) { return d(i) }

// Do answers in the operator's name.
func (k *keeper) Do(_ context.Context, i state.Intent) (state.Answer, error) { return k.do(k.user, i) }

func (k *keeper) do(user string, intent state.Intent) (state.Answer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.asked = append(k.asked, intent)
	var seq uint64
	switch v := intent.(type) {
	case state.Ack:
		seq = k.record(user, state.LevelAcked(v))
	case state.Tick:
		it := k.in.Item(v.Item)
		if it.Ask != "" && v.Value == "" || len(it.Options) > 0 && !slices.Contains(it.Options, v.Value) {
			return state.Answer{}, &state.Problem{What: "not an answer: " + v.Item}
		}
		seq = k.record(user, state.ItemChecked(v))
	case state.Decide:
		seq = k.record(user, state.ItemChecked{Item: "1.decision", Value: v.Choice}, state.DecisionMade(v))
	case state.Sign:
		if user == k.user {
			return state.Answer{}, &state.Problem{Code: "own-change", What: "own change"}
		}
		seq = k.record(user, state.ItemSigned{Item: v.Item})
	case state.Resolve:
		seq = k.record(user, state.ItemChecked{Item: "18.cause"}, state.IncidentResolved{RootCause: v.RootCause})
	case state.DraftUpdate:
		return state.Answer{Text: "update"}, nil
	case state.PostUpdate:
		seq = k.record(user, state.UpdatePosted{Text: v.Text})
	case state.Run:
		if k.refuse[v.Item] {
			return state.Answer{}, &state.Problem{Code: "config", What: "refused for ever"}
		}
		seq = k.run(user, v.Item)
	case state.GoOn:
		seq = k.record(user, state.RolloutResumed{Rollout: "r1", Accept: v.Accept})
	case state.Fire:
		k.rollback(user)
	case state.Arm:
		k.record(user, state.RollbackPrimed{Deadline: time.Now().Add(3 * time.Second), Trigger: v.Trigger})
	default:
		k.t.Errorf("the operator sent %T", v)
	}
	k.autos()
	return state.Answer{Seq: seq}, nil
}

// run starts an item and, unless it is mute, ends it.
func (k *keeper) run(user, id string) uint64 {
	if it := k.in.Item(id); k.in.Blocker(it) != nil || it.Status == state.ItemRunning {
		k.t.Errorf("%s was run while it cannot", id)
	}
	seq := k.record(user, state.ItemStarted{Item: id})
	if k.world != nil {
		k.world(k, id)
	}
	switch {
	case k.mute[id]:
	case k.failing[id] > 0:
		k.failing[id]--
		k.record(user, state.ItemFinished{Item: id, Outcome: state.ItemFailed, Problem: &state.Problem{What: "no luck"}})
	default:
		k.record(user, state.ItemFinished{Item: id, Outcome: state.ItemDone})
	}
	return seq
}

func (k *keeper) autos() {
	for i := range k.in.Steps {
		for j := range k.in.Steps[i].Items {
			if it := &k.in.Steps[i].Items[j]; it.Auto && it.Status == state.ItemOpen && k.in.Blocker(it) == nil {
				k.run(state.Mayday, it.ID)
			}
		}
	}
}

// later does something in the world after a time.
func (k *keeper) later(d time.Duration, f func()) {
	time.AfterFunc(d, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		f()
	})
}

// deploy lays and starts a rollout in production.
func (k *keeper) deploy() {
	k.record(k.user, state.RolloutLaid{Item: "10.deploy", Plan: state.Plan{ID: "r1", Production: true, Target: Broken, Stages: []state.Stage{{Name: "canary 25 %", Weight: 25}}}},
		state.RolloutStarted{Rollout: "r1", Item: "10.deploy"}, state.StageStarted{Rollout: "r1"})
}

func (k *keeper) rollback(by string) {
	k.record(by, state.RollbackStarted{Rollout: "r1", Target: Broken, Epoch: 1, Trigger: "x"},
		state.RollbackFinished{Done: true, Verified: "v1.2.3 answered 50 of 50"}, state.AttemptClosed{N: k.in.Attempt, Outcome: "rolled back"})
}

// play runs the operator against the keeper, in a bubble of time.
func play(t *testing.T, k *keeper) (Outcome, error) {
	t.Helper()
	s, err := Find(k.scenario)
	if err != nil {
		t.Fatal(err)
	}
	o := &Operator{Scenario: s, Team: k, Frames: k.frames}
	return o.Run(t.Context())
}

func TestOperatorWalksAllSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, "good")
		k.failing["5.focused"] = 1 // and is run again
		out, err := play(t, k)
		if err != nil || out.Code != 0 {
			t.Fatalf("%+v, %v", out, err)
		}
		if k.in.Done() != 18 {
			for _, s := range k.in.Steps {
				t.Logf("%d %s", s.No, s.Status())
			}
			t.Errorf("%d of 18 steps are done", k.in.Done())
		}
		if it := k.in.Item("6.signoff"); it.By != Reviewer {
			t.Errorf("signed by %q", it.By)
		}
		if k.in.Item("9.strategy").Value != "canary" {
			t.Errorf("strategy %q", k.in.Item("9.strategy").Value)
		}
		if k.in.Levels[0].Acked.IsZero() {
			t.Error("the page was not answered")
		}
		s, _ := Find("good")
		if got := Score(k.in, k.events, s); !got.Passed || got.Done != 18 || got.MissedUpd+got.MissedEsc+got.Overridden != 0 || got.Outcome != "resolved" {
			t.Errorf("score %+v", got)
		}
	})
}

// An answer travels behind the frames: the operator must read them while it waits.
func TestOperatorReadsWhileItAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, "good")
		backlog := k.frames
		close(backlog)
		k.frames = make(chan state.Frame) // from here on nothing is recorded that is not read
		k.mu.Lock()
		go func() {
			defer k.mu.Unlock()
			for f := range backlog {
				k.frames <- f
			}
		}()
		out, err := play(t, k)
		if err != nil || out.Code != 0 {
			t.Fatalf("%+v, %v", out, err)
		}
	})
}

// A machine that stood still makes a gate ask where the scenario does not want it:
// the operator looks again when there is something to see.
func TestOperatorLooksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, "good")
		k.mute["10.deploy"] = true
		k.world = func(k *keeper, id string) {
			if id != "10.deploy" {
				return
			}
			k.deploy()
			judged := func(v state.Verdict) state.ProbeJudged {
				return state.ProbeJudged{Sample: state.Sample{Probe: "error rate new", Verdict: v, At: time.Now()}}
			}
			k.later(10*time.Second, func() {
				k.record(state.Mayday, judged(state.NoData), state.GateDecided{Rollout: "r1", State: state.GateAsking})
			})
			k.later(15*time.Second, func() { k.record(state.Mayday, judged(state.OK)) })
			k.later(40*time.Second, func() {
				k.record(k.user, state.ItemFinished{Item: "10.deploy", Outcome: state.ItemDone}, state.RolloutFinished{Rollout: "r1", Outcome: state.RolloutDone})
				k.autos()
			})
		}
		out, err := play(t, k)
		if err != nil || out.Code != 0 {
			t.Fatalf("%+v, %v", out, err)
		}
		looked := 0
		for _, i := range k.asked {
			if v, ok := i.(state.GoOn); ok {
				looked++
				if v.Accept {
					t.Error("the operator passed a gate on its word")
				}
			}
		}
		if looked != 1 {
			t.Errorf("looked again %d times", looked)
		}
	})
}

// TestOperatorPostsUpdates lets an hour pass in a deployment: updates go out
// before they are due.
func TestOperatorPostsUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, "good")
		k.mute["10.deploy"] = true
		k.world = func(k *keeper, id string) {
			if id != "10.deploy" {
				return
			}
			const beat = 59 * time.Second // the rollout says something before the operator gives up
			for i := range 60 {
				k.later(time.Duration(i)*beat, func() { k.record(state.Mayday, state.NoteAdded{Text: "still going"}) })
			}
			k.later(60*beat, func() {
				k.record(k.user, state.ItemFinished{Item: "10.deploy", Outcome: state.ItemDone})
				k.autos()
			})
		}
		out, err := play(t, k)
		if err != nil || out.Code != 0 {
			t.Fatalf("%+v, %v", out, err)
		}
		if k.in.Updates.Late != 0 || k.in.Updates.Sent < 4 {
			t.Errorf("updates: %+v", k.in.Updates)
		}
	})
}

func TestOperatorWaitsForTheRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, "bad-canary")
		k.mute["10.deploy"] = true
		k.world = func(k *keeper, id string) {
			if id != "10.deploy" {
				return
			}
			k.deploy()
			k.later(20*time.Second, func() {
				k.record(state.Mayday, state.ProbeJudged{Sample: state.Sample{Probe: "error rate new", Verdict: state.Crit, At: time.Now()}})
			})
			k.later(30*time.Second, func() { k.rollback(state.Mayday) })
		}
		out, err := play(t, k)
		if err != nil || out.Code != 3 || !strings.Contains(out.Text, "50 of 50") {
			t.Fatalf("%+v, %v", out, err)
		}
		s, _ := Find("bad-canary")
		if got := Score(k.in, k.events, s); !got.Passed || got.Rollback.D() != 10*time.Second || got.Outcome != "rolled back by a gate" {
			t.Errorf("score %+v", got)
		}
		if good, _ := Find("good"); Score(k.in, k.events, good).Passed {
			t.Error("the good scenario passes with a rollback")
		}
	})
}

func TestOperatorLeavesAnAskingGateAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, "no-data")
		k.mute["10.deploy"] = true
		k.world = func(k *keeper, id string) {
			if id == "10.deploy" {
				k.deploy()
				k.record(state.Mayday, state.GateDecided{Rollout: "r1", State: state.GateAsking, Reasons: []string{"error rate new: no data"}})
			}
		}
		out, err := play(t, k)
		if err != nil || out.Code != 5 || !strings.Contains(out.Text, "no data") {
			t.Fatalf("%+v, %v", out, err)
		}
		for _, i := range k.asked {
			if _, ok := i.(state.GoOn); ok {
				t.Error("the operator let the gate pass")
			}
		}
		s, _ := Find("no-data")
		if got := Score(k.in, k.events, s); !got.Passed {
			t.Errorf("score %+v", got)
		}
	})
}

func TestOperatorPressesR(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, "slow-burn")
		k.mute[state.ItemMonitor] = true
		var warned time.Time
		k.world = func(k *keeper, id string) {
			switch id {
			case "10.deploy":
				k.deploy()
			case state.ItemMonitor:
				k.later(7*time.Minute, func() {
					warned = time.Now()
					k.record(state.Mayday, state.ProbeJudged{Sample: state.Sample{Probe: latencyProbe, Verdict: state.Warn, At: time.Now()}})
				})
			}
		}
		out, err := play(t, k)
		if err != nil || out.Code != 3 {
			t.Fatalf("%+v, %v", out, err)
		}
		if held := k.in.Rollback.Started.Sub(warned); held != watched {
			t.Errorf("R came %s after the warning", held)
		}
		if k.in.Rollback.By != k.user || k.in.Rollback.Trigger == "" {
			t.Errorf("rollback %+v", k.in.Rollback)
		}
		s, _ := Find("slow-burn")
		if got := Score(k.in, k.events, s); !got.Passed || got.Rollback.D() != watched {
			t.Errorf("score %+v", got)
		}
		// The same by a gate is not what the scenario wants.
		in := k.in.Clone()
		in.Rollback.By = state.Mayday
		if Score(in, k.events, s).Passed {
			t.Error("a gate's rollback passes slow-burn")
		}
	})
}

func TestOperatorGivesUp(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*keeper)
		want string
	}{
		"an action that always fails":   {func(k *keeper) { k.failing["8.deploy"] = 99 }, "8.deploy Staging deployment failed 3 times: no luck"},
		"an action that never ends":     {func(k *keeper) { k.mute["7.tag"] = true }, "waiting for 7.tag Annotated tag, which is running"},
		"an action that is refused":     {func(k *keeper) { k.refuse["3.push"] = true }, "refused for ever"},
		"a keeper that says no goodbye": {func(k *keeper) { close(k.frames) }, "the keeper ended"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := newKeeper(t, "good")
				if name != "a keeper that says no goodbye" {
					c.set(k)
				} else {
					for len(k.frames) > 0 {
						<-k.frames
					}
					c.set(k)
				}
				start := time.Now()
				out, err := play(t, k)
				if out.Code != 1 || !strings.Contains(out.Text, c.want) {
					t.Errorf("%+v, %v", out, err)
				}
				if d := time.Since(start); d > 2*time.Minute {
					t.Errorf("gave up after %s", d)
				}
			})
		})
	}
}

func TestOperatorEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s, _ := Find("good")
		o := &Operator{Scenario: s, Team: newKeeper(t, "good"), Frames: make(chan state.Frame)}
		if _, err := o.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestScoreCountsWhatWasMissed(t *testing.T) {
	at := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	in := &state.Incident{}
	var events []state.Event
	add := func(after time.Duration, f state.Fact) {
		e := state.Event{Seq: in.Seq + 1, Time: at.Add(after), Actor: state.Actor{User: "ops"}, Fact: f}
		if err := in.Apply(e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	p := state.Policy{AtOnce: []string{state.OnCall}, Levels: []state.LevelAt{{Role: state.Senior, After: minutes(10)}}, Update: minutes(15)}
	add(0, state.Declared{ID: "INC-1", Policy: p, Steps: []state.Step{{No: 5, Items: []state.Item{{ID: "5.core", Kind: state.Check}}}}})
	add(0, state.LevelPaged{Role: state.OnCall, AtOnce: true})
	add(2*time.Minute, state.LevelAcked{Role: state.OnCall})
	add(3*time.Minute, state.DecisionMade{Choice: "hotfix"})
	add(10*time.Minute, state.LevelPaged{Role: state.Senior})
	add(20*time.Minute, state.UpdatePosted{})
	add(21*time.Minute, state.ItemPassedOver{Item: "5.core", Reason: "no time"})
	add(30*time.Minute, state.StatusChanged{To: state.Monitoring})
	add(40*time.Minute, state.NoteAdded{Text: "an update is overdue"})
	s, _ := Find("good")
	got := Score(in, events, s)
	want := state.Score{Scenario: "good", Outcome: got.Outcome, Acknowledge: minutes(2), Decide: minutes(3), Mitigate: minutes(30),
		MissedUpd: 2, MissedEsc: 1, Overridden: 1, Done: 1}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
