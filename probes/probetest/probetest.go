// Package probetest is the conformance suite that every probes.Asker passes: what
// an asker does when its source is well, slow, gone, empty or talks nonsense.
package probetest

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode"

	"mayday/probes"
	"mayday/state"
)

// World is how the source behaves in one test.
type World string

// The worlds. An asker answers false for one that its source cannot be in.
const (
	Well    World = "well"     // a number
	Hangs   World = "hangs"    // accepts the question and never answers
	Drips   World = "drips"    // answers, a byte at a time, without end
	Refuses World = "refuses"  // nothing listens
	Fails   World = "fails"    // answers with an error
	Escapes World = "escapes"  // its error or text holds escape sequences
	Page    World = "web page" // answers HTML
	Garbage World = "garbage"  // answers what cannot be read
	Empty   World = "no data"  // answers that it has nothing
	NotANum World = "NaN"      // answers NaN
	Two     World = "two"      // two series, labelled with "first" and "second"
)

// Subject is an asker in front of a world, with the probe that sees it.
type Subject struct {
	Asker probes.Asker
	Probe state.Probe
	At    time.Time // the incident time to ask about; zero: now
}

// Run runs the suite. world sets one world up (and takes it down by t.Cleanup); ok
// is false where the asker's source cannot be in that world.
func Run(t *testing.T, world func(t *testing.T, w World) (s Subject, ok bool)) {
	for w, check := range map[World]func(t *testing.T, x state.Sample, err error){
		Well: known, Refuses: failed, Fails: unwell, Page: page, Garbage: failed, Escapes: clean,
		Empty: noData, NotANum: noData, Two: two,
	} {
		t.Run(string(w), func(t *testing.T) {
			leakFree(t)
			s, ok := world(t, w)
			if !ok {
				return // nothing to test, and so nothing that is skipped
			}
			x, err := ask(t, s, 5*time.Second)
			check(t, x, err)
		})
	}
	impatient(t, world, func(t *testing.T, s Subject) {
		x, err := ask(t, s, 50*time.Millisecond)
		failed(t, x, err)
	}, func(ctx context.Context, s Subject) error {
		_, err := s.Asker.Ask(ctx, s.Probe, s.at())
		return err
	})
}

// impatient runs what is the same for every question: what happens where there is no
// answer, where nobody waits for it any more, and where many ask. late tells what comes
// of one whose time-out is 50 ms.
func impatient(t *testing.T, world func(t *testing.T, w World) (Subject, bool), late func(t *testing.T, s Subject), ask func(context.Context, Subject) error) {
	for _, w := range []World{Hangs, Drips} {
		t.Run(string(w), func(t *testing.T) {
			leakFree(t)
			s, ok := world(t, w)
			if !ok {
				return // nothing to test, and so nothing that is skipped
			}
			late(t, s)
			cancelled(t, func(ctx context.Context) error { return ask(ctx, s) })
		})
	}
	t.Run("cancelled before", func(t *testing.T) {
		leakFree(t)
		s, _ := world(t, Well)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		// An answer from memory is fine, one that takes time is not.
		within(t, 2*time.Second, func() { _ = ask(ctx, s) })
	})
	t.Run("many at once", func(t *testing.T) {
		leakFree(t)
		s, _ := world(t, Well)
		done := several(16, func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			return ask(ctx, s)
		})
		for range 16 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// several runs f n times at once.
func several(n int, f func() error) <-chan error {
	out := make(chan error, n)
	for range n {
		go func() { out <- f() }()
	}
	return out
}

func (s Subject) at() time.Time {
	if s.At.IsZero() {
		return time.Now()
	}
	return s.At
}

// ask asks once and judges, as the Hub does.
func ask(t *testing.T, s Subject, timeout time.Duration) (x state.Sample, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	within(t, timeout+2*time.Second, func() {
		at := s.at()
		var r probes.Reading
		r, err = s.Asker.Ask(ctx, s.Probe, at)
		x = probes.Judge(s.Probe, r, err, at, at)
	})
	return x, err
}

func cancelled(t *testing.T, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	back := several(1, func() error { return ask(ctx) })
	cancel()
	select {
	case err := <-back:
		if err == nil || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled, the error is %v; want one that is context.Canceled", err)
		}
	case <-time.After(2 * time.Second):
		t.Fatal("Ask goes on although its context was cancelled")
	}
}

func within(t *testing.T, d time.Duration, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("Ask did not return within %v", d)
	}
}

func known(t *testing.T, x state.Sample, err error) {
	t.Helper()
	if err != nil || !x.Verdict.Known() {
		t.Errorf("verdict %s (%s), error %v; want a known verdict", x.Verdict, x.Text, err)
	}
}

func failed(t *testing.T, x state.Sample, err error) {
	t.Helper()
	if err == nil || x.Verdict != state.Error || x.Text == "" {
		t.Errorf("verdict %s (%s), error %v; want an error that says why", x.Verdict, x.Text, err)
	}
	clean(t, x, err)
}

// unwell is for a source that answered badly: an error, or crit where the answer
// itself is the knowledge.
func unwell(t *testing.T, x state.Sample, err error) {
	t.Helper()
	if x.Verdict != state.Error && x.Verdict != state.Crit || x.Text == "" {
		t.Errorf("verdict %s (%s), error %v; want error or crit, with words", x.Verdict, x.Text, err)
	}
	clean(t, x, err)
}

func page(t *testing.T, x state.Sample, err error) {
	t.Helper()
	failed(t, x, err)
	if !strings.Contains(x.Text, "HTML") || !strings.Contains(x.Text, "http") {
		t.Errorf("%q does not say what was asked and that HTML came", x.Text)
	}
}

func noData(t *testing.T, x state.Sample, err error) {
	t.Helper()
	if err != nil || x.Verdict != state.NoData || x.Value != 0 {
		t.Errorf("verdict %s, value %v, error %v; want no-data", x.Verdict, x.Value, err)
	}
}

func two(t *testing.T, x state.Sample, err error) {
	t.Helper()
	failed(t, x, err)
	if !strings.Contains(x.Text, "first") || !strings.Contains(x.Text, "second") {
		t.Errorf("%q does not name both series", x.Text)
	}
}

func clean(t *testing.T, x state.Sample, _ error) {
	t.Helper()
	if strings.ContainsFunc(x.Text, unicode.IsControl) {
		t.Errorf("control characters in %q", x.Text)
	}
}

// leakFree fails the test if a goroutine of mayday's own is left when everything
// it set up is down again.
func leakFree(t *testing.T) {
	t.Helper()
	before := own()
	t.Cleanup(func() {
		var after map[string]string
		for range 200 {
			after = own()
			for id := range before {
				delete(after, id)
			}
			if len(after) == 0 {
				return
			}
			time.Sleep(10 * time.Millisecond) // goroutines of a closed connection end by themselves
		}
		for _, stack := range after {
			t.Errorf("goroutine left behind:\n%s", stack)
		}
	})
}

// own gives the stacks of goroutines that run or were started by code of mayday,
// except those of tests that run or wait to.
func own() map[string]string {
	buf := make([]byte, 4<<20)
	out := map[string]string{}
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "mayday/") && !strings.Contains(g, "testing.tRunner") && !strings.Contains(g, "testing.(*T)") {
			id, _, _ := strings.Cut(g, " [")
			out[id] = g
		}
	}
	return out
}
