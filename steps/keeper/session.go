package keeper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"mayday/state"
	"mayday/steps"
)

// Take-over times (real time): a dead keeper is replaced within takeOver.
const (
	takeOver = 2 * time.Second
	retry    = 100 * time.Millisecond
)

// Keeping is a keeper in this process: an Engine with its Server.
type Keeping interface {
	// Close finishes what must be finished, tells the clients and lets the lock go.
	Close(why string) error
}

// Settings says how a Session finds or becomes the keeper.
type Settings struct {
	Socket string
	Folder string // of the incident, for the Hello
	Via    string // cockpit, cli, auto
	As     string // another person, in a drill
	Watch  bool   // wants frames; they must then be read
	// Become makes this process the keeper. An error for which Kept is true means
	// that another process is; any other ends the session. nil: a client only.
	Become func(ctx context.Context) (Keeping, error)
	Kept   func(error) bool
	// History gives the frames that the journal on disk tells, for a watching session
	// whose keeper does not answer: it opens on them, without a keeper. Optional.
	History func() []state.Frame
}

// Session is a client that outlives its keeper: when the keeper dies it connects
// to the next one, or becomes it. Safe for concurrent use.
type Session struct {
	s       Settings
	frames  chan state.Frame
	cancel  context.CancelFunc
	closing chan struct{} // Close has begun: this process keeps nothing any more
	done    chan struct{}
	once    sync.Once

	mu      sync.Mutex
	ask     *Client // for intents; nil between keepers
	change  chan struct{}
	keeping Keeping
}

// link is a session's connection to one keeper. Intents go a way of their own: the
// answer to R must not wait until somebody has read the frames.
type link struct {
	watch *Client // frames; nil if nobody watches
	ask   *Client
}

func (l link) close() {
	if l.watch != nil {
		_ = l.watch.Close() // gone already, or told to
	}
	_ = l.ask.Close() // likewise
}

// Open connects, or takes over, and returns when the session stands: within
// takeOver, or with the reason why not. A keeper that does not answer is no reason
// where there is a History: whoever is called at night must see something, and R works
// without a keeper.
func Open(ctx context.Context, s Settings) (*Session, error) {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	o := &Session{s: s, frames: make(chan state.Frame, 64), cancel: cancel,
		closing: make(chan struct{}), done: make(chan struct{}), change: make(chan struct{})}
	c, err := o.connect(ctx)
	switch {
	case err == nil:
		o.set(c.ask)
		go o.supervise(run, c)
	case state.HasCode(err, codeNoKeeper) && s.Watch && s.History != nil:
		go o.without(run, state.AsProblem(err))
	default:
		cancel()
		return nil, errors.Join(err, leave(o.keeper(), "could not open"))
	}
	return o, nil
}

// without tells what the journal shows until there is a keeper.
func (o *Session) without(ctx context.Context, why *state.Problem) {
	for _, f := range append(o.s.History(), state.Frame{Lost: why.Error()}) {
		if !o.tell(ctx, f) {
			break
		}
	}
	l, ok := o.another(ctx)
	if !ok {
		close(o.frames)
		close(o.done)
		return
	}
	o.set(l.ask)
	o.supervise(ctx, l)
}

// codeNoKeeper is the code of the Problem of a keeper that is there and does not answer.
const codeNoKeeper = "no-keeper"

// dial makes a link to the keeper that listens.
func (o *Session) dial(ctx context.Context) (l link, err error) {
	if l.ask, err = Dial(ctx, o.s.Socket, o.s.Via, o.s.As, false); err != nil || !o.s.Watch {
		return l, err
	}
	if l.watch, err = Dial(ctx, o.s.Socket, o.s.Via, o.s.As, true); err != nil {
		_ = l.ask.Close() // the other's error counts
	}
	return l, err
}

// connect finds the keeper, or becomes it. It tries for takeOver: a keeper that is
// starting holds the lock before it listens. Once this process keeps, ctx ends nothing
// here any more.
func (o *Session) connect(ctx context.Context) (link, error) {
	deadline := time.Now().Add(takeOver)
	var last error
	for {
		l, err := o.dial(ctx)
		if err == nil {
			return l, nil
		}
		last = err
		var p *state.Problem
		if errors.As(err, &p) || ctx.Err() != nil {
			return link{}, err // it is there and does not want us
		}
		if o.s.Become != nil && o.keeper() == nil && !o.leaving() {
			k, err := o.s.Become(ctx)
			if err == nil {
				o.mu.Lock()
				o.keeping = k
				o.mu.Unlock()
				// Becoming one may have taken longer than the caller had, and what it was made
				// for has begun: the caller gets its session, and ends it in order.
				ctx, deadline = context.WithoutCancel(ctx), time.Now().Add(takeOver)
				continue
			}
			if o.s.Kept == nil || !o.s.Kept(err) {
				return link{}, err
			}
			last = err
		}
		if time.Now().After(deadline) {
			return link{}, &state.Problem{Code: codeNoKeeper, What: "the incident's keeper does not answer", Why: state.Clean(last.Error()),
				Do: "If its process hangs, end it (kill -9 is safe): the next cockpit takes over. mayday rollback works all the same."}
		}
		select {
		case <-ctx.Done():
			return link{}, ctx.Err()
		case <-time.After(retry):
		}
	}
}

func (o *Session) keeper() Keeping {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.keeping
}

func (o *Session) set(c *Client) {
	o.mu.Lock()
	o.ask = c
	close(o.change)
	o.change = make(chan struct{})
	o.mu.Unlock()
}

// supervise passes frames on and finds the next keeper when one is gone.
func (o *Session) supervise(ctx context.Context, l link) {
	defer close(o.done)
	defer close(o.frames)
	for {
		o.forward(ctx, l)
		l.close()
		if ctx.Err() != nil {
			return
		}
		o.set(nil)
		if !o.tell(ctx, state.Frame{Lost: "the keeper is gone; looking for the next one"}) {
			return
		}
		var ok bool
		if l, ok = o.another(ctx); !ok {
			return
		}
		o.set(l.ask)
	}
}

// another finds the next keeper, however long that takes; false when the session ends.
func (o *Session) another(ctx context.Context) (link, bool) {
	said := ""
	for {
		l, err := o.connect(ctx)
		if err == nil {
			return l, true
		}
		if ctx.Err() != nil {
			return link{}, false
		}
		if text := state.AsProblem(err).Error(); text != said {
			said = text
			if !o.tell(ctx, state.Frame{Lost: text}) {
				return link{}, false
			}
		}
		select { // a refusal comes at once, and would again
		case <-ctx.Done():
			return link{}, false
		case <-time.After(retry):
		}
	}
}

// forward passes frames on until the keeper is gone.
func (o *Session) forward(ctx context.Context, l link) {
	if l.watch == nil {
		select {
		case <-ctx.Done():
		case <-l.ask.Gone():
		}
		return
	}
	gone := l.ask.Gone()
	var late <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-gone:
			gone, late = nil, time.After(usual.last) // the last words may still be on their way
		case <-late:
			return
		case f, ok := <-l.watch.Frames():
			if !ok {
				return
			}
			if f.Hello != nil {
				f.Hello.Folder = o.s.Folder
			}
			if !o.tell(ctx, f) {
				return
			}
		}
	}
}

func (o *Session) tell(ctx context.Context, f state.Frame) bool {
	if !o.s.Watch {
		return ctx.Err() == nil
	}
	select {
	case o.frames <- f:
		return true
	case <-ctx.Done():
		return false
	}
}

// Frames gives what the keepers tell, one after the other, with Lost frames
// between; closed after Close.
func (o *Session) Frames() <-chan state.Frame { return o.frames }

// Do sends an intent to the keeper there is, waiting for the next one while there
// is none, as long as ctx lasts. An intent that was on its way when the keeper died
// is not sent twice: ErrGone says that the journal must be looked at.
func (o *Session) Do(ctx context.Context, intent state.Intent) (state.Answer, error) {
	for {
		o.mu.Lock()
		c, change := o.ask, o.change
		o.mu.Unlock()
		if c != nil {
			a, err := c.Do(ctx, intent)
			if !errors.Is(err, errUnsent) && !state.HasCode(err, steps.CodeLeaving) {
				return a, err
			}
			// It was not carried out, for certain: the next keeper gets it.
		}
		select {
		case <-change:
		case <-o.done:
			return state.Answer{}, ErrGone
		case <-ctx.Done():
			return state.Answer{}, fmt.Errorf("no keeper answers: %w", ctx.Err())
		}
	}
}

// Keeping reports whether this process keeps the incident.
func (o *Session) Keeping() bool { return o.keeper() != nil }

// Close leaves. A keeper in this process finishes an armed or running rollback
// first; other cockpits take over. Frames that nobody has read yet are dropped. A
// second Close does nothing.
func (o *Session) Close(why string) error {
	var err error
	o.once.Do(func() {
		close(o.closing)
		dropped := make(chan struct{})
		go func() { // or the keeper in this process would wait for us to read its last words
			defer close(dropped)
			for range o.frames {
				continue
			}
		}()
		k := o.keeper()
		err = leave(k, why)
		o.cancel()
		<-o.done
		<-dropped
		if late := o.keeper(); late != k { // it was just becoming one
			err = errors.Join(err, leave(late, why))
		}
	})
	return err
}

func (o *Session) leaving() bool {
	select {
	case <-o.closing:
		return true
	default:
		return false
	}
}

func leave(k Keeping, why string) error {
	if k == nil {
		return nil
	}
	return k.Close(why)
}
