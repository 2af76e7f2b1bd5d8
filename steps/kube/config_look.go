package kube

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
)

// veil is the diff of an object's data that may be shown and kept: of a Secret only the
// names of keys, of a ConfigMap the changed lines without what looks like a secret.
func (o configObject) veil(before, after *unstructured.Unstructured) string {
	a, b := contentOf(before), contentOf(after)
	var out strings.Builder
	r := o.ref(before.GetNamespace())
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", r.object(), r.object())
	for _, k := range changedKeys(a, b) {
		fmt.Fprintf(&out, "@@ data[%s] @@\n", k)
		was, had := a.Data[k]
		now, has := b.Data[k]
		_, binary := a.Binary[k]
		if _, too := b.Binary[k]; o.Kind == "Secret" || binary || too {
			had, has = had || binary, has || too
			was, now = "(value not shown)", "(another value, not shown)"
		}
		if had && has {
			was, now = differing(was, now)
		}
		if o.Kind != "Secret" && secretWord.MatchString(k) {
			was, now = "(looks like a secret, not shown)", "(looks like a secret, not shown)"
		}
		if had {
			hidden(&out, "-", was)
		}
		if has {
			hidden(&out, "+", now)
		}
	}
	return out.String()
}

// differing cuts the lines away that two texts begin and end with alike.
func differing(a, b string) (string, string) {
	x, y := strings.SplitAfter(a, "\n"), strings.SplitAfter(b, "\n")
	for len(x) > 1 && len(y) > 1 && x[0] == y[0] {
		x, y = x[1:], y[1:]
	}
	for len(x) > 1 && len(y) > 1 && x[len(x)-1] == y[len(y)-1] {
		x, y = x[:len(x)-1], y[:len(y)-1]
	}
	return strings.Join(x, ""), strings.Join(y, "")
}

var (
	secretWord = regexp.MustCompile(`(?i)(token|passw|pwd|secret|api_?-?key|private_?-?key|access_?-?key|credential|webhook|dsn)`)
	assigned   = regexp.MustCompile(`^(\s*[^=:]*(?i:token|passw|pwd|secret|api_?-?key|private_?-?key|access_?-?key|credential|webhook|dsn)[^=:]*[=:]).*$`)
	userInfo   = regexp.MustCompile(`(\w://[^/\s:@]*:)[^/\s@]+@`)
)

// mostLines bounds the diff of one key: a plan is kept in the journal.
const mostLines = 40

// hidden writes the lines of a ConfigMap's value without what looks like a secret there:
// ConfigMaps should hold none, and many do.
func hidden(out *strings.Builder, sign, value string) {
	n := 0
	for line := range strings.SplitSeq(strings.TrimSuffix(value, "\n"), "\n") {
		if n++; n > mostLines {
			out.WriteString(sign + "(more)\n")
			return
		}
		line = assigned.ReplaceAllString(line, "${1} (looks like a secret, not shown)")
		out.WriteString(sign + userInfo.ReplaceAllString(line, "${1}(not shown)@") + "\n")
	}
}

// leftOut are warnings of what a rollback would not put back.
func (s snapshot) leftOut() []string {
	var out []string
	for _, l := range s.Left {
		out = append(out, state.Clean(l.Kind+" "+l.Name+" is not guarded: "+l.Why+"; a rollback does not put its data back"))
	}
	return out
}

// lookAtConfig says for a person how an object's data stands to the plan.
func (r *run) lookAtConfig(ctx context.Context, o configObject, live *unstructured.Unstructured, own string) (string, error) {
	at := o.ref(r.plan.Namespace)
	keys := someKeys(slices.Sorted(maps.Keys(contentOf(live).Data)))
	was, err := r.c.original(ctx, o, at.Namespace, nil)
	switch {
	case state.HasCode(err, "no-copy"):
		return fmt.Sprintf("%s: no copy of it yet, %s (%s)", at, keys, own), nil
	case err != nil:
		return "", problem(err, "cannot read the copy of "+at.String())
	case contentOf(live).equal(was):
		return fmt.Sprintf("%s: as before, copy %s (%s)", at, o.Copy, own), nil
	}
	return fmt.Sprintf("%s: %s changed, copy %s (%s)", at, someKeys(changedKeys(contentOf(live), was)), o.Copy, own), nil
}

// guarded are the findings of a proof on the copies: each is there and can be trusted, or
// can be made; and no other incident owns an original.
func (k configured) guarded(r *run, live world, started bool) []check {
	var out []check
	for _, o := range r.s.Config {
		at := o.ref(r.plan.Namespace)
		out = append(out, func(ctx context.Context) (finding, error) {
			name := "copy of " + at.String()
			if live[at] == nil {
				level := state.NotReady
				if started {
					level = state.Doubtful
				}
				return no(name, level, fmt.Errorf("the original is gone; a rollback makes it again")), nil
			}
			if err := admit(at, live[at].GetAnnotations(), fenceAround(live, r.s.owner()), forward, r.c.Context); err != nil && !started {
				return no(name, state.NotReady, err), nil
			}
			key, err := k.key(r.s.Incident)
			if err != nil {
				return no(name, state.Doubtful, err), nil
			}
			made, err := r.c.makeCopy(ctx, o, at.Namespace, r.s.owner(), key, true)
			switch {
			case err == nil && made:
				return yes(name, "not made yet; dry run ok"), nil
			case err == nil:
				return yes(name, o.Copy), nil
			case transient(err):
				return finding{}, err
			}
			return no(name, state.NotReady, problem(err, "cannot copy "+at.String())), nil
		})
	}
	return out
}
