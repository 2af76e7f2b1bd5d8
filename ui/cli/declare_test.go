package cli

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"mayday/state/runbook"
	"mayday/ui"
)

// An incident declared by hand on the practice range is a drill, or the next mayday
// there would look for one and not find it.
func TestDeclaringOnTheRangeIsADrill(t *testing.T) {
	t.Setenv("MAYDAY_HOME", t.TempDir())
	for _, c := range []struct{ drill, want string }{{"", ""}, {"drill: {scenario: bad-canary}\n", "bad-canary"}} {
		file := filepath.Join(t.TempDir(), runbook.FileName)
		if err := os.WriteFile(file, []byte("service: shop\nrepo: {model: main}\n"+c.drill), 0o600); err != nil {
			t.Fatal(err)
		}
		rb, err := runbook.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		folder, err := declare(rb, ui.DeclareForm{Title: "Logins fail", Severity: 1}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if got := read("", folder).in.Drill; got != c.want {
			t.Errorf("declared with %q: drill %q, want %q", c.drill, got, c.want)
		}
		f, ok, err := new(app).pick(rb.Drill != nil)
		if err != nil || !ok || f.folder != folder {
			t.Errorf("declared with %q: the next mayday finds %q, %v, %v", c.drill, f.folder, ok, err)
		}
	}
}
