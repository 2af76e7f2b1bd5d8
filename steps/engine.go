package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// Journal is where the Engine writes what happens, before and after it happens.
type Journal interface {
	// Append writes facts as events after the head and returns them (and among them
	// a checkpoint, where one was due). After an error nothing was written.
	Append(at time.Time, actor state.Actor, expect uint64, facts ...state.Fact) ([]state.Event, error)
	// Checkpoint signs the journal up to its head, as one more event (or none).
	Checkpoint(at time.Time) ([]state.Event, error)
	Head() (seq uint64, hash string)
	Signed() uint64
}

// Checker makes one of the runbook's HTTP checks and says in a line what came back.
type Checker interface {
	Check(ctx context.Context, env runbook.Environment, c runbook.Check) (string, error)
}

// Messenger renders messages and knows which channels an audience has.
type Messenger interface {
	Render(occasion, audience string, in *state.Incident, now time.Time, extra map[string]string) (string, error)
	// Channels has two audiences beside the runbook's: "alerts" are those of "pages" that
	// want to know who has it and that it is over, "changes" those that want to know of
	// every change to production.
	Channels(audience string) []string
	Corrects(channel string) bool // it can change what it has sent
}

// Samples keeps the readings for replay, and for the next keeper. Add must not block on
// the disk; Flush hands what was added to the operating system, and may wait for it.
type Samples interface {
	// A notice is something to tell the operator once: that the recording is thinned.
	Add(samples ...state.Sample) (notice string, err error)
	Flush() error
}

// Options is what an Engine is wired with. All are required but those that say so.
type Options struct {
	Journal    Journal
	History    []state.Event // what the journal held when it was opened
	Runbook    *runbook.Runbook
	Actions    map[string]Action   // by item ID
	Strategies map[string]Strategy // by name
	Traffic    Traffic             // optional
	Checker    Checker
	Signers    Signers // optional: then an approval needs no signature
	Messenger  Messenger
	Samples    Samples
	Output     func(run string) (io.WriteCloser, error) // where a run's output is kept
	Redact     func(string) string                      // takes secrets out of output
	Evidence   string                                   // folder
	Actor      state.Actor                              // this keeper
	Now        func() time.Time                         // real time
	Clock      state.Clock
	// Probes gets the probes whenever they change. Optional.
	Probes func([]state.Probe)
	// Reach gives how long after a bad event a probe's readings may still look good
	// (incident time), as state.Probe keeps it. Optional: then none does.
	Reach func(state.Probe) state.Duration
	// Past are recorded samples, oldest first: what was seen under the last keeper is on
	// screen again, and a first reading is compared with it. Optional.
	Past []state.Sample
	// Papers writes what remains of an incident into its folder (the report, the
	// knowledge-base article, the alert-tuning list, the review's invitation), each as a
	// whole, and gives them as evidence, by the names of Paper…. The samples are on the
	// disk. Optional.
	Papers func(in *state.Incident, events []state.Event) ([]state.Evidence, error)
	// Background runs beside the Engine from Start to Close, which waits for it:
	// the outbox, the hub. An error is journaled as a warning.
	Background []func(ctx context.Context, e *Engine) error
	// Urgent is what this process became the keeper for, where that is a rollback: it
	// begins before anything else does. The answer to it is that to the same intent by
	// Do, which does it no second time. Optional.
	Urgent *state.Fire
}

// Engine is the single owner of everything that acts in one incident. It folds the
// journal, answers intents, runs actions and rollouts, judges gates, keeps the
// clocks and owns the rollback. It knows no screen. Safe for concurrent use.
type Engine struct {
	o Options

	// turn is held while an event is written and folded: a channel, so that the
	// rollback can give up waiting for a disk that hangs.
	turn chan struct{}

	mu      sync.Mutex // guards everything below; never held during IO
	in      *state.Incident
	events  []state.Event
	series  map[string]*state.Series
	spool   []entry       // applied, not yet written
	written []state.Event // of the spool, as the journal wrote them
	base    int           // where the spool begins in events
	late    []entry       // not even applied: the writer hangs
	jerr    string
	letters int              // messages made so far
	running map[string]*work // by item
	subs    map[*subscriber]struct{}
	changed chan struct{} // closed and replaced after every event

	// key orders R, its stop and its fire; held for no longer than journalPatience.
	// Taken before mu.
	key sync.Mutex
	arm *arming // the grace of an armed rollback; guarded by key

	stuck   string        // the production rollout that waits for the disk; "" none
	began   string        // the rollout whose rollback began last, whatever the fold knows
	undone  string        // the rollout that was taken back last
	rolling bool          // a rollback is in its lane
	whole   bool          // it takes the database back too
	lane    chan struct{} // closed when every rollback so far has ended; nil before the first
	leaving bool          // Close has begun: the next keeper answers
	ended   bool          // nothing new starts any more
	closed  bool          // nothing more will be said
	poke    chan struct{} // what runs by itself may have become possible
	relook  chan struct{} // what is known of the last release may have changed
	reprove chan struct{} // a stage has changed what the rollback plan starts from
	added   chan struct{} // there are samples to write

	begun chan struct{} // closed once what runs by itself runs

	ctx    context.Context // ends the actions
	cancel context.CancelFunc
	wg     sync.WaitGroup // everything but the rollbacks
}

type entry struct {
	at    time.Time
	actor state.Actor
	fact  state.Fact
}

// NewEngine folds the history. Nothing runs before Start.
func NewEngine(o Options) (*Engine, error) {
	in, err := state.Fold(o.History)
	if err != nil {
		return nil, fmt.Errorf("fold the journal: %w", err)
	}
	e := &Engine{o: o, turn: make(chan struct{}, 1), in: in, events: append([]state.Event(nil), o.History...),
		series: map[string]*state.Series{}, running: map[string]*work{},
		subs: map[*subscriber]struct{}{}, changed: make(chan struct{}), begun: make(chan struct{}), poke: make(chan struct{}, 1), relook: make(chan struct{}, 1), reprove: make(chan struct{}, 1), added: make(chan struct{}, 1)}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.remember(o.Past)
	return e, nil
}

// Start takes the incident over: it journals the keeper, marks what was running as
// interrupted, finishes a rollback that its last keeper left, and starts clocks,
// background work and what runs by itself.
func (e *Engine) Start() error {
	old := e.Incident().Keeper
	took := old.PID != 0
	started := state.KeeperStarted{TookOver: took, From: old}
	if _, err := e.record(e.o.Actor, started); err != nil {
		if rb := e.Incident().Rollback.Status; rb != state.RollbackRunning && rb != state.RollbackArmed {
			return fmt.Errorf("journal the keeper: %w", err)
		}
		e.must(e.o.Actor, started) // a rollback half way does not wait for a disk
	}
	e.pickUp()
	if u := e.o.Urgent; u != nil && e.wanted(u.Version) == nil {
		_ = e.fireByHand(e.o.Actor, undoing{u.Trigger, u.WithDatabase}) // Do says why not
	}
	e.mu.Lock()
	lane, rolling := e.lane, e.rolling
	e.mu.Unlock()
	if !rolling {
		e.begin()
		return nil
	}
	e.spawn(func() { within(headStart, lane); e.begin() })
	return nil
}

// headStart is what a rollback that begins with its keeper gets before everything that
// runs by itself (real time): it is what somebody waits for, and a second later there
// are still clocks, probes and pages.
const headStart = time.Second

// begin starts all that runs by itself.
func (e *Engine) begin() {
	e.lookAround()
	e.compareWithBefore()
	for _, b := range e.o.Background {
		e.spawn(func() {
			if err := b(e.ctx, e); err != nil && !errors.Is(err, context.Canceled) {
				e.warn("background work ended: "+err.Error(), true)
			}
		})
	}
	e.layProbes()
	e.pageWhoIsDue(e.Now())
	e.spawn(func() { e.keepClocks(e.ctx) })
	e.spawn(func() { e.recorder(e.ctx) })
	e.spawn(func() { e.prover(e.ctx) })
	e.spawn(func() { e.watchRelease(e.ctx) })
	e.spawn(func() { e.sentry(e.ctx) })
	// Beside the caller, who has yet to let clients in: an action that looks at a
	// remote before it starts must not keep them waiting.
	e.spawn(e.runAutos)
	e.autos()
	close(e.begun)
}

// Settle waits until no rollback runs and what runs by itself has begun, or until ctx
// ends: whom the keeper has to tell by then is in its messages.
func (e *Engine) Settle(ctx context.Context) {
	over := make(chan struct{})
	go func() { defer close(over); e.lanes() }() // a rollback ends, at the latest in its own time
	for _, c := range []<-chan struct{}{over, e.begun} {
		select {
		case <-c:
		case <-ctx.Done():
			return
		}
	}
}

// spawn runs f in a goroutine that Close waits for; after Close not at all.
func (e *Engine) spawn(f func()) {
	e.mu.Lock()
	if e.ended {
		e.mu.Unlock()
		return
	}
	e.wg.Add(1)
	e.mu.Unlock()
	go func() {
		defer e.wg.Done()
		if err := guarded(f); err != nil {
			e.warn("a part of the keeper stopped: "+err.Error(), true)
		}
	}()
}

// Close finishes an armed or running rollback, stops everything else where it
// stands, and says so in the journal. The rollout that was running is found
// interrupted by the next keeper. Intents that come meanwhile are refused with the
// code "leaving": nothing was done, and the next keeper answers.
func (e *Engine) Close(why string) error {
	e.mu.Lock()
	e.leaving = true
	e.mu.Unlock()
	if !e.fireArmed() && e.alone() {
		e.fire(e.mayday(), "the last cockpit ended in mid-rollout (rollback.on_exit)")
	}
	e.lanes()
	e.mu.Lock()
	e.ended = true
	e.mu.Unlock()
	e.cancel()
	e.wg.Wait()
	e.lanes() // a gate may have pulled the rollback meanwhile
	_, err := e.record(e.o.Actor, state.KeeperStopped{Why: why})
	e.mu.Lock()
	e.closed = true
	for s := range e.subs {
		s.close()
	}
	if unwritten := len(e.spool) + len(e.late); unwritten > 0 {
		err = &state.Problem{Code: "journal", What: fmt.Sprintf("%d events are not in the journal and end with this process", unwritten),
			Why: state.Clean(e.jerr), Do: "Note what was done by hand; the cluster's objects carry the incident and its epoch."}
	}
	e.mu.Unlock()
	if flushed := e.o.Samples.Flush(); err == nil {
		err = flushed
	}
	return err
}

// fireArmed fires what is armed, and reports whether something was.
func (e *Engine) fireArmed() bool {
	e.key.Lock()
	defer e.key.Unlock()
	if e.arm == nil {
		return false
	}
	e.fireKeyed(func() {}, e.o.Actor, undoing{trigger: "the process was told to end while R was armed"})
	return true
}

// alone reports whether nobody is left with a rollout under way, and the runbook
// wants it taken back then.
func (e *Engine) alone() bool {
	in := e.Incident()
	r := in.Production()
	if e.o.Runbook.Rollback.OnExit != "rollback" || r == nil || r.Status != state.RolloutRunning && r.Status != state.RolloutAsking {
		return false
	}
	for _, p := range in.Here {
		if p.Actor.PID != e.o.Actor.PID {
			return false
		}
	}
	return true
}

// lanes waits until no rollback runs.
func (e *Engine) lanes() {
	var seen chan struct{}
	for {
		e.mu.Lock()
		lane := e.lane
		e.mu.Unlock()
		if lane == seen {
			return
		}
		<-lane
		seen = lane
	}
}

// inLane runs a rollback beside everything else; database: it takes that back too. It
// needs mu.
func (e *Engine) inLane(database bool, f func()) {
	before, done := e.lane, make(chan struct{})
	e.lane, e.rolling, e.whole = done, true, database
	go func() {
		defer close(done)
		if err := guarded(f); err != nil {
			e.mu.Lock()
			e.rolling = false // R can be pressed again
			e.mu.Unlock()
			e.must(e.mayday(), state.Warned{Text: e.clean("the rollback's lane failed: " + err.Error()), Sticky: true})
		}
		if before != nil {
			<-before
		}
	}()
}

// Now is the incident clock.
func (e *Engine) Now() time.Time { return e.o.Clock.At(e.o.Now()) }

// Incident gives a copy of the fold.
func (e *Engine) Incident() *state.Incident {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.in.Clone()
}

// Events gives the events so far; the slice must not be changed.
func (e *Engine) Events() []state.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.events[:len(e.events):len(e.events)]
}

// Changed gives a channel that is closed at the next event.
func (e *Engine) Changed() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.changed
}

// Record journals a fact as the keeper's own: for background work.
func (e *Engine) Record(f state.Fact) error {
	_, err := e.record(e.o.Actor.As(state.Mayday), f)
	return err
}

// warn journals something the operator must know. Its own failure is visible
// already: the journal's state is on every screen.
func (e *Engine) warn(text string, sticky bool) {
	_, _ = e.record(e.mayday(), state.Warned{Text: e.clean(text), Sticky: sticky})
}

// clean makes one line of text from outside fit for screen and journal: no control
// sequences, no secrets.
func (e *Engine) clean(text string) string { return e.o.Redact(state.Clean(text)) }

// problem is clean for a whole error. nil stays nil.
func (e *Engine) problem(err error) *state.Problem {
	p := state.AsProblem(err)
	if p == nil {
		return nil
	}
	return &state.Problem{Code: p.Code, What: e.clean(p.What), Why: e.clean(p.Why), Do: e.clean(p.Do)}
}

// mayday is the actor of what the keeper decides by itself.
func (e *Engine) mayday() state.Actor { return e.o.Actor.As(state.Mayday) }

// RecordAs journals a fact for a client, such as its coming and going.
func (e *Engine) RecordAs(actor state.Actor, f state.Fact) error {
	_, err := e.record(actor, f)
	return err
}
