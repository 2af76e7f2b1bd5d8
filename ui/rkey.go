package ui

import (
	"context"
	"errors"
	"time"

	tea "charm.land/bubbletea/v2"

	"mayday/state"
)

// R is the one key. It arms the rollback, which then runs by itself when the grace
// is over; enter runs it at once, c or esc stops it. The keeper does all that. If
// the keeper does not answer within a second, this process does it.

const (
	// Keys closer together than this were not pressed by a finger, so an R among
	// them is not one either: text pasted into a terminal that does not say so.
	rApart = 30 * time.Millisecond
	// Keys in flight when somebody else armed must not answer the bar.
	barGuard = 400 * time.Millisecond
	// A rollback in this process may take this long.
	hereTime = 15 * time.Minute
)

// rkey remembers what is needed to tell a pressed R from a pasted one.
type rkey struct {
	last     string // the last key
	lastAt   time.Time
	waiting  int // generation of an R that waits 30 ms for company; 0: none
	gen      int
	here     bool      // this cockpit armed it
	sent     time.Time // when, while the keeper has not answered
	barSince time.Time // when the bar came up
	refire   bool      // the armed rollback was overdue and was fired again
}

// localArm is a rollback armed in this process alone.
type localArm struct{ deadline time.Time }

type (
	rWaitMsg int
	armMsg   struct{ err error }
	fireMsg  struct{ err error }
	hereMsg  struct{ err error }
)

// rPressed looks at every key first. taken: it was the R key and needs no other.
func (m *Model) rPressed(s string) (cmd tea.Cmd, taken bool) {
	r := &m.rkey
	apart := m.real.Sub(r.lastAt)
	last := r.last
	r.last, r.lastAt = s, m.real
	switch {
	case s == "ctrl+r":
		r.waiting = 0
		return m.arm(), true
	case s == "R" && !m.typing():
		if last != "R" && last != "" && apart < rApart {
			return m.ignoredR(), true
		}
		if r.waiting != 0 || m.armed() {
			return nil, true // more of them change nothing
		}
		r.gen++
		r.waiting = r.gen
		gen := r.gen
		return tea.Tick(rApart, func(time.Time) tea.Msg { return rWaitMsg(gen) }), true
	case r.waiting != 0:
		if apart < rApart {
			r.waiting = 0
			return m.ignoredR(), false
		}
		r.waiting = 0
		return m.arm(), false // the timer is late, the R was one
	}
	return nil, false
}

func (m *Model) handleRWait(msg rWaitMsg) tea.Cmd {
	if m.rkey.waiting != int(msg) {
		return nil
	}
	m.rkey.waiting = 0
	return m.arm()
}

func (m *Model) ignoredR() tea.Cmd {
	m.say(toneWarn, "R was ignored: it came within 30 ms of another key, as in pasted text; press it again (or ctrl+r)")
	m.said.firm = m.real.Add(time.Second) // the rest of the paste must not wipe it away
	return m.remark("an R within 30 ms of another key was ignored")
}

// armed reports whether a rollback counts down, here or at the keeper.
func (m *Model) armed() bool {
	return m.local != nil || m.scene.Incident.Rollback.Status == state.RollbackArmed
}

// arm asks the keeper to arm.
func (m *Model) arm() tea.Cmd {
	switch {
	case m.replay():
		m.say(toneWarn, whyReplay)
		return nil
	case m.here != nil && !m.here.over():
		m.say(toneWarn, "the rollback runs already, in this process")
		return nil
	case m.scene.Incident.Rollback.Status == state.RollbackRunning:
		m.say(toneWarn, "the rollback runs already")
		return nil
	case m.armed() || !m.rkey.sent.IsZero():
		return nil
	}
	m.rkey.here, m.rkey.sent, m.rkey.refire, m.rkey.barSince = true, m.real, false, m.real
	m.say(toneWarn, "R: arming the rollback…")
	session, parent := m.o.Session, m.ctx
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, armTime)
		defer cancel()
		_, err := session.Do(ctx, state.Arm{Trigger: "R"})
		return armMsg{err}
	}
}

func (m *Model) handleArm(msg armMsg) tea.Cmd {
	sent := m.rkey.sent
	m.rkey.sent = time.Time{}
	if msg.err == nil {
		m.said = said{}
		return nil
	}
	if refusal(msg.err) {
		m.rkey.here = false
		m.refused(msg.err)
		return nil
	}
	if m.scene.Incident.Rollback.Status != "" && m.scene.Incident.Rollback.Armed.After(m.now.Add(-time.Minute)) {
		return nil // it answered by deed; what it armed and then forgets is looked after by overdue
	}
	m.local = &localArm{deadline: sent.Add(m.scene.Hello.Grace)}
	m.makeWay()
	m.say(toneBad, "the keeper does not answer: this process rolls back itself")
	return m.overdue()
}

// refusal tells an answer from silence: a keeper that answers "no" gives a Problem.
func refusal(err error) bool {
	var p *state.Problem
	return errors.As(err, &p) && !errors.Is(err, context.DeadlineExceeded)
}

// armedKey takes the keys of the red bar.
func (m *Model) armedKey(s string) (cmd tea.Cmd, taken bool) {
	if !m.armed() {
		return nil, false
	}
	letter := m.typing() && !m.rkey.here // a colleague armed while we write
	switch {
	case s == "esc", s == "ctrl+c", s == "c" && !letter:
		return m.disarm(), true
	case s == "enter":
		if !m.rkey.here && m.real.Sub(m.rkey.barSince) < barGuard {
			m.say(toneWarn, "enter was ignored: the rollback was armed just now, from elsewhere; press it again to run it")
			return nil, true
		}
		return m.fire(), true
	}
	return nil, false
}

func (m *Model) disarm() tea.Cmd {
	m.rkey.here = false
	if m.modal == m.leaving {
		m.modal = nil // what it says of an armed rollback is not true any more
	}
	if m.local != nil {
		m.local = nil
		m.say(toneWarn, "stopped: nothing was rolled back")
		return m.revoke()
	}
	return m.do(state.Disarm{})
}

// revoke takes back an R that a silent keeper may still find when it goes on: it reads
// this after it. That it is silent still is no news; that it is too late is.
func (m *Model) revoke() tea.Cmd {
	return m.ask(state.Disarm{}, func(_ state.Answer, err error) tea.Cmd {
		if err != nil && refusal(err) {
			m.refused(err)
		}
		return nil
	})
}

// primed reacts to an armed rollback. Where this process counts down because the keeper
// was silent, the keeper has come back and does it; where this process rolls back
// already, the keeper must not begin the same beside it.
func (m *Model) primed(by state.Actor) tea.Cmd {
	m.rkey.barSince = m.real
	if m.local != nil {
		m.local, m.rkey.here, m.rkey.refire = nil, true, false
		m.say(toneWarn, "the keeper answers again: it rolls back")
		return nil
	}
	if you := m.scene.Hello.You; m.here != nil && !m.here.over() && by.User == you.User && by.Host == you.Host {
		return m.revoke()
	}
	return nil
}

// seeThrough begins the rollback that counts down in this process, or that the keeper was
// asked for without an answer, when the screen closes: who pressed R and lost the
// connection wanted it. It blocks for armTime at most.
func (m *Model) seeThrough() {
	if m.local == nil && !m.rkey.sent.IsZero() && !m.armed() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(m.ctx), armTime)
		defer cancel()
		if _, err := m.o.Session.Do(ctx, state.Arm{Trigger: "R"}); err == nil || refusal(err) {
			return
		}
		m.local = &localArm{}
	}
	if m.local != nil {
		m.rollHere()
	}
}

// fire runs the armed rollback now.
func (m *Model) fire() tea.Cmd {
	if m.local != nil {
		return m.rollHere()
	}
	session, parent := m.o.Session, m.ctx
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(parent, armTime)
		defer cancel()
		_, err := session.Do(ctx, state.Fire{Trigger: "R"})
		return fireMsg{err}
	}
}

func (m *Model) handleFire(msg fireMsg) tea.Cmd {
	switch {
	case msg.err == nil:
		return nil
	case refusal(msg.err):
		m.refused(msg.err)
		return nil
	case m.scene.Incident.Rollback.Status == state.RollbackRunning:
		return nil // the answer was lost, the deed was not
	}
	m.say(toneBad, "the keeper does not answer: this process rolls back itself")
	return m.rollHere()
}

// overdue looks after an armed rollback whose time is over: one armed here runs
// here; one that a keeper armed at our wish and then forgot is fired again.
func (m *Model) overdue() tea.Cmd {
	if m.local != nil && !m.real.Before(m.local.deadline) {
		return m.rollHere()
	}
	rb := &m.scene.Incident.Rollback
	if m.rkey.here && !m.rkey.refire && m.local == nil && rb.Status == state.RollbackArmed && m.real.Sub(rb.Deadline) > armTime {
		m.rkey.refire = true
		return m.fire()
	}
	return nil
}

// hereRun is a rollback in this process. It outlives the screen: Run waits for it.
type hereRun struct {
	done chan struct{}
	err  error
}

func (h *hereRun) wait() error { <-h.done; return h.err }

func (h *hereRun) over() bool {
	select {
	case <-h.done:
		return true
	default:
		return false
	}
}

func (m *Model) rollHere() tea.Cmd {
	m.local = nil
	if m.here != nil && !m.here.over() {
		return nil
	}
	h := &hereRun{done: make(chan struct{})}
	m.here = h
	session, parent := m.o.Session, m.ctx
	go func() {
		// Closing the screen must not stop a rollback half-way.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(parent), hereTime)
		defer cancel()
		h.err = session.RollbackHere(ctx)
		close(h.done)
	}()
	return func() tea.Msg { return hereMsg{h.wait()} }
}

func (m *Model) handleHere(msg hereMsg) {
	m.rkey.here = false
	if msg.err != nil {
		m.say(toneBad, "the rollback in this process failed: "+problem(msg.err).Error())
		return
	}
	m.say(toneInfo, "the rollback in this process is done")
}
