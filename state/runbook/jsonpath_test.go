package runbook

import (
	"encoding/json"
	"fmt"
	"testing"
)

func TestJSONPath(t *testing.T) {
	var doc any
	if err := json.Unmarshal([]byte(`{"status":"ok","checks":[{"up":true},{"up":false}],"disk.free":{"é":3},"n":null}`), &doc); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"status": "ok", "$.status": "ok", "checks[0].up": "true", "$['checks'][-1]['up']": "false", `["disk.free"].é`: "3", "n": "<nil>",
		"checks[2].up": "nothing", "checks[-3]": "nothing", "status.x": "nothing", "status[0]": "nothing", "none": "nothing", "checks.up": "nothing",
	} {
		p, err := ParseJSONPath(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		v, ok := p.Find(doc)
		got := fmt.Sprint(v)
		if !ok {
			got = "nothing"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for _, path := range []string{"", "$", "a..b", "a[*]", "a[0:2]", "a[?(@.b)]", "a['b'", "a[0", "$x", "*", "a.*", "a b"} {
		if p, err := ParseJSONPath(path); err == nil {
			t.Errorf("%q is taken for %v", path, p)
		}
	}
}
