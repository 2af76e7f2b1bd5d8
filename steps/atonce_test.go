package steps

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// planner is a world whose plan takes a while, as a cluster's does.
type planner struct {
	*world
	plan func()
}

func (s planner) Plan(ctx context.Context, o Order) (state.Plan, error) {
	s.plan()
	return s.world.Plan(ctx, o)
}

// A plan that is made anew while a colleague begins to roll the last one out does not take
// its place: that rollout would be forgotten, and R with it.
func TestANewPlanDoesNotReplaceARollout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		close(hold)
		r := newRig(t, func(r *rig, o *Options) {
			o.Strategies["canary"] = planner{world: r.world, plan: func() { <-hold }}
		})
		defer r.bye()
		defer r.feed(well)()
		r.settle()
		hold = make(chan struct{})
		r.must(r.do(state.Run{Item: "9.plan"}))
		synctest.Wait()
		r.must(r.do(state.Run{Item: "10.deploy"}))
		synctest.Wait()
		close(hold)
		in := r.until("planned", func(in *state.Incident) bool { return in.Item("9.plan").Status != state.ItemRunning })
		if it := in.Item("9.plan"); it.Status != state.ItemFailed || it.Problem == nil || it.Problem.What != "the rollout of this plan has begun" {
			t.Errorf("the plan is %s: %v", it.Status, it.Problem)
		}
		if own := in.OwnRollout(); own == nil || own.Status != state.RolloutRunning {
			t.Fatalf("the rollout is %+v", own)
		}
		r.until("done", func(in *state.Incident) bool { return in.Rollouts[0].Status == state.RolloutDone })
	})
}

// Two items whose plans are made at the same time do not get one number.
func TestPlansThatAreMadeAtOnce(t *testing.T) {
	in := &state.Incident{Rollouts: []state.Rollout{{Plan: state.Plan{ID: "r1"}, Item: itemStaging}}}
	if err := unnumbered(in, "r1", itemDeploy); !state.HasCode(err, "numbered") {
		t.Errorf("another item's number: %v", err)
	}
	if err := unnumbered(in, "r1", itemStaging); err != nil {
		t.Errorf("its own: %v", err)
	}
	if err := unnumbered(in, "r2", itemDeploy); err != nil {
		t.Errorf("a free one: %v", err)
	}
}

// The next attempt opens when the database has gone back too, not before; and after a
// rollback that failed only on a person's word.
func TestTheNextAttemptWaitsForTheRollback(t *testing.T) {
	in := &state.Incident{ID: "INC-1", Status: state.Identified, Attempt: 1, Closed: []state.Attempt{{}}, Rollback: state.Rollback{Status: state.RollbackRunning},
		Steps: []state.Step{{No: 14, Items: []state.Item{{ID: itemRollback, Status: state.ItemFailed}}}}}
	e := &Engine{}
	if err := e.attemptOver(in); !state.HasCode(err, "rolling-back") {
		t.Errorf("while it runs: %v", err)
	}
	in.Rollback.Status = state.RollbackFailed
	if err := e.attemptOver(in); state.AsProblem(err).What != "the rollback failed" {
		t.Errorf("failed: %v", err)
	}
	in.Steps[0].Items[0].Status = state.ItemOverridden
	if err := e.attemptOver(in); err != nil {
		t.Errorf("made good by hand: %v", err)
	}
	in.Rollback.Status, in.Steps[0].Items[0].Status = state.RollbackDone, state.ItemDone
	if err := e.attemptOver(in); err != nil {
		t.Errorf("done: %v", err)
	}
}

// An answer is for the stage that was read of: a colleague may have answered it, and the
// next stage ask by now.
func TestAnAnswerIsForItsStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(blind)()
		r.deploy()
		asks := func(stage int) func(in *state.Incident) bool {
			return func(in *state.Incident) bool {
				return len(in.Rollouts) > 0 && in.Rollouts[0].Status == state.RolloutAsking && in.Rollouts[0].Stage() == stage
			}
		}
		in := r.until("it asks", asks(0))
		read := state.GoOn{Accept: true, Reason: "dashboard is fine", Stage: in.Rollouts[0].StageName()}
		r.must(r.do(read))
		r.until("the next stage asks", asks(1))
		if err := r.do(read); err == nil {
			t.Error("the next stage's gate was passed by an answer to the first")
		}
		read.Stage = "canary 100 %"
		r.must(r.do(read))
	})
}

// What begins in the moment in which the rollback begins is told to stop like the rest.
func TestWorkThatBeginsWithTheRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		r.settle()
		r.mu.Lock()
		r.rolling = true // the lane is taken, the fold does not know yet
		r.mu.Unlock()
		if err := r.do(state.Run{Item: "9.plan"}); !state.HasCode(err, "rolling-back") {
			t.Errorf("it began: %v", err)
		}
		stopped := make(chan error, 1)
		r.launch(itemDeploy, func(ctx context.Context, _ *work) { stopped <- ctx.Err() })
		if err := <-stopped; err == nil {
			t.Error("it was not told to stop")
		}
		r.mu.Lock()
		r.rolling = false
		r.mu.Unlock()
		time.Sleep(time.Second)
	})
}

// Two people take a page at once: the second is told who has it.
func TestTwoTakeAPageAtOnce(t *testing.T) {
	in := &state.Incident{Levels: []state.Level{{Role: "on-call", Paged: time.Unix(1, 0)}}}
	e := &Engine{o: Options{Runbook: fullRunbook()}}
	if roles, _ := e.acking(in, state.Actor{User: "bob"}, ""); len(roles) != 1 {
		t.Fatalf("nobody has it: %v", roles)
	}
	in.Levels[0].Acked, in.Levels[0].AckBy = time.Unix(2, 0), "alice"
	if roles, other := e.acking(in, state.Actor{User: "bob"}, ""); len(roles) != 0 || other == "" {
		t.Errorf("alice has it: %v %q", roles, other)
	}
}
