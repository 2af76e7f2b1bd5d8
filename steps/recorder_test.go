package steps

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// disk is where samples go; it can hang.
type disk struct {
	nothing
	added, written atomic.Int64
	hang           chan struct{} // Flush waits for it
}

func (d *disk) Add(x ...state.Sample) (string, error) { d.added.Add(int64(len(x))); return "", nil }

func (d *disk) Flush() error {
	all := d.added.Load()
	<-d.hang
	d.written.Store(all)
	return nil
}

// A keeper that is killed takes no reading along: each is written as it comes, without
// waiting for a tick.
func TestReadingsAreWrittenAsTheyCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{hang: make(chan struct{})}
		close(d.hang)
		r := newRig(t, func(_ *rig, o *Options) { o.Samples = d })
		defer r.bye()
		for i := range int64(3) {
			r.Observe([]state.Sample{{Probe: r.probe.Name, At: r.Now(), Value: 0.2, Verdict: state.Crit}})
			synctest.Wait()
			if n := d.written.Load(); n != i+1 {
				t.Fatalf("%d of %d readings are written", n, i+1)
			}
		}
	})
}

// A disk that does not take readings holds up neither who brings them nor the clocks.
func TestADiskThatHangsHoldsUpNoPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{hang: make(chan struct{})}
		r := newRig(t, func(_ *rig, o *Options) { o.Samples = d })
		defer r.bye()
		defer close(d.hang)
		due, ok := nextPage(r.Incident())
		if !ok {
			t.Fatal("nobody is to be paged")
		}
		for r.Now().Before(due.Add(time.Second)) {
			r.Observe([]state.Sample{{Probe: r.probe.Name, At: r.Now(), Value: 0.2, Verdict: state.Crit}})
			time.Sleep(10 * time.Second)
		}
		if n := d.written.Load(); n != 0 || d.added.Load() == 0 {
			t.Errorf("%d readings were written, of %d", n, d.added.Load())
		}
		if next, ok := nextPage(r.Incident()); ok && !next.After(due) {
			t.Errorf("the page that was due at %s was not sent", due)
		}
	})
}
