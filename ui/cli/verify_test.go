package cli

import (
	"io"
	"testing"
	"time"

	"mayday/state"
	"mayday/steps"
)

// TestALostReadingDoesNotEndVerify: one that is lost at the end is waited for as gates do,
// and no longer.
func TestALostReadingDoesNotEndVerify(t *testing.T) {
	rb := load(t, `
service: shop
probes:
  - {name: queue, command: [queue], warn: 5, crit: 9, every: 5s, role: all}
gate: {patience: 15s}
`)
	const ends = 60 // seconds
	for name, c := range map[string]struct {
		lost, back int // when the readings are lost, and come back
		value      float64
		over       int
		outcome    string
		exit       int
	}{
		"nothing is lost":              {200, 0, 1, 60, "well", exitDone},
		"comes back":                   {58, 68, 1, 70, "well", exitDone},
		"comes back and is too high":   {58, 68, 6, 70, "not well", exitFailed},
		"stays away":                   {58, 200, 1, 75, "not known", exitPerson},
		"has been away for long":       {20, 200, 1, 60, "not known", exitPerson},
		"comes back for a moment":      {58, 61, 1, 65, "well", exitDone},
		"was lost and is back by then": {40, 50, 1, 60, "well", exitDone},
	} {
		t.Run(name, func(t *testing.T) {
			v := &verifying{app: &app{out: io.Discard}, rb: rb, last: ends * time.Second, extra: steps.ProbesFor(rb, nil, nil), watch: steps.NewWatch(rb)}
			start := time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)
			for at := 0; at < 120; at++ {
				now := start.Add(time.Duration(at) * time.Second)
				if at%5 == 0 {
					x := state.Sample{Probe: "queue", At: now, Got: now, Value: 1, Verdict: state.OK}
					switch {
					case at >= c.lost && at < c.back:
						x.Verdict, x.Value = state.Error, 0
					case at >= c.back && c.back > 0:
						x.Value = c.value
						x.Verdict = v.extra[0].Judge(x.Value)
					}
					v.watch.Take(x)
				}
				if _, _, over := v.judge(now, start.Add(v.last)); over {
					if at != c.over || v.report.Outcome != c.outcome || v.report.Exit != c.exit {
						t.Errorf("after %d s %s, %d; want after %d s %s, %d", at, v.report.Outcome, v.report.Exit, c.over, c.outcome, c.exit)
					}
					return
				}
			}
			t.Error("it does not end")
		})
	}
}
