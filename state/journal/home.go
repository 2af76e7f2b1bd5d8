package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mayday/state"
)

// FileName is the journal's name in an incident's folder.
const FileName = "journal.jsonl"

// Folders inside an incident's folder.
const (
	SamplesDir  = "samples"
	OutputDir   = "output"
	EvidenceDir = "evidence"
	ReportDir   = "report"
)

// Home gives the folder that holds all incidents' folders: $MAYDAY_HOME, else
// $XDG_STATE_HOME/mayday, else ~/.local/state/mayday. It need not exist.
func Home() (string, error) {
	if dir := os.Getenv("MAYDAY_HOME"); dir != "" {
		return filepath.Abs(dir)
	}
	// The specification says that a relative XDG_STATE_HOME is ignored.
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "mayday"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", &state.Problem{What: "there is no place to keep the journal", Why: state.Clean(err.Error()),
			Do: "Set MAYDAY_HOME to a folder of your own.", Code: "no-home"}
	}
	return filepath.Join(home, ".local", "state", "mayday"), nil
}

// Folder gives an incident's folder. It need not exist.
func Folder(home, id string) string { return filepath.Join(home, "incidents", id) }

// ValidID reports whether the text can name an incident: letters, digits, dots,
// dashes and underscores, not starting with a dot, at most 64.
func ValidID(id string) bool {
	if id == "" || len(id) > 64 || id[0] == '.' {
		return false
	}
	for _, r := range id {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
		default:
			return false
		}
	}
	return true
}

// Info is one incident found on disk.
type Info struct {
	ID      string
	Folder  string
	ModTime time.Time // of the journal: when the last event was written
}

// List gives the incidents below home that have a journal, the latest written
// first. A home that does not exist holds none.
func List(home string) ([]Info, error) {
	dir := filepath.Join(home, "incidents")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, problem("the incidents cannot be listed", err)
	}
	var out []Info
	for _, e := range entries {
		folder := filepath.Join(dir, e.Name())
		st, err := os.Stat(filepath.Join(folder, FileName))
		if err != nil || !ValidID(e.Name()) {
			continue // not an incident, or one that was never opened
		}
		out = append(out, Info{ID: e.Name(), Folder: folder, ModTime: st.ModTime()})
	}
	slices.SortStableFunc(out, func(a, b Info) int {
		if c := b.ModTime.Compare(a.ModTime); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	})
	return out, nil
}

// NextID proposes the next free incident ID of the day, "INC-20261122-01". Two
// processes may be given the same one: Create lets one of them win, with an error
// that is fs.ErrExist for the other.
func NextID(home string, now time.Time) (string, error) {
	day := "INC-" + now.Format("20060102")
	for n := 1; n < 10000; n++ {
		id := fmt.Sprintf("%s-%02d", day, n)
		_, err := os.Lstat(Folder(home, id))
		if errors.Is(err, fs.ErrNotExist) {
			return id, nil
		}
		if err != nil {
			return "", problem("the incidents cannot be listed", err)
		}
	}
	return "", &state.Problem{What: "there is no free incident number left today", Do: "Name the incident yourself."}
}
