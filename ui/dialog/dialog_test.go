package dialog

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"mayday/ui/theme"
	"mayday/ui/uitest"
)

var now = uitest.Start

func form() Spec {
	return Spec{Title: "Status update", Intro: []string{"Guidance."}, Body: []Line{{Tone: Command, Text: "git push"}, {Tone: Diff, Text: "+new"}}, Button: "send", Fields: []Field{
		{Name: "to", Label: "To", Kind: Choice, Options: []Option{{Value: "team"}, {Value: "customers"}}},
		{Name: "eta", Label: "Expected", Required: true},
		{Name: "text", Label: "Message", Kind: Area},
	}}
}

func make1(s Spec) *Dialog { return New(theme.New(theme.Options{NoColor: true}), s) }

func keys(d *Dialog, names ...string) (last Outcome) {
	codes := map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "tab": tea.KeyTab, "up": tea.KeyUp, "down": tea.KeyDown, "pgdown": tea.KeyPgDown}
	for _, n := range names {
		k := tea.KeyPressMsg{Code: []rune(n)[0], Text: n}
		if c, ok := codes[n]; ok {
			k = tea.KeyPressMsg{Code: c}
		} else if rest, ok := strings.CutPrefix(n, "ctrl+"); ok {
			k = tea.KeyPressMsg{Code: []rune(rest)[0], Mod: tea.ModCtrl}
		}
		last = d.Key(k, now)
	}
	return last
}

func TestFillIn(t *testing.T) {
	d := make1(form())
	if d.Typing() {
		t.Error("letters are text in a choice")
	}
	keys(d, "down", "enter")
	if !d.Typing() {
		t.Fatal("enter did not go to the text field")
	}
	if out := keys(d, "ctrl+s"); out != Open {
		t.Fatal("submitted without what is needed")
	}
	if !strings.Contains(ansi.Strip(d.View(80, 24)), "expected is needed") {
		t.Error("why it was refused is not said")
	}
	keys(d, "5", "m", "enter", "h", "i", "enter", "y", "o")
	if out := keys(d, "tab"); out != Open {
		t.Fatal("tab submitted")
	}
	if out := keys(d, "enter"); out != Submitted {
		t.Fatalf("the button does not submit: %v", out)
	}
	v := d.Values()
	if v["to"] != "customers" || v["eta"] != "5m" || v["text"] != "hi\nyo" {
		t.Errorf("values %q", v)
	}
}

func TestLeaving(t *testing.T) {
	for _, k := range []string{"esc", "ctrl+c"} { // esc may lag, so it is not the only way
		if out := keys(make1(form()), k); out != Cancelled {
			t.Errorf("%s: %v", k, out)
		}
	}
	d := make1(form())
	keys(d, "tab")
	if keys(d, "q"); d.Values()["eta"] != "q" {
		t.Error("q in a text field is a letter")
	}
}

func TestWaitAndRefuse(t *testing.T) {
	d := make1(Spec{Title: "Run it?", Button: "run"})
	d.Wait("asking")
	if out := keys(d, "enter", "ctrl+s"); out != Open {
		t.Error("submitted while it waited")
	}
	d.Wait("")
	if out := keys(d, "enter"); out != Submitted {
		t.Error("not submitted when ready")
	}
	d.Refuse()
	if out := keys(d, "ctrl+s"); out == Submitted {
		t.Error("submitted what is not possible")
	}
	if out := keys(d, "enter"); out != Cancelled {
		t.Error("enter does not close")
	}
}

func TestIgnoresKeysInFlight(t *testing.T) {
	s := form()
	s.NotBefore = now.Add(time.Second)
	d := make1(s)
	if out := keys(d, "esc", "ctrl+s", "down"); out != Open || d.Values()["to"] != "team" || !d.Guarded(now) {
		t.Error("a key in flight was taken")
	}
}

func TestPaste(t *testing.T) {
	d := make1(form())
	d.Paste("lost", now)
	keys(d, "tab")
	d.Paste("a\nb\x1b[31mc", now)
	keys(d, "tab")
	d.Paste("one\ntwo\x1b]0;x\x07", now)
	v := d.Values()
	if v["eta"] != "a bc" || v["text"] != "one\ntwo" {
		t.Errorf("values %q", v)
	}
}

func TestScroll(t *testing.T) {
	s := Spec{Title: "Diff", Wide: true}
	for i := range 100 {
		s.Body = append(s.Body, Line{Tone: Diff, Text: fmt.Sprintf("+line %d", i)})
	}
	d := make1(s)
	d.View(80, 20)
	for range 20 {
		keys(d, "pgdown")
		d.View(80, 20)
	}
	if v := ansi.Strip(d.View(80, 20)); !strings.Contains(v, "line 99") || !strings.Contains(v, "of 100") {
		t.Errorf("the end is not reached:\n%s", v)
	}
}

// A dialog is a box that fits, whatever is in it and however small the screen is.
func TestFitsAnywhere(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		s := Spec{Title: uitest.Junk(r), Intro: []string{uitest.Junk(r), strings.Repeat("word ", r.IntN(60))}, Button: "go", Wide: r.IntN(2) == 0, Danger: r.IntN(2) == 0}
		for range r.IntN(30) {
			s.Body = append(s.Body, Line{Tone: Tone(r.IntN(6)), Text: uitest.Junk(r)})
		}
		for i := range r.IntN(4) {
			s.Fields = append(s.Fields, Field{Name: fmt.Sprint(i), Label: uitest.Junk(r), Kind: Kind(i % 3),
				Options: []Option{{Value: uitest.Junk(r), Help: uitest.Junk(r)}, {Value: "b"}}})
		}
		d := New(theme.New(theme.Options{}), s)
		for range r.IntN(4) {
			keys(d, "tab")
			d.Paste(uitest.Junk(r), now)
		}
		w, h := 1+r.IntN(150), 1+r.IntN(50)
		v := d.View(w, h)
		bw, bh := lipgloss.Width(v), lipgloss.Height(v)
		if bw > w || bh > h {
			t.Fatalf("%dx%d does not fit into %dx%d", bw, bh, w, h)
		}
		uitest.Exact(t, fmt.Sprint(w, "x", h), v, bw, bh)
	}
}

// What does not fit goes on under its column, or under its first letter.
func TestLinesHang(t *testing.T) {
	d := make1(Spec{Title: "Keys", Body: []Line{{Text: "i    the messages: how each fares, whom to call where one did not arrive", Indent: 5},
		{Text: "  Deployment app-stable: v1.2.3 6/6 ready"}, {Tone: Command, Text: "git push origin hotfix/about-one-login-in-twelve"}}})
	got := ansi.Strip(d.View(44, 20))
	for _, want := range []string{"│ i    the messages: how each fares, whom  │", "│      to call where one did not arrive    │",
		"│   Deployment app-stable: v1.2.3 6/6      │", "│   ready                                  │", "│   git push origin                        │", "│   hotfix/about-one-login-in-twelve       │"} {
		if !strings.Contains(strings.NewReplacer("┃", "│").Replace(got), want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// A message that is about to be sent does not look whole where it is not.
func TestAnAreaSaysThatThereIsMore(t *testing.T) {
	d := make1(Spec{Title: "Update", Button: "send", Fields: []Field{{Name: "text", Label: "Message", Kind: Area}}})
	d.SetValue("text", "one\ntwo\nthree\nfour\nfive\nsix")
	if s := ansi.Strip(d.View(60, 30)); strings.Contains(s, "longer than is shown") || !strings.Contains(s, "six") {
		t.Errorf("there is room for all:\n%s", s)
	}
	if s := ansi.Strip(d.View(60, 9)); !strings.Contains(s, "Message, longer than is shown") || strings.Contains(s, "six") {
		t.Errorf("there is no room for all:\n%s", s)
	}
}
