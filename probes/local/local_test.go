package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mayday/probes"
	"mayday/probes/probetest"
	"mayday/state"
)

// pages is a network of metrics pages: by host, what each answers.
type pages struct {
	mu sync.Mutex
	of map[string]func(ctx context.Context) (int, io.Reader, error)
}

func (p *pages) set(host string, f func(ctx context.Context) (int, io.Reader, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = map[string]func(context.Context) (int, io.Reader, error){}
	}
	p.of[host] = f
}

// RoundTrip implements http.RoundTripper.
func (p *pages) RoundTrip(req *http.Request) (*http.Response, error) {
	p.mu.Lock()
	f := p.of[req.URL.Host]
	p.mu.Unlock()
	if f == nil {
		return nil, errors.New("connection refused")
	}
	code, body, err := f(req.Context())
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: code, Body: io.NopCloser(body), Request: req}, nil
}

func text(s string) func(context.Context) (int, io.Reader, error) {
	return func(context.Context) (int, io.Reader, error) { return 200, strings.NewReader(s), nil }
}

func hang(ctx context.Context) (int, io.Reader, error) {
	<-ctx.Done()
	return 0, nil, ctx.Err()
}

// drip never ends and gives a byte a second.
type drip struct{ ctx context.Context }

func (d drip) Read(b []byte) (int, error) {
	select {
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	case <-time.After(time.Second):
		b[0] = 'x'
		return 1, nil
	}
}

// flood is a gigabyte of metrics.
func flood(context.Context) (int, io.Reader, error) {
	return 200, io.LimitReader(repeat("a_metric_that_goes_on 1\n"), 1<<30), nil
}

type repeat string

func (r repeat) Read(b []byte) (int, error) {
	n := 0
	for n+len(r) <= len(b) {
		n += copy(b[n:], r)
	}
	if n == 0 {
		n = copy(b, r[:len(b)])
	}
	return n, nil
}

type rig struct {
	*Local
	t    *testing.T
	stop func()
}

// start runs a Local inside a synctest bubble.
func start(t *testing.T, p *pages, clock state.Clock, interval time.Duration, targets ...string) *rig {
	t.Helper()
	l, err := New(Options{Targets: targets, Interval: state.Duration(interval), Clock: clock, Client: &http.Client{Transport: p}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	r := &rig{Local: l, t: t}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *rig) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) query(expr string) probes.Reading {
	r.t.Helper()
	x, err := r.Query(context.Background(), expr, r.incident())
	if err != nil {
		r.t.Fatalf("%s: %v", expr, err)
	}
	return x
}

func (r *rig) want(expr string, v float64) {
	r.t.Helper()
	if x := r.query(expr); x.NoData || x.Value < v-1e-9 || x.Value > v+1e-9 {
		r.t.Fatalf("%s = %+v, want %v", expr, x, v)
	}
}

func (r *rig) wantNone(expr string) probes.Reading {
	r.t.Helper()
	x := r.query(expr)
	if !x.NoData {
		r.t.Fatalf("%s = %+v, want no data", expr, x)
	}
	return x
}

func TestScrapeAndQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(pages)
		p.set("app:1", text(`# TYPE http_requests_total counter
http_requests_total{version="v1",code="200",job="theirs"} 90
http_requests_total{version="v1",code="500"} 10 1234
# TYPE d histogram
d_bucket{le="0.1"} 50
d_bucket{le="1"} 100
d_sum 20
d_count 100
# TYPE q summary
q{quantile="0.5"} 7
q_sum 3
q_count 2
# TYPE g gauge
g NaN
plain 3
`))
		r := start(t, p, state.Clock{}, 5*time.Second, "http://app:1/metrics")
		r.after(time.Second)
		r.want(`sum(http_requests_total)`, 100)
		r.want(`http_requests_total{exported_job="theirs",job="local",instance="app:1"}`, 90)
		r.want(`d_bucket{le="+Inf"}`, 100)
		r.want(`histogram_quantile(0.5, d_bucket)`, 0.1)
		r.want(`q{quantile="0.5"}`, 7)
		r.want(`q_count + d_sum + plain`, 2+20+3) // labels are equal
		r.want(`up`, 1)
		r.want(`1+1`, 2)
		r.wantNone(`nothing`)
		if _, err := r.Query(t.Context(), `sum(`, r.incident()); !state.HasCode(err, "prometheus-query") {
			t.Fatal(err)
		}
		if _, err := r.Query(t.Context(), `http_requests_total[5m]`, r.incident()); err == nil {
			t.Fatal("a range is taken for a number")
		}
	})
}

func TestSeriesAreToldApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(pages)
		p.set("app:1", text("errors{version=\"v1\"} 3\nerrors{version=\"v2\"} 9\n"))
		r := start(t, p, state.Clock{}, 5*time.Second, "http://app:1/metrics")
		r.after(time.Second)
		q := state.Probe{Query: "errors", By: "version", New: "v1", Old: "v2"}
		x, err := r.Ask(t.Context(), q, r.incident())
		if err != nil || x.Value != 3 || len(x.Parts) != 2 || x.Parts[1] != (state.Part{Label: "v2", Value: 9}) {
			t.Fatalf("%+v %v", x, err)
		}
		past, err := r.Past(t.Context(), q, r.incident(), r.incident(), time.Second)
		if err != nil || len(past) != 1 || past[0].Value != 3 || len(past[0].Parts) != 2 {
			t.Fatalf("%+v %v", past, err)
		}
		q.By, q.Series = "", state.SeveralMax
		if x, err = r.Ask(t.Context(), q, r.incident()); err != nil || x.Value != 9 {
			t.Fatalf("%+v %v", x, err)
		}
		if _, err = r.Query(t.Context(), "errors", r.incident()); !state.HasCode(err, "many-series") {
			t.Fatal(err)
		}
	})
}

func TestFastClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		clock := state.Clock{Origin: now, Base: now.Add(-48 * time.Hour), Speed: 60}
		p := new(pages)
		var n float64
		p.set("app:1", func(context.Context) (int, io.Reader, error) {
			n += 30
			return 200, strings.NewReader(fmt.Sprintf("# TYPE c counter\nc %v\n", n)), nil
		})
		r := start(t, p, clock, 15*time.Second, "http://app:1/metrics")
		r.after(10 * time.Second) // ten incident minutes
		if n < 39*30 || n > 42*30 {
			t.Fatalf("%v scrapes in 10 s at 250 ms", n/30)
		}
		r.want(`rate(c[5m])`, 2) // 30 every 15 incident seconds
		r.want(`count_over_time(c[5m])`, 20)
		x := r.query(`timestamp(c)`)
		if got := time.UnixMilli(int64(x.Value * 1000)); r.incident().Sub(got) > 16*time.Second || r.incident().Before(got) {
			t.Fatalf("newest sample at %v, incident time is %v", got, r.incident())
		}
	})
}

func TestVanishedSeriesAndTargetsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(pages)
		p.set("app:1", text("a 1\nb 2\n"))
		p.set("app:2", text("c 3\n"))
		r := start(t, p, state.Clock{}, 5*time.Second, "http://app:1/metrics", "http://app:2/metrics")
		r.after(time.Second)
		r.want("a+b", 3)
		p.set("app:1", text("a 1\n"))
		r.after(5 * time.Second)
		r.want("a", 1)
		r.wantNone("b")
		p.set("app:1", func(context.Context) (int, io.Reader, error) { return 503, strings.NewReader(""), nil })
		r.after(5 * time.Second)
		if x := r.wantNone("a"); !strings.Contains(x.Text, "1 of 2") || !strings.Contains(x.Text, "503") {
			t.Fatalf("no data, but says %q", x.Text)
		}
		r.want(`up{instance="app:1"}`, 0)
		r.want(`up{instance="app:2"}`, 1)
		p.set("app:1", text("a 1\nb 2\n"))
		r.after(5 * time.Second)
		r.want("a+b", 3)
	})
}

func TestBadTargetDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(pages)
		p.set("good:1", text("a 1\n"))
		p.set("hang:1", hang)
		p.set("drip:1", func(ctx context.Context) (int, io.Reader, error) { return 200, drip{ctx}, nil })
		p.set("flood:1", flood)
		p.set("html:1", text("<!doctype html><title>hi</title>"))
		p.set("junk:1", text("a 1\n}{\x00\n"))
		r := start(t, p, state.Clock{}, 5*time.Second,
			"http://good:1/metrics", "http://hang:1/metrics", "http://drip:1/metrics", "http://flood:1/metrics", "http://html:1/metrics", "http://junk:1/metrics", "http://gone:1/metrics")
		r.after(21 * time.Second)
		r.want(`count_over_time(a[30s])`, 5)
		r.want(`sum(up)`, 1)
		r.want(`count(up)`, 7)
		for host, why := range map[string]string{"hang": "within 5s", "drip": "within 5s", "flood": "more than", "html": "HTML", "junk": "not a metrics page", "gone": "refused"} {
			for _, tg := range r.static {
				if err := tg.last(); strings.Contains(tg.url, host) && (err == nil || !strings.Contains(err.Error(), why)) {
					t.Errorf("%s: %v", host, err)
				}
			}
		}
	})
}

func TestTargetFileChanges(t *testing.T) {
	file := filepath.Join(t.TempDir(), "targets.json")
	write := func(s string) {
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`[{"targets":["app:1","app:2"],"labels":{"job":"shop","__metrics_path__":"/m","version":"v1"}}]`)
	synctest.Test(t, func(t *testing.T) {
		p := new(pages)
		for _, h := range []string{"app:1", "app:2", "app:3"} {
			p.set(h, text("a 1\n"))
		}
		r := start(t, p, state.Clock{}, 5*time.Second, "file:"+file)
		r.after(time.Second)
		r.want(`sum(a{job="shop",version="v1"})`, 2)
		write(`[{"targets":["app:2","http://app:3/metrics"],"labels":{"job":"shop","version":"v1","zone":"x"}}]  `)
		r.after(6 * time.Second)
		r.want(`sum(a)`, 2)
		r.want(`sum(a{zone="x"})`, 2)
		r.wantNone(`up{instance="app:1"}`)
		write(`not json`)
		r.after(6 * time.Second)
		r.want(`sum(a)`, 2) // the last good list stays
		if !strings.Contains(r.trouble(), "targets.json") {
			t.Fatalf("says %q", r.trouble())
		}
	})
}

func TestStandstillShowsInTheReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(pages)
		p.set("app:1", text("a 1\n"))
		r := start(t, p, state.Clock{}, 5*time.Second, "http://app:1/metrics")
		r.after(6 * time.Second)
		if x := r.query("a"); !x.At.IsZero() {
			t.Fatalf("%+v", x)
		}
		r.stop()
		last := r.newest.Load()
		time.Sleep(time.Minute)
		if x := r.query("a"); x.At.UnixMilli() != last {
			t.Fatalf("%+v, the last scrape was at %v", x, last)
		}
	})
}

func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(pages)
		var n int
		p.set("app:1", func(context.Context) (int, io.Reader, error) {
			n++
			return 200, strings.NewReader(fmt.Sprintf("a 1\nb{n=\"%d\"} 1\n", n/10)), nil
		})
		r := start(t, p, state.Clock{}, 30*time.Second, "http://app:1/metrics")
		r.after(8 * time.Hour)
		if kept := time.Duration(r.head.MaxTime()-r.head.MinTime()) * time.Millisecond; kept > 2*time.Hour+20*time.Minute || kept < 2*time.Hour-time.Minute {
			t.Fatalf("%v are kept", kept)
		}
		if s := r.head.NumSeries(); s > 40 {
			t.Fatalf("%d series are kept of about 100", s)
		}
		r.want(`count_over_time(a[10m])`, 20)
	})
}

func TestNothingOnDisk(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	if _, err := New(Options{Targets: []string{"http://app:1/metrics"}}); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) != 0 {
		t.Fatal(left, err)
	}
}

func TestBadTargets(t *testing.T) {
	for _, list := range [][]string{nil, {"ftp://x"}, {"http://"}} {
		if _, err := New(Options{Targets: list}); !state.HasCode(err, "local-target") {
			t.Errorf("%q: %v", list, err)
		}
	}
}

// subject asks a for its value, of a page that was scraped twice.
func subject(t *testing.T, w probetest.World) (probetest.Subject, bool) {
	page := map[probetest.World]string{
		probetest.Well: "a 1\n", probetest.Empty: "b 1\n", probetest.NotANum: "a NaN\n",
		probetest.Two: "a{v=\"first\"} 1\na{v=\"second\"} 2\n",
	}
	body, ok := page[w]
	query := state.Probe{Name: "a", Query: "a"}
	if w == probetest.Escapes || w == probetest.Garbage {
		// What can be garbage to a query in process is only the query itself.
		body, ok, query.Query = "a 1\n", true, "a\x1b[31m{"
	}
	if !ok {
		return probetest.Subject{}, false
	}
	p := new(pages)
	p.set("app:1", text(body))
	now := time.Now().Add(-10 * time.Second)
	l, err := New(Options{Targets: []string{"http://app:1/metrics"}, Client: &http.Client{Transport: p}, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		l.scrape(t.Context(), l.static[0])
		now = now.Add(5 * time.Second)
	}
	return probetest.Subject{Asker: l, Probe: query, At: now}, true
}

func TestConformance(t *testing.T) { probetest.Run(t, subject) }

func TestPastConformance(t *testing.T) { probetest.RunPast(t, subject) }

// A store that has just begun has no rate of anything yet. That is no news of the
// service: it is said once the first scrapes are in, or do not come.
func TestWarmingIsNotNoData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(pages)
		p.set("app:1", text("# TYPE c counter\nc 1\n"))
		r := start(t, p, state.Clock{}, 5*time.Second, "http://app:1/metrics")
		r.after(time.Second)
		if x := r.query("rate(c[1m])"); !x.NoData || !x.Pending {
			t.Errorf("after one scrape: %+v", x)
		}
		r.after(5 * time.Second)
		r.want("rate(c[1m])", 0)
		if x := r.wantNone("nothing"); x.Pending {
			t.Error("after two scrapes what is missing is still pending")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := start(t, new(pages), state.Clock{}, 5*time.Second, "http://gone:1/metrics")
		r.after(time.Second)
		if x := r.wantNone("c"); x.Pending {
			t.Error("a target that refuses keeps everybody waiting")
		}
	})
}
