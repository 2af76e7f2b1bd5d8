package ui

import (
	"image/color"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"mayday/ui/uitest"
)

// A light terminal gets colours that can be read on it; nothing else changes, neither
// what is open nor what is typed, and where no colours are wanted nobody is asked.
func TestALightTerminalIsAskedAndObeyed(t *testing.T) {
	start := func(env ...string) *Model {
		o := Options{Session: &desk{}, Now: func() time.Time { return uitest.Start }, Color: "always", Env: append(env, "TERM=xterm-256color", "COLORTERM=truecolor"), Width: 140, Height: 45}
		o.fill()
		m := New(o)
		m.scene = uitest.Canary().Scene
		m.clock()
		return m
	}
	m := start()
	if m.o.askBackground() == nil {
		t.Fatal("the terminal is not asked")
	}
	for _, k := range []string{"n", "h", "e", "l", "p"} {
		m.Update(press(k))
	}
	dark := m.frame()
	m.Update(tea.BackgroundColorMsg{Color: color.White})
	light := m.frame()
	if dark == light || strip(dark) != strip(light) {
		t.Errorf("changed %v, words kept %v", dark != light, strip(dark) == strip(light))
	}
	for _, pane := range []tab{tabList, tabMetrics, tabTimeline, tabRollout, tabOutput} {
		m.modal, m.zoom = nil, true
		m.goTo(pane)
		fresh := start()
		fresh.Update(tea.BackgroundColorMsg{Color: color.White})
		fresh.zoom = true
		fresh.goTo(pane)
		if m.frame() != fresh.frame() {
			t.Errorf("%s is not drawn as one that was light from the start", tabNames[pane])
		}
	}
	m.Update(tea.BackgroundColorMsg{Color: color.Black})
	if again := start(); m.frame() == "" || func() bool { again.zoom = true; again.goTo(tabOutput); return again.frame() != m.frame() }() {
		t.Error("back on a dark one, it is not as before")
	}
	o := Options{Session: &desk{}, Now: time.Now, Color: "never", Width: 80, Height: 24}
	o.fill()
	if o.askBackground() != nil {
		t.Error("without colours the terminal is asked for its background")
	}
}
