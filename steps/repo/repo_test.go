package repo

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing/transport/client"
	filetransport "github.com/go-git/go-git/v5/plumbing/transport/file"
	"github.com/go-git/go-git/v5/plumbing/transport/server"

	"mayday/state"
	"mayday/state/runbook"
)

func TestOneHotfixInEachModel(t *testing.T) {
	for _, model := range []string{"git-flow", "trunk", "main"} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.rb.Repo.Model = model
			w.do("1.state")
			w.hotfix()
			f := w.in.Facts
			if f["branch"] != "hotfix/PROD-2847-login-fails-for-empty-profiles" || f["version"] != "v1.2.4" || f["baseline"] != "v1.2.3" {
				t.Errorf("facts %v", f)
			}
			if got := w.git(w.bare, "cat-file", "-t", "v1.2.4"); got != "tag" {
				t.Errorf("v1.2.4 on the remote is a %s", got)
			}
			if got := w.git(w.bare, "show", "v1.2.4:VERSION"); got != "1.2.4" {
				t.Errorf("VERSION is %q", got)
			}
			o := w.do("17.merge")
			if len(o.Evidence) == 0 {
				t.Error("no evidence of the merge")
			}
			w.do("17.merge", "17.push", "17.push", "17.cleanup", "17.cleanup")
			for _, tg := range New(w.rb).targets() {
				if got := w.git(w.bare, "show", tg.branch+":login.go"); !strings.Contains(got, "200") {
					t.Errorf("%s has %q", tg.branch, got)
				}
				parents := len(strings.Fields(w.git(w.bare, "log", "-1", "--format=%P", tg.branch)))
				if want := map[way]int{byMerge: 2, byForward: 1, byPick: 1}[tg.way]; parents != want {
					t.Errorf("the head of %s has %d parents, want %d", tg.branch, parents, want)
				}
			}
			if w.remote("refs/heads/"+f["branch"]) != "" || w.git(w.dir, "branch", "--list", "hotfix/*") != "" {
				t.Error("the hotfix branch is still there")
			}
			if got := w.git(w.dir, "rev-parse", "--abbrev-ref", "HEAD"); got != "develop" {
				t.Errorf("the checkout ended on %s", got)
			}
			if got := w.git(w.dir, "worktree", "list"); strings.Count(got, "\n") != 0 {
				t.Errorf("worktrees left: %s", got)
			}
			if got := w.git(w.dir, "for-each-ref", "refs/mayday"); got != "" {
				t.Errorf("references left: %s", got)
			}
		})
	}
}

func TestSurveyIsHonest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git(w.dir, "checkout", "-q", "--detach", "v1.2.1")
	w.write("scratch", "x")
	o := w.do("1.state")
	for _, want := range []string{"v1.2.3", "detached HEAD", "1 file not committed"} {
		if !strings.Contains(o.Summary, want) {
			t.Errorf("%q does not say %q", o.Summary, want)
		}
	}
	if w.in.Facts["production"] != "v1.2.3" || strings.Count(w.out.String(), "release 1.2") != 4 {
		t.Errorf("output %s", w.out.String())
	}
}

func TestNoTagsIsAStateAndThenAClearRefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, tag := range []string{"v1.2.0", "v1.2.1", "v1.2.2", "v1.2.3"} {
		w.git(w.dir, "tag", "-d", tag)
		w.git(w.bare, "tag", "-d", tag)
	}
	if o := w.do("1.state"); !strings.Contains(o.Summary, "no tags found") {
		t.Errorf("%q", o.Summary)
	}
	w.refused("3.baseline", nil, "no-tags", "git tag -a")
}

func TestNotARepository(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rb.Repo.Dir = t.TempDir()
	for _, item := range []string{"1.state", "3.baseline", "3.branch", "3.push", "4.change", "6.commit", "7.version", "17.merge"} {
		w.in.Facts["branch"] = "hotfix/x"
		w.refused(item, nil, "not-a-repository", "repo.dir")
	}
}

func TestBaseline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refused("3.baseline", map[string]string{"baseline": "v9.9.9"}, "unknown-tag", "v9.9.9")
	w.git(w.dir, "tag", "-a", "v2.0.0", "-m", "not in production", "develop")
	w.refused("3.baseline", map[string]string{"baseline": "v2.0.0"}, "not-in-production")
	w.colleague("production", "more.txt", "unreleased")
	o := w.do("3.baseline")
	if w.in.Facts["baseline"] != "v1.2.3" || !strings.Contains(o.Summary, "1 commit beyond") || !strings.HasPrefix(w.in.Facts["production"], "v1.2.3-1-g") {
		t.Errorf("%q %v", o.Summary, w.in.Facts)
	}
	if err := os.Rename(w.bare, w.bare+".gone"); err != nil {
		t.Fatal(err)
	}
	w.refused("3.baseline", nil, "remote", "could not be fetched", "offline=allow")
	if o, err := w.try("3.baseline", map[string]string{"offline": "allow"}); err != nil || !strings.Contains(o.Summary, "not reached") {
		t.Errorf("%q %v", o.Summary, err)
	}
	w.do("3.branch")
	w.refused("3.push", nil, "remote")
	w.git(w.dir, "remote", "remove", "origin")
	w.refused("3.push", nil, "no-remote")
}

func TestBranchRefusesWhatWouldHurt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refused("3.branch", nil, "no-baseline")
	w.do("3.baseline")
	w.write("scratch.txt", "mine")
	w.refused("3.branch", nil, "dirty-tree", "scratch.txt", "dirty=allow")
	w.rb.Path = filepath.Join(w.dir, "scratch.txt") // the runbook itself is no dirt
	w.refused("3.branch", map[string]string{"branch": "hotfix/a b"}, "bad-branch")
	w.refused("3.branch", map[string]string{"branch": "hotfix/x..y"}, "bad-branch")
	name := "hotfix/PROD-2847-login-fails-for-empty-profiles"
	w.git(w.dir, "branch", name, "develop")
	w.refused("3.branch", nil, "branch-exists", name)
	w.git(w.dir, "branch", "-f", name, "v1.2.3")
	w.do("3.branch", "3.branch")
	if got := w.git(w.dir, "rev-parse", "--abbrev-ref", "HEAD"); got != name {
		t.Errorf("on %s", got)
	}
	w.write("login.go", "package shop\n")
	w.do("4.change", "6.commit", "3.branch")
	w.in.Facts["baseline"] = "v0.0.1"
	w.refused("3.branch", nil, "unknown-tag")
}

func TestBranchTakesDirtAlongWhenTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("3.baseline")
	w.write("login.go", "package shop\n\nfunc login() int { return 201 }\n")
	if _, err := w.try("3.branch", map[string]string{"dirty": "allow"}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(w.read("login.go"), "201") {
		t.Error("the change is lost")
	}
	w.git(w.dir, "checkout", "-q", "--detach")
	w.refused("4.change", nil, "wrong-branch", "detached HEAD", "git checkout hotfix/")
}

func TestSecondAttemptAndNameByVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.hotfix()
	w.in.Attempt = 2
	for _, k := range []string{"branch", "commit", "version", "tag"} {
		delete(w.in.Facts, k)
	}
	w.do("3.baseline", "3.branch")
	if b := w.in.Facts["branch"]; !strings.HasSuffix(b, "-2") {
		t.Errorf("branch %s", b)
	}
	w.git(w.dir, "checkout", "-q", "develop")
	w.rb.Repo.Branch = "version"
	w.do("3.branch")
	if b := w.in.Facts["branch"]; b != "hotfix/1.2.5" {
		t.Errorf("branch %s", b)
	}
	w.write("login.go", "package shop\n")
	w.do("4.change", "6.commit")
	w.approve()
	w.do("7.version")
	if v := w.in.Facts["version"]; v != "v1.2.5" {
		t.Errorf("version %s: v1.2.4 is taken", v)
	}
}

func TestPushRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("3.baseline", "3.branch")
	w.hook("pre-receive", `printf 'no \033[31mFriday\033[0m deploys\n' >&2; exit 1`)
	w.refused("3.push", nil, "push-refused", "no Friday deploys")
	w.hook("pre-receive", "exit 0")
	w.do("3.push", "3.push")
	w.write("login.go", "package shop\n")
	w.do("4.change", "6.commit")
	theirs := w.colleague(w.in.Facts["branch"], "x.txt", "x")
	w.refused("3.push", nil, "moved")
	if got := w.remote("refs/heads/" + w.in.Facts["branch"]); got != theirs {
		t.Error("the colleague's commit is lost")
	}
}

func TestChangeAndBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("3.baseline", "3.branch")
	w.refused("4.change", nil, "no-change")
	w.write("login.go", "package shop\n\nfunc login() int { return 200 }\n")
	w.write("login_test.go", "package shop\n")
	w.write("db/migrations/001.sql", "alter table x\n")
	w.write("go.sum", "a\n")
	w.write("new.bin", "a\x00b\n")
	o := w.do("4.change")
	for _, want := range []string{"5 files", "(+5 −1)", "1 test", "1 migration", "1 lock file", "dependencies change: go.sum", "migration: db/migrations/001.sql"} {
		if !strings.Contains(o.Summary, want) {
			t.Errorf("%q does not say %q", o.Summary, want)
		}
	}
	text := w.preview("4.change").Text
	for _, want := range []string{"-func login() int { return 500 }", "+func login() int { return 200 }", "new file mode", "Binary files"} {
		if !strings.Contains(text, want) {
			t.Errorf("the diff lacks %q:\n%s", want, text)
		}
	}
	w.rb.Repo.MaxChange = runbook.MaxChange{Warn: 3, Lines: 100, Files: 10}
	if o := w.do("4.change"); !strings.HasPrefix(o.Summary, "amber") || w.in.Facts["change.budget"] != "amber" {
		t.Errorf("%q", o.Summary)
	}
	w.rb.Repo.MaxChange.Lines = 5
	w.refused("4.change", nil, "budget", "5 lines")
	w.refused("6.commit", nil, "budget")
	w.in.Item("4.change").Status = state.ItemOverridden
	w.do("6.commit")
}

func TestDiffIsWhatGitApplies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("3.baseline", "3.branch")
	w.write("login.go", "package shop\n\nfunc login() int { return 200 } // no newline at the end")
	w.write("a/new.go", "package a\n\n\nvar X = 1\n")
	if err := os.Remove(filepath.Join(w.dir, "VERSION")); err != nil {
		t.Fatal(err)
	}
	d, err := New(w.rb).Diff(t.Context(), "v1.2.3", "")
	if err != nil {
		t.Fatal(err)
	}
	patch := filepath.Join(t.TempDir(), "p.diff")
	if err := os.WriteFile(patch, []byte(d), 0o600); err != nil {
		t.Fatal(err)
	}
	want := w.read("login.go")
	w.git(w.dir, "stash", "-q", "-u")
	w.git(w.dir, "apply", patch)
	if w.read("login.go") != want || w.read("a/new.go") != "package a\n\n\nvar X = 1\n" {
		t.Error("applying the diff gives something else")
	}
	if _, err := os.Stat(filepath.Join(w.dir, "VERSION")); err == nil {
		t.Error("the deletion is not in the diff")
	}
}

func TestCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("3.baseline", "3.branch")
	w.refused("6.commit", nil, "nothing-to-commit")
	w.write("login.go", "package shop\n")
	w.do("4.change")
	w.write("coverage.out", "made by the tests")
	o, err := w.try("6.commit", map[string]string{"message": "- check the profile\nlog it"})
	if err != nil {
		t.Fatal(err)
	}
	want := "hotfix: Login fails for empty profiles\n\n- check the profile\n- log it\n\nResolves: PROD-2847\nSeverity: SEV1 (critical)\nIncident: INC-20261122-01"
	if got := w.git(w.dir, "log", "-1", "--format=%B"); got != want {
		t.Errorf("message %q", got)
	}
	if got := w.git(w.dir, "show", "--name-only", "--format=", "HEAD"); got != "login.go" {
		t.Errorf("committed %q", got)
	}
	if !strings.Contains(w.out.String(), "$ git commit -m 'hotfix: Login") || len(o.Evidence) < 3 {
		t.Errorf("output %s", w.out.String())
	}
	if o := w.do("6.commit"); !strings.Contains(o.Summary, "already") {
		t.Errorf("%q", o.Summary)
	}
	a, err := New(w.rb).Author(t.Context(), w.in.Facts["commit"])
	if err != nil || a.String() != "Alice <alice@example.com>" {
		t.Errorf("author %v %v", a, err)
	}
}

func TestVersionNeedsTheApprovedCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("3.baseline", "3.branch")
	w.write("login.go", "package shop\n")
	w.do("4.change", "6.commit")
	w.refused("7.version", nil, "not-approved")
	w.approve()
	w.write("login.go", "package shop // sneaked in\n")
	w.do("6.commit")
	w.refused("7.version", nil, "not-approved", "sign-off is for")
	w.in.Item("6.signoff").Status = state.ItemOverridden
	w.do("7.version", "7.version", "7.tag", "7.tag")
	if got := w.git(w.dir, "show", "--name-only", "--format=%s", "HEAD"); got != "hotfix: version 1.2.4\n\nVERSION" {
		t.Errorf("version commit %q", got)
	}
	w.do("7.version") // its tag is at the head: the version stays
	if w.in.Facts["version"] != "v1.2.4" {
		t.Errorf("facts %v", w.in.Facts)
	}
	w.write("login.go", "package shop // after the tag\n")
	w.commit("after the tag")
	w.refused("7.push", nil, "branch-moved")
	w.refused("17.merge", nil, "branch-moved")
	w.in.Facts["commit"] = w.git(w.dir, "rev-parse", "HEAD")
	w.refused("7.tag", nil, "tag-exists")
}

func TestVersionCommandMayTouchOnlyTheVersionFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("3.baseline", "3.branch")
	w.write("login.go", "package shop\n")
	w.do("4.change", "6.commit")
	w.approve()
	w.rb.Repo.Version.Command = &runbook.Command{Run: []string{"sh", "-c", `echo "$PREVIOUS_VERSION to $VERSION" >VERSION; echo x >>login.go`}}
	w.refused("7.version", nil, "version-files", "login.go")
	w.git(w.dir, "checkout", "-q", ".")
	w.rb.Repo.Version.Command.Run[2] = `echo "$PREVIOUS_VERSION to $VERSION" >VERSION`
	w.do("7.version")
	if got := w.read("VERSION"); got != "v1.2.3 to v1.2.4\n" {
		t.Errorf("VERSION %q", got)
	}
}

func TestWithoutGit(t *testing.T) {
	w := newWorld(t)
	// go-git's own file transport starts git; its server needs none.
	client.InstallProtocol("file", server.NewClient(server.DefaultLoader))
	defer client.InstallProtocol("file", filetransport.DefaultClient)
	t.Setenv("PATH", t.TempDir())
	r := New(w.rb)
	if r.git != "" {
		t.Fatal("there is a git")
	}
	w.do("1.state", "3.baseline", "3.branch", "3.push")
	w.write("login.go", "package shop\n")
	w.do("4.change")
	o := w.do("6.commit")
	if last := o.Evidence[len(o.Evidence)-1]; !strings.Contains(last.Value, "go-git") {
		t.Errorf("evidence %+v does not say who wrote", o.Evidence)
	}
	w.approve()
	w.do("7.version", "7.tag", "7.push")
	if b, err := os.ReadFile(filepath.Join(w.bare, "refs", "heads", w.in.Facts["branch"])); strings.TrimSpace(string(b)) != w.in.Facts["commit"] {
		t.Errorf("the remote has %q, %v", b, err)
	}
	w.refused("17.merge", nil, "needs-git")
}

// A colleague's hotfix goes out while ours is being made: the remote has a tag that is
// not here. It is noticed at the next step that speaks of the version, whichever that is.
func TestSomebodyElseTookTheVersion(t *testing.T) {
	t.Parallel()
	taken := []string{"Somebody else has released v1.2.4 meanwhile", "never moved", "git fetch origin tag v1.2.4"}
	for _, tc := range []struct {
		name  string
		after []string // what is done when it happens
		then  func(w *world)
	}{
		{"before the review", []string{"4.change"}, func(w *world) {
			w.do("6.commit")
			if got := w.in.Facts["review.tag"]; got != "v1.2.5" {
				w.t.Errorf("under review is %s", got)
			}
		}},
		{"while it is reviewed", []string{"4.change", "6.commit"}, func(w *world) {
			w.sign()
			w.refused("7.version", nil, "other-version", "somebody else has released v1.2.4 meanwhile", "--version v1.2.5")
			w.do("6.commit")
			w.sign()
			w.in.Facts["approved.tag"] = "v1.2.5"
		}},
		{"before the tag", []string{"4.change", "6.commit", "7.version"}, func(w *world) {
			w.refused("7.tag", nil, "tag-exists", taken...)
			if got := w.git(w.dir, "tag", "-l", "v1.2.4"); got != "" {
				w.t.Errorf("tagged all the same: %s", got)
			}
		}},
		{"before the push", []string{"4.change", "6.commit", "7.version", "7.tag"}, func(w *world) {
			w.refused("7.push", nil, "tag-exists", append(taken, "git tag -d v1.2.4")...)
			w.refused("7.tag", nil, "tag-exists", append(taken, "git tag -d v1.2.4")...)
			w.do("7.version")
			if got := w.in.Facts["version"]; got != "v1.2.5" {
				w.t.Errorf("version %s with the own tag still here", got)
			}
			w.git(w.dir, "tag", "-d", "v1.2.4")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.do("3.baseline", "3.branch")
			w.write("login.go", "package shop\n")
			for _, item := range tc.after {
				w.do(item)
				w.approve()
			}
			w.git(w.bare, "tag", "v1.2.4", "develop")
			tc.then(w)
			w.approve()
			w.do("7.version", "7.tag", "7.push")
			if f := w.in.Facts; f["tag"] != "v1.2.5" || w.remote("refs/tags/v1.2.5^{commit}") != f["commit"] || w.read("VERSION") != "1.2.5\n" {
				t.Errorf("facts %v, VERSION %q", f, w.read("VERSION"))
			}
			if w.remote("refs/tags/v1.2.4") != w.remote("develop") {
				t.Error("the colleague's tag was moved")
			}
		})
	}
}

// Without the remote the version under review is a guess, and said to be one.
func TestTheVersionIsGuessedWithoutTheRemote(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("3.baseline", "3.branch")
	w.write("login.go", "package shop\n")
	w.do("4.change")
	w.git(w.dir, "remote", "set-url", "origin", w.bare+"-gone")
	w.do("6.commit")
	if got := w.in.Facts["review.tag"]; got != "v1.2.4" || !strings.Contains(w.out.String(), "the next version is guessed") {
		t.Errorf("under review is %q: %s", got, w.out.String())
	}
	w.approve()
	w.refused("7.version", nil, "remote")
}

// The issue may come after the declaration, with the ticket.
func TestFooterNamesTheIssue(t *testing.T) {
	for _, c := range []struct{ issue, ticket, want string }{
		{"#123", "", "Fixes: #123\n"}, {"PROD-2847", "https://tracker.example.com/browse/PROD-1", "Resolves: PROD-2847\n"}, {"", "", ""},
		{"", "https://tracker.example.com/browse/PROD-2847", "Resolves: PROD-2847\n"}, {"", "https://github.com/acme/shop/issues/12", "Fixes: #12\n"},
		{"", "https://tracker.example.com/ticket?of=shop", ""}, {"", "by telephone", ""},
	} {
		in := &state.Incident{ID: "INC-1", Issue: c.issue, Severity: 2, Facts: map[string]string{"ticket": c.ticket}}
		if got, want := footer(in), c.want+"Severity: SEV2 (high)\nIncident: INC-1"; got != want {
			t.Errorf("%q, %q: %q", c.issue, c.ticket, got)
		}
	}
}
