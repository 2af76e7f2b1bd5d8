package ui

import (
	"fmt"
	"testing"
	"time"

	"mayday/state"
	"mayday/ui/uitest"
)

// BenchmarkKeyWithManyProbes is what a key costs the model, view included, in the
// metrics pane of 1000 probes that are full of readings.
func BenchmarkKeyWithManyProbes(b *testing.B) {
	s := uitest.Canary()
	var probes []state.Probe
	for i := range 1000 {
		p := state.Probe{Name: fmt.Sprintf("probe %04d", i), Kind: "prometheus", Unit: "ratio", StaleAt: state.Duration(time.Minute)}
		probes = append(probes, p)
		for j := range state.SeriesLength {
			at := uitest.Now.Add(-time.Duration(j) * 2500 * time.Millisecond)
			_ = s.Scene.Fold(state.Frame{Samples: []state.Sample{{Probe: p.Name, At: at, Value: float64(j % 7), Verdict: state.OK}}})
		}
	}
	s.Tell(s.Last(), state.Mayday, state.ProbesLaid{Probes: probes})
	m := still(s, 200, 60)
	m.Update(press("2"))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		m.Update(press("down"))
		if i%1000 == 999 {
			m.Update(press("home"))
		}
		_ = m.View()
	}
}
