package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mayday/probes"
	"mayday/state"
)

// TestMetricsVanish is the path of a drill at speed 60: the hub asks the local
// store, the metrics go away in the middle, and the verdict must become no-data
// within a few incident moments and never ok again.
func TestMetricsVanish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := state.Clock{Origin: time.Now(), Base: time.Now().Add(-time.Hour), Speed: 60}
		p := new(pages)
		var n int
		p.set("app:1", func(context.Context) (int, io.Reader, error) {
			n += 100
			return 200, strings.NewReader(fmt.Sprintf("# TYPE r counter\nr{code=\"200\"} %d\nr{code=\"500\"} %d\n", n, n/100)), nil
		})
		r := start(t, p, clock, 15*time.Second, "http://app:1/metrics")

		var mu sync.Mutex
		var got []state.Sample
		crit := 0.05
		hub := probes.New(probes.Options{Clock: clock, Askers: map[string]probes.Asker{"prometheus": r.Local}})
		hub.Set([]state.Probe{{
			Name: "error rate", Kind: "prometheus", Crit: &crit, Every: state.Duration(15 * time.Second),
			Query: `sum(rate(r{code="500"}[1m])) / sum(rate(r[1m]))`,
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- hub.Run(ctx, func(b []state.Sample) { mu.Lock(); defer mu.Unlock(); got = append(got, b...) })
		}()
		last := func() state.Sample { mu.Lock(); defer mu.Unlock(); return got[len(got)-1] }

		r.after(5 * time.Second)
		if s := last(); s.Verdict != state.OK || s.Value < 0.009 || s.Value > 0.011 {
			t.Fatalf("%+v", s)
		}
		p.set("app:1", func(context.Context) (int, io.Reader, error) { return 0, nil, errors.New("connection refused") })
		r.after(2 * time.Second) // two incident minutes: the range of the query is over
		if s := last(); s.Verdict != state.NoData || !strings.Contains(s.Text, "connection refused") {
			t.Fatalf("%+v", s)
		}
		r.after(10 * time.Second)
		if s := last(); s.Verdict != state.NoData {
			t.Fatalf("%+v", s)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}
