package kube

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"mayday/state"
)

func TestFromFile(t *testing.T) {
	const secret = "hunter2"
	for _, c := range []struct {
		name, kind, text, says string
		want                   map[string]string
	}{
		{name: "of several", kind: "ConfigMap", text: "kind: Service\nspec: {x: 1}\n---\nkind: ConfigMap\nmetadata: {name: other}\ndata: {a: \"2\"}\n---\nkind: ConfigMap\nmetadata: {name: app}\ndata: {a: \"1\"}\n", want: map[string]string{"a": "1"}},
		{name: "both kinds of data", kind: "Secret", text: "kind: Secret\ndata: {a: aHVudGVyMg==}\nstringData: {b: hunter2}\n", want: map[string]string{"a": "aHVudGVyMg==", "b": "aHVudGVyMg=="}},
		{name: "twice", kind: "Secret", text: "kind: Secret\ndata: {}\n---\nkind: Secret\ndata: {}\n", says: "several"},
		{name: "not base64", kind: "Secret", text: "kind: Secret\ndata: {a: hunter2!}\n", says: "base64"},
		{name: "a number", kind: "Secret", text: "kind: Secret\nstringData: {a: [hunter2]}\n", says: "not text"},
		{name: "not YAML", kind: "Secret", text: "kind: Secret\nstringData: {a: hunter2\n", says: "YAML"},
		{name: "stringData of a ConfigMap", kind: "ConfigMap", text: "kind: ConfigMap\nstringData: {a: hunter2}\n", says: "only a Secret"},
		{name: "another name", kind: "ConfigMap", text: "kind: ConfigMap\nmetadata: {name: other}\ndata: {a: hunter2}\n", says: "no manifest"},
		{name: "empty", kind: "ConfigMap", text: "", says: "no manifest"},
	} {
		path := filepath.Join(t.TempDir(), "x.yaml")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := fromFile(c.kind, "app", path)
		switch {
		case c.says != "":
			if !state.HasCode(err, "config") || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", c.name, err)
			}
		case err != nil || !got.equal(content{Data: c.want}):
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
	if _, err := fromFile("Secret", "app", t.TempDir()); !state.HasCode(err, "config") {
		t.Errorf("a folder: %v", err)
	}
}

// TestVeil: a ConfigMap shows what changed and hides what looks like a secret.
func TestVeil(t *testing.T) {
	got := differingText(t, content{Data: map[string]string{"app.conf": "a = 1\ndb.password = hunter2\nb = 1\n", "API_TOKEN": "hunter2", "url": "http://u:hunter2@h/"}},
		content{Data: map[string]string{"app.conf": "a = 1\ndb.password = hunter3\nb = 2\n", "API_TOKEN": "hunter3", "url": "http://u:hunter3@h/x"}})
	if strings.Contains(got, "hunter") || strings.Contains(got, "a = 1") || !strings.Contains(got, "-b = 1\n") || !strings.Contains(got, "+b = 2\n") || !strings.Contains(got, "@h/x") {
		t.Error(got)
	}
}

func differingText(t *testing.T, before, after content) string {
	t.Helper()
	o := configObject{Kind: "ConfigMap", Name: "app"}
	nothing := &unstructured.Unstructured{Object: map[string]any{}}
	a, b := o.copyObject("I", nothing), o.copyObject("I", nothing)
	before.put(a)
	after.put(b)
	return o.veil(a, b)
}

// TestEqualDataDoesNotLookEqual: whoever reads the plan cannot see that two objects hold
// the same data, nor try guesses without the key.
func TestEqualDataDoesNotLookEqual(t *testing.T) {
	c := content{Data: map[string]string{"password": "hunter2"}}
	seen := map[string]bool{}
	for _, x := range [][4]string{{"k", "Secret", "a", "1"}, {"k", "Secret", "a", "2"}, {"k", "Secret", "b", "1"}, {"l", "Secret", "a", "1"}} {
		h, err := c.keyed([]byte(x[0]), x[1], x[2], x[3])
		if err != nil || seen[h] || len(h) != 64 {
			t.Errorf("%v: %s, %v", x, h, err)
		}
		seen[h] = true
	}
}
