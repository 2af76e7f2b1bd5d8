package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mayday/state"
)

// TestKilledOnAControlPlane: kill -9 of a mayday that rolls out on a real control plane,
// at a write that is lost or whose answer is lost. The next one finishes the rollout, or
// takes it back; and one that dies in the rollback is followed by one that finishes it.
// The cluster ends in one of the two planned states. That a strategy bears this at every
// write, steps/kube's crash matrix shows in one process; this is the whole program at a
// few of them: at one of four strategies, with CI=true at four of each.
func TestKilledOnAControlPlane(t *testing.T) {
	sockets := newHost(t).sockets
	t.Setenv("MAYDAY_RUNTIME_DIR", sockets)
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			if !w.everyday && os.Getenv("CI") != "true" {
				t.Skip("of the strategies, four are killed every day: this one with CI=true")
			}
			t.Parallel()
			var after string
			total := 0
			t.Run("dies in the rollback", func(t *testing.T) { after, total = diesTakingBack(t, w, sockets) })
			if t.Failed() {
				return
			}
			points := []int{total / 2}
			if os.Getenv("CI") == "true" {
				points = []int{0, total / 3, 2 * total / 3, total - 1}
			}
			for _, at := range points {
				t.Run(fmt.Sprintf("write %d of %d lost, goes on", at+1, total), func(t *testing.T) {
					g, d := diesRollingOut(t, w, sockets, at, false)
					k := g.keeper()
					d.until("the next one keeps", func(in *state.Incident) bool { return in.Keeper.PID == k.Process.Pid })
					d.must(state.GoOn{})
					d.until("finished", deployed)
					g.is("finished", after)
					d.sound()
				})
				t.Run(fmt.Sprintf("answer %d of %d lost, R", at+1, total), func(t *testing.T) {
					before := ""
					g, d := diesRollingOut(t, w, sockets, at, true, func(g *ground) { before = g.specs() })
					g.takenBack()
					g.is("as it was", before)
					d.sound()
				})
			}
		})
	}
}

func deployed(in *state.Incident) bool {
	r := in.Production()
	return r != nil && r.Status == state.RolloutDone
}

// is fails unless the objects are as they should be.
func (g *ground) is(what, want string) {
	g.t.Helper()
	if d := cmp.Diff(want, g.specs()); d != "" {
		g.t.Errorf("the cluster is not %s (-want +now):\n%s", what, d)
	}
}

// takenBack runs mayday rollback, with nobody who keeps the incident.
func (g *ground) takenBack() {
	g.t.Helper()
	if code, out, errs := g.run("rollback", "--immediate", "--incident", g.id); code != exitRolledBack {
		g.t.Fatalf("mayday rollback ended with %d: %s%s", code, out, errs)
	}
}

// killedAt lets the process die at a write: before it is sent, or before its answer is read.
func (g *ground) killedAt(k *process, at int, sent bool) {
	g.at(func(n int, s bool) bool {
		if n < at || n == at && sent && !s {
			return true
		}
		_ = k.Process.Kill() // it may have died at another write of the same moment
		<-k.done
		return false
	})
}

// diesRollingOut begins a rollout, whose keeper dies at a write.
func diesRollingOut(t *testing.T, w way, sockets string, at int, sent bool, first ...func(*ground)) (*ground, *crew) {
	t.Helper()
	g := newGround(t, w, sockets)
	for _, f := range first {
		f(g)
	}
	k := g.keeper()
	d := g.driver()
	g.killedAt(k, at, sent)
	d.must(state.Run{Item: "10.deploy"})
	until(t, "the keeper dies at its write", k.over) // which another run counted
	g.at(nil)
	d.until("the keeper is lost", func(in *state.Incident) bool { return d.scene.Lost != "" })
	return g, d
}

// diesTakingBack rolls out undisturbed, kills the rollback at its first write and lets
// another one take it back. It gives the world after the rollout and the number of its
// writes.
func diesTakingBack(t *testing.T, w way, sockets string) (after string, writes int) {
	g := newGround(t, w, sockets)
	before := g.specs()
	k := g.keeper()
	d := g.driver()
	g.at(nil)
	d.must(state.Run{Item: "10.deploy"})
	d.until("deployed", deployed)
	after, writes = g.specs(), g.writes()
	if before == after || writes == 0 {
		t.Fatalf("%d writes changed nothing", writes)
	}
	k.signal(syscall.SIGTERM)
	until(t, "the keeper ends", k.over)
	r := g.start("rollback", "--immediate", "--incident", g.id)
	g.killedAt(r, 0, true)
	until(t, "the rollback dies at its first write", r.over)
	g.at(nil)
	if code := r.ProcessState.ExitCode(); code != -1 {
		t.Fatalf("mayday rollback was not killed, it ended with %d: %s", code, r.said())
	}
	g.takenBack()
	g.is("as it was", before)
	d.sound()
	return after, writes
}

// TestStoppedOnAControlPlane: SIGSTOP of a keeper that has looked at an object and whose
// patch is on its way. Another process rolls back. Then the patch arrives, and the keeper
// wakes up: the API server refuses the one by the epoch, and the other does nothing more.
func TestStoppedOnAControlPlane(t *testing.T) {
	sockets := newHost(t).sockets
	t.Setenv("MAYDAY_RUNTIME_DIR", sockets)
	for _, w := range ways()[:3] {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			g := newGround(t, w, sockets)
			before := g.specs()
			k := g.keeper()
			d := g.driver()
			// The first writes set the fences: the keeper is to be at work.
			at := map[string]int{"canary": 4, "blue-green": 3, "rolling": 1}[w.name]
			asleep, arrives := make(chan struct{}), make(chan struct{})
			arrive := sync.OnceFunc(func() { close(arrives) })
			defer arrive() // or a test that fails before waits for its own patch
			g.at(func(n int, sent bool) bool {
				if n == at && !sent {
					_ = k.Process.Signal(syscall.SIGSTOP) // the rollback's own try says whether it worked
					close(asleep)
					<-arrives
				}
				return true
			})
			d.must(state.Run{Item: "10.deploy"})
			until(t, "the patch is on its way", func() bool {
				select {
				case <-asleep:
					return true
				default:
					return false
				}
			})
			k.stop()
			if now := g.specs(); now == before {
				t.Error("the keeper had changed nothing yet")
			}
			g.takenBack()
			g.is("as it was", before)
			arrive()
			until(t, "the late patch is refused", func() bool { return g.refusal(at) != "" })
			if r := g.refusal(at); !strings.HasPrefix(r, "PATCH ") || !strings.HasSuffix(r, " 422") {
				t.Errorf("refused: %q", r)
			}
			k.signal(syscall.SIGCONT)
			in := d.until("taken in", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone && len(in.Closed) == 1 })
			if st := in.Production().Status; st != state.RolloutRolledBack {
				t.Errorf("the rollout is %s", st)
			}
			until(t, "no spool is left", func() bool {
				left, err := filepath.Glob(filepath.Join(g.folder, "spool-*"))
				return err == nil && len(left) == 0
			})
			k.signal(syscall.SIGTERM)
			until(t, "the keeper ends", k.over)
			if code := k.ProcessState.ExitCode(); code != exitDone {
				t.Errorf("the keeper ended with %d", code)
			}
			g.is("as it was", before)
			d.sound()
		})
	}
}
