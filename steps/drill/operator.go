package drill

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mayday/state"
)

// Doer is a session with the keeper, in somebody's name.
type Doer interface {
	// Do hands an intent in and returns when it is in the journal or refused.
	Do(ctx context.Context, intent state.Intent) (state.Answer, error)
}

// Team is the operator's own session and those of the others.
type Team interface {
	Doer
	// As gives a session in another account's name.
	As(user string) Doer
}

// Outcome is how a drill that played itself ended: an exit code of mayday and why.
type Outcome struct {
	Code int
	Text string
}

// Operator plays a drill by itself: it reads what a person would see and does what
// a person would do, through the same intents. It waits for what the keeper says,
// never for a guessed time.
type Operator struct {
	Scenario Scenario
	Team     Team
	Frames   <-chan state.Frame // the operator's own stream, from its Hello on
	Clock    state.Clock
	Signer   string        // the account that reviews; default Reviewer
	Stall    time.Duration // real time without any event after which it gives up; default 60 s

	scene   *state.Scene
	seen    uint64         // the event that the operator's last deed left: until it is here, nothing is done
	tried   map[string]int // by item: how often it was begun
	acked   map[string]time.Time
	updated time.Time // the due time of the last update that was posted
	asking  time.Time // real time since when a gate asks
	fired   bool
	alive   bool  // an event came while an intent was under way
	refused error // the keeper's last refusal
}

// patience is how long (real time) a gate may ask in a scenario where it should
// not, before the operator leaves it to a person.
const patience = time.Minute

// tries is how often an action that fails is run before the operator gives up.
const tries = 3

// Run plays until the drill has ended or can go no further. The error is ctx's,
// or says what it waited for when nothing happened for Stall.
func (o *Operator) Run(ctx context.Context) (Outcome, error) {
	o.scene = state.NewScene()
	o.tried, o.acked = map[string]int{}, map[string]time.Time{}
	if o.Stall == 0 {
		o.Stall = time.Minute
	}
	if o.Signer == "" {
		o.Signer = Reviewer
	}
	quiet := time.NewTimer(o.Stall)
	defer quiet.Stop()
	for {
		if out, ok := o.over(); ok {
			return out, nil
		}
		wake, err := o.act(ctx)
		if err != nil {
			return Outcome{Code: 1, Text: err.Error()}, ctx.Err()
		}
		if err := o.wait(ctx, wake, quiet); err != nil {
			return Outcome{Code: 1, Text: err.Error()}, err
		}
	}
}

// over says whether and how the drill has ended.
func (o *Operator) over() (Outcome, bool) {
	in := o.scene.Incident
	switch {
	case in.Rollback.Status == state.RollbackDone && len(in.Closed) >= in.Attempt: // its last word
		return Outcome{3, fmt.Sprintf("rolled back to %s: %s", in.Rollback.Proof.Target, in.Rollback.Verified)}, true
	case in.Rollback.Status == state.RollbackFailed:
		why := "see the manual steps"
		if in.Rollback.Problem != nil {
			why = in.Rollback.Problem.Error()
		}
		return Outcome{4, "the rollback failed: " + why}, true
	case in.ID != "" && !in.Open():
		return Outcome{0, fmt.Sprintf("%s %s, %d of %d steps done", in.ID, in.Status, in.Done(), len(in.Steps))}, true
	}
	it := asking(in)
	if it == nil {
		o.asking = time.Time{}
		return Outcome{}, false
	}
	if o.asking.IsZero() {
		o.asking = time.Now()
	}
	if o.Scenario.Ending == Asking || time.Since(o.asking) >= patience {
		return Outcome{5, fmt.Sprintf("%s %s is paused and needs a person: %s", it.ID, it.Title, reasons(in))}, true
	}
	return Outcome{}, false
}

func reasons(in *state.Incident) string {
	r := in.Current()
	if r == nil || len(r.Gate.Reasons) == 0 {
		return "the gate does not know"
	}
	text := r.Gate.Reasons[0]
	if n := len(r.Gate.Reasons) - 1; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// act does what is to be done now, and says at which incident time to look again
// even if nothing happens; zero: never.
func (o *Operator) act(ctx context.Context) (wake time.Time, err error) {
	in := o.scene.Incident
	if in.ID == "" {
		return time.Time{}, nil
	}
	for _, part := range []func(context.Context, *state.Incident) (time.Time, error){o.answerPages, o.update, o.pull, o.lookAgain, o.goOn} {
		if in.Seq < o.seen {
			return wake, nil // what was done last is not to be seen yet
		}
		at, err := part(ctx, in)
		if err != nil {
			return wake, err
		}
		if !at.IsZero() && (wake.IsZero() || at.Before(wake)) {
			wake = at
		}
	}
	return wake, nil
}

// ask hands an intent in. A refusal is kept for the message of a stall and is not
// an error: the world may have moved on since the operator looked.
func (o *Operator) ask(ctx context.Context, as Doer, intent state.Intent) error {
	answer, err := o.do(ctx, as, intent)
	var refusal *state.Problem
	if errors.As(err, &refusal) {
		o.refused = fmt.Errorf("%s was refused: %w", intent.Verb(), err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", intent.Verb(), err)
	}
	o.seen = max(o.seen, answer.Seq)
	return nil
}

// do hands an intent in and goes on folding frames until it is answered: the
// answer travels behind the frames, and would never come past a full buffer.
func (o *Operator) do(ctx context.Context, as Doer, intent state.Intent) (state.Answer, error) {
	var answer state.Answer
	done := make(chan error, 1)
	go func() {
		var err error
		answer, err = as.Do(ctx, intent)
		done <- err
	}()
	frames := o.Frames
	var folding error
	for {
		select {
		case err := <-done:
			return answer, errors.Join(err, folding)
		case f, ok := <-frames:
			if !ok {
				frames = nil // wait says so
				continue
			}
			folding = errors.Join(folding, o.scene.Fold(f))
			o.alive = o.alive || f.Event != nil
		}
	}
}

// answerPages says "I have it" once for each page.
func (o *Operator) answerPages(ctx context.Context, in *state.Incident) (time.Time, error) {
	for _, l := range in.Levels {
		key := fmt.Sprint(l.Role, l.AtOnce)
		if l.Paged.IsZero() || !l.Acked.IsZero() || o.acked[key].Equal(l.Paged) {
			continue
		}
		o.acked[key] = l.Paged
		if err := o.ask(ctx, o.Team, state.Ack{Role: l.Role}); err != nil {
			return time.Time{}, err
		}
	}
	return time.Time{}, nil
}

// update posts a status update when a fifth of its interval is left, and says when
// that will be.
func (o *Operator) update(ctx context.Context, in *state.Incident) (time.Time, error) {
	due, ok := in.NextUpdate()
	if !ok || due.Equal(o.updated) {
		return time.Time{}, nil
	}
	if early := due.Add(-in.Updates.Every.D() / 5); o.now().Before(early) {
		return early, nil
	}
	o.updated = due
	draft, err := o.do(ctx, o.Team, state.DraftUpdate{Audience: "stakeholders"})
	if err != nil {
		draft.Text = "" // the keeper then renders it itself, or says why not
	}
	return time.Time{}, o.ask(ctx, o.Team, state.PostUpdate{Audience: "stakeholders", Text: draft.Text})
}

func (o *Operator) now() time.Time { return o.Clock.At(time.Now()) }

// watched is how long (incident time) a warning may last in the monitoring period
// before the operator pulls the rollback.
const watched = time.Minute

// pull presses R where the scenario wants a person to: in the monitoring period,
// when the watched probe has been in warn for a while.
func (o *Operator) pull(ctx context.Context, in *state.Incident) (time.Time, error) {
	it := in.Item(state.ItemMonitor)
	v, ok := in.Verdicts[o.Scenario.Watch]
	if !o.Scenario.ByHand || o.fired || in.Rollback.Status != "" || it == nil || it.Started.IsZero() || !ok || v.Verdict != state.Warn {
		return time.Time{}, nil
	}
	if at := v.At.Add(watched); o.now().Before(at) {
		return at, nil
	}
	o.fired = true
	if err := o.ask(ctx, o.Team, state.Arm{Trigger: "R"}); err != nil {
		return time.Time{}, err
	}
	return time.Time{}, o.ask(ctx, o.Team, state.Fire{Trigger: "R"})
}

// lookAgain lets a gate that asks judge anew once everything it watches has a
// reading again: what a person would do after a machine or a network that stood
// still. Where the scenario is about vanished metrics, they never come back.
func (o *Operator) lookAgain(ctx context.Context, in *state.Incident) (time.Time, error) {
	r := in.Current()
	if asking(in) == nil || r == nil || r.Status != state.RolloutAsking {
		return time.Time{}, nil
	}
	for _, p := range in.Probes {
		if x, ok := o.scene.Reading(p, o.now()); p.Role == state.RoleNew && (!ok || !x.Verdict.Known()) {
			return time.Time{}, nil
		}
	}
	return time.Time{}, o.ask(ctx, o.Team, state.GoOn{})
}

// goOn does the next item, unless a rollback is under way.
func (o *Operator) goOn(ctx context.Context, in *state.Incident) (time.Time, error) {
	if in.Rollback.Status != "" || o.fired {
		return time.Time{}, nil
	}
	it := next(in)
	if it == nil {
		return time.Time{}, nil
	}
	if o.tried[it.ID] >= tries {
		return time.Time{}, gaveUp(it, o.refused)
	}
	o.tried[it.ID]++
	switch it.Kind {
	case state.Action:
		return time.Time{}, o.ask(ctx, o.Team, state.Run{Item: it.ID})
	case state.SignOff:
		return time.Time{}, o.ask(ctx, o.Team.As(o.Signer), state.Sign{Item: it.ID, Comment: words[it.ID]})
	}
	return time.Time{}, o.ask(ctx, o.Team, answer(in, it))
}

// gaveUp says which item cannot be done, and why.
func gaveUp(it *state.Item, refused error) error {
	switch {
	case it.Problem != nil:
		return fmt.Errorf("%s %s failed %d times: %w", it.ID, it.Title, tries, it.Problem)
	case refused != nil:
		return fmt.Errorf("%s %s: %w", it.ID, it.Title, refused)
	}
	return fmt.Errorf("%s %s was tried %d times and is %s", it.ID, it.Title, tries, it.Status)
}

// next finds what the operator can do now, in the checklist's order: as
// state.Incident.Next, but what runs by itself is left to itself, and nothing is
// begun beside an action that the operator waits for.
func next(in *state.Incident) *state.Item {
	watched := in.Item(state.ItemMonitor)
	for i := range in.Steps {
		for j := range in.Steps[i].Items {
			it := &in.Steps[i].Items[j]
			switch {
			case it.Status.Settled(), it.Optional, in.Blocker(it) != nil:
				continue
			case it.Auto && (it.Status == state.ItemOpen || it.Status == state.ItemRunning):
				continue
			case it.Status == state.ItemRunning, it.Status == state.ItemAsking:
				return nil
			case it.ID == "14.rollback" && watched != nil && !watched.Status.Settled():
				continue // whether it is needed is known when the monitoring has ended
			}
			return it
		}
	}
	return nil
}

// wait folds what the keeper says: the next frame and all that have come behind it.
// It returns early at the incident time wake.
func (o *Operator) wait(ctx context.Context, wake time.Time, quiet *time.Timer) error {
	if o.alive { // it has seen more than it has thought about
		o.alive = false
		quiet.Reset(o.quiet())
		return nil
	}
	var alarm <-chan time.Time
	if !wake.IsZero() {
		t := time.NewTimer(max(o.Clock.Real(wake.Sub(o.now())), 0))
		defer t.Stop()
		alarm = t.C
	}
	select {
	case f, ok := <-o.Frames:
		return o.fold(f, ok, quiet)
	case <-alarm:
		return nil
	case <-quiet.C:
		return o.stalled()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (o *Operator) fold(f state.Frame, ok bool, quiet *time.Timer) error {
	for {
		if !ok {
			return errors.New("the keeper ended the operator's session")
		}
		if err := o.scene.Fold(f); err != nil {
			return err
		}
		if f.Event != nil {
			quiet.Reset(o.quiet())
		}
		select {
		case f, ok = <-o.Frames:
		default:
			return nil
		}
	}
}

// quiet is how long nothing may happen now: longer while the clock is known to run.
func (o *Operator) quiet() time.Duration {
	in, d := o.scene.Incident, o.Stall
	if ends, ok := in.MonitoringEnds(); ok {
		d += max(o.Clock.Real(ends.Sub(o.now())), 0)
	}
	if r := in.Current(); r != nil && r.Gate.State == state.GateHolding {
		d += o.Clock.Real(r.Gate.Hold.D())
	}
	return d
}

// stalled says what the operator waited for in vain.
func (o *Operator) stalled() error {
	in := o.scene.Incident
	what := "the declaration of an incident"
	if it := in.Next(); it != nil {
		what = fmt.Sprintf("%s %s, which is %s", it.ID, it.Title, it.Status)
	}
	err := fmt.Errorf("nothing has happened for %s while waiting for %s", o.Stall, what)
	if o.refused != nil {
		err = fmt.Errorf("%w (last: %w)", err, o.refused)
	}
	return err
}
