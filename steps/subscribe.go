package steps

import (
	"context"

	"mayday/state"
)

// pendingOutput bounds the output that waits for one slow client, in pieces.
const pendingOutput = 256

// subscriber is one client's place in the stream: events are read from the
// Engine's own list by a cursor, so none is lost and no queue can fill; samples
// and output are thinned when the client is slow.
type subscriber struct {
	next    int // index of the next event
	samples map[string][]state.Sample
	output  []state.Output
	stale   bool // the journal's state must be sent
	signal  chan struct{}
	done    chan struct{}
	ended   bool
}

func (s *subscriber) wake() {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// close needs the Engine's mu.
func (s *subscriber) close() {
	if !s.ended {
		s.ended = true
		close(s.done)
	}
}

// Subscribe streams frames to a client until ctx ends or the Engine closes; then
// the channel is closed. The first frame is hello, then all events, the samples
// that are still in memory, and from there on what happens.
func (e *Engine) Subscribe(ctx context.Context, hello state.Hello) <-chan state.Frame {
	s := &subscriber{samples: map[string][]state.Sample{}, stale: true, signal: make(chan struct{}, 1), done: make(chan struct{})}
	out := make(chan state.Frame)
	e.mu.Lock()
	hello.Keeper, hello.Incident, hello.Head = e.o.Actor, e.in.ID, uint64(len(e.events))
	hello.Grace, hello.Clock = e.o.Runbook.Rollback.Grace.D(), e.o.Clock
	for name, r := range e.series {
		for i := range r.Len() {
			s.samples[name] = append(s.samples[name], r.At(i))
		}
	}
	e.subs[s] = struct{}{}
	if e.closed {
		s.close()
	}
	e.mu.Unlock()
	go func() {
		defer close(out)
		defer func() {
			e.mu.Lock()
			delete(e.subs, s)
			e.mu.Unlock()
		}()
		if !send(ctx, s, out, state.Frame{Hello: &hello}) {
			return
		}
		for e.pump(ctx, s, out) {
			select {
			case <-s.signal:
			case <-ctx.Done():
				return
			case <-s.done:
				e.pump(ctx, s, out) // what was said last
				return
			}
		}
	}()
	return out
}

// pump sends all that waits; false when the client is gone.
func (e *Engine) pump(ctx context.Context, s *subscriber, out chan<- state.Frame) bool {
	for {
		e.mu.Lock()
		events := e.events[s.next:len(e.events):len(e.events)]
		s.next = len(e.events)
		samples, output := s.samples, s.output
		s.samples, s.output = map[string][]state.Sample{}, nil
		var js *state.JournalState
		if s.stale || len(events) > 0 {
			js, s.stale = e.journalState(), false
		}
		e.mu.Unlock()
		if len(events) == 0 && len(samples) == 0 && len(output) == 0 && js == nil {
			return true
		}
		for i := range events {
			if !send(ctx, s, out, state.Frame{Event: &events[i]}) {
				return false
			}
		}
		for _, xs := range samples {
			if !send(ctx, s, out, state.Frame{Samples: xs}) {
				return false
			}
		}
		for i := range output {
			if !send(ctx, s, out, state.Frame{Output: &output[i]}) {
				return false
			}
		}
		if js != nil && !send(ctx, s, out, state.Frame{Journal: js}) {
			return false
		}
	}
}

func send(ctx context.Context, s *subscriber, out chan<- state.Frame, f state.Frame) bool {
	select {
	case out <- f:
		return true
	case <-ctx.Done():
		return false
	}
}

// tellOutput hands a piece of output to every client; one that is slow loses the
// oldest pieces (the file has them all).
func (e *Engine) tellOutput(o state.Output) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.subs {
		if len(s.output) >= pendingOutput {
			s.output = s.output[1:]
		}
		s.output = append(s.output, o)
		s.wake()
	}
}
