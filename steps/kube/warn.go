package kube

import (
	"context"
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
