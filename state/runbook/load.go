package runbook

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"mayday/state"
)

// FileName is what Find looks for.
const FileName = "mayday.yaml"

// maxFile bounds a runbook, so that a wrong path does not read a disk image.
const maxFile = 1 << 20

// Find gives the path of the mayday.yaml in dir or the nearest folder above it. The
// error is fs.ErrNotExist (errors.Is) where there is none.
func Find(dir string) (string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for at := start; ; at = filepath.Dir(at) {
		path := filepath.Join(at, FileName)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
			return path, nil
		}
		if at == filepath.Dir(at) {
			return "", &missing{&state.Problem{What: "there is no " + FileName + " in " + start + " or above it",
				Do: "Go to the service's folder, or let mayday write one there: mayday init. To try mayday first: mayday drill.", Code: "no-runbook"}}
		}
	}
}

type missing struct{ *state.Problem }

func (m *missing) Unwrap() []error { return []error{m.Problem, fs.ErrNotExist} }

// Load reads and checks a runbook. Mistakes in it are an *Error.
func Load(path string) (*Runbook, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &missing{&state.Problem{What: "there is no runbook " + path, Do: "Check the path.", Code: "no-runbook"}}
	}
	if err != nil {
		return nil, fmt.Errorf("runbook: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("runbook: %w", err)
	}
	if !st.Mode().IsRegular() || st.Size() > maxFile {
		return nil, &state.Problem{What: path + " is not a runbook", Why: "a runbook is a file of at most 1 MiB", Do: "Check the path.", Code: "runbook"}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("runbook: %w", err)
	}
	return Parse(path, data)
}

// Parse checks a runbook's text, fills the defaults in and makes relative paths
// absolute, from path's folder. It reads nothing but data; environment variables are
// not expanded. Mistakes are an *Error, with all mistakes of form (keys, types) at once
// or, where there are none, all of sense.
func Parse(path string, data []byte) (*Runbook, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("runbook: %w", err)
	}
	e := &Error{Path: path, source: strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")}
	b := &binder{anchors: map[string]ast.Node{}, at: map[string]place{}, err: e}
	rb := &Runbook{Path: abs, Dir: filepath.Dir(abs)}
	if root := parse(data, b); root != nil {
		b.secrets(root)
		b.bind(root, rb)
	}
	// A misspelt key would also be a missing one: sense is looked for in what is
	// well-formed only.
	if len(e.Issues) == 0 {
		rb.finish(b)
		rb.check(b)
	}
	if len(e.Issues) > 0 {
		e.sort()
		return nil, e
	}
	return rb, nil
}

// parse gives the document's root, nil where the file is not one YAML document.
func parse(data []byte, b *binder) ast.Node {
	file, err := parser.ParseBytes(data, 0)
	var bad yaml.Error
	switch {
	case errors.As(err, &bad):
		p := place{}
		if t := bad.GetToken(); t != nil && t.Position != nil {
			p = place{t.Position.Line, t.Position.Column}
		}
		if p.line > 0 && p.line <= len(b.err.source) && strings.HasPrefix(strings.TrimLeft(b.err.source[p.line-1], " "), "\t") {
			b.issue(p, "YAML is indented with spaces, and this line begins with a tab")
			return nil
		}
		b.issue(p, "not YAML: %s", bad.GetMessage())
		return nil
	case err != nil:
		b.issue(place{}, "not YAML: %v", err)
		return nil
	}
	var docs []ast.Node
	for _, d := range file.Docs {
		if d.Body != nil && d.Body.Type() != ast.NullType && d.Body.Type() != ast.CommentType {
			docs = append(docs, d.Body)
		}
	}
	switch len(docs) {
	case 0:
		b.issue(place{}, "the runbook is empty; it needs at least the service's name: \"service: shop\"")
		return nil
	case 1:
		return docs[0]
	}
	b.issue(spot(docs[1]), "a second document: a runbook is one")
	return nil
}
