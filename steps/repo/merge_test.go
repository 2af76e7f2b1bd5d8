package repo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConflictStopsAndGoesOn(t *testing.T) {
	for _, model := range []string{"git-flow", "trunk"} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.rb.Repo.Model = model
			into := map[string]string{"git-flow": "develop", "trunk": "main"}[model]
			w.hotfix()
			w.colleague(into, "login.go", "package shop\n\nfunc login() int { return 302 }\n")
			before := w.git(w.dir, "status", "--porcelain", "--branch")
			w.refused("17.merge", nil, "conflict", into, "login.go", "git add", "Nothing was pushed")
			w.refused("17.merge", nil, "conflict", into, "login.go")
			if got := w.git(w.dir, "status", "--porcelain", "--branch"); got != before {
				t.Errorf("the checkout changed: %s", got)
			}
			at := filepath.Join(w.dir, ".git", "mayday", w.in.ID, into)
			if err := os.WriteFile(filepath.Join(at, "login.go"), []byte("package shop // both\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			w.git(at, "add", "login.go")
			w.refused("17.merge", nil, "conflict", "not concluded")
			if model == "trunk" {
				w.git(at, "-c", "core.editor=true", "cherry-pick", "--continue")
			} else {
				w.git(at, "commit", "--no-edit")
			}
			w.do("17.merge", "17.push")
			if got := w.git(w.bare, "show", into+":login.go"); got != "package shop // both" {
				t.Errorf("%s has %q", into, got)
			}
		})
	}
}

func TestTrunkNeverShipsWhatNobodyApproved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rb.Repo.Model = "trunk"
	w.hotfix()
	theirs := w.colleague("production", "more.txt", "unreleased")
	w.refused("17.merge", nil, "moved", "cannot be fast-forwarded")
	if w.remote("production") != theirs {
		t.Error("production moved")
	}
}

func TestUnapprovedCommitsBelowTheBaseline(t *testing.T) {
	for _, model := range []string{"git-flow", "trunk"} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.rb.Repo.Model = model
			w.hotfix()
			// Production is taken back below the tag after the branch was cut.
			w.git(w.dir, "push", "-q", "-f", "origin", "v1.2.2^{commit}:production")
			w.refused("17.merge", nil, "unapproved-commits", "release 1.2.3")
		})
	}
}

func TestProductionMovesBetweenMergeAndPush(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hotfix()
	w.do("17.merge")
	theirs := w.colleague("production", "more.txt", "theirs")
	w.refused("17.push", nil, "moved", "Merged back")
	w.do("17.merge", "17.push")
	if _, err := w.tryGit(w.bare, "merge-base", "--is-ancestor", theirs, "production"); err != nil {
		t.Error("the colleague's commit is lost")
	}
}

func TestPushIntoProtectedBranch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hotfix()
	w.do("17.merge")
	w.hook("update", `case $1 in refs/heads/production) echo "production is protected" >&2; exit 1;; esac`)
	w.refused("17.push", nil, "push-refused", "production is protected", "pull request")
}

func TestCleanupKeepsWhatIsNotMerged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hotfix()
	w.refused("17.cleanup", nil, "not-merged")
	w.do("17.merge", "17.push")
	theirs := w.colleague(w.in.Facts["branch"], "late.txt", "late")
	w.refused("17.cleanup", nil, "not-merged", short(theirs))
	if w.remote(w.in.Facts["branch"]) != theirs || w.git(w.dir, "branch", "--list", "hotfix/*") == "" {
		t.Error("something was deleted")
	}
	w.git(w.bare, "branch", "-f", w.in.Facts["branch"], w.in.Facts["commit"])
	w.write("scratch.txt", "mine")
	w.refused("17.cleanup", nil, "dirty-tree")
	if err := os.Remove(filepath.Join(w.dir, "scratch.txt")); err != nil {
		t.Fatal(err)
	}
	w.do("17.cleanup")
}

func TestPreviewsShowTheCommandsThatRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("3.baseline")
	check := func(item string) {
		t.Helper()
		p := w.preview(item)
		w.do(item)
		ran := w.out.String()
		for _, c := range p.Commands[1:] {
			read := false
			for _, verb := range []string{"git ls-remote", "git diff", "git merge-base", "# "} {
				read = read || strings.HasPrefix(c, verb)
			}
			c = strings.TrimSuffix(c, " HEAD") // a hash once it is known
			if !read && !strings.Contains(ran, "$ "+c) {
				t.Errorf("%s: %q was shown and did not run:\n%s", item, c, ran)
			}
		}
	}
	check("3.branch")
	check("3.push")
	w.write("login.go", "package shop\n")
	w.do("4.change")
	check("6.commit")
	w.approve()
	for _, item := range []string{"7.version", "7.tag", "7.push", "17.merge", "17.push", "17.cleanup"} {
		check(item)
	}
}
