package replay

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"mayday/state"
	"mayday/state/journal"
)

// play folds what lies between the cursor and a later one.
func (f *Film) play(seq, shown int) {
	for _, e := range f.events[f.seq:seq] {
		f.apply(f.scene.Incident, e)
	}
	if shown > f.shown {
		if err := f.scene.Fold(state.Frame{Samples: f.samples[f.shown:shown]}); err != nil {
			panic(err) // samples cannot fail to fold
		}
	}
	f.scene.Version++
}

// build makes the scene afresh from the snapshot before the cursor.
func (f *Film) build(seq, shown int) {
	s := state.NewScene()
	if f.scene != nil {
		s.Version = f.scene.Version + 1
	}
	// The snapshot before, not at, the end: there is one for each full stretch.
	k := min(seq/every, len(f.snaps)-1)
	s.Incident = f.snaps[k].Clone()
	for _, e := range f.events[k*every : seq] {
		f.apply(s.Incident, e)
	}
	for probe, at := range f.byProbe {
		n := sort.SearchInts(at, shown)
		if n == 0 {
			continue
		}
		r := state.NewSeries(state.SeriesLength)
		// As far as a series remembers, and twice its ring's length: what came late, of
		// the past, may lie before what that holds.
		from := sort.Search(n, func(j int) bool { return f.got[at[j]].After(f.got[at[n-1]].Add(-state.CourseReach)) })
		for _, i := range at[min(from, max(n-2*state.SeriesLength, 0)):n] {
			r.Add(f.samples[i])
		}
		s.Series[probe] = r
	}
	f.scene = s
}

// apply folds an event that index has folded before, so that it cannot fail.
func (f *Film) apply(in *state.Incident, e state.Event) {
	if err := in.Apply(e); err != nil {
		panic(err)
	}
}

// furnish sets what follows from the cursor alone.
func (f *Film) furnish() {
	s, n := f.scene, f.seq
	s.Events = f.events[:n:n]
	s.Journal = state.JournalState{Head: f.hashes[n-1], Signed: f.signed[n-1]}
	in := s.Incident
	s.Hello = state.Hello{Keeper: in.Keeper, Incident: in.ID, Folder: f.folder, Head: uint64(len(f.events)), Clock: in.Clock}
	done := sort.Search(len(f.ran), func(i int) bool { return f.ran[i].seq > n })
	s.Run, s.Output = "", make(map[string][]string, done)
	for _, r := range f.ran[:done] {
		s.Run = r.run
		s.Output[r.run] = f.outputs[r.run]
	}
}

// tailBytes is how much of a run's output is looked at for its last lines.
const tailBytes = 512 << 10

// output loads the last lines of a run's captured output, complete at event seq.
// When its lines came is not recorded, so they appear with the run's end. A recording
// without them still plays.
func (f *Film) output(seq int, run string) {
	if !journal.ValidID(run) {
		return
	}
	text, err := lastBytes(filepath.Join(f.folder, journal.OutputDir, run+".log"))
	if err != nil || text == "" {
		return
	}
	lines := strings.Split(strings.TrimSuffix(state.CleanLines(text), "\n"), "\n")
	if n := len(lines) - state.OutputLines; n > 0 {
		lines = lines[n:]
	}
	f.outputs[run] = lines
	f.ran = append(f.ran, ran{seq, run})
}

// lastBytes reads the end of a file, from the start of a line.
func lastBytes(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return "", err
	}
	if !st.Mode().IsRegular() {
		return "", fs.ErrInvalid
	}
	off := max(st.Size()-tailBytes, 0)
	b := make([]byte, st.Size()-off)
	n, err := file.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	b = b[:n]
	if off > 0 {
		b = b[bytes.IndexByte(b, '\n')+1:]
	}
	return string(b), nil
}
