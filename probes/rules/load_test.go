package rules

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"

	"mayday/probes/probetest"
	"mayday/probes/prom"
	"mayday/state"
)

func files(t *testing.T, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(pattern)
	if err != nil || len(all) < 4 {
		t.Fatal(all, err)
	}
	return all
}

func TestGoodFilesLoad(t *testing.T) {
	for _, name := range files(t, "testdata/good/*") {
		if _, err := Load(name); err != nil {
			t.Error(err)
		}
	}
}

// The last line of a bad file says what is wrong with it, and where.
func TestBadFilesAreRefusedWithTheirLine(t *testing.T) {
	for _, name := range files(t, "testdata/bad/*") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var line int
		_, last, _ := strings.Cut(string(text), "# line ")
		number, reason, _ := strings.Cut(strings.TrimSpace(last), ": ")
		if _, err := fmt.Sscan(number, &line); err != nil || reason == "" {
			t.Fatalf("%s does not say what is wrong with it, and in which line", name)
		}
		where := fmt.Sprintf("%s:%d is no rule", name, line)
		_, err = Load(name)
		if !state.HasCode(err, "rules-file") || !strings.HasPrefix(err.Error(), where) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%v, want %q and %q", err, where, reason)
		}
	}
}

// promtool says what the promtool of Prometheus 2 says of each of the files, "" of one
// that it accepts.
func promtool(t *testing.T, files ...string) map[string]string {
	t.Helper()
	// It answers with the number of its errors: none of the process's own.
	said, err := exec.CommandContext(t.Context(), probetest.Tool(t, "promtool"), append([]string{"check", "rules", "--lint=none"}, files...)...).CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, part := range strings.Split(string(said), "Checking ")[1:] {
		name, verdict, _ := strings.Cut(part, "\n")
		switch verdict = strings.TrimSpace(verdict); {
		case strings.HasPrefix(verdict, "FAILED:"):
			out[name] = verdict
		case strings.HasPrefix(verdict, "SUCCESS:"):
			out[name] = ""
		}
	}
	if len(out) != len(files) {
		t.Fatalf("promtool has a word for %d of %d files:\n%s", len(out), len(files), said)
	}
	return out
}

// promtool of Prometheus 2 and Load agree on every file.
func TestPromtoolAgrees(t *testing.T) {
	for name, why := range promtool(t, append(files(t, "testdata/good/*"), files(t, "testdata/bad/*")...)...) {
		if strings.Contains(name, "/good/") != (why == "") {
			t.Errorf("%s: %s", name, why)
		}
	}
}

func TestRenamedFunctionIsNamed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "old.yml")
	text := "groups:\n- name: a\n  rules:\n  - alert: Drift\n    expr: %s(disk_free[1h], 0.5, 0.5) < 1\n"
	if err := os.WriteFile(name, fmt.Appendf(nil, text, "holt_winters"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(name)
	if err == nil || !strings.HasPrefix(err.Error(), name+":5 ") || !strings.Contains(err.Error(), "holt_winters is called double_exponential_smoothing in Prometheus 3") {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, fmt.Appendf(nil, text, "double_exponential_smoothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(name); err != nil {
		t.Fatal(err)
	}
}

// newer are the files of Prometheus' own tests that Prometheus 2 refuses and 3 reads: for
// names that are any text, and for functions that are new.
var newer = []string{"utf-8_annotation.good.yaml", "utf-8_lname.good.yaml", "legacy_validation_annotation.bad.yaml", "features.yml"}

// Every file of rules that Prometheus itself is tested with loads where promtool accepts
// it; where promtool does not, it is refused with line and reason.
func TestPromtoolAgreesOnPrometheusFiles(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/prometheus/prometheus").Output()
	if err != nil {
		t.Fatal(err)
	}
	holds := regexp.MustCompile(`(?m)^groups:`)
	placed := regexp.MustCompile(`\.ya?ml:[1-9]\d* is no rule: .`)
	var all []string
	err = filepath.WalkDir(strings.TrimSpace(string(dir)), func(name string, d fs.DirEntry, err error) error {
		if d.IsDir() && d.Name() == "web" {
			return filepath.SkipDir // nothing but pages
		}
		if err != nil || !strings.HasSuffix(name, ".yml") && !strings.HasSuffix(name, ".yaml") {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil || !holds.Match(text) || slices.Contains(newer, filepath.Base(name)) {
			return err
		}
		all = append(all, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	good, bad := 0, 0
	for name, refused := range promtool(t, all...) {
		_, err := Load(name)
		switch {
		case refused == "" && err == nil:
			good++
		case refused == "":
			t.Errorf("promtool accepts what is refused here: %v", err)
		case err == nil:
			t.Errorf("%s loads; promtool: %s", name, refused)
		case !placed.MatchString(err.Error()):
			t.Errorf("no line, or no reason: %v", err)
		default:
			bad++
		}
	}
	if good < 15 || bad < 10 {
		t.Errorf("%d files that are good and %d that are not", good, bad)
	}
}

// functions are those of Prometheus 2.42.
const functions = `abs absent absent_over_time acos acosh asin asinh atan atanh avg_over_time ceil changes clamp clamp_max clamp_min cos cosh
count_over_time days_in_month day_of_month day_of_week day_of_year deg delta deriv exp floor histogram_count histogram_fraction
histogram_quantile histogram_sum holt_winters hour idelta increase irate label_join label_replace last_over_time ln log10 log2
max_over_time min_over_time minute month pi predict_linear present_over_time quantile_over_time rad rate resets round scalar sgn sin
sinh sort sort_desc sqrt stddev_over_time stdvar_over_time sum_over_time tan tanh time timestamp vector year`

// Every function of Prometheus 2 is one here, or its new name is told; and what has become
// a word of the language since may still be the name of a metric and of a label.
func TestTheLanguageOfPrometheus2(t *testing.T) {
	argument := map[parser.ValueType]string{parser.ValueTypeScalar: "1", parser.ValueTypeVector: "up", parser.ValueTypeMatrix: "up[5m]", parser.ValueTypeString: `"a"`}
	var all []string
	renamed := 0
	for _, name := range strings.Fields(functions) {
		f := parser.Functions[name]
		if f == nil {
			told := prom.Renamed(fmt.Sprintf("unknown function with name %q", name))
			if told == "" {
				t.Errorf("%s is no function any more, and nothing says what it is called", name)
			}
			renamed++
			continue
		}
		var with []string
		for _, a := range f.ArgTypes {
			with = append(with, argument[a])
		}
		all = append(all, name+"("+strings.Join(with, ", ")+")")
	}
	if renamed != 1 {
		t.Errorf("%d functions have another name", renamed)
	}
	for _, word := range []string{"limitk", "limit_ratio", "smoothed", "anchored", "fill", "fill_left", "fill_right", "step", "range", "max_of", "min_of", "info"} {
		all = append(all, fmt.Sprintf(`sum by (%[1]s) (%[1]s{%[1]s="x"}) / on (%[1]s) %[1]s`, word))
	}
	var text strings.Builder
	text.WriteString("groups:\n- name: a\n  rules:\n")
	for i, expr := range all {
		fmt.Fprintf(&text, "  - {record: 'a:%d', expr: '%s'}\n", i, expr)
	}
	name := filepath.Join(t.TempDir(), "all.yml")
	if err := os.WriteFile(name, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if why := promtool(t, name)[name]; why != "" {
		t.Error(why)
	}
	if g, err := Load(name); err != nil || len(g.Groups[0].Rules) != len(all) {
		t.Error(err)
	}
}

func TestNoFile(t *testing.T) {
	if _, err := Load("/nowhere/rules.yml"); !state.HasCode(err, "rules-file") || !strings.Contains(err.Error(), "no such file") {
		t.Fatal(err)
	}
}
