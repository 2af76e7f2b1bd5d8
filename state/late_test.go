package state_test

import (
	"testing"
	"time"

	"mayday/state"
)

// rolledBack is an incident whose production rollout was taken back while it ran.
func rolledBack(t *testing.T) *state.Incident {
	return open(t, state.RolloutLaid{Plan: plan(), Item: "10.a"}, state.ItemStarted{Item: "10.a", Run: "10.a-3"},
		state.RolloutStarted{Rollout: "r1", Item: "10.a"}, state.StageStarted{Rollout: "r1"},
		state.RollbackStarted{Rollout: "r1", Target: "v1.2.3", Epoch: 1},
		state.RollbackFinished{Done: true, Verified: "v1.2.3 answers"},
		state.ItemFinished{Item: "10.a", Run: "10.a-3", Outcome: state.ItemCancelled},
		state.AttemptClosed{N: 1, Outcome: "rolled back"})
}

// What cancelled work still had to say comes late, and must not undo what is true.
func TestLateWordsOfForwardWorkChangeNothing(t *testing.T) {
	for name, late := range map[string]state.Fact{
		"stopped":  state.RolloutFinished{Rollout: "r1", Outcome: state.RolloutStopped},
		"done":     state.RolloutFinished{Rollout: "r1", Outcome: state.RolloutDone},
		"resumed":  state.RolloutResumed{Rollout: "r1"},
		"gate":     state.GateDecided{Rollout: "r1", State: state.GateAsking},
		"started":  state.StageStarted{Rollout: "r1", Stage: 1},
		"effected": state.StageEffected{Rollout: "r1", Stage: 1, Effect: "seen 100 %"},
		"passed":   state.StagePassed{Rollout: "r1"},
		"item":     state.ItemFinished{Item: "10.a", Run: "10.a-3", Outcome: state.ItemDone, Facts: map[string]string{"tag": "v9"}},
		"closed":   state.AttemptClosed{N: 1, Outcome: "twice"},
	} {
		in := rolledBack(t)
		want := rolledBack(t)
		apply(t, in, late)
		want.Seq, want.Last = in.Seq, in.Last
		if dump(t, in) != dump(t, want) {
			t.Errorf("%s came late and changed the incident", name)
		}
	}
}

func TestForwardWorkIsDeafWhileTheRollbackRuns(t *testing.T) {
	in := open(t, state.RolloutLaid{Plan: plan(), Item: "10.a"}, state.RolloutStarted{Rollout: "r1", Item: "10.a"},
		state.RollbackStarted{Rollout: "r1", Epoch: 1}, state.GateDecided{Rollout: "r1", State: state.GateAsking},
		state.RollbackPrimed{Trigger: "R"}, state.RollbackDisarmed{})
	if in.Rollouts[0].Status != state.RolloutRunning || in.Rollback.Status != state.RollbackRunning {
		t.Errorf("rollout %s, rollback %s", in.Rollouts[0].Status, in.Rollback.Status)
	}
	apply(t, in, state.RollbackFinished{Done: false}, state.RolloutFinished{Rollout: "r1", Outcome: state.RolloutStopped})
	if in.Rollouts[0].Status != state.RolloutStopped {
		t.Errorf("after a failed rollback the rollout is %s", in.Rollouts[0].Status)
	}
}

// An action of attempt 1 that ends after attempt 2 began is not attempt 2's.
func TestARunOfAnEarlierAttemptIsNotThisOnes(t *testing.T) {
	in := open(t, state.ItemStarted{Item: "07.a", Run: "07.a-2"}, state.AttemptClosed{N: 1},
		state.AttemptStarted{N: 2, Steps: steps()[2:15]},
		state.ItemFinished{Item: "07.a", Run: "07.a-2", Outcome: state.ItemDone, Facts: map[string]string{"tag": "v1.2.4"}})
	if it := in.Item("07.a"); it.Status != state.ItemOpen || in.Facts["tag"] != "" {
		t.Errorf("the fresh item is %s, the tag %q", it.Status, in.Facts["tag"])
	}
}

func TestARollbackAfterTheEndOpensTheIncidentAgain(t *testing.T) {
	in := open(t, state.RolloutLaid{Plan: plan(), Item: "10.a"}, state.RolloutStarted{Rollout: "r1"}, state.RolloutFinished{Rollout: "r1", Outcome: state.RolloutDone},
		state.IncidentResolved{RootCause: "nil"}, state.RollbackStarted{Rollout: "r1", Epoch: 1})
	if _, ok := in.NextUpdate(); !in.Open() || !ok {
		t.Error("production is broken again, and no clock runs")
	}
}

func TestAPageByHandMustBeAnsweredAnew(t *testing.T) {
	in := open(t, state.LevelPaged{Role: state.OnCall, AtOnce: true, Late: true}, state.LevelAcked{Role: state.OnCall},
		state.LevelPaged{Role: state.OnCall, AtOnce: true, ByHand: true})
	if l := in.Levels[0]; !l.Acked.IsZero() || !l.Late {
		t.Errorf("%+v", l)
	}
	apply(t, in, state.MessageQueued{ID: "m1", Channel: "a"}, state.MessageQueued{ID: "m1", Channel: "a"})
	if len(in.Messages) != 1 {
		t.Errorf("one message is in the outbox %d times", len(in.Messages))
	}
}

func TestARaisedSeverityIsNotLateByItself(t *testing.T) {
	in := open(t)
	at := t0.Add(40 * time.Minute)
	if err := in.Apply(state.Event{Seq: 2, Time: at, Fact: state.SeverityChanged{To: 0, Policy: state.DefaultPolicy(0)}}); err != nil {
		t.Fatal(err)
	}
	for _, l := range in.Levels {
		if l.Due.Before(at) {
			t.Errorf("%s was due %s before anybody could know", l.Role, at.Sub(l.Due))
		}
	}
}
