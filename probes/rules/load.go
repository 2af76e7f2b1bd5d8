package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"mayday/probes/prom"
	"mayday/state"
)

// maxFile bounds a file of rules, in bytes.
const maxFile = 4 << 20

// Load reads a file of rules as Prometheus has them, every file that "promtool check
// rules" accepts but for functions that Prometheus 3 renamed: those are named in the
// message, with what they are called now. What is wrong is a *state.Problem with
// file, line and reason.
func Load(path string) (*rulefmt.RuleGroups, error) {
	info, err := os.Stat(path)
	var text []byte
	if err == nil && info.Size() > maxFile {
		err = fmt.Errorf("it is larger than %d MiB", maxFile>>20)
	}
	if err == nil {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		p := &state.Problem{What: "the rules in " + path + " cannot be read", Why: state.Clean(err.Error()), Do: "Check the path and its rights", Code: "rules-file"}
		if errors.Is(err, fs.ErrNotExist) {
			p.Why = "there is no such file"
		}
		return nil, p
	}
	groups, errs := rulefmt.Parse(text, false, model.UTF8Validation, newParser(), slog.New(slog.DiscardHandler))
	if len(errs) == 0 {
		return groups, nil
	}
	line, why := place(text, errs[0])
	where := path
	if line > 0 {
		where = fmt.Sprintf("%s:%d", path, line)
	}
	if more := len(errs) - 1; more > 0 {
		why += fmt.Sprintf(" (and %d more)", more)
	}
	p := &state.Problem{What: where + " is no rule", Why: state.Clean(why), Do: "Correct it; promtool check rules " + path + " says the same", Code: "rules-file"}
	if now := prom.Renamed(why); now != "" {
		p.Do = now
	}
	return nil, p
}

// newParser reads the language of Prometheus 3 with all its functions.
func newParser() parser.Parser {
	return parser.NewParser(parser.Options{EnableExperimentalFunctions: true})
}

// reads tells whether some rule reads a metric.
func reads(groups *rulefmt.RuleGroups) func(metric string) bool {
	var names [][]*labels.Matcher // of each selector, those of its name
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			expr, err := newParser().ParseExpr(r.Expr)
			if err != nil {
				continue // it was read once already
			}
			parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
				if s, ok := n.(*parser.VectorSelector); ok {
					names = append(names, slices.DeleteFunc(slices.Clone(s.LabelMatchers), func(m *labels.Matcher) bool { return m.Name != model.MetricNameLabel }))
				}
				return nil
			})
		}
	}
	return func(metric string) bool {
		return slices.ContainsFunc(names, func(all []*labels.Matcher) bool {
			return !slices.ContainsFunc(all, func(m *labels.Matcher) bool { return !m.Matches(metric) })
		})
	}
}

var (
	position = regexp.MustCompile(`^(\d+):\d+: (?:\d+:\d+: )?`)
	quoted   = regexp.MustCompile(`"([^"]+)"`)
	tabbed   = regexp.MustCompile(`(?m)^ *\t`)
	yamlLine = regexp.MustCompile(`line (\d+): `)
)

// place finds the line that an error is about.
func place(text []byte, err error) (line int, why string) {
	number := func(s string) int { n, _ := strconv.Atoi(s); return n } // digits: they matched
	why = strings.TrimSpace(strings.ReplaceAll(err.Error(), "\n", " "))
	if m := position.FindStringSubmatch(why); m != nil {
		if why = strings.TrimPrefix(why, m[0]); m[1] != "0" {
			return number(m[1]), why
		}
	}
	if m := tabbed.FindIndex(text); m != nil && strings.Contains(why, "tab character") {
		return 1 + bytes.Count(text[:m[1]], []byte("\n")), "YAML is indented with spaces, and this line begins with a tab"
	}
	if m := yamlLine.FindStringSubmatch(why); m != nil {
		return number(m[1]), why
	}
	// Of a label or a template only the rule is told.
	var of *rulefmt.Error
	var nodes struct {
		Groups []struct {
			Name  string      `yaml:"name"`
			Rules []yaml.Node `yaml:"rules"`
		} `yaml:"groups"`
	}
	if errors.As(err, &of) && yaml.Unmarshal(text, &nodes) == nil {
		for _, g := range nodes.Groups {
			if g.Name == of.Group && of.Rule >= 1 && of.Rule <= len(g.Rules) {
				return g.Rules[of.Rule-1].Line, why
			}
		}
	}
	// A duration or a name that is there twice is quoted: the last line that holds it.
	for _, m := range quoted.FindAllStringSubmatch(why, -1) {
		for i, l := range strings.Split(string(text), "\n") {
			if _, value, ok := strings.Cut(l, ":"); ok && strings.Trim(value, " \"'\r") == m[1] {
				line = i + 1
			}
		}
		if line > 0 {
			break
		}
	}
	return line, why
}
