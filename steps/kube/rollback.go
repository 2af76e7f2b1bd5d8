package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
	"mayday/steps"
)

const (
	// restorePatience is how long nothing may change while the old revision's pods are
	// waited for, real time: then somebody else is called.
	restorePatience = 5 * time.Minute
	// stillPatience is the same for what else has no deadline of its own: as long as a
	// Deployment is given to make progress where it does not say.
	stillPatience = 10 * time.Minute
	// troublePatience is how long pods of the old revision may be in trouble before
	// the rollback counts as failed: production may have been so before.
	troublePatience = 10 * time.Second
)

// Rollback implements steps.Strategy. A failed operation does not keep the next
// ones from being tried; the error and the manual commands name what failed.
// Only a newer epoch and the end of ctx stop it.
func (st *strategy) Rollback(ctx context.Context, plan state.Plan, fence steps.Fence, report func(state.RollbackOp)) (steps.Verification, error) {
	return st.takeBack(ctx, plan, fence, report, func() {})
}

// takeBack is Rollback. written is called, once or more often, when traffic and workload
// are as good as told to go back and only their pods are waited for.
func (st *strategy) takeBack(ctx context.Context, plan state.Plan, fence steps.Fence, report func(state.RollbackOp), written func()) (steps.Verification, error) {
	r, err := st.resume(ctx, plan, backward)
	if err != nil {
		return steps.Verification{Manual: byHand(plan)}, err
	}
	r.fence, r.out = fence, io.Discard
	ops := r.order(ctx, r.recipe.undo(r.s, plan.Namespace))
	var failed []error
	for i, u := range ops {
		if rest := ops[i+1:]; !slices.ContainsFunc(rest, func(u undo) bool { return u.of != nil }) {
			r.wrote = written
		}
		text, err := r.undoOne(ctx, u, report)
		if r.wrote != nil {
			r.wrote()
		}
		if ctx.Err() != nil || errors.Is(err, steps.ErrFenced) {
			return steps.Verification{Manual: byHand(plan)}, err
		}
		if err != nil {
			failed = append(failed, err)
		}
		_ = text
	}
	text, err := r.verify(ctx, ops, report)
	if err != nil {
		failed = append(failed, err)
	}
	if len(failed) > 0 {
		return steps.Verification{Text: text, Manual: append(remake(r.s, plan, failed), byHand(plan)...)}, failed[0]
	}
	r.release(ctx, ops)
	return steps.Verification{Text: text}, nil
}

// order puts the workload before the traffic where the pods that took it before are
// gone or were scaled down to less than half: moving it first would answer few or
// nobody. The same where that stays unknown: pods that are there cost this order
// moments, pods that are not would cost all users their answers.
func (r *run) order(ctx context.Context, ops []undo) []undo {
	if !r.asks(ops) {
		return ops
	}
	var err error
	s, known := r.c.ahead.young(deployment(r.plan.Namespace, r.s.Stable.Deployment))
	if !known {
		err = r.insist(ctx, func() (err error) { s, err = r.look(ctx); return err })
	}
	if err == nil && !r.s.Stable.short(s.want, s.ready) {
		return ops
	}
	// What the pods read goes before the workload wherever that goes.
	at := 1
	for ops[at].ref.isConfig() {
		at++
	}
	traffic := ops[0]
	ops = slices.Insert(slices.Clone(ops[1:]), at, traffic)
	ops[at].may = func(ctx context.Context, r *run) error { return r.staffed(ctx) }
	return ops
}

// short reports whether a Deployment of so many pods, so many of them ready, must
// get pods before it can take the traffic over.
func (w workload) short(want, ready int32) bool {
	return ready == 0 && w.Ready > 0 || want < w.Replicas && 2*ready < w.Ready
}

// staffed refuses to lead the traffic to a Deployment without a pod. It counts where
// returning does: the Deployment's own status is behind its ReplicaSets'.
func (r *run) staffed(ctx context.Context) error {
	o := deployment(r.plan.Namespace, r.s.Stable.Deployment)
	v, err := r.c.view(ctx, o)
	ready := int32(0)
	for _, rs := range v.sets {
		ready += rs.Status.ReadyReplicas
	}
	if err == nil && ready == 0 {
		err = &state.Problem{What: "the traffic stays where it is", Why: o.String() + " has no pod ready that could answer", Code: "no-capacity",
			Do: "Get its pods ready, then roll back again: " + o.kubectl(r.c.Context, "describe")}
	}
	return err
}

// unused refuses to take away what still gets traffic, because it could not be led
// back: answers from the new version are better than none.
func (r *run) unused(ctx context.Context) error {
	k := r.s.carrier()
	live, err := r.c.get(ctx, k.ref(r.plan.Namespace))
	if err != nil {
		return err
	}
	if _, err = k.home(live); err != nil {
		return &state.Problem{What: "Deployment " + r.s.Canary.Deployment + " is left as it is", Why: k.String() + " still leads traffic to it: " + k.shares(live),
			Code: "traffic", Do: "Lead the traffic back first, then roll back again."}
	}
	return nil
}

// undoOne carries one operation out and reports it before and after.
func (r *run) undoOne(ctx context.Context, u undo, report func(state.RollbackOp)) (string, error) {
	report(state.RollbackOp{Op: u.id, Title: u.title, Status: state.ItemRunning})
	text, err := r.carryOut(ctx, u)
	done := state.RollbackOp{Op: u.id, Title: u.title, Status: state.ItemDone, Text: text}
	if err != nil {
		done.Status, done.Text = state.ItemFailed, state.Clean(err.Error())
	}
	report(done)
	return text, err
}

func (r *run) carryOut(ctx context.Context, u undo) (string, error) {
	if u.before != nil {
		u.before(ctx, r)
	}
	var ch change
	err := r.insist(ctx, func() (err error) {
		if u.may != nil {
			if err := u.may(ctx, r); err != nil {
				return err
			}
		}
		var known map[string]any
		if u.of != nil {
			known = r.c.ahead.takeTemplate(*u.of)
		}
		ch, err = u.resolve(ctx, r.c, r.plan.Namespace, known)
		return err
	})
	if err != nil {
		return "", problem(err, u.title)
	}
	wrote, err := r.c.write(ctx, ch, r.fence, backward)
	if err != nil {
		return "", err
	}
	if r.wrote != nil {
		r.wrote()
	}
	text := "written"
	if !wrote {
		text = "was so already"
	}
	if u.after != nil {
		return u.after(ctx, r)
	}
	return text, nil
}

// insist calls f again while the API server is away.
func (r *run) insist(ctx context.Context, f func() error) error {
	give := time.Now().Add(backwardPatience)
	var pause backoff
	for {
		err := f()
		if err == nil || !transient(err) || time.Now().After(give) {
			return err
		}
		if err := pause.wait(ctx, false); err != nil {
			return err
		}
	}
}

// restored waits until the target revision runs alone in the Deployment, with at
// least as many pods ready as before the rollout.
func (r *run) restored(ctx context.Context, o ref) (string, error) {
	return r.c.await(ctx, o, r.out, r.returning(o))
}

// returning is the condition for await of a rollback. A controller that never sees the
// change, as when it is down, moves nothing either.
func (r *run) returning(o ref) func(view) (bool, string, error) {
	progress := r.progress(o, restorePatience)
	var ill illness
	return func(v view) (bool, string, error) {
		if err := r.owned(o, v.d.Annotations); err != nil {
			return false, "", err
		}
		ok, text := r.backTo(v)
		if ok {
			return true, text, nil
		}
		if v.heard() {
			if err := ill.lasts(trouble(v.d, v.current, v.pods)); err != nil {
				return false, text, err
			}
		}
		return false, text, progress(text)
	}
}

// illness bears trouble of pods for a while: the old version may have had it before the
// rollout, and got over it.
type illness struct{ since time.Time }

// lasts gives the trouble once it has lasted troublePatience.
func (i *illness) lasts(trouble error) error {
	switch {
	case trouble == nil:
		i.since = time.Time{}
	case i.since.IsZero():
		i.since = time.Now()
	case time.Since(i.since) > troublePatience:
		return trouble
	}
	return nil
}

// backTo says whether the view shows the target revision alone and ready enough.
func (r *run) backTo(v view) (bool, string) {
	want := replicasOf(v.d.Spec.Replicas)
	if v.current == nil || !v.heard() {
		return false, "waiting for the controller to see the change"
	}
	ready, old := v.current.Status.ReadyReplicas, int32(0)
	for _, rs := range v.sets {
		if rs != v.current {
			old += max(rs.Status.Replicas, replicasOf(rs.Spec.Replicas))
		}
	}
	text := fmt.Sprintf("%s %d/%d ready", versionIn(v.d.Spec.Template.Spec.Containers, r.s.Stable.Container), ready, want)
	if old > 0 {
		text += fmt.Sprintf(", %d pods of another revision", old)
	}
	enough := ready >= min(r.s.Stable.Ready, want) && versionIn(v.d.Spec.Template.Spec.Containers, r.s.Stable.Container) == tagOf(r.s.Stable.Image)
	return enough && old == 0, text
}

// verify looks whether the rollback took effect: the traffic's way as read back, the target
// revision ready, and answers from the target version alone.
func (r *run) verify(ctx context.Context, ops []undo, report func(state.RollbackOp)) (string, error) {
	title := r.plan.Target + " ready and answering"
	report(state.RollbackOp{Op: opVerify, Title: title, Status: state.ItemRunning})
	seen, err := r.seen(ctx)
	text := strings.Join(seen, ", ")
	done := state.RollbackOp{Op: opVerify, Title: title, Status: state.ItemDone, Text: text}
	if err != nil {
		done.Status, done.Text = state.ItemFailed, state.Clean(err.Error())
	}
	report(done)
	return text, err
}

func (r *run) seen(ctx context.Context) ([]string, error) {
	var seen []string
	if k := r.s.carrier(); k != nil {
		o := k.ref(r.plan.Namespace)
		var live *unstructured.Unstructured
		if err := r.insist(ctx, func() (err error) { live, err = r.c.get(ctx, o); return err }); err != nil {
			return seen, problem(err, "cannot read "+o.String()+" back")
		}
		text, err := k.home(live)
		if err != nil {
			return seen, err
		}
		seen = append(seen, text)
	}
	o := r.s.Stable.ref(r.plan.Namespace)
	var ok bool
	var text string
	err := r.insist(ctx, func() (err error) { ok, text, err = r.isBack(ctx); return err })
	if err != nil {
		return seen, missed(err, o, "cannot read "+o.String())
	}
	if !ok {
		return seen, &state.Problem{What: o.String() + " is not back at " + r.plan.Target, Why: text, Code: "workload",
			Do: "Look: " + o.kubectl(r.c.Context, "describe")}
	}
	seen = append(seen, text)
	text, err = r.answering(ctx)
	if err != nil {
		return seen, err
	}
	return append(seen, text), nil
}

// release closes the fences. It is a courtesy to the next incident: where it
// fails, that one is told how to take over.
func (r *run) release(ctx context.Context, ops []undo) {
	for _, u := range ops {
		ch := change{id: u.id, title: "fence of " + u.ref.String() + " closed", ref: u.ref, closes: true}
		_, _ = r.c.write(ctx, ch, r.fence, backward)
	}
}

// remake says how to make the workload anew where it is gone, before anything else.
func remake(s snapshot, plan state.Plan, failed []error) []string {
	if !slices.ContainsFunc(failed, func(err error) bool { return state.HasCode(err, "gone") }) {
		return nil
	}
	w := s.Stable
	return []string{fmt.Sprintf("%s apply -f MANIFEST # of %s, where it is gone: %d pods, image of %s %s", kubectlIn(plan.Context, plan.Namespace), w, w.Replicas, w.Container, w.Image)}
}

// byHand are the commands that do what the rollback could not, and how to check.
func byHand(plan state.Plan) []string {
	var out []string
	for _, op := range plan.Inverse {
		if op.Command != "" {
			out = append(out, op.Command)
		}
	}
	if s, err := readSnapshot(plan); err == nil {
		o := s.Stable.ref(plan.Namespace)
		out = append(out, o.kubectl(plan.Context, "rollout status"))
		if s.URL != "" {
			out = append(out, "curl -sI "+quote(s.URL))
		}
	}
	return out
}
