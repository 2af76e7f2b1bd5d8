package report

import (
	"maps"
	"slices"
	"strings"
	"time"

	"mayday/state"
)

// marks are the characters that Markdown and HTML give a meaning inside a line.
var marks = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "|", `\|`, "~", `\~`, "#", `\#`,
	"$", `\$`, "&", "&amp;", "<", "&lt;", ">", "&gt;")

// escape makes text from outside plain text on one line of Markdown.
func escape(s string) string { return marks.Replace(state.Clean(s)) }

// code writes text as it is, in backticks; more of them than the text has in a row.
// A bar would end a table's cell even there, so code is not for tables.
func code(s string) string {
	s = state.Clean(s)
	run, longest := 0, 0
	for _, r := range s {
		if r == '`' {
			run++
		} else {
			run = 0
		}
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", longest+1)
	if longest > 0 {
		s = " " + s + " "
	}
	return fence + s + fence
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func clock(t time.Time) string { return t.UTC().Format(time.TimeOnly) }

func full(t time.Time) string {
	if t.IsZero() {
		return "not yet"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// took writes a duration to the second.
func took(d time.Duration) string { return state.Duration(max(d, 0).Round(time.Second)).String() }
