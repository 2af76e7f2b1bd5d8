package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mayday/state"
)

func TestHome(t *testing.T) {
	t.Setenv("HOME", "/home/x")
	for _, c := range []struct{ mayday, xdg, want string }{
		{"/m", "/x", "/m"}, {"", "/x", "/x/mayday"}, {"", "relative", "/home/x/.local/state/mayday"}, {"", "", "/home/x/.local/state/mayday"},
	} {
		t.Setenv("MAYDAY_HOME", c.mayday)
		t.Setenv("XDG_STATE_HOME", c.xdg)
		if got, err := Home(); err != nil || got != c.want {
			t.Errorf("%+v: %s %v", c, got, err)
		}
	}
	if Folder("/m", "INC-1") != "/m/incidents/INC-1" {
		t.Error("folder")
	}
}

func TestListAndNextID(t *testing.T) {
	home := t.TempDir()
	if all, err := List(filepath.Join(home, "none")); err != nil || len(all) != 0 {
		t.Fatalf("%v %v", all, err)
	}
	for i := 1; i <= 3; i++ {
		id, err := NextID(home, t0)
		if err != nil || id != fmt.Sprintf("INC-20261122-%02d", i) {
			t.Fatalf("%s %v", id, err)
		}
		j, err := Create(Folder(home, id))
		if err != nil {
			t.Fatal(err)
		}
		j.Close()
		os.Chtimes(path(j), t0, t0.Add(-time.Duration(i)*time.Hour))
	}
	os.Mkdir(Folder(home, "empty"), 0o700)
	all, err := List(home)
	if err != nil || len(all) != 3 || all[0].ID != "INC-20261122-01" || all[2].ID != "INC-20261122-03" || !all[0].ModTime.Equal(t0.Add(-time.Hour)) {
		t.Fatalf("%+v %v", all, err)
	}
}

// TestMain lets the test binary be the other process that holds the lock.
func TestMain(m *testing.M) {
	if folder := os.Getenv("HOLD_LOCK"); folder != "" {
		if _, err := Acquire(folder); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		os.Stdin.Read(make([]byte, 1)) // until the test kills us or goes away
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestLockAgainstAnotherProcess(t *testing.T) {
	j := newJournal(t)
	must(t, j, remark(1))
	j.Close()
	if _, ok := LastHolder(j.Folder()); ok {
		t.Error("the keeper left in good order and is still named")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HOLD_LOCK="+j.Folder())
	in, _ := cmd.StdinPipe()
	defer in.Close()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 5)
	if n, err := out.Read(b); err != nil || !strings.HasPrefix(string(b[:n]), "held") {
		t.Fatalf("%q %v", b[:n], err)
	}
	_, _, err := Open(j.Folder())
	var kept *KeptError
	if !errors.Is(err, ErrKept) || !errors.As(err, &kept) || kept.Holder.PID != cmd.Process.Pid {
		t.Fatalf("got %v", err)
	}
	if h, ok := LastHolder(j.Folder()); !ok || h.PID != cmd.Process.Pid {
		t.Errorf("holder %+v", h)
	}
	cmd.Process.Kill()
	cmd.Wait()
	w, events, err := Open(j.Folder())
	if err != nil || len(events) != 1 {
		t.Fatalf("after its death: %v", err)
	}
	w.Close()
}

func TestLockThenOpen(t *testing.T) {
	j := newJournal(t)
	must(t, j, remark(1))
	j.Close()
	l, err := Acquire(j.Folder())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(j.Folder()); !errors.Is(err, ErrKept) {
		t.Fatalf("taken twice: %v", err)
	}
	w, _, err := l.Open()
	if err != nil {
		t.Fatal(err)
	}
	must(t, w, remark(2))
	w.Close()
	if l, err = Acquire(j.Folder()); err != nil {
		t.Fatalf("not given back: %v", err)
	}
	l.Release()
	if l.Release() != nil {
		t.Error("twice")
	}
}

func sample(i int, v state.Verdict) state.Sample {
	return state.Sample{Probe: "p", At: t0.Add(time.Duration(i) * time.Second), Got: t0.Add(time.Duration(i) * time.Second), Value: float64(i), Verdict: v}
}

func TestSamplesComeBack(t *testing.T) {
	folder := t.TempDir()
	var want []state.Sample
	for range 2 { // two keepers
		w, err := NewSampleWriter(folder)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			x := sample(i, state.OK)
			if n, err := w.Add(x); n != "" || err != nil {
				t.Fatal(n, err)
			}
			want = append(want, x)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadSamples(folder); err != nil || len(got) != len(want) {
			t.Fatalf("after a flush %d of %d, %v", len(got), len(want), err)
		}
		w.Add(state.Sample{Probe: "q", Value: math.NaN(), Verdict: state.NoData}, state.Sample{Probe: "q", Value: 7, Verdict: state.Error, Text: "x"})
		want = append(want, state.Sample{Probe: "q", Verdict: state.NoData}, state.Sample{Probe: "q", Verdict: state.Error, Text: "x"})
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	f, _ := os.OpenFile(filepath.Join(folder, SamplesDir, "0001.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	f.WriteString(`{"probe":"torn`)
	f.Close()
	got, err := ReadSamples(folder)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d of %d, %v", len(got), len(want), err)
	}
	for i := range got {
		if !alike(got[i], want[i]) {
			t.Errorf("%d: %+v, want %+v", i, got[i], want[i])
		}
	}
	for most := range int64(1200) { // the end of it, wherever that cuts a line
		part, err := readSamples(folder, most)
		if err != nil || len(part) > len(want) || !slices.EqualFunc(part, want[len(want)-len(part):], alike) {
			t.Fatalf("the last %d bytes: %d samples, %v", most, len(part), err)
		}
	}
	if recent, _ := RecentSamples(folder); !slices.EqualFunc(recent, want, alike) {
		t.Errorf("%d recent ones of %d", len(recent), len(want))
	}
	if none, err := ReadSamples(t.TempDir()); err != nil || len(none) != 0 {
		t.Errorf("%v %v", none, err)
	}
}

func alike(a, b state.Sample) bool { return reflect.DeepEqual(a, b) }

func TestSamplesAreBounded(t *testing.T) {
	folder := t.TempDir()
	b, _ := json.Marshal(sample(1, state.OK))
	line := len(b) + 1
	w, err := newSampleWriter(folder, int64(40*line))
	if err != nil {
		t.Fatal(err)
	}
	var notices []string
	for i := range 5000 {
		v := state.OK
		if i == 25 || i == 26 {
			v = state.Crit
		}
		n, err := w.Add(sample(i, v))
		if err != nil {
			t.Fatal(err)
		}
		if n != "" {
			notices = append(notices, n)
		}
	}
	w.Close()
	got, _ := ReadSamples(folder)
	if len(notices) != 2 || !strings.Contains(notices[0], "every 30s") || !strings.Contains(notices[1], "the most") {
		t.Errorf("notices %q", notices)
	}
	kept := map[float64]bool{}
	for _, x := range got {
		kept[x.Value] = true
	}
	if !kept[25] || kept[26] || !kept[27] {
		t.Error("a thinned recording keeps each change of verdict, and only that")
	}
	st, _ := os.Stat(filepath.Join(folder, SamplesDir, "0001.jsonl"))
	if st.Size() > int64(42*line) {
		t.Errorf("%d bytes", st.Size())
	}
	// The next keeper does not begin with a fresh bound.
	w, _ = newSampleWriter(folder, int64(40*line))
	w.Add(sample(9000, state.OK))
	w.Close()
	if again, _ := ReadSamples(folder); len(again) != len(got) {
		t.Error("a full recording grew")
	}
}

func TestOutputIsBounded(t *testing.T) {
	folder := t.TempDir()
	read := func(run string) string {
		b, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(OutputPath(run))))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, c := range []struct {
		run, want string
		dropped   int64
		writes    []string
	}{
		{"short", "hello\n", 0, []string{"hel", "lo\n"}},
		{"just", "0123456789", 0, []string{"0123456789"}},
		{"over", "0123456789abcd", 0, []string{"0123456789ab", "cd"}},
		{"far", "0123456789\nmayday: 8 bytes were dropped here\nefgh", 8, []string{"0123456789XXXX", "abcd", "efgh"}},
		{"much", "0123456789\nmayday: 400 bytes were dropped here\nefgh", 400, append([]string{"0123456789"}, append(strings.Split(strings.Repeat("XX ", 200), " ")[:200], "efgh")...)},
	} {
		o, err := outputFile(folder, c.run, 10, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range c.writes {
			if n, err := o.Write([]byte(s)); n != len(s) || err != nil {
				t.Fatalf("%d %v", n, err)
			}
		}
		if o.Dropped() != c.dropped {
			t.Errorf("%s: %d dropped", c.run, o.Dropped())
		}
		if err := o.Close(); err != nil || read(c.run) != c.want {
			t.Errorf("%s: %v %q", c.run, err, read(c.run))
		}
	}
	for _, bad := range []string{"", "../x", "a/b", ".hidden"} {
		if _, err := OutputFile(folder, bad); err == nil {
			t.Errorf("%q names a run", bad)
		}
	}
}

// What is no file must not look like one to whoever keeps it as an io.WriteCloser.
func TestNoOutputIsNil(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "incident")
	if err := os.WriteFile(folder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := func() (io.WriteCloser, error) { return OutputFile(folder, "7.tag-1") }
	if out, err := open(); out != nil || err == nil {
		t.Errorf("%#v, %v", out, err)
	}
}

func TestSamplesOnADiskThatFails(t *testing.T) {
	folder := t.TempDir()
	w, err := NewSampleWriter(folder)
	if err != nil {
		t.Fatal(err)
	}
	good := w.file
	w.file, _ = os.Open(good.Name()) // cannot be written
	w.Add(sample(1, state.OK))
	if err := w.Flush(); err == nil {
		t.Fatal("written")
	}
	if _, err := w.Add(sample(2, state.OK)); err == nil {
		t.Fatal("the owner is not told")
	}
	w.file.Close()
	w.file = good
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Add(sample(3, state.OK)); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if got, _ := ReadSamples(folder); len(got) != 2 || got[0].Value != 2 {
		t.Fatalf("%+v", got)
	}
	w, _ = NewSampleWriter(folder)
	defer w.Close()
	for i := 0; ; i++ { // nobody flushes
		if _, err := w.Add(sample(i, state.OK)); err != nil {
			if len(w.pending) > maxPending+1000 {
				t.Errorf("%d bytes wait", len(w.pending))
			}
			break
		}
	}
}

// A child caught between fork and exec has a copy of the lock's descriptor.
func TestReleaseDoesNotWaitForACopy(t *testing.T) {
	folder := t.TempDir()
	l, err := Acquire(folder)
	if err != nil {
		t.Fatal(err)
	}
	copied, err := unix.Dup(int(l.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(copied)
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	next, err := Acquire(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Release(); err != nil {
		t.Fatal(err)
	}
}
