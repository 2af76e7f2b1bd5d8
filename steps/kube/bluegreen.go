package kube

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
	"mayday/steps"
)

// blueGreen gives the idle one of two Deployments, the colours, the new version,
// tries it where no user sees it, and switches the Service that leads to the live
// colour. The old colour keeps its pods: connections to it end by themselves, and the
// way back is the selector alone. In the plan, Stable is the colour that is live
// before, Canary the idle one. Stages:
//
//	0 the idle colour gets the version and as many pods as the live one
//	1 the runbook's checks against the preview URL; writes nothing
//	2 the selector
//	3 the fences are closed; the old colour stays
type blueGreen struct{}

const (
	stageGets = iota
	stageChecks
	stageSwitch
	stageStays
)

func (blueGreen) subject(s snapshot) string { return s.Colours.String() }

func (blueGreen) stages(s snapshot, order steps.Order) []state.Stage {
	c := s.Colours
	return []state.Stage{
		{Name: c.Idle + " gets " + order.Version},
		{Name: "checks on " + c.Idle},
		{Name: "traffic to " + c.Idle, Weight: 100, Hold: order.Environment.BlueGreen.Hold},
		{Name: c.Live + " stays", Weight: 100},
	}
}

func (blueGreen) changes(s snapshot, ns string, i int) []change {
	svc, live, idle := s.Colours.ref(ns), deployment(ns, s.Stable.Deployment), deployment(ns, s.Canary.Deployment)
	switch i {
	case stageGets:
		return []change{
			{id: "0.service", title: "fence of " + svc.String(), ref: svc},
			{id: "0.live", title: "fence of " + live.String(), ref: live},
			{id: "0.idle", title: fmt.Sprintf("%s takes %s, %d pods", idle.Name, tagOf(s.Canary.Next), s.Pods), ref: idle, build: s.wakeCanary},
		}
	case stageSwitch:
		return []change{{id: "2.service", title: fmt.Sprintf("selector of %s: %s %s → %s", svc.Name, s.Colours.Label, s.Colours.Live, s.Colours.Idle), ref: svc,
			build: func(u *unstructured.Unstructured) ([]patchOp, error) { return s.Colours.turnOps(u) }}}
	case stageStays:
		var out []change
		for _, o := range []ref{idle, live, svc} {
			out = append(out, change{id: fmt.Sprintf("3.%s.%s", o.Kind, o.Name), title: "fence of " + o.String() + " closed", ref: o, closes: true})
		}
		return out
	}
	return nil
}

// rights implements demanding: what the checks of the idle colour need, where there are
// any and the runbook names no URL for them.
func (blueGreen) rights(r *run) []right {
	if r.s.Colours.Preview != "" || len(r.preview.Environments[r.plan.Environment].Checks) == 0 {
		return nil
	}
	return []right{r.proxied()}
}

// before makes sure, right before users are sent there, that the idle colour still is
// what was checked.
func (k blueGreen) before(ctx context.Context, r *run, i int) error {
	if i != stageSwitch {
		return nil
	}
	_, err := r.fit(ctx)
	return err
}

// fit waits until the idle colour runs the new version, complete and with pods.
func (r *run) fit(ctx context.Context) (string, error) {
	idle := deployment(r.plan.Namespace, r.s.Canary.Deployment)
	complete := r.complete(idle)
	return r.c.await(ctx, idle, r.out, func(v view) (bool, string, error) {
		ok, text, err := complete(v)
		if err != nil {
			return false, text, err
		}
		why := ""
		if at := containerIndex(v.d.Spec.Template.Spec.Containers, r.s.Canary.Container); at < 0 {
			why = "container " + r.s.Canary.Container + " is gone"
		} else if now := v.d.Spec.Template.Spec.Containers[at].Image; !isImage(now, r.s.Canary.Next) {
			why = "it runs " + state.Clean(now)
		} else if replicasOf(v.d.Spec.Replicas) == 0 {
			why = "it was scaled to 0"
		}
		if why != "" {
			return false, text, &state.Problem{What: idle.String() + " is not ready for " + r.plan.Version, Why: why + "; somebody else changed it during the rollout",
				Code: "drift", Do: "Find out who, then roll back or plan again."}
		}
		return ok, text, nil
	})
}

func (k blueGreen) effect(ctx context.Context, r *run, i int) (steps.Effect, error) {
	switch i {
	case stageGets:
		text, err := r.fit(ctx)
		return steps.Effect{Text: text}, err
	case stageChecks:
		return k.checked(ctx, r)
	case stageSwitch:
		return k.switched(ctx, r)
	}
	live := deployment(r.plan.Namespace, r.s.Stable.Deployment)
	d, err := r.c.deployment(ctx, live)
	if err != nil {
		return steps.Effect{}, problem(err, "cannot read "+live.String())
	}
	n := replicasOf(d.Spec.Replicas)
	text := fmt.Sprintf("%s keeps %d pods for open connections and the way back", live.Name, n)
	if drain := r.s.Colours.Drain.D(); drain > 0 {
		// The real time: connections end by that, whatever the incident's clock does.
		text += ", for " + r.s.Colours.Drain.String() + " at least, until " + time.Now().Add(drain).UTC().Format("15:04:05 UTC")
	}
	return steps.Effect{Text: text + "; then step 15 offers to scale it down"}, nil
}

// checked tries the idle colour out.
func (blueGreen) checked(ctx context.Context, r *run) (steps.Effect, error) {
	if err := r.uncontested(ctx); err != nil {
		return steps.Effect{}, problem(err, "cannot read "+r.s.Colours.String())
	}
	text, err := r.fit(ctx)
	if err != nil {
		return steps.Effect{}, err
	}
	seen, err := r.tryOut(ctx)
	return steps.Effect{Text: seen + ", " + text}, err
}

// uncontested asks for the Service's fence where nothing is written: work that is fenced
// out must not report anything as checked.
func (r *run) uncontested(ctx context.Context) error {
	svc := r.s.Colours.ref(r.plan.Namespace)
	u, err := r.c.get(ctx, svc)
	if err != nil {
		return err
	}
	return r.owned(svc, u.GetAnnotations())
}

// switched waits until the Service leads to the new colour alone, and it answers.
func (blueGreen) switched(ctx context.Context, r *run) (steps.Effect, error) {
	idle := deployment(r.plan.Namespace, r.s.Canary.Deployment)
	led, err := r.led(ctx, idle, 1)
	if err != nil {
		return steps.Effect{}, err
	}
	text, err := r.c.await(ctx, idle, r.out, r.complete(idle))
	if err != nil {
		return steps.Effect{}, err
	}
	seen, what, err := r.observe(ctx, 100, func(ctx context.Context) error { return r.stillOn(ctx, r.s.Colours.Idle) })
	return steps.Effect{Text: what + ", " + led + ", " + text, Seen: seen}, err
}

// deepest is the switch.
func (blueGreen) deepest(snapshot) int { return stageSwitch }

func (blueGreen) undo(s snapshot, ns string) []undo {
	c := s.Colours
	svc, live, idle := c.ref(ns), deployment(ns, s.Stable.Deployment), deployment(ns, s.Canary.Deployment)
	return []undo{
		{change: change{id: opTraffic, title: fmt.Sprintf("traffic to %s: selector of %s as it was", c.Live, svc.Name), ref: svc,
			build: func(u *unstructured.Unstructured) ([]patchOp, error) { return c.backOps(u), nil }},
			after: func(ctx context.Context, r *run) (string, error) { return r.led(ctx, live, min(s.Stable.Ready, 1)) }},
		{change: change{id: "live", title: live.Name + " as it was: " + s.Stable.version() + " (" + s.Stable.Set + ")", ref: live},
			of: &s.Stable, restore: s.Stable.revertWithPods,
			after: func(ctx context.Context, r *run) (string, error) { return r.restored(ctx, live) }},
		{change: change{id: "idle", title: idle.Name + " as it was", ref: idle,
			build: func(u *unstructured.Unstructured) ([]patchOp, error) {
				ops, err := s.Canary.imageOps(u, s.Canary.Live)
				return append(ops, s.Canary.replicaOps(u, s.Canary.Replicas, false)...), err
			}},
			may: func(ctx context.Context, r *run) error { return r.unused(ctx) },
			// Connections to the new colour end by themselves before its pods do.
			before: func(ctx context.Context, r *run) { _, _ = r.answering(ctx) }},
	}
}
