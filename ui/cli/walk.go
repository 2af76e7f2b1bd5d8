package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// walker does items of the checklist in their order, as a client of whoever keeps the
// incident, and says what happens as it happens.
type walker struct {
	a       *app
	rb      *runbook.Runbook
	s       *session   // nil where it is only rehearsed
	r       *rehearsal // of a dry run
	scene   *state.Scene
	checked []string                     // checks that whoever called has made
	values  map[string]map[string]string // by item: a version, a ticket
	again   map[string]bool              // items to run again though they are done
	wait    bool                         // for the monitoring period too
	signing time.Duration                // for a sign-off; real time
	dry     bool                         // say what would be done, and do nothing
	plans   []planned                    // what would be done
}

// walking opens a session that watches, and reads what has happened so far; for a dry
// run it only reads.
func (a *app) walking(ctx context.Context, dry bool) (*walker, error) {
	if dry {
		r, err := a.rehearseOpen()
		if err != nil {
			return nil, err
		}
		return a.rehearsing(r), nil
	}
	s, err := a.join(ctx, "cli", true)
	if err != nil {
		return nil, err
	}
	if s.rb == nil {
		return nil, errors.Join(noFiles("do this without the runbook: there is none here"), s.Close("the command is done"))
	}
	w := &walker{a: a, rb: s.rb, s: s, scene: state.NewScene(), values: map[string]map[string]string{}, again: map[string]bool{}}
	for w.scene.Hello.Incident == "" || w.scene.Incident.Seq < w.scene.Hello.Head {
		if err := w.next(ctx); err != nil {
			return nil, errors.Join(err, s.Close("the command is done"))
		}
	}
	return w, nil
}

// rehearsing is a walker of a dry run.
func (a *app) rehearsing(r *rehearsal) *walker {
	w := &walker{a: a, rb: r.rb, r: r, scene: state.NewScene(), values: map[string]map[string]string{}, again: map[string]bool{}, dry: true}
	w.scene.Incident = r.Incident()
	return w
}

// in is the incident as far as this process has seen it.
func (w *walker) in() *state.Incident { return w.scene.Incident }

// next folds the next frame, and prints what is news.
func (w *walker) next(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case f, ok := <-w.s.Frames():
		if !ok {
			return &state.Problem{What: "the keeper is gone", Do: "Run the command again: it does only what is missing."}
		}
		known := w.scene.Incident.Seq
		if err := w.scene.Fold(f); err != nil {
			return err
		}
		if f.Lost != "" {
			fmt.Fprintln(w.a.err, "mayday: "+state.CleanLines(f.Lost))
		}
		if f.Event != nil && f.Event.Seq > known && f.Event.Seq > w.scene.Hello.Head && !w.a.flags.json {
			return w.a.printEvent(w.scene.Incident, *f.Event)
		}
		return nil
	}
}

// ask sends an intent, reading on meanwhile, and returns when what it did is seen.
func (w *walker) ask(ctx context.Context, intent state.Intent) (state.Answer, error) {
	if w.dry {
		a, err := w.r.Do(ctx, w.r.actor, intent)
		w.scene.Incident = w.r.Incident()
		return a, err
	}
	type reply struct {
		a   state.Answer
		err error
	}
	said := make(chan reply, 1)
	answered, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		a, err := w.s.Do(ctx, intent)
		said <- reply{a, err}
		cancel()
	}()
	for answered.Err() == nil {
		if err := w.next(answered); err != nil && answered.Err() == nil {
			return state.Answer{}, err
		}
	}
	r := <-said // it honours ctx
	for r.err == nil && w.in().Seq < r.a.Seq {
		if err := w.next(ctx); err != nil {
			return r.a, err
		}
	}
	return r.a, r.err
}

// until reads on until something is true.
func (w *walker) until(ctx context.Context, ok func(*state.Incident) bool) error {
	for !ok(w.in()) {
		if err := w.next(ctx); err != nil {
			return err
		}
	}
	return nil
}

// needsPerson is what ends a command that only a person can take further: exit 5.
func needsPerson(it *state.Item, why, do string) error {
	return &state.Problem{Code: "needs-person", What: it.ID + " " + it.Title + " waits for a person", Why: why, Do: do}
}

// redo has items done again that are done; what was overridden or is not needed stays so.
func (w *walker) redo(items ...string) {
	for _, id := range items {
		if it := w.in().Item(id); it != nil && it.Status == state.ItemDone {
			w.again[id] = true
		}
	}
}

// walk does each of the items that is not settled yet.
func (w *walker) walk(ctx context.Context, items ...string) error {
	for _, id := range items {
		if err := w.item(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) item(ctx context.Context, id string) error {
	it := w.in().Item(id)
	if it == nil || it.Status.Settled() && !w.again[id] {
		return nil
	}
	if w.dry {
		w.plan(ctx, it)
		return nil
	}
	for b := w.in().Blocker(it); b != nil; b = w.in().Blocker(it) {
		if w.coming(ctx, b) {
			continue
		}
		if b.Kind == state.SignOff {
			if err := w.signed(ctx, b); err != nil {
				return err
			}
			continue
		}
		return needsPerson(b, it.ID+" "+it.Title+" cannot begin before it is settled", "mayday show says where it stands; mayday opens the cockpit.")
	}
	switch it.Kind {
	case state.Check:
		if !slices.Contains(w.checked, id) && w.values[id] == nil {
			return needsPerson(it, it.Help+it.Ask, "Check it, then run this again with --checked "+id+"; or tick or override it in the cockpit.")
		}
		_, err := w.ask(ctx, state.Tick{Item: id, Value: w.values[id]["value"]})
		return err
	case state.SignOff:
		return w.unsigned(it)
	}
	if id == "10.deploy" {
		if err := w.enough(ctx, w.next); err != nil {
			return err
		}
	}
	return w.run(ctx, it)
}

func (w *walker) unsigned(it *state.Item) error {
	return needsPerson(it, it.Help, "mayday approve --request asks for it; a reviewer runs: mayday approve --incident "+w.in().ID)
}

// signed waits for a sign-off as long as the command was told to.
func (w *walker) signed(ctx context.Context, it *state.Item) error {
	id, refusal := it.ID, w.unsigned(it)
	soon, cancel := context.WithTimeout(ctx, w.signing)
	defer cancel()
	if w.signing > 0 {
		w.tell("waits %s for %s %s", state.Duration(w.signing), id, it.Title)
	}
	err := w.until(soon, func(in *state.Incident) bool {
		now := in.Item(id)
		return now == nil || now.Status.Settled() || now.Status == state.ItemFailed
	})
	switch now := w.in().Item(id); {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && soon.Err() == nil:
		return err
	case now != nil && !now.Status.Settled():
		return refusal
	}
	return nil
}

// coming waits for what runs by itself, or has been started, and blocks the next item.
func (w *walker) coming(ctx context.Context, b *state.Item) bool {
	id := b.ID
	if b.Status == state.ItemOpen && w.in().Blocker(b) != nil {
		return false
	}
	if b.Kind != state.Action || !b.Auto && b.Status != state.ItemRunning || id == state.ItemMonitor && !w.wait {
		return false
	}
	err := w.until(ctx, func(in *state.Incident) bool {
		it := in.Item(id)
		return it == nil || it.Status != state.ItemOpen && it.Status != state.ItemRunning
	})
	it := w.in().Item(id)
	return err == nil && it != nil && it.Status.Settled()
}

// run starts an action and waits for its end. One that has begun by itself may lack
// what this command knows: it is run again then.
func (w *walker) run(ctx context.Context, it *state.Item) error {
	id := it.ID
	if it.Auto && it.Status == state.ItemRunning {
		if err := w.over(ctx, id); err != nil || w.in().Item(id).Status.Settled() {
			return errors.Join(err, w.ended(ctx, id))
		}
	}
	_, err := w.ask(ctx, state.Run{Item: id, Values: w.values[id]})
	if it.Auto && state.HasCode(err, "running") {
		return w.run(ctx, w.in().Item(id)) // it has begun by itself just now
	}
	if err != nil {
		return err
	}
	if err := w.over(ctx, id); err != nil {
		return err
	}
	return w.ended(ctx, id)
}

// over waits until an item does not run any more, or production is taken back.
func (w *walker) over(ctx context.Context, id string) error {
	return w.until(ctx, func(in *state.Incident) bool {
		it := in.Item(id)
		return it == nil || it.Status != state.ItemRunning || in.Rollback.Status == state.RollbackRunning || in.Rollback.Status == state.RollbackArmed
	})
}

// ended says how an item ended: as an error with its exit code, nil if all is well.
func (w *walker) ended(ctx context.Context, id string) error {
	if err := w.takenBack(ctx); err != nil {
		return err
	}
	if rb := &w.in().Rollback; rb.Status == state.RollbackRunning || rb.Status == state.RollbackArmed {
		if err := w.until(ctx, func(in *state.Incident) bool {
			return in.Rollback.Status != state.RollbackRunning && in.Rollback.Status != state.RollbackArmed
		}); err != nil {
			return err
		}
	}
	rb, r := &w.in().Rollback, w.in().Production()
	switch {
	case rb.Status == state.RollbackFailed:
		for _, m := range rb.Manual {
			fmt.Fprintln(w.a.err, "by hand: "+state.Clean(m))
		}
		if rb.Problem != nil {
			w.a.complain(rb.Problem)
		}
		return exit{exitRollbackFailed}
	case rb.Status == state.RollbackDone && r != nil && r.Status == state.RolloutRolledBack:
		fmt.Fprintln(w.a.err, "mayday: rolled back ("+state.Clean(rb.Trigger)+"): "+state.Clean(rb.Verified))
		return exit{exitRolledBack}
	}
	it := w.in().Item(id)
	switch {
	case it == nil || it.Status.Settled():
		return nil
	case it.Status == state.ItemAsking:
		reasons := ""
		if c := w.in().Current(); c != nil {
			reasons = strings.Join(c.Gate.Reasons, "; ")
		}
		return needsPerson(it, reasons, "Look, then let it go on or roll back: mayday opens the cockpit; mayday rollback takes it back.")
	case it.Problem != nil:
		return it.Problem
	}
	return &state.Problem{What: it.ID + " " + it.Title + " is " + string(it.Status), Do: "Run the command again: it does only what is missing."}
}

// rollbackSoon is how long a gate's rollback may take to begin (real time).
const rollbackSoon = 10 * time.Second

// takenBack waits for the rollback that a gate which failed begins: the item's end
// comes before it.
func (w *walker) takenBack(ctx context.Context) error {
	r := w.in().Production()
	if r == nil || r.Gate.State != state.GateFailed || w.in().Rollback.Status != "" {
		return nil
	}
	soon, cancel := context.WithTimeout(ctx, rollbackSoon)
	defer cancel()
	err := w.until(soon, func(in *state.Incident) bool { return in.Rollback.Status != "" })
	if ctx.Err() == nil && soon.Err() != nil {
		return nil // nobody began one: the item says how it ended
	}
	return err
}

// plan finds out what an item would do. Nothing changes.
func (w *walker) plan(ctx context.Context, it *state.Item) {
	p := planned{Item: it.ID, Title: it.Title}
	defer func() { w.plans = append(w.plans, p) }()
	if it.Kind != state.Action {
		p.Person = it.Help + it.Ask
		return
	}
	if b := w.in().Blocker(it); b != nil {
		p.After = b.ID + " " + b.Title
		return
	}
	a, err := w.ask(ctx, state.Preview{Item: it.ID, Values: w.values[it.ID]})
	if err != nil {
		p.Problem = state.AsProblem(err).Error()
		return
	}
	p.Commands, p.Text = a.Lines, a.Text
}

// close ends the command: where this process kept the incident, the messages go out
// first, and who was not told is named. A dry run prints what it found.
func (w *walker) close(ctx context.Context, err error) error {
	if w.dry {
		if err != nil {
			return err
		}
		return w.a.foreseen(foresight{Would: w.r.would(), Plan: w.plans})
	}
	return w.a.leave(ctx, w.s, err)
}
