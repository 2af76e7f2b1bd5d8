package cluster

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// request is an API request taken apart.
type request struct {
	*http.Request
	row  Verb
	verb string
	ns   string
	name string
	rest string // what is asked of a pod behind its proxy
	q    url.Values
	user user
}

// notImplemented answers what the table does not name.
func notImplemented(what string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotImplemented, Reason: "NotImplemented",
		Message: fmt.Sprintf("the practice cluster does not implement %s; what it does is one table, printed by mayday drill --list", what),
	}}
}

// parse takes /api/v1/... and /apis/<group>/<version>/... apart.
func (s *server) parse(r *http.Request) (*request, error) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	group, version, rest := "", "", []string(nil)
	switch {
	case parts[0] == "api" && len(parts) > 2:
		version, rest = parts[1], parts[2:]
	case parts[0] == "apis" && len(parts) > 3:
		group, version, rest = parts[1], parts[2], parts[3:]
	default:
		return nil, notImplemented(r.Method + " " + r.URL.Path)
	}
	req := &request{Request: r, q: r.URL.Query()}
	if rest[0] == "namespaces" && len(rest) > 2 && rest[2] != "status" && rest[2] != "finalize" {
		req.ns, rest = rest[1], rest[2:]
	}
	resource := rest[0]
	if len(rest) > 1 {
		req.name = rest[1]
	}
	switch {
	case len(rest) > 2 && rest[2] == "proxy":
		// The path as it was sent: a slash at its end counts.
		_, req.rest, _ = strings.Cut(r.URL.Path, "/"+req.name+"/proxy/")
		resource += "/proxy"
	case len(rest) > 2:
		resource += "/" + strings.Join(rest[2:], "/")
	}
	req.verb = req.verbOf()
	row, ok := s.rows[rowKey(group, version, resource)]
	if !ok {
		return nil, notImplemented(fmt.Sprintf("%s %s in %s", req.verb, resource, strings.Trim(group+"/"+version, "/")))
	}
	req.row = row
	if !row.does(req.verb) {
		return nil, notImplemented(fmt.Sprintf("%s %s in %s", req.verb, resource, row.GroupVersion()))
	}
	if row.Namespaced && req.ns == "" && req.verb != "list" && req.verb != "watch" {
		return nil, apierrors.NewBadRequest("namespace is required")
	}
	return req, nil
}

func rowKey(group, version, resource string) string { return group + "|" + version + "|" + resource }

// verbOf names what the request wants, as discovery names it.
func (r *request) verbOf() string {
	watching := r.q.Get("watch")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		switch {
		case watching == "true" || watching == "1":
			return "watch"
		case r.name != "":
			return "get"
		}
		return "list"
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		if r.name == "" {
			return "deletecollection"
		}
		return "delete"
	}
	return strings.ToLower(r.Method)
}

// write reads who writes and whether it counts.
func (r *request) write() (write, error) {
	w := write{manager: r.q.Get("fieldManager"), sub: r.row.sub}
	if w.manager == "" {
		w.manager, _, _ = strings.Cut(r.UserAgent(), "/")
	}
	if len(w.manager) > 128 {
		return w, apierrors.NewBadRequest("fieldManager: may not be more than 128 bytes")
	}
	return w, w.dry(r.q["dryRun"])
}

// dry reads dryRun values: All, or none at all.
func (w *write) dry(values []string) error {
	for _, v := range values {
		if v != metav1.DryRunAll {
			return apierrors.NewBadRequest(fmt.Sprintf("dryRun: Unsupported value: %q: supported values: \"All\"", v))
		}
		w.dryRun = true
	}
	return nil
}

// filter is a request's label and field selectors.
type filter struct {
	res    *resource
	labels labels.Selector
	fields fields.Selector
	ns     string
	name   string
}

func (r *request) filter() (*filter, error) {
	f := &filter{res: r.row.res, ns: r.ns, name: r.name, labels: labels.Everything(), fields: fields.Everything()}
	var err error
	if s := r.q.Get("labelSelector"); s != "" {
		if f.labels, err = labels.Parse(s); err != nil {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("unable to parse requirement: %v", err))
		}
	}
	if s := r.q.Get("fieldSelector"); s != "" {
		if f.fields, err = fields.ParseSelector(s); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		known := fieldsOf(f.res, f.res.blank())
		for _, req := range f.fields.Requirements() {
			if _, ok := known[req.Field]; !ok {
				return nil, apierrors.NewBadRequest(fmt.Sprintf("field label not supported: %s", req.Field))
			}
		}
	}
	return f, nil
}

func fieldsOf(res *resource, o object) fields.Set {
	set := fields.Set{"metadata.name": o.GetName(), "metadata.namespace": o.GetNamespace()}
	if res.selectable != nil {
		for k, v := range res.selectable(o) {
			set[k] = v
		}
	}
	return set
}

// matches says whether an object is one of those asked for; nil is not.
func (f *filter) matches(it *item) bool {
	if it == nil {
		return false
	}
	o := it.obj
	if f.ns != "" && o.GetNamespace() != f.ns || f.name != "" && o.GetName() != f.name {
		return false
	}
	return f.labels.Matches(labels.Set(o.GetLabels())) && (f.fields.Empty() || f.fields.Matches(fieldsOf(f.res, o)))
}
