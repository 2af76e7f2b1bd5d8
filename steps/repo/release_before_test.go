package repo

import (
	"strings"
	"testing"
)

// TestReleaseBefore: step 1 finds the release before the one in production, and what
// that changed of the database.
func TestReleaseBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git(w.dir, "tag", "-a", "v1.2.3-rc", "-m", "not in production", "develop")
	w.do("1.state")
	if f := w.in.Facts; f["production.tag"] != "v1.2.3" || f["production.from"] != "v1.2.2" || f["production.migrations"] != "" {
		t.Errorf("facts: %v", f)
	}
	w.git(w.dir, "checkout", "-q", "production")
	w.write("migrations/0007.sql", "alter table accounts alter profile drop not null;\n")
	w.write("migrations/0008.sql", "drop table old;\n")
	w.commit("release 1.2.4")
	w.git(w.dir, "tag", "-a", "v1.2.4", "-m", "Release v1.2.4")
	w.git(w.dir, "push", "-q", "origin", "production", "--tags")
	w.do("1.state")
	if f := w.in.Facts; f["production.tag"] != "v1.2.4" || f["production.from"] != "v1.2.3" || f["production.migrations"] != "migrations/0007.sql and 1 more" {
		t.Errorf("facts: %v", f)
	}
}

// TestBaselineAfterAnUndo is what production was taken back to, unless that is no tag or
// the person wants another.
func TestBaselineAfterAnUndo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct{ running, asked, want, says string }{
		{"v1.2.2", "", "v1.2.2", "taken back to it"},
		{"v1.2.2", "v1.2.1", "v1.2.1", ""},
		{"build-77", "", "v1.2.3", "taken back to build-77, of which there is no tag"},
	} {
		w.in.Facts["running"] = c.running
		o, err := w.try("3.baseline", map[string]string{"baseline": c.asked})
		if err != nil || o.Facts["baseline"] != c.want || !strings.Contains(o.Summary, c.says) {
			t.Errorf("%+v: %q %v, %v", c, o.Summary, o.Facts, err)
		}
	}
}
