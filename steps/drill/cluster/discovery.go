package cluster

import (
	"mime"
	"net/http"
	"runtime"
	"slices"
	"strings"

	apidiscovery "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
)

// serverVersion is the release whose behaviour the server follows.
var serverVersion = version.Info{Major: "1", Minor: "36", GitVersion: "v1.36.3+mayday", GitTreeState: "clean",
	GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: runtime.GOOS + "/" + runtime.GOARCH}

const aggregatedType = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

// document is a discovery answer.
type document struct {
	mediaType string
	body      any
}

// discovery answers /api, /apis and what lies below them up to a version.
func (s *server) discovery(r *http.Request) (document, bool) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	plain := func(v any, ok bool) (document, bool) { return document{"application/json", v}, ok }
	switch {
	case len(parts) == 1 && (parts[0] == "api" || parts[0] == "apis"):
		if wantsAggregated(r.Header.Get("Accept")) {
			return document{aggregatedType, aggregated(parts[0] == "api")}, true
		}
		if parts[0] == "api" {
			return plain(metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"},
				ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{{ClientCIDR: "0.0.0.0/0", ServerAddress: r.Host}}}, true)
		}
		return plain(metav1.APIGroupList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroupList"}, Groups: groups()}, true)
	case len(parts) == 2 && parts[0] == "api":
		return plain(resourceList("", parts[1]))
	case len(parts) == 2 && parts[0] == "apis":
		for _, g := range groups() {
			if g.Name == parts[1] {
				g.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroup"}
				return plain(g, true)
			}
		}
	case len(parts) == 3 && parts[0] == "apis":
		return plain(resourceList(parts[1], parts[2]))
	}
	return document{}, false
}

func wantsAggregated(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		t, p, err := mime.ParseMediaType(part)
		if err == nil && t == "application/json" && p["g"] == "apidiscovery.k8s.io" && p["v"] == "v2" && p["as"] == "APIGroupDiscoveryList" {
			return true
		}
	}
	return false
}

// groups lists the named groups, each with its versions in the order of preference.
func groups() []metav1.APIGroup {
	var out []metav1.APIGroup
	for _, v := range Verbs() {
		if v.Group == "" {
			continue
		}
		i := slices.IndexFunc(out, func(g metav1.APIGroup) bool { return g.Name == v.Group })
		gv := metav1.GroupVersionForDiscovery{GroupVersion: v.GroupVersion(), Version: v.Version}
		if i < 0 {
			out = append(out, metav1.APIGroup{Name: v.Group, Versions: []metav1.GroupVersionForDiscovery{gv}, PreferredVersion: gv})
		} else if !slices.Contains(out[i].Versions, gv) {
			out[i].Versions = append(out[i].Versions, gv)
		}
	}
	return out
}

// resourceList is the older discovery of one version.
func resourceList(group, version string) (*metav1.APIResourceList, bool) {
	out := &metav1.APIResourceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}}
	for _, v := range Verbs() {
		if v.Group != group || v.Version != version {
			continue
		}
		out.GroupVersion = v.GroupVersion()
		r := metav1.APIResource{Name: v.Resource, Kind: v.Kind, Namespaced: v.Namespaced, Verbs: v.Verbs}
		if v.sub == "scale" {
			r.Group, r.Version = "autoscaling", "v1"
		}
		if v.res != nil && v.sub == "" {
			r.SingularName, r.ShortNames, r.Categories = v.res.singular, v.res.short, v.res.categories
		}
		out.APIResources = append(out.APIResources, r)
	}
	return out, len(out.APIResources) > 0
}

// aggregated is discovery in one answer: of the core group, or of all others.
func aggregated(core bool) *apidiscovery.APIGroupDiscoveryList {
	out := &apidiscovery.APIGroupDiscoveryList{TypeMeta: metav1.TypeMeta{APIVersion: "apidiscovery.k8s.io/v2", Kind: "APIGroupDiscoveryList"}}
	for _, v := range Verbs() {
		if (v.Group == "") != core {
			continue
		}
		g := find(&out.Items, func(g *apidiscovery.APIGroupDiscovery) bool { return g.Name == v.Group })
		g.Name = v.Group
		ver := find(&g.Versions, func(x *apidiscovery.APIVersionDiscovery) bool { return x.Version == v.Version })
		ver.Version, ver.Freshness = v.Version, apidiscovery.DiscoveryFreshnessCurrent
		kind := &metav1.GroupVersionKind{Group: v.Group, Version: v.Version, Kind: v.Kind}
		if v.sub != "" {
			if v.sub == "scale" {
				kind = &metav1.GroupVersionKind{Group: "autoscaling", Version: "v1", Kind: "Scale"}
			}
			last := &ver.Resources[len(ver.Resources)-1] // subresources follow their resource
			last.Subresources = append(last.Subresources, apidiscovery.APISubresourceDiscovery{Subresource: v.sub, ResponseKind: kind, Verbs: v.Verbs})
			continue
		}
		r := apidiscovery.APIResourceDiscovery{Resource: v.Resource, ResponseKind: kind, Scope: apidiscovery.ScopeCluster, Verbs: v.Verbs}
		if v.Namespaced {
			r.Scope = apidiscovery.ScopeNamespace
		}
		if v.res != nil {
			r.SingularResource, r.ShortNames, r.Categories = v.res.singular, v.res.short, v.res.categories
		}
		ver.Resources = append(ver.Resources, r)
	}
	return out
}

// find gives the element that is wanted, a new one at the end if there is none.
func find[T any](list *[]T, wanted func(*T) bool) *T {
	for i := range *list {
		if wanted(&(*list)[i]) {
			return &(*list)[i]
		}
	}
	var zero T
	*list = append(*list, zero)
	return &(*list)[len(*list)-1]
}
