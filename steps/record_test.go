package steps

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// journalShown follows what the screens show of the journal.
func (r *rig) journalShown(ctx context.Context) func() state.JournalState {
	var last state.JournalState
	frames := r.Subscribe(ctx, state.Hello{Client: "screen"})
	return func() state.JournalState {
		synctest.Wait()
		for {
			select {
			case f := <-frames:
				if f.Journal != nil {
					last = *f.Journal
				}
				synctest.Wait()
			default:
				return last
			}
		}
	}
}

// TestASlowDiskIsForgotten: what is red on the screens because a write took its time is so
// no longer than that, though nothing else is written.
func TestASlowDiskIsForgotten(t *testing.T) {
	for name, behind := range map[string]int{"one write": 0, "and others behind it": 3} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				defer r.bye()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				shown := r.journalShown(ctx)
				shown() // what runs by itself has ended: nothing else is written
				answer := r.journal.stall()
				for range 1 + behind {
					r.Engine.must(alice, state.NoteAdded{Text: "pressed"})
				}
				if j := shown(); j.Err == "" || j.Spooled != behind {
					t.Errorf("while the disk is slow: %+v", j)
				}
				answer()
				if j := shown(); j.Err != "" || j.Spooled != 0 {
					t.Errorf("all is written, and the screens say %+v", j)
				}
			})
		})
	}
}

// TestADiskThatAnswersJustInTime is not called slow for ever: the answer and the end of
// the patience come together.
func TestADiskThatAnswersJustInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		shown := r.journalShown(ctx)
		for range 50 {
			time.AfterFunc(journalPatience, r.journal.stall())
			r.Engine.must(alice, state.NoteAdded{Text: "pressed"})
			if j := shown(); j.Err != "" {
				t.Fatalf("all is written, and the screens say %+v", j)
			}
		}
	})
}

// TestNothingThatPullsWaitsForAHangingDisk: wherever the disk stops answering, a new version
// that turns crit is taken back in the time that the screens promise. All of it is in the
// journal once the disk answers, in order.
func TestNothingThatPullsWaitsForAHangingDisk(t *testing.T) {
	stall := func(h *hanging) { h.answer = h.journal.stall() }
	for name, c := range map[string]struct {
		pulls string // what the trigger begins with
		stage bool   // the disk stops answering behind a stage's writes
		reach func(h *hanging)
	}{
		"at a gate": {"gate: ", false, stall},
		"at a gate that has had something to say": {"gate: ", false, func(h *hanging) {
			stall(h)
			h.dial.set(func() (float64, state.Verdict) { return 0.02, "" })
			time.Sleep(time.Minute)
		}},
		"behind a stage": {"watch: ", true, func(*hanging) {}},
		"in the monitoring period": {"monitoring: ", false, func(h *hanging) {
			h.until("deployed", func(in *state.Incident) bool { return in.Item(itemDeploy).Status == state.ItemDone })
			h.must(h.do(state.PassOver{Item: "10.validate", Reason: "test"}))
			h.until("watched", func(in *state.Incident) bool { return in.Item(state.ItemMonitor).Status == state.ItemRunning })
			stall(h)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &hanging{dial: &dial{f: well}}
				h.rig = newRig(t, func(r *rig, o *Options) {
					if c.stage {
						o.Strategies["canary"] = staged{world: r.world, stage: func(context.Context) (Effect, error) { h.answer = r.journal.stall(); return Effect{Text: "seen"}, nil }}
					}
				})
				defer h.bye()
				defer h.feed(h.read)()
				h.deploy()
				if c.stage {
					synctest.Wait()
				} else {
					h.holding()
				}
				c.reach(h)
				h.back(t, c.pulls)
			})
		})
	}
}

// hanging is a rig whose journal's disk has stopped answering.
type hanging struct {
	*rig
	dial   *dial
	answer func()
}

func (h *hanging) read() (float64, state.Verdict) { return h.dial.read() }

// back makes the new version ill, and sees it taken back and all of that journaled.
func (h *hanging) back(t *testing.T, pulls string) {
	h.dial.set(broken)
	time.Sleep(h.Incident().Reaction.D())
	h.world.mu.Lock()
	undone := h.world.undone
	h.world.mu.Unlock()
	if undone != 1 {
		t.Errorf("in the time that the screens promise it was rolled back %d times", undone)
	}
	h.answer()
	in := h.rolledBack()
	synctest.Wait()
	events := h.journal.all()
	kept, err := state.Fold(events)
	if err != nil || kept.Rollback.Status != state.RollbackDone || !strings.HasPrefix(kept.Rollback.Trigger, pulls) {
		t.Errorf("%v; in the journal the rollback is %s, for %q", err, kept.Rollback.Status, kept.Rollback.Trigger)
	}
	if !reflect.DeepEqual(kept.Verdicts, in.Verdicts) || !reflect.DeepEqual(kept.Rollouts, in.Rollouts) {
		t.Error("the journal tells another story than the screens")
	}
	var said []string
	for _, ev := range events {
		switch f := ev.Fact.(type) {
		case state.ProbeJudged:
			if f.Sample.Verdict == state.Crit {
				said = append(said, "crit")
			}
		case state.GateDecided:
			if f.State == state.GateFailed {
				said = append(said, "failed")
			}
		case state.WatchDecided:
			if f.State == state.GateFailed {
				said = append(said, "failed")
			}
		case state.RollbackStarted:
			said = append(said, "back")
		}
	}
	if !slices.Equal(said, []string{"crit", "failed", "back"}) {
		t.Errorf("the journal's order is %v", said)
	}
}

// TestAQuestionBehindAHangingDiskIsAskedOnce, so that who answers it has answered.
func TestAQuestionBehindAHangingDiskIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		d := &dial{f: well}
		defer r.feed(d.read)()
		r.deploy()
		r.holding()
		answer := r.journal.stall()
		d.set(blind)
		time.Sleep(time.Minute)
		answer()
		r.until("asking", func(in *state.Incident) bool { return in.Item(itemDeploy).Status == state.ItemAsking })
		r.must(r.do(state.GoOn{Accept: true, Reason: "the dashboard is fine"}))
		d.set(well)
		r.until("deployed", func(in *state.Incident) bool { return in.Item(itemDeploy).Status == state.ItemDone })
		asked := 0
		for _, f := range r.decisions() {
			if f.State == state.GateAsking {
				asked++
			}
		}
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
	})
}
