package repo

import (
	"os"
	"strings"
	"testing"

	"mayday/state"
)

// TestReach: the remote is asked for the branch that production runs; a remote without
// it, one that is gone, and none at all are told apart.
func TestReach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := New(w.rb)
	if said, err := r.Program(t.Context()); err != nil || !strings.HasPrefix(said, "git version ") {
		t.Errorf("%q, %v", said, err)
	}
	if seen, err := r.Reach(t.Context()); err != nil || !strings.Contains(seen, "origin answers: production at ") {
		t.Errorf("%q, %v", seen, err)
	}
	refused := func(code string) {
		t.Helper()
		if seen, err := New(w.rb).Reach(t.Context()); !state.HasCode(err, code) {
			t.Errorf("want %s: %q, %v", code, seen, err)
		}
	}
	w.rb.Repo.Production = "live"
	refused("no-production-branch")
	w.rb.Repo.Production = ""
	if err := os.RemoveAll(w.bare); err != nil {
		t.Fatal(err)
	}
	refused("remote")
	w.rb.Repo.Remote = "elsewhere"
	refused("no-remote")
	w.rb.Repo.Dir = t.TempDir()
	refused("not-a-repository")
}
