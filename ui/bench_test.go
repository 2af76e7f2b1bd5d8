package ui

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"mayday/state"
	"mayday/ui/uitest"
	"mayday/ui/uitest/term"
)

// programVar makes this test binary one of the programs that benchmarks look at.
const programVar = "MAYDAY_UI_PROGRAM"

func TestMain(m *testing.M) {
	switch os.Getenv(programVar) {
	case "bare":
		term.Bare()
	case "ticking":
		if err := ticking(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}

const tickingProbes = 200

// ticking is the cockpit over 200 probes that each bring a sample every second.
func ticking(ctx context.Context) error {
	s := &stage{frames: make(chan state.Frame, 256)}
	probes := make([]state.Probe, tickingProbes)
	warn := 0.9
	for i := range probes {
		probes[i] = state.Probe{Name: fmt.Sprintf("probe %03d", i), Kind: "prometheus", Unit: "ratio", Warn: &warn,
			Every: state.Duration(time.Second), StaleAt: state.Duration(10 * time.Second)}
	}
	go func() {
		s.history(probes)
		tick := time.NewTicker(time.Second / tickingProbes)
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case at := <-tick.C:
				s.frames <- state.Frame{Samples: []state.Sample{{Probe: probes[i%tickingProbes].Name, At: at, Got: at, Value: rand.Float64(), Verdict: state.OK}}}
			}
		}
	}()
	_, err := Run(ctx, Options{Session: s})
	return err
}

// history tells the story of a canary, with other probes, and five minutes of their
// samples.
func (s *stage) history(probes []state.Probe) {
	story, now := uitest.Canary(), time.Now()
	s.frames <- state.Frame{Hello: &state.Hello{Incident: "INC-20261122-01", Head: story.Scene.Incident.Seq}}
	for _, e := range story.Scene.Events {
		if d, ok := e.Fact.(state.Declared); ok {
			d.Probes = probes
			e.Fact = d
		}
		e.Time = e.Time.Add(now.Sub(uitest.Now))
		s.frames <- state.Frame{Event: &e}
	}
	for at := now.Add(-5 * time.Minute); at.Before(now); at = at.Add(time.Second) {
		all := make([]state.Sample, len(probes))
		for i := range all {
			all[i] = state.Sample{Probe: probes[i].Name, At: at, Got: at, Value: rand.Float64(), Verdict: state.OK}
		}
		s.frames <- state.Frame{Samples: all}
	}
}

// BenchmarkKeyToFrame measures from a key to the frame that shows its effect, in a
// real terminal of 200x60 with 200 probes ticking, and at a bare Bubble Tea program
// in turns. The key selects the next probe, which draws its chart.
//
// In the next frame means within one interval of the renderer: the cockpit draws 30
// times a second, a bare program 60. So the ratios compare what a key takes in
// intervals of each; they should be about 1. On a machine with other work both take
// longer, which the bare program's figures show.
func BenchmarkKeyToFrame(b *testing.B) {
	var ours, bare []time.Duration
	for b.Loop() {
		for range 5 {
			bare = append(bare, pressing(b, "bare", 40)...)
			ours = append(ours, pressing(b, "ticking", 40)...)
		}
	}
	slices.Sort(ours)
	slices.Sort(bare)
	for _, percent := range []int{50, 99} {
		o, e := ours[(len(ours)-1)*percent/100], bare[(len(bare)-1)*percent/100]
		of := func(name string) string { return fmt.Sprintf("%s-p%d", name, percent) }
		b.ReportMetric(float64(o.Microseconds())/1000, of("key")+"-ms")
		b.ReportMetric(float64(e.Microseconds())/1000, of("bare")+"-ms")
		b.ReportMetric(o.Seconds()*fps, of("key")+"-frames")
		b.ReportMetric(o.Seconds()*fps/(e.Seconds()*bareFPS), of("ratio"))
	}
}

const bareFPS = 60 // Bubble Tea's own

// pressing starts a program, presses a key n times and gives what each took to show.
func pressing(b *testing.B, program string, n int) []time.Duration {
	const patience = 20 * time.Second
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), exe)
	cmd.Env = append(os.Environ(), programVar+"="+program)
	t := term.Start(b, cmd, 200, 60)
	key, effect := "j", func(i int) string { return fmt.Sprintf("%d keys", i) }
	if program == "ticking" {
		t.Shows(patience, "Checklist", "probe 001")
		t.Type("2") // the metrics have the focus
		effect = func(i int) string { return fmt.Sprintf("│ probe %03d  ", i) }
		t.Await("the chart of the first probe", patience, func(s string) bool { return strings.Count(s, effect(0)) == 2 })
	} else {
		t.Shows(patience, effect(0))
	}
	var out []time.Duration
	for i := 1; i <= n; i++ {
		// At any moment of the renderer's rhythm.
		time.Sleep(20*time.Millisecond + rand.N(50*time.Millisecond))
		begun := time.Now()
		t.Type(key)
		shown := t.Await("the effect of a key", patience, func(s string) bool {
			if program == "bare" {
				return strings.Contains(s, effect(i))
			}
			return strings.Count(s, effect(i)) == 2 // in the table and over the chart
		})
		out = append(out, shown.Sub(begun))
	}
	t.Close()
	return out
}
