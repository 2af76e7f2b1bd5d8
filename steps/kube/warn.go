package kube

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mayday/state"
)

// warnings are what a person should know of a plan before it starts: who will take its
// changes back, and what the new version would run with that the old one does not.
func warnings(rec recipe, plan state.Plan, s snapshot, live world) []string {
	refs, paths := touched(rec, s, plan.Namespace, len(plan.Stages), live)
	out := live.warnings(refs, paths)
	if s.Canary != nil {
		stable, beside := deployment(plan.Namespace, s.Stable.Deployment), deployment(plan.Namespace, s.Canary.Deployment)
		if text := s.unlike(live[stable], live[beside]); text != "" {
			out = append(out, text)
		}
	}
	if w := s.Stable; s.carrier() != nil && w.Autoscaler != "" && 2*w.Floor < w.Replicas {
		out = append(out, fmt.Sprintf("HorizontalPodAutoscaler %s may leave %s %d of its %d pods once the traffic has left it, and a rollback would lead all of it there. First: %s; and back to %d at the end",
			w.Autoscaler, w, w.Floor, w.Replicas, w.heldUp(plan.Namespace, plan.Context), w.Floor))
	}
	if s.Route != nil {
		not := unaccepted(live[s.Route.ref(plan.Namespace)])
		for _, parent := range slices.Sorted(maps.Keys(not)) {
			out = append(out, not[parent]+"; it was so before, so the rollout does not wait for that gateway to accept "+s.Route.String())
		}
	}
	return out
}

// others looks again who will take the rollout's changes back: another tool may have
// claimed an object since the plan was made. Once the rollout began, what it changed is
// no longer the tool's, so all of spec counts.
func (r *run) others(live world, rec recipe, started bool) check {
	return func(context.Context) (finding, error) {
		const name = "who else keeps these objects"
		refs, paths := touched(rec, r.s, r.plan.Namespace, len(r.plan.Stages), live)
		if started {
			refs = r.refs()
			for _, o := range refs {
				paths[o] = []string{"/spec"}
			}
		}
		if w := live.warnings(refs, paths); len(w) > 0 {
			return mind(name, strings.Join(w, "; ")), nil
		}
		return yes(name, "nobody known"), nil
	}
}

// mind is a finding that is good enough and yet should be read.
func mind(name, text string) finding {
	f := yes(name, text)
	f.Warn = true
	return f
}
