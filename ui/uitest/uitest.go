// Package uitest helps the tests of the cockpit's panes: scenes to draw, and
// checks that what was drawn has the right size and has not changed.
package uitest

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"
)

// Exact fails the test unless s is exactly h lines of w cells. what names the case.
func Exact(t testing.TB, what, s string, w, h int) {
	t.Helper()
	if w <= 0 || h <= 0 {
		if s != "" {
			t.Fatalf("%s: %dx%d is not empty: %q", what, w, h, s)
		}
		return
	}
	lines := strings.Split(s, "\n")
	if len(lines) != h {
		t.Fatalf("%s: %d lines, want %d:\n%s", what, len(lines), h, s)
	}
	for i, l := range lines {
		if n := ansi.StringWidth(l); n != w {
			t.Fatalf("%s: line %d is %d cells, want %d: %q", what, i, n, w, l)
		}
		for _, r := range ansi.Strip(l) {
			if r < 0x20 || r == 0x7f {
				t.Fatalf("%s: line %d holds a control character: %q", what, i, l)
			}
		}
	}
}

// Golden compares got with testdata/name. With UPDATE=1 in the environment it
// writes the file instead; look at the difference before you commit it.
func Golden(t testing.TB, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if !strings.HasSuffix(got, "\n") {
		got += "\n"
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (UPDATE=1 writes it)", err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("%s has changed (UPDATE=1 accepts):\n%s", name, d)
	}
}

// scraps are what text from outside is made of.
var scraps = []string{"a", "error rate", "日本", "é", "e\u0301", "👩‍💻", "👍🏽", "🇩🇪", "\x1b[31m", "\x1b]0;x\x07",
	"\u200d", "\ufe0f", "\t", "\n", "…", " ", "ü", "%", "\u202e", "\x00", "\xff", "```", "|"}

// Junk gives text as hostile as the outside world's.
func Junk(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(14) {
		b.WriteString(scraps[r.IntN(len(scraps))])
	}
	return b.String()
}
