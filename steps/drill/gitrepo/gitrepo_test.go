package gitrepo

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mayday/state"
)

// made is one repository for the tests that do not change it.
func made(t *testing.T) (remote, clone string) {
	t.Helper()
	dir := t.TempDir()
	remote, clone = filepath.Join(dir, "remote.git"), filepath.Join(dir, "shop")
	if err := Make(context.Background(), Options{Remote: remote, Clone: clone, User: "ops", Exclude: []string{"/mayday.yaml"}}); err != nil {
		t.Fatal(err)
	}
	return remote, clone
}

// in runs a program in a folder and gives its output.
func in(t *testing.T, dir string, env []string, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(environ(), env...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func must(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	out, err := in(t, dir, nil, name, args...)
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return out
}

func TestHistory(t *testing.T) {
	remote, clone := made(t)
	git := func(args ...string) string { return must(t, clone, "git", args...) }
	if got := must(t, remote, "git", "fsck", "--strict"); strings.Contains(got, "error") {
		t.Error(got)
	}
	if got := git("tag", "-l", "--format=%(objecttype) %(refname:short)"); got != "tag v1.2.0\ntag v1.2.1\ntag v1.2.2\ntag v1.2.3" {
		t.Errorf("tags:\n%s", got)
	}
	if got := git("describe", "--tags", "origin/production"); got != "v1.2.3" {
		t.Errorf("production is %s", got)
	}
	if got := git("rev-list", "--count", "origin/production..origin/develop"); got != "3" {
		t.Errorf("develop is %s commits ahead", got)
	}
	if n := len(strings.Fields(git("rev-list", "--all"))); n < 15 || n > 25 {
		t.Errorf("%d commits", n)
	}
	if got := len(strings.Split(git("log", "--all", "--format=%an"), "\n")); got < 15 {
		t.Errorf("%d authors' lines", got)
	}
	authors := map[string]bool{}
	for _, a := range strings.Split(git("log", "--all", "--format=%an"), "\n") {
		authors[a] = true
	}
	if len(authors) != 3 {
		t.Errorf("authors: %v", authors)
	}
	if got := git("status", "--porcelain"); got != "" {
		t.Errorf("the tree is dirty:\n%s", got)
	}
	if got := git("diff", "--stat", "v1.2.3", "v1.2.3^2"); got != "" {
		t.Errorf("production took another tree than develop's release:\n%s", got)
	}
	// Every release merges what develop had, and a hotfix merges back without conflict.
	git("checkout", "-q", "-b", "hotfix/try", "v1.2.3")
	os.WriteFile(filepath.Join(clone, "VERSION"), []byte("1.2.4\n"), 0o644)
	must(t, clone, "git", "apply", fix(t))
	git("commit", "-qam", "try")
	git("checkout", "-q", "develop")
	git("merge", "-q", "--no-ff", "-m", "merge", "hotfix/try")
}

// fix writes the patch outside the clone.
func fix(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "fix.patch")
	if err := os.WriteFile(path, Fix(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheSameEveryTime(t *testing.T) {
	a, _ := made(t)
	b, _ := made(t)
	if x, y := must(t, a, "git", "rev-parse", "develop", "v1.2.3"), must(t, b, "git", "rev-parse", "develop", "v1.2.3"); x != y {
		t.Errorf("two ranges differ:\n%s\n%s", x, y)
	}
}

func TestFixIsSmall(t *testing.T) {
	n := 0
	for line := range strings.Lines(string(Fix())) {
		if (line[0] == '+' || line[0] == '-') && !strings.HasPrefix(line, "+++") && !strings.HasPrefix(line, "---") {
			n++
		}
	}
	if n == 0 || n > 10 {
		t.Errorf("the fix changes %d lines", n)
	}
}

// TestFocused runs the focused test where there is Go and where there is none.
func TestFocused(t *testing.T) {
	patch := fix(t)
	for name, path := range map[string]string{"with go": os.Getenv("PATH"), "without go": withoutGo(t)} {
		t.Run(name, func(t *testing.T) {
			_, clone := made(t)
			must(t, clone, "git", "checkout", "-q", "v1.2.3")
			focused := func() (string, error) { return in(t, clone, []string{"PATH=" + path}, "sh", "scripts/focused.sh") }
			if out, err := focused(); err == nil {
				t.Errorf("passes before the fix:\n%s", out)
			}
			must(t, clone, "git", "apply", "--include=auth/login_test.go", patch)
			if out, err := focused(); err == nil {
				t.Errorf("passes with the test but without the fix:\n%s", out)
			}
			must(t, clone, "git", "apply", "--include=auth/login.go", patch)
			if out, err := focused(); err != nil {
				t.Errorf("fails after the fix: %v\n%s", err, out)
			}
		})
	}
}

// withoutGo gives a PATH with the usual tools and no go.
func withoutGo(t *testing.T) string {
	dir := t.TempDir()
	for _, tool := range []string{"sh", "git", "awk", "grep", "sed", "dirname", "cat", "head", "tail"} {
		full, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(full, filepath.Join(dir, tool)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestScripts(t *testing.T) {
	_, clone := made(t)
	must(t, clone, "git", "checkout", "-q", "v1.2.3")
	db := filepath.Join(t.TempDir(), "accounts.tsv")
	run := func(want bool, env []string, args ...string) {
		t.Helper()
		out, err := in(t, clone, env, "sh", args...)
		if (err == nil) != want {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	run(false, nil, "scripts/backup.sh", db, t.TempDir())
	os.WriteFile(db, []byte("ada\nben\n"), 0o644)
	run(true, nil, "scripts/backup.sh", db, t.TempDir())
	run(true, nil, "scripts/config.sh")
	run(true, nil, "scripts/migration.sh")
	run(true, nil, "scripts/security.sh")
	run(true, []string{"VERSION=v1.2.4"}, "scripts/set-version.sh")
	if got := must(t, clone, "git", "diff", "--stat", "--", "VERSION", "CHANGELOG.md"); !strings.Contains(got, "2 files") {
		t.Error(got)
	}
	run(true, []string{"VERSION=v1.2.4"}, "scripts/set-version.sh")
	if b, _ := os.ReadFile(filepath.Join(clone, "CHANGELOG.md")); strings.Count(string(b), "1.2.4") != 1 || !strings.HasPrefix(string(b), "# Changes\n\n## 1.2.4\n") {
		t.Errorf("%s", b)
	}
	f := filepath.Join(clone, "config", "production.env")
	b, _ := os.ReadFile(f)
	os.WriteFile(f, []byte(strings.Replace(string(b), "POOL=8", "POOL=80", 1)), 0o644)
	run(false, nil, "scripts/config.sh")
	os.WriteFile(filepath.Join(clone, "auth", "store.go"), []byte("package auth\n// AKIAABCDEFGHIJKLMNOP\n"), 0o644)
	run(false, nil, "scripts/security.sh")
	os.WriteFile(filepath.Join(clone, "migrations", "0007_profiles_optional.sql"), []byte("DROP TABLE accounts;\n"), 0o644)
	run(false, nil, "scripts/migration.sh")
}

func TestNoGit(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := Make(context.Background(), Options{Remote: t.TempDir(), Clone: t.TempDir()})
	if !state.HasCode(err, "no-git") {
		t.Errorf("got %v", err)
	}
}

func BenchmarkMake(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		start := time.Now()
		if err := Make(context.Background(), Options{Remote: dir + "/r.git", Clone: dir + "/c", User: "ops"}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/range")
	}
}
