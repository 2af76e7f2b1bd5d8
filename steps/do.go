package steps

import (
	"context"
	"fmt"
	"strings"

	"mayday/state"
)

// Do answers an intent for an actor whose right to ask the caller has checked. It
// returns when the intent is in the journal (or refused, as a *state.Problem);
// what it set going is seen in the frames. Arm, Fire and Disarm never wait for
// anything but each other.
func (e *Engine) Do(ctx context.Context, actor state.Actor, intent state.Intent) (a state.Answer, err error) {
	if p := guarded(func() { a, err = e.do(ctx, actor, intent) }); p != nil {
		e.warn(intent.Verb()+" failed: "+p.Error(), true)
		return state.Answer{}, &state.Problem{Code: "panic", What: "mayday itself failed here", Why: p.Error(), Do: "Try it again, or do it by hand; the rest goes on, and R works."}
	}
	return a, err
}

func (e *Engine) do(ctx context.Context, actor state.Actor, intent state.Intent) (state.Answer, error) {
	e.mu.Lock()
	leaving := e.leaving
	e.mu.Unlock()
	if leaving {
		return state.Answer{}, &state.Problem{Code: CodeLeaving, What: "nothing was done: the keeper is leaving", Do: "Ask the next one."}
	}
	switch v := intent.(type) {
	case state.Arm:
		if err := e.wanted(v.Version); err != nil {
			return state.Answer{}, err
		}
		return state.Answer{}, e.armRollback(actor, undoing{v.Trigger, v.WithDatabase})
	case state.Fire:
		if err := e.wanted(v.Version); err != nil {
			return state.Answer{}, err
		}
		return state.Answer{}, e.fireByHand(actor, undoing{v.Trigger, v.WithDatabase})
	case state.Disarm:
		return state.Answer{}, e.disarm(actor)
	case state.Preview:
		return e.preview(ctx, v)
	case state.Run:
		return e.runItem(ctx, actor, v.Item, v.Values)
	case state.Cancel:
		return state.Answer{}, e.cancelItem(actor, v.Item)
	case state.GoOn:
		return e.goOn(actor, v)
	case state.Sign:
		return e.sign(ctx, actor, v)
	case state.DraftUpdate:
		return e.draftUpdate(v)
	case state.Recall:
		return e.recall(v), nil
	case state.PostUpdate:
		return e.postUpdate(actor, v)
	case state.Correct:
		return e.correct(actor, v)
	}
	return e.doSimple(actor, intent)
}

// doSimple answers the intents that are facts by themselves once checked.
func (e *Engine) doSimple(actor state.Actor, intent state.Intent) (state.Answer, error) {
	switch v := intent.(type) {
	case state.Tick:
		return e.tick(actor, v)
	case state.Untick:
		return e.untick(actor, v)
	case state.PassOver:
		return e.passOver(actor, v)
	case state.Decide:
		return e.decide(actor, v)
	case state.SetSeverity:
		return e.simple(actor, open, state.SeverityChanged{To: v.To, Reason: e.clean(v.Reason), Policy: e.policy(v.To)})
	case state.SetRole:
		return e.setRole(actor, v)
	case state.HandOver:
		return e.handOver(actor, v)
	case state.AddNote:
		if strings.TrimSpace(v.Text) == "" {
			return state.Answer{}, &state.Problem{What: "an empty note is not kept"}
		}
		return e.simple(actor, nil, state.NoteAdded{Text: e.o.Redact(state.CleanLines(v.Text))})
	case state.Validate:
		return e.validate(actor, v)
	case state.NoteWatch:
		return e.simple(actor, nil, e.watched(v))
	case state.Remark:
		return e.simple(actor, nil, state.Warned{Text: e.clean(v.Text)})
	case state.Ack:
		return e.ack(actor, v.Role)
	case state.Snooze:
		return e.snooze(actor, v)
	case state.Escalate:
		return e.escalate(actor, v.Role)
	case state.NewAttempt:
		return e.newAttempt(actor)
	case state.Resolve:
		return e.resolve(actor, v)
	}
	return state.Answer{}, &state.Problem{What: fmt.Sprintf("mayday does not know how to %s", intent.Verb())}
}

// simple records a fact if ok allows it, and lets what waits for it begin.
func (e *Engine) simple(actor state.Actor, ok func(*state.Incident) error, facts ...state.Fact) (state.Answer, error) {
	if ok == nil {
		ok = func(*state.Incident) error { return nil }
	}
	seq, err := e.recordIf(actor, ok, append(facts, e.sayAcked(actor, facts)...)...)
	if err != nil {
		return state.Answer{}, err
	}
	e.autos()
	return state.Answer{Seq: seq}, nil
}

// open refuses what makes no sense after the end.
func open(in *state.Incident) error {
	if !in.Open() {
		return &state.Problem{Code: "closed", What: "the incident has ended", Do: "Declare a new one."}
	}
	return nil
}

// kindIs checks that an item exists and is of a kind.
func kindIs(id string, kind state.ItemKind) func(*state.Incident) error {
	return func(in *state.Incident) error {
		it := in.Item(id)
		if it == nil {
			return &state.Problem{What: fmt.Sprintf("there is no item %q", id), Do: "mayday show lists them."}
		}
		if it.Kind != kind {
			return &state.Problem{What: fmt.Sprintf("%s is no %s but a %s", id, kind, it.Kind)}
		}
		return nil
	}
}

// free is kindIs for an item whose needs are settled.
func free(id string, kind state.ItemKind) func(*state.Incident) error {
	return func(in *state.Incident) error {
		if err := kindIs(id, kind)(in); err != nil {
			return err
		}
		it := in.Item(id)
		if b := in.Blocker(it); b != nil {
			return blocked(it, b)
		}
		return nil
	}
}

func blocked(it, by *state.Item) error {
	return &state.Problem{Code: "blocked", What: fmt.Sprintf("%q must wait", it.Title),
		Why: fmt.Sprintf("%s %q is %s", by.ID, by.Title, by.Status), Do: "Do that first, or override it with a reason."}
}

func (e *Engine) tick(actor state.Actor, v state.Tick) (state.Answer, error) {
	value := e.clean(v.Value)
	switch v.Item {
	case "1.severity":
		return e.tickSeverity(actor, value)
	case "1.decision":
		return e.decide(actor, state.Decide{Choice: value})
	case "18.cause":
		return e.resolve(actor, state.Resolve{RootCause: value})
	}
	return e.simple(actor, func(in *state.Incident) error {
		if err := free(v.Item, state.Check)(in); err != nil {
			return err
		}
		it := in.Item(v.Item)
		if it.Ask != "" && value == "" {
			return &state.Problem{What: "an answer in words is needed", Why: it.Ask}
		}
		if len(it.Options) > 0 && !contains(it.Options, value) {
			return &state.Problem{What: fmt.Sprintf("%q is not one of the answers", value), Do: "Choose " + strings.Join(it.Options, ", ") + "."}
		}
		return nil
	}, state.ItemChecked{Item: v.Item, Value: value})
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func (e *Engine) tickSeverity(actor state.Actor, value string) (state.Answer, error) {
	to, err := state.ParseSeverity(value)
	if err != nil {
		return state.Answer{}, &state.Problem{What: err.Error()}
	}
	facts := []state.Fact{state.ItemChecked{Item: "1.severity", Value: to.String()}}
	if to != e.Incident().Severity {
		facts = append(facts, state.SeverityChanged{To: to, Reason: "set in triage", Policy: e.policy(to)})
	}
	return e.simple(actor, open, facts...)
}

// policy is a severity's, as the runbook had it when the incident was declared.
func (e *Engine) policy(s state.Severity) state.Policy {
	if p, ok := e.Incident().Policies[s]; ok {
		return p
	}
	return e.o.Runbook.Policy(s)
}

func (e *Engine) decide(actor state.Actor, v state.Decide) (state.Answer, error) {
	if !contains([]string{"hotfix", "normal", "wait"}, v.Choice) {
		return state.Answer{}, &state.Problem{What: fmt.Sprintf("%q is not a decision", v.Choice), Do: "Choose hotfix, normal or wait."}
	}
	return e.simple(actor, func(in *state.Incident) error {
		if err := open(in); err != nil {
			return err
		}
		if err := untouched(in); err != nil && v.Choice != "hotfix" {
			return err
		}
		return free("1.decision", state.Check)(in)
	}, state.ItemChecked{Item: "1.decision", Value: v.Choice}, state.DecisionMade{Choice: v.Choice, Rationale: e.clean(v.Rationale)})
}

func (e *Engine) passOver(actor state.Actor, v state.PassOver) (state.Answer, error) {
	reason := e.clean(v.Reason)
	if reason == "" {
		return state.Answer{}, &state.Problem{What: "an override needs a reason", Do: "Say in a few words why it is right to go on."}
	}
	if v.Item == "10.deploy" || v.Item == "9.plan" || v.Item == "1.decision" {
		return state.Answer{}, &state.Problem{What: "this item cannot be passed over", Why: "what follows stands on it"}
	}
	return e.simple(actor, func(in *state.Incident) error {
		it := in.Item(v.Item)
		if it == nil {
			return &state.Problem{What: fmt.Sprintf("there is no item %q", v.Item)}
		}
		switch it.Status {
		case state.ItemRunning, state.ItemAsking:
			return &state.Problem{What: "it is running", Do: "Cancel it first."}
		case state.ItemDone, state.ItemNotNeeded:
			return &state.Problem{What: "there is nothing to override", Why: "it is " + string(it.Status)}
		}
		return open(in)
	}, state.ItemPassedOver{Item: v.Item, Reason: reason})
}

func (e *Engine) newAttempt(actor state.Actor) (state.Answer, error) {
	var fresh []state.Step
	for _, s := range Catalogue(e.o.Runbook) {
		if s.No >= state.FirstOfAttempt && s.No <= state.LastOfAttempt {
			fresh = append(fresh, s)
		}
	}
	in := e.Incident()
	defer e.lookAgain() // R may have something to take back again
	return e.simple(actor, e.attemptOver, state.AttemptStarted{N: in.Attempt + 1, Steps: fresh})
}

// attemptOver allows the next attempt. The database may go back after all the rest, when
// the attempt is closed already. It needs mu.
func (e *Engine) attemptOver(in *state.Incident) error {
	if err := open(in); err != nil {
		return err
	}
	if len(in.Closed) < in.Attempt {
		return &state.Problem{What: "the attempt is not over", Why: "a new one starts after a rollback",
			Do: "Roll back first, or go on."}
	}
	if err := e.notRolling(in); err != nil {
		return err
	}
	if it := in.Item(itemRollback); in.Rollback.Status == state.RollbackFailed && it != nil && it.Status != state.ItemOverridden {
		return rollbackFailed(in)
	}
	return nil
}

// untouched refuses to call a hotfix off that is in production, or half in it.
func untouched(in *state.Incident) error {
	if r := in.Production(); r != nil && r.Status != state.RolloutPlanned && r.Status != state.RolloutRolledBack {
		return &state.Problem{What: "it is too late for that decision", Why: r.Version + " has gone to production",
			Do: "Roll back first, or go on and resolve the incident."}
	}
	return nil
}

func (e *Engine) untick(actor state.Actor, v state.Untick) (state.Answer, error) {
	return e.simple(actor, func(in *state.Incident) error {
		if err := kindIs(v.Item, state.Check)(in); err != nil {
			return err
		}
		if st := in.Item(v.Item).Status; st != state.ItemDone {
			return &state.Problem{What: "there is no tick to take back", Why: "it is " + string(st)}
		}
		return open(in)
	}, state.ItemUnchecked(v))
}
