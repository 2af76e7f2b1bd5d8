package shell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mayday/state"
	"mayday/steps"
)

// A hook must not begin once another owns the environment, and one that has begun
// must be found by whoever takes over, be it that the mayday which started it is
// stopped or dead. So the last look at the fence is the child's own: it writes down
// who it is, then looks whether anything was added to the ledger since its mayday
// looked. A rollback adds its line, then looks who runs: either the child sees the
// line, or the rollback sees the child. The child says itself that the hook ended
// well, so that a dead mayday's hook is not run twice.
//
// The file in which a child says who it is, is locked for as long as any of its
// processes lives: they inherit the lock.
const childScript = `mayday_run=$1 mayday_log=$2 mayday_size=$3 mayday_done=$4
shift 4
echo "$$" >"$mayday_run"
if [ "$(wc -c <"$mayday_log")" -ne "$mayday_size" ]; then echo fenced >"$mayday_run"; exit 1; fi
trap : TERM INT HUP
"$@"
mayday_code=$?
if [ "$mayday_code" -eq 0 ] && [ -n "$mayday_done" ]; then printf '\n%s\n' "$mayday_done" >>"$mayday_log"; fi
exit "$mayday_code"`

// fencePoll is how often what runs is looked at (real time).
const fencePoll = 10 * time.Millisecond

// run runs a command while f owns the environment. done, where it is given, is
// written down when it ended well. The error is steps.ErrFenced where somebody took
// over before it began; who takes over later ends it.
func (l ledger) run(ctx context.Context, s Spec, f steps.Fence, done *entry, environment string) (Result, error) {
	line := ""
	if done != nil {
		b, err := json.Marshal(done)
		if err != nil {
			return Result{Exit: -1}, err
		}
		line = string(b)
	}
	for {
		o, err := l.read()
		if err == nil && o.fence != fenceText(f) {
			if err = o.admit(f, environment); err == nil {
				err = fenced(&state.Problem{Code: "fenced", What: environment + " belongs to nobody any more", Why: "its fence is " + o.fence})
			}
		}
		if err != nil {
			return Result{Exit: -1}, err
		}
		res, began, err := l.child(ctx, s, o.size, line)
		if began || err != nil && ctx.Err() != nil || state.HasCode(err, "fence") {
			return res, err
		}
	}
}

// child runs the command once; began is false where it saw that the ledger had grown.
func (l ledger) child(ctx context.Context, s Spec, size int64, line string) (res Result, began bool, err error) {
	file, err := os.CreateTemp(filepath.Dir(l.path), filepath.Base(l.path)+".run-")
	if err == nil {
		if err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			err = errors.Join(err, file.Close())
		}
	}
	if err != nil {
		return Result{Exit: -1}, false, l.problem(err)
	}
	defer func() { _ = os.Remove(file.Name()) }() // one that stays is found unlocked, and removed then
	s.wrap = []string{"sh", "-c", childScript, "mayday", file.Name(), l.path, strconv.FormatInt(size, 10), line}
	s.inherit = file
	res, err = Run(ctx, s)
	_ = file.Close() // of a command that was never started
	return res, l.said(file.Name()) != "fenced", err
}

func (l ledger) said(name string) string {
	b, _ := os.ReadFile(name)
	return strings.TrimSpace(string(b))
}

// runner is a hook that runs, as its file says.
type runner struct {
	name string
	file *os.File
	pid  int // leads its process group; 0: it has not looked at the fence yet
}

// running finds who runs, and removes what those left that are gone.
func (l ledger) running() ([]runner, error) {
	names, err := filepath.Glob(l.path + ".run-*")
	if err != nil {
		return nil, err
	}
	var out []runner
	for _, name := range names {
		file, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return out, l.problem(err)
		}
		r := runner{name: name, file: file}
		r.pid, _ = strconv.Atoi(l.said(name))
		if !r.gone() {
			out = append(out, r)
			continue
		}
		// One without a word is perhaps just being made.
		if info, err := file.Stat(); err == nil && (r.pid > 0 || time.Since(info.ModTime()) > time.Minute) {
			_ = os.Remove(name)
		}
		_ = file.Close()
	}
	return out, nil
}

// gone reports whether no process holds the file any more.
func (r runner) gone() bool {
	if unix.Flock(int(r.file.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil {
		return false
	}
	_ = unix.Flock(int(r.file.Fd()), unix.LOCK_UN)
	return true
}

// stop ends every hook that runs, politely for termGrace, and reports how many it
// ended. What has not begun yet will see who owns the environment.
func (l ledger) stop(out io.Writer) (int, error) {
	list, err := l.running()
	n := 0
	for _, r := range list {
		if r.pid > 1 {
			fmt.Fprintf(out, "ending the hook that runs (process group %d)\n", r.pid)
			r.end()
			n++
		}
		_ = r.file.Close()
	}
	return n, err
}

func (r runner) end() {
	_ = syscall.Kill(-r.pid, syscall.SIGTERM)
	deadline := time.Now().Add(termGrace)
	for quiet := 0; quiet < quietPolls && time.Now().Before(deadline); time.Sleep(fencePoll) {
		if errors.Is(syscall.Kill(-r.pid, 0), syscall.ESRCH) {
			return
		}
		if r.gone() { // what is left has let go of the file, or is dead and unburied
			quiet++
		}
	}
	_ = syscall.Kill(-r.pid, syscall.SIGKILL)
	for deadline = time.Now().Add(termGrace); !r.gone() && time.Now().Before(deadline); {
		time.Sleep(fencePoll)
	}
}

// settle waits until no hook of a mayday that is gone runs any more: two at once
// would be worse than a wait.
func (l ledger) settle(ctx context.Context, out io.Writer) error {
	told := false
	for {
		list, err := l.running()
		busy := 0
		for _, r := range list {
			if r.pid > 1 && !errors.Is(syscall.Kill(r.pid, 0), syscall.ESRCH) {
				busy = r.pid
			}
			_ = r.file.Close()
		}
		if err != nil || busy == 0 {
			return err
		}
		if !told {
			told = true
			fmt.Fprintf(out, "an earlier run of a hook is still at work (process group %d); waiting for its end\n", busy)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the hook that runs: %w", ctx.Err())
		case <-time.After(10 * fencePoll):
		}
	}
}
