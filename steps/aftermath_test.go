package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"mayday/state"
)

// whole is a world with a database and a cache.
type whole struct {
	*world
	mu        sync.Mutex
	databases int
	dbErr     error
	left      []string
}

func (w *whole) Rollback(ctx context.Context, p state.Plan, f Fence, report func(state.RollbackOp)) (Verification, error) {
	v, err := w.world.Rollback(ctx, p, f, report)
	fmt.Fprintln(Output(ctx), "said by a hook")
	v.Manual = append(v.Manual, w.left...)
	return v, err
}

func (w *whole) RollbackWithDatabase(ctx context.Context, p state.Plan, f Fence, report func(state.RollbackOp)) (Verification, error) {
	v, err := w.Rollback(ctx, p, f, report)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.databases++
	if err == nil && w.dbErr != nil {
		v.Manual, err = append(v.Manual, "pg_restore by hand"), w.dbErr
	}
	return v, err
}

func (w *whole) took() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.databases
}

// kept is a file in memory.
type kept struct {
	mu sync.Mutex
	b  strings.Builder
}

func (k *kept) Close() error { return nil }
func (k *kept) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.b.Write(b)
}

func (k *kept) text() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.b.String()
}

// newWhole is a rig in mid-rollout on a whole world.
func newWhole(t *testing.T) (*rig, *whole, *kept) {
	w, out := &whole{}, &kept{}
	r := newRig(t, func(r *rig, o *Options) {
		w.world = r.world
		o.Strategies = map[string]Strategy{"canary": w}
		o.Output = func(run string) (io.WriteCloser, error) {
			if strings.HasPrefix(run, itemRollback) {
				return out, nil
			}
			return nothing{}, nil
		}
	})
	r.deploy()
	r.until("running", func(in *state.Incident) bool { return in.Production().Status == state.RolloutRunning })
	return r, w, out
}

func rolledBack(database bool) func(*state.Incident) bool {
	return func(in *state.Incident) bool {
		return in.Rollback.Status == state.RollbackDone && in.Rollback.Database == database && len(in.Closed) == 1
	}
}

// TestLeftUndone: what a rollback could not do behind the workload does not make it
// fail, and is in red on every screen, with its command.
func TestLeftUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, out := newWhole(t)
		w.left = []string{"./purge.sh"}
		r.must(r.do(state.Fire{Trigger: "R"}))
		in := r.until("rolled back", rolledBack(false))
		if len(in.Rollback.Manual) != 1 || in.Rollback.Manual[0] != "./purge.sh" || in.Production().Status != state.RolloutRolledBack {
			t.Errorf("rollback %+v", in.Rollback)
		}
		if n := len(in.Warnings); n == 0 || in.Warnings[n-1] != "rolled back, but by hand: ./purge.sh" {
			t.Errorf("warnings %q", in.Warnings)
		}
		r.must(r.Close("test"))
		if out.text() != "said by a hook\n" {
			t.Errorf("output %q", out.text())
		}
		if w.took() != 0 {
			t.Error("R touched the database")
		}
	})
}

// TestDatabaseAfterR: R comes first and keeps the database; asked for afterwards, it
// is taken back too, once.
func TestDatabaseAfterR(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, _ := newWhole(t)
		r.must(r.do(state.Fire{Trigger: "R"}))
		r.until("rolled back", rolledBack(false))
		r.must(r.do(state.Fire{Trigger: "mayday rollback", WithDatabase: true}))
		in := r.until("rolled back with the database", rolledBack(true))
		r.must(r.do(state.Fire{Trigger: "again", WithDatabase: true}))
		r.must(r.do(state.Arm{Trigger: "again"}))
		r.must(r.Close("test"))
		if w.took() != 1 || in.Epoch != 2 || len(r.Incident().Closed) != 1 {
			t.Errorf("the database was taken back %d times, epoch %d, %d attempts closed", w.took(), in.Epoch, len(r.Incident().Closed))
		}
	})
}

// TestArmedForMore: R is armed, and then asked for with the database too: it runs once,
// at its time, with the database.
func TestArmedForMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, _ := newWhole(t)
		r.must(r.do(state.Arm{Trigger: "R"}))
		deadline := r.Incident().Rollback.Deadline
		r.must(r.do(state.Arm{Trigger: "mayday rollback", WithDatabase: true}))
		if rb := r.Incident().Rollback; !rb.Database || !rb.Deadline.Equal(deadline) {
			t.Errorf("armed %+v", rb)
		}
		r.must(r.do(state.Fire{Trigger: "R"})) // a colleague's enter
		r.until("rolled back with the database", rolledBack(true))
		r.must(r.Close("test"))
		if w.took() != 1 {
			t.Errorf("%d times", w.took())
		}
	})
}

// TestDatabaseFails: users are served, and still the rollback that was asked for has
// failed, with what to do by hand.
func TestDatabaseFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, _ := newWhole(t)
		w.dbErr = &state.Problem{Code: "database", What: "the database is not whole"}
		r.must(r.do(state.Fire{Trigger: "mayday rollback", WithDatabase: true}))
		in := r.until("failed", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackFailed })
		if len(in.Rollback.Manual) != 1 || in.Rollback.Manual[0] != "pg_restore by hand" || !state.HasCode(in.Rollback.Problem, "database") {
			t.Errorf("rollback %+v", in.Rollback)
		}
		r.must(r.Close("test"))
	})
}

// TestTheDatabaseIsTriedAgain: R took production back, and then the database failed. What
// the refusal of the next attempt says to do works.
func TestTheDatabaseIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w, _ := newWhole(t)
		r.must(r.do(state.Fire{Trigger: "R"}))
		r.until("rolled back", rolledBack(false))
		w.mu.Lock()
		w.dbErr = &state.Problem{Code: "database", What: "the database is not whole"}
		w.mu.Unlock()
		r.must(r.do(state.Fire{Trigger: "mayday rollback", WithDatabase: true}))
		r.until("failed", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackFailed })
		err := r.do(state.NewAttempt{})
		if err == nil || !strings.Contains(err.Error(), "mayday rollback --with-database") {
			t.Errorf("the next attempt: %v", err)
		}
		w.mu.Lock()
		w.dbErr = nil
		w.mu.Unlock()
		r.must(r.do(state.Fire{Trigger: "mayday rollback", WithDatabase: true}))
		r.until("rolled back with the database", rolledBack(true))
		r.must(r.do(state.NewAttempt{}))
		r.must(r.Close("test"))
	})
}

// TestKeeperDiesInDatabaseRollback: the next one finishes what was asked for.
func TestKeeperDiesInDatabaseRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, _ := newWhole(t)
		r.must(r.do(state.Fire{Trigger: "mayday rollback", WithDatabase: true}))
		r.until("rolled back with the database", rolledBack(true))
		r.must(r.Close("test"))
		var history []state.Event // up to its beginning
		for _, e := range r.journal.all() {
			history = append(history, e)
			if _, ok := e.Fact.(state.RollbackStarted); ok {
				break
			}
		}
		next := &whole{}
		r = newRigOn(t, history, func(r *rig, o *Options) {
			next.world = r.world
			o.Strategies = map[string]Strategy{"canary": next}
		})
		r.until("rolled back with the database", rolledBack(true))
		r.must(r.Close("test"))
		if next.took() != 1 {
			t.Errorf("%d times", next.took())
		}
	})
}

// TestUndoWithoutADatabase: a strategy that knows of none takes traffic and workload
// back, and says that the database is not.
func TestUndoWithoutADatabase(t *testing.T) {
	w := &world{}
	_, err := Undo(t.Context(), w, state.Plan{Target: "v1.2.3"}, Fence{}, true, func(state.RollbackOp) {})
	if !state.HasCode(err, "config") || w.undone != 1 {
		t.Errorf("%v, undone %d times", err, w.undone)
	}
}

// TestPatient: an output whose disk hangs, or that cannot be opened, keeps nobody, nor does a bug in it.
func TestPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		p := NewPatient(func() (io.WriteCloser, error) { <-free; return nothing{}, nil })
		for range 2 * outputLines {
			fmt.Fprintln(p, "a line")
		}
		if err := p.Close(); err == nil {
			t.Error("a hanging disk was not told")
		}
		close(free)
		p = NewPatient(func() (io.WriteCloser, error) { return nil, errors.New("full") })
		fmt.Fprintln(p, "a line")
		if err := p.Close(); err == nil || err.Error() != "full" {
			t.Errorf("got %v", err)
		}
		p = NewPatient(func() (io.WriteCloser, error) { panic("no file at all") })
		fmt.Fprintln(p, "a line")
		if err := p.Close(); err == nil {
			t.Error("what went wrong was not told")
		}
		p = NewPatient(func() (io.WriteCloser, error) { t.Error("opened for nothing"); return nothing{}, nil })
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
}
