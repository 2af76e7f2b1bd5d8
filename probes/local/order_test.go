package local

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"mayday/state"
)

// Series that appear in several scrapes at once must not disturb queries; the race
// detector sees it if they do.
func TestSeriesAppearUnderQueries(t *testing.T) {
	var names []string
	for i := range 6 {
		names = append(names, fmt.Sprintf("http://10.0.0.%d/metrics", i+1))
	}
	l, err := New(Options{Targets: names, Interval: state.Duration(time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	var wg sync.WaitGroup
	for i, target := range l.static {
		wg.Go(func() {
			for n := range 100 {
				target.body.Reset()
				fmt.Fprintf(&target.body, "x{n=\"%d-%d\"} 1\n", i, n)
				if err := l.append(t.Context(), target, now.UnixMilli()+int64(n)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 200 {
		if _, err := l.Ask(t.Context(), state.Probe{Query: `sum(x{instance=~"10.+",job!=""})`}, now); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}
