package replay_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/journal"
	"mayday/state/replay"
)

var t0 = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)

func at(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }

// script is a believable incident: facts with their times in milliseconds.
func script() (facts []state.Fact, times []int) {
	ms := 0
	add := func(f state.Fact, after int) {
		ms += after
		facts, times = append(facts, f), append(times, ms)
	}
	item := state.Item{ID: "10.deploy", Kind: state.Action, Title: "Production deployment"}
	add(state.Declared{ID: "INC-1", Title: "down", Severity: 1, Policy: state.DefaultPolicy(1),
		Steps: []state.Step{{No: 10, Title: "Deploy", Items: []state.Item{item}}}, Probes: []state.Probe{{Name: "a"}, {Name: "b"}}}, 0)
	add(state.KeeperStarted{}, 5)
	for n := range 40 {
		id := fmt.Sprintf("r%d", n)
		add(state.RolloutLaid{Item: item.ID, Plan: state.Plan{ID: id, Version: "v2", Environment: "production", Stages: []state.Stage{{Name: "one"}, {Name: "two"}}}}, 300)
		add(state.ItemStarted{Item: item.ID, Run: "run-" + id}, 40)
		add(state.RolloutStarted{Rollout: id, Item: item.ID}, 0) // the same instant
		for i := range 2 {
			add(state.StageStarted{Rollout: id, Stage: i}, 1)
			for k := range 4 {
				add(state.GateDecided{Rollout: id, Stage: i, State: state.GateHolding, Reasons: []string{fmt.Sprint(k)}}, 700)
			}
			add(state.StagePassed{Rollout: id, Stage: i}, 100)
		}
		add(state.RolloutFinished{Rollout: id, Outcome: state.RolloutDone}, 10)
		add(state.ItemFinished{Item: item.ID, Run: "run-" + id, Outcome: state.ItemDone}, 0)
		add(state.NoteAdded{Text: id}, -50) // a clock that was set back
	}
	add(state.IncidentResolved{RootCause: "nil"}, 1000)
	return facts, times
}

// record writes an incident as a keeper does, and gives the frames that a client of
// it would have received, each with the time it came.
func record(t testing.TB) (folder string, events []state.Event, samples []state.Sample) {
	t.Helper()
	folder = filepath.Join(t.TempDir(), "INC-1")
	j, err := journal.Create(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	facts, times := script()
	for i, f := range facts {
		more, err := j.Append(at(times[i]), state.Actor{User: "alice"}, 0, f)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, more...)
	}
	w, err := journal.NewSampleWriter(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for ms := 0; ms < times[len(times)-1]; ms += 500 {
		for i, p := range []string{"a", "b", "c"} {
			if p == "c" && ms < 60_000 {
				continue
			}
			samples = append(samples, state.Sample{Probe: p, At: at(ms), Got: at(ms + 7*i), Value: float64(ms), Verdict: state.OK})
		}
	}
	if _, err := w.Add(samples...); err != nil {
		t.Fatal(err)
	}
	out, err := journal.OutputFile(folder, "run-r3")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(out, "one\ntwo \x1b[31mred\x1b[0m\n")
	out.Close()
	return folder, events, samples
}

// live folds what a client had received when event n came and t had passed.
func live(t testing.TB, events []state.Event, samples []state.Sample, n int, now time.Time) *state.Scene {
	t.Helper()
	s := state.NewScene()
	for i := range events[:n] {
		if err := s.Fold(state.Frame{Event: &events[i]}); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range samples {
		if !x.Got.After(now) {
			s.Fold(state.Frame{Samples: []state.Sample{x}})
		}
	}
	return s
}

func same(t testing.TB, got, want *state.Scene) {
	t.Helper()
	if g, w := dump(t, got.Incident), dump(t, want.Incident); g != w {
		t.Fatalf("incidents differ at event %d:\n%s\n%s", want.Incident.Seq, g, w)
	}
	if !reflect.DeepEqual(got.Incident, want.Incident) {
		t.Fatalf("incidents differ at event %d", want.Incident.Seq)
	}
	if len(got.Events) != len(want.Events) || len(got.Events) > 0 && !reflect.DeepEqual(got.Events[len(got.Events)-1], want.Events[len(want.Events)-1]) {
		t.Fatalf("%d events, want %d", len(got.Events), len(want.Events))
	}
	if len(got.Series) != len(want.Series) {
		t.Fatalf("%d series, want %d", len(got.Series), len(want.Series))
	}
	for p, w := range want.Series {
		g := got.Series[p]
		if g.Len() != w.Len() {
			t.Fatalf("%s: %d readings, want %d", p, g.Len(), w.Len())
		}
		for i := range w.Len() {
			if !reflect.DeepEqual(g.At(i), w.At(i)) {
				t.Fatalf("%s reading %d: %+v, want %+v", p, i, g.At(i), w.At(i))
			}
		}
	}
}

func dump(t testing.TB, in *state.Incident) string {
	t.Helper()
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func open(t testing.TB, folder string) *replay.Film {
	t.Helper()
	f, err := replay.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// filmTimes are the events' times as the film's clock has them: never falling.
func filmTimes(events []state.Event) []time.Time {
	var out []time.Time
	last := time.Time{}
	for _, e := range events {
		if e.Time.After(last) {
			last = e.Time
		}
		out = append(out, last)
	}
	return out
}

func TestEveryCursorShowsWhatWasLive(t *testing.T) {
	folder, events, samples := record(t)
	f := open(t, folder)
	times := filmTimes(events)
	check := func(n int, now time.Time) {
		t.Helper()
		if f.Seq() != uint64(n) || !f.Now().Equal(now) {
			t.Fatalf("cursor at %d %v, want %d %v", f.Seq(), f.Now(), n, now)
		}
		same(t, f.Scene(), live(t, events, samples, n, now))
	}
	f.SeekEvent(1)
	for n := 1; n <= len(events); n += 7 { // forwards
		f.SeekEvent(uint64(n))
		check(n, times[n-1])
	}
	for n := len(events); n >= 1; n -= 11 { // backwards
		f.SeekEvent(uint64(n))
		check(n, times[n-1])
	}
	r := rand.New(rand.NewPCG(7, 8))
	from, to := f.Bounds()
	for range 60 { // anywhere, by event, by step and by time
		switch r.IntN(3) {
		case 0:
			n := 1 + r.IntN(len(events))
			f.SeekEvent(uint64(n))
			check(n, times[n-1])
		case 1:
			n := min(max(int(f.Seq())+r.IntN(5)-2, 1), len(events))
			f.Step(n - int(f.Seq()))
			check(n, times[n-1])
		case 2:
			now := from.Add(time.Duration(r.Int64N(int64(to.Sub(from)))))
			f.Seek(now)
			n := 0
			for n < len(times) && !times[n].After(now) {
				n++
			}
			check(n, now)
		}
	}
}

func TestVersionRisesWithEachMove(t *testing.T) {
	folder, _, _ := record(t)
	f := open(t, folder)
	last := f.Scene().Version
	for _, n := range []uint64{5, 6, 2, 400, 399, 1} {
		f.SeekEvent(n)
		if v := f.Scene().Version; v <= last {
			t.Fatalf("at event %d version %d after %d", n, v, last)
		}
		last = f.Scene().Version
	}
}

func TestEndsAndMarks(t *testing.T) {
	folder, events, _ := record(t)
	f := open(t, folder)
	from, to := f.Bounds()
	if !from.Equal(t0) || f.Events() != uint64(len(events)) || f.Seq() != 1 {
		t.Fatalf("%v %d %d", from, f.Events(), f.Seq())
	}
	f.Seek(to.Add(time.Hour))
	if f.Seq() != uint64(len(events)) || !f.Now().Equal(to) {
		t.Errorf("beyond the end: %d %v", f.Seq(), f.Now())
	}
	if f.NextMark() {
		t.Error("a mark after the end")
	}
	f.Seek(from.Add(-time.Hour))
	f.SeekEvent(0)
	f.Step(-5)
	if f.Seq() != 1 || f.PrevMark() {
		t.Errorf("before the start: %d", f.Seq())
	}
	var marks []uint64
	for _, e := range f.Marks() {
		marks = append(marks, e.Seq)
	}
	var forth []uint64
	for f.NextMark() {
		forth = append(forth, f.Seq())
	}
	if !reflect.DeepEqual(marks[1:], forth) || len(marks) < 100 {
		t.Fatalf("%d marks, %d passed", len(marks), len(forth))
	}
	for i := len(marks) - 2; i >= 0; i-- {
		if !f.PrevMark() || f.Seq() != marks[i] {
			t.Fatalf("back at %d, want %d", f.Seq(), marks[i])
		}
	}
}

func TestJournalStateAndOutput(t *testing.T) {
	folder, events, _ := record(t)
	f := open(t, folder)
	if s := f.Scene(); s.Journal.Signed != 0 || len(s.Journal.Head) != journal.ShortHash || s.Hello.Incident != "INC-1" || s.Hello.Folder != folder {
		t.Errorf("%+v %+v", s.Journal, s.Hello)
	}
	f.SeekEvent(uint64(len(events)))
	if s := f.Scene(); s.Journal.Signed != 512 || s.Journal.Head != f.Report().Short() {
		t.Errorf("%+v", s.Journal)
	}
	if got := f.Scene().Output["run-r3"]; !reflect.DeepEqual(got, []string{"one", "two red"}) {
		t.Errorf("%q", got)
	}
	for i, e := range events {
		if it, ok := e.Fact.(state.ItemFinished); ok && it.Run == "run-r3" {
			f.SeekEvent(uint64(i))
			if len(f.Scene().Output) != 0 {
				t.Error("output before its run ended")
			}
			f.Step(1)
			if f.Scene().Run != "run-r3" {
				t.Error("no output when its run ended")
			}
		}
	}
}

func TestDamagedAndEmptyJournals(t *testing.T) {
	folder, _, _ := record(t)
	name := filepath.Join(folder, journal.FileName)
	b, _ := os.ReadFile(name)
	lines := strings.SplitAfter(string(b), "\n")
	lines[99] = strings.Replace(lines[99], `"user":"alice"`, `"user":"mallo"`, 1)
	os.WriteFile(name, []byte(strings.Join(lines, "")), 0o600)
	f, err := replay.Open(folder)
	var d *journal.Damage
	if !errors.As(err, &d) || d.Line != 100 || f == nil || f.Events() != 99 {
		t.Fatalf("%v", err)
	}
	os.WriteFile(name, nil, 0o600)
	if f, err := replay.Open(folder); f != nil || !state.HasCode(err, "empty") {
		t.Fatalf("%v", err)
	}
	if _, err := replay.Open(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%v", err)
	}
}

// BenchmarkSeek jumps about in 100,000 events and as many samples.
func BenchmarkSeek(b *testing.B) {
	folder := filepath.Join(b.TempDir(), "INC-1")
	j, err := journal.Create(folder)
	if err != nil {
		b.Fatal(err)
	}
	facts, _ := script()
	for n := 0; n < 100_000; n += len(facts) {
		if n > 0 {
			facts[0] = state.NoteAdded{Text: "again"}
		}
		if _, err := j.Append(at(n*100), state.Actor{User: "alice"}, 0, facts...); err != nil {
			b.Fatal(err)
		}
	}
	j.Close()
	w, err := journal.NewSampleWriter(folder)
	if err != nil {
		b.Fatal(err)
	}
	for i := range 100_000 {
		if _, err := w.Add(state.Sample{Probe: fmt.Sprint(i % 20), Got: at(i * 100), At: at(i * 100), Verdict: state.OK}); err != nil {
			b.Fatal(err)
		}
		if i%1000 == 0 { // as the owner does each second
			if err := w.Flush(); err != nil {
				b.Fatal(err)
			}
		}
	}
	w.Close()
	f := open(b, folder)
	r := rand.New(rand.NewPCG(1, 1))
	for b.Loop() {
		f.SeekEvent(1 + r.Uint64N(f.Events()))
	}
}
