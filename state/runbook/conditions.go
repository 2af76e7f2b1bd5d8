package runbook

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"mayday/state"
)

// Limit is a threshold. In the file it is a number, or what is wanted:
//
//	condition = ( "<" | ">" ) ( number | number "x baseline" [ ( "+" | "-" ) number ] )
//
// "< 5" is what 5 alone means; "> 99" what 99 means with below: true; "< 1.2 x baseline
// + 0.01" follows the baseline: the old version now (compare, or series by version),
// else the probe's own window before the rollout. The limit itself is well.
type Limit struct {
	Value float64         // where To is nil
	To    *state.Relative // what follows the baseline
	Sign  string          // "<" or ">"; empty where a number was written
}

const (
	number       = `[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?`
	limitPattern = `^ *([<>]) *(` + number + `)(?: *(x) *baseline(?: *([-+]) *(` + number + `))?)? *$`
)

var limitForm = regexp.MustCompile(limitPattern)

// limit lets text stand for a threshold. It always fills it whole.
func (b *binder) limit(n ast.Node, v reflect.Value, at place, path string) {
	l := v.Addr().Interface().(*Limit)
	s, ok := n.(*ast.StringNode)
	if !ok {
		b.scalar(n, v.FieldByName("Value"), at, path)
		return
	}
	m := limitForm.FindStringSubmatch(s.Value)
	if m == nil {
		b.issue(at, "%s is no threshold: %q; write a number, or what is wanted: \"< 5\", \"> 0.8 x baseline\", \"< 1.2 x baseline + 0.01\"", path, s.Value)
		return
	}
	l.Sign = m[1]
	x, err := strconv.ParseFloat(m[2], 64)
	var plus float64
	if err == nil && m[5] != "" {
		plus, err = strconv.ParseFloat(m[4]+strings.TrimLeft(m[5], "+"), 64)
	}
	switch {
	case err != nil:
		b.issue(at, "%s: a number in %q is too large, or has two signs", path, s.Value)
	case m[3] == "":
		l.Value = x
	case x <= 0:
		b.issue(at, "%s: %q is no share of the baseline; the factor must be above 0", path, s.Value)
	default:
		l.To = &state.Relative{Times: x, Plus: plus}
	}
}

// parts give what a probe of an incident has of it.
func (l *Limit) parts() (*float64, *state.Relative) {
	switch {
	case l == nil:
		return nil, nil
	case l.To != nil:
		return nil, l.To
	}
	return &l.Value, nil
}

// limits fills in what a probe of an incident is judged by.
func (p *Probe) limits(s *state.Probe) {
	s.Warn, s.WarnTo = p.Warn.parts()
	s.Crit, s.CritTo = p.Crit.parts()
	s.Below, s.For = p.Below, p.For
}

// conditions checks the thresholds, their directions and the gate's policy.
func (b *binder) conditions(path string, p *Probe) {
	signs := ""
	for _, l := range []struct {
		key string
		*Limit
	}{{"warn", p.Warn}, {"crit", p.Crit}} {
		if l.Limit == nil || l.Sign == "" {
			continue
		}
		at := path + "." + l.key
		switch {
		case signs != "" && signs != l.Sign:
			b.fail(at, "%s: warn wants %s and crit %s; they must point the same way", path, signs, l.Sign)
		case (l.Sign == ">") != p.Below:
			b.fail(at, "%s wants %s, and below says the opposite", at, l.Sign)
		}
		signs = l.Sign
	}
	s := state.Probe{Name: p.Name}
	p.limits(&s)
	if err := s.Check(); p.Name != "" && err != nil && s.Warn != nil && s.Crit != nil {
		word := "above"
		if p.Below {
			word = "below"
		}
		b.fail(path+".warn", "%s: warn (%v) must not lie %s crit (%v)", path, *s.Warn, word, *s.Crit)
	} else if p.Name != "" && err != nil {
		b.fail(path+".warn", "%s: warn (%s) lies beyond crit (%s)", path, s.WarnTo.Text(), s.CritTo.Text())
	}
	b.notNegative(path+".for", p.For)
	if p.Gate != nil {
		b.gate(path+".gate", *p.Gate)
	}
}

// compare checks what a probe is compared with. names are those of all probes.
func (b *binder) compare(path string, p *Probe, names []string) {
	c := p.Compare
	switch {
	case c.With != "" && c.With == p.Name:
		b.fail(path+".compare", "a probe cannot be compared with itself")
	case c.With != "":
		b.other(path, c.With, p.Name, names)
	}
	if c.By == "" {
		if c.With == "" && b.set(path+".compare") {
			b.fail(path+".compare", "%s.compare needs with, the probe it is compared with, or by: rank", path)
		}
		for _, key := range []string{"alpha", "effect"} {
			if b.set(path + ".compare." + key) {
				b.fail(path+".compare."+key, "%s.compare.%s belongs to the rank test: write by: rank", path, key)
			}
		}
		return
	}
	b.word(path+".compare.by", "comparison", c.By, comparisons)
	if c.Alpha <= 0 || c.Alpha > 0.1 {
		b.fail(path+".compare.alpha", "%s.compare.alpha must be above 0 and at most 0.1", path)
	}
	if c.Effect <= 0.5 || c.Effect > 1 {
		b.fail(path+".compare.effect", "%s.compare.effect must be above 0.5 (no difference) and at most 1", path)
	}
	if p.Role != state.RoleNew && p.Role != state.RoleAll {
		b.fail(path+".compare.by", "the rank test is a gate's, and gates look at roles new and all, not %s", p.Role)
	} else if p.Series.Label() != "" && p.Role != state.RoleNew {
		b.fail(path+".compare.by", "the rank test compares the new version with the old one: with series %s, set role: new", p.Series)
	} else if p.Series.Label() == "" && p.Role == state.RoleNew && c.With == "" {
		b.fail(path+".compare.by", "%s: the new version has no time before the rollout to be compared with: name the old version's probe in with, or write series: by version", path)
	}
}

// other refuses a comparison with a probe that is not there.
func (b *binder) other(path, with, name string, names []string) {
	var others []string
	for _, n := range names {
		if n == with {
			return
		}
		if n != name && n != "" {
			others = append(others, n)
		}
	}
	text := "; there is no other probe"
	if len(others) > 0 {
		text = hint(with, others)
	}
	b.fail(path+".compare", "%s.compare names %q, which is not a probe%s", path, with, text)
}

// rank gives the probe's rank test, nil where it asks for none.
func (c Compare) rank() *state.Rank {
	if c.By == "" {
		return nil
	}
	return &state.Rank{Alpha: c.Alpha, Effect: c.Effect}
}

// finish fills a probe's policy with the runbook's; path is where the probe stands.
func (g *Gate) finish(b *binder, path string, all Gate) {
	for key, x := range map[string][2]*string{"warn": {&g.Warn, &all.Warn}, "crit": {&g.Crit, &all.Crit},
		"no_data": {&g.NoData, &all.NoData}, "stale": {&g.Stale, &all.Stale}, "error": {&g.Error, &all.Error}} {
		if !b.set(path + "." + key) {
			*x[0] = *x[1]
		}
	}
	if !b.set(path + ".consecutive") {
		g.Consecutive = all.Consecutive
	}
	if !b.set(path + ".patience") {
		g.Patience = all.Patience
	}
}

// Series says what becomes of a query's answer of several series: one of
// state.Several's words, or "by LABEL". Empty: there must be one.
type Series string

var severalWords = []string{string(state.SeveralAny), string(state.SeveralAll), string(state.SeveralMax), string(state.SeveralMin)}

// Label gives the label that the series are told apart by, "" where they are not.
func (s Series) Label() string {
	label, ok := strings.CutPrefix(string(s), "by ")
	if !ok {
		return ""
	}
	return strings.TrimSpace(label)
}

// seriesPattern is what the schema knows of it.
const seriesPattern = `^(any|all|max|min|by +[a-zA-Z_][a-zA-Z0-9_]*)$`

var seriesForm = regexp.MustCompile(seriesPattern)

// several checks what is said of an answer of several series.
func (b *binder) several(path string, p *Probe) {
	switch {
	case p.Series == "" && b.set(path+".series"):
		b.fail(path+".series", "%s.series is empty; take the key away where there is one series", path)
	case p.Series == "":
	case p.Query == "":
		b.fail(path+".series", "%s.series is about a query; only that can give several series", path)
	case !seriesForm.MatchString(string(p.Series)):
		b.fail(path+".series", "%s.series must be any, all, max, min or by LABEL (such as \"by version\"), not %q%s", path, string(p.Series), maybe(string(p.Series)))
	}
}

// maybe ends a message with the word that was probably meant, if one is near.
func maybe(got string) string {
	if w := nearest(got, severalWords); w != "" {
		return "; did you mean \"" + w + "\"?"
	}
	return ""
}
