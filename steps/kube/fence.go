package kube

import (
	"fmt"
	"strconv"
	"strings"

	"mayday/state"
	"mayday/steps"
)

// Annotations of the fence; see the package documentation.
const (
	FenceAnnotation  = "mayday.dev/fence"
	ClosedAnnotation = "mayday.dev/fence-closed"
)

const (
	annotationsPath = "/metadata/annotations"
	fencePath       = annotationsPath + "/mayday.dev~1fence"
	closedPath      = annotationsPath + "/mayday.dev~1fence-closed"
)

// fenceText is the annotation's value.
func fenceText(f steps.Fence) string { return f.Incident + "/" + strconv.Itoa(f.Epoch) }

// readFence understands an annotation's value; anything else is nobody's fence.
func readFence(s string) (steps.Fence, bool) {
	i := strings.LastIndexByte(s, '/')
	if i <= 0 {
		return steps.Fence{}, false
	}
	n, err := strconv.Atoi(s[i+1:])
	return steps.Fence{Incident: s[:i], Epoch: n}, err == nil
}

// lane is which of the two kinds of work a write belongs to.
type lane int

const (
	forward lane = iota
	backward
)

// admit decides whether a write under f may touch an object with these
// annotations. The error is steps.ErrFenced with the reason.
func admit(r ref, annotations map[string]string, f steps.Fence, l lane, context string) error {
	text := annotations[FenceAnnotation]
	owner, ok := readFence(text)
	if !ok {
		return nil
	}
	if owner.Incident == f.Incident {
		if owner.Epoch > f.Epoch {
			return fenced(&state.Problem{What: r.String() + " belongs to a newer epoch of this incident", Code: "fenced",
				Why: fmt.Sprintf("its fence is %s, this work is %s: a rollback or a newer attempt took over", text, fenceText(f)),
				Do:  "Look at the incident's timeline; this write must not be repeated."})
		}
		return nil
	}
	if l == backward || annotations[ClosedAnnotation] == text {
		return nil
	}
	return fenced(&state.Problem{What: r.String() + " belongs to incident " + state.Clean(owner.Incident), Code: "fenced",
		Why: "another rollout or its rollback is under way there (fence " + state.Clean(text) + ")",
		Do: "Talk to its commander. If that incident is over: " + r.kubectl(context, "annotate") + " --overwrite " +
			ClosedAnnotation + "=" + quote(text)})
}

func fenced(p *state.Problem) error { return &explained{p, steps.ErrFenced} }

// reopen takes the mark of a fence that is finished with away: after a rollback, the
// next attempt works under the epoch that the rollback raised and closed.
func reopen(annotations map[string]string, f steps.Fence) []patchOp {
	if want := fenceText(f); annotations[FenceAnnotation] == want && annotations[ClosedAnnotation] == want {
		return []patchOp{add(closedPath, "")}
	}
	return nil
}

// raise gives the patch that makes f the object's fence, testing what was read.
// closing marks the fence as finished with. Nothing where all is so already,
// except the test that it stays so.
func raise(annotations map[string]string, f steps.Fence, closing bool) (tests, writes []patchOp) {
	want := fenceText(f)
	had, owned := annotations[FenceAnnotation]
	switch {
	case len(annotations) == 0:
		tests = []patchOp{test(annotationsPath, nil)}
		writes = []patchOp{add(annotationsPath, map[string]any{FenceAnnotation: want})}
	case !owned:
		tests = []patchOp{test(fencePath, nil)}
		writes = []patchOp{add(fencePath, want)}
	case had != want:
		tests = []patchOp{test(fencePath, had)}
		writes = []patchOp{add(fencePath, want)}
	default:
		tests = []patchOp{test(fencePath, want)}
	}
	if closing && annotations[ClosedAnnotation] != want {
		writes = append(writes, add(closedPath, want))
	}
	return tests, writes
}
