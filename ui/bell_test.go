package ui

import (
	"reflect"
	"testing"

	"mayday/state"
	"mayday/ui/uitest"
)

// The bell is rung for what happens now, if somebody asked for it, and never for
// history.
func TestBell(t *testing.T) {
	for _, wanted := range []bool{true, false} {
		with(t, uitest.Canary(), func(r *rig) {
			r.m.o.Bell = wanted
			r.tell("alice", state.NoteAdded{Text: "quiet"})
			r.tell(state.Mayday, state.LevelPaged{Role: state.Senior, Who: "dora"})
			r.tell(state.Mayday, state.GateDecided{Rollout: "r1", State: state.GateAsking})
			id := r.m.scene.Incident.ID
			want := []string{"\a\x1b]9;mayday: " + id + ": senior engineer paged\a", "\a\x1b]9;mayday: " + id + ": a gate asks for a person\a"}
			if !wanted {
				want = nil
			}
			if !reflect.DeepEqual(r.raw, want) {
				t.Errorf("bell %v: rang %q", wanted, r.raw)
			}
		})
	}
}
