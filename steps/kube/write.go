package kube

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"mayday/state"
	"mayday/steps"
)

// fieldManager is who the API server says wrote a field.
const fieldManager = "mayday"

// How long a write is tried again, in real time: against other writers and
// against an API server that is away. A rollback tries longer.
const (
	forwardPatience  = 40 * time.Second // an API server that is started again is back by then
	backwardPatience = 60 * time.Second
	// sameRejection is how often the server may refuse one and the same patch,
	// built from a fresh read, before it counts as invalid rather than as a race.
	sameRejection = 5
)

// early sends a change of a rollback without reading the object first, built from what
// was read ahead: that saves a way to the API server and back while users wait. The
// patch tests the fence and all that it changes, so it fails where that has moved. It
// gives the object as the server made it, nil where it was not written; either way,
// write looks at it again and does what is missing.
func (c *Cluster) early(ctx context.Context, ch change, f steps.Fence) *unstructured.Unstructured {
	live := c.ahead.take(ch.ref)
	if live == nil || ch.build == nil || ch.create != nil || admit(ch.ref, live.GetAnnotations(), f, backward, c.Context) != nil {
		return nil
	}
	ops, err := ch.patchFor(live, f)
	if err != nil || ops == nil {
		return nil
	}
	made, _, err := c.patch(ctx, ch.ref, ops, false)
	if err != nil {
		return nil
	}
	return made
}

// write makes one change under the fence and reports whether anything had to be
// written. It reads the object first; after a conflict it reads again, looks at
// the fence before anything else, and retries within milliseconds. Errors:
// steps.ErrFenced, a Problem of the change, or what the server said.
func (c *Cluster) write(ctx context.Context, ch change, f steps.Fence, l lane) (bool, error) {
	patience := c.patience
	var made *unstructured.Unstructured
	if l == backward {
		patience, made = backwardPatience, c.early(ctx, ch, f)
	}
	wrote := made != nil
	give := time.Now().Add(patience)
	var pause backoff
	var last []byte
	same := 0
	for {
		patch, err := c.attempt(ctx, ch, f, l, made)
		made = nil
		switch {
		case err == nil:
			return wrote || patch != nil, nil
		case ctx.Err() != nil:
			return false, ctx.Err()
		case conflict(err):
			if same++; !bytes.Equal(patch, last) || code(err) == 409 {
				same = 0
			}
			if last = patch; same >= sameRejection {
				return false, problem(err, ch.title+": the API server refuses the change")
			}
		case !transient(err):
			return false, missed(err, ch.ref, ch.title)
		}
		if time.Now().After(give) {
			return false, problem(err, ch.title+": gave up after "+patience.String())
		}
		if err := pause.wait(ctx, conflict(err)); err != nil {
			return false, err
		}
	}
}

// attempt reads the object, unless the server has just given it, builds the patch and
// sends it once. The patch is nil where nothing was missing.
func (c *Cluster) attempt(ctx context.Context, ch change, f steps.Fence, l lane, live *unstructured.Unstructured) ([]byte, error) {
	if ch.create != nil {
		made, err := ch.create(ctx, c)
		if made && err == nil {
			return []byte(ch.id), nil
		}
		return nil, err
	}
	if live == nil {
		var err error
		if live, err = c.get(ctx, ch.ref); err != nil {
			return nil, err
		}
	}
	if err := admit(ch.ref, live.GetAnnotations(), f, l, c.Context); err != nil {
		return nil, err
	}
	ops, err := ch.patchFor(live, f)
	if err != nil || ops == nil {
		return nil, err
	}
	return c.send(ctx, ch.ref, ops, false)
}

// send patches an object, for real or as a dry run, and gives the patch.
func (c *Cluster) send(ctx context.Context, r ref, ops []patchOp, dry bool) ([]byte, error) {
	_, raw, err := c.patch(ctx, r, ops, dry)
	return raw, err
}

// patch is send, and gives the object as the server made it.
func (c *Cluster) patch(ctx context.Context, r ref, ops []patchOp, dry bool) (made *unstructured.Unstructured, raw []byte, err error) {
	if raw, err = encode(ops); err != nil {
		return nil, nil, err
	}
	opts := metav1.PatchOptions{FieldManager: fieldManager}
	if dry {
		opts.DryRun = []string{metav1.DryRunAll}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	made, err = c.client.Resource(r.Resource).Namespace(r.Namespace).Patch(ctx, r.Name, types.JSONPatchType, raw, opts)
	return made, raw, err
}

// backoff spaces retries: milliseconds against other writers, up to a second
// against a server that is away.
type backoff struct{ n int }

func (b *backoff) wait(ctx context.Context, race bool) error {
	top := time.Second
	if race {
		top = 16 * time.Millisecond
	}
	d := min(time.Millisecond<<min(b.n, 12), top)
	b.n++
	d = d/2 + rand.N(d/2+1)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// same refuses to go on in another cluster than the one the plan was made for.
// Where namespaces could not be read then and can be now, the plan knows the server's
// URL and CA, which are compared; an identity that cannot be compared (namespaces
// readable then, not now) stops forward work only.
func (c *Cluster) same(ctx context.Context, plan state.Plan, l lane) error {
	var pause backoff
	give := time.Now().Add(backwardPatience)
	id, err := c.identify(ctx)
	for l == backward && err != nil && transient(err) && time.Now().Before(give) {
		if err := pause.wait(ctx, false); err != nil {
			return err
		}
		id, err = c.identify(ctx)
	}
	if err != nil || id == plan.ClusterUID || plan.ClusterUID == c.endpoint {
		return problem(err, "cannot reach the cluster")
	}
	if l == backward && id == c.endpoint {
		return nil
	}
	return &state.Problem{What: "this is another cluster", Code: "other-cluster",
		Why: fmt.Sprintf("the plan was made for cluster %s (context %s), this one is %s", plan.ClusterUID, plan.Context, id),
		Do:  "Restore the kubeconfig the incident began with; mayday changes no other cluster."}
}
