// Package logs counts the lines of logs that match a pattern: in files on this host,
// which may be rotated and truncated under it, and in the logs of all pods that a
// selector finds.
//
// The value of a reading is the number of lines that matched since the last question,
// its text the last of them, its lines the last few. What was logged before the first
// question does not count.
package logs

import (
	"bytes"
	"fmt"
	"regexp"
	"sync"
	"unicode/utf8"

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
	// markSize is how many bytes before the place it has read to must still stand there,
	// or a file was written anew.
	markSize = 256
)

// tally counts matches until it is asked. Safe for concurrent use.
type tally struct {
	pattern *regexp.Regexp
	redact  func(string) string

	mu    sync.Mutex
	count int
	last  []string // the last state.MaxLines of those counted
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
	text := t.window(state.Clean(t.redact(string(line))))
	if from != "" {
		text = from + ": " + text
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	if len(t.last) == state.MaxLines {
		t.last = append(t.last[:0], t.last[1:]...)
	}
	t.last = append(t.last, text)
}

// A long line is shown from ahead bytes before its match, where that is far to the right.
const farRight, ahead = 120, 40

// window cuts the beginning of a line off where its match would not be seen.
func (t *tally) window(text string) string {
	at := t.pattern.FindStringIndex(text)
	if at == nil || at[0] < farRight {
		return text
	}
	from := at[0] - ahead
	for !utf8.RuneStart(text[from]) {
		from++
	}
	return "…" + text[from:]
}

// take gives what was counted since the last call: how many lines, the last ones, and
// the very last, empty where there was none.
func (t *tally) take() (n int, lines []string, last string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, lines = t.count, t.last
	t.count, t.last = 0, nil
	if len(lines) > 0 {
		last = lines[len(lines)-1]
	}
	return n, lines, last
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
