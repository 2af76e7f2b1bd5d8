package ui

import (
	"fmt"
	"time"

	tea "charm.land/bubbletea/v2"

	"mayday/ui/theme"
)

// film is the state of the player; the cursor is the Film's own.
type film struct {
	playing bool
	speed   float64
	gen     int
	last    time.Time // when the cursor moved last while playing
}

// playEvery is how often a playing film is moved on.
const playEvery = 100 * time.Millisecond

type playMsg int

var speeds = []float64{0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300}

func replayKeys() []binding {
	seek := func(d time.Duration) func(*Model) tea.Cmd {
		return func(m *Model) tea.Cmd { m.seek(m.o.Film.Now().Add(d)); return nil }
	}
	move := func(f func(Film)) func(*Model) tea.Cmd {
		return func(m *Model) tea.Cmd { f(m.o.Film); m.takeScene(); return nil }
	}
	mark := func(find func(Film) bool, none string) func(*Model) tea.Cmd {
		return func(m *Model) tea.Cmd {
			if !find(m.o.Film) {
				m.say(toneInfo, none)
			}
			m.takeScene()
			return nil
		}
	}
	return []binding{
		{keys: []string{"space", "p"}, short: "play", in: replaying, help: "play and pause", do: (*Model).play},
		{keys: []string{"left", "h"}, show: "←→", short: "event", in: replaying, help: "one event back", do: move(func(f Film) { f.Step(-1) })},
		{keys: []string{"right", "l"}, in: replaying, help: "one event on", do: move(func(f Film) { f.Step(1) })},
		{keys: []string{"[", "shift+left"}, show: "[ ]", short: "10 s", in: replaying, help: "ten seconds back", do: seek(-10 * time.Second)},
		{keys: []string{"]", "shift+right"}, in: replaying, help: "ten seconds on", do: seek(10 * time.Second)},
		{keys: []string{"{", "ctrl+left"}, in: replaying, help: "a minute back", do: seek(-time.Minute)},
		{keys: []string{"}", "ctrl+right"}, in: replaying, help: "a minute on", do: seek(time.Minute)},
		{keys: []string{"n", "m"}, short: "marker", in: replaying, help: "the next marker: a decision, a stage, a rollback", do: mark(Film.NextMark, "there is no marker after this")},
		{keys: []string{"N", "M"}, in: replaying, help: "the marker before", do: mark(Film.PrevMark, "there is no marker before this")},
		{keys: []string{"+", "="}, show: "+-", short: "speed", in: replaying, help: "faster", do: func(m *Model) tea.Cmd { m.faster(1); return nil }},
		{keys: []string{"-"}, in: replaying, help: "slower", do: func(m *Model) tea.Cmd { m.faster(-1); return nil }},
		{keys: []string{"home"}, in: replaying, help: "to the start of the recording", do: func(m *Model) tea.Cmd { from, _ := m.o.Film.Bounds(); m.seek(from); return nil }},
		{keys: []string{"end"}, in: replaying, help: "to its end", do: func(m *Model) tea.Cmd { _, to := m.o.Film.Bounds(); m.seek(to); return nil }},
	}
}

// takeScene shows what the film shows at its cursor.
func (m *Model) takeScene() {
	m.scene = m.o.Film.Scene()
	m.gen.events++
	m.gen.samples++
	m.gen.output++
	m.clock()
}

func (m *Model) seek(at time.Time) {
	from, to := m.o.Film.Bounds()
	if at.Before(from) {
		at = from
	}
	if at.After(to) {
		at = to
	}
	m.o.Film.Seek(at)
	m.takeScene()
}

// seekClock goes to a time of day on the day where the cursor is.
func (m *Model) seekClock(at time.Time) {
	now := m.o.Film.Now()
	m.seek(time.Date(now.Year(), now.Month(), now.Day(), at.Hour(), at.Minute(), at.Second(), 0, now.Location()))
}

func (m *Model) play() tea.Cmd {
	m.film.gen++
	m.film.playing = !m.film.playing
	if !m.film.playing {
		return nil
	}
	if _, to := m.o.Film.Bounds(); !m.o.Film.Now().Before(to) {
		from, _ := m.o.Film.Bounds()
		m.seek(from)
	}
	m.film.last = m.real
	return m.playOn()
}

func (m *Model) playOn() tea.Cmd {
	gen := m.film.gen
	return tea.Tick(playEvery, func(time.Time) tea.Msg { return playMsg(gen) })
}

func (m *Model) handlePlay(msg playMsg) tea.Cmd {
	if !m.film.playing || int(msg) != m.film.gen {
		return nil
	}
	past := m.real.Sub(m.film.last)
	m.film.last = m.real
	m.seek(m.o.Film.Now().Add(time.Duration(float64(past) * m.film.speed)))
	if _, to := m.o.Film.Bounds(); !m.o.Film.Now().Before(to) {
		m.film.playing = false
		return nil
	}
	return m.playOn()
}

func (m *Model) faster(by int) {
	at := 0
	for i, s := range speeds {
		if s <= m.film.speed {
			at = i
		}
	}
	m.film.speed = speeds[min(max(at+by, 0), len(speeds)-1)]
}

// cursorLine says where in the recording we are.
func (m *Model) cursorLine(w int) string {
	from, to := m.o.Film.Bounds()
	now := m.o.Film.Now()
	word := "paused"
	if m.film.speed != 1 {
		word = fmt.Sprintf("paused (%gx)", m.film.speed)
	}
	if m.film.playing {
		word = fmt.Sprintf("playing %gx", m.film.speed)
	}
	left := " " + m.t.BadgeQuiet.Render(" RECORDING ") + " " + m.t.Strong.Render(now.Format("15:04:05")) + " " +
		m.t.Past.Render(fmt.Sprintf("event %d, %s of %s, %s", m.scene.Incident.Seq, theme.Elapsed(now.Sub(from)), theme.Elapsed(to.Sub(from)), word))
	room := w - theme.Width(left) - 3
	if room < 10 {
		return theme.Fit(left, w)
	}
	at := 0
	if span := to.Sub(from); span > 0 {
		at = int(float64(room-1) * float64(now.Sub(from)) / float64(span))
	}
	at = min(max(at, 0), room-1)
	bar := m.t.Running.Render(theme.Repeat("━", at)) + m.t.Strong.Render("●") + m.t.Faint.Render(theme.Repeat("─", room-1-at))
	return theme.Fit(left+"  "+bar, w)
}
