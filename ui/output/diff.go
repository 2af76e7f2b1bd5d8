package output

import (
	"strings"

	"mayday/ui/theme"
)

// Diff draws the lines of a unified diff in at most w cells each; longer ones go
// on in the next line, for a reviewer must see all of them.
func Diff(t *theme.Theme, lines []string, w int) []string {
	var out []string
	for _, line := range lines {
		st := diffStyle(t, line)
		for _, part := range wrap(line, w) {
			out = append(out, st.Render(part))
		}
	}
	return out
}

func diffStyle(t *theme.Theme, line string) theme.Style {
	switch {
	case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"), strings.HasPrefix(line, "diff "):
		return t.Strong
	case strings.HasPrefix(line, "@@"):
		return t.Running
	case strings.HasPrefix(line, "+"):
		return t.Good
	case strings.HasPrefix(line, "-"):
		return t.Bad
	case strings.HasPrefix(line, "index "):
		return t.Past
	}
	return t.Text
}

// paint gives each line of an action's output its style. A minus is red only
// inside a diff: elsewhere it begins a list.
func paint(t *theme.Theme, lines []string) []theme.Style {
	out := make([]theme.Style, len(lines))
	diff := false
	for i, l := range lines {
		switch {
		case strings.HasPrefix(l, "diff --git "), strings.HasPrefix(l, "@@ -"):
			diff = true
		case diff && !inDiff(l):
			diff = false
		}
		if diff {
			out[i] = diffStyle(t, l)
		} else {
			out[i] = plainStyle(t, l)
		}
	}
	return out
}

// inDiff reports whether a line may belong to a diff that has begun.
func inDiff(l string) bool {
	if l == "" {
		return false
	}
	if strings.IndexByte("+- @\\", l[0]) >= 0 {
		return true
	}
	for _, p := range []string{"index ", "new file", "deleted file", "old mode", "new mode", "similarity", "rename ", "Binary "} {
		if strings.HasPrefix(l, p) {
			return true
		}
	}
	return false
}

// plainStyle marks what test runners and tools say in the first words of a line.
func plainStyle(t *theme.Theme, l string) theme.Style {
	head := strings.ToLower(strings.TrimLeft(l[:min(len(l), 40)], " "))
	for _, p := range []string{"fail", "--- fail", "error", "panic:", "fatal:", "not ok"} {
		if strings.HasPrefix(head, p) {
			return t.Bad
		}
	}
	for _, p := range []string{"pass", "--- pass", "ok "} {
		if strings.HasPrefix(head, p) {
			return t.Good
		}
	}
	if strings.HasPrefix(head, "warn") {
		return t.Warn
	}
	return t.Text
}
