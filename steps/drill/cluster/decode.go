package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// mostBody is the largest request body, as on a real server.
const mostBody = 3 << 20

// protobufMagic begins every body in Kubernetes' protobuf format.
var protobufMagic = []byte("k8s\x00")

// body reads the request's body.
func (r *request) body(w http.ResponseWriter) ([]byte, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", mostBody))
	case err != nil:
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return b, nil
}

// mediaType gives the body's type without its parameters.
func (r *request) mediaType() string {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return "application/json"
	}
	return t
}

// decode reads a body into a value of a Kubernetes type.
func (r *request) decode(w http.ResponseWriter, body []byte, into runtime.Object) error {
	switch r.mediaType() {
	case "application/vnd.kubernetes.protobuf":
		return decodeProtobuf(body, into)
	case "application/yaml":
		var err error
		if body, err = yaml.YAMLToJSON(body); err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
		return r.decodeJSON(w, body, into)
	case "application/json":
		return r.decodeJSON(w, body, into)
	}
	return unsupportedMediaType(r.mediaType(), "application/json, application/yaml, application/vnd.kubernetes.protobuf")
}

func unsupportedMediaType(got, want string) error {
	return &apierrors.StatusError{ErrStatus: statusOf(http.StatusUnsupportedMediaType, "UnsupportedMediaType",
		fmt.Sprintf("the body of the request was in an unknown format - accepted media types include: %s (got %s)", want, got))}
}

// decodeProtobuf reads what typed clients send for the built-in kinds.
func decodeProtobuf(body []byte, into runtime.Object) error {
	target, ok := into.(interface{ Unmarshal([]byte) error })
	if !ok || !bytes.HasPrefix(body, protobufMagic) {
		return unsupportedMediaType("application/vnd.kubernetes.protobuf", "application/json")
	}
	var envelope runtime.Unknown
	if err := envelope.Unmarshal(body[len(protobufMagic):]); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	if err := target.Unmarshal(envelope.Raw); err != nil {
		return apierrors.NewBadRequest(err.Error())
	}
	into.GetObjectKind().SetGroupVersionKind(schema.FromAPIVersionAndKind(envelope.APIVersion, envelope.Kind))
	return nil
}

// decodeJSON reads JSON. Unknown and duplicate fields are an error, a warning or
// nothing, as the request's fieldValidation says.
func (r *request) decodeJSON(w http.ResponseWriter, body []byte, into runtime.Object) error {
	if u, ok := into.(*unstructured.Unstructured); ok {
		if err := kjson.UnmarshalCaseSensitivePreserveInts(body, &u.Object); err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
		if u.Object == nil {
			return apierrors.NewBadRequest("the body is not an object")
		}
		return nil
	}
	strict, err := kjson.UnmarshalStrict(body, into)
	if err != nil {
		return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", r.row.Kind, r.row.Version, r.row.Kind, err))
	}
	if len(strict) == 0 {
		return nil
	}
	switch r.q.Get("fieldValidation") {
	case "Strict":
		return apierrors.NewBadRequest("strict decoding error: " + errors.Join(strict...).Error())
	case "Ignore":
	default:
		for _, e := range strict {
			w.Header().Add("Warning", fmt.Sprintf("299 - %q", e.Error()))
		}
	}
	return nil
}

// object reads a body that holds a whole object of the request's kind.
func (r *request) object(w http.ResponseWriter, body []byte) (object, error) {
	o := r.row.res.blank()
	if err := r.decode(w, body, o); err != nil {
		return nil, err
	}
	if err := r.fits(o); err != nil {
		return nil, err
	}
	return o, nil
}

// fits checks an object's kind and namespace against the path.
func (r *request) fits(o object) error {
	gvk := o.GetObjectKind().GroupVersionKind()
	want := schema.GroupVersionKind{Group: r.row.Group, Version: r.row.Version, Kind: r.row.res.kind}
	if gvk != want && !(gvk.Empty() && r.row.res.typed()) {
		return apierrors.NewBadRequest(fmt.Sprintf("the API version and kind in the data (%s) do not match the expected ones (%s)", gvk, want))
	}
	if !r.row.Namespaced {
		o.SetNamespace("")
		return nil
	}
	if o.GetNamespace() == "" {
		o.SetNamespace(r.ns)
	}
	if o.GetNamespace() != r.ns {
		return apierrors.NewBadRequest(fmt.Sprintf("the namespace of the provided object does not match the namespace sent on the request (%s, %s)", o.GetNamespace(), r.ns))
	}
	return nil
}
