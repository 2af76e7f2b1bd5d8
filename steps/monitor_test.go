package steps

import (
	"testing"
	"testing/synctest"
	"time"

	"mayday/state"
)

// monitored brings a rig into its monitoring period, whose readings d gives from then on.
func (r *rig) monitored() *state.Incident {
	r.t.Helper()
	r.deploy()
	r.until("deployed", func(in *state.Incident) bool { return in.Item(itemDeploy).Status == state.ItemDone })
	r.must(r.do(state.PassOver{Item: "10.validate", Reason: "test"}))
	return r.until("watched", func(in *state.Incident) bool { return in.Item(state.ItemMonitor).Status == state.ItemRunning })
}

// TestTheMonitoringPeriodFollowsTheSeverity, as the countdown on every screen does.
func TestTheMonitoringPeriodFollowsTheSeverity(t *testing.T) {
	for name, c := range map[string]struct {
		to   []state.Severity // a minute before each full hour
		want time.Duration
	}{
		"stays":               {nil, 4 * time.Hour},
		"falls":               {[]state.Severity{2}, 2 * time.Hour},
		"falls and rises":     {[]state.Severity{2, 1}, 4 * time.Hour},
		"falls when too late": {[]state.Severity{1, 1, 2}, 3*time.Hour - time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				defer r.bye()
				defer r.feed(well)()
				began := r.monitored().Item(state.ItemMonitor).Started
				for i, to := range c.to {
					time.Sleep(time.Until(began.Add(time.Duration(i+1)*time.Hour - time.Minute)))
					r.must(r.do(state.SetSeverity{To: to, Reason: "test"}))
				}
				shown, _ := r.Incident().MonitoringEnds()
				in := r.until("over", func(in *state.Incident) bool { return in.Item(state.ItemMonitor).Status == state.ItemDone })
				it := in.Item(state.ItemMonitor)
				if lasted := it.Ended.Sub(began); lasted < c.want || lasted > c.want+2*gateTick {
					t.Errorf("it lasted %s, want %s; the screens said until %s", lasted, c.want, shown)
				}
				if want := "watched " + in.Policy.Monitor.String(); it.Summary != want {
					t.Errorf("it says %q, want %q", it.Summary, want)
				}
			})
		})
	}
}

// TestALostReadingDoesNotEndTheMonitoringPeriod: one that is lost at the end is waited for
// as gates do, and no longer.
func TestALostReadingDoesNotEndTheMonitoringPeriod(t *testing.T) {
	for name, c := range map[string]struct {
		from, lost time.Duration // before the end, at least a reading, and for how long
		want       state.ItemStatus
		within     time.Duration // of the end
	}{
		"comes back":             {7 * time.Second, 12 * time.Second, state.ItemDone, 15 * time.Second},
		"stays away":             {7 * time.Second, time.Hour, state.ItemFailed, 20 * time.Second},
		"has been away for long": {time.Minute, time.Hour, state.ItemFailed, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				defer r.bye()
				d := &dial{f: well}
				defer r.feed(d.read)()
				r.monitored()
				ends, _ := r.Incident().MonitoringEnds()
				d.set(func() (float64, state.Verdict) {
					if left := time.Until(ends.Add(-c.from)); left <= 0 && left > -c.lost {
						return blind()
					}
					return well()
				})
				in := r.until("over", func(in *state.Incident) bool { return in.Item(state.ItemMonitor).Status != state.ItemRunning })
				it := in.Item(state.ItemMonitor)
				if late := it.Ended.Sub(ends); it.Status != c.want || late < 0 || late > c.within {
					t.Errorf("%s behind its end it is %s", late, it.Status)
				}
			})
		})
	}
}
