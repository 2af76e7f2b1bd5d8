package local

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"mayday/probes"
	"mayday/probes/probetest"
	"mayday/probes/prom"
	"mayday/state"
)

// metric is a series of the test: what it is at the n-th of its scrapes, and whether
// it was scraped then.
type metric struct {
	name, labels string
	at           func(n int) (float64, bool)
}

const (
	scrapes  = 240 // an hour
	scrapeBy = 15 * time.Second
)

func always(f func(n int) float64) func(int) (float64, bool) {
	return func(n int) (float64, bool) { return f(n), true }
}

// world is an hour of a service: two versions of which one begins late, errors that
// come and go, a process that restarts, a scrape that fails, a histogram, a summary.
func world() []metric {
	var out []metric
	add := func(name, ls string, at func(int) (float64, bool)) { out = append(out, metric{name, ls, at}) }
	for i, instance := range []string{"a", "b", "c"} {
		version, begins := "v1", 0
		if instance == "c" {
			version, begins = "v2", 100
		}
		grow := func(by float64) func(int) (float64, bool) {
			return func(n int) (float64, bool) {
				runs := n
				if instance == "b" && n >= 150 {
					runs = n - 150 // it restarted
				}
				missed := instance == "a" && n >= 60 && n < 66
				return math.Floor(float64(runs)*by*(1+0.3*math.Sin(float64(n)/17))) + 1, n >= begins && !missed
			}
		}
		for j, code := range []string{"200", "404", "500"} {
			add("http_requests_total", fmt.Sprintf(`code=%q,instance=%q,version=%q`, code, instance, version), grow([]float64{130, 7, 3.5}[j]*float64(i+1)))
		}
		for j, le := range []string{"0.05", "0.1", "0.5", "1.0", "+Inf"} {
			add("latency_seconds_bucket", fmt.Sprintf(`instance=%q,le=%q`, instance, le), grow([]float64{40, 80, 120, 133, 137}[j]))
		}
		add("latency_seconds_count", fmt.Sprintf(`instance=%q`, instance), grow(137))
		add("latency_seconds_sum", fmt.Sprintf(`instance=%q`, instance), grow(23.75))
		add("memory_bytes", fmt.Sprintf(`instance=%q`, instance), always(func(n int) float64 { return 1e8 + 1.25e6*float64(n%90) + 7e6*float64(i) }))
		add("temperature", fmt.Sprintf(`instance=%q,room="r %d"`, instance, i%2), always(func(n int) float64 { return 20 + 5*math.Sin(float64(n+40*i)/23) }))
		add("up", fmt.Sprintf(`instance=%q,job="shop"`, instance), always(func(n int) float64 {
			if instance == "a" && n >= 60 && n < 66 {
				return 0
			}
			return 1
		}))
	}
	add("broken", `kind="nan"`, always(func(int) float64 { return math.NaN() }))
	add("broken", `kind="inf"`, always(func(int) float64 { return math.Inf(1) }))
	add("info", `instance="a",team="one\ntwo"`, always(func(int) float64 { return 1 }))
	return out
}

// openMetrics writes so many scrapes of a world as promtool reads them.
func openMetrics(all []metric, scrapes int, start time.Time, by time.Duration) string {
	var b strings.Builder
	for _, m := range all {
		for n := range scrapes {
			if v, ok := m.at(n); ok {
				fmt.Fprintf(&b, "%s{%s} %v %.3f\n", m.name, m.labels, v, float64(start.Add(time.Duration(n)*by).UnixMilli())/1000)
			}
		}
	}
	return b.String()
}

// fill puts the same world into a Local, scrape after scrape.
func fill(t *testing.T, l *Local, all []metric, start time.Time) {
	t.Helper()
	for n := range scrapes {
		app := l.head.Appender(t.Context())
		at := start.Add(time.Duration(n) * scrapeBy).UnixMilli()
		for _, m := range all {
			ls, err := parser.NewParser(parser.Options{}).ParseMetric(m.name + "{" + m.labels + "}")
			if err != nil {
				t.Fatal(err)
			}
			if v, ok := m.at(n); ok {
				if _, err := app.Append(0, ls, at, v); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := app.Commit(); err != nil {
			t.Fatal(err)
		}
		l.newest.Store(at)
	}
}

// same are questions that a server of Prometheus 2 and this package answer alike.
var same = []string{
	`up`, `up == 0`, `up == bool 0`, `sum(up) by (job)`, `count(up)`, `absent(up{instance="x"})`, `absent(up)`,
	`rate(http_requests_total[1m])`, `irate(http_requests_total[2m])`, `increase(http_requests_total{code="500"}[5m])`,
	`sum(rate(http_requests_total[5m]))`, `sum by (version) (rate(http_requests_total{code=~"5.."}[1m]))`,
	`(sum(rate(http_requests_total{code=~"5..",version="v2"}[1m])) or vector(0)) / sum(rate(http_requests_total{version="v2"}[1m]))`,
	`sum by (version) (rate(http_requests_total{code="500"}[5m])) / ignoring (code) sum by (version) (rate(http_requests_total[5m]))`,
	`histogram_quantile(0.95, sum by (le) (rate(latency_seconds_bucket[5m])))`, `histogram_quantile(0.5, rate(latency_seconds_bucket[2m]))`,
	`histogram_quantile(0.99, sum by (instance, le) (rate(latency_seconds_bucket[10m])))`,
	`rate(latency_seconds_sum[5m]) / rate(latency_seconds_count[5m])`, `resets(http_requests_total{instance="b"}[30m])`, `changes(up[30m])`,
	`avg_over_time(temperature[10m])`, `max_over_time(temperature[10m])`, `min_over_time(temperature[7m])`, `sum_over_time(up[20m])`,
	`count_over_time(temperature[5m])`, `stddev_over_time(temperature[10m])`, `stdvar_over_time(temperature[10m])`, `quantile_over_time(0.9, temperature[30m])`,
	`last_over_time(up[10m])`, `present_over_time(http_requests_total{version="v2"}[5m])`, `absent_over_time(up{job="x"}[5m])`,
	`deriv(memory_bytes[5m])`, `predict_linear(memory_bytes[10m], 3600)`, `delta(temperature[10m])`, `idelta(temperature[2m])`,
	`temperature offset 10m`, `http_requests_total offset -30s`, `rate(http_requests_total[2m] offset 5m)`, `max_over_time(rate(http_requests_total{code="200"}[1m])[10m:30s])`,
	`topk(2, memory_bytes)`, `bottomk(1, temperature)`, `quantile(0.5, memory_bytes)`, `stddev(temperature)`, `avg without (instance) (temperature)`, `group by (room) (temperature)`,
	`count_values("value", up)`, `min(temperature) - max(temperature)`, `clamp(temperature, 18, 22)`, `clamp_max(temperature, 20)`, `round(temperature, 0.5)`, `floor(-temperature)`,
	`abs(temperature - 20)`, `sqrt(memory_bytes)`, `ln(memory_bytes)`, `exp(up)`, `sgn(temperature - 20)`, `temperature % 3`, `2 ^ up`, `temperature > 20 and on (instance) up == 1`,
	`temperature unless on (instance) (up == 0)`, `up * on (instance) group_left (team) info`, `label_replace(up, "i", "$1-x", "instance", "(.)")`, `label_join(up, "both", "/", "job", "instance")`,
	`sort_desc(temperature)`, `vector(3)`, `scalar(sum(up))`, `time() - timestamp(up)`, `hour()`, `minute(vector(0))`, `day_of_week()`, `days_in_month()`,
	`broken`, `broken + 1`, `sum(broken)`, `max(broken)`, `broken{kind="inf"} * 0`, `{__name__=~"up|temperature",instance="a"}`, `http_requests_total{code!~"2.."}`, `1 / 0`, `-1 % 0`,
}

// differ are the known differences between Prometheus 2 (the server) and 3 (this
// package): what each says at a time, from the first scrape, at which it shows. There
// are no others that the questions above find.
var differ = []struct {
	why        string
	expr       string
	after      time.Duration
	two, three string
}{
	{"a range does not hold the sample at its very beginning any more", `count_over_time(temperature{instance="b"}[1m])`, 30 * time.Minute, "5", "4"},
	{"so a subquery whose steps fall on it has one step less", `count_over_time(vector(1)[1m:15s] @ 1800)`, 30 * time.Minute, "5", "4"},
	{"and a sample exactly as old as the look-back is too old", `count(up)`, (scrapes-1)*scrapeBy + 5*time.Minute, "3", ""},
	{"the dot of a regular expression is any character, a new line too", `count(info{team=~"one.two"})`, 30 * time.Minute, "", "1"},
	{"holt_winters is called double_exponential_smoothing", `count(holt_winters(temperature[10m], 0.5, 0.5))`, 30 * time.Minute, "3", "refused"},
	{"which is its name only there", `count(double_exponential_smoothing(temperature[10m], 0.5, 0.5))`, 30 * time.Minute, "refused", "3"},
}

func TestKnownDifferencesAreThere(t *testing.T) {
	server, l, start := pair(t)
	told := func(v promql.Vector, _ string, err error) string {
		switch {
		case state.HasCode(err, "prometheus-query"):
			return "refused"
		case err != nil:
			return err.Error()
		case len(v) == 0:
			return ""
		}
		return fmt.Sprint(v[0].F)
	}
	for _, d := range differ {
		at := start.Add(d.after)
		two, three := told(server.Vector(t.Context(), d.expr, at)), told(l.Vector(t.Context(), d.expr, at))
		if two != d.two || three != d.three {
			t.Errorf("%s: the server says %q, here %q; want %q and %q", d.why, two, three, d.two, d.three)
		}
	}
	_, _, err := l.Vector(t.Context(), `holt_winters(temperature[10m], 0.5, 0.5)`, start)
	if err == nil || !strings.Contains(err.Error(), "double_exponential_smoothing") {
		t.Errorf("the new name is not told: %v", err)
	}
}

// lined gives an answer by its series.
func lined(v promql.Vector) map[string]float64 {
	out := map[string]float64{}
	for _, s := range v {
		out[s.Metric.String()] = s.F
	}
	return out
}

func equal(a, b float64) bool {
	if math.IsNaN(a) || math.IsNaN(b) {
		return math.IsNaN(a) && math.IsNaN(b)
	}
	return a == b || !math.IsInf(a, 0) && math.Abs(a-b) <= 1e-9*math.Max(math.Abs(a), math.Abs(b))
}

// pair is a real server and a Local with the same samples.
func pair(t *testing.T) (*prom.Asker, *Local, time.Time) {
	t.Helper()
	all := world()
	// The scrapes fall between the whole seconds at which a subquery has its steps.
	start := time.Now().Add(-8 * time.Hour).Truncate(2 * time.Hour).Add(3700 * time.Millisecond).UTC()
	server, err := prom.New(prom.Options{URL: probetest.StartPrometheus(t, probetest.Setup{Samples: openMetrics(all, scrapes, start, scrapeBy)}).URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	l, err := New(Options{Targets: []string{"http://nobody/metrics"}, Interval: state.Duration(scrapeBy)})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, l, all, start)
	return server, l, start
}

func TestAnswersAreThoseOfARealServer(t *testing.T) {
	server, l, start := pair(t)
	if len(same) < 40 {
		t.Fatalf("only %d expressions", len(same))
	}
	answers := map[string]int{}
	// Between two scrapes: while a is down, while v2 begins, after b restarted, at the
	// end, and when all is over.
	for _, after := range []time.Duration{16 * time.Minute, 27 * time.Minute, 38*time.Minute + 30*time.Second, 59 * time.Minute, 66 * time.Minute} {
		at := start.Add(after + 7300*time.Millisecond)
		for _, expr := range same {
			want, _, err := server.Vector(t.Context(), expr, at)
			if err != nil {
				t.Errorf("%s: the server: %v", expr, err)
				continue
			}
			got, _, err := l.Vector(t.Context(), expr, at)
			if err != nil {
				t.Errorf("%s: %v", expr, err)
				continue
			}
			answers[expr] += len(want)
			for _, wrong := range differences(want, got, strings.HasPrefix(expr, "sort")) {
				t.Errorf("%s after %v: %s", expr, after, wrong)
			}
		}
	}
	for _, expr := range same {
		if answers[expr] == 0 {
			t.Errorf("%s: nobody has an answer, at any time", expr)
		}
	}
}

// differences says where two answers are not the same.
func differences(want, got promql.Vector, ordered bool) (out []string) {
	a, b := lined(want), lined(got)
	if len(want) != len(got) || len(a) != len(want) {
		return []string{fmt.Sprintf("the server says %v, here %v", a, b)}
	}
	for ls, v := range a {
		if w, ok := b[ls]; !ok || !equal(v, w) {
			out = append(out, fmt.Sprintf("%s is %v, here %v (%v)", ls, v, w, ok))
		}
	}
	for i := range want {
		if ordered && !labels.Equal(want[i].Metric, got[i].Metric) {
			out = append(out, fmt.Sprintf("%v is number %d, here it is %v", want[i].Metric, i+1, got[i].Metric))
		}
	}
	return out
}

// What a probe's ring is filled with is the same from a server and from what was
// scraped here.
func TestThePastIsThatOfARealServer(t *testing.T) {
	server, l, start := pair(t)
	from, to := start.Add(2*time.Second), start.Add(70*time.Minute)
	for expr, least := range map[string]int{`sum(up)`: 700, `sum(rate(http_requests_total{version="v2"}[1m]))`: 390, `max(temperature) > 24`: 100, `vector(1)`: 840, `nothing`: 0} {
		p := state.Probe{Query: expr}
		want, err := server.Past(t.Context(), p, from, to, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.Past(t.Context(), p, from, to, 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if len(want) != len(got) || len(got) < least {
			t.Errorf("%s: %d readings from the server, %d here, at least %d wanted", expr, len(want), len(got), least)
			continue
		}
		for i := range want {
			if !want[i].At.Equal(got[i].At) || !equal(want[i].Value, got[i].Value) {
				t.Errorf("%s: the server says %+v, here %+v", expr, want[i], got[i])
				break
			}
		}
	}
	for _, h := range []probes.Historian{server, l} {
		for _, expr := range []string{"up", "up[5m]", "up{"} {
			if _, err := h.Past(t.Context(), state.Probe{Query: expr}, from, to, time.Minute); err == nil {
				t.Errorf("%s is no error", expr)
			}
		}
	}
}
