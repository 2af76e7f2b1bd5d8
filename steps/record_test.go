package steps

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// journalShown follows what the screens show of the journal.
func (r *rig) journalShown(ctx context.Context) func() state.JournalState {
	var last state.JournalState
	frames := r.Subscribe(ctx, state.Hello{Client: "screen"})
	return func() state.JournalState {
		synctest.Wait()
		for {
			select {
			case f := <-frames:
				if f.Journal != nil {
					last = *f.Journal
				}
				synctest.Wait()
			default:
				return last
			}
		}
	}
}

// TestASlowDiskIsForgotten: what is red on the screens because a write took its time is so
// no longer than that, though nothing else is written.
func TestASlowDiskIsForgotten(t *testing.T) {
	for name, behind := range map[string]int{"one write": 0, "and others behind it": 3} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				defer r.bye()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				shown := r.journalShown(ctx)
				shown() // what runs by itself has ended: nothing else is written
				answer := r.journal.stall()
				for range 1 + behind {
					r.Engine.must(alice, state.NoteAdded{Text: "pressed"})
				}
				if j := shown(); j.Err == "" || j.Spooled != behind {
					t.Errorf("while the disk is slow: %+v", j)
				}
				answer()
				if j := shown(); j.Err != "" || j.Spooled != 0 {
					t.Errorf("all is written, and the screens say %+v", j)
				}
			})
		})
	}
}

// TestADiskThatAnswersJustInTime is not called slow for ever: the answer and the end of
// the patience come together.
func TestADiskThatAnswersJustInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		shown := r.journalShown(ctx)
		for range 50 {
			time.AfterFunc(journalPatience, r.journal.stall())
			r.Engine.must(alice, state.NoteAdded{Text: "pressed"})
			if j := shown(); j.Err != "" {
				t.Fatalf("all is written, and the screens say %+v", j)
			}
		}
	})
}
