package journal

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mayday/state"
)

// recorded makes a journal of n notes after the declaration, closed.
func recorded(t testing.TB, n int) (*Journal, [][]byte) {
	t.Helper()
	j := newJournal(t)
	declare(t, j)
	for i := range n {
		must(t, j, remark(i))
	}
	j.Close()
	b, err := os.ReadFile(path(j))
	if err != nil {
		t.Fatal(err)
	}
	return j, bytes.SplitAfter(bytes.TrimSuffix(b, []byte("\n")), []byte("\n"))
}

func write(t testing.TB, j *Journal, lines [][]byte) {
	t.Helper()
	b := bytes.Join(lines, nil)
	if len(b) > 0 && b[len(b)-1] != '\n' {
		b = append(b, '\n')
	}
	if err := os.WriteFile(path(j), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// rehash writes a journal's lines anew from line i on, as an attacker without the key
// would after an edit.
func rehash(t testing.TB, lines [][]byte, i int) [][]byte {
	t.Helper()
	out := slices.Clone(lines[:i])
	prev := origin
	if i > 0 {
		l, _ := parseLine(bytes.TrimSpace(lines[i-1]))
		prev = l.hash
	}
	for _, b := range lines[i:] {
		l, err := parseLine(bytes.TrimSpace(b))
		if err != nil {
			t.Fatal(err)
		}
		text := string(l.head) + prevKey + prev + `"`
		prev = sum([]byte(text))
		out = append(out, []byte(text+`,"hash":"`+prev+"\"}\n"))
	}
	return out
}

func TestVerifyTellsDamageApart(t *testing.T) {
	j, good := recorded(t, 300)
	whole, err := Verify(j.Folder(), "")
	if err != nil || !whole.OK() || whole.Signed != 256 || whole.Events != 302 {
		t.Fatalf("%+v %v", whole, err)
	}
	clone := func() [][]byte { return slices.Clone(good) }
	edit := func(l [][]byte, i int) { l[i] = bytes.Replace(l[i], []byte(`"text":"note`), []byte(`"text":"nope`), 1) }
	for _, c := range []struct {
		name   string
		change func() [][]byte
		head   string
		want   []Kind
		line   int
		signed uint64
	}{
		{"untouched", clone, whole.Short(), nil, 0, 256},
		{"an early head", clone, headOf(t, good[9]), nil, 0, 256},
		{"one word edited", func() [][]byte { l := clone(); edit(l, 99); return l }, "", []Kind{Edited}, 100, 0},
		{"edited after the checkpoint", func() [][]byte { l := clone(); edit(l, 290); return l }, "", []Kind{Edited}, 291, 256},
		{"not a line", func() [][]byte { l := clone(); l[99] = []byte("garbage\n"); return l }, "", []Kind{Edited}, 100, 0},
		{"edited and hashed anew", func() [][]byte { l := clone(); edit(l, 99); return rehash(t, l, 99) }, "", []Kind{Edited}, 257, 0},
		{"edited, one hash corrected", func() [][]byte {
			l := clone()
			edit(l, 99)
			return append(rehash(t, l[:100], 99), l[100:]...)
		}, "", []Kind{Edited}, 100, 0},
		{"edited late and hashed anew, no head", func() [][]byte { l := clone(); edit(l, 290); return rehash(t, l, 290) }, "", nil, 0, 256},
		{"edited late and hashed anew", func() [][]byte { l := clone(); edit(l, 290); return rehash(t, l, 290) }, whole.Short(), []Kind{Truncated}, 0, 256},
		{"two lines swapped", func() [][]byte { l := clone(); l[49], l[50] = l[50], l[49]; return l }, "", []Kind{Reordered, Reordered, Reordered}, 50, 0},
		{"a line twice", func() [][]byte { return slices.Insert(clone(), 51, good[50]) }, "", []Kind{Reordered}, 52, 0},
		{"a line removed", func() [][]byte { return slices.Delete(clone(), 50, 51) }, "", []Kind{Removed}, 51, 0},
		{"the end removed, no head", func() [][]byte { return clone()[:290] }, "", nil, 0, 256},
		{"the end removed", func() [][]byte { return clone()[:290] }, whole.Short(), []Kind{Truncated}, 0, 256},
		{"all removed", func() [][]byte { return nil }, whole.Short(), []Kind{Truncated}, 0, 0},
		{"the checkpoint removed", func() [][]byte {
			l := slices.Delete(clone(), 256, 257)
			for i := 256; i < len(l); i++ { // numbered anew
				l[i] = bytes.Replace(l[i], []byte(`{"seq":`+itoa(i+2)), []byte(`{"seq":`+itoa(i+1)), 1)
			}
			return rehash(t, l, 256)
		}, "", []Kind{MissingCheckpoint}, 257, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(t, j, c.change())
			rep, err := Verify(j.Folder(), c.head)
			if err != nil {
				t.Fatal(err)
			}
			var kinds []Kind
			for _, f := range rep.Findings {
				kinds = append(kinds, f.Kind)
			}
			if !slices.Equal(kinds, c.want) || len(kinds) > 0 && rep.Findings[0].Line != c.line || rep.Signed != c.signed {
				t.Fatalf("signed to %d, found %v", rep.Signed, rep.Findings)
			}
			if c.head != "" && (rep.HeadAt != 0) != rep.OK() {
				t.Errorf("head at %d", rep.HeadAt)
			}
		})
	}
}

func headOf(t testing.TB, b []byte) string {
	l, err := parseLine(bytes.TrimSpace(b))
	if err != nil {
		t.Fatal(err)
	}
	return shortHash(l.hash)
}

func itoa(n int) string {
	return string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})
}

func TestVerifyNeedsARealHead(t *testing.T) {
	j, _ := recorded(t, 3)
	if _, err := Verify(j.Folder(), "abc"); err == nil {
		t.Error("three letters prove nothing")
	}
}

func TestForgedCheckpoint(t *testing.T) {
	j := newJournal(t)
	declare(t, j)
	must(t, j, remark(1))
	other := newJournal(t)
	c, err := other.keys.checkpoint(2, j.head)
	if err != nil {
		t.Fatal(err)
	}
	must(t, j, c)
	rep, err := Verify(j.Folder(), "")
	if err != nil || rep.OK() || rep.Findings[0].Kind != Edited || rep.Findings[0].Line != 3 || rep.Signed != 0 {
		t.Fatalf("%+v %v", rep, err)
	}
}

func TestCheckpointOnDemand(t *testing.T) {
	j := newJournal(t)
	if events, err := j.Checkpoint(t0); err != nil || events != nil {
		t.Fatalf("signed nothing: %v %v", events, err)
	}
	declare(t, j)
	must(t, j, remark(1))
	events, err := j.Checkpoint(t0)
	if err != nil || len(events) != 1 || events[0].Seq != 3 || j.Signed() != 2 {
		t.Fatalf("%v %v, signed to %d", events, err, j.Signed())
	}
	if again, err := j.Checkpoint(t0); err != nil || again != nil {
		t.Fatalf("signed a signature: %v %v", again, err)
	}
	if rep, err := Verify(j.Folder(), ""); err != nil || !rep.OK() || rep.Signed != 2 {
		t.Fatalf("%+v %v", rep, err)
	}
}

func TestCheckpointsInsideOneBatch(t *testing.T) {
	j := newJournal(t)
	declare(t, j)
	facts := make([]state.Fact, 700)
	for i := range facts {
		facts[i] = remark(i)
	}
	events := must(t, j, facts...)
	in := new(state.Incident)
	all, _, _ := Read(j.Folder())
	for _, e := range all {
		if err := in.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	if len(events) != 702 || len(all) != 703 {
		t.Fatalf("%d of %d", len(events), len(all))
	}
	if rep, err := Verify(j.Folder(), ""); err != nil || !rep.OK() || rep.Signed != 512 {
		t.Fatalf("%+v %v", rep, err)
	}
	j.Close()
	again, _, err := Open(j.Folder())
	if err != nil || again.Signed() != 512 {
		t.Fatalf("%v", err)
	}
	again.Close()
}

func TestLostKeyDoesNotStopTheIncident(t *testing.T) {
	j := newJournal(t)
	declare(t, j)
	j.Close()
	os.Remove(filepath.Join(j.Folder(), keyFile))
	again, _, err := Open(j.Folder())
	if err != nil || len(again.Notes()) != 1 || !strings.Contains(again.Notes()[0], "without signatures") {
		t.Fatalf("%v", err)
	}
	defer again.Close()
	for i := range 300 {
		must(t, again, remark(i))
	}
	if rep, _ := Verify(j.Folder(), ""); len(rep.Findings) != 1 || rep.Findings[0].Kind != MissingCheckpoint {
		t.Fatalf("%+v", rep)
	}
}

func TestFollow(t *testing.T) {
	j := newJournal(t)
	declare(t, j)
	must(t, j, remark(1))
	ctx, cancel := context.WithCancel(t.Context())
	got, done := make(chan state.Event, 10), make(chan error, 1)
	go func() {
		done <- Follow(ctx, j.Folder(), 2, func(e state.Event) error { got <- e; return nil })
	}()
	if e := <-got; e.Seq != 2 {
		t.Fatalf("%+v", e)
	}
	must(t, j, remark(2), remark(3))
	if a, b := <-got, <-got; a.Seq != 3 || b.Seq != 4 {
		t.Fatalf("%d %d", a.Seq, b.Seq)
	}
	f, _ := os.OpenFile(path(j), os.O_APPEND|os.O_WRONLY, 0)
	f.WriteString(`{"seq":5,"half`)
	f.Close()
	os.Truncate(path(j), j.size)
	must(t, j, remark(4))
	if e := <-got; e.Seq != 5 {
		t.Fatalf("%+v", e)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func TestFollowSaysWhenLinesAreTakenBack(t *testing.T) {
	j := newJournal(t)
	must(t, j, remark(1), remark(2))
	var d *Damage
	err := Follow(t.Context(), j.Folder(), 1, func(e state.Event) error {
		if e.Seq == 2 {
			return os.Truncate(path(j), 10)
		}
		return nil
	})
	if !errors.As(err, &d) || d.Kind != Truncated {
		t.Fatalf("got %v", err)
	}
	stop := errors.New("stop")
	j2 := newJournal(t)
	must(t, j2, remark(1))
	if err := Follow(t.Context(), j2.Folder(), 1, func(state.Event) error { return stop }); !errors.Is(err, stop) {
		t.Fatalf("got %v", err)
	}
}

func FuzzLine(f *testing.F) {
	b, _, err := appendLine(nil, state.Event{Seq: 1, Time: t0, Actor: alice, Fact: remark(1)}, origin)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bytes.TrimSpace(b))
	f.Add([]byte(`{"seq":1}`))
	f.Add([]byte(`{` + prevKey + origin + hashKey + origin + lineEnd))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := chain{path: "x"}
		e, err := c.next(1, b)
		var d *Damage
		if err != nil {
			if !errors.As(err, &d) || d.Line != 1 {
				t.Fatalf("%v", err)
			}
			return
		}
		// What was taken must be what the writer would have written, up to spelling.
		if e.Seq != 1 || e.Fact == nil || !bytes.HasSuffix(b, []byte(c.head+lineEnd)) {
			t.Fatalf("%q was taken as %+v", b, e)
		}
		if bytes.Contains(b, []byte("\n")) {
			return // white space between tokens: one line here, several in a file
		}
		if _, err := each("x", bytes.NewReader(append(b, '\n')), func(state.Event, string) error { return nil }); err != nil {
			t.Fatalf("alone it is good, in a file not: %v", err)
		}
	})
}

// TestVerifyBesideAWriter: a line that is being written is no torn tail; one that stays as
// it is, is.
func TestVerifyBesideAWriter(t *testing.T) {
	j, lines := recorded(t, 3)
	whole := bytes.Join(lines, nil)
	whole = append(bytes.TrimSuffix(whole, []byte("\n")), '\n')
	put := func(b []byte) {
		t.Helper()
		if err := os.WriteFile(path(j), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(whole[:len(whole)-20])
	waits := 0
	rep, err := verify(j.Folder(), "", func() { waits++; put(whole) })
	if err != nil || !rep.OK() || waits != 1 || rep.Events != uint64(len(lines)) {
		t.Errorf("beside a writer: %+v after %d waits, %v", rep, waits, err)
	}
	put(whole[:len(whole)-20])
	rep, err = verify(j.Folder(), "", func() { waits++ })
	if err != nil || rep.OK() || waits != 2 || rep.Torn == 0 {
		t.Errorf("after one that died: %+v after %d waits, %v", rep, waits, err)
	}
	put(whole[:len(whole)-20])
	waits = 0
	rep, err = verify(j.Folder(), "", func() { waits++; put(whole[:len(whole)-20+waits]) })
	if err != nil || rep.OK() || waits != looks-1 {
		t.Errorf("beside one that never ends its line: %+v after %d waits, %v", rep, waits, err)
	}
}
