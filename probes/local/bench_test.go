package local

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mayday/state"
)

// page is a metrics page of about n series.
func page(n int) string {
	var b strings.Builder
	b.WriteString("# TYPE http_requests_total counter\n")
	for i := range n {
		fmt.Fprintf(&b, "http_requests_total{version=\"v1.2.%d\",method=\"GET\",path=\"/api/%d\",code=\"%d\"} %d\n", i%3, i, 200+i%5, i*7)
	}
	return b.String()
}

func loaded(b *testing.B, n int) (*Local, *time.Time) {
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	p := new(pages)
	p.set("app:1", text(page(n)))
	l, err := New(Options{
		Targets: []string{"http://app:1/metrics"}, Client: &http.Client{Transport: p},
		Now: func() time.Time { return now }, Clock: state.Clock{},
	})
	if err != nil {
		b.Fatal(err)
	}
	return l, &now
}

func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{100, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l, now := loaded(b, n)
			b.ReportAllocs()
			for b.Loop() {
				*now = now.Add(5 * time.Second)
				l.scrape(context.Background(), l.static[0])
				if err := l.truncate(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/series")
		})
	}
}

func BenchmarkQuery(b *testing.B) {
	l, now := loaded(b, 600)
	for range 720 { // an hour
		*now = now.Add(5 * time.Second)
		l.scrape(context.Background(), l.static[0])
	}
	for name, q := range map[string]string{
		"ratio": `sum(rate(http_requests_total{version="v1.2.1",code=~"2.."}[1m])) / sum(rate(http_requests_total{version="v1.2.1"}[1m]))`,
		"hour":  `sum(increase(http_requests_total[1h]))`,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r, err := l.Query(context.Background(), q, *now); err != nil || r.NoData {
					b.Fatal(r, err)
				}
			}
		})
	}
}
