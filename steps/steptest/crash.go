package steptest

import (
	"context"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mayday/state"
)

// Crash is the crash matrix: a process dies at each write of a rollout, once before
// the write is sent and once before its answer is read, and another one finishes the
// rollout or takes it back; or it dies at each write of a rollback, and another one
// takes it back. Each time the world must end in one of the two planned states. world
// makes a fresh world for each of the ways; each is one rollout for every write.
func Crash(t *testing.T, world func(t *testing.T) Fixture) {
	for _, sent := range []bool{false, true} {
		lost := map[bool]string{false: "write lost", true: "answer lost"}[sent]
		for _, way := range []struct {
			name string
			run  func(*testing.T, *trial, int, bool) bool
		}{
			{"finished", diesThenFinished},
			{"taken back", diesThenTakenBack},
			{"dies in the rollback", diesInRollback},
		} {
			t.Run(way.name+", "+lost, func(t *testing.T) {
				f := world(t)
				f.Order.Incident, f.Order.Mark = incident, mark
				w := &trial{Fixture: f, before: f.State(t)}
				for point := 0; way.run(t, w, point, sent) && !t.Failed(); point++ {
					t.Logf("died at write %d", point+1)
				}
			})
		}
	}
}

// dying gives a context that ends at a write, whose error takes its place.
func (w *trial) dying(t *testing.T, point int, sent bool) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	w.Faults.Reset(func(n int, s bool) error {
		if n < point || n == point && sent && !s {
			return nil
		}
		cancel()
		return context.Canceled
	})
	return ctx
}

// dies runs the rollout until it dies at the write. stage is the one it died in; all
// of them passed where there is no such write.
func (w *trial) dies(t *testing.T, p state.Plan, point int, sent bool) (stage int, died bool) {
	t.Helper()
	defer w.Faults.Reset(nil)
	ctx := w.dying(t, point, sent)
	for i := range p.Stages {
		_, err := w.Strategy().Stage(ctx, p, i, w.fence(), io.Discard)
		if ctx.Err() != nil {
			return i, true
		}
		if err != nil {
			t.Fatalf("stage %d %q: %v", i, p.Stages[i].Name, err)
		}
	}
	return len(p.Stages), false
}

func diesThenFinished(t *testing.T, w *trial, point int, sent bool) bool {
	p := w.plan(t)
	at, died := w.dies(t, p, point, sent)
	for i := at; i < len(p.Stages); i++ {
		w.stage(t, p, i)
	}
	w.answers(t, p.Version)
	if w.after == "" { // the first time around
		w.after = w.State(t)
	}
	if d := cmp.Diff(w.after, w.State(t)); d != "" {
		t.Errorf("died at write %d in stage %d, and not every death leads to the same (-first +now):\n%s", point+1, at, d)
	}
	w.rollback(t, p)
	w.restored(t)
	return died
}

func diesThenTakenBack(t *testing.T, w *trial, point int, sent bool) bool {
	p := w.plan(t)
	_, died := w.dies(t, p, point, sent)
	w.rollback(t, p)
	w.restored(t)
	return died
}

// diesInRollback takes a rollout back that is at its last stage but one, where most of
// them have everything to undo.
func diesInRollback(t *testing.T, w *trial, point int, sent bool) bool {
	p := w.plan(t)
	for i := range max(len(p.Stages)-1, 1) {
		w.stage(t, p, i)
	}
	w.epoch++
	ctx := w.dying(t, point, sent)
	_, err := w.Strategy().Rollback(ctx, p, w.fence(), func(state.RollbackOp) {})
	died := ctx.Err() != nil
	w.Faults.Reset(nil)
	if !died && err != nil {
		t.Fatalf("Rollback: %v", err)
	}
	w.rollback(t, p)
	w.restored(t)
	return died
}
