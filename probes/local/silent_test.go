package local

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mayday/probes"
	"mayday/state"
)

// Where none of the targets answers any more that a query is about, a range is still full
// of what was good: its value is as old as their last answer. That they do not answer is
// itself news, and so is what others say.
func TestARangeOutlivesItsTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(pages)
		var n atomic.Int64
		counts := func(context.Context) (int, io.Reader, error) {
			return 200, strings.NewReader(fmt.Sprintf("r_total %d\n", n.Add(100))), nil
		}
		p.set("old:1", counts)
		p.set("new:1", counts)
		p.set("new:2", counts)
		file := filepath.Join(t.TempDir(), "targets.json")
		if err := os.WriteFile(file, []byte(`[{"targets":["old:1"],"labels":{"version":"v1"}},{"targets":["new:1","new:2","never:1"],"labels":{"version":"v2"}},
			{"targets":["gone:1"],"labels":{"version":"v0"}}]`), 0o600); err != nil {
			t.Fatal(err)
		}
		r := start(t, p, state.Clock{}, 5*time.Second, "file:"+file)
		crit := 0.5
		want := func(when, query string, v state.Verdict) {
			t.Helper()
			x := state.Probe{Query: query, Crit: &crit, Below: true, StaleAt: state.Duration(15 * time.Second)}
			at := time.Now()
			got, err := r.Ask(t.Context(), x, at)
			if s := probes.Judge(x, got, err, at, at); s.Verdict != v || v == state.Stale && !strings.Contains(s.Text, "the data is") {
				t.Errorf("%s, %s: %+v, want %s", when, query, s, v)
			}
		}
		const (
			both    = `sum(rate(r_total[5m]))`
			canary  = `sum(rate(r_total{version="v2"}[5m]))`
			padded  = `sum(increase(r_total{version=~"v2|v3",job="local"}[5m])) + 1 or vector(1)`
			other   = `sum(rate(r_total{version!="v2"}[5m]))`
			between = canary + " / " + other
			before  = `sum(rate(r_total{version="v2"}[1m] offset 5m)) or vector(1)`
			answers = `min(up{version="v2",instance=~"new.*"})`
			never   = `sum(rate(r_total{version="v0"}[1m])) or vector(1)`
		)
		r.after(time.Minute)
		for _, q := range []string{both, canary, padded, other, between, before, answers, never} {
			want("all is well", q, state.OK)
		}
		p.set("new:1", hang)
		r.after(time.Minute)
		for _, q := range []string{both, canary, padded, other, between, before} {
			want("one of two answers", q, state.OK)
		}
		want("one of two answers", answers, state.Crit)
		p.set("new:2", hang)
		r.after(30 * time.Second)
		for _, q := range []string{canary, padded, between} {
			want("none of them answers", q, state.Stale)
		}
		for _, q := range []string{both, other, before} {
			want("none of them answers", q, state.OK)
		}
		want("none of them answers", answers, state.Crit)
		p.set("new:2", counts)
		r.after(10 * time.Second)
		want("one is back", canary, state.OK)
	})
}
