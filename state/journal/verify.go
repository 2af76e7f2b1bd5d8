package journal

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mayday/state"
)

// Kind says in which way a journal is not what was written.
type Kind string

// The kinds of damage that Verify tells apart.
const (
	Edited            Kind = "edited"
	Reordered         Kind = "reordered"
	Removed           Kind = "removed"   // events are missing in the middle
	Truncated         Kind = "truncated" // events are missing at the end
	TornTail          Kind = "torn tail"
	MissingCheckpoint Kind = "missing checkpoint"
	Unreadable        Kind = "unreadable" // intact, and not understood: a newer mayday wrote it
)

// Finding is one thing that is wrong with a journal.
type Finding struct {
	Kind Kind   `json:"kind"`
	Line int    `json:"line,omitempty"` // 0 where no line is to blame
	Text string `json:"text"`
}

func (f Finding) String() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: %s", f.Kind, f.Text)
	}
	return fmt.Sprintf("%s: line %d: %s", f.Kind, f.Line, f.Text)
}

// maxFindings bounds a report: one edit can be followed by many consequences.
const maxFindings = 20

// CheckpointEvery is the most events there may be between two checkpoints.
const CheckpointEvery = 256

// Verify reads a whole journal and reports everything that is wrong with it: edited,
// reordered, removed, truncated, torn, unsigned. head, where it is not empty, is a
// hash (or the start of one, at least 6 characters) that somebody outside holds: the
// journal must still contain it. The error is only about reading the file. A keeper may
// be writing meanwhile: a line that is only half there is looked at again.
func Verify(folder, head string) (Report, error) {
	return verify(folder, head, func() { time.Sleep(settling) })
}

// A torn tail that has grown after settling is being written; one that grows every time
// is reported in the end.
const (
	settling = 50 * time.Millisecond
	looks    = 10
)

// verify is Verify with the wait before a torn tail is looked at again.
func verify(folder, head string, wait func()) (Report, error) {
	want := strings.ToLower(strings.TrimSpace(head))
	if want != "" && len(want) < 6 {
		return Report{}, &state.Problem{Code: "usage", What: fmt.Sprintf("%q is too short to be a head", state.Clean(head)), Do: "Give at least 6 characters of it."}
	}
	path := filepath.Join(folder, FileName)
	for look := 1; ; look++ {
		v := verifier{want: want, folder: folder, last: origin}
		f, err := os.Open(path)
		if err != nil {
			return Report{}, problem("the journal cannot be read", err)
		}
		rep, err := v.run(f)
		read, errSeek := f.Seek(0, io.SeekCurrent)
		_ = f.Close() // it was only read
		if err != nil || errSeek != nil || rep.Torn == 0 || look == looks {
			return rep, err
		}
		wait()
		if st, err := os.Stat(path); err != nil || st.Size() == read {
			return rep, nil
		}
	}
}

// seen is what the first look keeps of a line.
type seen struct {
	line  int
	seq   uint64
	prev  string
	hash  string
	event state.Event
}

type verifier struct {
	want   string
	folder string
	rep    Report
	last   string // stored hash of the line before
	seq    uint64
	hashes []string // by seq-1, of the valid start
	broken bool     // something before here is wrong: nothing later counts as valid
}

func (v *verifier) find(k Kind, line int, format string, args ...any) {
	if k != TornTail && k != MissingCheckpoint {
		v.broken = true
	}
	if len(v.rep.Findings) < maxFindings {
		v.rep.Findings = append(v.rep.Findings, Finding{k, line, state.Clean(fmt.Sprintf(format, args...))})
	}
}

func (v *verifier) run(r io.Reader) (Report, error) {
	where := map[uint64]int{} // seq to line, of intact lines
	var all []seen
	rest, err := lines(r, func(n int, b []byte) error {
		l, err := parseLine(b)
		s := seen{line: n, prev: l.prev, hash: l.hash}
		switch {
		case err != nil:
			v.find(Edited, n, "%v", err)
		case !l.good:
			v.find(Edited, n, "its hash does not match its text")
		default:
			if s.event, err = l.event(); err != nil {
				v.find(Unreadable, n, "%v", err)
			} else if s.seq = s.event.Seq; where[s.seq] == 0 {
				where[s.seq] = n
			}
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		return v.rep, problem("the journal cannot be read", err)
	}
	// The second look needs to know which events exist anywhere.
	v.broken = false
	firstBad := 0
	if len(v.rep.Findings) > 0 {
		firstBad = v.rep.Findings[0].Line
	}
	for _, s := range all {
		v.line(s, where, firstBad)
	}
	v.rep.Torn = rest
	if rest > 0 {
		v.find(TornTail, len(all)+1, "%s after the last whole line; the writer died there, and the next one will cut them off", countBytes(rest))
	}
	v.tail(len(all))
	return v.rep, nil
}

func countBytes(n int) string {
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}

// line checks one line against the one before it.
func (v *verifier) line(s seen, where map[uint64]int, firstBad int) {
	if firstBad != 0 && s.line >= firstBad {
		v.broken = true
	}
	if s.seq == 0 { // its own fault was found before
		v.seq, v.last = v.seq+1, s.hash
		return
	}
	switch missing := v.seq + 1; {
	case s.seq != missing && (where[missing] != 0 || s.seq < missing):
		v.find(Reordered, s.line, "event %d follows event %d", s.seq, v.seq)
	case s.seq != missing:
		v.find(Removed, s.line, "event %d follows event %d: %d are missing", s.seq, v.seq, s.seq-missing)
	case s.prev != v.last && v.last != "": // "" was found before
		v.find(Edited, s.line-1, "event %d was written after another text of event %d than the one there now", s.seq, v.seq)
	}
	v.seq, v.last = s.seq, s.hash
	if v.broken {
		return
	}
	v.hashes = append(v.hashes, s.hash)
	if c, ok := s.event.Fact.(state.Checkpoint); ok {
		v.checkpoint(s, c)
	} else if s.seq-v.rep.Signed == CheckpointEvery+1 {
		v.find(MissingCheckpoint, s.line, "no checkpoint since event %d", v.rep.Signed)
	}
	if !v.broken {
		signed := v.rep.Signed
		v.rep.see(s.event, s.hash)
		if _, ok := s.event.Fact.(state.Checkpoint); ok {
			v.rep.Signed = max(signed, v.rep.Signed)
		}
	}
	if v.want != "" && strings.HasPrefix(s.hash, v.want) {
		v.rep.HeadAt = s.seq
	}
}

// checkpoint checks a signature and what it signs.
func (v *verifier) checkpoint(s seen, c state.Checkpoint) {
	key := v.rep.PublicKey
	if key == "" {
		key = publicKey(v.folder)
	}
	switch err := checkNote(key, c); {
	case err != nil:
		v.find(Edited, s.line, "the checkpoint is not signed with the incident's key: %v", err)
	case c.Size == 0 || c.Size > uint64(len(v.hashes)):
		v.find(Edited, s.line, "the checkpoint signs event %d, which is not before it", c.Size)
	case v.hashes[c.Size-1] != c.Head:
		v.find(Edited, s.line, "the checkpoint signs another event %d than the one there now", c.Size)
	}
}

// tail checks what only the end can tell.
func (v *verifier) tail(n int) {
	if v.want == "" || v.rep.HeadAt != 0 {
		return
	}
	switch {
	case n == 0:
		v.find(Truncated, 0, "the journal is empty, and the head %s is not", v.want)
	case v.broken:
		v.find(Truncated, 0, "the head %s is not in the journal's valid part, which ends at event %d", v.want, v.rep.Events)
	default:
		v.find(Truncated, 0, "the head %s is not in the journal, which ends at event %d: events after that are gone, or all was written anew", v.want, v.rep.Events)
	}
}
