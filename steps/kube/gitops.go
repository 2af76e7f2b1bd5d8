package kube

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
)

// Some objects belong to a tool that makes them what a repository or a chart says.
// What a rollout changes there, the tool takes back: by itself, or the next time
// somebody uses it. That is said before the rollout and blocks nothing, since
// waiting for the repository may be just what the emergency does not allow.

// owner is a tool that an object belongs to, and under which name the tool knows it.
type owner struct {
	tool string // "Argo CD"
	kind string // "application"
	name string
	ns   string // where the tool keeps it; "" where it says nothing of that
}

const (
	argo      = "Argo CD"
	fluxYAML  = "Flux"
	fluxChart = "Flux (Helm)"
	helm      = "Helm"
)

// managers are the field managers the tools write as. Argo CD writes as the first
// by default and as the second in older versions.
var managers = map[string]string{
	"argocd-controller": argo, "argocd-application-controller": argo,
	"kustomize-controller": fluxYAML, "helm-controller": fluxChart, "helm": helm,
}

// ownersOf names the tools an object belongs to, by what they write on it or by the
// fields they own.
func ownersOf(u *unstructured.Unstructured) []owner {
	a, l := u.GetAnnotations(), u.GetLabels()
	var out []owner
	wrote := func(tool string) bool {
		return slices.ContainsFunc(u.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool { return e.Subresource == "" && managers[e.Manager] == tool })
	}
	if id := a["argocd.argoproj.io/tracking-id"]; id != "" || wrote(argo) {
		app, _, _ := strings.Cut(id, ":") // shop:apps/Deployment:ns/name
		ns, name, found := strings.Cut(app, "_")
		if !found {
			ns, name = "", app
		}
		out = append(out, owner{argo, "application", or(name, or(l["argocd.argoproj.io/instance"], l["app.kubernetes.io/instance"])), ns})
	}
	if name := l["kustomize.toolkit.fluxcd.io/name"]; name != "" || wrote(fluxYAML) {
		out = append(out, owner{fluxYAML, "kustomization", name, l["kustomize.toolkit.fluxcd.io/namespace"]})
	}
	name := l["helm.toolkit.fluxcd.io/name"]
	switch release := a["meta.helm.sh/release-name"]; {
	case name != "" || wrote(fluxChart):
		out = append(out, owner{fluxChart, "helmrelease", or(name, release), l["helm.toolkit.fluxcd.io/namespace"]})
	case release != "" && l["app.kubernetes.io/managed-by"] == "Helm" || wrote(helm):
		out = append(out, owner{helm, "release", release, a["meta.helm.sh/release-namespace"]})
	}
	return out
}

// warning says what the tool will do to the changes, and how to keep it from that.
func (k owner) warning(owns []string) string {
	who := k.tool
	if k.name != "" {
		who += " (" + k.kind + " " + k.name + ")"
	}
	text := who + " will take back what this rollout changes: it keeps " + strings.Join(owns, ", ")
	name := quote(or(k.name, "NAME"))
	inNS := ""
	if k.ns != "" {
		inNS = " -n " + quote(k.ns)
	}
	switch k.tool {
	case argo:
		if k.ns != "" {
			name = quote(k.ns + "/" + or(k.name, "NAME"))
		}
		text += "; by itself within minutes where self-heal is on, else at its next sync. First: argocd app set " + name + " --sync-policy none"
	case fluxYAML:
		text += "; by itself at its next reconciliation. First: flux suspend kustomization " + name + inNS
	case fluxChart:
		text += "; by itself where drift detection is on, else at its next upgrade. First: flux suspend helmrelease " + name + inNS
	default:
		text += "; at the next helm upgrade of " + name + ". Put the new version into its values before that"
	}
	return state.Clean(text)
}

// warnings says of every tool which of the touched fields it keeps. paths are JSON
// pointers by object.
func (w world) warnings(refs []ref, paths map[ref][]string) []string {
	owns := map[owner][]string{}
	var order []owner
	for _, o := range refs {
		u := w[o]
		if u == nil || len(paths[o]) == 0 {
			continue
		}
		for _, k := range ownersOf(u) {
			var kept []string
			for _, p := range paths[o] {
				if k.keeps(u, p) {
					kept = append(kept, field(u, p))
				}
			}
			if owns[k] == nil {
				order = append(order, k)
			}
			if len(kept) == 0 { // somebody wrote over them since; the tool will again
				owns[k] = append(owns[k], o.String())
				continue
			}
			owns[k] = append(owns[k], strings.Join(kept, " and ")+" of "+o.String())
		}
	}
	var out []string
	for _, k := range order {
		out = append(out, k.warning(owns[k]))
	}
	return out
}

// keeps reports whether the tool wrote the field at path last, or applies it each
// time: kubectl's annotation, which Argo CD uses too, remembers what was applied.
func (k owner) keeps(u *unstructured.Unstructured, path string) bool {
	segments := pointer(path)
	for _, e := range u.GetManagedFields() {
		if managers[e.Manager] != k.tool || e.Subresource != "" || e.FieldsV1 == nil {
			continue
		}
		var set map[string]any
		if json.Unmarshal(e.FieldsV1.GetRawBytes(), &set) == nil && covers(set, segments, u.Object) {
			return true
		}
	}
	if k.tool != argo {
		return false
	}
	var applied map[string]any
	if json.Unmarshal([]byte(u.GetAnnotations()["kubectl.kubernetes.io/last-applied-configuration"]), &applied) != nil {
		return false
	}
	return has(applied, u.Object, segments)
}

// covers reports whether a FieldsV1 set owns the field that segments lead to in
// live, a part of it, or something it is a part of.
func covers(set map[string]any, segments []string, live any) bool {
	if len(set) == 0 || len(segments) == 0 {
		return true
	}
	var next map[string]any
	var below any
	switch v := live.(type) {
	case map[string]any:
		next, _ = set["f:"+segments[0]].(map[string]any)
		below = v[segments[0]]
	case []any:
		i, err := strconv.Atoi(segments[0])
		if err != nil || i < 0 || i >= len(v) {
			return false
		}
		next, below = element(set, v[i], i), v[i]
	}
	return next != nil && covers(next, segments[1:], below)
}

// element finds the set of a list's element: by its index, its keys or its value.
func element(set map[string]any, e any, i int) map[string]any {
	for name, sub := range set {
		kind, text, _ := strings.Cut(name, ":")
		found := false
		switch kind {
		case "i":
			found = text == strconv.Itoa(i)
		case "v":
			var v any
			found = json.Unmarshal([]byte(text), &v) == nil && reflect.DeepEqual(number(v), e)
		case "k":
			var keys map[string]any
			m, ok := e.(map[string]any)
			found = ok && json.Unmarshal([]byte(text), &keys) == nil
			for key, want := range keys {
				found = found && reflect.DeepEqual(number(want), m[key])
			}
		}
		if found {
			m, _ := sub.(map[string]any)
			return m
		}
	}
	return nil
}

// has reports whether what was applied names the field; a list's elements are found
// by the name they have in live.
func has(applied, live any, segments []string) bool {
	if len(segments) == 0 {
		return applied != nil
	}
	switch v := applied.(type) {
	case map[string]any:
		l, _ := live.(map[string]any)
		return has(v[segments[0]], l[segments[0]], segments[1:])
	case []any:
		l, _ := live.([]any)
		i, err := strconv.Atoi(segments[0])
		if err != nil || i < 0 || i >= len(l) {
			return false
		}
		m, _ := l[i].(map[string]any)
		for j, e := range v {
			if n, _ := e.(map[string]any); m["name"] != nil && n["name"] == m["name"] || m["name"] == nil && i == j {
				return has(e, l[i], segments[1:])
			}
		}
	}
	return false
}

// pointer takes a JSON pointer apart.
func pointer(path string) []string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, p := range parts {
		parts[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(p)
	}
	return parts
}

// field is what a person calls the field at a JSON pointer: the end of its path, with
// the names of list elements.
func field(u *unstructured.Unstructured, path string) string {
	var words []string
	live := any(u.Object)
	for _, s := range pointer(path) {
		if list, ok := live.([]any); ok {
			i, err := strconv.Atoi(s)
			if err == nil && i >= 0 && i < len(list) {
				live = list[i]
				if m, _ := live.(map[string]any); m["name"] != nil {
					s = fmt.Sprint(m["name"])
				}
			}
			words[len(words)-1] += "[" + s + "]"
			continue
		}
		m, _ := live.(map[string]any)
		live = m[s]
		words = append(words, s)
	}
	switch n := len(words); {
	case n > 2 && strings.HasPrefix(path, "/spec/template/spec/"):
		return words[n-1] + " of " + words[n-2]
	default:
		return strings.TrimPrefix(strings.Join(words, "."), "spec.")
	}
}

// touched gives the fields that the rollout changes in each object, as JSON pointers,
// fences left out, and the objects in order.
func touched(rec recipe, s snapshot, ns string, stages int, live world) ([]ref, map[ref][]string) {
	w, f := live.copy(), fenceAround(live, s.owner())
	paths := map[ref][]string{}
	var order []ref
	for i := range stages {
		for _, ch := range rec.changes(s, ns, i) {
			if ch.build == nil || w[ch.ref] == nil {
				continue
			}
			ops, err := ch.build(w[ch.ref])
			if err != nil {
				continue // the plan, or the proof, says why
			}
			for _, o := range ops {
				if o.Op == "test" || slices.Contains(paths[ch.ref], o.Path) {
					continue
				}
				if paths[ch.ref] == nil {
					order = append(order, ch.ref)
				}
				paths[ch.ref] = append(paths[ch.ref], o.Path)
			}
			if _, after, err := ch.op(w[ch.ref], f, ""); err == nil {
				w[ch.ref] = after
			}
		}
	}
	return order, paths
}
