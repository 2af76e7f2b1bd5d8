package steps

import (
	"fmt"
	"time"

	"mayday/state"
)

// itemsDue is how long an action item has that names no day.
const itemsDue = 7 * 24 * time.Hour

// resolve ends the incident: the probes confirm that it is over, or somebody says why
// it may end all the same.
func (e *Engine) resolve(actor state.Actor, v state.Resolve) (state.Answer, error) {
	cause, override := e.clean(v.RootCause), e.clean(v.Override)
	if cause == "" {
		return state.Answer{}, &state.Problem{What: "the root cause is missing", Do: "Say it in one sentence."}
	}
	in := e.Incident()
	if err := open(in); err != nil {
		return state.Answer{}, err
	}
	items, err := e.actionItems(in, actor, v.ActionItems)
	if err != nil {
		return state.Answer{}, err
	}
	confirmed, ill := e.confirm(in)
	facts := e.ending(in, actor, state.IncidentResolved{RootCause: cause, ActionItems: items, Confirmed: confirmed, Override: override})
	answer, err := e.simple(actor, func(in *state.Incident) error {
		if err := open(in); err != nil {
			return err
		}
		if err := settled(in); err != nil {
			return err
		}
		if override != "" {
			return nil
		}
		if err := free("18.cause", state.Check)(in); err != nil {
			return err
		}
		if ill != "" {
			return &state.Problem{Code: "unwell", What: "production is not well", Why: ill,
				Do: "Wait until it is; or resolve it with a reason: mayday incident resolve --override."}
		}
		return nil
	}, facts...)
	if err == nil {
		e.closing()
	}
	return answer, err
}

// ending makes the facts of an incident's end: the word of it to everybody, itself, and
// the review meeting. Where no meeting can be planned, that is said in red; it keeps
// nobody from ending the incident.
func (e *Engine) ending(in *state.Incident, actor state.Actor, end state.IncidentResolved) []state.Fact {
	after := in.Clone()
	_ = after.Apply(state.Event{Seq: in.Seq + 1, Time: e.Now(), Actor: actor, Fact: end}) // a fact in its order
	facts := e.sayOf(after, "resolved", map[string]string{"cause": end.RootCause}, nil, "alerts", "team", "stakeholders", "customers", "executives")
	facts = append(facts, state.ItemChecked{Item: "18.cause", Value: end.RootCause}, end)
	plan, changed, err := e.planReview(after, actor.User, after.Ended)
	switch {
	case err != nil:
		return append(facts, state.Warned{Text: e.clean(err.Error()), Sticky: true})
	case changed:
		return append(facts, e.meeting(after, plan)...)
	}
	return facts
}

// actionItems gives each an owner and a day: the commander and a week from now, where
// nothing else is said.
func (e *Engine) actionItems(in *state.Incident, actor state.Actor, texts []string) ([]string, error) {
	owner := in.Roles[state.Commander]
	if owner == "" {
		owner = actor.User
	}
	var out []string
	for _, text := range texts {
		a, err := state.ParseActionItem(e.clean(text))
		if err != nil {
			return nil, &state.Problem{What: fmt.Sprintf("%q has no day that exists", e.clean(text)), Do: "Write it so: add validation @bob by 2026-12-01"}
		}
		if a.Text == "" {
			continue
		}
		if a.Owner == "" {
			a.Owner = owner
		}
		if a.Due.IsZero() {
			a.Due = e.Now().Add(itemsDue)
		}
		out = append(out, a.String())
	}
	return out, nil
}

// confirm says what the probes of what serves now say, and which of them keep the
// incident open: what is crit, and a critical one that nobody can read.
func (e *Engine) confirm(in *state.Incident) (confirmed, ill string) {
	serving := state.RoleOld
	if r := in.Production(); r != nil && r.Status == state.RolloutDone {
		serving = state.RoleNew
	}
	ok, all := 0, 0
	var bad []string
	for _, r := range e.readings(e.Now(), state.RoleAll, serving) {
		if !r.seen {
			continue
		}
		all++
		switch v := r.sample.Verdict; {
		case v == state.OK:
			ok++
		case v == state.Crit || !v.Known() && r.probe.Critical:
			bad = append(bad, r.probe.Name+" is "+string(v))
		}
	}
	if all == 0 {
		return "no probe has a reading", ""
	}
	return fmt.Sprintf("%d of %d probes ok", ok, all), list(bad)
}

// settled refuses to end an incident while production is between two states. A
// rollback that failed and was made good by hand is settled by an override of step 14.
func settled(in *state.Incident) error {
	rb, r := in.Rollback, in.Production()
	if u := in.Undo(); u != nil && !u.Started.IsZero() {
		r = u
	}
	switch {
	case rb.Status == state.RollbackArmed || rb.Status == state.RollbackRunning:
		return &state.Problem{Code: "rolling-back", What: "a rollback is under way", Do: "Let it end, then resolve."}
	case r == nil || !r.Status.Active() && (rb.Status != state.RollbackFailed || rb.Rollout != r.ID):
		return nil
	}
	if it := in.Item(itemRollback); rb.Status == state.RollbackFailed && it != nil && it.Status == state.ItemOverridden {
		return nil
	}
	p := &state.Problem{What: "production is in the middle of a rollout", Do: "Finish it or roll back first."}
	if rb.Status == state.RollbackFailed {
		return rollbackFailed(in)
	}
	return p
}

// rollbackFailed is why nothing that stands on a rollback can go on.
func rollbackFailed(in *state.Incident) error {
	again := "Press R again"
	if r := in.Production(); r != nil && r.Status == state.RolloutRolledBack {
		again = "mayday rollback --with-database tries the database again"
	}
	return &state.Problem{What: "the rollback failed", Do: again + "; or finish it by hand and override " + itemRollback + " with what you did."}
}
