package ui

import (
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"mayday/state"
	"mayday/ui/theme"
	"mayday/ui/uitest"
)

func TestDeclare(t *testing.T) {
	o := Options{Now: func() time.Time { return uitest.Start }, Theme: theme.New(theme.Options{NoColor: true}), Width: 80, Height: 24}
	o.fill()
	d := newDeclare(o, "shop", DeclareForm{Severity: 1, Issue: "PROD-1"})
	for _, s := range sizes {
		d.Update(tea.WindowSizeMsg{Width: s.w, Height: s.h})
		uitest.Exact(t, "declare", d.frame(), s.w, s.h)
	}
	d.Update(tea.WindowSizeMsg{Width: 80, Height: 24})
	uitest.Golden(t, "declare-80x24-plain.golden", d.frame())
	d.Update(press("enter"))
	if d.done {
		t.Fatal("declared without a title")
	}
	for _, k := range []string{"D", "o", "w", "n", "enter", "up", "enter", "enter"} {
		d.Update(press(k))
	}
	d.Update(tea.PasteMsg{Content: "everybody"})
	d.Update(press("enter"))
	want := DeclareForm{Title: "Down", Severity: 0, Issue: "PROD-1", Impact: "everybody"}
	if !d.done || d.form != want {
		t.Errorf("form %+v, want %+v", d.form, want)
	}
	if !strings.Contains(strip(newDeclare(o, "shop", DeclareForm{}).frame()), state.Severity(1).Guidance()) {
		t.Error("the guidance is not shown")
	}
	for _, s := range []struct{ w, h int }{{20, 5}, {1, 1}, {0, 3}, {40, 10}} {
		d.Update(tea.WindowSizeMsg{Width: s.w, Height: s.h})
		uitest.Exact(t, "declare", d.frame(), s.w, s.h)
	}
}
