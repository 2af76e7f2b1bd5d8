package state

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clean makes text from outside (log lines, commit messages, labels, server
// errors) safe for a terminal and for one line: escape sequences and control
// characters go, line breaks and tabs become spaces, invalid UTF-8 and characters
// that change the direction of writing are dropped.
func Clean(s string) string {
	return strings.Join(strings.Fields(clean(s, false)), " ")
}

// CleanLines is Clean for output that keeps its lines. Tabs become four spaces.
func CleanLines(s string) string { return clean(s, true) }

func clean(s string, lines bool) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		if s[i] == 0x1b {
			i += escape(s[i:])
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		switch {
		case r == utf8.RuneError && n == 1:
		case r == '\n':
			if lines {
				b.WriteByte('\n')
			} else {
				b.WriteByte(' ')
			}
		case r == '\t':
			b.WriteString("    ")
		case r == 0x9b || r == 0x9d: // C1 forms of CSI and OSC
			i += sequence(s[i:], r == 0x9d)
		case unicode.IsControl(r), isBidi(r), r == 0xfeff, r == 0x2028, r == 0x2029:
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// escape says how many bytes the escape sequence at the start of s takes.
func escape(s string) int {
	if len(s) < 2 {
		return 1
	}
	switch s[1] {
	case '[':
		return 2 + sequence(s[2:], false)
	case ']', 'P', 'X', '^', '_': // OSC, DCS, SOS, PM, APC: a string up to BEL or ST
		return 2 + sequence(s[2:], true)
	}
	// Escapes with intermediates (such as "ESC ( B"): 0x20-0x2f, then one final.
	i := 1
	for i < len(s) && s[i] >= 0x20 && s[i] <= 0x2f {
		i++
	}
	if i < len(s) && s[i] < 0x7f && s[i] >= 0x30 {
		i++
	}
	return i
}

// sequence says how long the rest of a CSI (str false) or of a control string is.
// An unfinished control string ends with its line, so that one stray byte cannot
// swallow a whole log.
func sequence(s string, str bool) int {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case str && c == 0x07:
			return i + 1
		case str && c == 0x1b:
			if i+1 < len(s) && s[i+1] == '\\' {
				return i + 2
			}
			return i
		case str && c == '\n':
			return i
		case !str && c >= 0x40 && c <= 0x7e:
			return i + 1
		case !str && (c < 0x20 || c > 0x7e):
			return i
		}
	}
	return len(s)
}

func isBidi(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f || r == 0x061c
}
