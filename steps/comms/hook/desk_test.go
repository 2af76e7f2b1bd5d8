package hook

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mayday/steps/comms/commstest"
)

// desk is a folder where the script finds what to do and leaves what it got.
type desk struct {
	t   testing.TB
	dir string
}

func newDesk(t testing.TB) desk {
	d := desk{t, t.TempDir()}
	d.way("well")
	return d
}

func (d desk) way(s string) {
	if err := os.WriteFile(filepath.Join(d.dir, "way"), []byte(s), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d desk) got() []commstest.Got {
	files, err := filepath.Glob(filepath.Join(d.dir, "got.*"))
	if err != nil {
		d.t.Fatal(err)
	}
	var out []commstest.Got
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			d.t.Fatal(err)
		}
		key, text, _ := strings.Cut(string(b), "\n")
		out = append(out, commstest.Got{Key: key, Text: text})
	}
	return out
}
