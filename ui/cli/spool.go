package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"mayday/state"
	"mayday/steps"
)

// A process that rolled back by itself, because the keeper did not answer, cannot
// write the journal: the keeper holds it. It leaves its events in a file of its own
// beside it, and the next keeper takes them in, or this one when it answers again.
// The file is locked for as long as its writer lives and has something to say.

// Bounds of a spool (real time).
const (
	spoolLines    = 256                    // more than any rollback says
	spoolPatience = 2 * time.Second        // for a disk that hangs, when all is done
	spoolEvery    = 500 * time.Millisecond // how often a keeper looks for one
)

// spooled is one event that waits.
type spooled struct {
	At    time.Time       `json:"at"`
	Actor state.Actor     `json:"actor"`
	Kind  string          `json:"type"`
	Data  json.RawMessage `json:"data"`
}

// spool writes events beside the journal without ever keeping its caller waiting:
// the disk may be why the keeper does not answer.
type spool struct {
	actor state.Actor
	lines chan []byte
	done  chan struct{}
	err   error // of the writer; valid when done is closed
	lost  error // of keep
}

func newSpool(folder string, actor state.Actor) *spool {
	s := &spool{actor: actor, lines: make(chan []byte, spoolLines), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = s.run(folder)
		for range s.lines {
			continue // the disk does not take them
		}
	}()
	return s
}

// keep hands a fact to the disk.
func (s *spool) keep(at time.Time, f state.Fact) {
	data, err := json.Marshal(f)
	if err == nil {
		data, err = json.Marshal(spooled{at, s.actor, f.Kind(), data})
	}
	if err == nil {
		select {
		case s.lines <- append(data, '\n'):
			return
		default:
			err = errors.New("the disk hangs")
		}
	}
	s.lost = errors.Join(s.lost, err)
}

// close waits until all is on the disk, or the disk has shown that it hangs.
func (s *spool) close() error {
	close(s.lines)
	select {
	case <-s.done:
		return errors.Join(s.lost, s.err)
	case <-time.After(spoolPatience):
		return errors.Join(s.lost, errors.New("the disk hangs"))
	}
}

// run writes to a file of the folder. It gets its name when it is locked, so that a
// keeper never finds it otherwise while this process writes.
func (s *spool) run(folder string) error {
	base := fmt.Sprintf("%d-%d", s.actor.PID, time.Now().UnixNano())
	hidden := filepath.Join(folder, ".spool-"+base)
	file, err := os.OpenFile(hidden, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		err = os.Rename(hidden, filepath.Join(folder, "spool-"+base+".jsonl"))
	}
	if err == nil {
		err = s.write(file)
	}
	return errors.Join(err, file.Close())
}

// disk is what a spool needs of its file.
type disk interface {
	io.Writer
	Sync() error
}

// write syncs what it is given as soon as it can: what came while the disk was at it goes
// out together, so that a slow one is waited for twice at the end, not once a line.
func (s *spool) write(file disk) error {
	for line := range s.lines {
		if _, err := file.Write(s.waiting(line)); err != nil {
			return err
		}
		if err := file.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// waiting gives a line and all that wait behind it.
func (s *spool) waiting(lines []byte) []byte {
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				return lines
			}
			lines = append(lines, line...)
		default:
			return lines
		}
	}
}

// importSpool takes in what other processes left before this keeper starts.
func (k *kept) importSpool(folder string, events []state.Event) ([]state.Event, error) {
	err := takeSpools(folder, func(told []steps.Told) error {
		known := steps.Known(events)
		for _, t := range told {
			if known(t) {
				continue
			}
			more, err := k.journal.Append(t.At, t.Actor, 0, t.Fact)
			if err != nil {
				return err
			}
			events = append(events, more...)
		}
		return nil
	})
	return events, err
}

// adopting is a keeper that takes in what others do while it does not answer.
type adopting struct {
	*kept
	stop context.CancelFunc
	done chan struct{}
}

// adopt starts looking for spools in an incident's folder; Close ends it.
func (k *kept) adopt(folder string) *adopting {
	ctx, stop := context.WithCancel(context.Background())
	a := &adopting{kept: k, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		a.look(ctx, folder)
	}()
	return a
}

// Close implements keeper.Keeping.
func (a *adopting) Close(why string) error {
	a.stop()
	<-a.done
	return a.kept.Close(why)
}

// look takes in what others leave while this keeper lives: it was stopped or hung,
// and they went on without it.
func (a *adopting) look(ctx context.Context, folder string) {
	tick := time.NewTicker(spoolEvery)
	defer tick.Stop()
	said := ""
	for {
		text := ""
		if err := takeSpools(folder, a.engine.Adopt); err != nil {
			text = state.Clean("what another process did is not taken in yet: " + err.Error())
		}
		if text != "" && text != said {
			_ = a.engine.Record(state.Warned{Text: text}) // a journal that fails is on every screen
		}
		said = text
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// takeSpools hands every finished spool to take and removes it.
func takeSpools(folder string, take func([]steps.Told) error) error {
	files, err := filepath.Glob(filepath.Join(folder, "spool-*.jsonl"))
	if err != nil {
		return err
	}
	for _, name := range files {
		if err := takeSpool(name, take); err != nil {
			return fmt.Errorf("take in %s: %w", name, err)
		}
	}
	return nil
}

func takeSpool(name string, take func([]steps.Told) error) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // only read
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil // its writer is at it
		}
		return err
	}
	var told []steps.Told
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		var s spooled
		if json.Unmarshal(lines.Bytes(), &s) != nil {
			break // torn by a crash: what was whole is in
		}
		f, err := state.DecodeFact(s.Kind, s.Data)
		if err != nil {
			return err
		}
		told = append(told, steps.Told{At: s.At, Actor: s.Actor, Fact: f})
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if err := take(told); err != nil {
		return err
	}
	return os.Remove(name)
}
