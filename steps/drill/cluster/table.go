package cluster

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
)

// tableContext is what cells need beside their object.
type tableContext struct{ now time.Time }

// columns defines columns by name; a leading + leaves one to kubectl -o wide.
func columns(names ...string) []metav1.TableColumnDefinition {
	out := make([]metav1.TableColumnDefinition, len(names))
	for i, n := range names {
		name, wide := strings.CutPrefix(n, "+")
		out[i] = metav1.TableColumnDefinition{Name: name, Type: "string", Description: name}
		if wide {
			out[i].Priority = 1
		}
		switch name {
		case "Up-to-date", "Available", "Desired", "Current", "Data", "Count", "MinPods", "MaxPods":
			out[i].Type = "integer"
		}
	}
	return out
}

// tableOf prints objects as rows. include is the request's includeObject.
func tableOf(res *resource, version string, items []*item, include string, ctx *tableContext) (*metav1.Table, error) {
	t := &metav1.Table{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "Table"}, Rows: []metav1.TableRow{}}
	if !res.ownNames {
		t.ColumnDefinitions = []metav1.TableColumnDefinition{{Name: "Name", Type: "string", Format: "name", Description: "Name"}}
	}
	t.ColumnDefinitions = append(t.ColumnDefinitions, res.columns...)
	for _, it := range items {
		row := metav1.TableRow{}
		if !res.ownNames {
			row.Cells = []any{it.obj.GetName()}
		}
		row.Cells = append(row.Cells, res.cells(it.obj, ctx)...)
		switch metav1.IncludeObjectPolicy(include) {
		case metav1.IncludeNone:
		case metav1.IncludeObject:
			raw, err := rawIn(res, it, version)
			if err != nil {
				return nil, err
			}
			row.Object = runtime.RawExtension{Raw: raw}
		default:
			raw, err := json.Marshal(partial(it.obj))
			if err != nil {
				return nil, err
			}
			row.Object = runtime.RawExtension{Raw: raw}
		}
		t.Rows = append(t.Rows, row)
	}
	return t, nil
}

// partial gives an object's metadata alone.
func partial(o object) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"},
		ObjectMeta: metav1.ObjectMeta{
			Name: o.GetName(), GenerateName: o.GetGenerateName(), Namespace: o.GetNamespace(), UID: o.GetUID(),
			ResourceVersion: o.GetResourceVersion(), Generation: o.GetGeneration(), CreationTimestamp: o.GetCreationTimestamp(),
			DeletionTimestamp: o.GetDeletionTimestamp(), DeletionGracePeriodSeconds: o.GetDeletionGracePeriodSeconds(),
			Labels: o.GetLabels(), Annotations: o.GetAnnotations(), OwnerReferences: o.GetOwnerReferences(),
			Finalizers: o.GetFinalizers(), ManagedFields: o.GetManagedFields(),
		}}
}

func (c *tableContext) age(t metav1.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(c.now.Sub(t.Time))
}

// list joins words for a cell, as kubectl's columns do.
func joined(words []string) string {
	if len(words) == 0 {
		return "<none>"
	}
	return strings.Join(words, ",")
}

// some joins at most n words and counts the rest.
func some(words []string, n int) string {
	if len(words) > n {
		return fmt.Sprintf("%s + %d more...", strings.Join(words[:n], ","), len(words)-n)
	}
	return joined(words)
}
