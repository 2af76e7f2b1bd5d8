package shell

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"mayday/state"
)

// LineLimit is where a very long line is cut into several, in bytes.
const LineLimit = 4096

// OutputLimit is how many bytes of output one run passes on. Past it lines are
// only counted, and at the end the last of them follow.
const OutputLimit = 16 << 20

// tailLines is how many last lines are kept for messages, and shown after an
// output that was too long.
const tailLines = 40

// liner cuts a stream into clean, redacted lines for a writer. One goroutine at a
// time uses it.
type liner struct {
	out     io.Writer // nil: nobody looks
	redact  *Redactor
	buf     []byte // the unfinished line
	cr      bool   // the last byte was \r
	passed  int
	dropped int64
	tail    []string // newest last
	err     error    // of the writer: remembered, and the output goes on being read
}

func (l *liner) write(p []byte) {
	for len(p) > 0 {
		i := bytes.IndexAny(p, "\n\r")
		if i < 0 {
			l.buf = append(l.buf, p...)
			l.cut()
			l.cr = false
			return
		}
		l.buf = append(l.buf, p[:i]...)
		l.cut()
		l.cr = l.cr && i == 0
		// A progress bar rewrites its line with \r: each state is a line. An empty
		// line is one only if it is not the second half of \r\n.
		if len(l.buf) > 0 || p[i] == '\n' && !l.cr {
			l.line(string(l.buf))
		}
		l.buf, l.cr = l.buf[:0], p[i] == '\r'
		p = p[i+1:]
	}
}

// cut passes on the front of a line that is too long, once enough of what follows
// is known that no secret is cut in two.
func (l *liner) cut() {
	keep := l.redact.margin() + utf8.UTFMax
	for len(l.buf) >= LineLimit+keep {
		l.buf = append(l.buf[:0], l.redact.Text(string(l.buf))...)
		if len(l.buf) < LineLimit+keep {
			return
		}
		n := LineLimit
		for n > LineLimit-utf8.UTFMax && !utf8.RuneStart(l.buf[n]) {
			n--
		}
		l.line(string(l.buf[:n]))
		l.buf = l.buf[:copy(l.buf, l.buf[n:])]
	}
}

func (l *liner) end() {
	if len(l.buf) > 0 {
		l.line(string(l.buf))
		l.buf = nil
	}
}

func (l *liner) line(s string) {
	if l.passed > OutputLimit {
		// Cleaning is what costs; of the rest only the last lines will be looked at.
		l.dropped += int64(len(s)) + 1
		l.keep(s)
		return
	}
	s = l.clean(s)
	l.keep(s)
	l.emit(s)
}

func (l *liner) clean(s string) string { return l.redact.Text(state.CleanLines(s)) }

func (l *liner) keep(s string) {
	if len(l.tail) == tailLines {
		l.tail = append(l.tail[:0], l.tail[1:]...)
	}
	l.tail = append(l.tail, s)
}

func (l *liner) emit(s string) {
	l.passed += len(s) + 1
	if l.out == nil || l.err != nil {
		return
	}
	_, l.err = io.WriteString(l.out, s+"\n")
}

// finish says what was left out and gives the last lines that say anything.
func (l *liner) finish() []string {
	for i, s := range l.tail {
		l.tail[i] = l.clean(s)
	}
	if l.dropped > 0 {
		l.emit(fmt.Sprintf("… %d MB of output left out; its last lines:", l.dropped>>20))
		for _, s := range l.tail {
			l.emit(s)
		}
	}
	var said []string
	for _, s := range l.tail {
		if strings.TrimSpace(s) != "" {
			said = append(said, s)
		}
	}
	return said
}
