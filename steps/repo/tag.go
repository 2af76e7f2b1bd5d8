package repo

import (
	"cmp"
	"context"
	"slices"
	"time"

	"mayday/state"
	"mayday/steps"
)

func sortEvidence(ev []state.Evidence) {
	slices.SortFunc(ev, func(a, b state.Evidence) int { return cmp.Compare(a.Name, b.Name) })
}

func tagMessage(job steps.Job) string {
	return "Hotfix " + job.Fact("version") + ": " + state.Clean(job.Incident.Title)
}

func (r *Repo) previewTag(_ context.Context, job steps.Job) (steps.Preview, error) {
	return steps.Preview{Commands: r.shown(tagArgs(job.Fact("version"), tagMessage(job), job.Fact("commit")))}, nil
}

// tag makes the annotated tag on the version's commit. A tag of that name at that
// commit is taken as made; anywhere else it is refused.
func (r *Repo) tag(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	var o steps.Outcome
	name, commit := job.Fact("version"), job.Fact("commit")
	if name == "" || commit == "" {
		return o, problem("no-version", "The version is not decided yet", "", "Run the item \"Next version\" first.")
	}
	v, err := r.open()
	if err != nil {
		return o, err
	}
	if err := r.approved(v, job, commit); err != nil {
		return o, err
	}
	t, ok := v.findTag(name)
	// Without an answer it goes on: the tag is made here alone, and the push asks again.
	if there, err := r.tagsThere(ctx); err == nil && foreign(there, tag{name: name, object: t.object}) {
		return o, r.takenThere(name, there["refs/tags/"+name], ok)
	}
	if !ok {
		if err := r.writer().tag(ctx, job.Output, name, tagMessage(job), commit); err != nil {
			return o, err
		}
		if v, err = r.open(); err != nil {
			return o, err
		}
		t, _ = v.findTag(name)
	}
	switch {
	case t.commit != commit:
		return o, problem("tag-exists", "The tag "+name+" exists at another commit", "it is at "+short(t.commit)+", the version's commit is "+short(commit),
			"A tag is never moved. Run \"Next version\" again: it takes the next free one.")
	case !t.annotated():
		return o, problem("tag-exists", "The tag "+name+" exists, and is not annotated", "somebody made it by hand with git tag "+name,
			"Delete it if nobody has it (git tag -d "+name+"), then run this item again.")
	}
	o.Summary = name + " at " + short(commit)
	o.Evidence = append([]state.Evidence{{Name: "tag", Value: name}, {Name: "tag object", Value: t.object}, {Name: "commit", Value: t.commit}}, r.writtenBy()...)
	o.Facts = map[string]string{"tag": name, "tag.commit": t.commit}
	return o, nil
}

// askSoon bounds a look at the remote's tags that something can do without, real time.
const askSoon = 15 * time.Second

// tagsThere asks the remote for its tags: by the whole name of the reference, the hash
// that it holds. Somebody else's hotfix may have been pushed since the last fetch.
func (r *Repo) tagsThere(ctx context.Context) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askSoon)
	defer cancel()
	return r.lsRemote(ctx, "refs/tags/*")
}

// foreign reports whether the remote has a tag of this name that is not this one.
func foreign(there map[string]string, t tag) bool {
	hash, ok := there["refs/tags/"+t.name]
	return ok && hash != t.object
}

// takenThere refuses a version that somebody else has released meanwhile.
func (r *Repo) takenThere(name, hash string, here bool) error {
	do := "Look at theirs (git fetch " + r.cfg.Remote + " tag " + name + "; git show " + name + "): is it the same fix? "
	if here {
		do = "Delete yours, which nobody has (git tag -d " + name + "). " + do
	}
	return problem("tag-exists", "Somebody else has released "+name+" meanwhile", r.cfg.Remote+" has a tag of that name ("+short(hash)+"), and a tag is never moved",
		do+"Then run \"Next version\" again (mayday deploy does): it takes the next free one. A signature is for one version, and needs to be given anew.")
}

func (r *Repo) previewRelease(_ context.Context, job steps.Job) (steps.Preview, error) {
	b, t := job.Fact("branch"), "refs/tags/"+job.Fact("tag")
	return steps.Preview{Commands: r.shown(r.pushArgs(b, t), []string{"ls-remote", r.cfg.Remote, "refs/heads/" + b, t, t + "^{}"})}, nil
}

// pushRelease pushes branch and tag and verifies both on the remote.
func (r *Repo) pushRelease(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	var o steps.Outcome
	v, err := r.open()
	if err != nil {
		return o, err
	}
	if err := v.hasRemote(); err != nil {
		return o, err
	}
	b := job.Fact("branch")
	t, ok := v.findTag(job.Fact("tag"))
	head := v.local(b)
	switch {
	case !ok || job.Fact("tag") == "":
		return o, problem("no-tag", "There is no tag to push", "", "Run the item \"Annotated tag\" first.")
	case head != t.commit:
		return o, problem("branch-moved", "The branch "+b+" is not at the tag "+t.name, "it is at "+short(head)+", the tag at "+short(t.commit),
			"What came after the tag is not approved: move it to a branch of its own, or start a new version.")
	}
	if err := r.writer().push(ctx, job.Output, b, "refs/tags/"+t.name); err != nil {
		if state.HasCode(err, "tag-exists") {
			if there, e := r.tagsThere(ctx); e == nil && foreign(there, t) {
				return o, r.takenThere(t.name, there["refs/tags/"+t.name], true)
			}
		}
		return o, err
	}
	ev, err := r.verify(ctx, map[string]string{"refs/heads/" + b: head, "refs/tags/" + t.name: t.object, "refs/tags/" + t.name + "^{}": t.commit})
	o.Summary = b + " and " + t.name + " on " + r.cfg.Remote + " at " + short(head)
	o.Evidence = append(ev, r.writtenBy()...)
	return o, err
}
