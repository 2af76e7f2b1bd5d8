package journal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"mayday/state"
)

// batch encodes the events of one Append.
type batch struct {
	at     time.Time
	actor  state.Actor
	keys   keys
	seq    uint64
	head   string
	signed uint64
	events []state.Event
	buf    []byte
	last   int // where the last line begins in buf
}

// add encodes a fact, and behind it a checkpoint where one is due.
func (b *batch) add(f state.Fact) error {
	if err := b.put(b.actor, f); err != nil {
		return err
	}
	if c, ok := f.(state.Checkpoint); ok {
		b.signed = c.Size
	}
	if b.keys.signer == nil || b.seq-b.signed < CheckpointEvery {
		return nil
	}
	c, err := b.keys.checkpoint(b.seq, b.head)
	if err != nil {
		return err
	}
	b.signed = c.Size
	return b.put(state.Actor{User: state.Mayday}, c)
}

func (b *batch) put(actor state.Actor, f state.Fact) error {
	e := state.Event{Seq: b.seq + 1, Time: b.at, Actor: actor, Fact: f}
	start := len(b.buf)
	buf, hash, err := appendLine(b.buf, e, b.head)
	if err != nil {
		return err
	}
	b.buf, b.last, b.seq, b.head = buf, start, e.Seq, hash
	b.events = append(b.events, e)
	return nil
}

// write puts bytes behind the journal's end, safely on disk, or leaves nothing.
func (j *Journal) write(p []byte) error {
	if j.suspect {
		if err := j.recover(); err != nil {
			return problem("the journal cannot be written", err)
		}
	}
	_, err := j.file.WriteAt(p, j.size)
	if err == nil {
		err = j.file.Sync()
	}
	if err == nil {
		return nil
	}
	// At once, so that readers and a successor see as little as possible of what
	// was not acknowledged; whether it worked is looked at before the next write.
	j.suspect = true
	_ = j.file.Truncate(j.size)
	return problem("the journal cannot be written", err)
}

var errLost = errors.New("the disk lost what it had confirmed: the end of the journal is not what was written last")

// recover makes sure of the file's end after a failure. After a failed sync the
// kernel may have dropped the pages and call them clean, so what was cached through
// the old descriptor proves nothing: the file is opened afresh, cut to what was
// acknowledged, synced and its last line read back.
func (j *Journal) recover() error {
	if j.file != nil {
		_ = j.file.Close()
		j.file = nil
	}
	f, err := j.fsys.OpenFile(filepath.Join(j.folder, FileName), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return errLost
	}
	if err != nil {
		return err
	}
	if err := j.verifyEnd(f); err != nil {
		return errors.Join(err, f.Close())
	}
	j.file, j.suspect = f, false
	return nil
}

func (j *Journal) verifyEnd(f File) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size < j.size {
		return errLost
	}
	if err := errors.Join(f.Truncate(j.size), f.Sync()); err != nil {
		return err
	}
	if j.size == 0 {
		return nil
	}
	last := make([]byte, j.size-j.lastOff)
	if _, err := f.ReadAt(last, j.lastOff); err != nil {
		return err
	}
	l, err := parseLine(last[:len(last)-1])
	if err != nil || !l.good || l.hash != j.head || last[len(last)-1] != '\n' {
		return errLost
	}
	return nil
}
