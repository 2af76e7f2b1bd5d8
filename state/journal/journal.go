package journal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"mayday/state"
)

// ErrConflict means that somebody appended in between: the head is not the expected
// event. Read what is new and decide again. Test with errors.Is.
var ErrConflict = errors.New("the journal has moved on")

// Journal is the single writer of an incident's events. It holds the keeper's lock
// until Close. Safe for concurrent use; appends are serialised.
type Journal struct {
	fsys   FS
	folder string
	lock   *Lock
	keys   keys // zero: checkpoints cannot be signed
	notes  []string

	mu      sync.Mutex
	file    File // nil after a failed repair: opened again by the next Append
	size    int64
	lastOff int64 // where the last line begins
	seq     uint64
	head    string // hash of the last line; origin before the first
	signed  uint64
	suspect bool // a write or sync failed: look before the next write
	closed  bool
	buf     []byte

	// tip is what Head and Signed say, apart from mu: a disk that hangs in Append
	// must not keep anybody from asking.
	tip atomic.Pointer[tip]
}

type tip struct {
	seq, signed uint64
	head        string
}

func (j *Journal) publish() { j.tip.Store(&tip{j.seq, j.signed, j.head}) }

// Create makes an incident's folder with an empty journal, takes the keeper's lock
// and gives the writer. The error is fs.ErrExist (errors.Is) where the incident has a
// journal already, ErrKept where another process is just creating it. The caller puts
// PublicKey into the declaration, the first event.
func Create(folder string) (*Journal, error) { return CreateOn(OS, folder) }

// CreateOn is Create on a file system of the caller's choice, for tests of failures.
func CreateOn(fsys FS, folder string) (*Journal, error) {
	if !ValidID(filepath.Base(folder)) {
		return nil, &state.Problem{What: fmt.Sprintf("%q cannot name an incident", state.Clean(filepath.Base(folder))),
			Do: "Use letters, digits, dots, dashes and underscores, at most 64."}
	}
	for _, sub := range []string{"", SamplesDir, OutputDir, EvidenceDir, ReportDir} {
		if err := os.MkdirAll(filepath.Join(folder, sub), 0o700); err != nil {
			return nil, problem("the incident's folder cannot be made", err)
		}
	}
	l, err := Acquire(folder)
	if err != nil {
		return nil, err
	}
	j, err := create(fsys, l)
	if err != nil {
		return nil, errors.Join(err, l.Release())
	}
	return j, nil
}

func create(fsys FS, l *Lock) (*Journal, error) {
	path := filepath.Join(l.folder, FileName)
	if _, err := os.Lstat(path); err == nil {
		return nil, problem("the incident exists already", fs.ErrExist)
	}
	// The key first: a crash in between leaves a folder without a journal, which is
	// no incident, and not a journal that cannot be signed.
	k, err := loadKeys(l.folder)
	if errors.Is(err, fs.ErrNotExist) {
		k, err = newKeys(fsys, l.folder)
	}
	if err != nil {
		return nil, err
	}
	f, err := fsys.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, problem("the journal cannot be made", err)
	}
	if err := errors.Join(f.Sync(), syncDir(l.folder), syncDir(filepath.Dir(l.folder))); err != nil {
		return nil, errors.Join(problem("the journal cannot be made", err), f.Close())
	}
	j := &Journal{fsys: fsys, folder: l.folder, lock: l, keys: k, file: f, head: origin}
	j.publish()
	return j, nil
}

// Open takes the keeper's lock and opens an incident's journal to go on writing,
// and gives the events so far. A torn tail is cut off after a copy was kept (Notes
// says so); anything else that is wrong is a *Damage and nothing is touched. The
// error is ErrKept (errors.Is) where another process keeps the incident.
func Open(folder string) (*Journal, []state.Event, error) { return OpenOn(OS, folder) }

// OpenOn is Open on a file system of the caller's choice, for tests of failures.
func OpenOn(fsys FS, folder string) (*Journal, []state.Event, error) {
	if _, err := os.Stat(filepath.Join(folder, FileName)); err != nil {
		return nil, nil, problem("the journal cannot be opened", err)
	}
	l, err := Acquire(folder)
	if err != nil {
		return nil, nil, err
	}
	j, events, err := l.open(fsys)
	if err != nil {
		return nil, nil, errors.Join(err, l.Release())
	}
	return j, events, nil
}

// Open is the function Open for a lock that is already held. The journal owns the
// lock from then on; on an error the lock stays the caller's.
func (l *Lock) Open() (*Journal, []state.Event, error) { return l.open(OS) }

func (l *Lock) open(fsys FS) (*Journal, []state.Event, error) {
	path := filepath.Join(l.folder, FileName)
	f, err := fsys.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, nil, problem("the journal cannot be opened for writing", err)
	}
	j := &Journal{fsys: fsys, folder: l.folder, lock: l, file: f, head: origin}
	events, err := j.load(path)
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	if j.keys, err = loadKeys(l.folder); err != nil {
		j.notes = append(j.notes, "the journal goes on without signatures: "+state.Clean(err.Error()))
	}
	j.publish()
	return j, events, nil
}

// load reads the journal through the writer's file and repairs its tail.
func (j *Journal) load(path string) ([]state.Event, error) {
	size, err := j.file.Size()
	if err != nil {
		return nil, problem("the journal cannot be read", err)
	}
	var events []state.Event
	c := chain{path: path}
	rest, err := lines(io.NewSectionReader(j.file, 0, size), func(n int, b []byte) error {
		e, err := c.next(n, b)
		if err != nil {
			return err
		}
		if f, ok := e.Fact.(state.Checkpoint); ok {
			j.signed = f.Size
		}
		j.lastOff, j.size = j.size, j.size+int64(len(b))+1
		events = append(events, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	j.seq, j.head = c.seq, c.prev()
	if rest > 0 {
		if err := j.cut(path, size); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// cut keeps a copy of a torn tail and takes it off the journal.
func (j *Journal) cut(path string, size int64) error {
	tail := make([]byte, size-j.size)
	if _, err := j.file.ReadAt(tail, j.size); err != nil && !errors.Is(err, io.EOF) {
		return problem("the journal cannot be read", err)
	}
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s.torn-%d", path, n)
		err := writeFile(j.fsys, name, tail)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return problem("the journal's torn tail cannot be kept", err)
		}
		j.notes = append(j.notes, fmt.Sprintf("the journal's last line was torn after event %d: %s cut off, a copy is in %s",
			j.seq, countBytes(len(tail)), filepath.Base(name)))
		break
	}
	if err := errors.Join(j.file.Truncate(j.size), j.file.Sync()); err != nil {
		return problem("the journal's torn tail cannot be cut off", err)
	}
	return nil
}

// Notes says what Open repaired or could not do, for the keeper to journal.
func (j *Journal) Notes() []string { return j.notes }

// Folder is the incident's folder.
func (j *Journal) Folder() string { return j.folder }

// PublicKey verifies the journal's checkpoints; "" where they cannot be signed.
func (j *Journal) PublicKey() string { return j.keys.public }

// Head gives the last acknowledged event's number and the short form of its hash, 0
// and "" for an empty journal. It never waits, not even while Append does.
func (j *Journal) Head() (seq uint64, hash string) {
	t := j.tip.Load()
	if t.seq == 0 {
		return 0, ""
	}
	return t.seq, shortHash(t.head)
}

// Signed is the last event that a checkpoint signs. It never waits.
func (j *Journal) Signed() uint64 { return j.tip.Load().signed }

// Append writes facts as the next events, with one write and one sync, and gives
// the events; they are on disk when it returns. Where a checkpoint is due it is
// written along and among the events returned, so that a fold of them has no gap.
// With expect not 0, the head must be that event, else ErrConflict.
//
// On an error nothing was appended, as far as this process and its next events are
// concerned, and a later Append tries afresh: after a failed write or sync it opens
// the file again, takes back what may be half written, and makes sure that the last
// acknowledged event is still there. Append takes as long as the disk does.
func (j *Journal) Append(at time.Time, actor state.Actor, expect uint64, facts ...state.Fact) ([]state.Event, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil, fs.ErrClosed
	}
	if expect != 0 && expect != j.seq {
		return nil, fmt.Errorf("%w: event %d was expected last, it is %d", ErrConflict, expect, j.seq)
	}
	if len(facts) == 0 {
		return nil, nil
	}
	b := batch{at: at.UTC().Round(0), actor: actor, keys: j.keys, seq: j.seq, head: j.head, signed: j.signed, buf: j.buf[:0]}
	for _, f := range facts {
		if err := b.add(f); err != nil {
			return nil, err
		}
	}
	j.buf = b.buf
	if err := j.write(b.buf); err != nil {
		return nil, err
	}
	j.lastOff = j.size + int64(b.last)
	j.size += int64(len(b.buf))
	j.seq, j.head, j.signed = b.seq, b.head, b.signed
	j.publish()
	if cap(j.buf) > 1<<20 {
		j.buf = nil // one huge event must not be paid for ever after
	}
	return b.events, nil
}

// Checkpoint signs the journal as it stands: for every status update, whose head
// people outside then hold. It gives the event that was appended, and no event where
// all is signed already or there is no key.
func (j *Journal) Checkpoint(at time.Time) ([]state.Event, error) {
	t := j.tip.Load()
	if t.seq == 0 || j.keys.signer == nil || t.signed+1 >= t.seq {
		return nil, nil
	}
	c, err := j.keys.checkpoint(t.seq, t.head)
	if err != nil {
		return nil, err
	}
	events, err := j.Append(at, state.Actor{User: state.Mayday}, t.seq, c)
	if errors.Is(err, ErrConflict) {
		return j.Checkpoint(at)
	}
	return events, err
}

// Close ends writing and gives the keeper's lock back.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	j.closed = true
	var err error
	if j.file != nil {
		err = j.file.Close()
	}
	return errors.Join(err, j.lock.Release())
}
