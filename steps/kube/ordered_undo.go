package kube

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
)

// Operations of a rollback of a StatefulSet.
const (
	opPods      = "pods"
	opPartition = "partition"
)

// undo restores the template with the partition at 0, or no pod below it would follow;
// then the pods that block the way are deleted until all are back; then the partition
// is what it was.
func (ordered) undo(s snapshot, ns string) []undo {
	o, w := s.Ordering, s.Stable
	r := w.ref(ns)
	strategy := func(live *unstructured.Unstructured, want any) []patchOp {
		return fieldOps(live, map[string]any{"updateStrategy": want})
	}
	out := []undo{{
		change: change{id: opStable, title: fmt.Sprintf("%s back to %s (%s)", w.Deployment, w.version(), w.Set), ref: r},
		of:     &s.Stable,
		restore: func(live *unstructured.Unstructured, template map[string]any) ([]patchOp, error) {
			ops, err := w.revert(live, template)
			if o.Partition > 0 && len(ops) == 0 && len(strategy(live, o.Strategy)) == 0 {
				return nil, err // all as it was: the partition need not be opened
			}
			return append(ops, strategy(live, o.to(0))...), err
		},
	}, {
		change: change{id: opPods, title: "pods that are not ready and not of " + w.Set + " deleted, the others follow in order", ref: r, build: noPatch,
			byHand: func(context string) string { return s.makeWayByHand(context, ns) }},
		may:   func(ctx context.Context, r *run) error { return r.turned(ctx) },
		after: func(ctx context.Context, r *run) (string, error) { return r.setRestored(ctx) },
	}}
	if o.Partition > 0 {
		out = append(out, undo{change: change{id: opPartition, title: fmt.Sprintf("partition of %s back at %d", w.Deployment, o.Partition), ref: r,
			build: func(live *unstructured.Unstructured) ([]patchOp, error) { return strategy(live, o.Strategy), nil }}})
	}
	return out
}

// noPatch is the build of a change that is made otherwise.
func noPatch(*unstructured.Unstructured) ([]patchOp, error) { return nil, nil }

// notReady is a template of kubectl that prints the names of the pods that are not ready.
const notReady = `{{range .items}}{{$ready := false}}{{range .status.conditions}}{{if and (eq .type "Ready") (eq .status "True")}}{{$ready = true}}{{end}}{{end}}` +
	`{{if not $ready}}{{.metadata.name}} {{end}}{{end}}`

// makeWayByHand is what a person types to delete the pods that block the way back.
func (s snapshot) makeWayByHand(context, ns string) string {
	kubectl, selector := kubectlIn(context, ns), s.Ordering.Selector+",controller-revision-hash!="+s.Stable.Set
	return kubectl + " delete pod --wait=false $(" + kubectl + " get pods -l " + quote(selector) + " -o go-template=" + quote(notReady) + ")"
}

// turned refuses to delete pods while the StatefulSet would make them anew as they are.
func (r *run) turned(ctx context.Context) error {
	o := r.s.Stable.ref(r.plan.Namespace)
	live, err := r.c.get(ctx, o)
	if err != nil {
		return err
	}
	t, err := podTemplate(live)
	if err != nil {
		return err
	}
	if now := versionIn(t.Spec.Containers, r.s.Stable.Container); now != tagOf(r.s.Stable.Image) {
		return &state.Problem{What: "the pods of " + o.String() + " are left as they are", Why: "its template is still that of " + now, Code: "workload",
			Do: "Restore the template first, then roll back again."}
	}
	return nil
}

// setRestored deletes what blocks the way back until the target revision runs alone,
// with at least as many pods ready as before the rollout.
func (r *run) setRestored(ctx context.Context) (string, error) {
	o := r.s.Stable.ref(r.plan.Namespace)
	progress := r.progress(o, restorePatience)
	var ill illness
	return awaitView(ctx, r.c, o, r.out, r.c.setLook(o), func(v setView) (bool, string, error) {
		if err := r.owned(o, v.set.Annotations); err != nil {
			return false, "", err
		}
		ok, text := r.setBack(v)
		switch {
		case ok:
			return true, text, nil
		case !v.current():
			return false, text, progress(text)
		}
		if err := r.makeWay(ctx, v, r.out); err != nil {
			return false, text, err
		}
		if err := ill.lasts(v.trouble(v.set.Status.UpdateRevision)); err != nil {
			return false, text, err
		}
		return false, text, progress(text)
	})
}

// setBack says whether the view shows the target revision alone and ready enough.
func (r *run) setBack(v setView) (bool, string) {
	if !v.current() {
		return false, "waiting for the controller to see the change"
	}
	now, want := v.set.Status.UpdateRevision, replicasOf(v.set.Spec.Replicas)
	ready, version := v.ready(now), versionIn(v.set.Spec.Template.Spec.Containers, r.s.Stable.Container)
	text := fmt.Sprintf("%s %d/%d ready", version, ready, want)
	if n := v.others(now); n > 0 {
		return false, fmt.Sprintf("%s, %d pods of another revision", text, n)
	}
	return ready >= min(r.s.Stable.Ready, want) && version == tagOf(r.s.Stable.Image), text
}

// rights implements demanding: without the right to delete pods, a version that does
// not start could not be taken back.
func (ordered) rights(*run) []right { return []right{{verb: "delete", resource: pods}} }

// setKept makes sure that the controller does not remove the target's revision once the
// rollout is complete: it keeps the newest revisionHistoryLimit of those no pod has.
func (r *run) setKept(ctx context.Context, live *unstructured.Unstructured) (finding, error) {
	const name = "history"
	set, err := typed[appsv1.StatefulSet](live)
	if err != nil {
		return finding{}, err
	}
	kept, err := r.c.revisionsOf(ctx, live)
	if err != nil {
		return finding{}, err
	}
	limit, newer := int32(10), 0 // the API server's default
	if set.Spec.RevisionHistoryLimit != nil {
		limit = *set.Spec.RevisionHistoryLimit
	}
	at := slices.IndexFunc(kept, func(cr *appsv1.ControllerRevision) bool { return cr.Name == r.s.Stable.Set })
	for _, cr := range kept {
		// What the rollout makes is no old one.
		if at >= 0 && cr.Revision > kept[at].Revision && imageKept(cr, r.s.Stable.Container, "") != r.s.Stable.Next {
			newer++
		}
	}
	if newer >= int(limit) {
		return no(name, state.NotReady, fmt.Errorf("%s keeps %d old revisions (revisionHistoryLimit), and %d are newer than the target: the controller would remove it; first: %s --type=merge -p '{\"spec\":{\"revisionHistoryLimit\":%d}}'",
			r.s.Stable, limit, newer, r.s.Stable.ref(r.plan.Namespace).kubectl(r.c.Context, "patch"), newer+3)), nil
	}
	return yes(name, fmt.Sprintf("revision %s is kept (revisionHistoryLimit %d)", r.s.Stable.Set, limit)), nil
}
