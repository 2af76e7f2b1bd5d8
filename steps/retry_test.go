package steps

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// errFull is what a disk says that takes nothing.
var errFull = errors.New("no space left on device")

// filling is a Checker that finds all well, and the disk full from then on.
type filling struct {
	nothing
	disk *memory
}

func (f filling) Check(context.Context, runbook.Environment, runbook.Check) (string, error) {
	f.disk.set(errFull)
	return "200", nil
}

// TestTheMonitoringPeriodBeginsWhenThereIsRoom: the disk was full as it became possible, and
// nobody does anything else.
func TestTheMonitoringPeriodBeginsWhenThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig, o *Options) {
			env := o.Runbook.Environments["production"]
			env.Checks, env.Fixed = []runbook.Check{{Name: "log in"}}, &runbook.Check{Name: "log in with a profile"}
			o.Runbook.Environments["production"], o.Checker = env, filling{disk: r.journal}
		})
		defer r.bye()
		defer r.feed(well)()
		r.deploy()
		r.until("deployed", func(in *state.Incident) bool { return in.Item(itemDeploy).Status == state.ItemDone })
		r.must(r.do(state.Run{Item: "10.validate"}))
		r.until("validated", func(in *state.Incident) bool { return in.Item("10.validate").Status == state.ItemDone })
		time.Sleep(10 * retryEvery)
		if st := r.Incident().Item(state.ItemMonitor).Status; st != state.ItemOpen {
			t.Fatalf("on a full disk the monitoring period is %s", st)
		}
		r.journal.set(nil)
		time.Sleep(2 * retryEvery)
		if st := r.Incident().Item(state.ItemMonitor).Status; st != state.ItemRunning {
			t.Errorf("with room on the disk the monitoring period is %s", st)
		}
	})
}

// TestProbesAreLaidWhenThereIsRoom: the disk was full as the new version's tag was made.
func TestProbesAreLaidWhenThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var laid []string // the queries that the hub was given last
		r := newRig(t, func(_ *rig, o *Options) {
			o.Runbook.Probes[0].Query = `errors{version="{new}"}`
			o.Probes = func(probes []state.Probe) {
				mu.Lock()
				defer mu.Unlock()
				laid = nil
				for _, p := range probes {
					laid = append(laid, p.Query)
				}
			}
		})
		defer r.bye()
		asks := func(version string) bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.ContainsFunc(laid, func(q string) bool { return strings.Contains(q, version) })
		}
		r.settle()
		r.act("7.tag", func(context.Context, Job) (Outcome, error) {
			r.journal.set(errFull)
			return Outcome{Summary: "tagged", Facts: map[string]string{"tag": "v1.2.5"}}, nil
		})
		r.must(r.do(state.Run{Item: "7.tag"}))
		r.until("tagged", func(in *state.Incident) bool { return in.Facts["tag"] == "v1.2.5" })
		time.Sleep(10 * retryEvery)
		if !asks("v1.2.4") {
			t.Error("the hub was given what is not in the journal")
		}
		r.journal.set(nil)
		time.Sleep(2 * retryEvery)
		if in := r.Incident(); !asks("v1.2.5") || !strings.Contains(in.Probes[0].Query, "v1.2.5") {
			t.Errorf("with room on the disk the hub asks %v", laid)
		}
	})
}

// TestTheComparisonIsToldWhenThereIsRoom: the disk was full as production could be compared
// with what it was before the rollout.
func TestTheComparisonIsToldWhenThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(r *rig, o *Options) {
			r.probe.Name, r.probe.Role = "error rate", state.RoleAll
			o.Runbook.Probes[0].Name, o.Runbook.Probes[0].Role = r.probe.Name, r.probe.Role
		})
		defer r.bye()
		stop := r.feed(well)
		r.until("seen", func(in *state.Incident) bool { return in.Verdicts[r.probe.Name].Verdict != "" })
		r.deploy()
		r.until("at 25 %", func(in *state.Incident) bool { return !in.Rollouts[0].Stages[0].Effected.IsZero() })
		stop()
		r.must(r.do(state.Fire{Trigger: "R"}))
		r.rolledBack()
		synctest.Wait()
		r.journal.set(errFull)
		defer r.feed(well)()
		time.Sleep(5 * time.Minute)
		if in := r.Incident(); in.Facts[factCompared] != "" {
			t.Fatal("told on a full disk")
		}
		r.journal.set(nil)
		time.Sleep(2 * retryEvery)
		if in := r.Incident(); in.Facts[factCompared] == "" {
			t.Error("with room on the disk nobody is told whether production is no worse")
		}
	})
}
