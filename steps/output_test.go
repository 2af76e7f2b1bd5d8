package steps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// log is a run's file. Where opening fails there is none, and a nil one is no file.
type log struct{ text string }

func (l *log) Write(b []byte) (int, error) { l.text += string(b); return len(b), nil }
func (l *log) Close() error                { l.text += "."; return nil }

// TestAnOutputThatCannotBeOpened: what is not kept of a run holds up neither the rollback
// that its gate asks for nor the rollback whose own commands print.
func TestAnOutputThatCannotBeOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig, o *Options) {
			o.Output = func(string) (io.WriteCloser, error) {
				var none *log
				return none, errors.New("too many open files")
			}
			o.Strategies["canary"] = staged{world: r.world, undo: func(ctx context.Context) error {
				_, err := fmt.Fprintln(Output(ctx), "the hook says that traffic is back")
				return err
			}}
		})
		defer r.bye()
		d := &dial{f: well}
		defer r.feed(d.read)()
		r.deploy()
		r.holding()
		d.set(broken)
		soon := time.Now().Add(time.Minute)
		in := r.rolledBack()
		if in.Rollback.Status != state.RollbackDone || time.Now().After(soon) {
			t.Errorf("the rollback is %s", in.Rollback.Status)
		}
		for _, ev := range r.Events() {
			if w, ok := ev.Fact.(state.Warned); ok && w.Sticky {
				t.Error(w.Text)
			}
		}
	})
}
