package cli

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mayday/probes/probetest"
	"mayday/state"
	"mayday/steps/drill"
)

// A real Prometheus is stopped, continued, killed and started again under a canary. Each
// time the gate asks, whatever the hold, and again when it is told to look; it never
// passes and never rolls back by itself. With the server back it goes on.
func TestPrometheusGoesAwayUnderACanary(t *testing.T) {
	s := serve(t, "good", "1")
	server := probetest.StartPrometheus(t, probetest.Setup{Targets: s.Targets})
	s.edit(map[string]string{`weights: .*\n +hold: .*`: "weights: [25, 100]\n      hold: 4s", `monitor: .*`: "monitor: 1m",
		`(?s)\nprometheus:\n.*?\n\n`: "\nprometheus: " + server.URL + "\n\n", `every: .*`: "every: 1s", `stale: .*`: "stale: 10s",
		// How slow this machine is matters nothing here.
		`warn: 0.5\n +crit: 2\n`: "warn: 50\n    crit: 60\n", `warn: 0.8\n +crit: 0.95\n`: "warn: 80\n    crit: 95\n",
		`patience: .*`: "patience: 3s"})
	s.declare()
	s.keeper()
	d := s.driver()
	t.Cleanup(func() {
		if t.Failed() {
			_, said, _ := s.run("journal", "cat", "--incident", s.id)
			for line := range strings.Lines(said) {
				if !strings.Contains(line, " probe ") {
					t.Log(line)
				}
			}
		}
	})
	d.midCanary()

	const quarter, all = 1, 2 // the stages, after that of the canary's pods
	signal := func(x syscall.Signal) {
		t.Helper()
		if err := server.Process.Signal(x); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	d.blind(quarter)
	signal(syscall.SIGCONT)
	d.sees(quarter)
	d.event("the second stage takes effect", func(e state.Event) bool {
		f, ok := e.Fact.(state.StageEffected)
		return ok && f.Stage == all
	})
	server.Kill(t)
	d.blind(all)
	server.Restart(t)
	d.sees(all)
	d.until("it is out", func(in *state.Incident) bool { return in.Production().Status == state.RolloutDone })
	s.only(drill.Fixed)
	for _, e := range d.sound() {
		if k := e.Fact.Kind(); k == "rollback.armed" || k == "rollback.started" {
			t.Errorf("event %d: %s", e.Seq, k)
		}
	}
}

// blind waits until the stage's gate asks because it sees nothing, lets it look again,
// and checks that it asks again.
func (c *crew) blind(stage int) {
	c.t.Helper()
	for range 2 {
		e := c.event("the gate asks", func(e state.Event) bool {
			f, ok := e.Fact.(state.StagePassed)
			if ok && f.Stage == stage {
				c.t.Fatalf("stage %d passed although nothing was seen", stage)
			}
			g, ok := e.Fact.(state.GateDecided)
			return ok && g.Stage == stage && g.State == state.GateAsking
		})
		in := c.scene.Incident
		if r := in.Production(); r.Status != state.RolloutAsking || in.Item("10.deploy").Status != state.ItemAsking {
			c.t.Errorf("the rollout is %s, its item %s", r.Status, in.Item("10.deploy").Status)
		}
		g := e.Fact.(state.GateDecided)
		if len(g.Reasons) == 0 || slices.ContainsFunc(g.Judged, func(x state.Judged) bool { return x.Probe == "error rate new" && x.Verdict.Known() }) {
			c.t.Errorf("it asks because of %q, at %+v", g.Reasons, g.Judged)
		}
		p, _ := in.Probe("error rate new")
		if x, ok := c.scene.Reading(p, e.Time); !ok || x.Verdict.Known() { // error or stale; no data where scrapes are missing
			c.t.Errorf("the screen shows %+v", x)
		}
		_, shown, _ := c.run("show", "--incident", c.id)
		if !strings.Contains(shown, "asking") {
			c.t.Errorf("mayday show says nothing of it:\n%s", shown)
		}
		c.must(state.GoOn{})
	}
	c.event("it asks for the third time", func(e state.Event) bool {
		g, ok := e.Fact.(state.GateDecided)
		return ok && g.State == state.GateAsking
	})
}

// sees waits until the server's numbers are back, and lets the gate look again.
func (c *crew) sees(stage int) {
	c.t.Helper()
	p, _ := c.scene.Incident.Probe("error rate new")
	for end := time.Now().Add(patience); ; c.frame() {
		x, ok := c.scene.Series[p.Name].Last()
		if ok && x.Verdict == state.OK {
			break
		}
		if time.Now().After(end) {
			c.t.Fatalf("the metrics are not back: %+v", x)
		}
	}
	c.must(state.GoOn{})
	c.event("the stage passes", func(e state.Event) bool {
		if g, ok := e.Fact.(state.GateDecided); ok && g.State == state.GateAsking {
			c.must(state.GoOn{}) // a machine that is busy lost sight once more
		}
		f, ok := e.Fact.(state.StagePassed)
		return ok && f.Stage == stage
	})
}
