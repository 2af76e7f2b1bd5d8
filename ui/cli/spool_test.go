package cli

import (
	"bytes"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// slowDisk takes its time for each sync; how much it has is safe only when that is over.
type slowDisk struct {
	bytes.Buffer
	sync time.Duration
	safe int
}

func (d *slowDisk) Sync() error {
	n := d.Len()
	time.Sleep(d.sync)
	d.safe = n
	return nil
}

// TestSpoolOnASlowDisk: a rollback that succeeded is no failure because its disk is slow:
// all it said is safe before the spool's patience ends. Only a disk that hangs is told.
func TestSpoolOnASlowDisk(t *testing.T) {
	for _, c := range []struct {
		sync  time.Duration
		hangs bool
	}{{0, false}, {900 * time.Millisecond, false}, {time.Hour, true}} {
		synctest.Test(t, func(t *testing.T) {
			d := &slowDisk{sync: c.sync}
			s := &spool{lines: make(chan []byte, spoolLines), done: make(chan struct{})}
			go func() {
				defer close(s.done)
				s.err = s.write(d)
			}()
			const said = 50
			for range said {
				s.keep(time.Now(), state.NoteAdded{Text: "one more operation"})
				synctest.Wait() // the disk is at the first of them
			}
			err := s.close()
			if hangs := err != nil; hangs != c.hangs {
				t.Errorf("a sync of %s: %v", c.sync, err)
			}
			<-s.done // a disk that hangs comes to in the end
			if n := bytes.Count(d.Bytes()[:d.safe], []byte("\n")); n != said || errors.Join(s.err, s.lost) != nil {
				t.Errorf("a sync of %s: %d lines of %d are safe, %v %v", c.sync, n, said, s.err, s.lost)
			}
		})
	}
}
