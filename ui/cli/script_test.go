package cli

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"mayday/ui/uitest/term"
)

// TestMain lets this test binary be mayday too: scripts and tests that need a
// process of its own run "mayday" from their PATH.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"mayday": func() { os.Exit(Main(os.Args[1:])) },
		"bare":   term.Bare,
	})
}
