package ui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"

	"mayday/state"
	"mayday/ui/theme"
	"mayday/ui/uitest"
)

// desk is a session for tests: it notes intents and answers as told.
type desk struct {
	mu    sync.Mutex
	wants []state.Intent
	fail  map[string]error // by verb
	mute  map[string]bool  // verbs that get no answer
	here  int              // rollbacks in this process
	hold  chan struct{}    // RollbackHere waits for it, if set
}

func (d *desk) Frames() <-chan state.Frame { return nil }

func (d *desk) Do(ctx context.Context, want state.Intent) (state.Answer, error) {
	d.mu.Lock()
	d.wants = append(d.wants, want)
	mute, err := d.mute[want.Verb()], d.fail[want.Verb()]
	d.mu.Unlock()
	if mute {
		<-ctx.Done()
		return state.Answer{}, ctx.Err()
	}
	if err != nil {
		return state.Answer{}, err
	}
	switch v := want.(type) {
	case state.Preview:
		return state.Answer{Lines: []string{"git push origin hotfix/1.2.4"}, Text: "@@ -1 +1 @@\n-old\n+new"}, nil
	case state.Recall:
		var a state.Answer
		for _, name := range v.Probes {
			a.Samples = append(a.Samples, state.Sample{Probe: name, At: uitest.Start.Add(time.Minute), Value: 0.5, Verdict: state.Crit, Past: true})
		}
		return a, nil
	case state.DraftUpdate:
		return state.Answer{Text: "We are " + string(v.Status) + " for " + v.Audience}, nil
	}
	return state.Answer{}, nil
}

func (d *desk) RollbackHere(context.Context) error {
	d.mu.Lock()
	d.here++
	hold := d.hold
	d.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return nil
}

// verbs gives the verbs of the intents so far, remarks and previews left out.
func (d *desk) verbs() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, w := range d.wants {
		switch w.(type) {
		case state.Preview, state.DraftUpdate, state.Remark:
		default:
			out = append(out, w.Verb())
		}
	}
	return strings.Join(out, " ")
}

func (d *desk) last() state.Intent {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.wants) == 0 {
		return nil
	}
	return d.wants[len(d.wants)-1]
}

// rig drives a model as Bubble Tea does, in the fake time of a synctest bubble.
type rig struct {
	t    *testing.T
	m    *Model
	desk *desk
	msgs chan tea.Msg
	quit bool
	raw  []string // written to the terminal beside the screen
}

// with runs f with a rig that shows the story.
func with(t *testing.T, story *uitest.Story, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(context.Background())
		defer time.Sleep(time.Hour) // the last ticks go off, to nobody
		defer stop()
		r := &rig{t: t, desk: &desk{fail: map[string]error{}, mute: map[string]bool{}}, msgs: make(chan tea.Msg, 1024)}
		r.m = New(Options{Session: r.desk, Now: time.Now, Theme: theme.New(theme.Options{NoColor: true}), Width: 140, Height: 45})
		r.m.ctx = ctx
		r.m.scene = story.Scene
		r.m.scene.Hello.Clock = state.Clock{Origin: time.Now(), Base: uitest.Now, Speed: 1}
		r.m.scene.Hello.You = state.Actor{User: "bob"}
		r.m.scene.Hello.Grace = 3 * time.Second
		r.m.scene.Hello.Head = story.Scene.Incident.Seq
		r.m.clock()
		r.run(r.m.Init())
		r.pause(time.Second)
		f(r)
	})
}

// run lets a command loose.
func (r *rig) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	go func() {
		if msg := cmd(); msg != nil {
			select {
			case r.msgs <- msg:
			case <-r.m.ctx.Done():
			}
		}
	}()
}

// send gives a message to the model, and then all that follows from it at once.
func (r *rig) send(msg tea.Msg) {
	r.deal(msg)
	for {
		synctest.Wait()
		select {
		case msg := <-r.msgs:
			r.deal(msg)
		default:
			return
		}
	}
}

func (r *rig) deal(msg tea.Msg) {
	switch msg := msg.(type) {
	case tea.BatchMsg:
		for _, c := range msg {
			r.run(c)
		}
		return
	case tea.QuitMsg:
		r.quit = true
		return
	case tea.RawMsg:
		r.raw = append(r.raw, fmt.Sprint(msg.Msg))
		return
	}
	_, cmd := r.m.Update(msg)
	r.run(cmd)
}

// pause lets time pass.
func (r *rig) pause(d time.Duration) {
	end := time.Now().Add(d)
	for time.Now().Before(end) {
		time.Sleep(min(10*time.Millisecond, time.Until(end)))
		synctest.Wait()
		select {
		case msg := <-r.msgs:
			r.send(msg)
		default:
		}
	}
}

// keys presses keys a finger's time apart.
func (r *rig) keys(names ...string) {
	for _, k := range names {
		r.pause(100 * time.Millisecond)
		r.send(press(k))
	}
	r.pause(50 * time.Millisecond)
}

// text types letters.
func (r *rig) text(s string) {
	for _, c := range s {
		r.keys(string(c))
	}
}

var special = map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "tab": tea.KeyTab, "up": tea.KeyUp, "down": tea.KeyDown,
	"left": tea.KeyLeft, "right": tea.KeyRight, "home": tea.KeyHome, "end": tea.KeyEnd, "pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown,
	"space": tea.KeySpace, "backspace": tea.KeyBackspace, "f1": tea.KeyF1}

func press(name string) tea.KeyPressMsg {
	if rest, ok := strings.CutPrefix(name, "ctrl+"); ok {
		return tea.KeyPressMsg{Code: []rune(rest)[0], Mod: tea.ModCtrl}
	}
	if name == "shift+tab" {
		return tea.KeyPressMsg{Code: tea.KeyTab, Mod: tea.ModShift}
	}
	if name == "space" {
		return tea.KeyPressMsg{Code: tea.KeySpace, Text: " "}
	}
	if c, ok := special[name]; ok {
		return tea.KeyPressMsg{Code: c}
	}
	return tea.KeyPressMsg{Code: []rune(name)[0], Text: name}
}

// tell lets something happen in the incident.
func (r *rig) tell(user string, f state.Fact) {
	e := state.Event{Seq: r.m.scene.Incident.Seq + 1, Time: r.m.now, Actor: state.Actor{User: user, Host: "bastion"}, Fact: f}
	r.send(framesMsg{{Event: &e}})
}

// armedBy lets the keeper arm the rollback, as R does.
func (r *rig) armedBy(user string) {
	r.tell(user, state.RollbackPrimed{Deadline: time.Now().Add(3 * time.Second), Trigger: "R"})
}

func (r *rig) status() string { return r.m.said.text }

func (r *rig) want(verbs string) {
	r.t.Helper()
	if got := r.desk.verbs(); got != verbs {
		r.t.Errorf("intents %q, want %q (status line: %q)", got, verbs, r.status())
	}
}

// shows fails unless the screen holds the text.
func (r *rig) shows(text string) {
	r.t.Helper()
	if s := r.m.frame(); !strings.Contains(strip(s), text) {
		r.t.Errorf("the screen does not show %q:\n%s", text, strip(s))
	}
}

var errRefused = &state.Problem{What: "there is nothing to roll back"}
var errGone = errors.New("connection refused")
