package logs

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mayday/probes"
	"mayday/probes/probetest"
	"mayday/state"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// followed asks one file again and again.
type followed struct {
	t *testing.T
	*Files
	p state.Probe
}

func follow(t *testing.T, path string) *followed {
	f := &followed{t, NewFiles(func(s string) string { return strings.ReplaceAll(s, "hunter2", "[redacted]") }),
		state.Probe{Name: "errors", Kind: KindFile, Query: path, Pattern: "ERROR|panic"}}
	t.Cleanup(f.Close)
	return f
}

func (f *followed) want(v state.Verdict, n float64, text string) {
	f.t.Helper()
	now := time.Now()
	r, err := f.Ask(f.t.Context(), f.p, now)
	if x := probes.Judge(f.p, r, err, now, now); x.Verdict != v || x.Value != n || !strings.Contains(x.Text, text) {
		f.t.Fatalf("%+v, want %s %v %q", x, v, n, text)
	}
}

func TestConformance(t *testing.T) {
	probetest.Run(t, func(t *testing.T, w probetest.World) (probetest.Subject, bool) {
		dir := t.TempDir()
		path := filepath.Join(dir, "log")
		switch w {
		case probetest.Well:
			write(t, path, "")
		case probetest.Empty: // there is no file
		case probetest.Refuses, probetest.Garbage: // what is there is no log
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		default:
			return probetest.Subject{}, false
		}
		f := follow(t, path)
		return probetest.Subject{Asker: f.Files, Probe: f.p}, true
	})
}

func TestFileIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	write(t, path, "ERROR before our time\n")
	f := follow(t, path)
	f.want(state.OK, 0, "")
	write(t, path, "ERROR one\nfine\nERROR two \x1b[31mpassword=hunter2\x1b]0;t\x07\r\n")
	f.want(state.OK, 2, "ERROR two password=[redacted]")
	f.want(state.OK, 0, "")
	write(t, path, "ERR")
	f.want(state.OK, 0, "")
	write(t, path, "OR in two writes\n")
	f.want(state.OK, 1, "ERROR in two writes")
}

// The last lines that matched come with the count: clean, without secrets, and each so
// cut that its match is in it.
func TestLinesComeWithTheCount(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	write(t, path, "")
	f := follow(t, path)
	f.want(state.OK, 0, "")
	far := strings.Repeat("é", 400)
	write(t, path, "ERROR 1\nERROR 2\nfine\nERROR 3\nERROR 4 \x1b[31mhunter2\x1b[m\n"+far+" ERROR 5 "+far+"\nERROR 6\nERROR 7\n")
	now := time.Now()
	r, err := f.Ask(t.Context(), f.p, now)
	x := probes.Judge(f.p, r, err, now, now)
	if x.Value != 7 || len(x.Lines) != state.MaxLines || x.Lines[0] != "ERROR 3" || x.Lines[1] != "ERROR 4 [redacted]" || x.Lines[4] != "ERROR 7" {
		t.Fatalf("%v lines: %q", x.Value, x.Lines)
	}
	if l := x.Lines[2]; !strings.HasPrefix(l, "…é") || !strings.Contains(l, " ERROR 5 é") || len([]rune(l)) > 240 {
		t.Errorf("a long line: %q", l)
	}
	if x := probes.Judge(f.p, probes.Reading{}, nil, now, now); x.Lines != nil {
		t.Errorf("nothing matched: %q", x.Lines)
	}
}

func TestRotationTruncationAndAbsence(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	f := follow(t, path)
	f.want(state.NoData, 0, "there is no file "+path)
	write(t, path, "panic: first words\n")
	f.want(state.OK, 1, "first words")

	// Renamed, written to once more, and a new file in its place.
	write(t, path, "ERROR old 1\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, path+".1", "ERROR old 2\nERROR old 3 without an end")
	f.want(state.OK, 2, "old 2")
	f.want(state.NoData, 0, "there is no file")
	write(t, path, "ERROR new 1\n")
	f.want(state.OK, 2, "new 1")

	// Truncated in place, as copytruncate does, and longer than before at once.
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	f.want(state.OK, 0, "")
	write(t, path, "fine\nERROR after\n")
	f.want(state.OK, 1, "after")

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	f.want(state.NoData, 0, "there is no file")
	write(t, path, "ERROR again\n")
	f.want(state.OK, 1, "again")
}

// A file that was truncated and has grown beyond what it was, before anybody looked, is
// read from its beginning.
func TestTruncatedAndGrownBeyond(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	write(t, path, "started\n")
	f := follow(t, path)
	f.want(state.OK, 0, "")
	for _, before := range []string{"ERROR old\n", strings.Repeat("much\n", 5000), "part of a li"} {
		write(t, path, before)
		f.want(state.OK, float64(strings.Count(before, "ERROR")), "")
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
		write(t, path, "ERROR first\n"+strings.Repeat("ne other\n", 5000)+"ERROR last\n")
		f.want(state.OK, 2, "ERROR last")
	}
}

func TestFloodIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	write(t, path, "")
	f := follow(t, path)
	f.most = 256 << 10
	f.want(state.OK, 0, "")
	line := strings.Repeat("x", 1023) + "\n"
	write(t, path, strings.Repeat(line, 512)+"ERROR at last\n")
	f.want(state.Warn, 1, "256 KiB were written too fast to be read; ERROR at last")
	write(t, path, strings.Repeat("y", 3*maxLine)+"ERROR too far to the right\nERROR seen\n")
	f.want(state.OK, 1, "ERROR seen")
}

func TestWhatCannotBeFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f := follow(t, path)
	f.want(state.Error, 0, "not a regular file")
	f.p.Pattern = "("
	f.want(state.Error, 0, `the pattern "(" cannot be read`)
}

// A probe that is laid anew with another file or pattern starts anew.
func TestChangedProbe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.log")
	write(t, path, "")
	f := follow(t, path)
	f.want(state.OK, 0, "")
	write(t, path, "WARN x\n")
	f.p.Pattern = "WARN"
	f.want(state.OK, 0, "")
	write(t, path, "WARN y\n")
	f.want(state.OK, 1, "WARN y")
}
