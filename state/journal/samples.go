package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"mayday/state"
)

// MaxSamples bounds an incident's recorded samples, in bytes of all files together:
// about two million readings, ten probes at one a second for two days. From half of
// it on the recording is thinned, at the bound it stops. What gates decided by is in
// the journal all the same.
const MaxSamples = 256 << 20

// thinEvery is what a thinned recording keeps of a probe whose verdict stays.
const thinEvery = 30 * time.Second

// maxPending bounds what waits in memory for a disk that hangs.
const maxPending = 1 << 20

// SampleWriter records the readings of probes for replays. Safe for concurrent use.
type SampleWriter struct {
	mu      sync.Mutex
	pending []byte
	size    int64 // of all files, and of what is pending
	bound   int64
	kept    map[string]state.Sample // the last one recorded, by probe
	warned  int
	err     error

	disk  sync.Mutex // held while writing
	file  *os.File
	spare []byte
	torn  bool // the file may end within a line
}

// NewSampleWriter starts a new file of samples in an incident's folder. Earlier
// files, of keepers before, count towards the bound.
func NewSampleWriter(folder string) (*SampleWriter, error) {
	return newSampleWriter(folder, MaxSamples)
}

func newSampleWriter(folder string, bound int64) (*SampleWriter, error) {
	dir := filepath.Join(folder, SamplesDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, problem("samples cannot be kept", err)
	}
	names, err := sampleFiles(dir)
	if err != nil {
		return nil, problem("samples cannot be kept", err)
	}
	w := &SampleWriter{bound: bound, kept: map[string]state.Sample{}}
	for _, name := range names {
		if st, err := os.Stat(name); err == nil {
			w.size += st.Size()
		}
	}
	for n := len(names) + 1; ; n++ {
		w.file, err = os.OpenFile(filepath.Join(dir, fmt.Sprintf("%04d.jsonl", n)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			return w, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, problem("samples cannot be kept", err)
		}
	}
}

// Add records samples, in memory: it never waits for the disk. They reach the file
// with the next Flush. The notice is not empty once when thinning starts and once when
// recording stops: the owner journals it. The error is the last Flush's, or that so
// much waits for the disk that samples were dropped; nothing but the recording suffers.
func (w *SampleWriter) Add(samples ...state.Sample) (notice string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range samples {
		if !x.Verdict.Known() {
			x.Value = 0
		}
		if w.size >= w.bound || w.size >= w.bound/2 && !w.due(x) {
			continue
		}
		if len(w.pending) >= maxPending {
			return w.notice(), errPending
		}
		line, err := json.Marshal(x)
		if err != nil {
			return w.notice(), fmt.Errorf("sample of %s: %w", state.Clean(x.Probe), err)
		}
		w.pending = append(append(w.pending, line...), '\n')
		w.size += int64(len(line)) + 1
		w.kept[x.Probe] = x
	}
	return w.notice(), w.err
}

var errPending = &state.Problem{What: "samples are being dropped", Why: "the disk does not take them", Code: "disk"}

// due reports whether a thinned recording keeps the sample.
func (w *SampleWriter) due(x state.Sample) bool {
	last, ok := w.kept[x.Probe]
	return !ok || last.Verdict != x.Verdict || x.At.Sub(last.At) >= thinEvery
}

func (w *SampleWriter) notice() string {
	level := 0
	switch {
	case w.size >= w.bound:
		level = 2
	case w.size >= w.bound/2:
		level = 1
	}
	if level <= w.warned {
		return ""
	}
	w.warned = level
	if level == 1 {
		return fmt.Sprintf("recorded samples take %d MiB: from here on one reading per probe every %v is kept, and every change of verdict",
			w.size>>20, thinEvery)
	}
	return fmt.Sprintf("recorded samples take %d MiB, the most an incident may have: a replay will show none after this", w.size>>20)
}

// Flush hands what was added to the operating system, and waits for that. The owner
// calls it after each Add that is to outlive the process. After an error what could not be
// written is dropped, and the next Flush tries afresh; its torn line is left out by readers.
func (w *SampleWriter) Flush() error {
	w.disk.Lock()
	defer w.disk.Unlock()
	w.mu.Lock()
	out := w.pending
	w.pending = w.spare[:0]
	w.mu.Unlock()
	var err error
	if len(out) > 0 && w.torn {
		_, err = w.file.Write([]byte{'\n'})
	}
	if len(out) > 0 && err == nil {
		_, err = w.file.Write(out)
		w.torn = err != nil
	}
	w.spare = out
	if err != nil {
		err = problem("samples cannot be kept", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
	return err
}

// Close flushes and closes the file.
func (w *SampleWriter) Close() error {
	err := w.Flush()
	w.disk.Lock()
	defer w.disk.Unlock()
	return errors.Join(err, w.file.Close())
}

// sampleFiles gives the files of samples in the order of their numbers.
func sampleFiles(dir string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	slices.SortFunc(names, func(a, b string) int {
		if c := len(a) - len(b); c != 0 { // 10000 comes after 9999
			return c
		}
		return strings.Compare(a, b)
	})
	return names, err
}

// recentBytes bounds what RecentSamples reads: more than the rings of 200 probes
// hold, and parsed in a tenth of a second, for somebody waits.
const recentBytes = 8 << 20

// ReadSamples gives an incident's recorded samples in the order they were recorded.
// Torn and unreadable lines are left out: a recording helps, it proves nothing. An
// incident without samples has none.
func ReadSamples(folder string) ([]state.Sample, error) { return readSamples(folder, math.MaxInt64) }

// RecentSamples is ReadSamples for the end of the recording, its last 8 MiB: what a
// keeper that takes over shows of the time before.
func RecentSamples(folder string) ([]state.Sample, error) { return readSamples(folder, recentBytes) }

// EachSample calls f with an incident's recorded samples in the order they were
// recorded, without keeping them: a recording may be larger than memory is.
func EachSample(folder string, f func(state.Sample)) error {
	names, err := sampleFiles(filepath.Join(folder, SamplesDir))
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := sampleFile(name, math.MaxInt64, f); err != nil {
			return err
		}
	}
	return nil
}

func readSamples(folder string, most int64) ([]state.Sample, error) {
	names, err := sampleFiles(filepath.Join(folder, SamplesDir))
	if err != nil {
		return nil, err
	}
	var parts [][]state.Sample
	for _, name := range slices.Backward(names) {
		if most <= 0 {
			break
		}
		var part []state.Sample
		size, err := sampleFile(name, most, func(x state.Sample) { part = append(part, x) })
		if err != nil {
			return nil, err
		}
		parts, most = append(parts, part), most-size
	}
	slices.Reverse(parts)
	return slices.Concat(parts...), nil
}

// sampleFile gives each sample of the last most bytes of one file, and says how long it is.
func sampleFile(name string, most int64, each func(state.Sample)) (size int64, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, problem("the samples cannot be read", err)
	}
	defer f.Close()
	if size, err = f.Seek(0, io.SeekEnd); err == nil {
		_, err = f.Seek(max(size-most, 0), io.SeekStart) // the first line may be half of one: it is left out
	}
	if err == nil {
		_, err = lines(f, func(_ int, b []byte) error {
			var x state.Sample
			if len(bytes.TrimSpace(b)) > 0 && json.Unmarshal(b, &x) == nil {
				each(x)
			}
			return nil
		})
	}
	if err != nil {
		return 0, problem("the samples cannot be read", err)
	}
	return size, nil
}
