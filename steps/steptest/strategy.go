// Package steptest holds the conformance suites that every strategy and every
// action must pass, whatever it runs on.
package steptest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mayday/state"
	"mayday/steps"
)

// Fixture is one world, fresh for one test, with a strategy to try in it.
type Fixture struct {
	// Strategy makes the strategy anew, as another process would.
	Strategy func() steps.Strategy
	// Order is what is rolled out; Order.Previous must be what the world runs.
	Order steps.Order
	// State renders what a rollout may change, without fences and without what
	// moves by itself. Equal text means equal worlds.
	State func(t testing.TB) string
	// Fences gives the fence of every object of the rollout, by object.
	Fences func(t testing.TB) map[string]string
	// Seize writes a fence on every object of the rollout, as its owner would.
	Seize func(t testing.TB, fence string)
	// Disturb changes something unrelated on every object each few milliseconds,
	// so that resource versions never hold still. stop ends that and waits.
	Disturb func(t testing.TB) (stop func())
	// Answers counts which version answers n requests now; nil where nothing does.
	Answers func(t testing.TB, n int) map[string]int
	// Faults is told of every write that a strategy made by Strategy sends.
	Faults *Faults
}

const incident = "INC-20261122-01"

// mark is what fences call it. The first incident of that day has the same ID on every
// host, and another mark.
const (
	mark      = incident + ".5f2c9a01"
	otherMark = incident + ".0badcafe"
)

// patience bounds one call of a strategy; only a hanging one meets it.
const patience = 60 * time.Second

// Strategy runs the conformance suite. world makes a fresh world for each test.
func Strategy(t *testing.T, world func(t *testing.T) Fixture) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *trial)
	}{
		{"plan and proof change nothing", planChangesNothing},
		{"stages lead to the new version and may be repeated", stagesRepeat},
		{"a stage killed at any write goes on", killedAnywhere},
		{"rollback from every stage restores", rollbackEverywhere},
		{"rollback twice is a no-op", rollbackTwice},
		{"rollback of a rollout that never began", rollbackUnstarted},
		{"an older epoch is fenced out", olderEpochFenced},
		{"a live foreign incident refuses forward work, never a rollback", foreignIncident},
		{"what a rollout works on is closed to others, in a second attempt too", holdsItsObjects},
		{"another writer is no obstacle", storm},
		{"a cancelled call returns", cancelled},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := world(t)
			f.Order.Incident, f.Order.Mark = incident, mark
			test.run(t, &trial{Fixture: f, before: f.State(t)})
		})
	}
}

// trial is one test's world with what it looked like at first.
type trial struct {
	Fixture
	before string
	after  string // once finished; "" where that was not seen yet
	epoch  int
	n      int
}

func (w *trial) fence() steps.Fence { return steps.Fence{Incident: mark, Epoch: w.epoch} }

// call bounds one call.
func call(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// plan makes a plan and sends it through JSON, as the journal does.
func (w *trial) plan(t testing.TB) state.Plan {
	t.Helper()
	w.n++
	w.Order.ID = fmt.Sprintf("r%d", w.n)
	p, err := w.Strategy().Plan(call(t), w.Order)
	if err != nil {
		t.Fatalf("Plan: %v", err)
	}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatalf("Plan does not encode: %v", err)
	}
	var out state.Plan
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("Plan does not decode: %v", err)
	}
	return out
}

func (w *trial) stage(t testing.TB, p state.Plan, i int) steps.Effect {
	t.Helper()
	e, err := w.Strategy().Stage(call(t), p, i, w.fence(), io.Discard)
	if err != nil {
		t.Fatalf("stage %d %q: %v\nworld:\n%s", i, p.Stages[i].Name, err, w.State(t))
	}
	if e.Text == "" {
		t.Errorf("stage %d %q: no effect was told", i, p.Stages[i].Name)
	}
	return e
}

// rollback rolls back with a raised epoch and demands success, reports included.
func (w *trial) rollback(t testing.TB, p state.Plan) {
	t.Helper()
	w.epoch++
	last := map[string]state.ItemStatus{}
	v, err := w.Strategy().Rollback(call(t), p, w.fence(), func(op state.RollbackOp) { last[op.Op] = op.Status })
	if err != nil {
		t.Fatalf("Rollback: %v\nby hand: %q\nworld:\n%s", err, v.Manual, w.State(t))
	}
	if v.Text == "" {
		t.Error("Rollback says nothing of what was seen")
	}
	for _, op := range p.Inverse {
		if last[op.ID] != state.ItemDone {
			t.Errorf("operation %q of the inverse was reported as %q", op.ID, last[op.ID])
		}
	}
}

// restored demands the world as it was at first, answering with the old version,
// and every object under the newest fence.
func (w *trial) restored(t testing.TB) {
	t.Helper()
	if d := cmp.Diff(w.before, w.State(t)); d != "" {
		t.Errorf("the world is not as it was (-before +after):\n%s", d)
	}
	for object, f := range w.Fences(t) {
		if want := fmt.Sprintf("%s/%d", mark, w.epoch); f != want {
			t.Errorf("fence of %s is %q, want %q", object, f, want)
		}
	}
	w.answers(t, w.Order.Previous)
}

// answers demands that one version answers everything.
func (w *trial) answers(t testing.TB, version string) {
	t.Helper()
	if w.Answers == nil {
		return
	}
	if got := w.Answers(t, 50); got[version] != 50 {
		t.Errorf("of 50 requests %v were answered by version, want all by %s", got, version)
	}
}

func (w *trial) unchanged(t testing.TB, during string) {
	t.Helper()
	if n := w.Faults.Writes(); n != 0 {
		t.Errorf("%s made %d writes", during, n)
	}
	if d := cmp.Diff(w.before, w.State(t)); d != "" {
		t.Errorf("%s changed the world (-before +after):\n%s", during, d)
	}
}

func planChangesNothing(t *testing.T, w *trial) {
	p := w.plan(t)
	w.unchanged(t, "Plan")
	if p.ID != w.Order.ID || p.Version != w.Order.Version || p.Target != w.Order.Previous || p.Strategy != w.Strategy().Name() {
		t.Errorf("plan is %s %s %s → %s, want %s %s %s → %s", p.ID, p.Strategy, p.Target, p.Version,
			w.Order.ID, w.Strategy().Name(), w.Order.Previous, w.Order.Version)
	}
	ops := 0
	for _, s := range p.Stages {
		if s.Name == "" {
			t.Error("a stage has no name")
		}
		for _, op := range s.Ops {
			ops++
			if op.ID == "" || op.Title == "" || op.Command == "" || op.Object == "" {
				t.Errorf("stage %q: operation not fully told: %+v", s.Name, op)
			}
		}
	}
	undone := map[string]bool{}
	for _, op := range p.Inverse {
		if undone[op.ID] {
			t.Errorf("two operations of the inverse are called %q: reports could not be told apart", op.ID)
		}
		undone[op.ID] = true
	}
	if ops == 0 || len(p.Inverse) == 0 {
		t.Fatalf("%d operations, %d inverse ones", ops, len(p.Inverse))
	}
	proof, err := w.Strategy().Prove(call(t), p, false)
	if err != nil || proof.Ready != state.Ready || proof.Target != p.Target {
		t.Errorf("Prove: %+v, %v", proof, err)
	}
	w.unchanged(t, "Prove")
	if lines, err := w.Strategy().Look(call(t), p); err != nil || len(lines) == 0 {
		t.Errorf("Look: %q, %v", lines, err)
	}
	w.unchanged(t, "Look")
}

func stagesRepeat(t *testing.T, w *trial) {
	p := w.plan(t)
	for i := range p.Stages {
		w.stage(t, p, i)
		w.Faults.Reset(nil)
		w.stage(t, p, i)
		if n := w.Faults.Writes(); n != 0 {
			t.Errorf("stage %d %q, run again, made %d writes", i, p.Stages[i].Name, n)
		}
		proof, err := w.Strategy().Prove(call(t), p, true)
		if err != nil || proof.Ready != state.Ready {
			t.Errorf("after stage %q the rollback is not proven: %+v, %v", p.Stages[i].Name, proof, err)
		}
	}
	w.answers(t, p.Version)
}

func killedAnywhere(t *testing.T, w *trial) {
	p := w.plan(t)
	for i := range p.Stages {
		for tries := 0; ; tries++ {
			if tries > 40 {
				t.Fatalf("stage %d %q never ends", i, p.Stages[i].Name)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			w.Faults.Reset(func(_ int, sent bool) error {
				if sent == (tries%2 == 0) { // once before the write, once after it
					return nil
				}
				cancel()
				return context.Canceled
			})
			_, err := w.Strategy().Stage(ctx, p, i, w.fence(), io.Discard)
			hit := ctx.Err() != nil
			cancel()
			if hit == (err == nil) {
				t.Fatalf("stage %d %q: killed %t, error %v", i, p.Stages[i].Name, hit, err)
			}
			if err == nil {
				break
			}
		}
	}
	w.Faults.Reset(nil)
	w.answers(t, p.Version)
	w.rollback(t, p)
	w.restored(t)
}

// rollbackEverywhere breaks each stage off after its first write, when it has any
// effect at all, and takes everything back; the next attempt starts from there. A
// stage without operations only looks, and ends by itself.
func rollbackEverywhere(t *testing.T, w *trial) {
	for i := 0; ; i++ {
		p := w.plan(t)
		if i == len(p.Stages) {
			return
		}
		for j := range i {
			w.stage(t, p, j)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		w.Faults.Reset(func(_ int, sent bool) error {
			if sent {
				cancel()
			}
			return nil
		})
		_, err := w.Strategy().Stage(ctx, p, i, w.fence(), io.Discard)
		if wrote := w.Faults.Writes() > 0; wrote != (len(p.Stages[i].Ops) > 0) || wrote == (err == nil) {
			t.Errorf("stage %d %q of %d operations: wrote %t, broken off there: %v", i, p.Stages[i].Name, len(p.Stages[i].Ops), wrote, err)
		}
		cancel()
		w.Faults.Reset(nil)
		w.rollback(t, p)
		w.restored(t)
		if t.Failed() {
			t.Fatalf("after a rollback in stage %d %q", i, p.Stages[i].Name)
		}
	}
}

func rollbackTwice(t *testing.T, w *trial) {
	p := w.plan(t)
	for i := range min(2, len(p.Stages)) {
		w.stage(t, p, i)
	}
	w.rollback(t, p)
	w.Faults.Reset(nil)
	if _, err := w.Strategy().Rollback(call(t), p, w.fence(), func(state.RollbackOp) {}); err != nil {
		t.Fatalf("second Rollback: %v", err)
	}
	if n := w.Faults.Writes(); n != 0 {
		t.Errorf("the second rollback made %d writes", n)
	}
	w.restored(t)
}

func rollbackUnstarted(t *testing.T, w *trial) {
	p := w.plan(t)
	w.rollback(t, p)
	w.restored(t)
}

func olderEpochFenced(t *testing.T, w *trial) {
	p := w.plan(t)
	w.stage(t, p, 0)
	w.rollback(t, p)
	old := steps.Fence{Incident: mark, Epoch: w.epoch - 1}
	w.Faults.Reset(nil)
	for i := range p.Stages {
		_, err := w.Strategy().Stage(call(t), p, i, old, io.Discard)
		if !errors.Is(err, steps.ErrFenced) {
			t.Errorf("stage %d %q of an older epoch: %v, want steps.ErrFenced", i, p.Stages[i].Name, err)
		}
	}
	if _, err := w.Strategy().Rollback(call(t), p, old, func(state.RollbackOp) {}); !errors.Is(err, steps.ErrFenced) {
		t.Errorf("rollback of an older epoch: %v, want steps.ErrFenced", err)
	}
	if n := w.Faults.Writes(); n != 0 {
		t.Errorf("fenced work made %d writes", n)
	}
	w.restored(t)
}

func foreignIncident(t *testing.T, w *trial) {
	p := w.plan(t)
	w.Seize(t, "INC-20261121-07/3")
	w.Faults.Reset(nil)
	for i := range p.Stages {
		if _, err := w.Strategy().Stage(call(t), p, i, w.fence(), io.Discard); !errors.Is(err, steps.ErrFenced) {
			t.Errorf("stage %d %q over a live incident: %v, want steps.ErrFenced", i, p.Stages[i].Name, err)
		}
	}
	w.unchanged(t, "refused work")
	if proof, err := w.Strategy().Prove(call(t), p, false); err != nil || proof.Ready != state.NotReady {
		t.Errorf("Prove over a live incident: %+v, %v", proof, err)
	}
	w.rollback(t, p)
	w.restored(t)
}

// holdsItsObjects lets another incident try forward work on a rollout that is under way.
func holdsItsObjects(t *testing.T, w *trial) {
	for attempt := range 2 {
		p := w.plan(t)
		w.stage(t, p, 0)
		if len(p.Stages) == 1 {
			return // it is finished with its objects
		}
		w.Faults.Reset(nil)
		other := steps.Fence{Incident: otherMark}
		for i := range p.Stages {
			if _, err := w.Strategy().Stage(call(t), p, i, other, io.Discard); !errors.Is(err, steps.ErrFenced) {
				t.Errorf("attempt %d, stage %d %q of another incident: %v, want steps.ErrFenced", attempt+1, i, p.Stages[i].Name, err)
			}
		}
		if n := w.Faults.Writes(); n != 0 {
			t.Errorf("another incident made %d writes", n)
		}
		if attempt == 0 {
			w.rollback(t, p)
		}
	}
}

func storm(t *testing.T, w *trial) {
	p := w.plan(t)
	stop := w.Disturb(t)
	for i := range p.Stages {
		w.stage(t, p, i)
	}
	w.rollback(t, p)
	stop()
	w.restored(t)
}

func cancelled(t *testing.T, w *trial) {
	p := w.plan(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := w.Strategy()
	if _, err := s.Stage(ctx, p, 0, w.fence(), io.Discard); err == nil {
		t.Error("a cancelled Stage succeeded")
	}
	if _, err := s.Rollback(ctx, p, w.fence(), func(state.RollbackOp) {}); err == nil {
		t.Error("a cancelled Rollback succeeded")
	}
	if _, err := s.Plan(ctx, w.Order); err == nil {
		t.Error("a cancelled Plan succeeded")
	}
	w.unchanged(t, "cancelled work")
}
