package steps

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// TestProductionIsComparedAfterARollback: that the old version serves is not all; what
// the probes say against before the rollout is told once, when they can say it.
func TestProductionIsComparedAfterARollback(t *testing.T) {
	const before = 0.03 // ill already
	cases := map[string]struct {
		after   float64       // the reading behind the rollback
		from    time.Duration // how long the bad minutes show
		verdict state.Verdict // "" for that of the reading
		want    string
		calls   bool
	}{
		"as ill as before": {before, 8 * time.Second, "", "no worse than before the rollout: error rate 3 % (before 3 %)", false},
		"worse":            {0.2, 0, "", "production is worse than before the rollout: error rate 20 % (before 3 %)", true},
		"not known":        {0, 0, state.NoData, "there is no reading of error rate", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var back time.Time
				r := newRig(t, func(r *rig, o *Options) {
					r.probe.Name, r.probe.Role = "error rate", state.RoleAll
					o.Runbook.Probes[0].Name, o.Runbook.Probes[0].Role = r.probe.Name, r.probe.Role
				})
				defer r.bye()
				defer r.feed(func() (float64, state.Verdict) {
					switch {
					case back.IsZero():
						return before, ""
					case time.Since(back) < c.from:
						return 0.3, ""
					}
					return c.after, c.verdict
				})()
				r.until("seen", func(in *state.Incident) bool { return in.Verdicts[r.probe.Name].Verdict != "" })
				r.deploy()
				r.until("at 25 %", func(in *state.Incident) bool { return !in.Rollouts[0].Stages[0].Effected.IsZero() })
				pages := len(pagesOf(r.Incident()))
				back = time.Now()
				r.must(r.do(state.Fire{Trigger: "R"}))
				in := r.until("compared", func(in *state.Incident) bool { return in.Facts[factCompared] != "" })
				if took := time.Since(back); took < c.from || took > 5*time.Minute {
					t.Errorf("told after %s, the bad minutes showed for %s", took, c.from)
				}
				var said []string
				for _, e := range r.Events() {
					if text := in.Say(e).Text; strings.Contains(text, "before the rollout") && strings.Contains(text, "rolled back") {
						said = append(said, text)
					}
				}
				if len(said) != 1 || !strings.Contains(said[0], c.want) {
					t.Errorf("said %q, want once %q", said, c.want)
				}
				if called := len(pagesOf(in)) > pages; called != c.calls {
					t.Errorf("called for help: %t", called)
				}
			})
		})
	}
}

// TestTheNextKeeperCompares what the last one, which ended with the rollback, could not.
func TestTheNextKeeperCompares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := func(r *rig, o *Options) {
			r.probe.Name, r.probe.Role = "error rate", state.RoleAll
			o.Runbook.Probes[0].Name, o.Runbook.Probes[0].Role = r.probe.Name, r.probe.Role
		}
		r := newRig(t, all)
		stop := r.feed(well)
		r.until("seen", func(in *state.Incident) bool { return in.Verdicts[r.probe.Name].Verdict != "" })
		r.deploy()
		r.until("at 25 %", func(in *state.Incident) bool { return !in.Rollouts[0].Stages[0].Effected.IsZero() })
		stop()
		r.must(r.do(state.Fire{Trigger: "R"}))
		in := r.until("rolled back", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone })
		r.must(r.Close("the rollback is over"))
		if in.Facts[factCompared] != "" {
			t.Fatal("compared without a reading")
		}
		r.open(r.o.Runbook, r.journal.all())
		defer r.bye()
		defer r.feed(well)()
		r.until("compared", func(in *state.Incident) bool { return in.Facts[factCompared] != "" })
	})
}
