package shell

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mayday/state"
	"mayday/steps"
)

var first = steps.Fence{Incident: "INC-20261122-01"}

// begun blocks until a hook has written its word into a file of the farm.
func (f *farm) begun(t testing.TB, name string) string {
	t.Helper()
	for give := time.Now().Add(time.Minute); time.Now().Before(give); time.Sleep(5 * time.Millisecond) {
		if b, err := os.ReadFile(filepath.Join(f.dir, name)); err == nil && strings.HasSuffix(string(b), "\n") {
			return strings.TrimSpace(string(b))
		}
	}
	t.Fatalf("%s never came", name)
	return ""
}

// TestRollbackEndsTheHookThatRuns: pressed in another process, while a deployment that
// does not listen is under way, R ends it before the rollback hook begins.
func TestRollbackEndsTheHookThatRuns(t *testing.T) {
	f := blueGreen(t)
	f.script(t, "switch-to-blue.sh", `trap '' TERM; echo "$VERSION" >live; (trap '' TERM; echo $$ >child.pid; echo started >started; while :; do sleep 0.02; echo "$VERSION" >live; done)`)
	p := f.plan(t)
	if _, err := f.strategy().Stage(t.Context(), p, 0, first, io.Discard); err != nil {
		t.Fatal(err)
	}
	staged := make(chan error, 1)
	go func() {
		_, err := f.strategy().Stage(context.Background(), p, 1, first, io.Discard)
		staged <- err
	}()
	f.begun(t, "started")
	pid, _ := strconv.Atoi(f.begun(t, "child.pid"))
	var out strings.Builder
	ctx := steps.WithOutput(t.Context(), &out)
	v, err := f.strategy().Rollback(ctx, p, steps.Fence{Incident: first.Incident, Epoch: 1}, func(state.RollbackOp) {})
	if err != nil || !strings.Contains(v.Text, "answered 50 of 50") {
		t.Errorf("%+v, %v", v, err)
	}
	if err := <-staged; err == nil {
		t.Error("the stage whose hook was ended succeeded")
	}
	if !gone(pid) || f.read(t, "live") != oldVersion {
		t.Errorf("the hook lives (%t), live is %s", !gone(pid), f.read(t, "live"))
	}
	if !strings.Contains(out.String(), "ending the hook") {
		t.Errorf("output %q", out.String())
	}
	if left, _ := filepath.Glob(filepath.Join(f.dir, "fences", "*.run-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestStoppedBetweenLookAndHook: a mayday that looked at the fence, was stopped, and
// goes on after a rollback, starts a hook that does not begin.
func TestStoppedBetweenLookAndHook(t *testing.T) {
	f := blueGreen(t)
	p := f.plan(t)
	l := f.strategy().ledger("production")
	looked, err := l.claim(first, p.ID, "production")
	if err == nil {
		looked, err = l.read()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.strategy().Rollback(t.Context(), p, steps.Fence{Incident: first.Incident, Epoch: 1}, func(state.RollbackOp) {}); err != nil {
		t.Fatal(err)
	}
	_, began, err := l.child(t.Context(), Spec{Args: []string{"sh", "-c", "echo x >begun"}, Dir: f.dir}, looked.size, "")
	if _, serr := os.Stat(filepath.Join(f.dir, "begun")); began || err == nil || !errors.Is(serr, os.ErrNotExist) {
		t.Errorf("the hook began: %t, %v, %v", began, err, serr)
	}
	if _, err := l.run(t.Context(), Spec{Args: []string{"true"}, Dir: f.dir}, first, nil, "production"); !errors.Is(err, steps.ErrFenced) {
		t.Errorf("run under an older epoch: %v", err)
	}
}

// TestStrayIsWaitedFor: a hook whose mayday died is not run twice at once, nor again
// when it ended well.
func TestStrayIsWaitedFor(t *testing.T) {
	f := blueGreen(t)
	f.script(t, "deploy-blue.sh", `echo "$1" >idle; echo again >>runs; echo x >started; while [ ! -e go ]; do sleep 0.01; done`)
	p := f.plan(t)
	l := f.strategy().ledger("production")
	if _, err := l.claim(first, p.ID, "production"); err != nil {
		t.Fatal(err)
	}
	stray := make(chan error, 1)
	go func() { // as the dead mayday did
		_, err := l.run(context.Background(), Spec{Args: []string{"./deploy-blue.sh", newVersion}, Dir: f.dir}, first,
			&entry{Do: "done", Fence: fenceText(first), Rollout: p.ID, Hook: "deploy"}, "production")
		stray <- err
	}()
	f.begun(t, "started")
	out := &sink{line: make(chan string, 100)}
	staged := make(chan error, 1)
	go func() {
		_, err := f.strategy().Stage(context.Background(), p, 0, first, out)
		staged <- err
	}()
	if said := <-out.line; !strings.Contains(said, "still at work") {
		t.Errorf("it said %q", said)
	}
	f.write(t, "go", "")
	if err := errors.Join(<-stray, <-staged); err != nil || f.read(t, "runs") != "again" {
		t.Errorf("%v, runs %q", err, f.read(t, "runs"))
	}
}

func TestLedger(t *testing.T) {
	l := ledger{filepath.Join(t.TempDir(), "fences", "x.jsonl")}
	add := func(lines ...entry) owner {
		t.Helper()
		for _, e := range lines {
			if err := l.append(e); err != nil {
				t.Fatal(err)
			}
		}
		o, err := l.read()
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	if o := add(); o.fence != "" {
		t.Errorf("nobody's: %+v", o)
	}
	o := add(entry{Do: "claim", Fence: "A/0", Rollout: "r1"}, entry{Do: "begun", Fence: "A/0", Rollout: "r1"}, entry{Do: "done", Fence: "A/0", Rollout: "r1", Hook: "deploy"},
		entry{Do: "claim", Fence: "B/0", From: "A/0", Rollout: "r1"}, entry{Do: "close", Fence: "B/0"})
	if o.fence != "A/0" || o.closed || !o.done["deploy"] || !o.begun["r1"] {
		t.Errorf("a live fence was taken: %+v", o)
	}
	o = add(entry{Do: "seize", Fence: "A/1", Rollout: "r1"}, entry{Do: "claim", Fence: "A/0", Rollout: "r1"}, entry{Do: "done", Fence: "A/0", Rollout: "r1", Hook: "switch"})
	if o.fence != "A/1" || len(o.done) != 0 || !o.begun["r1"] {
		t.Errorf("an older epoch counted: %+v", o)
	}
	o = add(entry{Do: "close", Fence: "A/1"}, entry{Do: "seize", Fence: "A/2"}, entry{Do: "claim", Fence: "B/0", From: "A/1", Rollout: "r1"})
	if o.fence != "A/2" {
		t.Errorf("a claim on what was free a moment ago won: %+v", o)
	}
	o = add(entry{Do: "close", Fence: "A/2"}, entry{Do: "claim", Fence: "B/0", From: "A/2", Rollout: "r1"})
	if o.fence != "B/0" || o.closed || o.begun["r1"] {
		t.Errorf("the next incident: %+v", o)
	}
	file, err := os.OpenFile(l.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	file.WriteString(`{"do":"seize","fence":"A/`) // a crash tore it
	file.Close()
	if o = add(entry{Do: "close", Fence: "B/0"}); !o.closed {
		t.Errorf("behind a torn line: %+v", o)
	}
	info, err := os.Stat(l.path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
