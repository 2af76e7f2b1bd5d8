package runbook

import (
	"fmt"
	"strconv"
	"strings"
)

// JSONPath leads to one value of a JSON document: "status", "checks[0].up",
// "$.nodes[-1]['disk.free']". It is what RFC 9535 calls a singular query (names and
// indices; a negative index counts from the end), and the leading $ may be left out.
// Wildcards, slices and filters are refused: they name many values, and a check
// wants one.
type JSONPath []any // string: a member's name; int: an index

// ParseJSONPath reads a path.
func ParseJSONPath(s string) (JSONPath, error) {
	rest := strings.TrimPrefix(s, "$")
	if rest == s && s != "" && s[0] != '[' && s[0] != '.' {
		rest = "." + s
	}
	var out JSONPath
	for rest != "" {
		var part any
		var err error
		switch rest[0] {
		case '.':
			end := strings.IndexAny(rest[1:], ".[")
			if end < 0 {
				end = len(rest) - 1
			}
			name := rest[1 : 1+end]
			if name == "" || name == "*" || strings.ContainsAny(name, "]'\" ()?@,:") {
				return nil, fmt.Errorf("%q is not a name at %q; write names as a.b, others as a['b.c']", name, rest)
			}
			part, rest = name, rest[1+end:]
		case '[':
			part, rest, err = bracket(rest)
		default:
			err = fmt.Errorf("a name begins with a dot: %q", rest)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, part)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("it leads nowhere")
	}
	return out, nil
}

// bracket reads "[0]" or "['name']".
func bracket(s string) (part any, rest string, err error) {
	if len(s) > 1 && (s[1] == '\'' || s[1] == '"') {
		name, rest, ok := strings.Cut(s[2:], s[1:2]+"]")
		if !ok {
			return nil, "", fmt.Errorf("%q has no end", s)
		}
		return name, rest, nil
	}
	inner, rest, ok := strings.Cut(s[1:], "]")
	if !ok {
		return nil, "", fmt.Errorf("%q has no end", s)
	}
	n, err := strconv.Atoi(inner)
	if err != nil {
		return nil, "", fmt.Errorf("%q is no index; wildcards and filters are not used here", inner)
	}
	return n, rest, nil
}

// Find gives the value in a document as encoding/json decodes one into an any.
func (p JSONPath) Find(doc any) (any, bool) {
	for _, part := range p {
		switch part := part.(type) {
		case string:
			m, ok := doc.(map[string]any)
			if !ok {
				return nil, false
			}
			if doc, ok = m[part]; !ok {
				return nil, false
			}
		case int:
			list, ok := doc.([]any)
			if part < 0 {
				part += len(list)
			}
			if !ok || part < 0 || part >= len(list) {
				return nil, false
			}
			doc = list[part]
		}
	}
	return doc, true
}
