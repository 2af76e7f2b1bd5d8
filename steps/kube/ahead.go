package kube

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
	"mayday/steps"
)

// youngEnough is how old, in real time, an answer may be by which a rollback leads the
// traffic before or after it gets the pods. No patch can test another object than its
// own, so nothing but its age stands for this answer.
const youngEnough = time.Second

// stillGood is how old an object may be, in real time, before Prepare reads it again: a
// rollback plan is proven more often than that.
const stillGood = 45 * time.Second

// ahead is what was read of a cluster before a rollback needs it: each thing serves one
// rollback, once. What the server can test in the patch itself, the objects, may be as
// old as the last proof: where it has moved, the patch is refused and all is read anew.
// Safe for concurrent use.
type ahead struct {
	mu        sync.Mutex
	objects   map[ref]seen
	templates map[string]map[string]any // by the UID of what keeps them, which nobody writes to
	stands    map[ref]stood
}

// seen is an object as it was read at a time.
type seen struct {
	at   time.Time
	live *unstructured.Unstructured
}

// stood is how many pods a Deployment wants and has ready, as seen at a time.
type stood struct {
	at          time.Time
	want, ready int32
}

func newAhead() *ahead {
	return &ahead{objects: map[ref]seen{}, templates: map[string]map[string]any{}, stands: map[ref]stood{}}
}

func (a *ahead) keep(r ref, live *unstructured.Unstructured) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.objects[r] = seen{time.Now(), live}
}

func (a *ahead) has(r ref) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.objects[r]
	return ok && time.Since(s.at) <= stillGood
}

// take gives an object, nil where it was not read or has served.
func (a *ahead) take(r ref) *unstructured.Unstructured {
	a.mu.Lock()
	defer a.mu.Unlock()
	live := a.objects[r].live
	delete(a.objects, r)
	return live
}

func (a *ahead) keepTemplate(w workload, t map[string]any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.templates[w.SetUID] = t
}

func (a *ahead) hasTemplate(w workload) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.templates[w.SetUID] != nil
}

// takeTemplate gives the template of a workload's named revision, nil where it was not
// read or has served.
func (a *ahead) takeTemplate(w workload) map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.templates[w.SetUID]
	delete(a.templates, w.SetUID)
	return t
}

func (a *ahead) keepStood(r ref, s stood) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stands[r] = s
}

// young gives how a Deployment stands, where that was seen just now.
func (a *ahead) young(r ref) (stood, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.stands[r]
	return s, ok && time.Since(s.at) <= youngEnough
}

// Prepare implements steps.Preparer: it opens the connection, makes sure of the cluster,
// and reads what the last proof has not. Who asks while somebody does shares his answer.
func (st *strategy) Prepare(ctx context.Context, plan state.Plan) {
	_, _, _ = st.preparing.Do(plan.ID+" "+plan.Subject, func() (any, error) { st.prepare(ctx, plan); return nil, nil })
}

func (st *strategy) prepare(ctx context.Context, plan state.Plan) {
	r, err := st.open(plan)
	if err != nil {
		return
	}
	// One request's failure keeps no other from being made: what is missing is read by
	// the rollback itself, which also says what is wrong.
	var g errgroup.Group
	g.Go(func() error { _, err := r.c.identify(ctx); return err })
	undos := r.recipe.undo(r.s, plan.Namespace)
	if r.asks(undos) {
		g.Go(func() error { _, err := r.look(ctx); return err })
	}
	for _, u := range undos {
		if w := u.of; w != nil && !r.c.ahead.hasTemplate(*w) {
			g.Go(func() error { _, err := r.c.template(ctx, plan.Namespace, *w); return err })
		}
	}
	for _, o := range r.refs() {
		if !r.c.ahead.has(o) && !o.isConfig() {
			g.Go(func() error {
				live, err := r.c.get(ctx, o)
				if err == nil {
					r.c.ahead.keep(o, live)
				}
				return err
			})
		}
	}
	_ = g.Wait()
}

// Prepare implements steps.Preparer.
func (v several) Prepare(ctx context.Context, plan state.Plan) {
	list, err := parts(plan)
	if err != nil || len(list) == 0 {
		v.strategy.Prepare(ctx, plan)
		return
	}
	var wg sync.WaitGroup
	for _, p := range list {
		wg.Go(func() { v.strategy.Prepare(ctx, p.Plan) })
	}
	wg.Wait()
}

var _ steps.Preparer = several{}

// asks reports whether it is a question what goes first: pods or traffic.
func (r *run) asks(ops []undo) bool { return r.s.carrier() != nil && len(ops) > 1 }

// look asks how the Deployment stands that the traffic is led back to, of the API
// server's cache, which is milliseconds old.
func (r *run) look(ctx context.Context) (stood, error) {
	o := deployment(r.plan.Namespace, r.s.Stable.Deployment)
	at := time.Now() // before the answer was true
	d, err := r.c.recent(ctx, o)
	if err != nil {
		return stood{}, err
	}
	s := stood{at, replicasOf(d.Spec.Replicas), d.Status.ReadyReplicas}
	r.c.ahead.keepStood(o, s)
	return s, nil
}
