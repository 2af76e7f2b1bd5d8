package repo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mayday/state"
)

func TestBump(t *testing.T) {
	for _, tc := range []struct {
		from   string
		hotfix bool
		want   string
	}{
		{"v1.2.3", false, "v1.2.4"}, {"v1.2.9", false, "v1.2.10"}, {"v1.2.3", true, "v1.2.3-hotfix.1"},
		{"v1.2.3-hotfix.9", true, "v1.2.3-hotfix.10"}, {"v1.2.3-hotfix.2", false, "v1.2.4"},
		{"v2.0.0-rc.1", false, "v2.0.0"}, {"v1.2.3+build5", false, "v1.2.4"}, {"v1.2", false, "v1.2.1"},
	} {
		if got := bump(tc.from, tc.hotfix); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.from, got, tc.want)
		}
	}
}

func TestReplaceVersion(t *testing.T) {
	for _, tc := range []struct{ name, text, want, code string }{
		{"alone", "1.2.3\n", "1.2.4\n", ""},
		{"with v, CRLF", "version = \"v1.2.3\"\r\nx\r\n", "version = \"v1.2.4\"\r\nx\r\n", ""},
		{"one of many", "\"version\": \"1.2.3\",\n\"dep\": \"1.2.3\"\n", "\"version\": \"1.2.4\",\n\"dep\": \"1.2.3\"\n", ""},
		{"not part of another", "11.2.3 1.2.30 1.2.3-rc 0.1.2.3", "", "version-not-found"},
		{"there already", "1.2.4\n", "1.2.4\n", ""},
		{"two versions", "version 1.2.3\nversion 1.2.3\n", "", "version-ambiguous"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			err := replaceVersion(path, "f", "1.2.3", "1.2.4")
			if tc.code != "" {
				if !state.HasCode(err, tc.code) {
					t.Errorf("%v", err)
				}
				tc.want = tc.text
			} else if err != nil {
				t.Fatal(err)
			}
			if b, _ := os.ReadFile(path); string(b) != tc.want {
				t.Errorf("%q, want %q", b, tc.want)
			}
		})
	}
}

func TestKinds(t *testing.T) {
	for path, want := range map[string]kind{"a/login.go": source, "a/login_test.go": test, "src/__tests__/x.ts": test, "x.spec.ts": test,
		"go.sum": lockFile, "web/yarn.lock": lockFile, "go.mod": configuration, "deploy/app.yaml": configuration,
		"db/migrations/1.py": migration, "x.sql": migration, "README.md": documentation, "latest.go": source} {
		if got := kindOf(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	if got := slug("Payment gateway: NullPointer in  „Zahlung“ – all payments down again"); got != "payment-gateway-nullpointer-in-zahlung" {
		t.Errorf("slug %q", got)
	}
	if got := slug(strings.Repeat("x", 90)); len(got) != slugLength {
		t.Errorf("slug %q", got)
	}
	for in, want := range map[string]string{"#123": "123", "https://tracker/browse/PROD-2847/": "PROD-2847", " PROD-1 ": "PROD-1", "": ""} {
		if got := issueID(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
