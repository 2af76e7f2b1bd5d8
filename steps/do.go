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
func (e *Engine) Do(ctx context.Context, actor state.Actor, intent state.Intent) (state.Answer, error) {
	e.mu.Lock()
	leaving := e.leaving
	e.mu.Unlock()
	if leaving {
		return state.Answer{}, &state.Problem{Code: CodeLeaving, What: "nothing was done: the keeper is leaving", Do: "Ask the next one."}
	}
	switch v := intent.(type) {
	case state.Arm:
		return state.Answer{}, e.armRollback(actor, v.Trigger)
	case state.Fire:
		return state.Answer{}, e.fireByHand(actor, v.Trigger)
	case state.Disarm:
		return state.Answer{}, e.disarm(actor)
	case state.Preview:
		return e.preview(ctx, v)
	case state.Run:
		return e.runItem(ctx, actor, v.Item, v.Values)
	case state.Cancel:
		return state.Answer{}, e.cancelItem(v.Item)
	case state.GoOn:
		return e.goOn(actor, v)
	case state.DraftUpdate:
		return e.draftUpdate(v)
	case state.PostUpdate:
		return e.postUpdate(actor, v)
	}
	return e.doSimple(actor, intent)
}

// doSimple answers the intents that are facts by themselves once checked.
func (e *Engine) doSimple(actor state.Actor, intent state.Intent) (state.Answer, error) {
	switch v := intent.(type) {
	case state.Tick:
		return e.tick(actor, v)
	case state.Untick:
		return e.simple(actor, kindIs(v.Item, state.Check), state.ItemUnchecked(v))
	case state.Sign:
		return e.sign(actor, v)
	case state.PassOver:
		return e.passOver(actor, v)
	case state.Decide:
		return e.decide(actor, v)
	case state.SetSeverity:
		return e.simple(actor, open, state.SeverityChanged{To: v.To, Reason: v.Reason, Policy: e.o.Runbook.Policy(v.To)})
	case state.SetRole:
		return e.simple(actor, open, state.RoleAssigned(v))
	case state.AddNote:
		if strings.TrimSpace(v.Text) == "" {
			return state.Answer{}, &state.Problem{What: "an empty note is not kept"}
		}
		return e.simple(actor, nil, state.NoteAdded{Text: state.CleanLines(v.Text)})
	case state.Remark:
		return e.simple(actor, nil, state.Warned{Text: state.Clean(v.Text)})
	case state.Ack:
		return e.ack(actor, v.Role)
	case state.Snooze:
		return e.simple(actor, open, state.LevelSnoozed{Role: v.Role, Until: e.Now().Add(v.For.D())})
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
	seq, err := e.recordIf(actor, ok, facts...)
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
	value := state.Clean(v.Value)
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
		facts = append(facts, state.SeverityChanged{To: to, Reason: "set in triage", Policy: e.o.Runbook.Policy(to)})
	}
	return e.simple(actor, open, facts...)
}

func (e *Engine) decide(actor state.Actor, v state.Decide) (state.Answer, error) {
	if !contains([]string{"hotfix", "normal", "wait"}, v.Choice) {
		return state.Answer{}, &state.Problem{What: fmt.Sprintf("%q is not a decision", v.Choice), Do: "Choose hotfix, normal or wait."}
	}
	return e.simple(actor, func(in *state.Incident) error {
		if err := open(in); err != nil {
			return err
		}
		return free("1.decision", state.Check)(in)
	}, state.ItemChecked{Item: "1.decision", Value: v.Choice}, state.DecisionMade{Choice: v.Choice, Rationale: state.Clean(v.Rationale)})
}

func (e *Engine) sign(actor state.Actor, v state.Sign) (state.Answer, error) {
	commit := e.Incident().Facts["commit"]
	return e.simple(actor, func(in *state.Incident) error {
		if err := free(v.Item, state.SignOff)(in); err != nil {
			return err
		}
		author := ""
		if c := in.Item("6.commit"); c != nil {
			author = c.By
		}
		if author == actor.User {
			return &state.Problem{Code: "own-change", What: "the author cannot sign their own change",
				Why: author + " committed it", Do: "Somebody else runs: mayday approve. Or override the sign-off with a reason."}
		}
		return nil
	}, state.ItemSigned{Item: v.Item, Commit: commit, Comment: state.Clean(v.Comment), Reject: v.Reject})
}

func (e *Engine) passOver(actor state.Actor, v state.PassOver) (state.Answer, error) {
	reason := state.Clean(v.Reason)
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
		if it.Status == state.ItemRunning {
			return &state.Problem{What: "it is running", Do: "Cancel it first."}
		}
		return nil
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
	return e.simple(actor, func(in *state.Incident) error {
		if err := open(in); err != nil {
			return err
		}
		if len(in.Closed) < in.Attempt {
			return &state.Problem{What: "the attempt is not over", Why: "a new one starts after a rollback",
				Do: "Roll back first, or go on."}
		}
		return nil
	}, state.AttemptStarted{N: in.Attempt + 1, Steps: fresh})
}

func (e *Engine) resolve(actor state.Actor, v state.Resolve) (state.Answer, error) {
	cause := state.Clean(v.RootCause)
	if cause == "" {
		return state.Answer{}, &state.Problem{What: "the root cause is missing", Do: "Say it in one sentence."}
	}
	if err := open(e.Incident()); err != nil {
		return state.Answer{}, err
	}
	facts := e.say("resolved", map[string]string{"cause": cause}, "team", "stakeholders", "customers")
	facts = append(facts, state.ItemChecked{Item: "18.cause", Value: cause},
		state.IncidentResolved{RootCause: cause, ActionItems: v.ActionItems})
	return e.simple(actor, func(in *state.Incident) error {
		if err := open(in); err != nil {
			return err
		}
		if r := in.Production(); r != nil && r.Status.Active() {
			return &state.Problem{What: "production is in the middle of a rollout", Do: "Finish it or roll back first."}
		}
		return free("18.cause", state.Check)(in)
	}, facts...)
}
