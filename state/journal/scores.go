package journal

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mayday/state"
)

// scoresFile is where the home keeps the cards of drills, one a line, oldest first. It
// is no journal: it outlives the drills' folders, and proves nothing.
const scoresFile = "drills.jsonl"

// scoreShape is the version of its lines.
const scoreShape = 1

// Score is the card of one drill as it is kept.
type Score struct {
	V        int         `json:"v"`
	Incident string      `json:"incident"`
	Declared time.Time   `json:"declared"`
	Auto     bool        `json:"auto,omitempty"`  // the scripted operator played it
	Speed    float64     `json:"speed,omitempty"` // of its clock; 0: the real one
	Card     state.Score `json:"score"`
}

// Same reports whether both are of one drill.
func (s Score) Same(o Score) bool {
	return s.Incident == o.Incident && s.Declared.Equal(o.Declared)
}

// KeepScore adds a drill's card to those that home keeps and waits for the disk. A drill
// whose card is there already keeps that one; two processes that add at the same time
// may both, and Scores gives the first.
func KeepScore(home string, s Score) error {
	have, err := Scores(home)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(have, s.Same) {
		return nil
	}
	s.V = scoreShape
	line, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return problem("the drill's score cannot be kept", err)
	}
	f, err := os.OpenFile(filepath.Join(home, scoresFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return problem("the drill's score cannot be kept", err)
	}
	// A new line first where the last one is torn costs an empty line elsewhere.
	_, err = f.Write(append(append([]byte{'\n'}, line...), '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return problem("the drill's score cannot be kept", err)
	}
	return nil
}

// Scores gives the cards that home keeps, by the time of their drills. Lines that cannot
// be read, or are of another version, are left out.
func Scores(home string) ([]Score, error) {
	f, err := os.Open(filepath.Join(home, scoresFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, problem("the drills' scores cannot be read", err)
	}
	defer f.Close()
	var out []Score
	_, err = lines(f, func(_ int, b []byte) error {
		var s Score
		if json.Unmarshal(b, &s) == nil && s.V == scoreShape && s.Incident != "" && !slices.ContainsFunc(out, s.Same) {
			out = append(out, s)
		}
		return nil
	})
	if err != nil {
		return nil, problem("the drills' scores cannot be read", err)
	}
	slices.SortStableFunc(out, func(a, b Score) int { return a.Declared.Compare(b.Declared) })
	return out, nil
}
