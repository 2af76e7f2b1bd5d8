package cluster

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// form is how a client wants objects shown.
type form int

const (
	formObject  form = iota
	formTable        // rows for a person
	formPartial      // metadata alone
)

// wants reads the Accept header: the first form that the server can give.
func (r *request) wants() (form, error) {
	accept := r.Header.Get("Accept")
	if accept == "" {
		return formObject, nil
	}
	for part := range strings.SplitSeq(accept, ",") {
		t, params, err := mime.ParseMediaType(part)
		if err != nil || t != "application/json" && t != "*/*" && t != "application/*" {
			continue
		}
		switch as := params["as"]; {
		case as == "":
			return formObject, nil
		case params["g"] != "meta.k8s.io" || params["v"] != "v1":
		case as == "Table":
			return formTable, nil
		case strings.HasPrefix(as, "PartialObjectMetadata"):
			return formPartial, nil
		}
	}
	return 0, &apierrors.StatusError{ErrStatus: statusOf(http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable,
		"only the following media types are accepted: application/json, application/json;as=Table;g=meta.k8s.io;v=v1, application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")}
}

// rawIn gives a stored object as JSON in one of its served versions.
func rawIn(res *resource, it *item, version string) ([]byte, error) {
	if version == res.version {
		return it.raw, nil
	}
	return encodeIn(res, it.obj, version)
}

// encodeIn encodes an object in one of its served versions. Only custom resources
// have several, and those differ in nothing but their name.
func encodeIn(res *resource, o object, version string) ([]byte, error) {
	if version == res.version {
		return json.Marshal(o)
	}
	content := maps.Clone(o.(*unstructured.Unstructured).Object)
	content["apiVersion"] = res.group + "/" + version
	return json.Marshal(content)
}

// show gives one object in the form asked for.
func (s *server) show(r *request, f form, it *item) (any, error) {
	switch f {
	case formTable:
		t, err := tableOf(r.row.res, r.row.Version, []*item{it}, r.q.Get("includeObject"), s.tableContext())
		if err == nil {
			t.ResourceVersion = it.obj.GetResourceVersion()
		}
		return t, err
	case formPartial:
		return partial(it.obj), nil
	}
	return rawIn(r.row.res, it, r.row.Version)
}

func (s *server) tableContext() *tableContext { return &tableContext{now: s.store.now()} }

// answer writes one object in the form asked for.
func (s *server) answer(w http.ResponseWriter, r *request, code int, it *item) error {
	f, err := r.wants()
	if err != nil {
		return err
	}
	body, err := s.show(r, f, it)
	if err != nil {
		return err
	}
	return writeJSON(w, code, body)
}

func (s *server) get(w http.ResponseWriter, r *request) error {
	it, ok := s.store.get(r.row.res, r.ns, r.name)
	if !ok {
		return apierrors.NewNotFound(r.row.res.gr(), r.name)
	}
	return s.answer(w, r, http.StatusOK, it)
}

func (s *server) listAll(w http.ResponseWriter, r *request) error {
	f, err := r.wants()
	if err != nil {
		return err
	}
	sel, err := r.filter()
	if err != nil {
		return err
	}
	all, rv := s.store.list(r.row.res, r.ns)
	if err := r.reachable(rv); err != nil {
		return err
	}
	items := all[:0]
	for _, it := range all {
		if sel.matches(it) {
			items = append(items, it)
		}
	}
	version := strconv.FormatUint(rv, 10)
	switch f {
	case formTable:
		t, err := tableOf(r.row.res, r.row.Version, items, r.q.Get("includeObject"), s.tableContext())
		if err != nil {
			return err
		}
		t.ResourceVersion = version
		return writeJSON(w, http.StatusOK, t)
	case formPartial:
		list := metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"},
			ListMeta: metav1.ListMeta{ResourceVersion: version}, Items: []metav1.PartialObjectMetadata{}}
		for _, it := range items {
			list.Items = append(list.Items, *partial(it.obj))
		}
		return writeJSON(w, http.StatusOK, list)
	}
	list := objectList{Kind: r.row.Kind + "List", APIVersion: r.row.GroupVersion(), Items: []json.RawMessage{}}
	list.Metadata.ResourceVersion = version
	for _, it := range items {
		raw, err := rawIn(r.row.res, it, r.row.Version)
		if err != nil {
			return err
		}
		list.Items = append(list.Items, raw)
	}
	return writeJSON(w, http.StatusOK, list)
}

type objectList struct {
	Kind       string            `json:"kind"`
	APIVersion string            `json:"apiVersion"`
	Metadata   metav1.ListMeta   `json:"metadata"`
	Items      []json.RawMessage `json:"items"`
}

// reachable checks the resource version that a list asks for against the store's.
func (r *request) reachable(now uint64) error {
	asked := r.q.Get("resourceVersion")
	if asked == "" || asked == "0" {
		return nil
	}
	rv, err := parseVersion(asked)
	if err != nil {
		return err
	}
	if rv > now {
		return tooLarge(rv, now)
	}
	if r.q.Get("resourceVersionMatch") == string(metav1.ResourceVersionMatchExact) && rv != now {
		return apierrors.NewResourceExpired(fmt.Sprintf("the provided resource version %d is no longer available (%d)", rv, now))
	}
	return nil
}

func parseVersion(s string) (uint64, error) {
	rv, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("resourceVersion: Invalid value: %q: must be an unsigned integer", s))
	}
	return rv, nil
}

// tooLarge is what a client hears that knows the future: another cluster's version.
func tooLarge(rv, now uint64) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d, current: %d", rv, now), 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version"}}
	return err
}
