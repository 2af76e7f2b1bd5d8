package journal

import (
	"io/fs"
	"path/filepath"
	"sync"
)

// faulty is a file system whose journal fails on demand.
type faulty struct {
	mu      sync.Mutex
	short   int   // the next write stops after so many bytes, -1: off
	write   error // of the next write
	sync    error // of the next sync
	cutting error // of every truncate
	opening error // of every open
}

func (f *faulty) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.opening != nil {
		return nil, f.opening
	}
	file, err := OS.OpenFile(name, flag, perm)
	if err != nil || filepath.Base(name) != FileName {
		return file, err
	}
	return &faultyFile{File: file, fs: f}, nil
}

func (f *faulty) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

type faultyFile struct {
	File
	fs *faulty
}

func (f *faultyFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.write == nil {
		return f.File.WriteAt(p, off)
	}
	err := f.fs.write
	n := min(f.fs.short, len(p))
	f.fs.write = nil
	if _, werr := f.File.WriteAt(p[:n], off); werr != nil {
		return 0, werr
	}
	return n, err
}

func (f *faultyFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.sync; err != nil {
		f.fs.sync = nil
		return err
	}
	return f.File.Sync()
}

func (f *faultyFile) Truncate(n int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.fs.cutting != nil {
		return f.fs.cutting
	}
	return f.File.Truncate(n)
}

// unsynced is the real file system without its slowest part.
type unsynced struct{}

func (unsynced) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := OS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

type unsyncedFile struct{ File }

func (unsyncedFile) Sync() error { return nil }
