package kube

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
)

// undo puts the data back after the traffic and before the workloads.
func (k configured) undo(s snapshot, ns string) []undo {
	ops := k.recipe.undo(s, ns)
	if len(s.Config) == 0 {
		return ops
	}
	var back []undo
	for _, o := range s.Config {
		back = append(back, k.restoring(s, ns, o))
	}
	at := 0
	if s.carrier() != nil {
		at = 1
	}
	return append(append(append([]undo{}, ops[:at]...), back...), ops[at:]...)
}

// restoring makes an object's data what its copy has.
func (k configured) restoring(s snapshot, ns string, o configObject) undo {
	r := o.ref(ns)
	said := ""
	u := undo{change: change{id: "config." + o.Kind + "." + o.Name, title: "data of " + r.String() + " as it was", ref: r,
		byHand: func(context string) string { return o.byHand(context, ns) }, veil: o.veil}}
	key, keyErr := k.key(s.Incident) // a rollback does without
	u.source = func(ctx context.Context, c *Cluster) (func(*unstructured.Unstructured) ([]patchOp, error), error) {
		was, err := c.original(ctx, o, ns, key)
		var p *state.Problem
		if err != nil && (!errors.As(err, &p) || code(err) != 0) {
			return nil, err
		}
		return func(live *unstructured.Unstructured) ([]patchOp, error) {
			if err != nil {
				return nil, err
			}
			now := contentOf(live)
			if now.equal(was) {
				return nil, nil
			}
			if immutable(live) {
				return nil, &state.Problem{What: r.String() + " was made anew, immutable and with other data", Code: "immutable",
					Why: "its data can never change", Do: "Delete it and make it again: " + o.anew(c.Context, ns)}
			}
			said = o.found(now, was, key)
			return was.ops(live), nil
		}, nil
	}
	u.may = func(ctx context.Context, r *run) error {
		made, err := r.c.makeAgain(ctx, o, ns, key, fenceText(r.fence))
		if made {
			said = "it was gone: made again from " + o.Copy
		}
		return err
	}
	u.after = func(context.Context, *run) (string, error) {
		text := or(said, "was so already")
		if keyErr != nil {
			text += " (its keyed hash was not checked: " + state.AsProblem(keyErr).Why + ")"
		}
		return text, nil
	}
	return u
}

// found says what a restored object held instead.
func (o configObject) found(now, was content, key []byte) string {
	text := someKeys(changedKeys(now, was)) + " restored from " + o.Copy
	switch {
	case len(key) == 0:
	case o.has(now, key, o.Next):
		text += "; it held the data of this rollout"
	default:
		text += "; somebody else had changed it during the rollout"
	}
	return text
}

// original gives the data before the rollout: from the copy or, where none was made yet
// and nothing was changed, from the object itself.
func (c *Cluster) original(ctx context.Context, o configObject, ns string, key []byte) (content, error) {
	copied, err := c.get(ctx, o.copyRef(ns))
	if err == nil {
		return contentOf(copied), o.genuine(copied, key)
	}
	if !absent(err) {
		return content{}, err
	}
	live, err := c.get(ctx, o.ref(ns))
	if err != nil && !absent(err) {
		return content{}, err
	}
	if err == nil && len(key) > 0 && o.has(contentOf(live), key, o.Hash) {
		return contentOf(live), nil
	}
	return content{}, &state.Problem{What: "there is no copy of " + o.ref(ns).String(), Code: "no-copy",
		Why: o.Copy + " does not exist, and the data is not known to be what it was", Do: "Restore its data by hand, from git or from who knows it."}
}

// makeAgain makes an original that is gone anew from its copy.
func (c *Cluster) makeAgain(ctx context.Context, o configObject, ns string, key []byte, fence string) (bool, error) {
	_, err := c.get(ctx, o.ref(ns))
	if !absent(err) {
		return false, err
	}
	copied, err := c.get(ctx, o.copyRef(ns))
	if absent(err) {
		return false, &state.Problem{What: o.ref(ns).String() + " is gone, and so is its copy", Code: "no-copy",
			Why: o.Copy + " does not exist", Do: "Make it by hand, from git or from who knows it."}
	}
	if err != nil {
		return false, err
	}
	if err := o.genuine(copied, key); err != nil {
		return false, err
	}
	err = c.create(ctx, o.ref(ns), o.recreated(copied, fence), false)
	if conflict(err) { // somebody else has just made it: its data is compared next
		return false, nil
	}
	return err == nil, err
}

// byHand makes the data what the copy has. The values pass through a pipe: arguments
// could be seen by everybody on the host.
func (o configObject) byHand(context, ns string) string {
	filter := `[{op:"add",path:"/data",value:.data},{op:"add",path:"/binaryData",value:.binaryData}]`
	if o.Kind == "Secret" {
		filter = `[{op:"add",path:"/data",value:.data}]`
	}
	return fmt.Sprintf("%s -o json | jq '%s' | %s --type=json --patch-file=/dev/stdin", o.copyRef(ns).kubectl(context, "get"), filter, o.ref(ns).kubectl(context, "patch"))
}

// anew deletes the object and makes it again from its copy.
func (o configObject) anew(context, ns string) string {
	types := ""
	if o.Kind == "Secret" {
		types = fmt.Sprintf(" | .type=$was.metadata.annotations[%q]", typeNote)
	}
	return fmt.Sprintf(`%s && %s -o json | jq '. as $was | .metadata={name:%q} | del(.immutable)%s' | %s create -f -`,
		o.ref(ns).kubectl(context, "delete"), o.copyRef(ns).kubectl(context, "get"), o.Name, types, kubectlIn(context, ns))
}
