package steps

import (
	"context"

	"mayday/state"
	"mayday/state/runbook"
)

// crits is a gate for watching without holding anything up: only crit acts.
func (e *Engine) crits(in *state.Incident) *gate {
	g := e.newGate(0, in)
	only := func(p runbook.Gate) runbook.Gate {
		p.Warn, p.NoData, p.Stale, p.Error = "wait", "wait", "wait", "wait"
		return p
	}
	g.policy = only(g.policy)
	g.own = func(probe string) runbook.Gate { return only(e.o.Runbook.GateOf(probe)) }
	return g
}

// sentry watches production while it runs the new version, or a part of it, and
// neither a gate nor the monitoring period does: while a gate asks, or the journal's disk
// keeps the rollout waiting, after a stop or an interruption, between the deployment and
// the monitoring. A crit reading that repeats pulls the rollback there too; nothing else does.
func (e *Engine) sentry(ctx context.Context) {
	tick := e.gateBeat()
	defer tick.Stop()
	var g *gate
	var at string
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		e.mu.Lock()
		r := e.unwatched()
		in := state.Incident{Before: e.in.Before, Windows: e.in.Windows}
		e.mu.Unlock()
		if r == nil {
			g, at = nil, ""
			continue
		}
		if post := r.ID + string(r.Status); g == nil || at != post {
			g, at = e.crits(&in), post
			g.from = e.Now()
		}
		now := e.Now()
		if d := g.judge(now, e.gated(r, in.Before, now)); d.state == state.GateFailed {
			e.must(e.mayday(), watchOf(state.WatchSentry, d)) // it hardly waits: a rollback follows
			e.fire(e.mayday(), "watch: "+list(d.reasons))
		}
	}
}

// unwatched gives a copy of the production rollout that nothing else watches, nil
// where there is none. It needs mu.
func (e *Engine) unwatched() *state.Rollout {
	in := e.in
	r := in.Production()
	switch {
	case r == nil || !in.Open() || in.Epoch != r.Epoch || in.Rollback.Status == state.RollbackRunning || e.began == r.ID:
		return nil
	case r.Problem != nil && r.Problem.Code == "fenced":
		return nil // somebody else deploys there: a person decides
	case r.Status == state.RolloutDone:
		if it := in.Item(state.ItemMonitor); it == nil || it.Status == state.ItemRunning || it.Status.Settled() {
			return nil
		}
	case r.Status == state.RolloutRunning && e.stuck != r.ID || !r.Status.Active():
		return nil
	}
	out := *r
	return &out
}
