package metrics

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mayday/state"
	"mayday/ui/theme"
	"mayday/ui/uitest"
)

// following is a scene of one probe whose threshold follows the old version, which a
// probe of its own sees, or a part of the same answer.
func following(parts bool) *state.Scene {
	s := uitest.Canary()
	p := state.Probe{Name: "errors new", Kind: "prometheus", Unit: "ratio", Role: state.RoleNew, Compare: "errors old", Every: state.Duration(5 * time.Second),
		CritTo: &state.Relative{Times: 1.5, Plus: 0.01}, StaleAt: state.Duration(time.Minute)}
	old := state.Probe{Name: "errors old", Kind: "prometheus", Unit: "ratio", Role: state.RoleOld, Every: p.Every, StaleAt: p.StaleAt}
	probes := []state.Probe{p, old}
	if parts {
		p.Compare, p.By, p.New, p.Old = "", "version", "v2", "v1"
		probes = []state.Probe{p}
	}
	s.Tell(s.Last(), state.Mayday, state.ProbesLaid{Probes: probes})
	for i := range 120 {
		at := uitest.Now.Add(time.Duration(i-120) * 5 * time.Second)
		now, was := 0.02, 0.02
		if i >= 60 {
			was = 0.06
		}
		x := state.Sample{Probe: p.Name, At: at, Value: now, Verdict: state.OK}
		if parts {
			x.Parts = []state.Part{{Label: "v1", Value: was, Verdict: state.OK}, {Label: "v2", Value: now, Verdict: state.OK}}
		}
		_ = s.Scene.Fold(state.Frame{Samples: []state.Sample{x, {Probe: old.Name, At: at, Value: was, Verdict: state.OK}}})
	}
	return s.Scene
}

// A threshold that follows a baseline is drawn where it was at each time, named with what
// it is now; the caption says what it follows.
func TestARelativeThresholdIsDrawn(t *testing.T) {
	for name, parts := range map[string]bool{"a probe of its own": false, "a part": true} {
		p := New(theme.New(theme.Options{NoColor: true}))
		p.Full()
		out := names(p.View(following(parts), uitest.Now, 120, 24, true))
		of := map[bool]string{false: "errors old now", true: "v1 now"}[parts]
		for _, want := range []string{"crit 10 %" + strings.Repeat(theme.Heavy, 3), "crit 10 % = 1.5 x baseline + 0.01  baseline 6 % (" + of + ")"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", name, want, out)
			}
		}
		lines := strings.Split(out, "\n")
		rows := 0
		for _, l := range lines {
			if strings.Contains(l, strings.Repeat(theme.Heavy, 8)) {
				rows++
			}
		}
		if rows != 2 {
			t.Errorf("%s: the threshold moved, and stands in %d lines:\n%s", name, rows, out)
		}
	}
}

func TestWithoutABaselineNothingIsDrawn(t *testing.T) {
	s := following(false)
	s.Incident.Probes[0].Compare = ""
	p := New(theme.New(theme.Options{NoColor: true}))
	p.Full()
	out := names(p.View(s, uitest.Now, 120, 24, true))
	if !strings.Contains(out, "crit 1.5 x baseline + 0.01  no baseline yet") || strings.Contains(out, theme.Heavy) {
		t.Errorf("a threshold is drawn that nobody knows:\n%s", out)
	}
}

// Each label has a line of its own, the new version's over the others.
func TestALineForEachLabel(t *testing.T) {
	p := New(theme.New(theme.Options{}))
	b := p.board(following(true), uitest.Now)
	all := p.strands(b, 0, -1)
	if len(all) != 2 || all[0].label != "v1" || all[1].label != "v2" || all[0].Style == all[1].Style {
		t.Fatalf("%+v", all)
	}
	if n := all[0].Samples.Len(); n != 120 || all[0].Samples.At(n-1).Value != 0.06 || all[1].Samples.At(n-1).Value != 0.02 {
		t.Errorf("the lines are not the labels'")
	}
}

// Zoomed out, the lines of the labels reach as far back as that of the probe, beyond the
// ring of its readings; one whose label is gone stays for the time it was there.
func TestLabelsReachBack(t *testing.T) {
	s := uitest.Canary()
	x := state.Probe{Name: "errors", Kind: "prometheus", By: "version", New: "v3", Old: "v2", Unit: "ratio", Every: state.Duration(5 * time.Second), StaleAt: state.Duration(15 * time.Second)}
	s.Tell(s.Last(), state.Mayday, state.ProbesLaid{Probes: []state.Probe{x}})
	const n = 2 * 60 * 12 // two hours
	for i := range n {
		y := state.Sample{Probe: x.Name, At: uitest.Now.Add(time.Duration(i-n) * 5 * time.Second), Value: 0.1, Verdict: state.OK,
			Parts: []state.Part{{Label: "v2", Value: 0.1, Verdict: state.OK}}}
		if i < n/2 { // until an hour ago
			y.Parts = append(y.Parts, state.Part{Label: "v1", Value: 0.3, Verdict: state.Crit})
		}
		_ = s.Scene.Fold(state.Frame{Samples: []state.Sample{y}})
	}
	p := New(theme.New(theme.Options{}))
	lines := func() (all []string) {
		p.View(s.Scene, uitest.Now, 120, 40, true)
		for _, line := range p.strands(p.board(s.Scene, uitest.Now), 0, -1) {
			first, last, known := time.Time{}, time.Time{}, 0
			for i := range line.Samples.Len() {
				if y := line.Samples.At(i); y.Verdict.Known() {
					if known++; first.IsZero() {
						first = y.At
					}
					last = y.At
				}
			}
			all = append(all, fmt.Sprintf("%s %v to %v", line.label, uitest.Now.Sub(first).Round(time.Minute), uitest.Now.Sub(last).Round(time.Minute)))
		}
		return all
	}
	p.Full()
	p.Zoom(0)
	if got := strings.Join(lines(), ", "); got != "v2 30m0s to 0s" {
		t.Errorf("a quarter of an hour: %s", got)
	}
	p.Zoom(-10)
	if got := strings.Join(lines(), ", "); got != "v1 2h0m0s to 1h0m0s, v2 2h0m0s to 0s" {
		t.Errorf("zoomed out: %s", got)
	}
	table := names(p.View(s.Scene, uitest.Now, 120, 40, true))
	if !strings.Contains(table, "v2") || !strings.Contains(table, "10 %") {
		t.Errorf("no table by version:\n%s", table)
	}
}
