package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mayday/state"
)

var (
	t0    = time.Date(2026, 11, 22, 3, 14, 15, 926535000, time.UTC)
	alice = state.Actor{User: "alice", Host: "bastion-1", PID: 4711, Via: "cockpit"}
)

func remark(i int) state.Fact { return state.NoteAdded{Text: fmt.Sprintf("note %d <&> \u2028", i)} }

func newJournal(t testing.TB) *Journal { return createOn(t, OS) }

func createOn(t testing.TB, fsys FS) *Journal {
	t.Helper()
	j, err := CreateOn(fsys, filepath.Join(t.TempDir(), "incidents", "INC-20261122-01"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func must(t testing.TB, j *Journal, facts ...state.Fact) []state.Event {
	t.Helper()
	events, err := j.Append(t0, alice, 0, facts...)
	if err != nil {
		t.Fatal(err)
	}
	return events
}

func declare(t testing.TB, j *Journal) {
	must(t, j, state.Declared{ID: "INC-20261122-01", Title: "down", PublicKey: j.PublicKey()})
}

func path(j *Journal) string { return filepath.Join(j.Folder(), FileName) }

func TestAppendedEventsComeBack(t *testing.T) {
	j := newJournal(t)
	declare(t, j)
	want := must(t, j, remark(1), remark(2))
	if want[0].Seq != 2 || want[1].Seq != 3 {
		t.Fatalf("seqs %d, %d", want[0].Seq, want[1].Seq)
	}
	got, rep, err := Read(j.Folder())
	if err != nil || len(got) != 3 || !reflect.DeepEqual(got[1:], want) {
		t.Fatalf("%v\n%+v\n%+v", err, got, want)
	}
	seq, head := j.Head()
	if rep.Events != seq || rep.Short() != head || len(head) != ShortHash || rep.PublicKey != j.PublicKey() {
		t.Fatalf("%+v, head %d %s", rep, seq, head)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	again, events, err := Open(j.Folder())
	if err != nil || !reflect.DeepEqual(events, got) || len(again.Notes()) != 0 {
		t.Fatalf("%v %v", err, again.Notes())
	}
	defer again.Close()
	if more := must(t, again, remark(3)); more[0].Seq != 4 {
		t.Fatalf("%+v", more)
	}
}

func TestLinesAreAsDocumented(t *testing.T) {
	j := newJournal(t)
	must(t, j, state.NoteAdded{Text: "a < b"})
	b, _ := os.ReadFile(path(j))
	line := strings.TrimSuffix(string(b), "\n")
	start := `{"seq":1,"time":"2026-11-22T03:14:15.926535Z","actor":{"user":"alice","host":"bastion-1","pid":4711,"via":"cockpit"},"type":"note","data":{"text":"a < b"},"prev":"` +
		strings.Repeat("0", 64) + `"`
	if want := start + `,"hash":"` + sum([]byte(start)) + `"}`; line != want {
		t.Errorf("got  %s\nwant %s", line, want)
	}
	if !json.Valid([]byte(line)) {
		t.Error("not JSON")
	}
	out, err := exec.Command("sh", "-c", `tail -n 1 "$0" | sed 's/,"hash":"[0-9a-f]*"}$//' | tr -d '\n' | sha256sum`, path(j)).Output()
	if err == nil && !strings.Contains(line, strings.Fields(string(out))[0]) {
		t.Error("the documented command gives another hash")
	}
}

func TestFilesArePrivate(t *testing.T) {
	j := newJournal(t)
	declare(t, j)
	w, err := NewSampleWriter(j.Folder())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	o, err := OutputFile(j.Folder(), "7.tag-1")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	n := 0
	filepath.WalkDir(j.Folder(), func(p string, d fs.DirEntry, err error) error {
		st, _ := d.Info()
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if st.Mode().Perm() != want {
			t.Errorf("%s is %v", p, st.Mode())
		}
		n++
		return err
	})
	if n < 10 {
		t.Errorf("only %d files", n)
	}
}

func TestExpectedSequence(t *testing.T) {
	j := newJournal(t)
	must(t, j, remark(1))
	if _, err := j.Append(t0, alice, 7, remark(2)); !errors.Is(err, ErrConflict) {
		t.Fatalf("got %v", err)
	}
	if events, err := j.Append(t0, alice, 1, remark(2)); err != nil || events[0].Seq != 2 {
		t.Fatalf("%v %v", events, err)
	}
}

func TestConcurrentAppendsHaveNoGaps(t *testing.T) {
	j := newJournal(t)
	declare(t, j)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 10 {
				if _, err := j.Append(t0, alice, 0, remark(i*10+k)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if _, rep, err := Read(j.Folder()); err != nil || rep.Events != 81 {
		t.Fatalf("%+v %v", rep, err)
	}
}

func TestInfiniteReadingsAreJournaled(t *testing.T) {
	j := newJournal(t)
	want := must(t, j, state.ProbeJudged{Sample: state.Sample{Probe: "p", At: t0, Got: t0, Value: math.Inf(1), Verdict: state.Crit}})
	got, _, err := Read(j.Folder())
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v %+v", err, got)
	}
}

func TestTooBigAnEventIsRefused(t *testing.T) {
	j := newJournal(t)
	_, err := j.Append(t0, alice, 0, remark(1), state.NoteAdded{Text: strings.Repeat("x", MaxLine)})
	if !state.HasCode(err, "too-big") {
		t.Fatalf("got %v", err)
	}
	if seq, _ := j.Head(); seq != 0 {
		t.Fatal("half a batch was appended")
	}
	must(t, j, state.NoteAdded{Text: strings.Repeat("y", MaxLine/2)}, remark(2))
	if _, rep, err := Read(j.Folder()); err != nil || rep.Events != 2 {
		t.Fatalf("%+v %v", rep, err)
	}
}

func TestCreateTwice(t *testing.T) {
	j := newJournal(t)
	if _, err := Create(j.Folder()); !errors.Is(err, ErrKept) {
		t.Errorf("while it is kept: %v", err)
	}
	j.Close()
	if _, err := Create(j.Folder()); !errors.Is(err, fs.ErrExist) {
		t.Errorf("later: %v", err)
	}
	for _, id := range []string{".x", "a b", "ä", strings.Repeat("x", 65)} {
		if _, err := Create(filepath.Join(t.TempDir(), id)); err == nil {
			t.Errorf("%q names an incident", id)
		}
	}
}

func TestOpenWhatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := Open(filepath.Join(dir, "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, _, err := Open(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Error("looking left a file")
	}
}

func TestFailingDisk(t *testing.T) {
	for name, arm := range map[string]func(*faulty){
		"full at once":        func(f *faulty) { f.short, f.write = 0, syscall.ENOSPC },
		"full in mid-line":    func(f *faulty) { f.short, f.write = 40, syscall.ENOSPC },
		"full after one line": func(f *faulty) { f.short, f.write = 420, syscall.ENOSPC },
		"written, no answer":  func(f *faulty) { f.short, f.write = 1<<20, syscall.EIO },
		"sync":                func(f *faulty) { f.sync = syscall.EIO },
		"write and truncate":  func(f *faulty) { f.short, f.write, f.cutting = 40, syscall.ENOSPC, syscall.EIO },
		"sync and truncate":   func(f *faulty) { f.sync, f.cutting = syscall.EIO, syscall.EIO },
	} {
		t.Run(name, func(t *testing.T) {
			f := &faulty{}
			j := createOn(t, f)
			declare(t, j)
			must(t, j, remark(1))
			good, _ := os.ReadFile(path(j))
			f.set(func() { arm(f) })
			events, err := j.Append(t0, alice, 0, remark(2), remark(3))
			var p *state.Problem
			if err == nil || events != nil || !errors.As(err, &p) {
				t.Fatalf("appended to a failing disk: %v %v", events, err)
			}
			if seq, _ := j.Head(); seq != 2 {
				t.Fatalf("head %d", seq)
			}
			stuck := f.cutting != nil
			if b, _ := os.ReadFile(path(j)); !stuck && !bytes.Equal(b, good) {
				t.Fatalf("something stayed behind: %q", b[len(good):])
			}
			if stuck {
				if _, err := j.Append(t0, alice, 0, remark(4)); err == nil {
					t.Fatal("appended behind what could not be taken back")
				}
				f.set(func() { f.cutting = nil })
			}
			if more := must(t, j, remark(5)); more[0].Seq != 3 {
				t.Fatalf("%+v", more)
			}
			if rep, err := Verify(j.Folder(), ""); err != nil || !rep.OK() || rep.Events != 3 {
				t.Fatalf("%+v %v", rep, err)
			}
		})
	}
}

func TestDiskFailsForGood(t *testing.T) {
	f := &faulty{}
	j := createOn(t, f)
	must(t, j, remark(1))
	f.set(func() { f.sync, f.opening = syscall.EIO, syscall.EROFS })
	for range 3 {
		_, err := j.Append(t0, alice, 0, remark(2))
		if err == nil {
			t.Fatal("appended")
		}
	}
	_, err := j.Append(t0, alice, 0, remark(2))
	if !state.HasCode(err, "read-only") || !errors.Is(err, syscall.EROFS) {
		t.Fatalf("got %v", err)
	}
	f.set(func() { f.opening = nil })
	must(t, j, remark(2))
	if _, rep, err := Read(j.Folder()); err != nil || rep.Events != 2 {
		t.Fatalf("%+v %v", rep, err)
	}
}

// TestDiskLosesWhatItConfirmed is the failed sync whose pages the kernel dropped.
func TestDiskLosesWhatItConfirmed(t *testing.T) {
	for name, lose := range map[string]func(p string, b []byte) error{
		"shorter": func(p string, b []byte) error { return os.Truncate(p, int64(len(b)-10)) },
		"zeros": func(p string, b []byte) error {
			clear(b[len(b)-50 : len(b)-1])
			return os.WriteFile(p, b, 0o600)
		},
		"gone": func(p string, _ []byte) error { return os.Remove(p) },
	} {
		t.Run(name, func(t *testing.T) {
			f := &faulty{}
			j := createOn(t, f)
			must(t, j, remark(1), remark(2))
			b, _ := os.ReadFile(path(j))
			f.set(func() { f.sync = syscall.EIO })
			if _, err := j.Append(t0, alice, 0, remark(3)); err == nil {
				t.Fatal("appended")
			}
			if err := lose(path(j), b); err != nil {
				t.Fatal(err)
			}
			if _, err := j.Append(t0, alice, 0, remark(4)); !errors.Is(err, errLost) {
				t.Fatalf("got %v", err)
			}
		})
	}
}

func TestReadOnlyHome(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	dir := t.TempDir()
	os.Chmod(dir, 0o500)
	if _, err := Create(filepath.Join(dir, "INC-1")); !state.HasCode(err, "read-only") {
		t.Fatalf("got %v", err)
	}
}

// TestTornAtEveryByte cuts a journal at every byte of its last line: each whole line
// is kept, what is torn is copied and cut off, and writing goes on.
func TestTornAtEveryByte(t *testing.T) {
	j := newJournal(t)
	declare(t, j)
	must(t, j, remark(1), remark(2))
	j.Close()
	whole, _ := os.ReadFile(path(j))
	ends := []int{}
	for i, c := range whole {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	for cut := ends[1]; cut <= len(whole); cut++ {
		if err := os.WriteFile(path(j), whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		events := 0
		for _, e := range ends {
			if e <= cut {
				events++
			}
		}
		torn := cut - ends[events-1]
		got, rep, err := Read(j.Folder())
		if err != nil || len(got) != events || rep.Torn != torn {
			t.Fatalf("cut at %d: %d events, %+v, %v", cut, len(got), rep, err)
		}
		v, err := Verify(j.Folder(), "")
		if err != nil || v.OK() != (torn == 0) || torn > 0 && v.Findings[0].Kind != TornTail {
			t.Fatalf("cut at %d: %+v %v", cut, v, err)
		}
		w, back, err := OpenOn(unsynced{}, j.Folder())
		if err != nil || len(back) != events || (len(w.Notes()) == 1) != (torn > 0) {
			t.Fatalf("cut at %d: %v %v", cut, err, w.Notes())
		}
		if torn > 0 {
			kept, err := os.ReadFile(path(j) + ".torn-1")
			if err != nil || !bytes.Equal(kept, whole[ends[events-1]:cut]) {
				t.Fatalf("cut at %d: the copy is %q, %v", cut, kept, err)
			}
			os.Remove(path(j) + ".torn-1")
		}
		must(t, w, remark(9))
		w.Close()
		if v, _ := Verify(j.Folder(), ""); !v.OK() || v.Events != uint64(events+1) {
			t.Fatalf("cut at %d: %+v", cut, v)
		}
	}
}

func TestTornCopiesAreNeverOverwritten(t *testing.T) {
	j := newJournal(t)
	must(t, j, remark(1))
	j.Close()
	for i := 1; i <= 3; i++ {
		f, _ := os.OpenFile(path(j), os.O_APPEND|os.O_WRONLY, 0)
		fmt.Fprintf(f, "torn %d", i)
		f.Close()
		w, _, err := Open(j.Folder())
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	for i := 1; i <= 3; i++ {
		if b, _ := os.ReadFile(fmt.Sprintf("%s.torn-%d", path(j), i)); string(b) != fmt.Sprintf("torn %d", i) {
			t.Errorf("copy %d is %q", i, b)
		}
	}
}

func TestDamageIsRefusedWithItsLine(t *testing.T) {
	j := newJournal(t)
	declare(t, j)
	must(t, j, remark(1), remark(2), remark(3))
	j.Close()
	b, _ := os.ReadFile(path(j))
	bad := bytes.Replace(b, []byte("note 2"), []byte("note X"), 1)
	os.WriteFile(path(j), bad, 0o600)
	events, rep, err := Read(j.Folder())
	var d *Damage
	if !errors.As(err, &d) || d.Line != 3 || d.Kind != Edited || len(events) != 2 || rep.Events != 2 {
		t.Fatalf("%v, %d events, %+v", err, len(events), rep)
	}
	if !strings.Contains(err.Error(), FileName+":3:") || !state.HasCode(err, "journal-damaged") {
		t.Errorf("%v", err)
	}
	if _, _, err := Open(j.Folder()); !errors.As(err, &d) || d.Line != 3 {
		t.Fatalf("the writer opens it: %v", err)
	}
	if now, _ := os.ReadFile(path(j)); !bytes.Equal(now, bad) {
		t.Error("the writer changed a damaged journal")
	}
	// The lock must have been given back.
	l, err := Acquire(j.Folder())
	if err != nil {
		t.Fatal(err)
	}
	l.Release()
}

func BenchmarkAppend(b *testing.B) {
	j := newJournal(b)
	declare(b, j)
	f := state.GateDecided{Rollout: "r1", Stage: 1, State: state.GateHolding, Since: t0, Reasons: []string{"error rate new 0.42 % < old 8.10 %"}}
	b.ReportAllocs()
	for b.Loop() {
		must(b, j, f)
	}
}

func BenchmarkRead(b *testing.B) {
	j := newJournal(b)
	declare(b, j)
	facts := make([]state.Fact, 1000)
	for i := range facts {
		facts[i] = remark(i)
	}
	for range 10 {
		must(b, j, facts...)
	}
	for b.Loop() {
		if _, rep, err := Read(j.Folder()); err != nil || rep.Events < 10000 {
			b.Fatal(err)
		}
	}
}

// TestAskingNeverWaitsForTheDisk is what keeps R quick while the disk hangs.
func TestAskingNeverWaitsForTheDisk(t *testing.T) {
	f := &faulty{}
	j := createOn(t, f)
	must(t, j, remark(1))
	f.mu.Lock() // the disk hangs
	done := make(chan error)
	go func() {
		_, err := j.Append(t0, alice, 0, remark(2))
		done <- err
	}()
	for j.mu.TryLock() { // until Append is in the middle
		j.mu.Unlock()
		runtime.Gosched()
	}
	if seq, hash := j.Head(); seq != 1 || hash == "" || j.Signed() != 0 {
		t.Errorf("head %d %s", seq, hash)
	}
	f.mu.Unlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if seq, _ := j.Head(); seq != 2 {
		t.Errorf("head %d", seq)
	}
}
