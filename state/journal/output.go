package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"mayday/state"
)

// Bounds of a run's captured output. What comes after the first MaxOutput bytes is
// dropped, except for the last TailOutput bytes, which are written on Close: where
// something fails, the end says why.
const (
	MaxOutput  = 16 << 20
	TailOutput = 64 << 10
)

// Output keeps what a run prints. Safe for concurrent use.
type Output struct {
	mu    sync.Mutex
	file  *os.File
	max   int64
	size  int64
	over  int64  // bytes beyond max
	tail  []byte // the last of them
	limit int
}

// OutputFile opens output/<run>.log in an incident's folder. A run that is continued
// appends to its own file. The caller cleans and redacts what it writes. Beside an error
// it is nil, and so an interface: a nil *Output in one would pass for a file.
func OutputFile(folder, run string) (io.WriteCloser, error) {
	o, err := outputFile(folder, run, MaxOutput, TailOutput)
	if err != nil {
		return nil, err
	}
	return o, nil
}

// OutputPath is where a run's output is kept, relative to the incident's folder: for
// evidence.
func OutputPath(run string) string { return OutputDir + "/" + run + ".log" }

func outputFile(folder, run string, max int64, tail int) (*Output, error) {
	if !ValidID(run) {
		return nil, &state.Problem{What: fmt.Sprintf("%q cannot name a run", state.Clean(run)),
			Do: "Use letters, digits, dots, dashes and underscores, at most 64."}
	}
	if err := os.MkdirAll(filepath.Join(folder, OutputDir), 0o700); err != nil {
		return nil, problem("the output cannot be kept", err)
	}
	f, err := os.OpenFile(filepath.Join(folder, OutputDir, run+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, problem("the output cannot be kept", err)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(problem("the output cannot be kept", err), f.Close())
	}
	return &Output{file: f, max: max, size: st.Size(), limit: tail}, nil
}

// Write keeps p as far as the bound allows and never writes short because of it.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := len(p)
	if room := o.max - o.size; room > 0 {
		head := p[:min(int64(len(p)), room)]
		k, err := o.file.Write(head)
		o.size += int64(k)
		if err != nil {
			return k, problem("the output cannot be kept", err)
		}
		p = p[len(head):]
	}
	if len(p) == 0 {
		return n, nil
	}
	o.over += int64(len(p))
	if len(p) > o.limit {
		p = p[len(p)-o.limit:]
	}
	o.tail = append(o.tail, p...)
	if len(o.tail) > 4*o.limit { // cut now and then, not at each write
		o.tail = append(o.tail[:0], o.tail[len(o.tail)-o.limit:]...)
	}
	return n, nil
}

// Dropped is how many bytes were left out so far.
func (o *Output) Dropped() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return max(o.over-int64(o.limit), 0)
}

// Close writes how much was dropped and the end of what was written, and closes the
// file.
func (o *Output) Close() error {
	dropped := o.Dropped()
	o.mu.Lock()
	defer o.mu.Unlock()
	var err error
	if dropped > 0 {
		_, err = fmt.Fprintf(o.file, "\nmayday: %d bytes were dropped here\n", dropped)
	}
	if err == nil && len(o.tail) > 0 {
		_, err = o.file.Write(o.tail[max(len(o.tail)-o.limit, 0):])
	}
	o.tail = nil
	return errors.Join(err, o.file.Close())
}
