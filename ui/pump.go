package ui

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"mayday/state"
)

// Bounds of what the pump holds between two sends.
const (
	pumpEvery   = 200 * time.Millisecond // samples and output: at most five times a second
	pumpEvents  = 512                    // frames in one message
	pumpSamples = 8192                   // beyond it the oldest go
	pumpOutput  = 256 << 10              // bytes of output; beyond it the oldest go
)

// Messages of the pump. Frames are in order and complete; thin is what may be late
// and, in a flood, thinned.
type (
	framesMsg []state.Frame
	thinMsg   struct {
		samples []state.Sample
		output  []state.Output
	}
	endedMsg struct{} // the session's stream ended
)

// pump carries frames to the program until ctx is done or the stream ends. Events
// go at once and all of them; samples and output are gathered. send blocks while
// the program is busy: then frames gather, which makes the next message larger
// instead of the queue longer.
func pump(ctx context.Context, frames <-chan state.Frame, send func(tea.Msg)) {
	tick := time.NewTicker(pumpEvery)
	defer tick.Stop()
	var events framesMsg
	var late thin
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if msg, ok := late.take(); ok {
				send(msg)
			}
			continue
		case f, ok := <-frames:
			if !ok {
				finish(events, &late, send)
				return
			}
			events = lane(f, events, &late)
		}
		open := true
		for more := true; more && open && len(events) < pumpEvents; {
			select {
			case f, ok := <-frames:
				if open = ok; ok {
					events = lane(f, events, &late)
				}
			default:
				more = false
			}
		}
		if !open {
			finish(events, &late, send)
			return
		}
		if len(events) > 0 {
			send(events)
			events = nil
		}
	}
}

// lane puts a frame into its lane.
func lane(f state.Frame, events framesMsg, late *thin) framesMsg {
	switch {
	case f.Samples != nil:
		late.add(f.Samples)
	case f.Output != nil:
		late.write(*f.Output)
	default:
		return append(events, f)
	}
	return events
}

func finish(events framesMsg, late *thin, send func(tea.Msg)) {
	if len(events) > 0 {
		send(events)
	}
	if msg, ok := late.take(); ok {
		send(msg)
	}
	send(endedMsg{})
}

// thin gathers what may be late.
type thin struct {
	samples []state.Sample
	output  []state.Output
	bytes   int
}

func (t *thin) add(s []state.Sample) {
	t.samples = append(t.samples, s...)
	if extra := len(t.samples) - pumpSamples; extra > 0 {
		t.samples = append([]state.Sample(nil), t.samples[extra:]...)
	}
}

func (t *thin) write(o state.Output) {
	t.bytes += len(o.Text)
	if n := len(t.output); n > 0 && t.output[n-1].Run == o.Run && len(t.output[n-1].Text) < pumpOutput/4 {
		t.output[n-1].Text += o.Text
	} else {
		t.output = append(t.output, o)
	}
	for t.bytes > pumpOutput && len(t.output) > 1 {
		t.bytes -= len(t.output[0].Text)
		t.output = t.output[1:]
	}
}

func (t *thin) take() (thinMsg, bool) {
	if len(t.samples) == 0 && len(t.output) == 0 {
		return thinMsg{}, false
	}
	msg := thinMsg{samples: t.samples, output: t.output}
	*t = thin{}
	return msg, true
}
