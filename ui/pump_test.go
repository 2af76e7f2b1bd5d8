package ui

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"

	"mayday/state"
)

// However slow the screen is: every event arrives, in order; samples come at most
// five times a second.
func TestPumpLosesNoEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := make(chan state.Frame, 16)
		var got []uint64
		sends, samples := 0, 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			pump(context.Background(), frames, func(msg tea.Msg) {
				time.Sleep(30 * time.Millisecond) // a busy screen
				switch msg := msg.(type) {
				case framesMsg:
					if len(msg) > pumpEvents {
						t.Errorf("%d frames in one message", len(msg))
					}
					for _, f := range msg {
						got = append(got, f.Event.Seq)
					}
				case thinMsg:
					sends++
					samples += len(msg.samples)
				}
			})
		}()
		start := time.Now()
		for i := uint64(1); i <= 3000; i++ {
			frames <- state.Frame{Event: &state.Event{Seq: i}}
			frames <- state.Frame{Samples: []state.Sample{{Probe: "p"}}}
			time.Sleep(time.Millisecond)
		}
		close(frames)
		<-done
		if len(got) != 3000 {
			t.Fatalf("%d of 3000 events arrived", len(got))
		}
		for i, seq := range got {
			if seq != uint64(i+1) {
				t.Fatalf("event %d arrived as number %d", seq, i+1)
			}
		}
		if samples != 3000 {
			t.Errorf("%d of 3000 samples arrived", samples)
		}
		if limit := int(time.Since(start)/pumpEvery) + 2; sends > limit {
			t.Errorf("%d messages with samples in %v, at most %d", sends, time.Since(start), limit)
		}
	})
}

func TestPumpIsBounded(t *testing.T) {
	var late thin
	for range 100 {
		late.add(make([]state.Sample, 1000))
		late.write(state.Output{Run: "r", Text: string(make([]byte, 50_000))})
	}
	if len(late.samples) > pumpSamples {
		t.Errorf("%d samples are held", len(late.samples))
	}
	if late.bytes > pumpOutput+50_000 {
		t.Errorf("%d bytes of output are held", late.bytes)
	}
}
