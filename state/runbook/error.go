package runbook

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mattn/go-runewidth"

	"mayday/state"
)

// Issue is one mistake in a runbook.
type Issue struct {
	Line, Column int // from 1, in characters; 0 where the whole file is meant
	Text         string
}

// Error is everything that is wrong with a runbook, in the order of the file. Its
// text is for a person: each mistake with file, line, column, the lines around it
// and a caret. errors.As finds it, and in it a *state.Problem with code "runbook".
type Error struct {
	Path   string
	Issues []Issue

	source []string
	secret [2]int // lines that may hold webhook URLs: first, and one past the last
}

// maxShown bounds how many mistakes are shown at once.
const maxShown = 10

func (e *Error) Error() string {
	var b strings.Builder
	for i, is := range e.Issues {
		if i == maxShown {
			fmt.Fprintf(&b, "and %d more\n", len(e.Issues)-i)
			break
		}
		b.WriteString(e.where(is) + is.Text + "\n")
		b.WriteString(e.excerpt(is))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Unwrap gives the error as a problem for a dialog.
func (e *Error) Unwrap() error {
	first := e.Issues[0]
	what := "the runbook has a mistake"
	if n := len(e.Issues); n > 1 {
		what = fmt.Sprintf("the runbook has %d mistakes, the first", n)
	}
	return &state.Problem{What: what, Why: e.where(first) + first.Text, Do: "Correct the file and try again.", Code: "runbook"}
}

func (e *Error) where(is Issue) string {
	if is.Line == 0 {
		return e.Path + ": "
	}
	return fmt.Sprintf("%s:%d:%d: ", e.Path, is.Line, is.Column)
}

// excerpt shows the line before, the line, a caret under the column, the line after.
func (e *Error) excerpt(is Issue) string {
	if is.Line < 1 || is.Line > len(e.source) {
		return ""
	}
	var b strings.Builder
	for n := max(is.Line-1, 1); n <= min(is.Line+1, len(e.source)); n++ {
		text := e.line(n)
		if n != is.Line && strings.TrimSpace(text) == "" {
			continue
		}
		fmt.Fprintf(&b, "%6d | %s\n", n, text)
		if n == is.Line {
			raw := []rune(e.source[n-1])
			before := state.CleanLines(string(raw[:min(max(is.Column-1, 0), len(raw))]))
			fmt.Fprintf(&b, "       | %s^\n", strings.Repeat(" ", runewidth.StringWidth(before)))
		}
	}
	return b.String()
}

var address = regexp.MustCompile(`(https?://[^/\s"']+/)[^\s"']+`)

// service matches URLs of services, whose tokens stand where hosts and users do.
var service = regexp.MustCompile(`[a-z][a-z0-9+.-]*://[^\s"']+`)

// misplaced matches secrets that somebody wrote where only their file or variable
// belongs, and passwords in addresses.
var misplaced = regexp.MustCompile(`(?i)((?:password|credentials|secrets?|token)["']?\s*:\s*|://[^/\s:@"']*:)[^\s,}\]@][^,}@]*`)

// line gives a source line as it may be shown: webhook URLs are secrets.
func (e *Error) line(n int) string {
	text := state.CleanLines(e.source[n-1])
	text = misplaced.ReplaceAllString(text, "${1}…")
	if n >= e.secret[0] && n < e.secret[1] {
		text = service.ReplaceAllStringFunc(text, func(s string) string {
			if strings.HasPrefix(s, "http") {
				return s
			}
			return s[:strings.Index(s, "://")+3] + "…"
		})
		text = address.ReplaceAllString(text, "${1}…")
	}
	if r := []rune(text); len(r) > 160 {
		text = string(r[:159]) + "…"
	}
	return text
}

func (e *Error) sort() {
	slices.SortStableFunc(e.Issues, func(a, b Issue) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}

// nearest gives the word that was probably meant, "" where none is near.
func nearest(got string, words []string) string {
	best, found := 1+max(len(got), 3)/3, ""
	for _, w := range words {
		if d := distance(strings.ToLower(got), strings.ToLower(w)); d < best {
			best, found = d, w
		}
	}
	return found
}

// hint ends a message with what was probably meant, else with what there is.
func hint(got string, words []string) string {
	if w := nearest(got, words); w != "" {
		return fmt.Sprintf("; did you mean %q?", w)
	}
	return "; use " + oneOf(words)
}

func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// distance counts the letters to change, add, drop or swap with their neighbour.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(x)][len(y)]
}
