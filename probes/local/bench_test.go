package local

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
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

// BenchmarkFleet asks while 50 targets of 1,000 series each are scraped every 5 s, with
// two minutes of them in the store: queries that touch 500 series (p99-ms: at most 20).
//
//	go test -run '^$' -bench Fleet -benchtime 2000x ./probes/local
func BenchmarkFleet(b *testing.B) {
	p := new(pages)
	var targets []string
	for i := range 50 {
		host := fmt.Sprintf("app-%d:1", i)
		p.set(host, text(page(1000)))
		targets = append(targets, "http://"+host+"/metrics")
	}
	var behind atomic.Int64 // the clock, before it is the real one
	l, err := New(Options{Targets: targets, Client: &http.Client{Transport: p}, Now: func() time.Time { return time.Now().Add(-time.Duration(behind.Load())) }})
	if err != nil {
		b.Fatal(err)
	}
	for n := 24; n > 0; n-- {
		behind.Store(int64(n) * int64(5*time.Second))
		for _, t := range l.static {
			l.scrape(b.Context(), t)
		}
	}
	behind.Store(0)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Run(ctx) }()
	defer func() { cancel(); <-done }()
	queries := []string{
		`sum(rate(http_requests_total{path=~"/api/[0-9]"}[1m]))`,
		`sum(rate(http_requests_total{path=~"/api/[0-9]",code=~"2.."}[1m])) / sum(rate(http_requests_total{path=~"/api/[0-9]"}[1m]))`,
		`max(http_requests_total{path=~"/api/[0-9]"})`,
	}
	var took []time.Duration
	for b.Loop() {
		for _, q := range queries {
			began := time.Now()
			if r, err := l.Query(ctx, q, l.incident()); err != nil || r.NoData {
				b.Fatal(r, err)
			}
			took = append(took, time.Since(began))
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
