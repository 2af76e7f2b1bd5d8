package kube

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"unicode/utf8"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"mayday/state"
)

// maxManifest bounds a file; an object in the cluster may hold 1 MiB.
const maxManifest = 4 << 20

// fromFile reads the data of an object from its manifest. No error quotes the file: it
// may hold secrets.
func fromFile(kind, name, path string) (content, error) {
	p := &state.Problem{What: "the data of " + kind + " " + name + " cannot be read from " + path, Code: "config",
		Do: "Correct config: of the environment in mayday.yaml, or the file."}
	if st, err := os.Stat(path); err != nil || st.Size() > maxManifest || !st.Mode().IsRegular() {
		p.Why = "it is not a file of at most 4 MiB"
		if err != nil {
			p.Why = state.Clean(err.Error())
		}
		return content{}, p
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		p.Why = state.Clean(err.Error())
		return content{}, p
	}
	found, why := content{}, "it has no manifest of that "+kind
	for docs := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(raw))); ; {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		c, of, bad := manifest(kind, doc)
		switch {
		case err != nil || bad != "" && (of == "" || of == name):
			p.Why = or(bad, "it is not YAML")
			return content{}, p
		case bad == notThis || of != "" && of != name:
		case why == "":
			p.Why = "it has several manifests of a " + kind + " that may be meant"
			return content{}, p
		default:
			found, why = c, ""
		}
	}
	if p.Why = why; why != "" {
		return content{}, p
	}
	return found, nil
}

// notThis is why a document is passed over: it is of another kind.
const notThis = "of another kind"

// manifest reads one document. bad says what is wrong with it, quoting nothing of it.
func manifest(kind string, doc []byte) (c content, name, bad string) {
	var m struct {
		Kind     string
		Metadata struct{ Name string }
	}
	var data struct {
		content
		StringData map[string]string
	}
	if yaml.Unmarshal(doc, &m) != nil || !utf8.Valid(doc) {
		return c, "", "it is not YAML"
	}
	name = m.Metadata.Name
	switch {
	case m.Kind != kind:
		return c, "-", notThis
	case yaml.Unmarshal(doc, &data) != nil:
		return c, name, "a value in it is not text; numbers, true and false are written in quotes"
	case kind != "Secret" && len(data.StringData) > 0:
		return c, name, "only a Secret has stringData"
	case kind == "Secret" && len(data.Binary) > 0:
		return c, name, "a Secret has no binaryData"
	}
	c, ok := data.canonical(kind, data.StringData)
	if !ok {
		bad = "a value that must be base64 is not"
	}
	return c, name, bad
}

// canonical gives the data as the API server gives it back.
func (c content) canonical(kind string, clear map[string]string) (content, bool) {
	out := content{Data: map[string]string{}, Binary: map[string]string{}}
	ok := true
	encoded := func(s string) string {
		raw, err := base64.StdEncoding.DecodeString(s)
		ok = ok && err == nil
		return base64.StdEncoding.EncodeToString(raw)
	}
	for k, v := range c.Data {
		if kind == "Secret" {
			v = encoded(v)
		}
		out.Data[k] = v
	}
	for k, v := range c.Binary {
		out.Binary[k] = encoded(v)
	}
	for k, v := range clear {
		out.Data[k] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	return out, ok
}
