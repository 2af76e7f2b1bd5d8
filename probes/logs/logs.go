// Package logs counts the lines of logs that match a pattern: in files on this host,
// which may be rotated and truncated under it, and in the logs of all pods that a
// selector finds.
//
// The value of a reading is the number of lines that matched since the last question,
// its text the last of them. What was logged before the first question does not count.
package logs

import (
	"bytes"
	"fmt"
	"regexp"
	"sync"

	"mayday/state"
)

// Kinds of the probes this package asks: p.Query is the path of a file, or a label
// selector; p.Pattern is a regular expression (RE2).
const (
	KindFile = "log"
	KindPods = "pod-log"
)

// Bounds of one log.
const (
	maxLine = 64 << 10 // bytes of a line that are looked at
	maxRead = 16 << 20 // bytes of a file that one question reads
)

// tally counts matches until it is asked. Safe for concurrent use.
type tally struct {
	pattern *regexp.Regexp
	redact  func(string) string

	mu    sync.Mutex
	count int
	last  string
}

func newTally(pattern string, redact func(string) string) (*tally, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, &state.Problem{What: fmt.Sprintf("the pattern %q cannot be read", pattern), Why: state.Clean(err.Error()),
			Do: "Correct log.pattern in the runbook", Code: "log-pattern"}
	}
	if redact == nil {
		redact = func(s string) string { return s }
	}
	return &tally{pattern: re, redact: redact}, nil
}

// line looks at one line. from says whose it is, "" for nobody's in particular.
func (t *tally) line(from string, line []byte) {
	line = bytes.TrimRight(line[:min(len(line), maxLine)], "\r\n")
	if !t.pattern.Match(line) {
		return
	}
	text := state.Clean(t.redact(string(line)))
	if from != "" {
		text = from + ": " + text
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	t.last = text
}

// take gives what was counted since the last call.
func (t *tally) take() (int, string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, last := t.count, t.last
	t.count, t.last = 0, ""
	return n, last
}

// lines cuts a stream into lines and gives each, at most maxLine of it, to f. It
// remembers the beginning of one that is not whole.
type lines struct {
	part    []byte
	skipped bool // the rest of a line that is too long goes by
}

func (l *lines) write(b []byte, f func([]byte)) {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		end := i
		if i < 0 {
			end = len(b)
		}
		if room := maxLine - len(l.part); !l.skipped {
			l.part = append(l.part, b[:min(end, room)]...)
			l.skipped = end > room
		}
		if i < 0 {
			return
		}
		f(l.part)
		l.part, l.skipped = l.part[:0], false
		b = b[i+1:]
	}
}
