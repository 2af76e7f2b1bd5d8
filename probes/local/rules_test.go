package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mayday/probes"
	"mayday/probes/rules"
	"mayday/state"
)

// A file of rules over scraped pages, from the first scrape to an alert that fires
// because of what a recording rule made, and to its end.
func TestRulesOverScrapes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "rules.yml")
		file := `
groups:
  - name: shop
    rules:
      - record: job:broken:sum
        expr: sum by (job) (broken)
      - alert: Broken
        expr: job:broken:sum > 2
        for: 30s
      - alert: NobodyLooks
        expr: ALERTS{alertname="Broken",alertstate="firing"} == 1
`
		if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		p := &pages{}
		p.set("a:1", text("broken 1\n"))
		p.set("b:1", text("broken 1\n"))
		r := start(t, p, state.Clock{}, 5*time.Second, "http://a:1/metrics", "http://b:1/metrics")
		defer r.stop()
		a := rules.New(r.Local)
		zero := 0.0
		probe := state.Probe{Name: "rules", Query: name, Pattern: "{}", Crit: &zero, StaleAt: state.Duration(15 * time.Second)}
		asked := func(d time.Duration) state.Sample {
			r.after(d)
			now := r.incident()
			got, err := a.Ask(t.Context(), probe, now)
			return probes.Judge(probe, got, err, now, now)
		}
		if x := asked(20 * time.Second); x.Verdict != state.OK || x.Value != 0 {
			t.Fatalf("%+v", x)
		}
		p.set("b:1", text("broken 2\n"))
		if x := asked(10 * time.Second); x.Verdict != state.OK || x.Text != "pending: Broken" {
			t.Fatalf("%+v", x)
		}
		if x := asked(40 * time.Second); x.Verdict != state.Crit || x.Value != 2 || !strings.Contains(x.Text, "Broken, NobodyLooks") {
			t.Fatalf("%+v", x)
		}
		p.set("b:1", hang)
		if x := asked(20 * time.Second); x.Verdict != state.Warn || !strings.Contains(x.Text, "1 of 2 targets cannot be scraped") {
			t.Fatalf("%+v", x)
		}
		p.set("b:1", text("broken 0\n"))
		if x := asked(20 * time.Second); x.Verdict != state.OK || x.Value != 0 {
			t.Fatalf("%+v", x)
		}
		r.stop()
		if x := asked(time.Minute); x.Verdict != state.Stale {
			t.Fatalf("%+v", x)
		}
	})
}
