package ui

import (
	"context"
	"time"

	tea "charm.land/bubbletea/v2"

	"mayday/state"
	"mayday/ui/checklist"
	"mayday/ui/dialog"
	"mayday/ui/theme"
)

// Model is the cockpit. Update and View may be called directly, which is how it is
// tested; all else goes through Run.
type Model struct {
	o     Options
	t     *theme.Theme
	ctx   context.Context
	scene *state.Scene
	w, h  int
	real  time.Time // by the wall, as of the last message
	now   time.Time // incident time as of the last tick or event

	list  *checklist.Pane
	panes panes
	tab   tab  // the pane with the focus
	zoom  bool // it has the whole body
	visit bool // it came up for an item of the checklist, and leaving it leads back there

	modal   *modal
	leaving *modal          // the question before the end, asked last
	ring    string          // what to ring the terminal for, once
	popups  []string        // roles whose page waits to pop up until the open dialog closes
	popped  map[string]bool // roles whose page popped up and was not acknowledged since
	prompt  *prompt         // the line for a filter or a command

	said     said
	rkey     rkey
	local    *localArm // armed here, because the keeper did not answer
	here     *hereRun  // a rollback that this process runs itself
	gone     time.Time // start of the rollback whose screen was closed
	tickGen  int
	fast     bool
	gen      generations
	cache    map[tab]cached
	ended    bool
	quitting bool
	panicked string // a view that panicked: said once, then drawn without panes
	remarked time.Time
	recalled map[string]bool // probes whose past was asked for

	film film
}

// generations count what can change a pane's picture.
type generations struct{ events, samples, output, tick, keys uint64 }

// modal is an open dialog with what to do when it is submitted.
type modal struct {
	*dialog.Dialog
	page   string // the role whose page it is, if it popped up for one
	submit func(values map[string]string) tea.Cmd
	change func(values map[string]string) tea.Cmd // after every key; optional
	quick  map[string]func() tea.Cmd              // keys that answer at once; optional
}

// New makes a model. Options are as for Run; Input and Output are not used.
func New(o Options) *Model {
	o.fill()
	m := &Model{o: o, t: o.Theme, ctx: context.Background(), scene: state.NewScene(), w: o.Width, h: o.Height,
		list: checklist.New(o.Theme), panes: newPanes(o.Theme), cache: map[tab]cached{}, popped: map[string]bool{}, recalled: map[string]bool{}}
	m.list.Select(o.FirstItem)
	m.real = o.Now()
	if o.Film != nil {
		m.film.speed = 1
		m.takeScene()
	}
	m.clock()
	return m
}

// replay reports whether a recording is shown.
func (m *Model) replay() bool { return m.o.Film != nil }

// clock sets the incident time from the real one (or the film's cursor).
func (m *Model) clock() {
	if m.replay() {
		m.now = m.o.Film.Now()
		return
	}
	m.now = m.scene.Hello.Clock.At(m.real)
}

// Init starts the clock.
func (m *Model) Init() tea.Cmd { return tea.Batch(m.o.askBackground(), m.nextTick()) }

// setTheme gives everything other colours, and leaves it as it is otherwise.
func (m *Model) setTheme(t *theme.Theme) {
	m.t = t
	m.list.SetTheme(t)
	m.panes.setTheme(t)
	if m.modal != nil {
		m.modal.SetTheme(t)
	}
	clear(m.cache)
}

// Update routes a message to its handler.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	m.real = m.o.Now()
	var cmd tea.Cmd
	switch msg := msg.(type) {
	case tea.KeyPressMsg:
		m.gen.keys++
		cmd = m.handleKey(msg)
	case tea.PasteMsg:
		m.gen.keys++
		cmd = m.handlePaste(msg.Content)
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
	case tea.BackgroundColorMsg:
		m.setTheme(m.o.answered(msg))
	case framesMsg:
		cmd = m.handleFrames(msg)
	case thinMsg:
		m.handleThin(msg)
	case endedMsg:
		m.ended = true
		m.say(toneBad, "the session ended; q quits")
	case tickMsg:
		cmd = m.handleTick(msg)
	case playMsg:
		cmd = m.handlePlay(msg)
	case rWaitMsg:
		cmd = m.handleRWait(msg)
	case answerMsg:
		cmd = m.handleAnswer(msg)
	case armMsg:
		cmd = m.handleArm(msg)
	case fireMsg:
		cmd = m.handleFire(msg)
	case hereMsg:
		m.handleHere(msg)
	}
	return m, tea.Batch(cmd, m.speedTick(), m.reportPanic())
}

// handleFrames folds events in, in order.
func (m *Model) handleFrames(frames framesMsg) tea.Cmd {
	m.gen.events++
	var follow []tea.Cmd
	for _, f := range frames {
		if err := m.scene.Fold(f); err != nil {
			m.say(toneBad, "this screen missed an event and may be wrong: "+err.Error())
		}
		if f.Event != nil {
			follow = append(follow, m.notice(*f.Event))
		}
	}
	m.clock()
	m.makeWay()
	ring := m.ring
	m.ring = ""
	return tea.Batch(append(follow, m.popup(), m.bell(ring))...)
}

// bell calls whoever looks elsewhere: the terminal's bell, and a notification in the
// way of iTerm2 (OSC 9), which terminals that do not know it leave alone.
func (m *Model) bell(text string) tea.Cmd {
	if text == "" || !m.o.Bell {
		return nil
	}
	return tea.Raw("\a\x1b]9;mayday: " + theme.Safe(text) + "\a")
}

// notice reacts to what is new, not to history: a page that went out asks whether
// somebody has it.
func (m *Model) notice(e state.Event) tea.Cmd {
	if e.Seq <= m.scene.Hello.Head {
		return nil
	}
	switch f := e.Fact.(type) {
	case state.LevelPaged:
		m.ring = m.scene.Incident.ID + ": " + f.Role + " paged"
		if !f.AtOnce && !f.ByHand && !m.popped[f.Role] { // a repeated page is seen in the header
			m.popped[f.Role] = true
			m.popups = append(m.popups, f.Role)
		}
	case state.LevelAcked:
		delete(m.popped, f.Role)
	case state.GateDecided:
		if f.State == state.GateAsking {
			m.ring = m.scene.Incident.ID + ": a gate asks for a person"
		}
	case state.DrillScored:
		m.showScore(f.Score)
	case state.RollbackPrimed:
		return m.primed(e.Actor)
	case state.RollbackDisarmed, state.RollbackStarted:
		m.rkey.here, m.local = false, nil
		if _, began := f.(state.RollbackStarted); began {
			m.ring = m.scene.Incident.ID + ": rolling back"
		}
	case state.ItemFinished:
		if f.Outcome == state.ItemFailed && f.Problem != nil {
			m.say(toneBad, f.Problem.Error())
		}
	}
	return nil
}

func (m *Model) handleThin(msg thinMsg) {
	if msg.samples != nil {
		m.gen.samples++
		_ = m.scene.Fold(state.Frame{Samples: msg.samples}) // only events can be refused
	}
	for i := range msg.output {
		m.gen.output++
		_ = m.scene.Fold(state.Frame{Output: &msg.output[i]})
	}
}

// handlePaste gives pasted text to the field with the focus, and to nothing else:
// a paste must not press keys.
func (m *Model) handlePaste(text string) tea.Cmd {
	switch {
	case m.prompt != nil:
		m.prompt.paste(text)
	case m.modal != nil && m.modal.Typing():
		m.modal.Paste(text, m.real)
	default:
		m.say(toneWarn, "pasted text was ignored: there is no field to put it into")
		if len(text) > 0 && containsR(text) {
			m.say(toneWarn, "an R inside pasted text was ignored; press R (or ctrl+r) to roll back")
			return m.remark("an R inside pasted text was ignored")
		}
	}
	return nil
}

func containsR(s string) bool {
	for _, r := range s {
		if r == 'R' {
			return true
		}
	}
	return false
}

// tone of what the status line says.
type tone int

const (
	toneInfo tone = iota
	toneWarn
	toneBad
)

// said is the status line: the last thing to tell, for a while.
type said struct {
	tone  tone
	text  string
	until time.Time
	firm  time.Time // not replaced by lesser news before
}

// say puts a sentence into the status line. Bad news stays longer.
func (m *Model) say(k tone, text string) {
	if m.real.Before(m.said.firm) && k != toneBad {
		return
	}
	stay := 6 * time.Second
	if k == toneBad {
		stay = 20 * time.Second
	}
	m.said = said{tone: k, text: theme.Safe(text), until: m.real.Add(stay)}
}

// tickMsg moves the clocks on.
type tickMsg int

// nextTick comes on the next full second, or ten times a second while a rollback
// counts down or runs.
func (m *Model) nextTick() tea.Cmd {
	gen := m.tickGen
	wait := time.Second - time.Duration(m.o.Now().Nanosecond())
	if m.fast {
		wait = 100 * time.Millisecond
	}
	return tea.Tick(wait, func(time.Time) tea.Msg { return tickMsg(gen) })
}

func (m *Model) handleTick(msg tickMsg) tea.Cmd {
	if int(msg) != m.tickGen {
		return nil // of a rhythm that was given up
	}
	m.gen.tick++
	m.clock()
	if m.said.text != "" && !m.real.Before(m.said.until) {
		m.said = said{}
	}
	return tea.Batch(m.nextTick(), m.overdue(), m.popup(), m.recall())
}

// recall asks the keeper, once for each probe, for what a long chart shows of the time
// before this screen was there.
func (m *Model) recall() tea.Cmd {
	if m.replay() || m.ended || m.tab != tabMetrics {
		return nil
	}
	want := state.Recall{}
	for _, name := range m.panes.metrics.Lacks(m.scene, m.now) {
		if !m.recalled[name] {
			m.recalled[name], want.Probes = true, append(want.Probes, name)
		}
	}
	if len(want.Probes) == 0 {
		return nil
	}
	return m.ask(want, func(a state.Answer, err error) tea.Cmd {
		if err != nil {
			m.refused(err)
			return nil
		}
		m.handleThin(thinMsg{samples: a.Samples})
		return nil
	})
}

// speedTick changes the rhythm of the clock when a rollback begins or ends.
func (m *Model) speedTick() tea.Cmd {
	st := m.scene.Incident.Rollback.Status
	fast := !m.replay() && (m.armed() || st == state.RollbackRunning || m.here != nil && !m.here.over())
	if fast == m.fast {
		return nil
	}
	m.fast = fast
	m.tickGen++
	return m.nextTick()
}

// reportPanic puts a view's panic into the journal, once.
func (m *Model) reportPanic() tea.Cmd {
	if m.panicked == "" || m.said.text != "" && m.said.tone == toneBad {
		return nil
	}
	m.say(toneBad, "a part of the screen could not be drawn ("+m.panicked+"); everything else goes on")
	return m.remark("a view panicked: " + m.panicked)
}
