package repo

import (
	"context"
	"fmt"
	"strings"

	"mayday/state"
	"mayday/steps"
)

func (r *Repo) previewMerged(_ context.Context, job steps.Job) (steps.Preview, error) {
	lines := r.shown()
	for _, t := range r.targets() {
		lines = append(lines, typed(r.pushMergedArgs(job, t)))
	}
	return steps.Preview{Commands: lines}, nil
}

func (r *Repo) pushMergedArgs(job steps.Job, t target) []string {
	return []string{"push", r.cfg.Remote, kept(job, t) + ":refs/heads/" + t.branch}
}

// pushMerged pushes each merged branch, forward only, and verifies it.
func (r *Repo) pushMerged(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	var o steps.Outcome
	v, err := r.open()
	if err != nil {
		return o, err
	}
	if err := v.hasRemote(); err != nil {
		return o, err
	}
	want := map[string]string{}
	for _, t := range r.targets() {
		head := job.Fact("merged." + t.branch)
		if head == "" {
			return o, problem("not-merged", "The hotfix is not merged into "+t.branch+" yet", "", "Run the item \"Merged back\" first.")
		}
		want["refs/heads/"+t.branch] = head
	}
	there, err := r.lsRemote(ctx, keys(want)...)
	if err != nil {
		return o, err
	}
	for _, t := range r.targets() {
		ref := "refs/heads/" + t.branch
		if there[ref] == want[ref] || r.contains(v, there[ref], want[ref]) {
			want[ref] = there[ref] // pushed before; others may have pushed after us
			continue
		}
		if err := r.pushOne(ctx, job, t); err != nil {
			return o, err
		}
	}
	if o.Evidence, err = r.verify(ctx, want); err != nil {
		return o, err
	}
	var said []string
	for _, t := range r.targets() {
		said = append(said, t.branch+" at "+short(want["refs/heads/"+t.branch]))
		o.Evidence = append(o.Evidence, r.settle(ctx, job, t)...)
	}
	o.Summary = strings.Join(said, ", ") + " on " + r.cfg.Remote
	return o, nil
}

func keys(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	return out
}

// contains reports whether a commit is in what the remote has. What is not known
// here is not contained.
func (r *Repo) contains(v *view, there, commit string) bool {
	if there == "" {
		return false
	}
	in, err := v.isAncestor(commit, there)
	return err == nil && in
}

func (r *Repo) pushOne(ctx context.Context, job steps.Job, t target) error {
	err := r.run(ctx, job.Output, r.pushMergedArgs(job, t)...)
	switch {
	case state.HasCode(err, "moved"):
		p := *state.AsProblem(err)
		p.Do = "Somebody pushed to " + t.branch + " in the meantime; nothing was overwritten. Run \"Merged back\" again, then this item."
		return &p
	case state.HasCode(err, "push-refused"):
		p := *state.AsProblem(err)
		p.Do += " If " + t.branch + " takes pull requests only, open one from " + job.Fact("branch") + ", and override this item with its number."
		return &p
	}
	return err
}

// settle tidies up after a push: the kept reference goes, and the local branch
// follows where that is a fast-forward and nobody has it checked out. Neither
// matters enough to fail: what could not be done is said.
func (r *Repo) settle(ctx context.Context, job steps.Job, t target) []state.Evidence {
	v, err := r.open()
	if err != nil {
		return nil
	}
	var ev []state.Evidence
	if v.ref(kept(job, t)) != "" {
		if err := r.run(ctx, job.Output, "update-ref", "-d", kept(job, t)); err != nil {
			ev = append(ev, state.Evidence{Name: "left here", Value: kept(job, t)})
		}
	}
	if v.local(t.branch) == "" {
		return ev
	}
	if err := r.run(ctx, job.Output, "fetch", r.cfg.Remote, t.branch+":"+t.branch); err != nil {
		ev = append(ev, state.Evidence{Name: "local " + t.branch, Value: "left as it is: git pull --ff-only brings it up to date"})
	}
	return ev
}

func (r *Repo) previewCleanup(_ context.Context, job steps.Job) (steps.Preview, error) {
	v, err := r.open()
	if err != nil {
		return steps.Preview{}, err
	}
	b := job.Fact("branch")
	var lines [][]string
	if _, at, err := v.head(); err == nil && at == b {
		lines = append(lines, []string{"checkout", r.backTo(v, job)})
	}
	if v.local(b) != "" {
		lines = append(lines, []string{"branch", "-d", b})
	}
	if tip := v.tracked(b); tip != "" {
		lines = append(lines, r.deleteArgs(b, tip))
	}
	return steps.Preview{Commands: r.shown(lines...)}, nil
}

// deleteArgs deletes the remote's branch only while it is at tip: a commit that
// somebody pushes in the last second is not lost.
func (r *Repo) deleteArgs(branch, tip string) []string {
	return []string{"push", "--force-with-lease=refs/heads/" + branch + ":" + tip, r.cfg.Remote, ":refs/heads/" + branch}
}

// backTo is the branch that the operator came from, else production's.
func (r *Repo) backTo(v *view, job steps.Job) string {
	if from := job.Fact("branch.from"); from != "" && v.local(from) != "" {
		return from
	}
	return r.productionBranch()
}

// cleanup deletes the hotfix branch here and on the remote, if all of it is on
// the production branch there.
func (r *Repo) cleanup(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	var o steps.Outcome
	b := job.Fact("branch")
	if b == "" {
		return steps.Outcome{Unneeded: true, Summary: "there is no hotfix branch"}, nil
	}
	v, err := r.open()
	if err != nil {
		return o, err
	}
	if err := v.hasRemote(); err != nil {
		return o, err
	}
	if err := r.run(ctx, job.Output, r.fetchArgs()...); err != nil {
		return o, err
	}
	ref := "refs/heads/" + b
	there, err := r.lsRemote(ctx, ref)
	if err != nil {
		return o, err
	}
	if v, err = r.open(); err != nil {
		return o, err
	}
	for _, tip := range []string{v.local(b), there[ref]} {
		if err := r.isMerged(v, b, tip); err != nil {
			return o, err
		}
	}
	if err := r.deleteLocal(ctx, v, job, b); err != nil {
		return o, err
	}
	if tip := there[ref]; tip != "" {
		if err := r.run(ctx, job.Output, r.deleteArgs(b, tip)...); err != nil {
			return o, err
		}
	}
	if there, err = r.lsRemote(ctx, ref); err != nil {
		return o, err
	}
	if there[ref] != "" {
		return o, problem("not-verified", "The branch "+b+" is still on "+r.cfg.Remote, "somebody pushed it again", "Look who needs it, then run this item again.")
	}
	o.Summary = b + " deleted here and on " + r.cfg.Remote
	o.Evidence = []state.Evidence{{Name: "remote " + ref, Value: "gone"}, {Name: "merged into", Value: r.onRemote(r.targets()[0])}}
	return o, nil
}

// isMerged insists that a tip of the branch is in the remote's production branch.
func (r *Repo) isMerged(v *view, branch, tip string) error {
	if tip == "" {
		return nil
	}
	into := r.targets()[0]
	in, err := v.isAncestor(tip, v.tracked(into.branch))
	if err != nil {
		return err
	}
	if !in {
		return problem("not-merged", "The branch "+branch+" is not deleted: it is not all merged", fmt.Sprintf("its commit %s is not in %s", short(tip), r.onRemote(into)),
			"Merge it first, or keep the branch and override this item.")
	}
	return nil
}

func (r *Repo) deleteLocal(ctx context.Context, v *view, job steps.Job, b string) error {
	if v.local(b) == "" {
		return nil
	}
	if _, at, err := v.head(); err != nil {
		return err
	} else if at == b {
		dirty, err := r.dirty(ctx, v)
		if err != nil {
			return err
		}
		if len(dirty) > 0 {
			return dirtyCheckout(b, dirty)
		}
		if err := r.run(ctx, job.Output, "checkout", r.backTo(v, job)); err != nil {
			return err
		}
	}
	return r.run(ctx, job.Output, "branch", "-d", b)
}

func dirtyCheckout(branch string, paths []string) error {
	p := *state.AsProblem(dirtyTree(paths))
	p.What = "The branch " + branch + " is checked out, with " + plural(len(paths), "file") + " not committed"
	p.Do = "Put them away (git stash -u), then run this item again; or keep the branch and override this item."
	return &p
}
