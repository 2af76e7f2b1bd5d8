package steptest

import "sync"

// Faults stands between a strategy and its world: a fixture calls Before and
// After around every write (dry runs are none), and a test decides what becomes
// of it. Safe for concurrent use.
type Faults struct {
	mu   sync.Mutex
	n    int
	hook func(n int, sent bool) error
}

// Reset sets the count to 0 and the hook: called before a write is sent and after
// its answer came, with the number of the write from 0. An error takes the write's
// place: before, nothing is sent; after, the answer is lost. nil: no faults.
func (f *Faults) Reset(hook func(n int, sent bool) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n, f.hook = 0, hook
}

// Writes says how many writes were sent since Reset.
func (f *Faults) Writes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n
}

// Before is called by the fixture before it sends a write. With an error, it must
// not send it.
func (f *Faults) Before() error { return f.call(false) }

// After is called by the fixture once a write was answered. With an error, it must
// not hand the answer over.
func (f *Faults) After() error { return f.call(true) }

func (f *Faults) call(sent bool) error {
	f.mu.Lock()
	hook, n := f.hook, f.n
	if sent {
		f.n++
	}
	f.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(n, sent)
}
