// Package ui is the cockpit: one Bubble Tea model over a stream of frames. It
// knows the state package and the screen, nothing of what acts: keys become
// intents, intents go to a Session, and what happened comes back as events.
//
// A recording is shown by the same model with a Film in place of the Session; then
// nothing can be changed, and the keys that would say so.
package ui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"mayday/state"
	"mayday/ui/theme"
)

// Session is a connection to the incident's keeper, or the keeper itself.
type Session interface {
	// Frames is the stream: a Hello, the history, then what happens. It is closed
	// when the session ends for good. There is one reader.
	Frames() <-chan state.Frame
	// Do sends an intent and waits for the answer. Errors for a person are
	// *state.Problem; anything else means that nobody answered. Safe for concurrent use.
	Do(ctx context.Context, want state.Intent) (state.Answer, error)
	// RollbackHere rolls back from this very process, when the keeper does not
	// answer. It returns when the rollback has ended.
	RollbackHere(ctx context.Context) error
}

// Film is a recorded incident with a cursor. The model calls it from one goroutine.
type Film interface {
	Bounds() (from, to time.Time)
	Now() time.Time
	Scene() *state.Scene // at the cursor; valid until the cursor moves
	Seek(at time.Time)
	Step(events int) // negative goes back
	NextMark() bool  // false: there is none, and the cursor stays
	PrevMark() bool
}

// Options say what to show and where.
type Options struct {
	Session Session // live; exactly one of Session and Film is set
	Film    Film    // a recording
	Now     func() time.Time
	// Theme overrides the one made from the terminal's colours.
	Theme *theme.Theme
	// Color is "auto" (default: asks the terminal and NO_COLOR), "always" or "never".
	Color  string
	Input  io.Reader // default: the terminal
	Output io.Writer // default: standard output
	Env    []string  // default: os.Environ
	// Bell rings the terminal, and shows a notification (OSC 9) where it can, when a
	// page goes out, a gate asks or a rollback starts.
	Bell bool
	// FirstItem puts the cursor on an item from the start.
	FirstItem string
	// Width and Height are the size before the terminal tells its own.
	Width, Height int

	asks bool // the terminal, how light its background is
}

// Result is what is left when the cockpit closes.
type Result struct {
	// Scene is the picture as last seen.
	Scene *state.Scene
	// Ended: the session's stream ended, not the person.
	Ended bool
	// RolledBackHere: this process ran a rollback of its own, with this outcome.
	RolledBackHere bool
	RollbackErr    error
}

// Run shows the cockpit until the operator quits, the session ends or ctx is done.
// A rollback that this process runs itself, or that was armed in it, is finished before
// Run returns.
func Run(ctx context.Context, o Options) (Result, error) {
	if (o.Session == nil) == (o.Film == nil) {
		return Result{}, errors.New("ui: either a session or a film is needed")
	}
	o.fill()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	m := New(o)
	m.ctx = ctx
	p := tea.NewProgram(m, o.program()...)
	var wg sync.WaitGroup
	if o.Session != nil {
		wg.Add(1)
		go func() {
			defer wg.Done()
			pump(ctx, o.Session.Frames(), p.Send)
		}()
	}
	wg.Add(1)
	go func() {
		defer wg.Done()
		<-ctx.Done()
		p.Quit()
	}()
	_, err := p.Run()
	stop()
	wg.Wait()
	m.seeThrough()
	res := Result{Scene: m.scene, Ended: m.ended}
	if m.here != nil {
		if !m.here.over() {
			fmt.Fprintln(o.Output, "finishing the rollback that runs in this process…")
		}
		res.RolledBackHere, res.RollbackErr = true, m.here.wait()
	}
	if err != nil {
		return res, fmt.Errorf("the screen: %w", err)
	}
	return res, nil
}

func (o *Options) fill() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Output == nil {
		o.Output = os.Stdout
	}
	if o.Env == nil {
		o.Env = os.Environ()
	}
	if o.Width == 0 || o.Height == 0 {
		o.Width, o.Height = 80, 24
	}
	if o.Theme == nil {
		o.Theme, o.asks = o.theme(false), true
	}
}

// theme is what the terminal's colours make, on a light background or a dark one.
func (o *Options) theme(light bool) *theme.Theme {
	return theme.New(theme.Options{Profile: o.profile(), NoColor: o.Color == "never", Light: light})
}

// askBackground asks the terminal how light it is, where that makes a difference. One
// that does not answer is taken for dark.
func (o *Options) askBackground() tea.Cmd {
	if !o.asks || o.Theme.Plain {
		return nil
	}
	return tea.RequestBackgroundColor
}

// answered gives the theme for the background that the terminal has.
func (o *Options) answered(msg tea.BackgroundColorMsg) *theme.Theme {
	if o.asks {
		o.Theme = o.theme(!msg.IsDark())
	}
	return o.Theme
}

// profile is what the terminal can show: as asked for, or as detected.
func (o *Options) profile() colorprofile.Profile {
	switch o.Color {
	case "always":
		if p := colorprofile.Env(o.Env); p > colorprofile.ASCII {
			return p
		}
		return colorprofile.TrueColor
	case "never":
		return colorprofile.ASCII
	}
	p := colorprofile.Detect(o.Output, o.Env)
	for _, e := range o.Env {
		// Any value that is not empty counts, not only those that read as true.
		if v, ok := strings.CutPrefix(e, "NO_COLOR="); ok && v != "" && p > colorprofile.ASCII {
			return colorprofile.ASCII
		}
	}
	return p
}

func (o *Options) program() []tea.ProgramOption {
	out := []tea.ProgramOption{
		tea.WithOutput(o.Output),
		tea.WithEnvironment(o.Env),
		tea.WithoutSignalHandler(),            // the command line turns signals into ctx
		tea.WithWindowSize(o.Width, o.Height), // a terminal's own size wins
		tea.WithColorProfile(o.profile()),
	}
	if o.Input != nil {
		out = append(out, tea.WithInput(o.Input))
	}
	return out
}
