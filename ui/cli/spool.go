package cli

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"mayday/state"
)

// A process that rolled back by itself, because the keeper did not answer, cannot
// write the journal: the keeper holds it. It leaves its events in a file of its
// own beside it, and the next keeper takes them in.

// spooled is one event that waits.
type spooled struct {
	At    time.Time       `json:"at"`
	Actor state.Actor     `json:"actor"`
	Kind  string          `json:"type"`
	Data  json.RawMessage `json:"data"`
}

func spoolName(folder string, pid int) string {
	return filepath.Join(folder, fmt.Sprintf("spool-%d.jsonl", pid))
}

// leave appends a fact to this process's spool, synced.
func leave(folder string, at time.Time, actor state.Actor, f state.Fact) error {
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	line, err := json.Marshal(spooled{at, actor, f.Kind(), data})
	if err != nil {
		return err
	}
	file, err := os.OpenFile(spoolName(folder, actor.PID), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := file.Write(append(line, '\n')); err != nil {
		_ = file.Close() // the write's error counts
		return err
	}
	if err := file.Sync(); err != nil {
		_ = file.Close() // the sync's error counts
		return err
	}
	return file.Close()
}

// importSpool takes in what other processes left, and removes their files.
func (k *kept) importSpool(folder string, events []state.Event) ([]state.Event, error) {
	files, err := filepath.Glob(filepath.Join(folder, "spool-*.jsonl"))
	if err != nil {
		return events, err
	}
	for _, name := range files {
		more, err := k.importFile(name)
		events = append(events, more...)
		if err != nil {
			return events, fmt.Errorf("take in %s: %w", name, err)
		}
		if err := os.Remove(name); err != nil {
			return events, err
		}
	}
	return events, nil
}

func (k *kept) importFile(name string) ([]state.Event, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	var out []state.Event
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		var s spooled
		if json.Unmarshal(lines.Bytes(), &s) != nil {
			break // torn by a crash: what was whole is in
		}
		f, err := state.DecodeFact(s.Kind, s.Data)
		if err != nil {
			return out, err
		}
		events, err := k.journal.Append(s.At, s.Actor, 0, f)
		if err != nil {
			return out, err
		}
		out = append(out, events...)
	}
	return out, lines.Err()
}
