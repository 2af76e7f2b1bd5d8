package kube

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"mayday/state"
)

// ConfigMaps and Secrets are part of a rollout's snapshot and of its rollback: those
// that the environment's config lists, and those that the pod templates name, as far as
// this user may read, copy and patch them; the plan says which are left out.
//
// Their data never leaves the cluster. Before the first change of a rollout each is
// copied: an object of the same kind beside it, immutable, with the labels
// mayday.dev/incident and mayday.dev/copy-of. The plan holds names, UIDs and keyed
// hashes. A rollback makes the data what the copy has, after the traffic and before
// the workloads, since pods that start read their environment then. Copies have no
// owner and stay until a person deletes them, at best when the incident is closed; the
// last stage says how:
//
//	kubectl -n shop delete configmaps,secrets -l mayday.dev/incident=INC-20261122-01.5f2c9a01
//
// # The keyed hash
//
// A plain hash of a Secret in the journal would tell everybody who reads the journal (a
// colleague, a report, a backup) whether a guessed password is the right one. The hash
// is an HMAC-SHA256 whose key is not in the journal: who has the journal alone can
// confirm no guess, and cannot see that two objects or two incidents hold the same
// data. It does not protect from who reads the incident's folder with the journal's
// private key in it, or the cluster.

// Keys gives the key of an incident's hashes: secret, the same in every process, and
// not in its journal. A rollback goes on without one; everything else needs it.
type Keys func(incident string) ([]byte, error)

// Labels and annotations of a copy.
const (
	IncidentLabel = "mayday.dev/incident"
	CopyLabel     = "mayday.dev/copy-of" // also an annotation, with the whole name: "ConfigMap/app"
	uidAnnotation = "mayday.dev/copy-of-uid"
	copyType      = "mayday.dev/copy" // of a Secret's copy: no controller acts on it, no key is demanded
	typeNote      = "mayday.dev/copy-type"
)

var (
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	secrets    = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
)

// configObject is what a plan remembers of a ConfigMap or Secret.
type configObject struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	UID  string `json:"uid"`
	Hash string `json:"hash"`           // keyed, of the data before
	Copy string `json:"copy"`           // the name of its copy
	Next string `json:"next,omitempty"` // keyed hash of the data the rollout writes; "": it is only guarded
	File string `json:"file,omitempty"` // where that data is
	// How the pods of the rollout read it.
	Env    bool `json:"env,omitempty"`
	Volume bool `json:"volume,omitempty"`
}

func configRef(kind, ns, name string) ref {
	r := ref{Resource: configMaps, Kind: kind, Namespace: ns, Name: name}
	if kind == "Secret" {
		r.Resource = secrets
	}
	return r
}

func (o configObject) ref(ns string) ref     { return configRef(o.Kind, ns, o.Name) }
func (o configObject) copyRef(ns string) ref { return configRef(o.Kind, ns, o.Copy) }

func (r ref) isConfig() bool { return r.Resource == configMaps || r.Resource == secrets }

// configRefs are the objects of a plan's config.
func (s snapshot) configRefs(ns string) []ref {
	var out []ref
	for _, o := range s.Config {
		out = append(out, o.ref(ns))
	}
	return out
}

// config finds an object of the plan's config.
func (s snapshot) config(r ref) (configObject, bool) {
	for _, o := range s.Config {
		if o.Kind == r.Kind && o.Name == r.Name && r.isConfig() {
			return o, true
		}
	}
	return configObject{}, false
}

// content is the data of a ConfigMap or Secret as JSON has it: binary values, and all of
// a Secret, in base64.
type content struct {
	Data   map[string]string `json:"data,omitempty"`
	Binary map[string]string `json:"binaryData,omitempty"`
}

func contentOf(u *unstructured.Unstructured) content {
	data, _, _ := unstructured.NestedStringMap(u.Object, "data")
	binary, _, _ := unstructured.NestedStringMap(u.Object, "binaryData")
	return content{data, binary}
}

func (c content) equal(d content) bool {
	return maps.Equal(c.Data, d.Data) && maps.Equal(c.Binary, d.Binary)
}

// keyed gives the hash of an object's data under the key. The object's own name and UID
// are in it, so that equal data of two objects does not look equal.
func (c content) keyed(key []byte, kind, name, uid string) (string, error) {
	return keyed(key, "data", kind, name, uid, c)
}

func keyed(key []byte, parts ...any) (string, error) {
	raw, err := json.Marshal(parts) // maps come sorted
	if err != nil {
		return "", err
	}
	m := hmac.New(sha256.New, key)
	m.Write(raw)
	return hex.EncodeToString(m.Sum(nil)), nil
}

// has reports whether the data hashes to want.
func (o configObject) has(c content, key []byte, want string) bool {
	got, err := c.keyed(key, o.Kind, o.Name, o.UID)
	return err == nil && want != "" && hmac.Equal([]byte(got), []byte(want))
}

// ops make the object's data c, whole. An object this small is guarded by its version:
// whoever else wrote to it is a reason to look again.
func (c content) ops(live *unstructured.Unstructured) []patchOp {
	now := contentOf(live)
	ops := []patchOp{test(versionPath, live.GetResourceVersion())}
	if !maps.Equal(now.Data, c.Data) {
		ops = append(ops, add("/data", orNull(c.Data)))
	}
	if !maps.Equal(now.Binary, c.Binary) {
		ops = append(ops, add("/binaryData", orNull(c.Binary)))
	}
	return ops
}

func orNull(m map[string]string) any {
	if len(m) == 0 {
		return nil
	}
	return m
}

// changedKeys names the keys whose values differ.
func changedKeys(before, after content) []string {
	keys := map[string]bool{}
	for _, pair := range [][2]map[string]string{{before.Data, after.Data}, {before.Binary, after.Binary}} {
		for k, v := range pair[0] {
			if w, ok := pair[1][k]; !ok || v != w {
				keys[k] = true
			}
		}
		for k := range pair[1] {
			if _, ok := pair[0][k]; !ok {
				keys[k] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// someKeys is keys for a line of text.
func someKeys(keys []string) string {
	text := "key "
	if len(keys) == 0 {
		return "no key"
	}
	if len(keys) > 1 {
		text = "keys "
	}
	more := ""
	if len(keys) > 5 {
		keys, more = keys[:5], " and more"
	}
	return text + state.Clean(strings.Join(keys, ", ")) + more
}

func immutable(u *unstructured.Unstructured) bool {
	yes, _, _ := unstructured.NestedBool(u.Object, "immutable")
	return yes
}

// labelValue makes a label's value of a text: at most 63 bytes that begin and end well.
func labelValue(s string) string {
	return strings.Trim(s[:min(len(s), 63)], "-_.")
}

// copyName names the copy of an object for one rollout: by the object, the incident, the
// rollout and, since numbers of rollouts that never began are used again, the data.
func copyName(key []byte, name string, parts ...any) (string, error) {
	digest, err := keyed(key, append([]any{"copy", name}, parts...)...)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(name[:min(len(name), 220)], "-.") + "-mayday-" + digest[:12], nil
}

// copyObject is the copy as it is created.
func (o configObject) copyObject(incident string, live *unstructured.Unstructured) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": o.Kind, "immutable": true}}
	u.SetName(o.Copy)
	u.SetNamespace(live.GetNamespace())
	u.SetLabels(map[string]string{IncidentLabel: labelValue(incident), CopyLabel: labelValue(o.Kind + "." + o.Name)})
	notes := map[string]string{CopyLabel: o.Kind + "/" + o.Name, uidAnnotation: o.UID}
	if o.Kind == "Secret" {
		u.Object["type"] = copyType
		notes[typeNote], _, _ = unstructured.NestedString(live.Object, "type")
	}
	u.SetAnnotations(notes)
	contentOf(live).put(u)
	return u
}

// put writes the data into an object that has none.
func (c content) put(u *unstructured.Unstructured) {
	for field, m := range map[string]map[string]string{"data": c.Data, "binaryData": c.Binary} {
		if len(m) > 0 {
			out := map[string]any{}
			for k, v := range m {
				out[k] = v
			}
			u.Object[field] = out
		}
	}
}

// genuine makes sure that an object is the copy: immutable, of that original, and, where
// the key is there, with its data. A missing key is no reason to refuse.
func (o configObject) genuine(u *unstructured.Unstructured, key []byte) error {
	notes := u.GetAnnotations()
	why := ""
	switch {
	case notes[CopyLabel] != o.Kind+"/"+o.Name || notes[uidAnnotation] != o.UID:
		why = "it is not the copy of that object"
	case !immutable(u):
		why = "it is not immutable: anybody may have changed it"
	case len(key) > 0 && !o.has(contentOf(u), key, o.Hash):
		why = "its data is not what the plan's keyed hash says"
	default:
		return nil
	}
	return &state.Problem{What: o.Kind + " " + o.Copy + " cannot be trusted as the copy of " + o.Kind + " " + o.Name, Why: why, Code: "no-copy",
		Do: "Find out who made it, and restore " + o.Kind + " " + o.Name + " by hand if it was changed."}
}

// originalType is the type of the original, as its copy remembers it.
func originalType(copied *unstructured.Unstructured) string { return copied.GetAnnotations()[typeNote] }

// recreated is the original made anew from its copy, under the fence. Labels of its own
// are lost; pods read the data by its name.
func (o configObject) recreated(copied *unstructured.Unstructured, fence string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": o.Kind}}
	u.SetName(o.Name)
	u.SetNamespace(copied.GetNamespace())
	u.SetAnnotations(map[string]string{FenceAnnotation: fence})
	if t := originalType(copied); t != "" {
		u.Object["type"] = t
	}
	contentOf(copied).put(u)
	return u
}
