package steps

import (
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// TestProvenBehindEachStage: what R would do is proven again as soon as a stage has
// changed where it starts from, not half a minute later.
func TestProvenBehindEachStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(well)()
		r.deploy()
		r.until("deployed", func(in *state.Incident) bool { return in.Item(itemDeploy).Status == state.ItemDone })
		effected, proven := 0, 0
		var at time.Time
		for _, e := range r.journal.all() {
			switch e.Fact.(type) {
			case state.StageEffected:
				effected, at = effected+1, e.Time
			case state.RollbackProven:
				if !at.IsZero() && e.Time.Sub(at) < time.Second {
					proven, at = proven+1, time.Time{}
				}
			}
		}
		if effected != 2 || proven != effected {
			t.Errorf("%d stages took effect, behind %d the way back was proven", effected, proven)
		}
	})
}

// TestAnotherThresholdIsNews: the next keeper reads the runbook anew, and the journal
// must say by what it judges.
func TestAnotherThresholdIsNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.bye()
		history := r.journal.all()
		laid := func(events []state.Event) (n int) {
			for _, e := range events {
				if _, ok := e.Fact.(state.ProbesLaid); ok {
					n++
				}
			}
			return n
		}
		same := newRigOn(t, history)
		same.bye()
		if n := laid(same.journal.all()); n != laid(history) {
			t.Errorf("the same probes were laid again: %d times", n)
		}
		crit := 0.5
		limit := runbook.Limit{Value: crit}
		other := newRigOn(t, history, func(_ *rig, o *Options) { o.Runbook.Probes[0].Crit = &limit })
		in := other.until("the new threshold is known", func(in *state.Incident) bool { return *in.Probes[0].Crit == crit })
		if in.Probes[0].Name != r.probe.Name {
			t.Errorf("%+v", in.Probes)
		}
		other.bye()
	})
}
