package cluster

import (
	"encoding/json"
	"fmt"
	"net/http"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"
)

// mostOperations is the longest JSON patch, as on a real server.
const mostOperations = 10_000

// applyPatch gives the document that a patch makes of cur. like is a value of the
// typed kind, nil for a custom resource.
func applyPatch(mediaType types.PatchType, cur, patch []byte, like any) ([]byte, error) {
	patch, err := yaml.YAMLToJSON(patch)
	if err != nil {
		return nil, apierrors.NewBadRequest("error decoding patch: " + err.Error())
	}
	switch mediaType {
	case types.JSONPatchType:
		return applyJSONPatch(cur, patch)
	case types.MergePatchType:
		next, err := jsonpatch.MergePatch(cur, patch)
		if err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		return next, nil
	case types.StrategicMergePatchType:
		if like == nil {
			return nil, unsupportedMediaType(string(mediaType), "application/json-patch+json, application/merge-patch+json")
		}
		var probe map[string]any
		if err := json.Unmarshal(patch, &probe); err != nil {
			return nil, apierrors.NewBadRequest("error decoding patch: " + err.Error())
		}
		next, err := strategicpatch.StrategicMergePatch(cur, patch, like)
		if err != nil {
			return nil, apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
		}
		return next, nil
	case types.ApplyYAMLPatchType, types.ApplyCBORPatchType:
		return nil, notImplemented("server-side apply")
	}
	return nil, unsupportedMediaType(string(mediaType), "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json")
}

func applyJSONPatch(cur, patch []byte) ([]byte, error) {
	ops, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	if len(ops) > mostOperations {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("The allowed maximum operations in a JSON patch is %d, got %d", mostOperations, len(ops)))
	}
	next, err := ops.Apply(cur)
	if err != nil { // a failed test, or a path that is not there
		return nil, apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
	}
	return next, nil
}

func (s *server) patch(w http.ResponseWriter, r *request) error {
	opts, err := r.write()
	if err != nil {
		return err
	}
	body, err := r.body(w)
	if err != nil {
		return err
	}
	res := r.row.res
	it, err := s.store.update(res, r.ns, r.name, opts, func(cur object) (object, error) {
		raw, err := encodeIn(res, cur, r.row.Version)
		if err != nil {
			return nil, err
		}
		var like any
		if res.typed() {
			like = res.blank()
		}
		next, err := applyPatch(types.PatchType(r.mediaType()), raw, body, like)
		if err != nil {
			return nil, err
		}
		o := res.blank()
		if err := r.decodeJSON(w, next, o); err != nil {
			return nil, err
		}
		return o, r.fits(o)
	})
	if err != nil {
		return err
	}
	return s.answer(w, r, http.StatusOK, it)
}
