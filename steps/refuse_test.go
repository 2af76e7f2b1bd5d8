package steps

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

func (r *rig) as(user string, i state.Intent) error {
	_, err := r.Do(context.Background(), state.Actor{User: user}, i)
	return err
}

// commit makes 6.commit say that it made a commit.
func (r *rig) commit(user, hash string) {
	r.t.Helper()
	r.act(itemCommit, func(context.Context, Job) (Outcome, error) {
		return Outcome{Summary: hash, Facts: map[string]string{"commit": hash}}, nil
	})
	r.must(r.as(user, state.Run{Item: itemCommit}))
	r.until("committed", func(in *state.Incident) bool {
		return in.Facts["commit"] == hash && in.Item(itemCommit).Status == state.ItemDone
	})
}

func (r *rig) atReview() {
	r.t.Helper()
	for _, id := range []string{"3.branch", "3.baseline", "1.severity", "4.change", "5.focused"} {
		r.must(r.do(state.PassOver{Item: id, Reason: "test"}))
	}
}

func TestAnApprovalBindsToACommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		r.atReview()
		r.commit("alice", "aaa")
		r.must(r.as("carol", state.Sign{Item: itemSignOff, Commit: "aaa", Comment: "fine"}))
		r.commit("alice", "aaa") // again, nothing new
		if st := r.Incident().Item(itemSignOff).Status; st != state.ItemDone {
			t.Fatalf("the same commit, and the sign-off is %s", st)
		}
		r.commit("bob", "bbb")
		in := r.Incident()
		if it := in.Item(itemSignOff); it.Status != state.ItemOpen || it.By != "" || len(it.Evidence) != 0 {
			t.Fatalf("another commit, and the sign-off is %+v", it)
		}
		if err := r.as("carol", state.Sign{Item: itemSignOff, Commit: "aaa"}); !state.HasCode(err, "moved-on") {
			t.Errorf("signed what she did not see: %v", err)
		}
		for _, author := range []string{"alice", "bob"} {
			if err := r.as(author, state.Sign{Item: itemSignOff}); !state.HasCode(err, "own-change") {
				t.Errorf("%s signed: %v", author, err)
			}
		}
		if answer, err := r.Do(t.Context(), state.Actor{User: "carol"}, state.Sign{Item: itemSignOff, Commit: "bb"}); err != nil || !slices.Equal(answer.Lines, []string{"commit bbb"}) {
			t.Errorf("signed by the beginning of its hash: %v, %v", answer, err)
		}
		r.must(r.as("carol", state.Sign{Item: itemSignOff, Commit: "bbb", Reject: true, Comment: "no test"}))
		if err := shippable(r.Incident(), itemDeploy); !state.HasCode(err, "not-approved") {
			t.Errorf("a rejected change can be deployed: %v", err)
		}
	})
}

func TestWhatIsDeployedIsWhatWasDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(well)()
		r.settle()
		facts := func(kv ...string) {
			r.must(r.Record(state.FactsFound{Facts: map[string]string{kv[0]: kv[1]}}))
		}
		facts("tag", "v1.2.5")
		if err := r.do(state.Run{Item: itemDeploy}); !state.HasCode(err, "old-plan") {
			t.Errorf("an old plan was carried out: %v", err)
		}
		facts("tag", "v1.2.4")
		facts("9.strategy", "rolling")
		if err := r.do(state.Run{Item: itemDeploy}); !state.HasCode(err, "old-plan") {
			t.Errorf("another strategy than chosen: %v", err)
		}
		facts("9.strategy", "canary")
		facts("tag.commit", "someotherone")
		if err := r.do(state.Run{Item: itemDeploy}); !state.HasCode(err, "old-tag") {
			t.Errorf("a tag without the newest commit: %v", err)
		}
		if it := r.Incident().Item(itemDeploy); it.Status != state.ItemOpen {
			t.Errorf("refused, but %s", it.Status)
		}
		facts("tag.commit", "3f9c1d0")
		r.world.mu.Lock()
		r.world.ready = state.NotReady
		r.world.mu.Unlock()
		if err := r.do(state.Run{Item: itemDeploy}); !state.HasCode(err, "not-proven") {
			t.Errorf("deployed without a way back: %v", err)
		}
		r.world.mu.Lock()
		r.world.ready = state.Ready
		r.world.mu.Unlock()
		r.must(r.do(state.Run{Item: itemDeploy}))
		r.until("deployed", func(in *state.Incident) bool { return in.Item(itemDeploy).Status == state.ItemDone })
	})
}

func TestDecidingAgainstAHotfixEndsCleanly(t *testing.T) {
	for _, choice := range []string{"wait", "normal"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.must(r.do(state.Tick{Item: "1.severity", Value: "SEV3"}))
			if err := r.do(state.Decide{Choice: "perhaps"}); err == nil {
				t.Error("perhaps is no decision")
			}
			r.must(r.do(state.Decide{Choice: choice, Rationale: "a workaround exists"}))
			in := r.Incident()
			if in.Open() || in.Status != state.Closed || in.Decision.Choice != choice {
				t.Errorf("%s: %s", choice, in.Status)
			}
			n := len(pagesOf(in))
			time.Sleep(3 * time.Hour)
			if got := len(pagesOf(r.Incident())); got != n {
				t.Errorf("%d pages after the end", got-n)
			}
			for _, i := range []state.Intent{state.Run{Item: "3.baseline"}, state.Resolve{RootCause: "x"}, state.PassOver{Item: "4.change", Reason: "x"}, state.Untick{Item: "1.severity"}} {
				if err := r.do(i); !state.HasCode(err, "closed") {
					t.Errorf("%s after the end: %v", i.Verb(), err)
				}
			}
			r.bye()
		})
	}
}

func TestNobodyEndsItInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(well)()
		if err := r.do(state.Resolve{}); err == nil {
			t.Error("resolved without a cause")
		}
		if err := r.do(state.Resolve{RootCause: "x"}); !state.HasCode(err, "blocked") {
			t.Errorf("resolved before it was merged back: %v", err)
		}
		r.deploy()
		r.holding()
		r.must(r.do(state.PassOver{Item: "17.push", Reason: "test"}))
		for _, i := range []state.Intent{state.Resolve{RootCause: "x"}, state.Decide{Choice: "wait"}, state.NewAttempt{}} {
			if err := r.do(i); err == nil {
				t.Errorf("%s in the middle of a rollout", i.Verb())
			}
		}
		r.world.rollErr = context.DeadlineExceeded
		r.must(r.do(state.Fire{}))
		r.until("failed", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackFailed })
		synctest.Wait()
		if err := r.do(state.Resolve{RootCause: "x"}); err == nil || !strings.Contains(err.Error(), "the rollback failed") {
			t.Errorf("resolved over a failed rollback: %v", err)
		}
		if err := r.do(state.GoOn{}); err == nil {
			t.Error("the rollout goes on after a rollback began")
		}
		r.must(r.do(state.PassOver{Item: itemRollback, Reason: "weights set by hand, v1.2.3 answers"}))
		r.must(r.do(state.Resolve{RootCause: "x"}))
	})
}

func TestOverridesNeedAReasonAndStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		for i, want := range map[state.PassOver]string{
			{Item: "4.change"}:                      "reason",
			{Item: "4.change", Reason: " \x1b[2J "}: "reason",
			{Item: itemDeploy, Reason: "x"}:         "cannot be passed over",
			{Item: itemPlan, Reason: "x"}:           "cannot be passed over",
			{Item: "1.decision", Reason: "x"}:       "cannot be passed over",
			{Item: "99.no", Reason: "x"}:            "no item",
			{Item: "2.open", Reason: "x"}:           "nothing to override",
		} {
			r.until("opened", func(in *state.Incident) bool { return in.Item("2.open").Status == state.ItemDone })
			if err := r.do(i); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v", i, err)
			}
		}
		r.must(r.do(state.PassOver{Item: "1.impact", Reason: "no time"}))
		if err := r.do(state.Untick{Item: "1.impact"}); err == nil {
			t.Error("an override was wiped away")
		}
		if it := r.Incident().Item("1.impact"); it.Status != state.ItemOverridden || it.Value != "no time" {
			t.Errorf("%+v", it)
		}
	})
}

// An action that runs by itself and fails is shown, blocks nobody, is not tried for
// ever, and can be run by hand.
func TestAFailingAutoIsNoLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		n := 0
		slow := func(context.Context, Job) (Outcome, error) { n++; return Outcome{}, context.DeadlineExceeded }
		r.until("looked", func(in *state.Incident) bool { return in.Item("1.state").Status == state.ItemDone })
		r.act("1.state", slow)
		r.must(r.do(state.Run{Item: "1.state"}))
		r.until("failed", func(in *state.Incident) bool { return in.Item("1.state").Status == state.ItemFailed })
		for range 10 {
			r.must(r.do(state.AddNote{Text: "x"}))
		}
		time.Sleep(time.Hour)
		if n != 1 {
			t.Errorf("tried %d times", n)
		}
		r.act("1.state", done)
		r.must(r.do(state.Run{Item: "1.state"}))
		r.until("done", func(in *state.Incident) bool { return in.Item("1.state").Status == state.ItemDone })
	})
}

func TestThePeriodDoesNotEndWellOnIgnorance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		d := &dial{f: well}
		defer r.feed(d.read)()
		r.deploy()
		r.until("deployed", func(in *state.Incident) bool { return in.Item(itemDeploy).Status == state.ItemDone })
		r.must(r.do(state.PassOver{Item: "10.validate", Reason: "test"}))
		r.must(r.Record(state.ProbesLaid{})) // nothing watches any more
		in := r.until("over", func(in *state.Incident) bool {
			st := in.Item(state.ItemMonitor).Status
			return st != state.ItemOpen && st != state.ItemRunning
		})
		if it := in.Item(state.ItemMonitor); it.Status != state.ItemFailed || it.Problem.Code != "not-well" {
			t.Errorf("nobody watched, and the period is %s: %v", it.Status, it.Problem)
		}
	})
}
