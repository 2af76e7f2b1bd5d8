package cli

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// TestDeployWaitsForABaseline: a command that has just begun to watch knows nothing from
// before its rollout, and nobody reads the plan's warning.
func TestDeployWaitsForABaseline(t *testing.T) {
	const every = 5 * time.Second
	probe := state.Probe{Name: "errors", Role: state.RoleAll, Every: state.Duration(every)}
	planned := state.Rollout{Plan: state.Plan{ID: "r1", Production: true}, Status: state.RolloutPlanned}
	begun := planned
	begun.Status = state.RolloutInterrupted
	gone := errors.New("the keeper is gone")
	const waits = "mayday: waits up to 15s before it deploys: hardly anything is known from before of errors\n"
	for name, c := range map[string]struct {
		rollout state.Rollout
		had     int // readings from before
		first   time.Duration
		fails   error
		took    time.Duration
		said    string
	}{
		"readings come":        {planned, 0, 2 * time.Second, nil, 12 * time.Second, waits},
		"some are there":       {planned, 2, 0, nil, 0, "mayday: waits up to 5s before it deploys: hardly anything is known from before of errors\n"},
		"enough are there":     {planned, 3, 0, gone, 0, ""},
		"none comes":           {planned, 0, time.Hour, nil, 15*time.Second + readingTime, waits + "mayday: goes on: there is no more to learn of errors; the gates say what they miss\n"},
		"the keeper is gone":   {planned, 0, 0, gone, 0, waits},
		"it has begun already": {begun, 0, 0, gone, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var said bytes.Buffer
				scene := state.NewScene()
				scene.Incident.Probes, scene.Incident.Rollouts = []state.Probe{probe}, []state.Rollout{c.rollout}
				w := &walker{a: &app{err: &said, now: time.Now}, rb: &runbook.Runbook{Gate: runbook.Gate{Consecutive: 3}}, scene: scene}
				read := func(at time.Time) {
					if err := scene.Fold(state.Frame{Samples: []state.Sample{{Probe: "errors", At: at, Got: at, Verdict: state.Crit}}}); err != nil {
						t.Fatal(err)
					}
				}
				for i := range c.had {
					read(time.Now().Add(time.Duration(i-c.had) * every))
				}
				due := time.Now().Add(c.first)
				next := func(ctx context.Context) error {
					if c.fails != nil {
						return c.fails
					}
					select {
					case <-ctx.Done():
						return ctx.Err()
					case <-time.After(time.Until(due)):
						read(time.Now())
						due = due.Add(every)
						return nil
					}
				}
				began := time.Now()
				err := w.enough(t.Context(), next)
				if want := c.said != "" && c.fails != nil; (err != nil) != want || want && !errors.Is(err, gone) {
					t.Errorf("error %v", err)
				}
				if took := time.Since(began); took != c.took {
					t.Errorf("took %s, want %s", took, c.took)
				}
				if said.String() != c.said {
					t.Errorf("said %q", said.String())
				}
			})
		})
	}
}
