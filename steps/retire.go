package steps

import (
	"context"

	"mayday/state"
)

// retiring lets go of what ran before a rollout that left it standing. It is done on
// demand only: nothing else depends on it, and R is quickest while it stands.
type retiring struct{ e *Engine }

// retirer is the production rollout of an attempt and the strategy that can retire what
// it left; nil with a reason where there is nothing of the kind.
func (e *Engine) retirer(in *state.Incident) (*state.Rollout, Retirer, string, error) {
	r := planned(in, itemDeploy)
	if r == nil || r.Status != state.RolloutDone {
		return nil, nil, "", &state.Problem{What: "the deployment to production is not done", Do: "The old colour is needed until it is."}
	}
	s, err := e.strategy(r.Strategy)
	if err != nil {
		return nil, nil, "", err
	}
	k, ok := s.(Retirer)
	if !ok || !k.Retires(r.Plan) {
		return r, nil, "by " + r.Strategy + " nothing is left standing", nil
	}
	return r, k, "", nil
}

func (a retiring) retire(ctx context.Context, job Job, dry bool) (commands []string, text string, err error) {
	r, k, why, err := a.e.retirer(job.Incident)
	if err != nil || k == nil {
		return nil, why, err
	}
	since := a.e.o.Clock.Real(a.e.Now().Sub(r.Stages[len(r.Stages)-1].Effected))
	return k.Retire(ctx, r.Plan, since, Fence{Incident: job.Incident.Mark, Epoch: r.Epoch}, dry)
}

// Preview implements Action.
func (a retiring) Preview(ctx context.Context, job Job) (Preview, error) {
	commands, text, err := a.retire(ctx, job, true)
	return Preview{Commands: commands, Text: text}, err
}

// Run implements Action.
func (a retiring) Run(ctx context.Context, job Job) (Outcome, error) {
	if _, k, why, err := a.e.retirer(job.Incident); err != nil || k == nil {
		return Outcome{Unneeded: true, Summary: why}, err
	}
	_, text, err := a.retire(ctx, job, false)
	return Outcome{Summary: text}, err
}

// unretired settles the item where the rollout that is done left nothing standing.
func (e *Engine) unretired(r *state.Rollout) []state.Fact {
	if it := e.Incident().Item(itemRetire); it == nil || it.Status.Settled() {
		return nil
	}
	s, err := e.strategy(r.Strategy)
	if k, ok := s.(Retirer); err != nil || ok && k.Retires(r.Plan) {
		return nil
	}
	return []state.Fact{state.ItemUnneeded{Item: itemRetire, Why: "by " + r.Strategy + " nothing is left standing"}}
}
