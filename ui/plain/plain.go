// Package plain is mayday without a screen: an append-only stream of lines with
// numbered prompts, for screen readers, logs and terminals that can do nothing
// else. It speaks to the same session as the cockpit.
package plain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"mayday/state"
)

// Session is what plain needs of the connection to the keeper; the cockpit's fits.
type Session interface {
	Frames() <-chan state.Frame
	Do(ctx context.Context, want state.Intent) (state.Answer, error)
	RollbackHere(ctx context.Context) error
}

// Options say where lines come from and go to.
type Options struct {
	Session Session
	Input   io.Reader
	Output  io.Writer
	Now     func() time.Time
}

// How long an intent may take, and one that rolls back. Real time.
const (
	askTime  = 30 * time.Second
	armTime  = time.Second
	hereTime = 15 * time.Minute
)

// runner is one stream. Its fields belong to Run's goroutine.
type runner struct {
	o        Options
	ctx      context.Context
	scene    *state.Scene
	asked    string // the item last prompted for
	want     func(line string)
	offering bool // want answers an item's numbered question, not one for words
	quit     bool
	here     bool // a rollback of this process runs
	werr     error
	proofs   map[string]state.Proof // the last one of each rollout

	wg      sync.WaitGroup
	results chan func() // what answers do, to be called by Run's goroutine
}

// recent is how many events of the past are read out; the others are counted.
const recent = 15

// inFlight bounds the intents that wait for their answers.
const inFlight = 16

// Run prints what happens and does what the lines typed say, until "quit", the end
// of the session or ctx. At the end of the input it goes on printing until the
// session ends. A rollback asked for that no keeper has taken on is done by this
// process before Run returns.
func Run(ctx context.Context, o Options) (*state.Scene, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &runner{o: o, ctx: ctx, scene: state.NewScene(), proofs: map[string]state.Proof{}, results: make(chan func(), inFlight)}
	r.stream(ctx)
	cancel()
	r.settle()
	return r.scene, r.werr
}

func (r *runner) stream(ctx context.Context) {
	lines, stop := readLines(ctx, r.o.Input)
	defer stop()
	frames := r.o.Session.Frames()
	for !r.quit && r.werr == nil {
		select {
		case <-ctx.Done():
			return
		case f, ok := <-frames:
			if !ok {
				r.print("The session ended.")
				return
			}
			r.frame(f)
			if len(frames) == 0 && r.scene.Incident.Seq >= r.scene.Hello.Head { // not amid history
				r.prompt()
			}
		case done := <-r.results:
			done()
			r.prompt()
		case line, ok := <-lines:
			if !ok {
				lines = nil
				continue
			}
			r.line(line)
		}
	}
}

// settle waits for what still runs, and does what its answers ask for: who leaves right
// after R means it.
func (r *runner) settle() {
	for {
		r.wg.Wait()
		select {
		case done := <-r.results:
			done()
		default:
			return
		}
	}
}

// readLines reads in its own goroutine, because a read cannot be interrupted; a
// line nobody wants any more is dropped. stop does not wait for a read that hangs.
func readLines(ctx context.Context, in io.Reader) (<-chan string, func()) {
	out := make(chan string)
	done := make(chan struct{})
	var once sync.Once
	if in == nil {
		close(out)
		return out, func() {}
	}
	go func() {
		defer close(out)
		sc := bufio.NewScanner(in)
		sc.Buffer(make([]byte, 64<<10), 1<<20)
		for sc.Scan() {
			select {
			case out <- sc.Text():
			case <-done:
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, func() { once.Do(func() { close(done) }) }
}

func (r *runner) print(format string, args ...any) {
	if _, err := fmt.Fprintf(r.o.Output, format+"\n", args...); err != nil && r.werr == nil {
		r.werr = fmt.Errorf("write: %w", err)
	}
}

// frame prints an event as a line of the timeline, and output as it comes.
func (r *runner) frame(f state.Frame) {
	if err := r.scene.Fold(f); err != nil {
		r.print("This stream missed an event and may be wrong: %v", err)
		return
	}
	in := r.scene.Incident
	switch {
	case f.Hello != nil:
		r.print("mayday, incident %s. Type a number to answer, help for the commands, R to roll back.", f.Hello.Incident)
	case f.Event != nil && f.Event.Seq+recent <= r.scene.Hello.Head:
		if f.Event.Seq+recent == r.scene.Hello.Head {
			r.print("%d earlier events; mayday journal cat prints them.", f.Event.Seq)
		}
	case f.Event != nil && r.repeats(*f.Event):
	case f.Event != nil:
		s := in.Say(*f.Event)
		word := ""
		if s.Tone == state.ToneBad || s.Tone == state.ToneWarned || s.Tone == state.ToneUnknown {
			word = string(s.Tone) + ": "
		}
		r.print("%s %s, %s: %s%s", f.Event.Time.Format("15:04:05"), f.Event.Actor.User, s.Tag, word, s.Text)
		if p, ok := f.Event.Fact.(state.RollbackPrimed); ok {
			r.primed(p, f.Event.Actor)
		}
		if e, ok := f.Event.Fact.(state.RollbackFinished); ok {
			for i, c := range e.Manual {
				r.print("By hand, %d: %s", i+1, state.Clean(c))
			}
		}
	case f.Output != nil:
		r.print("  %s: %s", f.Output.Item, state.Clean(f.Output.Text))
	case f.Journal != nil && (f.Journal.Spooled > 0 || f.Journal.Err != ""):
		r.print("Journal: %d events wait to be written. %s", f.Journal.Spooled, f.Journal.Err)
	case f.Lost != "":
		r.print("The keeper is lost: %s", f.Lost)
	}
}

// primed says what an armed rollback asks for. An R that a silent keeper found when it
// went on, while this process rolls back already, is taken back: both at once would be
// in each other's way.
func (r *runner) primed(p state.RollbackPrimed, by state.Actor) {
	if you := r.scene.Hello.You; r.here && by.User == you.User && by.Host == you.Host {
		r.print("The keeper answers again. This process rolls back already, so the keeper is stopped.")
		r.do(state.Disarm{})
		return
	}
	r.print("The rollback runs in %.0f seconds. Type fire to run it now, or c to stop it.", p.Deadline.Sub(r.o.Now()).Seconds())
}

// repeats reports whether an event proves only again what was proven: nobody wants to
// hear that every half minute.
func (r *runner) repeats(e state.Event) bool {
	f, ok := e.Fact.(state.RollbackProven)
	if !ok {
		return false
	}
	last, had := r.proofs[f.Rollout]
	r.proofs[f.Rollout] = f.Proof
	return had && f.Proof.Repeats(last)
}

// ask sends an intent without holding the stream up: R must work while an answer
// is waited for. then, if given, gets the answer; a refusal is printed.
func (r *runner) ask(want state.Intent, then func(state.Answer)) {
	r.background(askTime, func(ctx context.Context) func() {
		a, err := r.o.Session.Do(ctx, want)
		return func() {
			if r.ctx.Err() != nil {
				return // nobody reads it any more
			}
			if err != nil {
				r.print("Refused: %v", state.AsProblem(err))
				r.asked = ""
				return
			}
			if then != nil {
				then(a)
			}
		}
	})
}

func (r *runner) do(want state.Intent) { r.ask(want, nil) }

// background runs f with a time-out and hands what it returns back to the stream.
func (r *runner) background(limit time.Duration, f func(context.Context) func()) {
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		ctx, cancel := context.WithTimeout(r.ctx, limit)
		defer cancel()
		done := f(ctx)
		select {
		case r.results <- done: // also when the stream ends just now, for settle
			return
		default:
		}
		select {
		case r.results <- done:
		case <-r.ctx.Done():
		}
	}()
}

// rollback arms or fires. Without an answer within a second this process does it.
func (r *runner) rollback(want state.Intent) {
	r.background(armTime, func(context.Context) func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), armTime)
		defer cancel()
		_, err := r.o.Session.Do(ctx, want)
		var p *state.Problem
		switch {
		case err == nil:
			return func() {}
		case errors.As(err, &p) && !errors.Is(err, context.DeadlineExceeded):
			return func() { r.print("Refused: %v", p) }
		}
		return r.rollHere
	})
}

// rollHere rolls back from this process; leaving the stream does not stop it.
func (r *runner) rollHere() {
	if r.here {
		return
	}
	r.here = true
	r.print("The keeper does not answer. Rolling back from this process.")
	if r.scene.Incident.Rollback.Status == state.RollbackArmed {
		r.do(state.Disarm{}) // should it go on, it must not do the same beside this process
	}
	r.background(armTime, func(context.Context) func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), hereTime)
		defer cancel()
		err := r.o.Session.RollbackHere(ctx)
		return func() {
			r.here = false
			if err != nil {
				r.print("The rollback failed: %v", state.AsProblem(err))
				return
			}
			r.print("The rollback is done.")
		}
	})
}
