package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
	"mayday/steps"
)

// patchOp is one operation of a JSON patch. A test for null passes where the
// field is missing: that is how the API server's patch library reads RFC 6902.
type patchOp struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

func test(path string, v any) patchOp    { return patchOp{"test", path, v} }
func add(path string, v any) patchOp     { return patchOp{"add", path, v} }
func replace(path string, v any) patchOp { return patchOp{"replace", path, v} }

// versionPath is the version of the whole object: tested where an object is so small
// and still that any other write is a reason to look again.
const versionPath = "/metadata/resourceVersion"

// set tests that the field at path still is old (nil: missing) and makes it want.
// nil is written as null, which the API server reads as missing: unlike a remove
// it applies to an object that lacks the field too.
func set(path string, old, want any) []patchOp {
	if want == nil && old == nil {
		return nil
	}
	return []patchOp{test(path, old), add(path, want)}
}

// writes reports whether the operations change anything.
func writes(ops []patchOp) bool {
	for _, o := range ops {
		if o.Op != "test" {
			return true
		}
	}
	return false
}

// withoutTests gives the operations without their preconditions.
func withoutTests(ops []patchOp) []patchOp {
	var out []patchOp
	for _, o := range ops {
		if o.Op != "test" {
			out = append(out, o)
		}
	}
	return out
}

func encode(ops []patchOp) ([]byte, error) {
	b, err := json.Marshal(ops)
	if err != nil {
		return nil, fmt.Errorf("encode patch: %w", err)
	}
	return b, nil
}

// simulate applies a patch to a copy, as the server would.
func simulate(u *unstructured.Unstructured, ops []patchOp) (*unstructured.Unstructured, error) {
	raw, err := encode(ops)
	if err != nil {
		return nil, err
	}
	p, err := jsonpatch.DecodePatch(raw)
	if err != nil {
		return nil, fmt.Errorf("decode patch: %w", err)
	}
	doc, err := u.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", u.GetName(), err)
	}
	doc, err = p.Apply(doc)
	if err != nil {
		return nil, fmt.Errorf("patch of %s does not apply: %w", u.GetName(), err)
	}
	out := new(unstructured.Unstructured)
	if err := out.UnmarshalJSON(doc); err != nil {
		return nil, fmt.Errorf("decode %s: %w", u.GetName(), err)
	}
	return out, nil
}

// change is one write to one object. The object as it lives decides what is
// written; see the package documentation.
type change struct {
	id    string
	title string
	ref   ref
	// build gives the operations that lead from the live object to what is wanted,
	// with tests of the fields they change; none where it is so already. An error
	// says that the object is not in a state this change may start from.
	// nil: only the fence is set.
	build func(live *unstructured.Unstructured) ([]patchOp, error)
	// closes marks the fence as finished with, in the same write.
	closes bool
	// command replaces the patch's text for a person, where kubectl has a better word.
	command string
	// then follows the write, before the next change is made: a wait for what that one
	// needs, or what no patch can do. nil: nothing.
	then func(ctx context.Context, r *run) error
	// bare shows the command without the tests: for a person who takes back by hand
	// from wherever the rollout stopped.
	bare bool
	// create makes the object where it is not there, in place of a patch, and reports
	// whether it did; nil: the object is patched.
	create func(ctx context.Context, c *Cluster) (bool, error)
	// veil replaces the diff, and command the whole patch, where values must not be seen.
	veil func(before, after *unstructured.Unstructured) string
	// byHand is the command where it does not follow from the patch; it depends on the
	// kubeconfig context.
	byHand func(context string) string
}

// patchFor gives everything a write of ch under f sends, nil where nothing is missing.
func (ch change) patchFor(live *unstructured.Unstructured, f steps.Fence) ([]patchOp, error) {
	var body []patchOp
	if ch.build != nil {
		var err error
		if body, err = ch.build(live); err != nil {
			return nil, err
		}
	}
	tests, claim := raise(live.GetAnnotations(), f, ch.closes)
	if !ch.closes && (ch.build == nil || writes(body)) {
		claim = append(claim, reopen(live.GetAnnotations(), f)...)
	}
	ops := append(append(tests, body...), claim...)
	if !writes(ops) {
		return nil, nil
	}
	return ops, nil
}

// op describes the change for a person, given the object before it, and returns
// the object after it, so that the next stage can be described too.
func (ch change) op(live *unstructured.Unstructured, f steps.Fence, context string) (state.Op, *unstructured.Unstructured, error) {
	o := state.Op{ID: ch.id, Title: ch.title, Object: ch.ref.object(), Command: ch.command}
	if ch.byHand != nil {
		o.Command = state.Clean(ch.byHand(context))
	}
	if ch.create != nil || live == nil { // it is made, or made again, not changed
		return o, &unstructured.Unstructured{Object: map[string]any{}}, nil
	}
	ops, err := ch.patchFor(live, f)
	if err != nil || ops == nil {
		return o, live, err
	}
	after, err := simulate(live, ops)
	if err != nil {
		return o, live, err
	}
	if ch.veil != nil {
		o.Diff = state.CleanLines(ch.veil(live, after))
		return o, after, nil
	}
	if ch.byHand == nil {
		if o.Command, err = ch.typed(ops, context); err != nil {
			return o, live, err
		}
	}
	o.Command, o.Diff = state.Clean(o.Command), state.CleanLines(diff(ch.ref, live, after))
	return o, after, nil
}

// typed is what a person types for the operations.
func (ch change) typed(ops []patchOp, context string) (string, error) {
	if ch.bare {
		ops = withoutTests(ops)
	}
	ops = slices.DeleteFunc(slices.Clone(ops), func(o patchOp) bool { return o.Path == versionPath }) // stale before anybody has typed it
	if ch.command != "" {                                                                             // it stands for the template; the rest is patched before it
		ops = slices.DeleteFunc(slices.Clone(ops), func(o patchOp) bool {
			return strings.HasPrefix(o.Path, "/spec/template") || strings.HasPrefix(o.Path, annotationsPath)
		})
		if len(ops) == 0 {
			return ch.command, nil
		}
	}
	raw, err := encode(ops)
	if err != nil {
		return "", err
	}
	patch := ch.ref.kubectl(context, "patch") + " --type=json -p " + quote(string(raw))
	if ch.command != "" {
		patch += " && " + ch.command
	}
	return patch, nil
}
