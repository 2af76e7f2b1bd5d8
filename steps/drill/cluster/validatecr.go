package cluster

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The custom resources are checked where a typing error would break routing: the
// shape of routes, names of destinations, weights. The rest is kept as written.

func crSpec(o object) (map[string]any, field.ErrorList) {
	spec, ok := o.(*unstructured.Unstructured).Object["spec"].(map[string]any)
	if !ok {
		return nil, field.ErrorList{field.Required(specPath, "")}
	}
	return spec, nil
}

// list gives the objects in a list, or what is wrong with it. Absent is empty.
func list(v any, path *field.Path) ([]map[string]any, field.ErrorList) {
	if v == nil {
		return nil, nil
	}
	l, ok := v.([]any)
	if !ok {
		return nil, field.ErrorList{field.TypeInvalid(path, fmt.Sprintf("%T", v), "must be an array")}
	}
	out := objectsIn(l)
	if len(out) != len(l) {
		return nil, field.ErrorList{field.TypeInvalid(path, "", "must hold objects only")}
	}
	return out, nil
}

func needString(m map[string]any, key string, path *field.Path) field.ErrorList {
	switch v := m[key].(type) {
	case nil:
		return field.ErrorList{field.Required(path.Child(key), "")}
	case string:
		if v == "" {
			return field.ErrorList{field.Required(path.Child(key), "")}
		}
		return nil
	default:
		return field.ErrorList{field.TypeInvalid(path.Child(key), v, "must be a string")}
	}
}

// weightOf reads a whole number from 0 to most; absent is 0.
func weightOf(m map[string]any, most int64, path *field.Path) (int64, field.ErrorList) {
	path = path.Child("weight")
	switch v := m["weight"].(type) {
	case nil:
		return 0, nil
	case int64:
		if v < 0 || v > most {
			return 0, field.ErrorList{field.Invalid(path, v, fmt.Sprintf("must be between 0 and %d", most))}
		}
		return v, nil
	default:
		return 0, field.ErrorList{field.TypeInvalid(path, v, "must be an integer")}
	}
}

func validateVirtualService(o object) field.ErrorList {
	spec, errs := crSpec(o)
	if errs != nil {
		return errs
	}
	https, errs := list(spec["http"], specPath.Child("http"))
	for i, h := range https {
		path := specPath.Child("http").Index(i).Child("route")
		routes, e := list(h["route"], path)
		errs = append(errs, e...)
		var sum int64
		for j, r := range routes {
			dest, ok := r["destination"].(map[string]any)
			if !ok {
				errs = append(errs, field.Required(path.Index(j).Child("destination"), ""))
				continue
			}
			errs = append(errs, needString(dest, "host", path.Index(j).Child("destination"))...)
			w, e := weightOf(r, 1<<31-1, path.Index(j))
			errs = append(errs, e...)
			sum += w
		}
		if len(routes) > 1 && sum == 0 {
			errs = append(errs, field.Invalid(path, sum, "total destination weight = 0"))
		}
	}
	return errs
}

func validateDestinationRule(o object) field.ErrorList {
	spec, errs := crSpec(o)
	if errs != nil {
		return errs
	}
	errs = needString(spec, "host", specPath)
	subsets, e := list(spec["subsets"], specPath.Child("subsets"))
	errs = append(errs, e...)
	for i, s := range subsets {
		errs = append(errs, needString(s, "name", specPath.Child("subsets").Index(i))...)
	}
	return errs
}

func validateHTTPRoute(o object) field.ErrorList {
	spec, errs := crSpec(o)
	if errs != nil {
		return errs
	}
	parents, errs := list(spec["parentRefs"], specPath.Child("parentRefs"))
	for i, p := range parents {
		errs = append(errs, needString(p, "name", specPath.Child("parentRefs").Index(i))...)
	}
	rules, e := list(spec["rules"], specPath.Child("rules"))
	errs = append(errs, e...)
	for i, r := range rules {
		path := specPath.Child("rules").Index(i).Child("backendRefs")
		refs, e := list(r["backendRefs"], path)
		errs = append(errs, e...)
		for j, ref := range refs {
			errs = append(errs, needString(ref, "name", path.Index(j))...)
			_, e := weightOf(ref, 1_000_000, path.Index(j))
			errs = append(errs, e...)
		}
	}
	return errs
}
