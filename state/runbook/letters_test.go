package runbook

import (
	"errors"
	"strings"
	"testing"
)

func TestTemplatesAreCheckedAtLoadTime(t *testing.T) {
	for name, tc := range map[string]struct {
		yaml         string
		line, column int
		says         string
	}{
		"a field, in a block":      {"templates:\n  update: |\n    {{.Severity}}\n\n    so {{.Sevrity}}\n", 6, 10, `there is no .Sevrity; did you mean "Severity"?`},
		"in a branch seldom taken": {"templates:\n  update: |\n    {{if eq .Severity \"SEV0\"}}{{.Nope}}{{end}}\n", 4, 33, "there is no .Nope"},
		"inside with":              {"templates:\n  update: \"{{with .ETA}}{{.Title}}{{end}}\"\n", 3, 27, "there is no .Title in a text"},
		"by the root":              {"templates:\n  update: \"{{with .ETA}}{{$.Titel}}{{end}}\"\n", 3, 28, `did you mean "Title"?`},
		"in range":                 {"templates:\n  resolved: |-\n    {{range .ActionItems}}{{.Owner}}{{end}}\n", 4, 29, "there is no .Owner"},
		"an argument":              {"templates:\n  update: '{{lower .Titel}}'\n", 3, 20, `did you mean "Title"?`},
		"not closed":               {"templates:\n  update: |\n    a\n    {{if .ETA}}\n", 5, 5, "unexpected EOF"},
		"an unknown function":      {"templates:\n  page: |\n    {{shout .ETA}}\n", 4, 5, `function "shout" not defined`},
		"an unknown occasion":      {"templates:\n  updates: x\n", 3, 3, `did you mean "update"?`},
		"an unknown audience":      {"templates:\n  update.customer: x\n", 3, 3, `did you mean "customers"?`},
	} {
		_, err := Parse("mayday.yaml", []byte("service: shop\n"+tc.yaml))
		e, ok := errors.AsType[*Error](err)
		if !ok {
			t.Errorf("%s: %v", name, err)
			continue
		}
		is := e.Issues[0]
		if is.Line != tc.line || !strings.Contains(is.Text, tc.says) || is.Column != tc.column && name != "not closed" && name != "an unknown function" {
			t.Errorf("%s: %d:%d %s", name, is.Line, is.Column, is.Text)
		}
	}
}

func TestTemplatesThatAreFine(t *testing.T) {
	_, err := Parse("mayday.yaml", []byte(`service: shop
templates:
  declared: "{{.Severity}} {{upper .Title}} {{.Extra.anything}} {{.Facts.version}}"
  update.executives: |
    {{with .ETA}}{{.}} {{$.Title}}{{else}}{{.Title}}{{end}}
    {{range $i, $x := .ActionItems}}{{$i}} {{$x}} {{.}}{{end}}
    {{$v := .Version}}{{$v}} {{printf "%s" .Head | lower}} {{range $k, $v := .Roles}}{{$k}}={{$v}}{{end}}
    {{define "part"}}{{.Title}}{{end}}{{template "part" .}}
  customers: we know
  executives: we know
`))
	if err != nil {
		t.Error(err)
	}
}
