package steps

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// ranksItself lays beside the rig's probe another, of the whole service, that is compared
// by rank with its own time before the rollout, and reads it as often as it says.
func ranksItself(every time.Duration) (with func(*rig, *Options), feed func(*rig) (stop func())) {
	p := runbook.Probe{Name: "latency", Query: "y", Unit: "ms", Role: state.RoleAll, Every: state.Duration(every), Stale: state.Duration(3 * every),
		Compare: runbook.Compare{By: "rank", Alpha: state.RankAlpha, Effect: state.RankEffect}}
	with = func(_ *rig, o *Options) { o.Runbook.Probes = append(o.Runbook.Probes, p) }
	feed = func(r *rig) func() {
		quit, over := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(over)
			for {
				r.Observe([]state.Sample{{Probe: p.Name, At: r.Now(), Got: r.Now(), Value: about(100)(r.Now()), Verdict: state.OK}})
				select {
				case <-quit:
					return
				case <-time.After(every):
				}
			}
		}()
		return func() { close(quit); <-over }
	}
	return with, feed
}

// A rank test with too few readings from before the rollout can never say anything. The
// plan says so before the rollout begins; the gate asks at once, again when told to look
// again, and no more once a person accepts it: not in the stages that follow, and not in
// the monitoring period.
func TestARankTestThatNeverComesIsAcceptedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		with, feed := ranksItself(5 * time.Second)
		r := newRig(t, with)
		defer r.bye()
		defer r.feed(func() (float64, state.Verdict) { return 0, "" })()
		defer feed(r)()
		time.Sleep(42 * time.Second)
		r.deploy()
		asking := func(in *state.Incident) bool {
			return len(in.Rollouts) > 0 && in.Rollouts[0].Status == state.RolloutAsking
		}
		in := r.until("it asks", asking)
		want := "latency is to be compared by rank with before the rollout, of which there are 9 of 20 readings: start in 55s, or its gate will ask"
		if !slices.Contains(in.Rollouts[0].Warnings, want) {
			t.Errorf("the plan's warnings: %q", in.Rollouts[0].Warnings)
		}
		if took := time.Since(in.Rollouts[0].Stages[0].Effected); took > 10*time.Second {
			t.Errorf("it asked only after %s", took)
		}
		r.must(r.do(state.GoOn{}))
		r.until("it looks again", func(in *state.Incident) bool { return in.Rollouts[0].Status == state.RolloutRunning })
		r.until("it asks again", asking)
		r.must(r.do(state.GoOn{Accept: true, Reason: "too early at night for a baseline"}))
		in = r.until("over", func(in *state.Incident) bool {
			return asking(in) || in.Rollouts[0].Status == state.RolloutDone
		})
		if asking(in) {
			t.Fatalf("it asks again: %v", in.Rollouts[0].Gate.Reasons)
		}
		all := r.decisions()
		if last := all[len(all)-1]; last.Stage != 1 || !strings.Contains(list(last.Reasons), "9 readings, 20 are needed (before the rollout), accepted before") {
			t.Errorf("the last decision does not say what it passed over: %+v", last)
		}
		if got := in.Rollouts[0].Uncompared; !slices.Equal(got, []string{"latency"}) {
			t.Errorf("accepted: %q", got)
		}
		again, err := state.Fold(r.journal.all())
		if r.must(err); !slices.Equal(again.Rollouts[0].Uncompared, in.Rollouts[0].Uncompared) {
			t.Errorf("another keeper would know of %q", again.Rollouts[0].Uncompared)
		}
	})
}

// A probe that is asked rarely is compared with as much of its past as the test needs.
func TestARankTestOfARareProbeHasItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		with, feed := ranksItself(30 * time.Second)
		r := newRig(t, with)
		defer r.bye()
		defer r.feed(func() (float64, state.Verdict) { return 0, "" })()
		defer feed(r)()
		time.Sleep(11 * time.Minute)
		r.deploy()
		in := r.until("it runs", func(in *state.Incident) bool {
			return len(in.Rollouts) > 0 && !in.Rollouts[0].Started.IsZero()
		})
		if got := len(in.Windows["latency"][""]); got < state.RankLeast || len(in.Rollouts[0].Warnings) > 0 {
			t.Errorf("%d readings from before the rollout, and %q", got, in.Rollouts[0].Warnings)
		}
		r.until("done", func(in *state.Incident) bool { return in.Rollouts[0].Status == state.RolloutDone })
	})
}
