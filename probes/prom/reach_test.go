package prom_test

import (
	"testing"
	"time"

	"mayday/probes/prom"
	"mayday/state"
)

func TestReach(t *testing.T) {
	const scrape = 5 * time.Second
	for query, want := range map[string]time.Duration{
		`up`: scrape,
		`max(app_db_pool_waiting{namespace="x"})`:                    scrape,
		`rate(http_requests_total[1m])`:                              time.Minute,
		`sum(rate(a[1m])) / sum(rate(b[5m]))`:                        5 * time.Minute,
		`(sum(rate(a[1m])) or vector(0)) / sum(b)`:                   time.Minute,
		`histogram_quantile(0.95, sum by (le) (rate(x_bucket[2m])))`: 2 * time.Minute,
		`rate(a[1m] offset 5m)`:                                      6 * time.Minute,
		`rate(a[1m]) / rate(a[1m] offset 1d)`:                        time.Minute, // compared with yesterday
		`rate(a[1m]) - rate(a[1m] @ 1700000000)`:                     time.Minute, // compared with a day of glory
		`rate(a[1m] offset -5m)`:                                     time.Minute,
		`max_over_time(rate(a[1m])[10m:30s])`:                        11 * time.Minute,
		`avg_over_time((a / b)[5m:])`:                                5*time.Minute + scrape,
		`avg_over_time((a / b)[5m:] offset 1m)`:                      6*time.Minute + scrape,
		`rate(a[2s])`:                                                scrape, // a window without two scrapes
		`slow:sum > 3`:                                               time.Hour,
		`{__name__="slow:sum"}`:                                      time.Hour,
		`vector(1)`:                                                  0,
		`time() - a`:                                                 scrape,
		`-sum(rate(a{b=~".*"}[30s]))`:                                30 * time.Second,
		`topk(1, sort(rate(a[3m])))`:                                 3 * time.Minute,
		`label_replace(increase(a[10m]), "x", "$1", "y", ".*")`:      10 * time.Minute,
	} {
		got, err := prom.Reach(query, func(metric string) time.Duration {
			if metric == "slow:sum" {
				return time.Hour
			}
			return scrape
		})
		if err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", query, got, err, want)
		}
	}
	if d, err := prom.Reach("rate(", func(string) time.Duration { return scrape }); !state.HasCode(err, "prometheus-query") {
		t.Errorf("%s %v", d, err)
	}
}
