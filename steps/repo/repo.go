// Package repo does an incident's git work: it reads with go-git and writes with
// the operator's own git, so that hooks, signing, credential helpers and ssh
// settings hold, and it prints each command before it runs it. Where there is no
// git program, go-git makes branch, commit, tag and push, and the evidence says
// so; merging back then needs a person.
//
// Whether the tree is clean is asked of git where there is one: only it knows the
// operator's filters, line ends and ignore files.
//
// Nothing here forces, and nothing loses a commit: branches move forward only,
// merges are made in a worktree of their own inside the .git folder and kept under
// refs/mayday/ until they are pushed, and a branch is deleted only when all it
// holds is on the remote's other branches.
package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// Repo works with the repository of a runbook. It opens it afresh for each
// action, so what happens to the repository in between is seen. Safe for
// concurrent reads; the Engine runs one writing action at a time.
type Repo struct {
	rb  *runbook.Runbook
	cfg runbook.Repo
	dir string
	git string // path of the git program; empty: go-git writes

	patience time.Duration // see lockPatience
}

// New prepares the runbook's repository. It touches nothing: a folder that is no
// repository is found by the first action, which says what to do.
func New(rb *runbook.Runbook) *Repo {
	c := rb.Repo
	c.Remote = cmp.Or(c.Remote, "origin")
	c.Model = cmp.Or(c.Model, "git-flow")
	c.Production = cmp.Or(c.Production, "production")
	c.Develop = cmp.Or(c.Develop, "develop")
	c.Main = cmp.Or(c.Main, "main")
	c.TagPrefix = cmp.Or(c.TagPrefix, "v")
	c.MaxChange.Warn = cmp.Or(c.MaxChange.Warn, 50)
	c.MaxChange.Lines = cmp.Or(c.MaxChange.Lines, 200)
	c.MaxChange.Files = cmp.Or(c.MaxChange.Files, 10)
	dir := c.Dir
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(rb.Dir, dir)
	}
	path, _ := exec.LookPath("git") // without one, go-git writes
	return &Repo{rb: rb, cfg: c, dir: dir, git: path, patience: lockPatience}
}

// Dir is the repository's folder.
func (r *Repo) Dir() string { return r.dir }

// Actions gives the action for each item of the catalogue that is git work.
func (r *Repo) Actions() map[string]steps.Action {
	return map[string]steps.Action{
		"1.state":    action{nil, r.survey},
		"3.baseline": action{r.previewBaseline, r.baseline},
		"3.branch":   action{r.previewBranch, r.branch},
		"3.push":     action{r.previewPush, r.pushBranch},
		"4.change":   action{r.previewChange, r.change},
		"6.commit":   action{r.previewCommit, r.commit},
		"7.version":  action{r.previewVersion, r.version},
		"7.tag":      action{r.previewTag, r.tag},
		"7.push":     action{r.previewRelease, r.pushRelease},
		"17.merge":   action{r.previewMerge, r.merge},
		"17.push":    action{r.previewMerged, r.pushMerged},
		"17.cleanup": action{r.previewCleanup, r.cleanup},
	}
}

type action struct {
	preview func(context.Context, steps.Job) (steps.Preview, error)
	run     func(context.Context, steps.Job) (steps.Outcome, error)
}

func (a action) Preview(ctx context.Context, job steps.Job) (steps.Preview, error) {
	if a.preview == nil {
		return steps.Preview{}, nil
	}
	return a.preview(ctx, job)
}

func (a action) Run(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	if job.Output == nil {
		job.Output = io.Discard
	}
	return a.run(ctx, job)
}

// Author is who wrote a commit, as git has it.
type Author struct{ Name, Email string }

func (a Author) String() string { return a.Name + " <" + a.Email + ">" }

// Author tells who wrote a commit, given by hash or name.
func (r *Repo) Author(_ context.Context, commit string) (Author, error) {
	v, err := r.open()
	if err != nil {
		return Author{}, err
	}
	c, err := v.commit(commit)
	if err != nil {
		return Author{}, err
	}
	return Author{Name: state.Clean(c.Author.Name), Email: state.Clean(c.Author.Email)}, nil
}

// Diff gives the unified diff between two revisions, cleaned for a terminal. An
// empty to means the files as they are now, uncommitted ones included.
func (r *Repo) Diff(ctx context.Context, from, to string) (string, error) {
	v, err := r.open()
	if err != nil {
		return "", err
	}
	m, err := r.measure(ctx, v, from, to)
	if err != nil {
		return "", err
	}
	return m.text, nil
}

// problem shortens the making of errors for people.
func problem(code, what, why, do string) error {
	return &state.Problem{Code: code, What: what, Why: why, Do: do}
}

// view is the repository as read at one moment.
type view struct {
	*git.Repository
	r *Repo
}

func (r *Repo) open() (*view, error) {
	g, err := git.PlainOpenWithOptions(r.dir, &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	switch {
	case errors.Is(err, git.ErrRepositoryNotExists):
		return nil, problem("not-a-repository", r.dir+" is not a git repository", "there is no .git folder in it or above it",
			"Start mayday in a clone of the service, or set repo.dir in the runbook.")
	case err != nil:
		return nil, problem("not-a-repository", "The git repository in "+r.dir+" cannot be read", state.Clean(err.Error()),
			"Try git status there.")
	}
	return &view{g, r}, nil
}

// head gives the commit and the branch that are checked out; the branch is empty
// on a detached HEAD.
func (v *view) head() (commit, branch string, err error) {
	h, err := v.Head()
	if err != nil {
		return "", "", problem("no-commits", "The repository has no commit checked out", state.Clean(err.Error()),
			"Check a branch out: git checkout "+v.r.cfg.Main)
	}
	if h.Name().IsBranch() {
		branch = h.Name().Short()
	}
	return h.Hash().String(), branch, nil
}

// ref gives what a full reference name points at, empty where there is none.
func (v *view) ref(name string) string {
	x, err := v.Reference(plumbing.ReferenceName(name), true)
	if err != nil {
		return ""
	}
	return x.Hash().String()
}

func (v *view) local(branch string) string { return v.ref("refs/heads/" + branch) }

// tracked gives where the remote's branch was when last seen.
func (v *view) tracked(branch string) string {
	return v.ref("refs/remotes/" + v.r.cfg.Remote + "/" + branch)
}

// onBranch insists that the hotfix branch is checked out and gives its head.
func (v *view) onBranch(job steps.Job) (head string, err error) {
	want := job.Fact("branch")
	if want == "" {
		return "", problem("no-branch", "There is no hotfix branch yet", "", "Run the item \"Hotfix branch\" of step 3 first.")
	}
	head, at, err := v.head()
	if err != nil || at == want {
		return head, err
	}
	where := "the checkout is on " + at
	if at == "" {
		where = "the checkout is on no branch (detached HEAD at " + short(head) + ")"
	}
	return "", problem("wrong-branch", "The hotfix branch "+want+" is not checked out", where,
		"Run git checkout "+want+" in "+v.r.dir+", and this item again.")
}

// hasRemote insists that the remote is configured.
func (v *view) hasRemote() error {
	if _, err := v.Remote(v.r.cfg.Remote); err != nil {
		return problem("no-remote", "The repository has no remote "+v.r.cfg.Remote, "",
			"Add it (git remote add "+v.r.cfg.Remote+" URL), or set repo.remote in the runbook.")
	}
	return nil
}

func short(hash string) string {
	if len(hash) > 7 {
		return hash[:7]
	}
	return hash
}

// plural writes "1 file", "2 files".
func plural(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(what, "y"))
	}
	return fmt.Sprintf("%d %ss", n, what)
}
