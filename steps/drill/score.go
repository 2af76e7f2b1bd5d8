package drill

import (
	"fmt"
	"time"

	"mayday/state"
)

// ackWithin is how soon a page should be answered (incident time).
const ackWithin = 5 * time.Minute

// Score makes the card of a drill from its incident and its events, which may still
// be open. It is pure: a replay gives the same card.
func Score(in *state.Incident, events []state.Event, scenario Scenario) state.Score {
	outcome, passed := judge(in, events, scenario)
	s := state.Score{Scenario: scenario.Name, Passed: passed, Outcome: outcome, Done: in.Done(),
		MissedUpd: missedUpdates(in), MissedEsc: missedPages(in), Overridden: overridden(events)}
	since := func(t time.Time) state.Duration {
		if t.IsZero() || in.Declared.IsZero() {
			return 0
		}
		return state.Duration(max(t.Sub(in.Declared), 0))
	}
	s.Acknowledge = since(firstAck(in))
	s.Decide = since(in.Decision.At)
	s.Mitigate = since(in.Mitigated)
	if in.Rollback.Status == state.RollbackDone {
		if from := regression(in, events); !from.IsZero() {
			s.Rollback = state.Duration(max(in.Rollback.Ended.Sub(from), 0))
			s.Detect = state.Duration(max(in.Rollback.Started.Sub(from), 0))
		}
	}
	return s
}

// judge says how the drill ended and whether that is how it should have.
func judge(in *state.Incident, events []state.Event, scenario Scenario) (outcome string, passed bool) {
	asked := hasAsked(events)
	switch {
	case in.Rollback.Status == state.RollbackFailed:
		return "the rollback failed", false
	case in.Rollback.Status == state.RollbackDone:
		byHand := in.Rollback.By != state.Mayday
		switch scenario.Ending {
		case RolledBack:
			passed = byHand || !scenario.ByHand
		case Asking:
			passed = asked // a person decided to take it back
		}
		who := "by a gate"
		if byHand {
			who = "by " + in.Rollback.By
		}
		return "rolled back " + who, passed
	case asking(in) != nil:
		return "paused, needs a person", scenario.Ending == Asking
	case in.Status == state.Resolved:
		return "resolved", scenario.Ending == Done
	case !in.Open() && in.ID != "":
		return "ended without a hotfix", false
	}
	next := "nothing left to do"
	if it := in.Next(); it != nil {
		next = fmt.Sprintf("stopped before %s %s", it.ID, it.Title)
	}
	return next, false
}

// asking gives the item whose gate waits for a person.
func asking(in *state.Incident) *state.Item {
	for i := range in.Steps {
		for j := range in.Steps[i].Items {
			if it := &in.Steps[i].Items[j]; it.Status == state.ItemAsking {
				return it
			}
		}
	}
	return nil
}

func hasAsked(events []state.Event) bool {
	for _, e := range events {
		if g, ok := e.Fact.(state.GateDecided); ok && g.State == state.GateAsking {
			return true
		}
	}
	return false
}

func firstAck(in *state.Incident) time.Time {
	var first time.Time
	for _, l := range in.Levels {
		if !l.Acked.IsZero() && (first.IsZero() || l.Acked.Before(first)) {
			first = l.Acked
		}
	}
	return first
}

// missedUpdates counts updates that went out late, and the one that is overdue.
func missedUpdates(in *state.Incident) int {
	n := in.Updates.Late
	if due, ok := in.NextUpdate(); ok && in.Last.After(due) {
		n++
	}
	return n
}

// missedPages counts the pages that nobody answered in time.
func missedPages(in *state.Incident) int {
	n := 0
	for _, l := range in.Levels {
		answered := l.Acked
		if answered.IsZero() {
			answered = in.Last
		}
		if !l.Paged.IsZero() && answered.Sub(l.Paged) > ackWithin {
			n++
		}
	}
	return n
}

func overridden(events []state.Event) int {
	n := 0
	for _, e := range events {
		switch f := e.Fact.(type) {
		case state.ItemPassedOver:
			n++
		case state.RolloutResumed:
			if f.Accept {
				n++
			}
		}
	}
	return n
}

// regression is when the rolled-back rollout first looked bad: the first warn or
// crit verdict of the new version or of the whole service that began after the
// rollout did, and was not there before. Without one it is when R was pressed or
// the rollback began.
func regression(in *state.Incident, events []state.Event) time.Time {
	r := in.Rollout(in.Rollback.Rollout)
	if r == nil {
		return in.Rollback.Started
	}
	for _, e := range events {
		j, ok := e.Fact.(state.ProbeJudged)
		if !ok || e.Time.Before(r.Started) || e.Time.After(in.Rollback.Started) {
			continue
		}
		v := j.Sample.Verdict
		p, known := in.Probe(j.Sample.Probe)
		if !known || p.Role != state.RoleNew && p.Role != state.RoleAll || v != state.Warn && v != state.Crit {
			continue
		}
		if b := in.Before[p.Name].Verdict; b == state.Warn || b == state.Crit {
			continue
		}
		return e.Time
	}
	if !in.Rollback.Armed.IsZero() && in.Rollback.Armed.After(r.Started) {
		return in.Rollback.Armed
	}
	return in.Rollback.Started
}
