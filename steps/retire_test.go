package steps

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// leaving is a strategy that leaves the old version standing for five minutes.
type leaving struct {
	*world
	retired []string
}

func (l *leaving) Retires(state.Plan) bool { return true }

func (l *leaving) Retire(_ context.Context, p state.Plan, since time.Duration, f Fence, dry bool) ([]string, string, error) {
	if since < 5*time.Minute {
		return nil, "", &state.Problem{Code: "early", What: "connections may be open"}
	}
	if !dry {
		l.retired = append(l.retired, fmt.Sprintf("%s %s/%d after %s", p.ID, f.Incident, f.Epoch, since))
	}
	return []string{"kubectl scale"}, "2 pods end", nil
}

// TestRetire: what ran before is let go on demand, when its time has passed and not before.
func TestRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l *leaving
		r := newRig(t, func(r *rig, o *Options) { l = &leaving{world: r.world}; o.Strategies["canary"] = l })
		defer r.bye()
		defer r.feed(well)()
		if err := r.do(state.Run{Item: itemRetire}); err == nil {
			t.Error("it was run before anything was deployed")
		}
		r.deploy()
		in := r.until("deployed", func(in *state.Incident) bool { return in.Item(itemDeploy).Status == state.ItemDone })
		if st := in.Item(itemRetire).Status; st != state.ItemOpen {
			t.Fatalf("by itself it is %s", st)
		}
		left := in.Production().Stages[1].Effected
		if _, err := r.Do(t.Context(), alice, state.Preview{Item: itemRetire}); !state.HasCode(err, "early") {
			t.Errorf("previewed too early: %v", err)
		}
		if err := r.do(state.Run{Item: itemRetire}); !state.HasCode(err, "early") || len(l.retired) > 0 {
			t.Errorf("run too early: %v, %v", err, l.retired)
		}
		time.Sleep(time.Until(left.Add(5 * time.Minute)))
		if a, err := r.Do(t.Context(), alice, state.Preview{Item: itemRetire}); err != nil || len(a.Lines) != 1 || a.Text != "2 pods end" || len(l.retired) > 0 {
			t.Errorf("%+v, %v", a, err)
		}
		r.must(r.do(state.Run{Item: itemRetire}))
		in = r.until("let go", func(in *state.Incident) bool { return in.Item(itemRetire).Status == state.ItemDone })
		if len(l.retired) != 1 || l.retired[0] != "r1 "+in.Mark+"/0 after 5m0s" || in.Item(itemRetire).Summary != "2 pods end" {
			t.Errorf("%v, %q", l.retired, in.Item(itemRetire).Summary)
		}
		r.must(r.do(state.Fire{Trigger: "R"}))
		r.until("R still works", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone })
		if err := r.do(state.Run{Item: itemRetire}); err == nil {
			t.Error("after the rollback it can be run")
		}
	})
}

// TestNothingToRetire: a rollout that leaves nothing settles the item by itself.
func TestNothingToRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		defer r.feed(well)()
		r.deploy()
		in := r.until("deployed", func(in *state.Incident) bool { return in.Item(itemDeploy).Status == state.ItemDone })
		if it := in.Item(itemRetire); it.Status != state.ItemNotNeeded || it.Summary != "by canary nothing is left standing" {
			t.Errorf("%s, %q", it.Status, it.Summary)
		}
	})
}
