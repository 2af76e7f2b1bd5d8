package slack

import (
	"iter"
	"regexp"
	"strings"
	"unicode/utf8"
)

// escape is what Slack asks for: the three characters that control its markup. What
// somebody typed mentions nobody and links nowhere.
func escape(s string) string { return markup.Replace(s) }

var markup = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// runes cuts a plain text to so many characters.
func runes(s string, limit int) string {
	if r := []rune(s); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return s
}

// octets cuts an escaped text to so many bytes; none of a character or an entity
// stays behind.
func octets(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	n := limit - len("…")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	out := s[:n]
	if amp := strings.LastIndexByte(out, '&'); amp >= 0 && !strings.Contains(out[amp:], ";") {
		out = out[:amp]
	}
	return out + "…"
}

// sections splits a text at line ends, and lines that are longer than a section
// between characters, and escapes it.
func sections(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		var part []rune
		flush := func() bool {
			s := strings.Trim(string(part), "\n")
			part = part[:0]
			return s == "" || yield(s)
		}
		for line := range strings.Lines(text) {
			for _, r := range line {
				c := 1
				if strings.ContainsRune("&<>", r) {
					c = len(escape(string(r)))
				}
				if len(part)+c > maxSection && !flush() {
					return
				}
				if c == 1 {
					part = append(part, r)
				} else {
					part = append(part, []rune(escape(string(r)))...)
				}
			}
			// A line that would not fit any more begins the next one.
			if len(part) > maxSection/2 && !flush() {
				return
			}
		}
		flush()
	}
}

var unfit = regexp.MustCompile("[^a-z0-9]+")

// word keeps of a name what Slack allows in a channel's: lower case letters, digits
// and dashes, at most 80.
func word(name string) string {
	name = strings.Trim(unfit.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if len(name) > maxName {
		name = strings.TrimRight(name[:maxName], "-")
	}
	return name
}
