package theme

import (
	"fmt"
	"image/color"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/colorprofile"
	"github.com/charmbracelet/x/ansi"

	"mayday/state"
)

// scraps are what labels from outside are made of.
var scraps = []string{"a", "error rate", "日本", "é", "e\u0301", "👩‍💻", "👍🏽", "🇩🇪", "\x1b[31m", "\x1b]0;x\x07", "\u200d", "\ufe0f", "\t", "\n", "…", " ", "ü"}

func scrap(r *rand.Rand) string {
	var b strings.Builder
	for range r.IntN(12) {
		b.WriteString(scraps[r.IntN(len(scraps))])
	}
	return b.String()
}

func themes() map[string]*Theme {
	return map[string]*Theme{
		"colour": New(Options{}), "no colour": New(Options{NoColor: true}),
		"256": New(Options{Profile: colorprofile.ANSI256}), "16": New(Options{Profile: colorprofile.ANSI}),
		"light": New(Options{Light: true}), "light 16": New(Options{Light: true, Profile: colorprofile.ANSI}),
		"no tty": New(Options{Profile: colorprofile.NoTTY}),
	}
}

// Everything that is read stands out from the background, dark or light, by as much as
// WCAG 2.2 asks for (4.5 to 1); what is less than secondary by half of that.
func TestTextStandsOutFromBothBackgrounds(t *testing.T) {
	for _, p := range []colorprofile.Profile{colorprofile.TrueColor, colorprofile.ANSI256} {
		for _, light := range []bool{false, true} {
			o := Options{Profile: p, Light: light}
			grounds := []color.Color{rgb(18, 18, 18)}
			if light {
				grounds = []color.Color{rgb(255, 255, 255), rgb(253, 246, 227)} // the second is Solarized's
			}
			for name, x := range map[string]tint{"green": green, "blue": blue, "amber": amber, "red": red, "violet": violet, "grey": grey, "text": text, "ink": ink, "dim": dim} {
				want := 4.5
				if name == "dim" {
					want = 2.25
				}
				for _, ground := range grounds {
					if c := contrast(x.in(o), ground); c < want {
						t.Errorf("%s, light %v, %v: contrast %.2f, want %.2f", name, light, p, c, want)
					}
				}
				if name == "text" || name == "ink" { // rows under the cursor
					if c := contrast(x.in(o), shade.in(o)); c < want {
						t.Errorf("%s over the cursor's row, light %v, %v: contrast %.2f", name, light, p, c)
					}
				}
			}
			for name, pair := range map[string][2]tint{"armed": {white, wine}, "badge": {white, red}} {
				if c := contrast(pair[0].in(o), pair[1].in(o)); c < 3 { // bold
					t.Errorf("%s, light %v, %v: contrast %.2f", name, light, p, c)
				}
			}
		}
	}
}

// contrast is WCAG's ratio of relative luminances.
func contrast(a, b color.Color) float64 {
	lum := func(c color.Color) float64 {
		r, g, b, _ := c.RGBA()
		lin := func(v uint32) float64 {
			f := float64(v) / 0xffff
			if f <= 0.04045 {
				return f / 12.92
			}
			return math.Pow((f+0.055)/1.055, 2.4)
		}
		return 0.2126*lin(r) + 0.7152*lin(g) + 0.0722*lin(b)
	}
	x, y := lum(a), lum(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func exact(t *testing.T, what, s string, w, h int) {
	t.Helper()
	lines := strings.Split(s, "\n")
	if w <= 0 || h <= 0 {
		if s != "" {
			t.Fatalf("%s: %dx%d is not empty: %q", what, w, h, s)
		}
		return
	}
	if len(lines) != h {
		t.Fatalf("%s: %d lines, want %d", what, len(lines), h)
	}
	for i, l := range lines {
		if n := ansi.StringWidth(l); n != w {
			t.Fatalf("%s: line %d is %d cells, want %d: %q", what, i, n, w, l)
		}
		if n := ansi.StringWidthWc(l); n != w {
			t.Fatalf("%s: line %d is %d cells as old terminals count, want %d: %q", what, i, n, w, l)
		}
	}
}

func TestBoxIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	all := themes()
	for range 800 {
		w, h := r.IntN(60)-2, r.IntN(12)-1
		for name, th := range all {
			body := []string{th.Good.Render(Safe(scrap(r))), Safe(scrap(r)) + th.Bad.Render("x"), Row(Safe(scrap(r)), th.Past.Render(Safe(scrap(r))), w-4)}
			box := th.Box(th.Head(Safe(scrap(r)), Safe(scrap(r))), Safe(scrap(r)), body, w, h, r.IntN(2) == 0)
			exact(t, fmt.Sprintf("%s %dx%d", name, w, h), box, w, h)
		}
	}
}

func TestRows(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Fit("abc", 5), "abc  "},
		{Fit("abcdef", 4), "abc…"},
		{Fit("日本語", 4), "日… "},
		{Fit("x", 0), ""},
		{FitLeft("4 s", 5), "  4 s"},
		{Row("left", "right", 12), "left   right"},
		{Row("a long left", "right", 10), "a l… right"},
		{Row("left", "very right", 5), "very…"},
		{RowLeft("database backup verified", "412 MB, 3 min old", 36), "database backup verified 412 MB, 3 …"},
		{RowLeft("title", "right", 7), "title  "},
		{Safe("a\x1b[31mb\u200d\tc"), "ab c"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// The quick way to a width gives what the long one does, wherever it gives anything.
func TestWidthIsThatOfTheTerminal(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	th := New(Options{})
	quick := 0
	for i := range 20000 {
		s := scrap(r)
		if i%2 == 0 {
			s = th.Good.Render("▁▇●○▶") + string(rune(0x2000+r.IntN(0x1000))) + th.Selected.Over(th.Bad.Render("⣀⠉ ✓…–─│╭"+string(rune(0x2800+r.IntN(0x100))))+"x") + scrap(r)
		}
		if _, ok := narrow(s); ok {
			quick++
		}
		if got, want := Width(s), ansi.StringWidth(s); got != want {
			t.Fatalf("%q: %d cells, want %d", s, got, want)
		}
	}
	if quick < 1000 {
		t.Errorf("only %d went the quick way", quick)
	}
	for c := rune(0x2000); c < 0x3000; c++ {
		if s := "a" + string(c) + "b"; Width(s) != ansi.StringWidth(s) {
			t.Errorf("%U: %d cells, want %d", c, Width(s), ansi.StringWidth(s))
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		in   string
		w    int
		want string
	}{
		{"fits", 10, "fits"},
		{"", 10, ""},
		{"kubectl scale app --replicas=0", 22, "kubectl scale app|--replicas=0"},
		{"abcdefgh", 3, "abc|def|gh"},
		{"    indented text", 12, "    indented|text"},
		{"日本語", 4, "日本|語"},
		{"日x", 1, "…|x"},
		{strings.Repeat("é", 100), 99, strings.Repeat("é", 99) + "|é"},
	} {
		if got := strings.Join(Wrap(c.in, c.w), "|"); got != c.want {
			t.Errorf("%q in %d: got %q, want %q", c.in, c.w, got, c.want)
		}
	}
	r := rand.New(rand.NewPCG(1, 3))
	for range 1000 {
		s, w := Safe(scrap(r)+scrap(r)+scrap(r)), 1+r.IntN(30)
		for _, l := range Wrap(s, w) {
			if ansi.StringWidth(l) > w {
				t.Fatalf("%q in %d: %q", s, w, l)
			}
		}
	}
}

func TestTimes(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Clock(11*time.Minute + 18*time.Second), "11:18"},
		{Clock(-161 * time.Second), "-02:41"},
		{Clock(71*time.Minute + 18*time.Second), "1:11:18"},
		{Elapsed(18*time.Minute + 42*time.Second), "00:18:42"},
		{Elapsed(-time.Second), "00:00:00"},
		{Age(41 * time.Second), "41s"},
		{Age(3 * time.Minute), "3m"},
		{Age(1 << 62), "999d"},
		{Span(1800 * time.Millisecond), "1.8 s"},
		{Span(25 * time.Second), "25 s"},
		{Span(3 * time.Minute), "3 min"},
		{Span(4 * time.Hour), "4 h"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestPlainHasNoColours(t *testing.T) {
	th := New(Options{NoColor: true})
	colour := regexp.MustCompile(`\x1b\[[0-9;:]*[34][0-8][0-9;:]*m`)
	words := map[string]bool{}
	for _, s := range []state.ItemStatus{state.ItemOpen, state.ItemRunning, state.ItemDone, state.ItemFailed, state.ItemCancelled,
		state.ItemInterrupted, state.ItemOverridden, state.ItemNotNeeded, state.ItemAsking} {
		g, word, st := th.Status(s)
		if ansi.StringWidth(g) != 1 || words[word] {
			t.Errorf("status %s: glyph %q, word %q", s, g, word)
		}
		words[word] = true
		if out := st.Render(word); colour.MatchString(out) {
			t.Errorf("status %s is coloured: %q", s, out)
		}
	}
	box := th.Box(th.Head("a", "b"), th.Badge.Render("c"), []string{th.Key.Render("d")}, 20, 3, true)
	if colour.MatchString(box) || !strings.Contains(box, "┏") {
		t.Errorf("a focused box without colours must be heavy and uncoloured: %q", box)
	}
	if out := New(Options{Profile: colorprofile.NoTTY}).Bad.Render("x"); out != "x" {
		t.Errorf("no terminal, but styled: %q", out)
	}
}

func TestOverKeepsTheRow(t *testing.T) {
	th := New(Options{NoColor: true})
	got := th.Selected.Over("a" + th.Strong.Render("b") + "c")
	if want := "\x1b[7ma\x1b[1mb\x1b[m\x1b[7mc\x1b[m"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func BenchmarkBox(b *testing.B) {
	th := New(Options{})
	body := make([]string, 50)
	for i := range body {
		body[i] = Row(th.Good.Render("✓")+" something done", th.Past.Render("02:10"), 136)
	}
	for b.Loop() {
		th.Box(th.Head("Checklist", "10/18"), "", body, 140, 52, true)
	}
}
