package local

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mayday/state"
)

// page is a metrics page of n series that grow from scrape to scrape, and begin anew
// after eight.
func page(n int) func(context.Context) (int, io.Reader, error) {
	var all [8]string
	for k := range all {
		var b strings.Builder
		b.WriteString("# TYPE http_requests_total counter\n")
		for i := range n {
			fmt.Fprintf(&b, "http_requests_total{version=\"v1.2.%d\",method=\"GET\",path=\"/api/%d\",code=\"%d\"} %d\n", i%3, i, 200+i%5, (i+1)*(7+k))
		}
		all[k] = b.String()
	}
	var scrape atomic.Uint64
	return func(context.Context) (int, io.Reader, error) {
		return 200, strings.NewReader(all[scrape.Add(1)%uint64(len(all))]), nil
	}
}

func loaded(b *testing.B, n int) (*Local, *time.Time) {
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	p := new(pages)
	p.set("app:1", page(n))
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

// keep fills a store with n series for its whole retention and gives what each of them
// holds, in bytes: in the store, and where its page is read. Half of them grow by the
// same each time, the others unsteadily.
func keep(b testing.TB, n int) float64 {
	clean := held()
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	p := new(pages)
	p.set("app:1", page(n))
	l, err := New(Options{Targets: []string{"http://app:1/metrics"}, Client: &http.Client{Transport: p}, Now: func() time.Time { return now }})
	if err != nil {
		b.Fatal(err)
	}
	t := l.static[0]
	l.scrape(b.Context(), t)
	for round := range 1440 * 9 / 8 { // two hours and an eighth, which is the most that is kept
		now = now.Add(5 * time.Second)
		app, i := l.head.Appender(b.Context()), 0
		for _, s := range t.series {
			v := float64(round * (i + 1))
			if i++; i%2 == 0 {
				v = math.Floor(v * (1 + 0.3*math.Sin(float64(round+i)/17)))
			}
			if err := put(app, s, now.UnixMilli(), v); err != nil {
				b.Fatal(err)
			}
		}
		if err := app.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	if err := t.last(); err != nil || len(t.series) != n || l.head.NumSeries() != uint64(n)+1 {
		b.Fatalf("%d series of %d are kept, %v", l.head.NumSeries(), n, err)
	}
	per := float64(held()-clean) / float64(n)
	runtime.KeepAlive(l)
	return per
}

// held is what lives on the heap.
func held() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what had a finalizer
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkKept is what a series of two hours at 5 s holds, where there are few and where
// there are many.
//
//	go test -run '^$' -bench Kept -benchtime 1x ./probes/local
func BenchmarkKept(b *testing.B) {
	for _, n := range []int{500, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var per float64
			for b.Loop() {
				per = keep(b, n)
			}
			b.ReportMetric(per, "B/series")
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
		p.set(host, page(1000))
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
