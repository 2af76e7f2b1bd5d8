package repo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mayday/state"
	"mayday/steps"
)

// way is how the hotfix comes into a branch.
type way int

const (
	byMerge   way = iota // merge --no-ff
	byForward            // fast-forward only
	byPick               // cherry-pick
)

// target is one branch that the hotfix goes back to.
type target struct {
	branch string
	way    way
}

// targets gives the model's branches, production first.
func (r *Repo) targets() []target {
	switch r.cfg.Model {
	case "trunk":
		return []target{{r.cfg.Production, byForward}, {r.cfg.Main, byPick}}
	case "main":
		return []target{{r.cfg.Main, byMerge}}
	}
	return []target{{r.cfg.Production, byMerge}, {r.cfg.Develop, byMerge}}
}

// kept is the reference that keeps a finished merge until it is pushed.
func kept(job steps.Job, t target) string { return "refs/mayday/" + job.Incident.ID + "/" + t.branch }

// place is the worktree in which a branch is merged: inside the .git folder, so
// the operator's checkout stays as it is, and found again after a crash.
func (r *Repo) place(ctx context.Context, job steps.Job, t target) (string, error) {
	out, err := r.read(ctx, "rev-parse", "--path-format=absolute", "--git-common-dir")
	if err != nil {
		return "", err
	}
	return filepath.Join(strings.TrimSpace(out), "mayday", job.Incident.ID, strings.ReplaceAll(t.branch, "/", "-")), nil
}

// released gives the branch, the released commit and its baseline, and insists
// that the branch holds nothing beyond the release.
func (r *Repo) released(v *view, job steps.Job) (branch, commit, base string, err error) {
	branch, commit, base = job.Fact("branch"), job.Fact("commit"), job.Fact("baseline.commit")
	if branch == "" || commit == "" || base == "" {
		return "", "", "", problem("no-commit", "There is no hotfix to merge back", "branch, commit or baseline is not known", "Go through steps 3 to 7 first.")
	}
	if head := v.local(branch); head != "" && head != commit {
		return "", "", "", problem("branch-moved", "The branch "+branch+" moved after the release", "it is at "+short(head)+", what was released is "+short(commit),
			"Nobody approved what came after: move it to a branch of its own (git branch NAME "+branch+"; git branch -f "+branch+" "+short(commit)+").")
	}
	return branch, commit, base, nil
}

func (r *Repo) previewMerge(ctx context.Context, job steps.Job) (steps.Preview, error) {
	v, err := r.open()
	if err != nil {
		return steps.Preview{}, err
	}
	branch, commit, _, err := r.released(v, job)
	if err != nil {
		return steps.Preview{}, err
	}
	lines := r.shown(r.fetchArgs())
	for _, t := range r.targets() {
		if t.way == byForward {
			lines = append(lines, typed([]string{"merge-base", "--is-ancestor", r.onRemote(t), commit}), typed([]string{"update-ref", kept(job, t), commit}))
			continue
		}
		at, err := r.place(ctx, job, t)
		if err != nil {
			return steps.Preview{}, err
		}
		lines = append(lines, typed([]string{"worktree", "add", "--detach", at, r.onRemote(t)}))
		if t.way == byMerge {
			lines = append(lines, typed(mergeArgs(at, t, branch, commit)))
		} else {
			picks, err := r.picks(ctx, job, t)
			if err != nil { // the branch may not be fetched yet
				picks = []string{job.Fact("baseline.commit") + ".." + commit}
			}
			lines = append(lines, typed(pickArgs(at, picks)))
		}
		lines = append(lines, typed([]string{"update-ref", kept(job, t), "HEAD"}), typed([]string{"worktree", "remove", at}))
	}
	return steps.Preview{Commands: lines, Text: "Your checkout is not touched: the merges are made in worktrees inside .git. Nothing is pushed yet."}, nil
}

func (r *Repo) onRemote(t target) string { return r.cfg.Remote + "/" + t.branch }

func mergeArgs(at string, t target, branch, commit string) []string {
	return []string{"-C", at, "merge", "--no-ff", "-m", "Merge " + branch + " into " + t.branch, commit}
}

func pickArgs(at string, picks []string) []string {
	return append([]string{"-C", at, "cherry-pick", "-x"}, picks...)
}

// merge makes the merges that the model asks for and keeps them for 17.push.
func (r *Repo) merge(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	var o steps.Outcome
	v, err := r.open()
	if err != nil {
		return o, err
	}
	if err := v.hasRemote(); err != nil {
		return o, err
	}
	_, commit, base, err := r.released(v, job)
	if err != nil {
		return o, err
	}
	if err := r.run(ctx, job.Output, r.fetchArgs()...); err != nil {
		return o, err
	}
	if v, err = r.open(); err != nil {
		return o, err
	}
	if err := r.approved(v, job, commit); err != nil {
		return o, err
	}
	o.Facts = map[string]string{}
	var said []string
	for _, t := range r.targets() {
		head, text, err := r.mergeInto(ctx, job, t, commit, base)
		if err != nil {
			return o, err
		}
		said = append(said, text)
		o.Facts["merged."+t.branch] = head
		o.Evidence = append(o.Evidence, state.Evidence{Name: "merged into " + t.branch, Value: head})
	}
	o.Summary = strings.Join(said, "; ")
	return o, nil
}

// mergeInto brings the commit into one branch. head is what the branch will be.
func (r *Repo) mergeInto(ctx context.Context, job steps.Job, t target, commit, base string) (head, text string, err error) {
	v, err := r.open()
	if err != nil {
		return "", "", err
	}
	tip := v.tracked(t.branch)
	if tip == "" {
		return "", "", problem("no-branch", "There is no branch "+t.branch+" on "+r.cfg.Remote, "the model "+r.cfg.Model+" merges back into it",
			"Make it, or correct repo.model and the branch names in the runbook.")
	}
	done, err := v.isAncestor(commit, tip)
	if err != nil {
		return "", "", err
	}
	if done {
		return tip, t.branch + " has it already", nil
	}
	if have := v.ref(kept(job, t)); have != "" && r.contains(v, have, tip) {
		if t.way == byPick || r.contains(v, have, commit) {
			return have, t.branch + " at " + short(have) + " (made before)", nil
		}
	}
	switch t.way {
	case byForward:
		return r.forward(ctx, v, job, t, tip, commit, base)
	case byPick:
		return r.pick(ctx, job, t, tip)
	default:
		// A branch of development may get what production runs: release merges that
		// were never merged back are no danger there.
		if t.branch == r.cfg.Production {
			if err := v.onlyApproved(t, tip, commit, base); err != nil {
				return "", "", err
			}
		}
		return r.inWorktree(ctx, job, t, tip, func(at string) []string { return mergeArgs(at, t, job.Fact("branch"), commit) })
	}
}

// onlyApproved refuses to bring commits into a branch that are neither there nor
// part of the hotfix: they came from under the baseline, and nobody looked at
// them for this release.
func (v *view) onlyApproved(t target, tip, commit, base string) error {
	ship, err := v.between(tip, commit)
	if err != nil {
		return err
	}
	ours, err := v.between(base, commit)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, c := range ours {
		known[c.Hash.String()] = true
	}
	var foreign []string
	for _, c := range ship {
		if !known[c.Hash.String()] {
			subject, _, _ := strings.Cut(c.Message, "\n")
			foreign = append(foreign, short(c.Hash.String())+" "+state.Clean(subject))
		}
	}
	if len(foreign) == 0 {
		return nil
	}
	return problem("unapproved-commits", fmt.Sprintf("%s would get %s that nobody approved", t.branch, plural(len(foreign), "commit")),
		strings.Join(foreign[:min(len(foreign), 5)], "; "),
		"They are below the baseline and not in "+t.branch+". Bring them there by your normal process first, or start the hotfix from "+t.branch+"'s own tag.")
}

// forward moves production to the commit without a merge.
func (r *Repo) forward(ctx context.Context, v *view, job steps.Job, t target, tip, commit, base string) (head, text string, err error) {
	ok, err := v.isAncestor(tip, commit)
	if err != nil {
		return "", "", err
	}
	if !ok {
		extra, err := v.between(commit, tip)
		if err != nil {
			return "", "", err
		}
		return "", "", problem("moved", t.branch+" cannot be fast-forwarded to "+short(commit),
			r.onRemote(t)+" has "+plural(len(extra), "commit")+" that the hotfix does not have",
			"Nothing was changed. Rebase the hotfix on "+r.onRemote(t)+", let it be approved and released again; or merge by hand.")
	}
	if err := v.onlyApproved(t, tip, commit, base); err != nil {
		return "", "", err
	}
	if err := r.run(ctx, job.Output, "update-ref", kept(job, t), commit); err != nil {
		return "", "", err
	}
	return commit, t.branch + " forward to " + short(commit), nil
}

// picks lists the hotfix's commits that a branch has not, in neither form, oldest
// first.
func (r *Repo) picks(ctx context.Context, job steps.Job, t target) ([]string, error) {
	out, err := r.read(ctx, "rev-list", "--reverse", "--no-merges", "--cherry-pick", "--right-only",
		r.onRemote(t)+"..."+job.Fact("commit"), "^"+job.Fact("baseline.commit"))
	return strings.Fields(out), err
}

func (r *Repo) pick(ctx context.Context, job steps.Job, t target, tip string) (head, text string, err error) {
	picks, err := r.picks(ctx, job, t)
	if err != nil {
		return "", "", err
	}
	if len(picks) == 0 {
		return tip, t.branch + " has the same changes already", nil
	}
	return r.inWorktree(ctx, job, t, tip, func(at string) []string { return pickArgs(at, picks) })
}

// inWorktree runs a merge or cherry-pick on the remote's branch in a worktree of
// its own. After a conflict the worktree stays for a person; the next run goes on
// with what the person made of it.
func (r *Repo) inWorktree(ctx context.Context, job steps.Job, t target, tip string, args func(at string) []string) (head, text string, err error) {
	at, err := r.place(ctx, job, t)
	if err != nil {
		return "", "", err
	}
	resumed, err := r.resumed(ctx, at, t, tip, job.Fact("commit"))
	if err != nil {
		return "", "", err
	}
	if !resumed {
		if err := r.freshWorktree(ctx, job, at, r.onRemote(t)); err != nil {
			return "", "", err
		}
		if err := r.run(ctx, job.Output, args(at)...); err != nil {
			return "", "", r.stopped(ctx, at, t, err)
		}
	}
	out, err := r.read(ctx, "-C", at, "rev-parse", "HEAD")
	if err != nil {
		return "", "", err
	}
	head = strings.TrimSpace(out)
	if err := r.run(ctx, job.Output, "update-ref", kept(job, t), head); err != nil {
		return "", "", err
	}
	return head, t.branch + " at " + short(head), r.run(ctx, job.Output, "worktree", "remove", at)
}

// freshWorktree makes the worktree, in place of one that a crash left.
func (r *Repo) freshWorktree(ctx context.Context, job steps.Job, at, from string) error {
	if _, err := os.Stat(at); err == nil {
		if err := r.run(ctx, job.Output, "worktree", "remove", at); err != nil {
			return err // it holds changes that somebody made: they are not ours to delete
		}
	}
	return r.run(ctx, job.Output, "worktree", "add", "--detach", at, from)
}

// resumed looks at a worktree that an earlier run left: true means that the merge
// in it is complete, an error that it still waits for a person.
func (r *Repo) resumed(ctx context.Context, at string, t target, tip, commit string) (bool, error) {
	if _, err := os.Stat(filepath.Join(at, ".git")); err != nil {
		return false, nil
	}
	unfinished, err := r.unfinished(ctx, at)
	if err != nil {
		return false, err
	}
	if unfinished != "" {
		return false, r.stopped(ctx, at, t, nil)
	}
	out, err := r.read(ctx, "-C", at, "rev-parse", "HEAD")
	if err != nil {
		return false, err
	}
	head := strings.TrimSpace(out)
	v, err := r.open()
	if err != nil {
		return false, err
	}
	old, err := r.read(ctx, "merge-base", head, r.onRemote(t))
	if err != nil {
		return false, err
	}
	if head == strings.TrimSpace(old) {
		return false, nil // nothing was made here, or it was given up
	}
	if t.way == byMerge {
		if has, err := v.isAncestor(commit, head); err != nil || !has {
			return false, err
		}
	}
	if on, err := v.isAncestor(tip, head); err != nil || on {
		return on, err
	}
	return false, problem("moved", t.branch+" moved on "+r.cfg.Remote+" while its merge waited", "the merge in "+at+" is on an older commit",
		"Bring it up to date: "+typed([]string{"-C", at, "merge", r.onRemote(t)})+". Then run this item again.")
}

// unfinished names the operation that waits in a worktree; empty: none.
func (r *Repo) unfinished(ctx context.Context, at string) (string, error) {
	for _, op := range []struct{ file, name string }{{"MERGE_HEAD", "merge"}, {"CHERRY_PICK_HEAD", "cherry-pick"}, {"sequencer", "cherry-pick"}} {
		out, err := r.read(ctx, "-C", at, "rev-parse", "--path-format=absolute", "--git-path", op.file)
		if err != nil {
			return "", err
		}
		if _, err := os.Stat(strings.TrimSpace(out)); err == nil {
			return op.name, nil
		}
	}
	return "", nil
}

// stopped says in which state a merge stopped and how to go on. cause is the
// error of the command that stopped; nil where it was found stopped.
func (r *Repo) stopped(ctx context.Context, at string, t target, cause error) error {
	op, err := r.unfinished(ctx, at)
	if err != nil {
		return err
	}
	if op == "" || state.HasCode(cause, "cancelled") {
		return cause
	}
	out, err := r.read(ctx, "-C", at, "diff", "--name-only", "-z", "--diff-filter=U")
	if err != nil {
		return err
	}
	var files []string
	for f := range strings.SplitSeq(out, "\x00") {
		if f != "" {
			files = append(files, state.Clean(f))
		}
	}
	slices.Sort(files)
	goOn, giveUp := "git commit --no-edit", "git merge --abort"
	if op == "cherry-pick" {
		goOn, giveUp = "git cherry-pick --continue (or --skip a commit that "+t.branch+" does not need)", "git cherry-pick --abort"
	}
	why := "in conflict: " + strings.Join(files, ", ")
	if len(files) == 0 {
		why = "the conflicts are resolved, and the " + op + " is not concluded"
		if cause != nil {
			why = state.AsProblem(cause).Why
		}
	}
	return problem("conflict", "The "+op+" into "+t.branch+" stopped", why+". Nothing was pushed; your checkout is untouched",
		fmt.Sprintf("cd %s; correct the files; git add them; %s. Then run this item again. To give up: %s there.", quoteOne(at), goOn, giveUp))
}
