package theme

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"mayday/state"
)

// Width is the number of cells text takes, escapes not counted.
func Width(s string) int {
	if n, ok := narrow(s); ok {
		return n
	}
	return ansi.StringWidth(s)
}

// narrow counts the cells of what the screen is mostly made of: letters and the glyphs
// of boxes, blocks and braille, a cell each, and colours. ok is false for all else,
// which takes a look at whole grapheme clusters, fifty times as long.
func narrow(s string) (n int, ok bool) {
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c >= ' ' && c < 0x7f:
			i++
			n++
		case c == 0x1b:
			end := colour(s[i:])
			if end == 0 {
				return 0, false
			}
			i += end
		case c == 0xe2: // U+2000 to U+2FFF
			r, size := utf8.DecodeRuneInString(s[i:])
			if !(r >= 0x2500 && r <= 0x25fc || r >= 0x2800 && r <= 0x28ff || r == '…' || r == '–' || r == '✓') {
				return 0, false
			}
			i += size
			n++
		default:
			return 0, false
		}
	}
	return n, true
}

// colour gives the length of the sequence that s begins with, if it sets a style.
func colour(s string) int {
	for i := 2; i < len(s) && s[1] == '['; i++ {
		switch c := s[i]; {
		case c == 'm':
			return i + 1
		case c != ';' && c != ':' && (c < '0' || c > '9'):
			return 0
		}
	}
	return 0
}

// Fit makes text exactly w cells wide: cut with an ellipsis or filled with
// spaces. It knows escapes and wide characters. w below 1 gives nothing.
func Fit(s string, w int) string {
	if w <= 0 {
		return ""
	}
	n := Width(s)
	if n > w {
		s = ansi.Truncate(s, w, Ellipsis)
		n = ansi.StringWidth(s) // a wide character may have left a gap
	}
	if n < w {
		s += Blank(w - n)
	}
	return s
}

// Cut shortens text to at most w cells, without filling.
func Cut(s string, w int) string {
	if w <= 0 {
		return ""
	}
	if Width(s) <= w {
		return s
	}
	return ansi.Truncate(s, w, Ellipsis)
}

// FitLeft is Fit with the text at the right edge.
func FitLeft(s string, w int) string {
	if n := Width(s); n < w {
		return Blank(w-n) + s
	}
	return Fit(s, w)
}

// Row lays one text at the left edge and one at the right. Where both do not fit,
// the left one is cut: the right one is a verdict or a time.
func Row(left, right string, w int) string {
	rw := Width(right)
	if rw == 0 {
		return Fit(left, w)
	}
	if rw >= w {
		return Fit(right, w)
	}
	return Fit(left, w-rw-1) + " " + right
}

// RowLeft is Row where the left text wins: the right one is cut, or left out when
// fewer than four cells would remain of it.
func RowLeft(left, right string, w int) string {
	lw, rw := Width(left), Width(right)
	room := w - lw - 1
	if rw == 0 || room < min(rw, 4) {
		return Fit(left, w)
	}
	return left + " " + FitLeft(Cut(right, room), room)
}

// Blank gives n spaces; none for n below 1.
func Blank(n int) string { return Repeat(" ", n) }

// Repeat is strings.Repeat that takes a negative count for none.
func Repeat(s string, n int) string {
	if n <= 0 {
		return ""
	}
	return strings.Repeat(s, n)
}

// Safe makes text from outside fit for one line of the screen: what state.Clean
// does, and without characters that terminals disagree on how wide they are
// (joiners, variation selectors, skin tones).
func Safe(s string) string {
	if simple(s) {
		return s
	}
	return strings.Map(agreed, state.Clean(s))
}

// Verbatim is Safe for lines whose spaces matter: output of commands, diffs.
func Verbatim(s string) string {
	if simple(s) {
		return s
	}
	return strings.Map(agreed, strings.ReplaceAll(state.CleanLines(s), "\n", " "))
}

// agreed drops the characters of no agreed width.
func agreed(r rune) rune {
	if unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Variation_Selector, r) || r >= 0x1f3fb && r <= 0x1f3ff {
		return -1
	}
	return r
}

// simple reports whether every byte is one printable cell.
func simple(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// Wrap breaks plain text into lines of at most w cells, at spaces where it can and
// nowhere else: a command must not be broken inside a flag. Text that fits stays
// one line; w below 1 gives none.
func Wrap(s string, w int) []string {
	if w <= 0 {
		return nil
	}
	var out []string
	for {
		// A cell rarely takes more than 16 bytes: the rest need not be looked at.
		part := s[:min(len(s), 16*w)]
		for len(part) < len(s) && len(part) > 0 && !utf8.RuneStart(s[len(part)]) {
			part = part[:len(part)-1]
		}
		if len(part) == len(s) && Width(s) <= w {
			return append(out, s)
		}
		n := len(ansi.Truncate(part, w, ""))
		if n == 0 { // a wide character in a single cell
			_, n = utf8.DecodeRuneInString(s)
			out, s = append(out, Ellipsis), s[n:]
			continue
		}
		if i := strings.LastIndexByte(s[:n], ' '); n < len(s) && s[n] != ' ' && strings.TrimSpace(s[:max(i, 0)]) != "" {
			n = i
		}
		out = append(out, strings.TrimRight(s[:n], " "))
		s = strings.TrimLeft(s[n:], " ")
	}
}
