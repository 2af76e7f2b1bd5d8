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
	var err error
	switch os.Getenv(programVar) {
	case "bare":
		term.Bare()
	case "ticking":
		err = cockpit(1000, 5*time.Second, 15*time.Minute)
	case "quiet": // as many probes as the practice range has, and as often
		err = cockpit(11, 5*time.Second, 30*time.Minute)
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// cockpit runs the real program over made-up probes, n of them, one after the other
// and every so often, with samples that go back as far as past says.
func cockpit(n int, every, past time.Duration) error {
	s := &stage{frames: make(chan state.Frame, 256)}
	probes := make([]state.Probe, n)
	warn := 0.9
	for i := range probes {
		probes[i] = state.Probe{Name: fmt.Sprintf("probe %04d", i), Kind: "prometheus", Unit: "ratio", Warn: &warn,
			Every: state.Duration(every), StaleAt: state.Duration(10 * every)}
	}
	reading := func(i int, at time.Time) state.Sample {
		return state.Sample{Probe: probes[i].Name, At: at, Got: at, Value: 0.5 + 0.4*rand.Float64(), Verdict: state.OK}
	}
	go func() {
		now := time.Now()
		seq := s.history(probes, now)
		for at := now.Add(-past); at.Before(now); at = at.Add(every) {
			all := make([]state.Sample, n)
			for i := range all {
				all[i] = reading(i, at)
			}
			s.frames <- state.Frame{Samples: all}
		}
		s.frames <- state.Frame{Event: &state.Event{Seq: seq + 1, Time: now, Actor: state.Actor{User: state.Mayday}, Fact: state.NoteAdded{Text: allHere}}}
		i := 0
		for at := range time.Tick(every / time.Duration(n)) {
			s.frames <- state.Frame{Samples: []state.Sample{reading(i%n, at)}}
			i++
		}
	}()
	_, err := Run(context.Background(), Options{Session: s})
	return err
}

// allHere is on the timeline once the samples of the past have been taken in.
const allHere = "the past is here"

// history tells the story of a canary that stands at 25 % now, with other probes. It
// gives the last event's number.
func (s *stage) history(probes []state.Probe, now time.Time) uint64 {
	story := uitest.Canary()
	s.frames <- state.Frame{Hello: &state.Hello{Incident: "INC-20261122-01", Head: story.Scene.Incident.Seq}}
	for _, e := range story.Scene.Events {
		if d, ok := e.Fact.(state.Declared); ok {
			d.Probes = probes
			e.Fact = d
		}
		e.Time = e.Time.Add(now.Sub(uitest.Now))
		s.frames <- state.Frame{Event: &e}
	}
	return story.Scene.Incident.Seq
}

// program starts this test binary as one of its programs in a terminal.
func program(b *testing.B, name string, w, h int) *term.Terminal {
	b.Helper()
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.CommandContext(b.Context(), exe)
	cmd.Env = append(os.Environ(), programVar+"="+name)
	return term.Start(b, cmd, w, h)
}

// BenchmarkIdle watches for ten seconds what the cockpit costs while nobody touches
// a key, a canary holds and the charts are full: bytes to the terminal (at most 2048
// a second) and percent of a core above a bare Bubble Tea program (at most 1).
func BenchmarkIdle(b *testing.B) {
	const window = 10 * time.Second
	for _, size := range sizes {
		b.Run(fmt.Sprintf("%dx%d", size.w, size.h), func(b *testing.B) {
			quiet, bare := program(b, "quiet", size.w, size.h), program(b, "bare", size.w, size.h)
			bare.Shows(patience, "0 keys")
			quiet.Shows(patience, "Checklist", "Metrics") // the samples have come
			var bytes int64
			var ours, theirs time.Duration
			for b.Loop() {
				time.Sleep(time.Second) // what came with the start is drawn
				bytes -= quiet.Bytes()
				ours -= quiet.CPU()
				theirs -= bare.CPU()
				time.Sleep(window)
				bytes += quiet.Bytes()
				ours += quiet.CPU()
				theirs += bare.CPU()
			}
			percent := func(d time.Duration) float64 { return 100 * d.Seconds() / window.Seconds() / float64(b.N) }
			b.ReportMetric(float64(bytes)/window.Seconds()/float64(b.N), "B/s")
			b.ReportMetric(percent(theirs), "bare-cpu-%")
			b.ReportMetric(percent(ours-theirs), "cpu-%-above-bare")
		})
	}
}

const patience = 20 * time.Second // of a benchmark, for something to show

// BenchmarkKeyToFrame measures from a key to the frame that shows its effect, in a
// real terminal of 200x60 with 1000 probes of which each brings a sample every five
// seconds, and at a bare Bubble Tea program in turns. The key selects the next probe,
// which draws its chart and, at the table's end, scrolls. On a machine with other work
// both take longer, which the bare program's figures show: the ratios count, at most 1.3.
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
		b.ReportMetric(o.Seconds()/e.Seconds(), of("ratio"))
	}
}

// pressing starts a program, presses a key n times and gives what each took to show.
func pressing(b *testing.B, name string, n int) []time.Duration {
	t := program(b, name, 200, 60)
	shows := func(s string, i int) bool { return strings.Contains(s, fmt.Sprintf("%d keys", i)) }
	if name == "ticking" {
		shows = func(s string, i int) bool { // in the table and over the chart
			return strings.Count(s, fmt.Sprintf("│ probe %04d  ", i)) == 2
		}
		// A start takes its time once.
		t.Shows(patience, "Checklist", "probe 0001", allHere)
		t.Type("2") // the metrics have the focus
	}
	t.Await("the start", patience, func(s string) bool { return shows(s, 0) })
	var out []time.Duration
	for i := 1; i <= n; i++ {
		// At any moment of the renderer's rhythm.
		time.Sleep(20*time.Millisecond + rand.N(50*time.Millisecond))
		begun := time.Now()
		t.Type("j")
		out = append(out, t.Await("the effect of a key", patience, func(s string) bool { return shows(s, i) }).Sub(begun))
	}
	t.Close()
	return out
}
