package term

import (
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// Screen is what a terminal would show after the bytes written to it: text only,
// without colours, and every rune one cell wide, which is all that mayday draws.
// Not safe for concurrent use.
type Screen struct {
	w, h        int
	cells       [][]rune
	x, y        int
	top, bottom int // of the scrolling region
	last        rune
	parser      *ansi.Parser
}

// NewScreen makes an empty screen of w×h cells.
func NewScreen(w, h int) *Screen {
	s := &Screen{w: w, h: h, bottom: h - 1, parser: ansi.NewParser()}
	for range h {
		s.cells = append(s.cells, blank(w))
	}
	s.parser.SetHandler(ansi.Handler{Print: s.print, Execute: s.execute, HandleCsi: s.csi, HandleEsc: s.esc})
	return s
}

// Write takes in what a program wrote. It never fails.
func (s *Screen) Write(p []byte) (int, error) {
	s.parser.Parse(p)
	return len(p), nil
}

// String is the text on the screen, its lines joined by newlines.
func (s *Screen) String() string {
	var b strings.Builder
	b.Grow(s.h * (s.w + 1))
	for i, line := range s.cells {
		if i > 0 {
			b.WriteByte('\n')
		}
		for _, r := range line {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func blank(w int) []rune { return slices.Repeat([]rune{' '}, w) }

func (s *Screen) print(r rune) {
	if s.x >= s.w { // the cursor waits behind the last column until something is printed
		s.x = 0
		s.lineFeed()
	}
	s.cells[s.y][s.x] = r
	s.x++
	s.last = r
}

func (s *Screen) execute(b byte) {
	switch b {
	case '\r':
		s.x = 0
	case '\n':
		s.lineFeed()
	case '\b':
		s.x = max(min(s.x, s.w-1)-1, 0)
	case '\t':
		s.x = min((s.x/8+1)*8, s.w-1)
	}
}

func (s *Screen) lineFeed() {
	if s.y == s.bottom {
		s.scroll(s.top, 1)
		return
	}
	s.y = min(s.y+1, s.h-1)
}

// scroll moves the lines from a line of the region to the region's end up by n, or
// down where n is negative.
func (s *Screen) scroll(from, n int) {
	part := s.cells[from : s.bottom+1]
	gone := min(max(n, -n), len(part))
	if n > 0 {
		copy(part, part[gone:])
		part = part[len(part)-gone:]
	} else {
		copy(part[gone:], part)
		part = part[:gone]
	}
	for i := range part {
		part[i] = blank(s.w)
	}
}

func (s *Screen) esc(c ansi.Cmd) {
	if c.Final() != 'M' || c.Intermediate() != 0 {
		return
	}
	if s.y == s.top {
		s.scroll(s.top, -1)
		return
	}
	s.y = max(s.y-1, 0)
}

func (s *Screen) csi(c ansi.Cmd, params ansi.Params) {
	if c.Prefix() != 0 || c.Intermediate() != 0 {
		if n, _, _ := params.Param(0, 0); c.Prefix() == '?' && c.Final() == 'h' && n == 1049 {
			s.erase(0, 0, s.h-1, s.w)
			s.x, s.y = 0, 0
		}
		return
	}
	arg := func(i, def int) int {
		n, _, _ := params.Param(i, def)
		if n == 0 {
			return def
		}
		return n
	}
	n := arg(0, 1)
	switch c.Final() {
	case 'A':
		s.move(s.x, s.y-n)
	case 'B':
		s.move(s.x, s.y+n)
	case 'C', 'a':
		s.move(s.x+n, s.y)
	case 'D':
		s.move(min(s.x, s.w-1)-n, s.y)
	case 'G', '`':
		s.move(n-1, s.y)
	case 'd':
		s.move(s.x, n-1)
	case 'H', 'f':
		s.move(arg(1, 1)-1, n-1)
	case 'I':
		s.move((s.x/8+n)*8, s.y)
	case 'Z':
		s.move(((s.x+7)/8-n)*8, s.y)
	case 'b':
		for range n {
			s.print(s.last)
		}
	case 'r':
		s.top, s.bottom = n-1, min(arg(1, s.h), s.h)-1
		s.x, s.y = 0, 0
	default:
		s.edit(c.Final(), n, arg(0, 0))
	}
}

func (s *Screen) move(x, y int) { s.x, s.y = min(max(x, 0), s.w-1), min(max(y, 0), s.h-1) }

// edit is the rest of the sequences: those that erase, insert and delete. mode is
// the argument of those that erase in a direction.
func (s *Screen) edit(final byte, n, mode int) {
	x := min(s.x, s.w-1)
	line := s.cells[s.y]
	switch final {
	case 'J':
		switch mode {
		case 0:
			s.erase(s.y, x, s.h-1, s.w)
		case 1:
			s.erase(0, 0, s.y, x+1)
		default:
			s.erase(0, 0, s.h-1, s.w)
		}
	case 'K':
		switch mode {
		case 0:
			s.erase(s.y, x, s.y, s.w)
		case 1:
			s.erase(s.y, 0, s.y, x+1)
		default:
			s.erase(s.y, 0, s.y, s.w)
		}
	case 'X':
		s.erase(s.y, x, s.y, min(x+n, s.w))
	case '@':
		n = min(n, s.w-x)
		copy(line[x+n:], line[x:])
		s.erase(s.y, x, s.y, x+n)
	case 'P':
		n = min(n, s.w-x)
		copy(line[x:], line[x+n:])
		s.erase(s.y, s.w-n, s.y, s.w)
	case 'L':
		s.scroll(s.y, -n)
		s.x = 0
	case 'M':
		s.scroll(s.y, n)
		s.x = 0
	case 'S':
		s.scroll(s.top, n)
	case 'T':
		s.scroll(s.top, -n)
	}
}

// erase blanks from column x of line y up to, not with, column toX of line toY.
func (s *Screen) erase(y, x, toY, toX int) {
	for ; y <= toY; y, x = y+1, 0 {
		end := s.w
		if y == toY {
			end = toX
		}
		for i := x; i < end; i++ {
			s.cells[y][i] = ' '
		}
	}
}
