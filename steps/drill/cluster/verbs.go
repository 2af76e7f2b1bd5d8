package cluster

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Verb is one row of what the server does. Everything that no row names is
// answered with 501 Not Implemented.
type Verb struct {
	Group      string // "" is the core group
	Version    string
	Resource   string // "deployments" or, for a subresource, "deployments/scale"
	Kind       string
	Namespaced bool
	Verbs      []string // as in discovery: create, delete, get, list, patch, update, watch
	Patches    []string // kinds of patch: json, merge, strategic

	res *resource
	sub string
}

// GroupVersion is the apiVersion of the row, "apps/v1".
func (v Verb) GroupVersion() string {
	return schema.GroupVersion{Group: v.Group, Version: v.Version}.String()
}

func (v Verb) does(verb string) bool {
	for _, have := range v.Verbs {
		if have == verb {
			return true
		}
	}
	return false
}

// Verbs lists everything the server does, in the order of discovery. All writes
// take dryRun=All and fieldManager; lists and watches take label selectors and
// selectors on metadata.name and metadata.namespace (Pods and Events on more);
// lists ignore limit and answer whole.
func Verbs() []Verb {
	var out []Verb
	for _, r := range resources {
		for _, version := range r.versions() {
			row := Verb{Group: r.group, Version: version, Resource: r.plural, Kind: r.kind, Namespaced: r.namespaced, Verbs: r.verbs, res: r}
			row.Patches = []string{"json", "merge"}
			if r.typed() {
				row.Patches = append(row.Patches, "strategic")
			}
			if !row.does("patch") {
				row.Patches = nil
			}
			out = append(out, row)
			if r.status {
				status := row
				status.Resource, status.sub, status.Verbs = r.plural+"/status", "status", []string{"get", "patch", "update"}
				out = append(out, status)
			}
			if r.scale {
				scale := row
				scale.Resource, scale.sub, scale.Kind, scale.Verbs = r.plural+"/scale", "scale", "Scale", []string{"get", "patch", "update"}
				out = append(out, scale)
			}
			if r.proxy {
				proxy := row
				proxy.Resource, proxy.sub, proxy.Kind, proxy.Patches = r.plural+"/proxy", "proxy", r.kind+"ProxyOptions", nil
				proxy.Verbs = []string{"create", "delete", "get", "patch", "update"}
				out = append(out, proxy)
			}
		}
	}
	return append(out, Verb{Group: "authorization.k8s.io", Version: "v1", Resource: "selfsubjectaccessreviews", Kind: "SelfSubjectAccessReview", Verbs: []string{"create"}})
}

// VerbTable prints Verbs for a person to read.
func VerbTable() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "API\tRESOURCE\tVERBS\tPATCHES")
	for _, v := range Verbs() {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.GroupVersion(), v.Resource, strings.Join(v.Verbs, " "), strings.Join(v.Patches, " "))
	}
	w.Flush() //nolint:errcheck // a strings.Builder takes everything
	return b.String()
}
