package kube

import (
	"encoding/json"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
	"mayday/state/runbook"
)

// snapshot is the record of the world before that a plan carries: enough to go on
// or to roll back in another process. It holds names, images, numbers; no pod
// template, no header of a check, nothing that could be a secret.
type snapshot struct {
	Incident   string    `json:"incident"`
	Mark       string    `json:"mark,omitempty"` // as fences have it
	Kubeconfig string    `json:"kubeconfig,omitempty"`
	URL        string    `json:"url,omitempty"`    // where the service answers
	Stable     workload  `json:"stable"`           // what serves before: stable, the live colour, the one Deployment
	Canary     *workload `json:"canary,omitempty"` // what serves beside it: canary, the idle colour
	Route      *route    `json:"route,omitempty"`
	Colours    *colours  `json:"colours,omitempty"`
	Weights    []int     `json:"weights,omitempty"`
	Pods       int32     `json:"pods,omitempty"` // of Canary while it runs
	Batches    *batches  `json:"batches,omitempty"`
	Ordering   *ordering `json:"ordering,omitempty"`
	Mix        *mix      `json:"mix,omitempty"`
	// Config are the ConfigMaps and Secrets, Left those that are not guarded, Single says
	// that the whole rollout is one stage.
	Config []configObject `json:"config,omitempty"`
	Left   []leftOut      `json:"left,omitempty"`
	Single bool           `json:"single,omitempty"`
}

func readSnapshot(plan state.Plan) (snapshot, error) {
	var s snapshot
	if err := json.Unmarshal(plan.Snapshot, &s); err != nil || s.Stable.Deployment == "" {
		return s, &state.Problem{What: "the plan " + plan.ID + " has no usable snapshot", Code: "snapshot",
			Why: "it was written by another mayday or is damaged", Do: "Plan the rollout again; to go back use kubectl rollout undo."}
	}
	return s, nil
}

// owner is who the fences of the plan name.
func (s snapshot) owner() string { return or(s.Mark, s.Incident) }

// environment rebuilds what connections and observers need of the environment.
func (s snapshot) environment(plan state.Plan) runbook.Environment {
	return runbook.Environment{Name: plan.Environment, Production: plan.Production, Kubeconfig: s.Kubeconfig,
		Context: plan.Context, Namespace: plan.Namespace, URL: s.URL}
}

// carrier is the object that leads the traffic to one Deployment or the other.
type carrier interface {
	String() string
	ref(ns string) ref
	// shares says where it leads now, for a person.
	shares(live *unstructured.Unstructured) string
	// home says how it leads all traffic to where it went before, or why it does not.
	home(live *unstructured.Unstructured) (string, error)
}

// carrier gives the plan's, nil where pods take the traffic as they come.
func (s snapshot) carrier() carrier {
	switch {
	case s.Route != nil:
		return *s.Route
	case s.Colours != nil:
		return *s.Colours
	}
	return nil
}

// world is the objects of a plan as they live, or as they would after some stages.
type world map[ref]*unstructured.Unstructured

func (w world) copy() world {
	out := world{}
	for r, u := range w {
		out[r] = u
	}
	return out
}
