package repo

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"golang.org/x/mod/semver"

	"mayday/state"
)

// commit resolves a hash, tag or branch to its commit.
func (v *view) commit(rev string) (*object.Commit, error) {
	h, err := v.ResolveRevision(plumbing.Revision(rev))
	if err == nil {
		var c *object.Commit
		if c, err = v.CommitObject(*h); err == nil {
			return c, nil
		}
	}
	return nil, problem("unknown-revision", "There is no commit "+state.Clean(rev)+" in "+v.r.dir, state.Clean(err.Error()),
		"Check the name; git fetch --tags "+v.r.cfg.Remote+" brings what is new.")
}

// tag is a version tag: the prefix of the runbook and a semantic version.
type tag struct {
	name   string
	commit string
	object string // the tag object's hash; the commit's for a lightweight tag
	when   time.Time
}

func (t tag) annotated() bool { return t.object != t.commit }

// versionOf gives a tag name's version as golang.org/x/mod/semver wants it
// ("v1.2.3"), empty where it is none.
func (r *Repo) versionOf(name string) string {
	bare, ok := strings.CutPrefix(name, r.cfg.TagPrefix)
	if v := "v" + bare; ok && semver.IsValid(v) {
		return v
	}
	return ""
}

// tags lists the version tags, newest version first.
func (v *view) tags() ([]tag, error) {
	it, err := v.Tags()
	if err != nil {
		return nil, fmt.Errorf("read the tags: %w", err)
	}
	var out []tag
	err = it.ForEach(func(ref *plumbing.Reference) error {
		if v.r.versionOf(ref.Name().Short()) == "" {
			return nil
		}
		c, err := v.peel(ref.Hash())
		if err != nil {
			return nil // a tag of something that is no commit is no release
		}
		out = append(out, tag{ref.Name().Short(), c.Hash.String(), ref.Hash().String(), c.Committer.When})
		return nil
	})
	slices.SortFunc(out, func(a, b tag) int {
		return cmp.Or(semver.Compare(v.r.versionOf(b.name), v.r.versionOf(a.name)), cmp.Compare(b.name, a.name))
	})
	return out, err
}

// Tags names the newest version tags, at most n; none where there is no repository.
func (r *Repo) Tags(n int) []string {
	v, err := r.open()
	if err != nil {
		return nil
	}
	all, _ := v.tags() // those that could be read
	var out []string
	for _, t := range all[:min(len(all), n)] {
		out = append(out, t.name)
	}
	return out
}

func (v *view) peel(h plumbing.Hash) (*object.Commit, error) {
	t, err := v.TagObject(h)
	if err == nil {
		return t.Commit()
	}
	return v.CommitObject(h)
}

// findTag gives a tag by its name, version tag or not.
func (v *view) findTag(name string) (tag, bool) {
	ref, err := v.Reference(plumbing.NewTagReferenceName(name), true)
	if err != nil {
		return tag{}, false
	}
	t := tag{name: name, commit: ref.Hash().String(), object: ref.Hash().String()}
	if c, err := v.peel(ref.Hash()); err == nil {
		t.commit, t.when = c.Hash.String(), c.Committer.When
	}
	return t, true
}

// description is what git describe --tags says.
type description struct {
	tag    tag // its name is empty where no tag is reachable
	ahead  int // commits since the tag
	commit string
}

func (d description) String() string {
	switch {
	case d.tag.name == "":
		return "no tags found"
	case d.ahead == 0:
		return d.tag.name
	}
	return fmt.Sprintf("%s-%d-g%s", d.tag.name, d.ahead, short(d.commit))
}

// describeTags is how many tags, going back in time, describe weighs.
const describeTags = 5

// describe finds the version tag that a commit is, or has the fewest commits
// beyond.
func (v *view) describe(commit string) (description, error) {
	d := description{commit: commit}
	tags, err := v.tags()
	if err != nil {
		return d, err
	}
	at := map[string]tag{}
	for _, t := range slices.Backward(tags) { // of two on one commit the newer stays
		at[t.commit] = t
	}
	var near []tag
	err = v.back(commit, func(c *object.Commit) error {
		if t, ok := at[c.Hash.String()]; ok {
			near = append(near, t)
		}
		if len(near) == min(describeTags, len(at)) {
			return storer.ErrStop
		}
		return nil
	})
	if err != nil {
		return d, err
	}
	for _, t := range near {
		since, err := v.between(t.commit, commit)
		if err != nil {
			return d, err
		}
		if d.tag.name == "" || len(since) < d.ahead {
			d.tag, d.ahead = t, len(since)
		}
	}
	return d, nil
}

// back visits a commit and what came before it, newest first, until visit gives
// storer.ErrStop.
func (v *view) back(commit string, visit func(*object.Commit) error) error {
	c, err := v.commit(commit)
	if err != nil {
		return err
	}
	it, err := v.Log(&git.LogOptions{From: c.Hash, Order: git.LogOrderCommitterTime})
	if err != nil {
		return fmt.Errorf("read the history: %w", err)
	}
	err = it.ForEach(visit)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil // a shallow clone ends here
	}
	return err
}

// Which of two commits reaches a third.
const (
	fromTo   = 1
	fromFrom = 2
)

// between lists the commits reachable from to and not from from, newest first.
func (v *view) between(from, to string) ([]*object.Commit, error) {
	reach := map[plumbing.Hash]int{}
	q := &queue{}
	push := func(h plumbing.Hash, by int) error {
		if reach[h]|by == reach[h] {
			return nil
		}
		reach[h] |= by
		c, err := v.CommitObject(h)
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			return nil // a shallow clone ends here
		}
		if err != nil {
			return fmt.Errorf("read commit %s: %w", short(h.String()), err)
		}
		heap.Push(q, c)
		return nil
	}
	for by, rev := range map[int]string{fromTo: to, fromFrom: from} {
		c, err := v.commit(rev)
		if err != nil {
			return nil, err
		}
		if err := push(c.Hash, by); err != nil {
			return nil, err
		}
	}
	var found []*object.Commit
	// Done when nothing in the queue can add a commit or take a found one away:
	// what is left is older than all that was found, and known to from.
	open := func() bool {
		last := len(found) - 1
		return slices.ContainsFunc(*q, func(c *object.Commit) bool {
			return reach[c.Hash] == fromTo || last >= 0 && !c.Committer.When.Before(found[last].Committer.When)
		})
	}
	for open() {
		c := heap.Pop(q).(*object.Commit)
		if reach[c.Hash] == fromTo {
			found = append(found, c)
		}
		for _, p := range c.ParentHashes {
			if err := push(p, reach[c.Hash]); err != nil {
				return nil, err
			}
		}
	}
	return slices.DeleteFunc(found, func(c *object.Commit) bool { return reach[c.Hash] != fromTo }), nil
}

// queue gives the newest commit first.
type queue []*object.Commit

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].Committer.When.After(q[j].Committer.When) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(*object.Commit)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// isAncestor reports whether all of a is in b.
func (v *view) isAncestor(a, b string) (bool, error) {
	if a == b {
		return true, nil
	}
	ca, err := v.commit(a)
	if err != nil {
		return false, err
	}
	cb, err := v.commit(b)
	if err != nil {
		return false, err
	}
	return ca.IsAncestor(cb)
}

// log gives the last n commits of a branch, one line each.
func (v *view) log(commit string, n int) ([]string, error) {
	var out []string
	err := v.back(commit, func(c *object.Commit) error {
		subject, _, _ := strings.Cut(c.Message, "\n")
		out = append(out, fmt.Sprintf("%s %s %s, %s", short(c.Hash.String()), c.Committer.When.UTC().Format("2006-01-02 15:04"),
			state.Clean(subject), state.Clean(c.Author.Name)))
		if len(out) == n {
			return storer.ErrStop
		}
		return nil
	})
	return out, err
}

// dirty lists the paths with changes that are not committed, untracked ones
// included, ignored ones and the runbook itself (where it is untracked) not.
func (r *Repo) dirty(ctx context.Context, v *view) ([]string, error) {
	var paths []string
	var err error
	if r.git != "" {
		paths, err = r.gitStatus(ctx)
	} else {
		paths, err = v.goStatus()
	}
	slices.Sort(paths)
	return slices.Compact(paths), err
}

// top is the folder that paths of the repository start from.
func (v *view) top() (string, error) {
	w, err := v.Worktree()
	if err != nil {
		return "", problem("bare", v.r.dir+" is a bare repository", state.Clean(err.Error()),
			"Use a clone with files in it: repo.dir in the runbook.")
	}
	return w.Filesystem.Root(), nil
}

func (v *view) goStatus() ([]string, error) {
	w, err := v.Worktree()
	if err != nil {
		return nil, fmt.Errorf("read the working tree: %w", err)
	}
	st, err := w.Status()
	if err != nil {
		return nil, fmt.Errorf("read the state of the working tree: %w", err)
	}
	var out []string
	for path, s := range st {
		if s.Worktree == ' ' && s.Staging == ' ' || s.Worktree == '?' && v.r.isRunbook(w.Filesystem.Root(), path) {
			continue
		}
		out = append(out, path)
	}
	return out, nil
}

// isRunbook reports whether a path of the repository is the runbook: a file that
// mayday init may just have written, and no part of any fix.
func (r *Repo) isRunbook(top, path string) bool {
	if r.rb.Path == "" {
		return false
	}
	at, err := filepath.EvalSymlinks(filepath.Join(top, path))
	if err != nil {
		return false
	}
	book, err := filepath.EvalSymlinks(r.rb.Path)
	return err == nil && at == book
}
