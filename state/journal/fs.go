package journal

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"mayday/state"
)

// FS opens the files that the writer of a journal writes. Tests put a failing disk
// behind it; everybody else uses OS.
type FS interface {
	// OpenFile is os.OpenFile.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
}

// File is what the writer needs of a file.
type File interface {
	ReadAt(p []byte, off int64) (int, error)
	WriteAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	// Sync returns when what was written survives a power cut (fdatasync).
	Sync() error
	Size() (int64, error)
	Close() error
}

// OS is the real file system.
var OS FS = osFS{}

type osFS struct{}

func (osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

type osFile struct{ *os.File }

func (f osFile) Sync() error { return datasync(f.File) }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// syncDir makes names created in a folder survive a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// writeFile creates a new file with its content, synced.
func writeFile(fsys FS, name string, data []byte) error {
	f, err := fsys.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), syncDir(filepath.Dir(name)))
}

// problem words an error of the disk for a person. The cause stays reachable with
// errors.Is.
func problem(what string, err error) error {
	p := &state.Problem{What: what, Why: state.Clean(err.Error()), Code: "disk"}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		p.Why, p.Do, p.Code = "the disk is full", "Free some space; mayday tries again by itself.", "disk-full"
	case errors.Is(err, syscall.EROFS):
		p.Why, p.Do, p.Code = "the file system is read-only", "Set MAYDAY_HOME to a folder that can be written.", "read-only"
	case errors.Is(err, fs.ErrPermission):
		p.Do, p.Code = "Set MAYDAY_HOME to a folder of your own, or correct the folder's owner.", "read-only"
	case errors.Is(err, syscall.ENOTDIR):
		p.Do, p.Code = "Set MAYDAY_HOME to a folder: a part of that path is a file.", "read-only"
	case errors.Is(err, fs.ErrNotExist):
		p.Do = "Look with \"mayday list\" which incidents there are, and whether MAYDAY_HOME is the folder that you mean."
	}
	return &caused{p, err}
}

// caused is a Problem that also is its cause.
type caused struct {
	*state.Problem
	cause error
}

func (c *caused) Unwrap() []error { return []error{c.Problem, c.cause} }
