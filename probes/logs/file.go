package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"mayday/probes"
	"mayday/state"
)

// Files follows files. Make one with NewFiles and Close it; safe for concurrent use.
type Files struct {
	redact func(string) string
	most   int64 // bytes that one question reads

	mu    sync.Mutex
	tails map[string]*tail // by probe
}

var _ probes.Asker = (*Files)(nil)

// NewFiles makes an asker that follows nothing yet. redact takes the secrets out of a
// line before anybody sees it; nil: there are none.
func NewFiles(redact func(string) string) *Files {
	return &Files{redact: redact, most: maxRead, tails: map[string]*tail{}}
}

// Close lets the files go; a question after it begins anew.
func (a *Files) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for name, t := range a.tails {
		t.mu.Lock()
		t.leave()
		t.mu.Unlock()
		delete(a.tails, name)
	}
}

// tail is one file as far as it was read.
type tail struct {
	path  string
	tally *tally
	most  int64

	mu     sync.Mutex
	begun  bool
	file   *os.File
	offset int64
	mark   []byte // what stood just before offset
	lines  lines
	missed int64 // bytes that were skipped in this reading
}

func (a *Files) tail(p state.Probe) (*tail, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.tails[p.Name]
	if t != nil && t.path == p.Query && t.tally.pattern.String() == p.Pattern {
		return t, nil
	}
	tally, err := newTally(p.Pattern, a.redact)
	if err != nil {
		return nil, err
	}
	if t != nil {
		t.mu.Lock()
		t.leave()
		t.mu.Unlock()
	}
	t = &tail{path: p.Query, tally: tally, most: a.most}
	a.tails[p.Name] = t
	return t, nil
}

// Ask reads what the file got since the last question: of a file that was renamed its
// end and then the new one, of one that was truncated what it holds now. A file that
// is not there is no data. Where more was written than one question reads, the text
// says how much was left out, and the verdict is at least warn.
func (a *Files) Ask(ctx context.Context, p state.Probe, _ time.Time) (probes.Reading, error) {
	if err := ctx.Err(); err != nil {
		return probes.Reading{}, fmt.Errorf("%s: %w", p.Query, err)
	}
	t, err := a.tail(p)
	if err != nil {
		return probes.Reading{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	missing, err := t.read(ctx)
	if ctx.Err() != nil {
		return probes.Reading{}, fmt.Errorf("%s: %w", p.Query, ctx.Err())
	}
	if err != nil {
		return probes.Reading{}, &state.Problem{What: "the log " + p.Query + " cannot be read", Why: state.Clean(err.Error()),
			Do: "Check its path and its rights", Code: "log-unread"}
	}
	n, lines, last := t.tally.take()
	if missing && n == 0 {
		return probes.Reading{NoData: true, Text: "there is no file " + p.Query}, nil
	}
	r := probes.Reading{Value: float64(n), Text: last, Lines: lines}
	if t.missed > 0 {
		r.Verdict = state.Warn
		r.Text = fmt.Sprintf("%d KiB were written too fast to be read; %s", t.missed>>10, last)
		t.missed = 0
	}
	return r, nil
}

// read reads on, and over to the next file where there is one.
func (t *tail) read(ctx context.Context) (missing bool, err error) {
	next, err := open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		missing, err = true, nil
	}
	if err != nil {
		return false, err
	}
	first := !t.begun
	t.begun = true
	if t.file != nil {
		err = t.rest(ctx)
		if next == nil || same(t.file, next) {
			if next != nil {
				_ = next.Close() // only opened
			}
			return missing, err
		}
		t.leave()
	}
	if next == nil || err != nil {
		return missing, errors.Join(err, closed(next))
	}
	t.file = next
	if first { // what is there already was before our time
		if t.offset, err = t.file.Seek(0, io.SeekEnd); err != nil {
			return false, err
		}
		before := make([]byte, min(markSize, t.offset))
		n, err := t.file.ReadAt(before, t.offset-int64(len(before)))
		if n < len(before) { // it was truncated meanwhile
			before = nil
		}
		t.mark = before
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return false, err
	}
	return false, t.rest(ctx)
}

func closed(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}

// open opens a regular file; a pipe would hold us until somebody writes.
func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func same(a, b *os.File) bool {
	x, errA := a.Stat()
	y, errB := b.Stat()
	return errA == nil && errB == nil && os.SameFile(x, y)
}

// rest reads to the end, or skips to it where that is too far.
func (t *tail) rest(ctx context.Context) error {
	info, err := t.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() < t.offset || t.rewritten() { // truncated: what is in it is new
		t.offset, t.mark, t.lines = 0, nil, lines{}
	}
	if behind := info.Size() - t.offset - t.most; behind > 0 {
		t.offset += behind
		t.missed += behind
		t.mark, t.lines = nil, lines{skipped: true}
	}
	buf := make([]byte, 64<<10)
	for read := int64(0); read < 2*t.most && ctx.Err() == nil; {
		n, err := t.file.ReadAt(buf, t.offset)
		t.offset += int64(n)
		read += int64(n)
		t.mark = append(t.mark, buf[max(n-markSize, 0):n]...)
		t.mark = append(t.mark[:0], t.mark[max(len(t.mark)-markSize, 0):]...)
		t.lines.write(buf[:n], func(line []byte) { t.tally.line("", line) })
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rewritten reports whether other bytes stand before offset than were read there: the
// file was truncated, and has grown beyond what it was.
func (t *tail) rewritten() bool {
	now := make([]byte, len(t.mark))
	n, _ := t.file.ReadAt(now, t.offset-int64(len(now))) // what cannot be read now cannot be read below
	return n == len(now) && !bytes.Equal(now, t.mark)
}

// leave closes the file. A last line without an end is a line too.
func (t *tail) leave() {
	if t.file == nil {
		return
	}
	if len(t.lines.part) > 0 {
		t.tally.line("", t.lines.part)
	}
	_ = t.file.Close() // only read
	t.file, t.offset, t.mark, t.lines = nil, 0, nil, lines{}
}
