package cluster

import (
	"net/http"
	"slices"
	"strings"
)

// openAPI answers just enough of /openapi/v3 for kubectl create, apply and replace:
// which kinds can be written, and that the server itself checks their fields. It
// describes no fields, so kubectl explain has nothing to say.
func openAPI(r *http.Request) (any, bool) {
	root := "/openapi/v3"
	if strings.TrimSuffix(r.URL.Path, "/") == root {
		paths := map[string]any{}
		for _, v := range Verbs() {
			paths[apiRoot(v)] = map[string]any{"serverRelativeURL": root + "/" + apiRoot(v)}
		}
		return map[string]any{"paths": paths}, true
	}
	of, ok := strings.CutPrefix(r.URL.Path, root+"/")
	if !ok {
		return nil, false
	}
	paths := map[string]any{}
	for _, v := range Verbs() {
		if v.res == nil || v.sub != "" || apiRoot(v) != of || !slices.Contains(v.Verbs, "patch") {
			continue
		}
		path := "/" + of + "/" + v.Resource + "/{name}"
		if v.Namespaced {
			path = "/" + of + "/namespaces/{namespace}/" + v.Resource + "/{name}"
		}
		query := []any{}
		for _, name := range []string{"dryRun", "fieldManager", "fieldValidation"} {
			query = append(query, map[string]any{"name": name, "in": "query", "schema": map[string]any{"type": "string"}})
		}
		paths[path] = map[string]any{"patch": map[string]any{"parameters": query, "responses": map[string]any{},
			"x-kubernetes-action":             "patch",
			"x-kubernetes-group-version-kind": map[string]any{"group": v.Group, "version": v.Version, "kind": v.Kind}}}
	}
	return map[string]any{"openapi": "3.0.0", "info": map[string]any{"title": "mayday practice cluster", "version": serverVersion.GitVersion},
		"paths": paths}, len(paths) > 0
}

// apiRoot is the path of a row's version, "apis/apps/v1".
func apiRoot(v Verb) string {
	if v.Group == "" {
		return "api/" + v.Version
	}
	return "apis/" + v.GroupVersion()
}
