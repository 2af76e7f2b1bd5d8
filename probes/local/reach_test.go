package local

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"

	"mayday/probes/prom"
	"mayday/state"
)

// What prom.Reach promises, the engine keeps: wherever between two scrapes the world
// changes, once the reach has passed a query answers of the changed world alone; and
// for some place a little earlier it does not.
func TestReachIsKeptByTheEngine(t *testing.T) {
	const scrape = 5 * time.Second
	type of struct {
		want  float64       // of the changed world
		tight time.Duration // so long before the reach it is not always settled
	}
	const errors, all = `sum(rate(errors_total[30s]))`, `sum(rate(requests_total[30s]))`
	queries := map[string]of{
		errors + ` / ` + all: {0.5, 2 * scrape},
		`sum(rate(errors_total[30s] offset 20s)) / sum(rate(requests_total[30s] offset 20s))`: {0.5, 2 * scrape},
		errors + ` - sum(rate(errors_total[30s] offset 3m))`:                                  {5, 2 * scrape}, // against the past
		`pool_waiting`:                                                             {9, time.Second},
		`min_over_time(pool_waiting[40s])`:                                         {9, scrape},
		`min_over_time((sum(pool_waiting))[40s:1s])`:                               {9, 2 * time.Second},
		`min_over_time(pool_waiting[40s] offset 10s)`:                              {9, scrape},
		`histogram_quantile(0.5, sum by (le) (rate(latency_seconds_bucket[30s])))`: {5.5, 2 * scrape},
	}
	start := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	tight := map[string]bool{}
	for phase := time.Millisecond; phase < scrape; phase += 1249 * time.Millisecond {
		event := start.Add(5*time.Minute + phase)
		l := changing(t, start, event, scrape)
		for query, q := range queries {
			reach, err := prom.Reach(query, func(string) time.Duration { return scrape })
			if err != nil {
				t.Fatal(err)
			}
			settled := func(at time.Time) bool {
				got, err := l.Query(t.Context(), query, at)
				if err != nil || got.NoData {
					t.Fatalf("%s: %v %+v", query, err, got)
				}
				return math.Abs(got.Value-q.want) < 0.001
			}
			for late := time.Duration(0); late < scrape; late += 700 * time.Millisecond {
				if !settled(event.Add(reach + late)) {
					t.Errorf("%s: changed %s after a scrape, not settled %s after that", query, phase, reach+late)
				}
			}
			tight[query] = tight[query] || !settled(event.Add(reach-q.tight))
		}
	}
	for query := range queries {
		if !tight[query] {
			t.Errorf("%s: always settled long before its reach", query)
		}
	}
}

// changing is a store of ten minutes of scrapes; at event half of all requests begin
// to fail, every request to take 1 to 10 s, and nine to wait for a connection.
func changing(t *testing.T, start, event time.Time, scrape time.Duration) *Local {
	t.Helper()
	l, err := New(Options{Targets: []string{"http://a/metrics"}, Interval: state.Duration(scrape)})
	if err != nil {
		t.Fatal(err)
	}
	for at := start; at.Before(start.Add(10 * time.Minute)); at = at.Add(scrape) {
		all, since := at.Sub(start).Seconds(), max(at.Sub(event).Seconds(), 0)
		waiting := 0.0
		if !at.Before(event) {
			waiting = 9
		}
		var v promql.Vector
		put := func(value float64, name string, more ...string) {
			v = append(v, promql.Sample{F: value, Metric: labels.FromStrings(append([]string{"__name__", name}, more...)...)})
		}
		put(10*all, "requests_total")
		put(5*since, "errors_total")
		put(waiting, "pool_waiting")
		put(10*(all-since), "latency_seconds_bucket", "le", "1")
		put(10*all, "latency_seconds_bucket", "le", "10")
		put(10*all, "latency_seconds_bucket", "le", "+Inf")
		if err := l.Record(t.Context(), at, v, nil, false); err != nil {
			t.Fatal(err)
		}
	}
	return l
}
