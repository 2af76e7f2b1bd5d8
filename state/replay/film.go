// Package replay shows a recorded incident as a film: its journal and samples, with a
// cursor that moves forwards and backwards. At every cursor it gives the same scene
// that a live cockpit had, because both come from the same fold.
package replay

import (
	"fmt"
	"sort"
	"time"

	"mayday/state"
	"mayday/state/journal"
)

// every is how many events lie between two snapshots: a seek folds at most so many.
const every = 256

// Film is a recorded incident in memory with a cursor. The cursor is the last event
// shown, the number of samples shown, and the incident clock. Not safe for concurrent
// use.
type Film struct {
	folder  string
	report  journal.Report
	events  []state.Event
	times   []time.Time // of events, never falling: what the film's clock goes by
	hashes  []string    // short, of events
	signed  []uint64    // up to where checkpoints sign, at each event
	samples []state.Sample
	got     []time.Time      // of samples, never falling
	byProbe map[string][]int // positions in samples
	outputs map[string][]string
	ran     []ran
	snaps   []*state.Incident // after events 0, every, 2*every…
	marks   []int             // numbers of events (seq) that are markers

	seq   int // events shown
	shown int // samples shown
	now   time.Time
	scene *state.Scene
}

// ran says at which event the output of a run was complete.
type ran struct {
	seq int
	run string
}

// Open loads an incident's journal, samples and captured output. A journal that is
// damaged gives the film up to the damage together with the *journal.Damage; any
// other error gives no film. An empty journal is an error.
func Open(folder string) (*Film, error) {
	f := &Film{folder: folder, byProbe: map[string][]int{}, outputs: map[string][]string{}}
	var damage error
	var signed uint64
	rep, err := journal.Each(folder, func(e state.Event, hash string) error {
		if c, ok := e.Fact.(state.Checkpoint); ok {
			signed = c.Size
		}
		f.events = append(f.events, e)
		f.hashes = append(f.hashes, hash[:journal.ShortHash])
		f.signed = append(f.signed, signed)
		return nil
	})
	f.report = rep
	switch {
	case len(f.events) == 0 && err != nil:
		return nil, err
	case len(f.events) == 0:
		return nil, &state.Problem{What: "there is nothing to replay", Why: "the journal in " + folder + " has no events", Code: "empty"}
	case err != nil:
		damage = err
	}
	if f.samples, err = journal.ReadSamples(folder); err != nil {
		return nil, err
	}
	if err := f.index(); err != nil {
		return nil, err
	}
	f.SeekEvent(f.events[0].Seq)
	return f, damage
}

// index folds everything once, for snapshots, markers and the film's clock.
func (f *Film) index() error {
	in := new(state.Incident)
	var last time.Time
	for i, e := range f.events {
		if i%every == 0 {
			f.snaps = append(f.snaps, in.Clone())
		}
		if err := in.Apply(e); err != nil {
			return fmt.Errorf("replay: %w", err)
		}
		if e.Time.After(last) {
			last = e.Time
		}
		f.times = append(f.times, last)
		if state.Mark(e) {
			f.marks = append(f.marks, i+1)
		}
		if it, ok := e.Fact.(state.ItemFinished); ok {
			f.output(i+1, it.Run)
		}
	}
	last = time.Time{}
	for i, x := range f.samples {
		at := x.Got
		if at.IsZero() {
			at = x.At
		}
		if at.After(last) {
			last = at
		}
		f.got = append(f.got, last)
		f.byProbe[x.Probe] = append(f.byProbe[x.Probe], i)
	}
	return nil
}

// Report says how the journal stands. Nothing in it was verified but the chain.
func (f *Film) Report() journal.Report { return f.report }

// Folder is the incident's folder.
func (f *Film) Folder() string { return f.folder }

// Events is how many events the film has.
func (f *Film) Events() uint64 { return uint64(len(f.events)) }

// Bounds gives the incident time of the first and the last thing recorded.
func (f *Film) Bounds() (from, to time.Time) {
	from, to = f.times[0], f.times[len(f.times)-1]
	if n := len(f.got); n > 0 && f.got[n-1].After(to) {
		to = f.got[n-1]
	}
	return from, to
}

// Now is the cursor's incident time.
func (f *Film) Now() time.Time { return f.now }

// Seq is the last event shown.
func (f *Film) Seq() uint64 { return uint64(f.seq) }

// Seek moves the cursor to a time: everything that had happened by then is shown.
// Times outside the bounds go to the nearest end.
func (f *Film) Seek(t time.Time) {
	from, to := f.Bounds()
	if t.Before(from) {
		t = from
	}
	if t.After(to) {
		t = to
	}
	f.move(after(f.times, t), t)
}

// SeekEvent moves the cursor to right after an event; events of the same instant
// that follow it are not shown yet. Numbers outside go to the nearest end.
func (f *Film) SeekEvent(seq uint64) {
	n := int(min(max(seq, 1), uint64(len(f.events))))
	f.move(n, f.times[n-1])
}

// Step moves the cursor by so many events, backwards where n is negative.
func (f *Film) Step(n int) {
	f.SeekEvent(uint64(max(f.seq+n, 1)))
}

// NextMark moves to the next marker and reports whether there is one.
func (f *Film) NextMark() bool {
	i := sort.SearchInts(f.marks, f.seq+1)
	if i == len(f.marks) {
		return false
	}
	f.SeekEvent(uint64(f.marks[i]))
	return true
}

// PrevMark moves to the marker before and reports whether there is one.
func (f *Film) PrevMark() bool {
	i := sort.SearchInts(f.marks, f.seq) - 1
	if i < 0 {
		return false
	}
	f.SeekEvent(uint64(f.marks[i]))
	return true
}

// Marks gives the events that are markers, in order.
func (f *Film) Marks() []state.Event {
	out := make([]state.Event, 0, len(f.marks))
	for _, n := range f.marks {
		out = append(out, f.events[n-1])
	}
	return out
}

// Scene gives what a screen shows at the cursor. It belongs to the film and changes
// when the cursor moves; ask again after each move. Version rises whenever the picture
// may have changed.
func (f *Film) Scene() *state.Scene { return f.scene }

// after counts the times that are not after t.
func after(times []time.Time, t time.Time) int {
	return sort.Search(len(times), func(i int) bool { return times[i].After(t) })
}

// move brings the scene to so many events, and to all samples received by t.
func (f *Film) move(seq int, t time.Time) {
	shown := after(f.got, t)
	// Playing on is cheaper than starting from a snapshot as long as it is near.
	if f.scene != nil && seq >= f.seq && seq-f.seq <= every && shown >= f.shown && shown-f.shown <= 4096 {
		f.play(seq, shown)
	} else {
		f.build(seq, shown)
	}
	f.seq, f.shown, f.now = seq, shown, t
	f.furnish()
}
