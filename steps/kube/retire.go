package kube

import (
	"context"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
	"mayday/steps"
)

// Retires implements steps.Retirer: blue-green leaves the old colour's pods.
func (v several) Retires(plan state.Plan) bool {
	list, err := each(plan)
	if err != nil {
		return false
	}
	for _, p := range list {
		if s, err := readSnapshot(p.Plan); err == nil && s.Colours != nil && len(p.Plan.Stages) > 0 {
			return true
		}
	}
	return false
}

// each gives the plans of the workloads, or the plan of the only one.
func each(plan state.Plan) ([]part, error) {
	list, err := parts(plan)
	if err == nil && len(list) == 0 {
		list = []part{{Plan: plan}}
	}
	return list, err
}

// Retire implements steps.Retirer. All workloads' old colours are looked at before the
// first is scaled down.
func (v several) Retire(ctx context.Context, plan state.Plan, since time.Duration, fence steps.Fence, dry bool) ([]string, string, error) {
	list, err := each(plan)
	if err != nil {
		return nil, "", err
	}
	var old []*oldColour
	var commands, texts []string
	for _, p := range list {
		o, err := v.oldColour(ctx, p.Plan, since, fence)
		if err != nil {
			return nil, "", p.failed(err)
		}
		if o.command != "" {
			commands = append(commands, o.command)
		}
		old = append(old, o)
	}
	for i, o := range old {
		if dry {
			texts = append(texts, list[i].of(o.says()))
			continue
		}
		text, err := o.scaleDown(ctx)
		if err != nil {
			return commands, strings.Join(texts, "; "), list[i].failed(err)
		}
		texts = append(texts, list[i].of(text))
	}
	return commands, strings.Join(texts, "; "), nil
}

// oldColour is the Deployment that a blue-green rollout left, as it was looked at.
type oldColour struct {
	*run
	ref     ref
	pods    int32 // wanted now
	command string
}

// oldColour looks whether the old colour may go: its time is over, nobody else works on
// it, it is what the rollout left, and the Service leads to the new one alone.
func (st *strategy) oldColour(ctx context.Context, plan state.Plan, since time.Duration, fence steps.Fence) (*oldColour, error) {
	r, err := st.resume(ctx, plan, forward)
	if err != nil {
		return nil, err
	}
	r.fence, r.out = fence, io.Discard
	if r.s.Colours == nil {
		return nil, &state.Problem{What: "no colour was left by this rollout", Code: "config"}
	}
	o := &oldColour{run: r, ref: r.s.Stable.ref(plan.Namespace)}
	if left := r.s.Colours.Drain.D() - since; left > 0 {
		return nil, &state.Problem{What: o.ref.Name + " keeps its pods: connections to it may still be open", Code: "early",
			Why: fmt.Sprintf("drain is %s, and the traffic left it %s ago", r.s.Colours.Drain, state.Duration(since.Round(time.Second))),
			Do:  "Wait " + state.Duration(left.Round(time.Second)+time.Second).String() + " more. Nothing is lost by it: R is quickest while they stand."}
	}
	if by := r.s.Stable.Autoscaler; by != "" {
		return nil, &state.Problem{What: o.ref.Name + " is left as it is", Why: "HorizontalPodAutoscaler " + by + " decides how many pods it has", Code: "autoscaler",
			Do: "Scale it by hand if you mean it: " + o.ref.kubectl(r.c.Context, "scale") + " --replicas=0"}
	}
	if err := o.left(ctx); err != nil {
		return nil, err
	}
	live, err := r.c.get(ctx, o.ref)
	if err != nil {
		return nil, problem(err, "cannot read "+o.ref.String())
	}
	o.pods = replicasIn(live)
	op, _, err := o.change(o.pods, 0).op(live, fence, r.c.Context)
	if err != nil {
		return nil, err
	}
	if o.pods > 0 {
		o.command = op.Command
	}
	return o, nil
}

// left makes sure that the traffic goes to the new colour alone.
func (o *oldColour) left(ctx context.Context) error {
	svc := o.s.Colours.ref(o.plan.Namespace)
	live, err := o.c.get(ctx, svc)
	if err != nil {
		return problem(err, "cannot read "+svc.String())
	}
	if !maps.Equal(selectorOf(live), o.s.Colours.turned()) {
		return &state.Problem{What: o.ref.Name + " is left as it is", Why: svc.String() + " does not lead to " + o.s.Colours.Idle + " alone: " + o.s.Colours.shares(live),
			Code: "traffic", Do: "Look where the traffic goes before anything is scaled down."}
	}
	return nil
}

// change scales the old colour, as long as it is what the rollout left: with the
// rollout's own fence, the version from before, and the number of pods that was seen.
func (o *oldColour) change(from, to int32) change {
	return change{id: "retire", title: fmt.Sprintf("%s scaled from %d pods to %d", o.ref.Name, from, to), ref: o.ref, closes: true,
		build: func(live *unstructured.Unstructured) ([]patchOp, error) {
			if own := live.GetAnnotations()[FenceAnnotation]; own != fenceText(o.fence) {
				return nil, fenced(&state.Problem{What: o.ref.String() + " is not this rollout's any more", Code: "fenced",
					Why: "its fence is " + state.Clean(or(own, "gone")) + ", not " + fenceText(o.fence), Do: "Find out who works on it."})
			}
			w := o.s.Stable
			t, err := podTemplate(live)
			i := containerIndex(t.Spec.Containers, w.Container)
			if err != nil || i < 0 || t.Spec.Containers[i].Image != w.Live {
				return nil, &state.Problem{What: o.ref.String() + " is not what the rollout left", Why: "somebody gave it another version since", Code: "drift",
					Do: "Find out who, and what for."}
			}
			switch replicasIn(live) {
			case to:
				return nil, nil
			case from:
				return append(w.replicaOps(live, to, true), test(fmt.Sprintf("/spec/template/spec/containers/%d/image", i), w.Live)), nil
			}
			return nil, &state.Problem{What: o.ref.String() + " was scaled by somebody else", Code: "drift",
				Why: fmt.Sprintf("it had %d pods, now it wants %d", from, replicasIn(live)), Do: "Find out who, then try again."}
		}}
}

func (o *oldColour) says() string {
	if o.pods == 0 {
		return o.ref.Name + " has no pods already"
	}
	return fmt.Sprintf("%s: %d pods end. R still works: it gets them first, then leads the traffic there", o.ref.Name, o.pods)
}

// scaleDown is the write, and a look behind it: a rollback from elsewhere leads the
// traffic back before it gets to this Deployment, and must not find it empty.
func (o *oldColour) scaleDown(ctx context.Context) (string, error) {
	wrote, err := o.c.write(ctx, o.change(o.pods, 0), o.fence, forward)
	if err != nil {
		return "", err
	}
	if !wrote {
		return o.ref.Name + " has no pods already", nil
	}
	if err := o.left(ctx); err != nil {
		if _, back := o.c.write(ctx, o.change(0, o.pods), o.fence, forward); back != nil {
			return "", fmt.Errorf("%w; and its pods were not brought back: %w", err, back)
		}
		return "", err
	}
	_, err = o.c.await(ctx, o.ref, o.out, func(v view) (bool, string, error) {
		return v.heard() && v.d.Status.Replicas == 0, fmt.Sprintf("%d pods of %s left", v.d.Status.Replicas, o.ref.Name), nil
	})
	return fmt.Sprintf("%s scaled from %d pods to 0; R gets them first, then leads the traffic there", o.ref.Name, o.pods), err
}
