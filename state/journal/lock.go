package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"mayday/state"
)

// ErrKept means that another process keeps the incident. Test with errors.Is; the
// error is a *KeptError that says which.
var ErrKept = errors.New("another process keeps this incident")

// KeptError is ErrKept with what is known of the keeper.
type KeptError struct{ Holder Holder }

func (e *KeptError) Error() string {
	if e.Holder.PID == 0 {
		return ErrKept.Error()
	}
	return fmt.Sprintf("%v: process %d on %s", ErrKept, e.Holder.PID, e.Holder.Host)
}

// Is makes errors.Is(err, ErrKept) true.
func (e *KeptError) Is(target error) bool { return target == ErrKept }

// Holder is who holds, or last held, the keeper's lock. For display: only the lock
// itself says that it is held.
type Holder struct {
	PID  int    `json:"pid"`
	Host string `json:"host"`
}

// Lock is the right to write an incident's journal. The kernel takes it back when
// the process dies, however it dies.
type Lock struct {
	folder string
	file   *os.File
}

// Acquire takes the keeper's lock of an incident's folder without waiting. The
// error is ErrKept (errors.Is) when another process holds it.
func Acquire(folder string) (*Lock, error) {
	f, err := os.OpenFile(filepath.Join(folder, "keeper.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, problem("the incident cannot be locked", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		h := readHolder(f)
		_ = f.Close() // nothing was written
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, &KeptError{h}
		}
		return nil, problem("the incident cannot be locked", fmt.Errorf("flock: %w", err))
	}
	l := &Lock{folder: folder, file: f}
	l.sign()
	return l, nil
}

// sign writes who holds the lock into its file. A full disk must not keep anybody
// from keeping, so a failure is ignored: the content is for display alone.
func (l *Lock) sign() {
	host, _ := os.Hostname()
	b, _ := json.Marshal(Holder{PID: os.Getpid(), Host: host})
	if l.file.Truncate(0) == nil {
		_, _ = l.file.WriteAt(append(b, '\n'), 0)
	}
}

// Folder is the incident's folder.
func (l *Lock) Folder() string { return l.folder }

// Release gives the lock back. A second call does nothing.
func (l *Lock) Release() error {
	if l == nil || l.file == nil {
		return nil
	}
	_ = l.file.Truncate(0)
	// A child that is being started holds a copy of the descriptor until it has become
	// another program; closing ours alone would leave the lock with it till then.
	err := unix.Flock(int(l.file.Fd()), unix.LOCK_UN)
	err = errors.Join(err, l.file.Close())
	l.file = nil
	return err
}

// LastHolder says who wrote the lock's file last; ok is false where nobody did, or
// the last keeper left in good order. The lock itself is not touched.
func LastHolder(folder string) (h Holder, ok bool) {
	f, err := os.Open(filepath.Join(folder, "keeper.lock"))
	if err != nil {
		return Holder{}, false
	}
	defer f.Close()
	h = readHolder(f)
	return h, h.PID != 0
}

func readHolder(f *os.File) (h Holder) {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 4096))
	if err != nil || json.Unmarshal(b, &h) != nil {
		return Holder{}
	}
	h.Host = state.Clean(h.Host)
	return h
}
