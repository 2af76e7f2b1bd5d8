package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	fdiff "github.com/go-git/go-git/v5/plumbing/format/diff"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/utils/diff"

	"mayday/state"
)

// hugeFile is the size in bytes past which a file is counted but not shown line
// by line: nobody reads that diff at night.
const hugeFile = 1 << 20

// changed is one file that differs from the baseline.
type changed struct {
	path           string
	kind           kind
	added, removed int
	deleted        bool
	binary         bool
}

// measured is the difference between two states of the repository.
type measured struct {
	files []changed
	text  string // unified diff, clean
}

func (m measured) lines() int {
	n := 0
	for _, f := range m.files {
		n += f.added + f.removed
	}
	return n
}

func (m measured) paths() []string {
	var out []string
	for _, f := range m.files {
		out = append(out, f.path)
	}
	return out
}

// measure compares from with to, or with the files as they are now where to is
// empty.
func (r *Repo) measure(ctx context.Context, v *view, from, to string) (measured, error) {
	var m measured
	old, err := v.commit(from)
	if err != nil {
		return m, err
	}
	end, rev := to, "HEAD"
	if end != "" {
		rev = end
	}
	newer, err := v.commit(rev)
	if err != nil {
		return m, err
	}
	oldTree, newTree, paths, err := changedPaths(old, newer)
	if err != nil {
		return m, err
	}
	now := func(path string) (*file, error) { return fromTree(newTree, path) }
	if to == "" {
		dirty, err := r.dirty(ctx, v)
		if err != nil {
			return m, err
		}
		top, err := v.top()
		if err != nil {
			return m, err
		}
		paths = append(paths, dirty...)
		now = func(path string) (*file, error) { return fromDisk(top, path) }
	}
	slices.Sort(paths)
	p := &patch{}
	for _, path := range slices.Compact(paths) {
		if err := ctx.Err(); err != nil {
			return m, err
		}
		a, err := fromTree(oldTree, path)
		if err != nil {
			return m, err
		}
		b, err := now(path)
		if err != nil {
			return m, err
		}
		p.add(a, b)
	}
	m.files = p.files
	m.text, err = p.text()
	return m, err
}

func changedPaths(old, newer *object.Commit) (a, b *object.Tree, paths []string, err error) {
	if a, err = old.Tree(); err == nil {
		b, err = newer.Tree()
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read the files of a commit: %w", err)
	}
	changes, err := object.DiffTree(a, b)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("compare the files of two commits: %w", err)
	}
	for _, c := range changes {
		for _, name := range []string{c.From.Name, c.To.Name} {
			if name != "" {
				paths = append(paths, name)
			}
		}
	}
	return a, b, paths, nil
}

// file is one version of a file; nil where there is none. It implements go-git's
// File for its encoder.
type file struct {
	path string
	mode filemode.FileMode
	data []byte
}

func (f *file) Hash() plumbing.Hash     { return plumbing.ComputeHash(plumbing.BlobObject, f.data) }
func (f *file) Mode() filemode.FileMode { return f.mode }
func (f *file) Path() string            { return state.Clean(f.path) }

func (f *file) binary() bool {
	return f != nil && (len(f.data) > hugeFile || bytes.IndexByte(f.data[:min(len(f.data), 8000)], 0) >= 0)
}

func (f *file) content() string {
	if f == nil {
		return ""
	}
	return string(f.data)
}

func fromTree(t *object.Tree, path string) (*file, error) {
	e, err := t.FindEntry(path)
	if errors.Is(err, object.ErrEntryNotFound) || errors.Is(err, object.ErrDirectoryNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", state.Clean(path), err)
	}
	if e.Mode == filemode.Submodule {
		return &file{path, e.Mode, []byte("submodule at " + e.Hash.String() + "\n")}, nil
	}
	f, err := t.TreeEntryFile(e)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", state.Clean(path), err)
	}
	s, err := f.Contents()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", state.Clean(path), err)
	}
	return &file{path, e.Mode, []byte(s)}, nil
}

func fromDisk(top, path string) (*file, error) {
	full := filepath.Join(top, filepath.FromSlash(path))
	info, err := os.Lstat(full)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", state.Clean(path), err)
	}
	if info.IsDir() { // a submodule or a repository inside this one
		return &file{path, filemode.Submodule, nil}, nil
	}
	mode, err := filemode.NewFromOSFileMode(info.Mode())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", state.Clean(path), err)
	}
	if mode == filemode.Symlink {
		to, err := os.Readlink(full)
		return &file{path, mode, []byte(to)}, err
	}
	data, err := os.ReadFile(full)
	if err != nil {
		return nil, problem("unreadable", "The changed file "+state.Clean(path)+" cannot be read", state.Clean(err.Error()), "Correct its permissions, then run it again.")
	}
	return &file{path, mode, data}, nil
}

// patch collects files for go-git's unified encoder.
type patch struct {
	files   []changed
	patches []fdiff.FilePatch
}

func (p *patch) FilePatches() []fdiff.FilePatch { return p.patches }
func (p *patch) Message() string                { return "" }

func (p *patch) text() (string, error) {
	var b strings.Builder
	if err := fdiff.NewUnifiedEncoder(&b, fdiff.DefaultContextLines).Encode(p); err != nil {
		return "", fmt.Errorf("write the diff: %w", err)
	}
	return state.CleanLines(b.String()), nil
}

func (p *patch) add(a, b *file) {
	if a == nil && b == nil {
		return
	}
	c := changed{deleted: b == nil, binary: a.binary() || b.binary()}
	fp := &filePatch{from: a, to: b, binary: c.binary}
	if b != nil {
		c.path = b.path
	} else {
		c.path = a.path
	}
	c.kind = kindOf(c.path)
	old, text := a.content(), b.content()
	if a != nil && b != nil && !strings.Contains(old, "\r\n") {
		text = strings.ReplaceAll(text, "\r\n", "\n") // the checkout's line ends are not a change
	}
	if a != nil && b != nil && old == text && a.mode == b.mode {
		return
	}
	if c.binary {
		c.removed, c.added = strings.Count(old, "\n"), strings.Count(text, "\n")
	} else {
		for _, d := range diff.Do(old, text) {
			n := strings.Count(d.Text, "\n")
			if !strings.HasSuffix(d.Text, "\n") && d.Text != "" {
				n++
			}
			k := chunk{text: d.Text}
			switch {
			case d.Type < 0:
				k.op, c.removed = fdiff.Delete, c.removed+n
			case d.Type > 0:
				k.op, c.added = fdiff.Add, c.added+n
			}
			fp.chunks = append(fp.chunks, k)
		}
	}
	p.files, p.patches = append(p.files, c), append(p.patches, fp)
}

type filePatch struct {
	from, to *file
	binary   bool
	chunks   []fdiff.Chunk
}

func (f *filePatch) IsBinary() bool        { return f.binary }
func (f *filePatch) Chunks() []fdiff.Chunk { return f.chunks }

// Files gives untyped nils where there is no file, as the encoder asks for.
func (f *filePatch) Files() (from, to fdiff.File) {
	if f.from != nil {
		from = f.from
	}
	if f.to != nil {
		to = f.to
	}
	return from, to
}

type chunk struct {
	text string
	op   fdiff.Operation
}

func (c chunk) Content() string       { return c.text }
func (c chunk) Type() fdiff.Operation { return c.op }
