package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"mayday/state"
)

// Report says how a journal stands.
type Report struct {
	Events    uint64 `json:"events"`         // whole, valid events from the start
	Head      string `json:"head"`           // hash of the last of them
	Signed    uint64 `json:"signed"`         // checkpoints sign up to this event
	PublicKey string `json:"public_key"`     // as declared; compare it with the one that people outside hold
	Torn      int    `json:"torn,omitempty"` // bytes after the last newline: a line that was being written
	// HeadAt is the event that the head given to Verify belongs to, 0 where none does.
	HeadAt   uint64    `json:"head_at,omitempty"`
	Findings []Finding `json:"findings,omitempty"` // what Verify found wrong; empty: nothing
}

// OK reports whether nothing is wrong. A torn tail alone is not: it says that the
// writer died, which readers can live with, but a reviewer should know.
func (r Report) OK() bool { return len(r.Findings) == 0 }

// Short is the head as people compare it.
func (r Report) Short() string { return shortHash(r.Head) }

func shortHash(h string) string {
	if len(h) > ShortHash {
		return h[:ShortHash]
	}
	return h
}

// Damage is a line that cannot be what the writer wrote: readers stop there and
// nothing repairs it. Test with errors.As.
type Damage struct {
	Path string
	Line int
	Kind Kind
	Why  string
}

func (d *Damage) Error() string {
	return fmt.Sprintf("%s:%d: the journal is damaged (%s): %s", d.Path, d.Line, d.Kind, d.Why)
}

// Unwrap gives the damage as a problem for a person.
func (d *Damage) Unwrap() error {
	return &state.Problem{What: fmt.Sprintf("%s, line %d: the journal is damaged (%s)", d.Path, d.Line, d.Kind), Why: d.Why,
		Do:   "Keep the folder as it is, look with \"mayday journal verify\", and declare a new incident to go on.",
		Code: "journal-damaged"}
}

// chain follows the lines of one journal and refuses the first that is not the next.
type chain struct {
	path string
	seq  uint64
	head string
}

func (c *chain) next(n int, b []byte) (state.Event, error) {
	bad := func(k Kind, format string, args ...any) (state.Event, error) {
		return state.Event{}, &Damage{Path: c.path, Line: n, Kind: k, Why: state.Clean(fmt.Sprintf(format, args...))}
	}
	l, err := parseLine(b)
	if err != nil {
		return bad(Edited, "%v", err)
	}
	if !l.good {
		return bad(Edited, "its hash does not match its text")
	}
	e, err := l.event()
	if err != nil {
		return bad(Unreadable, "%v", err)
	}
	switch {
	case e.Seq > c.seq+1:
		return bad(Removed, "event %d follows event %d", e.Seq, c.seq)
	case e.Seq != c.seq+1:
		return bad(Reordered, "event %d follows event %d", e.Seq, c.seq)
	case l.prev != c.prev():
		return bad(Edited, "it was written after another line than the one before it")
	}
	c.seq, c.head = e.Seq, l.hash
	return e, nil
}

func (c *chain) prev() string {
	if c.head == "" {
		return origin
	}
	return c.head
}

// Each hands every event with its hash to fn, in order, and checks the chain on the
// way. It stops at fn's error, or with a *Damage at the first line that is not the
// next one. The report covers what was read; checkpoints are taken at their word
// (Verify checks their signatures). A journal without events is no error.
func Each(folder string, fn func(e state.Event, hash string) error) (Report, error) {
	path := filepath.Join(folder, FileName)
	f, err := os.Open(path)
	if err != nil {
		return Report{}, problem("the journal cannot be read", err)
	}
	defer f.Close()
	return each(path, f, fn)
}

func each(path string, r io.Reader, fn func(e state.Event, hash string) error) (Report, error) {
	var rep Report
	c := chain{path: path}
	rest, err := lines(r, func(n int, b []byte) error {
		e, err := c.next(n, b)
		if err != nil {
			return err
		}
		rep.see(e, c.head)
		return fn(e, c.head)
	})
	rep.Torn = rest
	return rep, err
}

// see counts an event in.
func (r *Report) see(e state.Event, hash string) {
	r.Events, r.Head = e.Seq, hash
	switch f := e.Fact.(type) {
	case state.Declared:
		r.PublicKey = f.PublicKey
	case state.Checkpoint:
		r.Signed = f.Size
	}
}

// Read gives all events of a journal. Bytes after the last newline are ignored and
// counted in the report; any other line that is not the valid next one is a *Damage,
// and the events before it come with the error.
func Read(folder string) ([]state.Event, Report, error) {
	var out []state.Event
	rep, err := Each(folder, func(e state.Event, _ string) error {
		out = append(out, e)
		return nil
	})
	return out, rep, err
}

// followEvery is how often Follow looks for more, by the wall.
const followEvery = 100 * time.Millisecond

// Follow hands fn every event from number from on, those there are and those that
// come, until ctx is done (then it returns nil), fn fails, or the journal is damaged
// (*Damage). It looks ten times a second. A writer whose disk failed takes lines back
// that it never acknowledged: that, too, is a *Damage of kind Truncated here, and the
// caller starts over from a fresh fold.
func Follow(ctx context.Context, folder string, from uint64, fn func(state.Event) error) error {
	path := filepath.Join(folder, FileName)
	f, err := os.Open(path)
	if err != nil {
		return problem("the journal cannot be read", err)
	}
	defer f.Close()
	t := time.NewTicker(followEvery)
	defer t.Stop()
	c := chain{path: path}
	var off int64
	for n := 0; ctx.Err() == nil; {
		st, err := f.Stat()
		if err != nil {
			return problem("the journal cannot be read", err)
		}
		if st.Size() < off {
			return &Damage{Path: path, Line: n, Kind: Truncated, Why: "the journal got shorter while it was followed"}
		}
		base := n
		_, err = lines(io.NewSectionReader(f, off, st.Size()-off), func(i int, b []byte) error {
			e, err := c.next(base+i, b)
			if err != nil {
				return err
			}
			n, off = base+i, off+int64(len(b))+1
			if e.Seq < from || ctx.Err() != nil {
				return ctx.Err()
			}
			return fn(e)
		})
		if err != nil {
			if errors.Is(err, ctx.Err()) {
				return nil
			}
			return err
		}
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
	return nil
}
