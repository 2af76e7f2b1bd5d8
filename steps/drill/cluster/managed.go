package cluster

import (
	"encoding/json"
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fieldSet is a metav1.FieldsV1 tree: "f:spec" -> "f:replicas" -> {}. Lists are
// one field each; the real server splits some of them further.
type fieldSet map[string]any

// manage records in next.metadata.managedFields which fields this write changed
// against cur (nil: a new object), by whom and when. Fields that change hands leave
// their former manager's entry.
func manage(next object, cur *item, w write, now time.Time) error {
	raw, err := json.Marshal(next)
	if err != nil {
		return err
	}
	var was, is map[string]any
	if err := json.Unmarshal(raw, &is); err != nil {
		return err
	}
	if cur != nil {
		if err := json.Unmarshal(cur.raw, &was); err != nil {
			return err
		}
	}
	changed := changedFields(ownable(was), ownable(is))
	if len(changed) == 0 {
		return nil
	}
	entries := slices.Clone(next.GetManagedFields())
	mine := -1
	for i := range entries {
		if entries[i].Manager == w.manager && entries[i].Subresource == w.sub {
			mine = i
			continue
		}
		set := readFields(entries[i].FieldsV1)
		set.subtract(changed)
		entries[i].FieldsV1 = set.encode()
	}
	if mine < 0 {
		entries = append(entries, metav1.ManagedFieldsEntry{Manager: w.manager, Subresource: w.sub,
			Operation: metav1.ManagedFieldsOperationUpdate, FieldsType: "FieldsV1"})
		mine = len(entries) - 1
	}
	at := metav1.NewTime(now.UTC().Truncate(time.Second))
	set := readFields(entries[mine].FieldsV1)
	set.add(changed)
	entries[mine].FieldsV1, entries[mine].Time = set.encode(), &at
	entries[mine].APIVersion, _ = is["apiVersion"].(string)
	next.SetManagedFields(slices.DeleteFunc(entries, func(e metav1.ManagedFieldsEntry) bool {
		return e.FieldsV1 == nil || e.FieldsV1.GetRawString() == "{}"
	}))
	return nil
}

// ownable leaves what clients can own: of the metadata only these.
func ownable(o map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range o {
		switch k {
		case "apiVersion", "kind":
		case "metadata":
			meta, _ := v.(map[string]any)
			m := map[string]any{}
			for _, f := range []string{"annotations", "labels", "finalizers", "ownerReferences"} {
				if meta[f] != nil {
					m[f] = meta[f]
				}
			}
			out[k] = m
		default:
			out[k] = v
		}
	}
	return out
}

// changedFields gives the fields that differ, those that were removed left out.
func changedFields(was, is map[string]any) fieldSet {
	set := fieldSet{}
	for k, v := range is {
		old, had := was[k]
		now, isMap := v.(map[string]any)
		if isMap && len(now) > 0 {
			before, _ := old.(map[string]any)
			if sub := changedFields(before, now); len(sub) > 0 {
				set["f:"+k] = map[string]any(sub)
			}
			continue
		}
		if v != nil && (!had || !reflect.DeepEqual(old, v)) {
			set["f:"+k] = map[string]any{}
		}
	}
	return set
}

func (s fieldSet) add(o fieldSet) {
	for k, v := range o {
		sub, _ := v.(map[string]any)
		mine, ok := s[k].(map[string]any)
		if !ok {
			mine = map[string]any{}
			s[k] = mine
		}
		fieldSet(mine).add(sub)
	}
}

func (s fieldSet) subtract(o fieldSet) {
	for k, v := range o {
		mine, ok := s[k].(map[string]any)
		if !ok {
			continue
		}
		sub, _ := v.(map[string]any)
		fieldSet(mine).subtract(sub)
		if len(mine) == 0 || len(sub) == 0 {
			delete(s, k)
		}
	}
}

func (s fieldSet) encode() *metav1.FieldsV1 {
	raw, err := json.Marshal(s)
	if err != nil { // maps of maps always encode
		raw = []byte("{}")
	}
	return metav1.NewFieldsV1(string(raw))
}

func readFields(f *metav1.FieldsV1) fieldSet {
	set := fieldSet{}
	if f != nil {
		if err := json.Unmarshal(f.GetRawBytes(), &set); err != nil {
			return fieldSet{}
		}
	}
	return set
}
