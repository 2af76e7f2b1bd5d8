package steps

import (
	"strings"
	"testing"
	"testing/synctest"

	"mayday/state"
)

// The end is confirmed by the probes, or overridden with a reason that stays red.
func TestResolveAsksTheProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(_ *rig, o *Options) { o.Runbook.Probes[0].Role = state.RoleAll })
		defer r.bye()
		for _, s := range r.Incident().Steps {
			for _, it := range s.Items {
				if it.ID == "17.push" {
					r.must(r.do(state.PassOver{Item: it.ID, Reason: "test"}))
				}
			}
		}
		sick := r.feed(func() (float64, state.Verdict) { return 0.5, state.Crit })
		r.until("seen", func(*state.Incident) bool { x, ok := r.reading(r.probe.Name, r.Now()); return ok && x.seen })
		err := r.do(state.Resolve{RootCause: "a nil profile"})
		if !state.HasCode(err, "unwell") || !strings.Contains(err.Error(), r.probe.Name+" is crit") {
			t.Errorf("production is sick, and the end was answered with %v", err)
		}
		if err := r.do(state.Resolve{RootCause: "a nil profile", ActionItems: []string{"x by 2026-13-01"}}); err == nil {
			t.Error("an action item is due in a month 13")
		}
		r.must(r.do(state.Resolve{RootCause: "a nil profile", ActionItems: []string{"add validation @bob by 2026-12-01", "tell support"}, Override: "the provider fixed it"}))
		sick()
		in := r.Incident()
		due := r.Now().Add(itemsDue).Format("2006-01-02")
		if in.Status != state.Resolved || len(in.ActionItems) != 2 || in.ActionItems[0] != "add validation (bob, by 2026-12-01)" || in.ActionItems[1] != "tell support (alice, by "+due+")" {
			t.Errorf("%s with %q", in.Status, in.ActionItems)
		}
		events := r.Events()
		for _, e := range events {
			if f, ok := e.Fact.(state.IncidentResolved); ok && (f.Override == "" || f.Confirmed != "0 of 1 probes ok") {
				t.Errorf("%+v", f)
			}
		}
	})
}

// A step that runs in one place is refused in every other: by whom, since when.
func TestARunningStepSaysWhoseItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.bye()
		r.act("3.baseline", waiting)
		r.must(r.do(state.PassOver{Item: "1.severity", Reason: "test"}))
		r.must(r.do(state.Decide{Choice: "hotfix"}))
		r.must(r.do(state.Run{Item: "3.baseline"}))
		_, err := r.Do(t.Context(), state.Actor{User: "bob", Via: "cli"}, state.Run{Item: "3.baseline"})
		since := r.Incident().Item("3.baseline").Started.Format("15:04:05")
		if !state.HasCode(err, "running") || !strings.Contains(err.Error(), "alice started it at "+since) {
			t.Errorf("bob is told %v", err)
		}
	})
}
