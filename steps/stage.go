package steps

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"mayday/state"
)

// gateTick is how often a gate looks (incident time), never faster than gateFloor (real).
const (
	gateTick  = time.Second
	gateFloor = 50 * time.Millisecond
)

// gateBeat gives the beat of everything that judges readings.
func (e *Engine) gateBeat() *time.Ticker {
	return time.NewTicker(max(e.o.Clock.Real(gateTick), gateFloor))
}

// errOver ends forward work whose rollout a rollback has taken over.
var errOver = errors.New("a rollback has taken over")

// current allows what forward work has to say only while the rollout is its own: its
// check and the writing are one. It runs under mu.
func (e *Engine) current(r *state.Rollout) func(*state.Incident) error {
	return func(in *state.Incident) error {
		now := in.Rollout(r.ID)
		if e.rolling || now == nil || in.Epoch != r.Epoch || in.Attempt != r.Attempt || !now.Status.Active() {
			return errOver
		}
		return nil
	}
}

// drive takes a rollout through its remaining stages.
func (e *Engine) drive(ctx context.Context, w *work, actor state.Actor, id, item, run string) {
	out := e.output(item, run)
	r := e.Incident().Rollout(id)
	s, err := e.strategy(r.Strategy)
	for err == nil {
		r = e.Incident().Rollout(id)
		i := r.Stage()
		if i >= len(r.Stages) {
			break
		}
		if err = ctx.Err(); err == nil {
			err = e.guard(out, func() error { return e.stage(ctx, actor, s, r, i, out) })
		}
	}
	if cerr := out.Close(); cerr != nil {
		e.must(e.mayday(), state.Warned{Text: e.clean("the output of " + run + " is not complete: " + cerr.Error())}) // it may be a rollback that follows
	}
	if err == nil {
		e.finishRollout(actor, r, item, run)
		return
	}
	e.failRollout(ctx, w, actor, r, item, run, err)
}

// stage runs one stage: journal, writes, effect, journal, gate, journal.
func (e *Engine) stage(ctx context.Context, actor state.Actor, s Strategy, r *state.Rollout, i int, out io.Writer) error {
	if r.Stages[i].Effected.IsZero() || r.Stages[i].Status == state.ItemInterrupted {
		if err := e.advance(actor, r, state.StageStarted{Rollout: r.ID, Stage: i}); err != nil {
			return err
		}
	}
	sctx, cancel := context.WithTimeout(ctx, stageTime)
	defer cancel()
	eff, err := s.Stage(sctx, r.Plan, i, Fence{Incident: e.mark(), Epoch: r.Epoch}, out)
	switch {
	case err != nil && ctx.Err() == nil && sctx.Err() != nil:
		return &state.Problem{Code: "no-effect", What: r.Stages[i].Name + " had no effect within " + stageTime.String(), Why: "the output says what it waited for",
			Do: "Look at it. g goes on waiting from where it stands, R takes it back."}
	case err != nil:
		return err
	}
	if err := e.advance(e.mayday(), r, state.StageEffected{Rollout: r.ID, Stage: i, Effect: e.clean(eff.Text), Seen: eff.Seen}); err != nil {
		return err
	}
	if r.Production {
		select {
		case e.reprove <- struct{}{}:
		default: // it is about to be
		}
	}
	text := ""
	if r.Stages[i].Hold > 0 && r.Production { // staging has no probes of its own: its checks are items of step 8
		if text, err = e.holdGate(ctx, r, i); err != nil {
			return err
		}
	}
	return e.advance(e.mayday(), r, state.StagePassed{Rollout: r.ID, Stage: i, Text: text})
}

// advance journals how far a rollout is, while it is its own. No gate judges meanwhile:
// where the disk hangs, the sentry watches production.
func (e *Engine) advance(actor state.Actor, r *state.Rollout, facts ...state.Fact) error {
	p := e.recordSoon(actor, e.current(r), facts...)
	if e.inTime(p) {
		return p.err
	}
	if r.Production {
		e.setStuck(r.ID)
		defer e.setStuck("")
	}
	<-p.done
	return p.err
}

func (e *Engine) setStuck(rollout string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stuck = rollout
}

func (e *Engine) mark() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.in.Mark
}

// errGate ends a stage whose gate asks for the rollback; the text says why.
type errGate struct{ reasons []string }

func (g errGate) Error() string { return "gate: " + list(g.reasons) }

// holdGate watches until the gate passes, a person accepts, or it fails.
func (e *Engine) holdGate(ctx context.Context, r *state.Rollout, i int) (string, error) {
	hold, in := r.Stages[i].Hold.D(), e.Incident()
	fresh := func() *gate {
		g := e.newGate(hold, in)
		g.from = e.Now()
		return g
	}
	g, v := fresh(), &voice{e: e, r: r, stage: i, hold: hold}
	tick := e.gateBeat()
	defer tick.Stop()
	for {
		now := e.Now()
		d := g.judge(now, e.gated(r, in.Before, now))
		told, err := v.tell(d)
		if err != nil {
			return "", err
		}
		switch d.state {
		case state.GatePassed:
			return list(append([]string{fmt.Sprintf("held %s, %d readings", state.Duration(hold), len(d.readings))}, d.excused...)), nil
		case state.GateFailed:
			return "", errGate{d.reasons}
		case state.GateAsking:
			if !told {
				break // nobody can answer what is not written; it goes on watching
			}
			why, err := e.waitForPerson(ctx, r.ID, v.seq)
			if err != nil || why != "" {
				return why, err
			}
			g, v.said = fresh(), ""
		}
		select {
		case <-ctx.Done():
			v.drop()
			return "", ctx.Err()
		case <-tick.C:
		}
	}
}

// voice journals what a gate says whenever that is news. A disk that is full, or hangs,
// does not end the gate's watch.
type voice struct {
	e     *Engine
	r     *state.Rollout
	stage int
	hold  time.Duration

	said  string   // what the journal has, by its key
	seq   uint64   // its event
	under *pending // what the disk has yet to take; nil: nothing
	next  string   // the key of that
}

// tell reports whether the journal has what the gate says. Nothing is said before the disk
// has taken what was said last: twice the same question would undo an answer to the first.
// That the gate failed must reach the rollback, not the disk: it is said as the rollback's
// own words are.
func (v *voice) tell(d decision) (bool, error) {
	if v.under == nil && v.said == d.key() {
		return true, nil
	}
	f := state.GateDecided{Rollout: v.r.ID, Stage: v.stage, State: d.state, Since: d.since,
		Hold: state.Duration(v.hold), Reasons: append(d.reasons, d.excused...), Judged: d.judged}
	if d.state == state.GateFailed {
		return true, v.failed(f)
	}
	if v.under == nil {
		v.under, v.next = v.e.recordSoon(v.e.mayday(), v.e.current(v.r), f), d.key()
	}
	if !v.e.inTime(v.under) {
		return false, nil
	}
	p := v.under
	v.under = nil
	switch {
	case state.HasCode(p.err, "journal"):
		return false, nil
	case p.err != nil:
		return false, p.err
	}
	v.said, v.seq = v.next, p.seq
	return v.said == d.key(), nil
}

// failed says that the gate failed, and nothing after it.
func (v *voice) failed(f state.GateDecided) error {
	v.drop()
	v.e.mu.Lock()
	err := v.e.current(v.r)(v.e.in)
	v.e.mu.Unlock()
	if err == nil {
		v.e.must(v.e.mayday(), f)
	}
	return err
}

// drop takes back what was not on its way to the disk yet: the gate ends.
func (v *voice) drop() {
	if v.under != nil {
		v.e.drop(v.under)
	}
}

// gated gives the readings that a rollout's gates judge. A canary is judged by the
// new version's own; of the whole service only by what was well before, since what
// was ill says nothing of a part of the traffic.
func (e *Engine) gated(r *state.Rollout, before map[string]state.Sample, now time.Time) []reading {
	return gatedOf(r.Strategy == "canary", before, e.readings(now, state.RoleNew), e.readings(now, state.RoleAll))
}

func gatedOf(canary bool, before map[string]state.Sample, rs, all []reading) []reading {
	if !canary {
		return append(rs, all...)
	}
	if len(rs) == 0 {
		return nil // nothing sees the canary: the gate must not pass on the rest
	}
	for _, a := range all {
		if before[a.probe.Name].Verdict == state.OK && a.seen && a.sample.Verdict.Known() {
			rs = append(rs, a)
		}
	}
	return rs
}

// waitForPerson blocks while the gate asks, since event asked. It returns why the gate
// may pass, or "" to look again. Who answers faster than it begins to wait, as a script
// does, is heard, too. The sentry watches meanwhile.
func (e *Engine) waitForPerson(ctx context.Context, rollout string, asked uint64) (string, error) {
	for {
		changed := e.Changed()
		events := e.Events()
		from, _ := slices.BinarySearchFunc(events, asked+1, func(ev state.Event, seq uint64) int { return cmp.Compare(ev.Seq, seq) })
		for _, ev := range events[from:] {
			if f, ok := ev.Fact.(state.RolloutResumed); ok && f.Rollout == rollout {
				if f.Accept {
					return "accepted by " + ev.Actor.User + ": " + f.Reason, nil
				}
				return "", nil
			}
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-changed:
		}
	}
}
