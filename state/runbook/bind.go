package runbook

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"mayday/state"
)

// place is a spot in the file, from 1; zero: the whole file.
type place struct{ line, column int }

// binder fills Go values from a YAML tree. It does what a decoder does, but goes on
// after a mistake, knows where every value stood (for the checks that come later),
// and lays a type's defaults down before what is written overrides them, so that an
// explicit zero stays one.
type binder struct {
	anchors map[string]ast.Node
	at      map[string]place // by path: "environments.production.canary.weights[1]"
	err     *Error
	depth   int
	own     int // probes of presets stand before the file's own: how many
}

func (b *binder) issue(p place, format string, args ...any) {
	b.err.Issues = append(b.err.Issues, Issue{p.line, p.column, state.Clean(fmt.Sprintf(format, args...))})
}

// fail reports a mistake at a path, or at the nearest written part of it.
func (b *binder) fail(path, format string, args ...any) {
	for at := path; ; {
		if p, ok := b.at[at]; ok {
			b.issue(p, format, args...)
			return
		}
		i := strings.LastIndexAny(at, ".[")
		if i < 0 {
			b.issue(b.at[""], format, args...)
			return
		}
		at = at[:i]
	}
}

// set reports whether the file says something at the path.
func (b *binder) set(path string) bool { _, ok := b.at[path]; return ok }

func spot(n ast.Node) place {
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		n = m.Values[0].Key // the node's own token is the first colon
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return place{t.Position.Line, t.Position.Column}
	}
	return place{}
}

// bind fills the runbook from the document's root.
func (b *binder) bind(root ast.Node, rb *Runbook) {
	preset(reflect.ValueOf(rb).Elem(), "")
	b.value(root, reflect.ValueOf(rb).Elem(), "")
}

// secrets remembers which lines the channels take.
func (b *binder) secrets(root ast.Node) {
	pairs, _ := pairsOf(root)
	for i, kv := range pairs {
		if keyOf(kv) != "channels" {
			continue
		}
		b.err.secret = [2]int{spot(kv.Key).line, len(b.err.source) + 1}
		if i+1 < len(pairs) {
			b.err.secret[1] = spot(pairs[i+1].Key).line
		}
	}
}

func pairsOf(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func keyOf(kv *ast.MappingValueNode) string {
	if s, ok := kv.Key.(*ast.StringNode); ok {
		return s.Value
	}
	return kv.Key.GetToken().Value
}

// resolve looks through anchors and aliases.
func (b *binder) resolve(n ast.Node, path string) ast.Node {
	for range 10 { // an alias of an alias is enough for anybody; a cycle is not
		switch x := n.(type) {
		case *ast.AnchorNode:
			b.anchors[x.Name.GetToken().Value] = x.Value
			n = x.Value
		case *ast.AliasNode:
			to, ok := b.anchors[x.Value.GetToken().Value]
			if !ok {
				b.issue(spot(n), "%s: there is no anchor &%s above", path, x.Value.GetToken().Value)
				return nil
			}
			n = to
		case *ast.TagNode:
			b.issue(spot(n), "%s: tags (%s) are not used in runbooks", path, x.GetToken().Value)
			return nil
		default:
			return n
		}
	}
	b.issue(spot(n), "%s: too many aliases", path)
	return nil
}

var (
	durationType = reflect.TypeFor[state.Duration]()
	timeType     = reflect.TypeFor[time.Time]()
	commandType  = reflect.TypeFor[Command]()
	scriptType   = reflect.TypeFor[Script]()
	promType     = reflect.TypeFor[Prometheus]()
	managerType  = reflect.TypeFor[Alertmanager]()
	limitType    = reflect.TypeFor[Limit]()
	compareType  = reflect.TypeFor[Compare]()
)

// value fills v, whose defaults are laid down already, from a node.
func (b *binder) value(n ast.Node, v reflect.Value, path string) {
	at := spot(n)
	if n = b.resolve(n, path); n == nil {
		return
	}
	if _, ok := b.at[path]; !ok {
		b.at[path] = at
	}
	if b.depth++; b.depth > 20 {
		b.issue(at, "%s: nested too deeply", path)
		return
	}
	defer func() { b.depth-- }()
	if n.Type() == ast.NullType {
		b.issue(at, "%s is empty; give it a value or take the key away", named(path))
		return
	}
	if b.short(n, v, at, path) {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		p := reflect.New(v.Type().Elem())
		preset(p.Elem(), path)
		b.value(n, p.Elem(), path)
		v.Set(p)
	case reflect.Struct:
		b.mapping(n, v, at, path)
	case reflect.Map:
		b.table(n, v, at, path)
	case reflect.Slice:
		b.list(n, v, at, path)
	default:
		b.scalar(n, v, at, path)
	}
}

// short fills what has a form of its own in the file, or may have a short one; false
// where the node is to be read as any other.
func (b *binder) short(n ast.Node, v reflect.Value, at place, path string) bool {
	switch v.Type() {
	case durationType, timeType:
		b.text(n, v, at, path)
		return true
	case commandType:
		return !b.command(n, v, at, path)
	case scriptType:
		return !b.redeploy(n, v, path)
	case promType:
		return !b.prometheus(n, v, at, path)
	case limitType:
		b.limit(n, v, at, path)
		return true
	case compareType:
		if s, ok := n.(*ast.StringNode); ok {
			v.Addr().Interface().(*Compare).With = s.Value
			return true
		}
	case managerType:
		if s, ok := n.(*ast.StringNode); ok {
			v.Addr().Interface().(*Alertmanager).URL = s.Value
			b.at[path+".url"] = at
			return true
		}
	}
	return false
}

func named(path string) string {
	if path == "" {
		return "the runbook"
	}
	return path
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// kind names what somebody wrote.
func kind(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	}
	return "text"
}

func (b *binder) mapping(n ast.Node, v reflect.Value, at place, path string) {
	pairs, ok := pairsOf(n)
	if !ok {
		b.issue(at, "%s must be a mapping (key: value), not %s", named(path), kind(n))
		return
	}
	fields, names := fieldsOf(v.Type())
	for _, kv := range pairs {
		key := keyOf(kv)
		if kv.Key.IsMergeKey() {
			b.issue(spot(kv.Key), "merge keys (<<) are not used in runbooks; write the keys out, or put an anchor on a whole value")
			continue
		}
		i, ok := fields[key]
		if !ok {
			where := ""
			if path != "" {
				where = " in " + path
			}
			b.issue(spot(kv.Key), "unknown key %q%s%s", key, where, hint(key, names))
			continue
		}
		if k := kind(kv.Value); k == "a mapping" || k == "a list" {
			b.at[join(path, key)] = spot(kv.Key) // what is missing in it is missed under its name
		}
		b.value(kv.Value, v.Field(i), join(path, key))
	}
}

// fieldsOf gives a struct's fields by their names in the file.
func fieldsOf(t reflect.Type) (map[string]int, []string) {
	fields, names := map[string]int{}, []string(nil)
	for i := range t.NumField() {
		if name := nameOf(t.Field(i)); name != "" {
			fields[name] = i
			names = append(names, name)
		}
	}
	return fields, names
}

func nameOf(f reflect.StructField) string {
	tag := f.Tag.Get("yaml")
	if tag == "" {
		tag = f.Tag.Get("json")
	}
	name, _, _ := strings.Cut(tag, ",")
	if name == "-" {
		return ""
	}
	return name
}

// table fills a map; its keys are text or read themselves from text.
func (b *binder) table(n ast.Node, v reflect.Value, at place, path string) {
	pairs, ok := pairsOf(n)
	if !ok {
		b.issue(at, "%s must be a mapping (name: value), not %s", named(path), kind(n))
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, kv := range pairs {
		name := keyOf(kv)
		key := reflect.New(v.Type().Key())
		if u, ok := key.Interface().(encoding.TextUnmarshaler); ok {
			if err := u.UnmarshalText([]byte(name)); err != nil {
				b.issue(spot(kv.Key), "%v", err)
				continue
			}
		} else {
			key.Elem().SetString(name)
		}
		elem := reflect.New(v.Type().Elem()).Elem()
		if s, ok := key.Interface().(*state.Severity); ok {
			elem.Set(reflect.ValueOf(state.DefaultPolicy(*s))) // a partial policy changes the built-in one
			name = s.String()
		}
		if v.MapIndex(key.Elem()).IsValid() {
			b.issue(spot(kv.Key), "%s is there twice", join(path, name))
			continue
		}
		preset(elem, name)
		b.at[join(path, name)] = spot(kv.Key)
		b.value(kv.Value, elem, join(path, name))
		v.SetMapIndex(key.Elem(), elem)
	}
}

func (b *binder) list(n ast.Node, v reflect.Value, at place, path string) {
	s, ok := n.(*ast.SequenceNode)
	if !ok {
		b.issue(at, "%s must be a list, not %s; write [ ] around it", named(path), kind(n))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(s.Values), len(s.Values))
	for i, x := range s.Values {
		preset(out.Index(i), "")
		b.value(x, out.Index(i), path+"["+strconv.Itoa(i)+"]")
	}
	v.Set(out)
}

// text fills a value that reads itself from text: durations and times.
func (b *binder) text(n ast.Node, v reflect.Value, at place, path string) {
	var s string
	switch x := n.(type) {
	case *ast.StringNode:
		s = x.Value
	case *ast.IntegerNode:
		s = x.GetToken().Value
		if s == "0" {
			v.SetZero()
			return
		}
	default:
		b.issue(at, "%s must be text, not %s", path, kind(n))
		return
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)); err != nil {
		b.issue(at, "%s: %v", path, err)
	}
}

func (b *binder) scalar(n ast.Node, v reflect.Value, at place, path string) {
	switch v.Kind() {
	case reflect.String:
		switch x := n.(type) {
		case *ast.StringNode:
			v.SetString(x.Value)
			return
		case *ast.LiteralNode:
			v.SetString(x.Value.Value)
			return
		case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
			b.issue(at, "%s must be text, not %s; write it in quotes: %q", path, kind(n), n.GetToken().Value)
			return
		}
		b.issue(at, "%s must be text, not %s", path, kind(n))
	case reflect.Bool:
		if x, ok := n.(*ast.BoolNode); ok {
			v.SetBool(x.Value)
			return
		}
		b.issue(at, "%s must be true or false, not %s", path, kind(n))
	case reflect.Int:
		if x, ok := n.(*ast.IntegerNode); ok {
			i, err := strconv.ParseInt(fmt.Sprint(x.Value), 10, 32)
			if err == nil {
				v.SetInt(i)
				return
			}
		}
		b.issue(at, "%s must be a whole number, not %s", path, shown(n))
	case reflect.Float64:
		f, err := strconv.ParseFloat(strings.ReplaceAll(n.GetToken().Value, "_", ""), 64)
		if kind(n) == "a number" && err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) {
			v.SetFloat(f)
			return
		}
		b.issue(at, "%s must be a number, not %s", path, shown(n))
	}
}

// shown quotes what somebody wrote where that is short.
func shown(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode, *ast.SequenceNode, *ast.LiteralNode:
		return kind(n)
	}
	return strconv.Quote(n.GetToken().Value)
}

// command lets a list stand for a command; it reports whether a mapping is left to
// be filled.
func (b *binder) command(n ast.Node, v reflect.Value, at place, path string) bool {
	if _, ok := n.(*ast.SequenceNode); ok {
		b.list(n, v.FieldByName("Run"), at, path)
		b.at[path+".run"] = at
		return false
	}
	if _, ok := pairsOf(n); !ok {
		b.issue(at, "%s is not a shell line: write the program and its arguments as a list, [\"make\", \"test\"]; where a shell is wanted, [\"sh\", \"-c\", \"…\"]", path)
		return false
	}
	return true
}

// redeploy lets one command stand for a script: it deploys any version. It reports
// whether a mapping of hooks is left to be filled.
func (b *binder) redeploy(n ast.Node, v reflect.Value, path string) bool {
	if pairs, ok := pairsOf(n); ok && !slices.ContainsFunc(pairs, func(kv *ast.MappingValueNode) bool { return keyOf(kv) == "run" }) {
		return true
	}
	s := v.Addr().Interface().(*Script)
	s.Deploy, s.Redeploys = new(Command), true
	preset(reflect.ValueOf(s.Deploy).Elem(), path)
	b.value(n, reflect.ValueOf(s.Deploy).Elem(), path)
	s.Rollback = s.Deploy
	return false
}

// prometheus lets a word stand for the mapping.
func (b *binder) prometheus(n ast.Node, v reflect.Value, at place, path string) bool {
	s, ok := n.(*ast.StringNode)
	if !ok {
		return true
	}
	p := v.Addr().Interface().(*Prometheus)
	switch {
	case s.Value == "local":
		p.Local = true
	case strings.Contains(s.Value, "://"):
		p.URL = s.Value
		b.at[path+".url"] = at
	default:
		b.issue(at, "%s must be a URL, the word local, or a mapping, not %q", path, s.Value)
	}
	return false
}
