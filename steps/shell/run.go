package shell

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"mayday/state"
)

// Times of ending a command, real time.
const (
	termGrace = 2 * time.Second // between SIGTERM and SIGKILL
	// quietPolls is how often, every 10 ms, a group whose command has ended and
	// whose output is closed is looked at before it is killed.
	quietPolls = 10
	lingering  = 300 * time.Millisecond // for output after the command's end
	// dying is how long a killed group is waited for. A kill takes effect when the
	// kernel gets to it; one in the middle of a read from a dead disk never ends, and
	// the dead that nobody buries cannot be told from the living.
	dying = 500 * time.Millisecond
)

// Spec is one command to run.
type Spec struct {
	Args []string // program and arguments; a program with a slash is relative to Dir
	Dir  string   // must exist
	// Env is added to this process's environment ("NAME=value"); a name alone
	// takes the variable away.
	Env     []string
	Timeout time.Duration // real time; 0: only the context bounds it
	Input   *os.File      // its standard input, from where it stands; nil: /dev/null
	Output  io.Writer     // live lines, cleaned and redacted; nil: not wanted
	Redact  *Redactor
	// Keep keeps this many bytes of the standard output, raw, in Result.Stdout
	// instead of passing them to Output.
	Keep int
	// Sweep ends what the command leaves running in its process group when it ends by
	// itself: what is run every few seconds must not leave a daemon each time.
	Sweep bool

	wrap    []string // runs Args; messages do not name it
	inherit *os.File // the command's file descriptor inheritedFD; closed here once it started
}

// inheritedFD is out of the way of what scripts open themselves.
const inheritedFD = 100

// Result is how a command ended.
type Result struct {
	Exit     int           // exit code; 128 + signal where one ended it; -1 if it never started
	Duration time.Duration // real time
	Stdout   []byte        // see Spec.Keep
	Last     []string      // the last lines of output that say anything, clean and redacted
}

var errTimedOut = errors.New("timed out")

// Run runs one command to its end. It blocks until the command and, after a
// time-out or a cancellation, its whole process group have ended; half a second at
// most for what is killed and does not go.
//
// Errors are [*state.Problem]s with these codes: "exit" (it ran, and failed),
// "timed-out", "cancelled" (also errors.Is of ctx.Err()), "not-found" (no such
// program), "no-directory", "not-started".
func Run(ctx context.Context, s Spec) (Result, error) {
	res := Result{Exit: -1}
	if len(s.Args) == 0 || s.Args[0] == "" {
		return res, &state.Problem{What: "There is no command to run", Why: "its run list is empty",
			Do: "Give the program and its arguments in the runbook: run: [make, test].", Code: "not-found"}
	}
	if err := ctx.Err(); err != nil {
		return res, cancelled(s, err)
	}
	if s.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, s.Timeout, errTimedOut)
		defer stop()
	}
	began := time.Now()
	p, err := start(s)
	if err != nil {
		return res, err
	}
	st, ended := p.wait(ctx, s.Sweep)
	res.Exit = exitCode(st)
	res.Duration = time.Since(began)
	res.Last = p.lines.finish()
	res.Stdout = p.stdout.Bytes()
	switch {
	case ended && errors.Is(context.Cause(ctx), errTimedOut):
		return res, timedOut(s, res)
	case ended:
		return res, cancelled(s, ctx.Err())
	case res.Exit != 0:
		return res, failed(s, res, st)
	}
	return res, nil
}

// process is a started command and the goroutines that read its output.
type process struct {
	cmd     *exec.Cmd
	lines   *liner
	stdout  bytes.Buffer
	pipes   []*os.File
	readers sync.WaitGroup
	silent  chan struct{} // closed when all output has ended
}

func start(s Spec) (*process, error) {
	if info, err := os.Stat(s.Dir); s.Dir != "" && (err != nil || !info.IsDir()) {
		return nil, &state.Problem{What: "Cannot run " + Quote(s.Args), Why: "the folder " + s.Dir + " does not exist",
			Do: "Correct dir in the runbook, or make the folder.", Code: "no-directory"}
	}
	p := &process{lines: &liner{out: s.Output, redact: s.Redact}, silent: make(chan struct{})}
	args := append(slices.Clone(s.wrap), s.Args...)
	p.cmd = exec.Command(args[0], args[1:]...)
	if s.inherit != nil {
		p.cmd.ExtraFiles = make([]*os.File, inheritedFD-2)
		p.cmd.ExtraFiles[inheritedFD-3] = s.inherit
	}
	p.cmd.Dir, p.cmd.Env = s.Dir, environ(s.Env)
	if s.Input != nil {
		p.cmd.Stdin = s.Input
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var writers []*os.File
	pipe := func(sink func([]byte), end func()) (*os.File, error) {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		p.pipes, writers = append(p.pipes, r), append(writers, w)
		p.readers.Go(func() { drain(r, sink); end() })
		return w, nil
	}
	w, err := pipe(p.lines.write, p.lines.end)
	if err == nil {
		p.cmd.Stdout, p.cmd.Stderr = w, w
		if s.Keep > 0 {
			w, err = pipe(func(b []byte) { p.stdout.Write(b[:min(len(b), s.Keep-p.stdout.Len())]) }, func() {})
			p.cmd.Stdout = w
		}
	}
	if err == nil {
		err = p.cmd.Start()
	}
	for _, w := range append(writers, s.inherit) {
		_ = w.Close() // the child has its own; ours would keep the pipe from ending
	}
	go func() { p.readers.Wait(); close(p.silent) }()
	if err != nil {
		p.close()
		return nil, notStarted(s, err)
	}
	return p, nil
}

// close waits for the readers, a moment longer for what still writes.
func (p *process) close() {
	for _, r := range p.pipes {
		_ = r.SetReadDeadline(time.Now().Add(lingering))
	}
	<-p.silent
	for _, r := range p.pipes {
		_ = r.Close()
	}
}

// drain reads until the pipe ends. After the read deadline, which close sets, it
// takes what the pipe still holds (at most its largest size) and stops: something
// else holds the other end.
func drain(r *os.File, sink func([]byte)) {
	buf := make([]byte, 64<<10)
	left := -1 // bytes that may still be read; -1: any
	for left != 0 {
		n, err := r.Read(buf)
		sink(buf[:n])
		switch {
		case err == nil && left < 0:
			continue
		case err == nil:
			left = max(left-n, 0)
		case errors.Is(err, os.ErrDeadlineExceeded) && left < 0:
			left = 1 << 20
		default:
			return
		}
		_ = r.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	}
}

// wait waits for the command's end; ended says that the context ended it.
func (p *process) wait(ctx context.Context, sweep bool) (st *os.ProcessState, ended bool) {
	exited := make(chan struct{})
	go func() {
		_ = p.cmd.Wait() // the state says more than the error
		close(exited)
	}()
	select {
	case <-exited:
		if sweep {
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // mostly nobody is left
		}
	case <-ctx.Done():
		ended = true
		p.end(exited)
	}
	p.close()
	return p.cmd.ProcessState, ended
}

// end stops the whole group and returns when the command itself is gone.
func (p *process) end(exited <-chan struct{}) {
	group := -p.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	deadline := time.NewTimer(termGrace)
	defer deadline.Stop()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for quiet := 0; quiet < quietPolls; {
		select {
		case <-poll.C:
			// Signal 0 only asks whether anybody is left; the dead that nobody has
			// buried yet count, so silence counts too.
			if errors.Is(syscall.Kill(group, 0), syscall.ESRCH) {
				<-exited
				return // nobody is left, and the number may soon be another's
			}
			if isClosed(exited) && isClosed(p.silent) {
				quiet++
			}
		case <-deadline.C:
			quiet = quietPolls
		}
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-exited
	for left := dying; left > 0 && !errors.Is(syscall.Kill(group, 0), syscall.ESRCH); left -= time.Millisecond {
		time.Sleep(time.Millisecond)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func environ(extra []string) []string {
	env := append(os.Environ(), "GIT_TERMINAL_PROMPT=0")
	for _, e := range extra {
		if strings.Contains(e, "=") {
			env = append(env, e) // of two, the last counts
			continue
		}
		kept := env[:0]
		for _, have := range env {
			if name, _, _ := strings.Cut(have, "="); name != e {
				kept = append(kept, have)
			}
		}
		env = kept
	}
	return env
}

func exitCode(st *os.ProcessState) int {
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return st.ExitCode()
}

func notStarted(s Spec, err error) error {
	p := &state.Problem{What: "Cannot run " + s.Redact.Text(Quote(s.Args)), Why: state.Clean(err.Error()),
		Do: "Try the command by hand.", Code: "not-started"}
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		p.Why = "there is no program " + s.Args[0]
		if strings.Contains(s.Args[0], "/") {
			p.Why += " (seen from " + s.Dir + "), or the interpreter in its first line does not exist"
		} else {
			p.Why += " in PATH"
		}
		p.Do = "Install it, or correct the command in the runbook."
		p.Code = "not-found"
	case errors.Is(err, fs.ErrPermission):
		p.Why = s.Args[0] + " is not executable"
		p.Do = "chmod +x " + s.Args[0]
	}
	return fmt.Errorf("%w", p)
}

func failed(s Spec, r Result, st *os.ProcessState) error {
	how := fmt.Sprintf("exit code %d", r.Exit)
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		how = "signal: " + ws.Signal().String()
	}
	return &state.Problem{What: s.Redact.Text(Quote(s.Args)) + " failed with " + how, Why: said(r.Last),
		Do: "Read its output, put right what it says, and run it again.", Code: "exit"}
}

func timedOut(s Spec, r Result) error {
	return &state.Problem{What: fmt.Sprintf("%s took longer than %s and was stopped", s.Redact.Text(Quote(s.Args)), state.Duration(s.Timeout)),
		Why: said(r.Last), Do: "Run it again, or allow it more time: timeout in the runbook.", Code: "timed-out"}
}

func cancelled(s Spec, cause error) error {
	return fmt.Errorf("%w (%w)", &state.Problem{What: s.Redact.Text(Quote(s.Args)) + " was cancelled",
		Do: "Run it again when you want it.", Code: "cancelled"}, cause)
}

// said gives the last words of an output for a message.
func said(last []string) string {
	if len(last) == 0 {
		return "it printed nothing"
	}
	return state.Clean(strings.Join(last[max(len(last)-3, 0):], " / "))
}
