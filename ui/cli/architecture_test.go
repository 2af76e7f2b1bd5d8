package cli_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	module = "mayday"
	root   = "../.." // of the module, from this folder

	maxFile     = 500 // lines
	maxFunction = 60  // lines; "// long: why" on the line above the func allows more
)

// pack is what go list tells of a package.
type pack struct {
	ImportPath, Dir string
	Imports         []string
	TestImports     []string
	XTestImports    []string
	Deps            []string // all, transitively
	Standard        bool
}

// packages lists what the patterns name, as go list sees it from the module's root.
func packages(t *testing.T, args ...string) []pack {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Dir,Imports,TestImports,XTestImports,Deps,Standard"}, args...)...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, stderr.Bytes())
	}
	var list []pack
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pack
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// within reports whether path is the package top or lies below it.
func within(path, top string) bool { return path == top || strings.HasPrefix(path, top+"/") }

// house is the part of the module a package belongs to.
func house(path string) string {
	for _, part := range []string{"state", "steps", "probes", "ui/cli", "ui"} {
		if within(path, module+"/"+part) {
			return part
		}
	}
	return "main"
}

// reach says which parts of the house the packages of a part may import. Tests obey
// it too: what a test needs from across the house belongs to ui/cli's tests.
var reach = map[string][]string{
	"main":   {"ui/cli"},
	"ui/cli": {"state", "steps", "probes", "ui", "ui/cli"},
	"ui":     {"state", "ui"},
	"steps":  {"state", "steps"},
	"probes": {"state", "probes"},
	"state":  {"state"},
}

// forbidden names what one part may not link even through somebody else's package.
var forbidden = map[string][]string{
	"ui":     {"k8s.io", "github.com/go-git", "github.com/prometheus", module + "/steps", module + "/probes"},
	"state":  {"k8s.io", "github.com/go-git", "github.com/prometheus", "charm.land"},
	"steps":  {"charm.land", module + "/probes", module + "/ui"},
	"probes": {"charm.land", module + "/steps", module + "/ui"},
}

func TestArrowsPointDown(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range packages(t, "./...") {
		part := house(p.ImportPath)
		seen[part] = true
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if within(imported, module) && !slices.Contains(reach[part], house(imported)) {
				t.Errorf("%s imports %s: %s may reach only %v", p.ImportPath, imported, part, reach[part])
			}
		}
		for _, dep := range p.Deps {
			for _, no := range forbidden[part] {
				if within(dep, no) {
					t.Errorf("%s links %s: nothing of %s may", p.ImportPath, dep, no)
				}
			}
		}
	}
	for part := range reach {
		if !seen[part] {
			t.Errorf("there is no package of %s: are the rules about this module?", part)
		}
	}
}

// The facts and their log need nothing but the standard library.
func TestStateIsPlainGo(t *testing.T) {
	for _, p := range packages(t, "-deps", "./state") {
		if !p.Standard && p.ImportPath != module+"/state" {
			t.Errorf("state links %s", p.ImportPath)
		}
	}
}

// Every command starts by initialising what is linked: the typed clients alone would
// cost 9 ms each time.
func TestStartIsLight(t *testing.T) {
	for _, p := range packages(t, "-deps", ".") {
		if within(p.ImportPath, "k8s.io/client-go/kubernetes") {
			t.Errorf("mayday links %s", p.ImportPath)
		}
	}
}

func TestMainOnlyCallsTheCommandLine(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "*.go"))
	if err != nil || len(files) != 1 {
		t.Fatalf("at the top: %v, %v; only main.go belongs there", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	f, err := parser.ParseFile(token.NewFileSet(), files[0], text, 0)
	if err != nil {
		t.Fatal(err)
	}
	const all = "func main() { os.Exit(cli.Main(os.Args[1:])) }"
	if len(f.Decls) != 2 || !strings.Contains(string(text), all) { // the imports, and main
		t.Errorf("main.go holds more than %s", all)
	}
}

func TestTopFolders(t *testing.T) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !slices.Contains([]string{"state", "steps", "probes", "ui"}, e.Name()) {
			t.Errorf("a folder %q at the top: everything lives in state, steps, probes or ui", e.Name())
		}
	}
}

// source is one Go file of the module.
type source struct {
	path string
	test bool
	text []byte
	set  *token.FileSet
	tree *ast.File
}

func (s source) line(p token.Pos) int { return s.set.Position(p).Line }

// sources reads every Go file but those in testdata and folders with a dot.
func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != root) {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(path) != ".go" {
			return nil
		}
		s := source{path: path, test: strings.HasSuffix(path, "_test.go"), set: token.NewFileSet()}
		if s.text, err = os.ReadFile(path); err != nil {
			return err
		}
		s.tree, err = parser.ParseFile(s.set, path, s.text, parser.ParseComments)
		out = append(out, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 100 {
		t.Fatalf("%d Go files found: is %s the module?", len(out), root)
	}
	return out
}

var reason = regexp.MustCompile(`^// long: \w+`)

func TestFilesAndFunctionsAreShort(t *testing.T) {
	for _, s := range sources(t) {
		if n := bytes.Count(s.text, []byte("\n")); n > maxFile {
			t.Errorf("%s has %d lines, more than %d", s.path, n, maxFile)
		}
		if s.test {
			continue
		}
		lines := strings.Split(string(s.text), "\n")
		for _, d := range s.tree.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			first := s.line(fn.Type.Func)
			if n := s.line(fn.End()) - first + 1; n > maxFunction && !reason.MatchString(lines[max(0, first-2)]) {
				t.Errorf("%s:%d %s has %d lines, more than %d, and no \"// long: why\" above it", s.path, first, fn.Name.Name, n, maxFunction)
			}
		}
	}
}

// Tests wait for causes. A sleep is right under synctest's clock, and between two
// looks at what another process or a server brings about; never as a guess.
func TestNothingSleepsInTests(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test || slices.ContainsFunc(s.tree.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` }) {
			continue
		}
		var loops []ast.Node
		ast.Inspect(s.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ForStmt, *ast.RangeStmt:
				loops = append(loops, n)
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				inLoop := slices.ContainsFunc(loops, func(l ast.Node) bool { return l.Pos() <= n.Pos() && n.End() <= l.End() })
				if ok && x.Name == "time" && n.Sel.Name == "Sleep" && !inLoop {
					t.Errorf("%s:%d sleeps: wait for the cause, or use testing/synctest", s.path, s.line(n.Pos()))
				}
			}
			return true
		})
	}
}
