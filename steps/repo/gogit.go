package repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	git "github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"

	"mayday/state"
)

// writer makes the basic changes. There are two: the operator's git, and go-git
// where there is none.
type writer interface {
	fetch(ctx context.Context, out io.Writer) error
	// branch makes a branch at a commit and checks it out; an empty at checks an
	// existing one out.
	branch(ctx context.Context, out io.Writer, name, at string) error
	// commit records exactly these paths.
	commit(ctx context.Context, out io.Writer, message []string, paths []string) error
	tag(ctx context.Context, out io.Writer, name, message, commit string) error
	push(ctx context.Context, out io.Writer, refs ...string) error
}

func (r *Repo) writer() writer {
	if r.git != "" {
		return byGit{r}
	}
	return byGoGit{r}
}

// writtenBy is evidence of who wrote, where it was not git; nil where it was.
func (r *Repo) writtenBy() []state.Evidence {
	if r.git != "" {
		return nil
	}
	return []state.Evidence{{Name: "written by", Value: "go-git, as there is no git program here: no hooks, signing or credential helpers took part"}}
}

type byGit struct{ r *Repo }

func (w byGit) fetch(ctx context.Context, out io.Writer) error {
	return w.r.run(ctx, out, w.r.fetchArgs()...)
}

func (w byGit) branch(ctx context.Context, out io.Writer, name, at string) error {
	return w.r.run(ctx, out, branchArgs(name, at)...)
}

func (w byGit) commit(ctx context.Context, out io.Writer, message []string, paths []string) error {
	for _, args := range commitArgs(message, paths) {
		if err := w.r.run(ctx, out, args...); err != nil {
			return err
		}
	}
	return nil
}

func (w byGit) tag(ctx context.Context, out io.Writer, name, message, commit string) error {
	return w.r.run(ctx, out, tagArgs(name, message, commit)...)
}

func (w byGit) push(ctx context.Context, out io.Writer, refs ...string) error {
	return w.r.run(ctx, out, w.r.pushArgs(refs...)...)
}

// The commands, once for running and once for showing them beforehand.

func (r *Repo) fetchArgs() []string { return []string{"fetch", "--tags", r.cfg.Remote} }

func branchArgs(name, at string) []string {
	if at == "" {
		return []string{"checkout", name}
	}
	return []string{"checkout", "--no-track", "-b", name, at}
}

func commitArgs(message []string, paths []string) [][]string {
	add := append([]string{"add", "--all", "--"}, paths...)
	commit := []string{"commit"}
	for _, m := range message {
		commit = append(commit, "-m", m)
	}
	return [][]string{add, append(append(commit, "--"), paths...)}
}

func tagArgs(name, message, commit string) []string {
	return []string{"tag", "-a", name, "-m", message, commit}
}

func (r *Repo) pushArgs(refs ...string) []string {
	return append([]string{"push", "-u", r.cfg.Remote}, refs...)
}

// byGoGit writes in process.
type byGoGit struct{ r *Repo }

// say announces what git would have been asked.
func (w byGoGit) say(out io.Writer, args []string) error {
	_, err := fmt.Fprintln(out, "(by go-git, there is no git program here) "+typed(args))
	return err
}

func (w byGoGit) fetch(ctx context.Context, out io.Writer) error {
	v, err := w.r.open()
	if err != nil {
		return err
	}
	if err := w.say(out, w.r.fetchArgs()); err != nil {
		return err
	}
	err = v.FetchContext(ctx, &git.FetchOptions{RemoteName: w.r.cfg.Remote, Tags: git.AllTags})
	return w.remote("fetch", err)
}

func (w byGoGit) remote(what string, err error) error {
	switch {
	case err == nil, errors.Is(err, git.NoErrAlreadyUpToDate):
		return nil
	case strings.Contains(err.Error(), "non-fast-forward"):
		return problem("moved", "The "+what+" was refused", state.Clean(err.Error()), "Somebody pushed in the meantime. Look at their commits first.")
	}
	return problem("remote", "The "+what+" failed", state.Clean(err.Error()),
		"Check the network and the remote's address; git itself, once installed, knows more ways to sign in.")
}

func (w byGoGit) branch(_ context.Context, out io.Writer, name, at string) error {
	v, err := w.r.open()
	if err != nil {
		return err
	}
	if err := w.say(out, branchArgs(name, at)); err != nil {
		return err
	}
	wt, err := v.Worktree()
	if err != nil {
		return fmt.Errorf("open the working tree: %w", err)
	}
	o := &git.CheckoutOptions{Branch: plumbing.NewBranchReferenceName(name), Keep: true}
	if at != "" {
		c, err := v.commit(at)
		if err != nil {
			return err
		}
		o.Hash, o.Create = c.Hash, true
	}
	// go-git's Keep would leave the old files in place; without it changes are lost.
	if dirty, err := w.r.dirty(context.Background(), v); err != nil || len(dirty) == 0 {
		o.Keep = false
	} else {
		return dirtyTree(dirty)
	}
	if err := wt.Checkout(o); err != nil {
		return problem("git", "The branch "+name+" could not be checked out", state.Clean(err.Error()), "Install git, and try it by hand.")
	}
	return nil
}

func (w byGoGit) commit(_ context.Context, out io.Writer, message []string, paths []string) error {
	v, err := w.r.open()
	if err != nil {
		return err
	}
	for _, args := range commitArgs(message, paths) {
		if err := w.say(out, args); err != nil {
			return err
		}
	}
	wt, err := v.Worktree()
	if err != nil {
		return fmt.Errorf("open the working tree: %w", err)
	}
	for _, p := range paths {
		if _, err := wt.Add(p); err != nil {
			return fmt.Errorf("add %s: %w", state.Clean(p), err)
		}
	}
	if _, err := wt.Commit(strings.Join(message, "\n\n")+"\n", &git.CommitOptions{}); err != nil {
		return problem("no-identity", "The commit could not be made", state.Clean(err.Error()), "Set user.name and user.email in ~/.gitconfig.")
	}
	return nil
}

func (w byGoGit) tag(_ context.Context, out io.Writer, name, message, commit string) error {
	v, err := w.r.open()
	if err != nil {
		return err
	}
	if err := w.say(out, tagArgs(name, message, commit)); err != nil {
		return err
	}
	c, err := v.commit(commit)
	if err != nil {
		return err
	}
	if _, err := v.CreateTag(name, c.Hash, &git.CreateTagOptions{Message: message}); err != nil {
		return problem("git", "The tag "+name+" could not be made", state.Clean(err.Error()), "Set user.name and user.email in ~/.gitconfig.")
	}
	return nil
}

func (w byGoGit) push(ctx context.Context, out io.Writer, refs ...string) error {
	v, err := w.r.open()
	if err != nil {
		return err
	}
	if err := w.say(out, w.r.pushArgs(refs...)); err != nil {
		return err
	}
	var specs []config.RefSpec
	for _, ref := range refs {
		if !strings.HasPrefix(ref, "refs/") {
			ref = "refs/heads/" + ref
		}
		specs = append(specs, config.RefSpec(ref+":"+ref))
	}
	err = v.PushContext(ctx, &git.PushOptions{RemoteName: w.r.cfg.Remote, RefSpecs: specs})
	return w.remote("push", err)
}

// goLsRemote lists all of the remote's references; tags come with their commits
// under "^{}" as git has it.
func (r *Repo) goLsRemote(ctx context.Context) (map[string]string, error) {
	v, err := r.open()
	if err != nil {
		return nil, err
	}
	remote, err := v.Remote(r.cfg.Remote)
	if err != nil {
		return nil, fmt.Errorf("open the remote: %w", err)
	}
	refs, err := remote.ListContext(ctx, &git.ListOptions{PeelingOption: git.AppendPeeled})
	if err != nil {
		return nil, byGoGit{r}.remote("look at the remote", err)
	}
	heads := map[string]string{}
	for _, ref := range refs {
		heads[ref.Name().String()] = ref.Hash().String()
	}
	return heads, nil
}
