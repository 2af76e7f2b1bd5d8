package rules_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"mayday/probes/rules"
	"mayday/state"
)

// The alert that reads what a recording rule makes is the slowest: both intervals, the
// rule's window and the alert's own "for".
func TestReach(t *testing.T) {
	name := filepath.Join(t.TempDir(), "rules.yml")
	file := `
groups:
  - name: made
    interval: 30s
    rules:
      - record: job:errors:rate5m
        expr: sum by (job) (rate(errors_total[5m]))
  - name: alerts
    interval: 10s
    query_offset: 5s
    rules:
      - {alert: Recorded, expr: 'job:errors:rate5m > 3', for: 2m}
      - {alert: Direct, expr: 'sum(rate(errors_total[1m])) > 3', for: 2m}
`
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	want := 30*time.Second + 5*time.Minute + 15*time.Second + 2*time.Minute
	if got, err := rules.Reach(name, 15*time.Second); err != nil || got != want {
		t.Errorf("%s %v, want %s", got, err, want)
	}
	if _, err := rules.Reach(name+".gone", time.Second); !state.HasCode(err, "rules-file") {
		t.Errorf("%v", err)
	}
}
