package kube

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// diff shows what a write changes, field by field: a header as in a unified diff,
// then for each field its path and its old and new value.
func diff(r ref, before, after *unstructured.Unstructured) string {
	var b strings.Builder
	fmt.Fprintf(&b, "--- %s\n+++ %s\n", r.object(), r.object())
	walk(&b, "", before.Object, after.Object)
	return b.String()
}

// walk writes the differences of two values below path, in a stable order.
func walk(b *strings.Builder, path string, old, now any) {
	if reflect.DeepEqual(old, now) {
		return
	}
	om, ok1 := old.(map[string]any)
	nm, ok2 := now.(map[string]any)
	if ok1 && ok2 {
		keys := map[string]bool{}
		for k := range om {
			keys[k] = true
		}
		for k := range nm {
			keys[k] = true
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			walk(b, join(path, k), om[k], nm[k])
		}
		return
	}
	ol, ok1 := old.([]any)
	nl, ok2 := now.([]any)
	if ok1 && ok2 && len(ol) == len(nl) {
		for i := range ol {
			walk(b, fmt.Sprintf("%s[%d]", path, i), ol[i], nl[i])
		}
		return
	}
	fmt.Fprintf(b, "@@ %s @@\n", path)
	lines(b, "-", old)
	lines(b, "+", now)
}

// join appends a field to a path; a name with dots is bracketed so that it cannot
// be taken for several.
func join(path, k string) string {
	if strings.ContainsAny(k, "./") {
		return path + "[" + k + "]"
	}
	if path == "" {
		return k
	}
	return path + "." + k
}

func lines(b *strings.Builder, sign string, v any) {
	if v == nil {
		return
	}
	out, err := yaml.Marshal(v)
	if err != nil {
		out = fmt.Append(nil, v)
	}
	for line := range strings.SplitSeq(strings.TrimRight(string(out), "\n"), "\n") {
		b.WriteString(sign + line + "\n")
	}
}
