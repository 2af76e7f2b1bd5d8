package steps

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"mayday/state"
)

// factCompared says of which rollback, by its epoch, it is known whether production is
// no worse than before the rollout.
const factCompared = "rollback.compared"

// compareWithBefore has production compared with what it was before the rollout, where
// it was rolled back and that is not done yet.
func (e *Engine) compareWithBefore() {
	if in := e.Incident(); toCompare(in) == nil && len(in.Before) > 0 {
		e.spawn(func() { e.watchReturn(e.ctx) })
	}
}

// toCompare refuses where nothing was rolled back, or it was compared, or something else
// is being rolled out since.
func toCompare(in *state.Incident) error {
	r := in.Production()
	under := r != nil && (r.Status == state.RolloutRunning || r.Status == state.RolloutAsking)
	if in.Rollback.Status != state.RollbackDone || in.Facts[factCompared] == strconv.Itoa(in.Epoch) || under || !in.Open() {
		return errPast
	}
	return nil
}

// watchReturn sees whether a rollback did production good. That the named revision serves
// is known by then; the probes say whether it is no worse than before the rollout, when
// it was ill already. Their windows still hold the bad minutes, so nothing is said before
// all are as good as they were, or all could be (state.Probe.Reach); whatever is worse
// then is a call for help.
func (e *Engine) watchReturn(ctx context.Context) {
	tick := e.gateBeat()
	defer tick.Stop()
	for from := e.Now(); ; {
		in := e.Incident()
		if toCompare(in) != nil {
			return
		}
		if c := e.compare(in, e.Now()); c.settled(from, e.Now()) && !state.HasCode(e.tellReturn(in, c), "journal") {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// comparison is what the probes say of production now and before the rollout.
type comparison struct {
	good, worse, unread []string
	reach               time.Duration // when all of them can show what the rollback did
}

// compare compares the readings that were made since the rollback ended.
func (e *Engine) compare(in *state.Incident, now time.Time) comparison {
	var c comparison
	for _, r := range e.readings(now, state.RoleAll, state.RoleOld) {
		b, ok := in.Before[r.probe.Name]
		if !ok || !b.Verdict.Known() {
			continue
		}
		c.reach = max(c.reach, r.probe.Reach.D()+2*r.probe.Every.D())
		if !r.seen || !r.sample.Verdict.Known() || !r.sample.At.After(in.Rollback.Ended) {
			c.unread = append(c.unread, r.probe.Name)
			continue
		}
		text := fmt.Sprintf("%s %s (before %s)", r.probe.Name, state.Quantity(r.sample.Value, r.probe.Unit), state.Quantity(b.Value, r.probe.Unit))
		if r.sample.Verdict == state.OK || r.probe.NoWorse(b, r.sample) {
			c.good = append(c.good, text)
		} else {
			c.worse = append(c.worse, text)
		}
	}
	return c
}

// settled reports whether waiting changes nothing more: all is as good as before, or
// every probe has had its time since from.
func (c comparison) settled(from, now time.Time) bool {
	return len(c.worse)+len(c.unread) == 0 || now.After(from.Add(c.reach))
}

// tellReturn journals what was found, once.
func (e *Engine) tellReturn(in *state.Incident, c comparison) error {
	facts := []state.Fact{state.FactsFound{Facts: map[string]string{factCompared: strconv.Itoa(in.Epoch)}}}
	switch {
	case len(c.worse) > 0:
		facts = append(facts, state.Warned{Text: e.clean("rolled back, and production is worse than before the rollout: " + list(c.worse)), Sticky: true})
		next, ok := in.NextEscalation()
		if !ok {
			next = state.Level{Role: state.Commander}
		}
		facts = append(facts, e.page(in, next, e.callees(in, next.Role), paging{})...)
	case len(c.unread) > 0:
		facts = append(facts, state.Warned{Text: e.clean("rolled back; whether production is no worse than before the rollout is not known, there is no reading of " + list(c.unread)), Sticky: true})
	case len(c.good) > 0:
		facts = append(facts, state.NoteAdded{Text: e.clean("rolled back, and production is no worse than before the rollout: " + list(c.good))})
	}
	_, err := e.recordIf(e.mayday(), toCompare, facts...)
	return err
}
