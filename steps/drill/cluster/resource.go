package cluster

import (
	"reflect"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// object is what the store holds: a typed Kubernetes object or an unstructured one.
type object interface {
	metav1.Object
	runtime.Object
}

// resource is one kind of object that the server keeps: a row of the table.
type resource struct {
	group      string
	version    string   // the version objects are stored in
	also       []string // further versions the same objects are served in
	plural     string
	singular   string
	kind       string
	short      []string
	categories []string
	namespaced bool
	verbs      []string // of the resource itself
	status     bool     // has the status subresource
	scale      bool     // has the scale subresource
	proxy      bool     // has the proxy subresource
	generation bool     // metadata.generation counts changes of the spec
	noted      bool     // and changes of the annotations: so the real server does it for Deployments
	limit      int      // most objects kept, the oldest go; 0 is no limit

	fresh      func() object // nil: unstructured
	validName  func(name string, prefix bool) []string
	defaults   func(object)
	validate   func(object) field.ErrorList
	immutable  func(next, cur object) field.ErrorList
	onCreate   func(*store, object)              // called with the lock held
	selectable func(object) map[string]string    // fields to select by, beyond name and namespace
	columns    []metav1.TableColumnDefinition    // between name and age
	cells      func(object, *tableContext) []any // one per column of columns
	ownNames   bool                              // the columns include their own name and age
}

func (r *resource) gr() schema.GroupResource {
	return schema.GroupResource{Group: r.group, Resource: r.plural}
}

func (r *resource) gvk() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: r.group, Version: r.version, Kind: r.kind}
}

// versions lists every version served, the stored one first.
func (r *resource) versions() []string { return append([]string{r.version}, r.also...) }

func (r *resource) typed() bool { return r.fresh != nil }

func (r *resource) blank() object {
	if r.fresh == nil {
		return &unstructured.Unstructured{Object: map[string]any{}}
	}
	return r.fresh()
}

// part gives the "Spec" or "Status" of an object, nil if it has none.
func part(o object, name string) any {
	if u, ok := o.(*unstructured.Unstructured); ok {
		return u.Object[jsonNames[name]]
	}
	v := reflect.ValueOf(o).Elem().FieldByName(name)
	if !v.IsValid() {
		return nil
	}
	return v.Interface()
}

// keepPart sets the "Spec" or "Status" of dst to that of src. The two share it
// from then on, which is fine: stored objects are never changed.
func keepPart(dst, src object, name string) {
	if d, ok := dst.(*unstructured.Unstructured); ok {
		key := jsonNames[name]
		if v, ok := src.(*unstructured.Unstructured).Object[key]; ok {
			d.Object[key] = v
		} else {
			delete(d.Object, key)
		}
		return
	}
	if v := reflect.ValueOf(dst).Elem().FieldByName(name); v.IsValid() {
		v.Set(reflect.ValueOf(src).Elem().FieldByName(name))
	}
}

var jsonNames = map[string]string{"Spec": "spec", "Status": "status"}

// clone is DeepCopyObject with the type kept.
func clone[T object](o T) T { return o.DeepCopyObject().(T) }
