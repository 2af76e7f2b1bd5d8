package steps

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// makePlan computes the production rollout and its inverse; nothing happens yet.
func (e *Engine) makePlan(ctx context.Context, job Job) (Outcome, error) {
	p, _, err := e.plan(ctx, job.Incident, itemDeploy, job.Incident.Facts["9.strategy"])
	if err != nil {
		return Outcome{}, err
	}
	if old := planned(job.Incident, itemDeploy); old != nil {
		p.ID = old.ID
	}
	// Planning takes a while: what it would replace is looked at when it is written.
	if _, err := e.recordIf(e.mayday(), func(in *state.Incident) error {
		if old := planned(in, itemDeploy); old != nil && old.Status != state.RolloutPlanned {
			return &state.Problem{What: "the rollout of this plan has begun", Do: "Finish it or roll back."}
		}
		return unnumbered(in, p.ID, itemDeploy)
	}, state.RolloutLaid{Plan: p, Item: itemDeploy}); err != nil {
		return Outcome{}, err
	}
	for _, w := range p.Warnings {
		fmt.Fprintln(job.Output, "Mind: "+w)
	}
	fmt.Fprint(job.Output, planText(p))
	ev := []state.Evidence{{Name: "target of a rollback", Value: strings.Join(strings.Fields(p.Target+" "+p.Revision+" "+p.Digest), " ")}, {Name: "inverse", Value: fmt.Sprintf("%d operations", len(p.Inverse))}}
	for _, s := range p.Stages {
		ev = append(ev, state.Evidence{Name: "stage", Value: s.Name})
	}
	for _, w := range p.Warnings {
		ev = append(ev, state.Evidence{Name: "mind", Value: w})
	}
	return Outcome{Summary: fmt.Sprintf("%d stages, back to %s", len(p.Stages), p.Target), Evidence: ev}, nil
}

// provePlan dry-runs the plan and its inverse on the server, now.
func (e *Engine) provePlan(ctx context.Context, job Job) (Outcome, error) {
	r := planned(job.Incident, "10.deploy")
	if r == nil {
		return Outcome{}, &state.Problem{What: "there is no plan yet", Do: "Make it: 9.plan."}
	}
	proof, err := e.prove(ctx, r, r.Status != state.RolloutPlanned)
	out := Outcome{Summary: string(proof.Ready)}
	for _, c := range proof.Checks {
		mark := "ok"
		switch {
		case !c.OK:
			mark = "NOT OK"
		case c.Warn:
			mark = "ok, but mind:"
		}
		out.Evidence = append(out.Evidence, state.Evidence{Name: c.Name, Value: state.Clean(mark + " " + c.Text)})
		fmt.Fprintf(job.Output, "%s: %s %s\n", c.Name, mark, c.Text)
	}
	if err != nil {
		return out, err
	}
	if proof.Ready == state.NotReady {
		return out, &state.Problem{Code: "not-proven", What: "the rollback is not proven", Why: proof.Why, Do: "Mend that and run this again; a deployment without a way back is not started."}
	}
	return out, nil
}

// settleTime is how long the first readings may take (incident time).
const settleTime = 2 * time.Minute

// seen waits until every chosen probe gives a known reading, and reports them.
func (e *Engine) seen(ctx context.Context, choose func(state.Probe) bool, none string) (Outcome, error) {
	deadline := e.Now().Add(settleTime)
	for {
		var out Outcome
		var unknown []string
		now := e.Now()
		for _, p := range e.Incident().Probes {
			if !choose(p) {
				continue
			}
			r, _ := e.reading(p.Name, now)
			if !r.seen || !r.sample.Verdict.Known() {
				unknown = append(unknown, p.Name)
				continue
			}
			out.Evidence = append(out.Evidence, state.Evidence{Name: p.Name, Value: fmt.Sprintf("%s %s", state.Quantity(r.sample.Value, p.Unit), r.sample.Verdict)})
		}
		if len(out.Evidence)+len(unknown) == 0 {
			return out, &state.Problem{Code: "config", What: none, Do: "Watch it another way and override this item with what you saw."}
		}
		out.Summary = fmt.Sprintf("%d of %d", len(out.Evidence), len(out.Evidence)+len(unknown))
		if len(unknown) == 0 {
			return out, nil
		}
		if now.After(deadline) {
			return out, &state.Problem{Code: "unknown", What: "not every probe gives readings", Why: list(unknown), Do: "See the metrics pane for why; run this again when they are back."}
		}
		select {
		case <-ctx.Done():
			return out, ctx.Err()
		case <-time.After(max(e.o.Clock.Real(gateTick), gateFloor)):
		}
	}
}

func (e *Engine) metricsSeen(ctx context.Context, _ Job) (Outcome, error) {
	return e.seen(ctx, func(p state.Probe) bool {
		return p.Kind == "prometheus" && (p.Role == state.RoleAll || p.Role == state.RoleNew)
	}, "the runbook has no metrics probes")
}

func (e *Engine) healthSeen(ctx context.Context, _ Job) (Outcome, error) {
	return e.seen(ctx, func(p state.Probe) bool { return p.Kind == "http" }, "the runbook has no HTTP probes")
}

func (e *Engine) triggers(_ context.Context, _ Job) (Outcome, error) {
	var out Outcome
	now := e.Now()
	for _, r := range e.readings(now, state.RoleNew, state.RoleAll) {
		if r.probe.Reaction > 0 || r.probe.RankReaction > 0 {
			out.Evidence = append(out.Evidence, state.Evidence{Name: r.probe.Name, Value: trigger(r.probe, e.o.Runbook.Gate)})
		}
	}
	if len(out.Evidence) == 0 {
		return out, &state.Problem{Code: "config", What: "nothing pulls the rollback by itself: no probe can say crit, or gate.crit is not rollback",
			Do: "Watch closely with R at hand, and override this item."}
	}
	in := e.Incident()
	out.Summary = fmt.Sprintf("%d triggers, worst-case reaction %s", len(out.Evidence), in.Reaction)
	if by := in.RankReaction(); by > 0 {
		out.Summary += fmt.Sprintf(", %s by rank", by)
	}
	return out, nil
}

// trigger says what of a probe pulls the rollback, and how fast at worst.
func trigger(p state.Probe, policy runbook.Gate) string {
	var says []string
	if p.Reaction > 0 {
		text, sign := "crit", ">"
		if p.Below {
			sign = "<"
		}
		switch {
		case p.Crit != nil:
			text += " " + sign + " " + state.Quantity(*p.Crit, p.Unit)
		case p.CritTo != nil:
			text += " " + sign + " " + p.CritTo.Text()
		}
		says = append(says, fmt.Sprintf("%s, %d in a row, at worst within %s", text, policy.Consecutive, p.Reaction))
	}
	if p.RankReaction > 0 {
		says = append(says, fmt.Sprintf("worse by rank, at worst within %s", p.RankReaction))
	}
	return strings.Join(says, "; ")
}

// performance compares every reading with the one before the deployment.
func (e *Engine) performance(_ context.Context, job Job) (Outcome, error) {
	var out Outcome
	var worse []string
	for _, r := range e.readings(e.Now(), state.RoleAll) {
		b, ok := job.Incident.Before[r.probe.Name]
		if !ok || !r.seen || !r.sample.Verdict.Known() {
			continue
		}
		text := fmt.Sprintf("%s, before %s", state.Quantity(r.sample.Value, r.probe.Unit), state.Quantity(b.Value, r.probe.Unit))
		out.Evidence = append(out.Evidence, state.Evidence{Name: r.probe.Name, Value: text})
		if r.sample.Verdict != state.OK && !r.probe.NoWorse(b, r.sample) {
			worse = append(worse, r.probe.Name+" "+text)
		}
	}
	out.Summary = fmt.Sprintf("%d compared", len(out.Evidence))
	switch {
	case len(worse) > 0:
		return out, &state.Problem{Code: "slower", What: "worse than before the deployment", Why: list(worse), Do: "Roll back with R, or override with the reason why this is acceptable."}
	case len(out.Evidence) == 0:
		return out, &state.Problem{Code: "unknown", What: "there is nothing to compare", Why: "no probe has a reading from before the deployment", Do: "Compare by hand and override this item with what you saw."}
	}
	return out, nil
}

// rollbackUnneeded settles step 14 of a good run, with the last proof as evidence.
func (e *Engine) rollbackUnneeded(_ context.Context, job Job) (Outcome, error) {
	in := job.Incident
	if w := in.Item(state.ItemMonitor); w == nil || !w.Status.Settled() {
		return Outcome{}, &state.Problem{Code: "early", What: "whether a rollback is needed is known when the monitoring period has ended",
			Do: "R rolls back at any time."}
	}
	rb := in.Rollback
	return Outcome{Unneeded: true, Summary: "not needed", Evidence: []state.Evidence{
		{Name: "last proof", Value: fmt.Sprintf("%s to %s at %s", rb.Proof.Ready, rb.Proof.Target, rb.ProvenAt.Format(time.TimeOnly))}}}, nil
}

// monitoring gives when the monitoring period ends, and how long it is, for one that began
// at that time.
func (e *Engine) monitoring(began time.Time) (time.Time, state.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	period := e.in.Policy.Monitor
	ends, ok := e.in.MonitoringEnds()
	if !ok { // a rollback has just ended the item
		ends = began.Add(period.D())
	}
	return ends, period
}

// monitor is the monitoring period. A crit reading that repeats rolls back; a
// warning or ignorance never does by itself, but the period does not end well with one.
func (e *Engine) monitor(ctx context.Context, job Job) (Outcome, error) {
	in, began := job.Incident, e.Now()
	g := e.crits(in)
	tick := e.gateBeat()
	defer tick.Stop()
	looks, anomalies, said := 0, 0, ""
	for {
		now := e.Now()
		d := g.judge(now, e.readings(now, state.RoleNew, state.RoleAll))
		if looks++; d.key() != said {
			if d.state != state.GatePassed {
				anomalies++
			}
			if d.state != state.GateFailed && (looks > 1 || d.state != state.GatePassed) {
				e.must(e.mayday(), watchOf(state.WatchMonitoring, d)) // it goes on judging, whatever the disk does
			}
			said = d.key()
		}
		if d.state == state.GateFailed {
			e.must(e.mayday(), watchOf(state.WatchMonitoring, d)) // it hardly waits: a rollback follows
			e.fire(e.mayday(), "monitoring: "+list(d.reasons))
			<-ctx.Done()
			return Outcome{}, ctx.Err()
		}
		// A change of severity changes the period, here as on the screens. A reading that is
		// lost at its end may come back, as at every gate.
		if ends, period := e.monitoring(began); !now.Before(ends) && (d.state != state.GateWaiting || !g.bridges(now)) {
			out := Outcome{Summary: "watched " + period.String(), Evidence: []state.Evidence{{Name: "looks", Value: fmt.Sprint(looks)}, {Name: "anomalies", Value: fmt.Sprint(anomalies)}}}
			for _, s := range d.readings {
				p, _ := in.Probe(s.Probe)
				out.Evidence = append(out.Evidence, state.Evidence{Name: s.Probe, Value: state.Quantity(s.Value, p.Unit) + " " + string(s.Verdict)})
			}
			e.must(e.mayday(), watchOver(d))
			if d.state != state.GatePassed { // not even for want of a probe: unknown is not healthy
				return out, &state.Problem{Code: "not-well", What: "the monitoring period is over and not all is well", Why: list(d.reasons),
					Do: "Run it again to watch longer, roll back with R, or override with a reason."}
			}
			return out, nil
		}
		select {
		case <-ctx.Done():
			return Outcome{}, ctx.Err()
		case <-tick.C:
		}
	}
}
