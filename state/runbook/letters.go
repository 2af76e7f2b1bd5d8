package runbook

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	ast "text/template/parse"
)

// Letter is what the templates of messages see. Times are UTC, durations in words.
type Letter struct {
	ID, Title, Severity, Service, Environment, Issue, Impact string
	Status, Public, ETA, RootCause, Action, Resolution       string
	Started, Duration, Every, NextUpdate, Monitor            string
	Commander, WarRoom, Ticket, Head, PublicKey              string
	Version, Baseline, Branch, Commit, Change                string
	Statement                                                string // what a reviewer signs; empty where an approval needs no signature
	Roles, Facts, Extra                                      map[string]string
	ActionItems                                              []string
}

// LetterNames lists the templates that a runbook may have: an occasion, or an occasion
// and an audience with a dot between ("update.executives"); "customers" and
// "executives" stand for what these read of declared and update.
func LetterNames() []string { return slices.Concat(purposes, []string{"customers", "executives"}) }

// SplitLetter takes a template's name apart. ok is false where it is none.
func SplitLetter(name string) (occasion, audience string, ok bool) {
	occasion, audience, dotted := strings.Cut(name, ".")
	if dotted {
		return occasion, audience, slices.Contains(purposes, occasion) && slices.Contains(audiences, audience)
	}
	return occasion, "", slices.Contains(LetterNames(), name)
}

// functions are what templates may call beside text/template's own.
var functions = template.FuncMap{"lower": strings.ToLower, "upper": strings.ToUpper}

// ParseLetter reads a message template. What it names must be there: a field that is
// not in Letter is an error here, not at 3 a.m. The error's place is in the template.
func ParseLetter(name, text string) (*template.Template, error) {
	t, err := template.New(name).Option("missingkey=zero").Funcs(functions).Parse(text)
	if err != nil {
		return nil, err
	}
	for _, part := range t.Templates() {
		w := walker{name: name, text: text}
		dot := letterType
		if part.Name() != name {
			dot = nil // a {{define}}: what it is called with is not known
		}
		w.list(part.Root, sight{dot: dot, vars: map[string]reflect.Type{"$": dot}})
		if w.err != nil {
			return nil, w.err
		}
	}
	return t, nil
}

var letterType = reflect.TypeFor[Letter]()

// misplacedField is a mistake at a place of a template.
type misplacedField struct {
	line, column int
	text         string
}

func (m *misplacedField) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", m.line, m.column, m.text)
}

// sight is what dot and the variables are; a nil type is not known.
type sight struct {
	dot  reflect.Type
	vars map[string]reflect.Type
}

func (s sight) with(dot reflect.Type) sight { return sight{dot, maps.Clone(s.vars)} }

// walker looks at every field that a template names, in the branches too that an
// incident takes only once in a while.
type walker struct {
	name, text string
	err        error
}

func (w *walker) list(l *ast.ListNode, s sight) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		switch n := n.(type) {
		case *ast.ActionNode:
			w.pipe(n.Pipe, s)
		case *ast.IfNode:
			w.branch(&n.BranchNode, s, func(t reflect.Type) reflect.Type { return s.dot })
		case *ast.WithNode:
			w.branch(&n.BranchNode, s, func(t reflect.Type) reflect.Type { return t })
		case *ast.RangeNode:
			w.branch(&n.BranchNode, s, element)
		case *ast.TemplateNode:
			w.pipe(n.Pipe, s)
		}
	}
}

func element(t reflect.Type) reflect.Type {
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Map) {
		return t.Elem()
	}
	return nil
}

func (w *walker) branch(n *ast.BranchNode, s sight, dot func(reflect.Type) reflect.Type) {
	inner := s.with(s.dot)
	t := w.pipe(n.Pipe, inner)
	if n.NodeType == ast.NodeRange {
		for _, v := range n.Pipe.Decl {
			inner.vars[v.Ident[0]] = nil // an index or an element
		}
	}
	inner.dot = dot(t)
	w.list(n.List, inner)
	w.list(n.ElseList, s.with(s.dot))
}

// pipe gives the type of a pipeline's result, nil where it is not known.
func (w *walker) pipe(p *ast.PipeNode, s sight) reflect.Type {
	if p == nil {
		return nil
	}
	var t reflect.Type
	for _, c := range p.Cmds {
		for _, arg := range c.Args {
			t = w.value(arg, s)
		}
		if len(c.Args) > 1 || c.Args[0].Type() == ast.NodeIdentifier {
			t = nil // a function's
		}
	}
	if len(p.Cmds) > 1 {
		t = nil
	}
	for _, v := range p.Decl {
		s.vars[v.Ident[0]] = t
	}
	return t
}

func (w *walker) value(n ast.Node, s sight) reflect.Type {
	switch n := n.(type) {
	case *ast.DotNode:
		return s.dot
	case *ast.FieldNode:
		return w.fields(n, s.dot, n.Ident)
	case *ast.VariableNode:
		return w.fields(n, s.vars[n.Ident[0]], n.Ident[1:])
	case *ast.ChainNode:
		return w.fields(n, w.value(n.Node, s), n.Field)
	case *ast.PipeNode:
		return w.pipe(n, s)
	}
	return nil
}

// fields follows names from a type.
func (w *walker) fields(n ast.Node, t reflect.Type, names []string) reflect.Type {
	for _, name := range names {
		switch {
		case t == nil:
			return nil
		case t.Kind() == reflect.Map:
			t = t.Elem()
			continue
		case t.Kind() == reflect.Struct:
			if f, ok := t.FieldByName(name); ok {
				t = f.Type
				continue
			}
			w.fail(n, fmt.Sprintf("there is no .%s%s", name, hint(name, fieldNames(t))))
		default:
			w.fail(n, fmt.Sprintf("there is no .%s in a text", name))
		}
		return nil
	}
	return t
}

func fieldNames(t reflect.Type) []string {
	var out []string
	for i := range t.NumField() {
		out = append(out, t.Field(i).Name)
	}
	return out
}

func (w *walker) fail(n ast.Node, text string) {
	if w.err != nil {
		return
	}
	before := w.text[:min(int(n.Position()), len(w.text))]
	at := strings.LastIndexByte(before, '\n') + 1
	w.err = &misplacedField{strings.Count(before, "\n") + 1, len([]rune(before[at:])) + 1, text}
}

// checkLetters refuses templates that nothing uses and that cannot be used.
func (r *Runbook) checkLetters(b *binder) {
	for _, name := range slices.Sorted(maps.Keys(r.Templates)) {
		path := "templates." + name
		occasion, audience, ok := SplitLetter(name)
		switch {
		case !ok && audience != "" && slices.Contains(purposes, occasion):
			b.word(path, "audience of a template", audience, audiences)
			continue
		case !ok:
			b.word(path, "template", name, LetterNames())
			continue
		}
		if _, err := ParseLetter(name, r.Templates[name]); err != nil {
			p, text := b.inLetter(path, r.Templates[name], err)
			b.issue(p, "%s: %s", path, text)
		}
	}
}

// parsed matches what text/template says of a template that it cannot read.
var parsed = regexp.MustCompile(`^template: [^:]*:(\d+)(?::(\d+))?: (.*)$`)

// inLetter finds the place of a template's mistake in the file.
func (b *binder) inLetter(path, text string, err error) (place, string) {
	line, column, what := 1, 1, err.Error()
	if m, ok := errors.AsType[*misplacedField](err); ok {
		line, column, what = m.line, m.column, m.text
	} else if m := parsed.FindStringSubmatch(what); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits
		column, _ = strconv.Atoi(m[2])
		column, what = max(column, 1), m[3]
	}
	line = min(line, strings.Count(strings.TrimRight(text, "\n"), "\n")+1) // an end that comes too soon is behind the last
	start := b.at[path]
	if start.line < 1 || start.line > len(b.err.source) {
		return start, what
	}
	key := b.err.source[start.line-1]
	if !strings.ContainsAny(key, "|>") || !strings.Contains(text, "\n") && strings.Contains(key, strings.TrimSpace(text)) {
		// On the key's own line, perhaps in quotes.
		if i := strings.Index(key, strings.TrimSpace(strings.Split(text, "\n")[0])); i >= 0 {
			return place{start.line, len([]rune(key[:i])) + column}, what
		}
		return start, what
	}
	at := start.line + line // a block's first line is the one below its key
	if at > len(b.err.source) {
		return start, what
	}
	first := b.err.source[start.line]
	return place{at, len(first) - len(strings.TrimLeft(first, " ")) + column}, what
}
