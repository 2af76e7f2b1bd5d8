package repo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"mayday/state"
	"mayday/steps"
	"mayday/steps/shell"
)

// slugLength bounds the title's part of a branch name.
const slugLength = 40

func quoteOne(s string) string { return shell.Quote([]string{s}) }

// slug makes a title fit for a branch name: lower case, dashes, cut at a word.
func slug(title string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	s := b.String()
	if len(s) > slugLength {
		s = s[:slugLength+1]
		if i := strings.LastIndexByte(s, '-'); i > 0 {
			s = s[:i]
		}
		s = s[:min(len(s), slugLength)]
	}
	return strings.Trim(s, "-")
}

// issueID takes the issue out of a link or "#123".
func issueID(issue string) string {
	issue = strings.TrimSpace(issue)
	if strings.Contains(issue, "://") {
		issue = issue[strings.LastIndexByte(strings.TrimRight(issue, "/"), '/')+1:]
	}
	return strings.Trim(issue, "#/")
}

// keyOrNumber is what trackers call an issue by: PROD-2847, 123.
var keyOrNumber = regexp.MustCompile(`^([A-Z][A-Z0-9_]*-)?[0-9]+$`)

// issueOf is the incident's issue: the one it was declared with, else that of the ticket
// that was made or linked since, where its link ends in what trackers call one by.
func issueOf(in *state.Incident) string {
	if id := issueID(state.Clean(in.Issue)); id != "" {
		return id
	}
	if id := issueID(state.Clean(in.Facts["ticket"])); keyOrNumber.MatchString(id) {
		return id
	}
	return ""
}

// branchName is the name that the runbook's pattern gives, or the one asked for.
// A second attempt gets a name of its own, as the first one's commits stay.
func (r *Repo) branchName(v *view, job steps.Job) (string, error) {
	name := job.Values["branch"]
	if name == "" && r.cfg.Branch == "version" {
		next, err := r.nextVersion(v, job.Fact("baseline"), nil)
		if err != nil {
			return "", err
		}
		name = "hotfix/" + strings.TrimPrefix(next, r.cfg.TagPrefix)
	}
	if name == "" {
		parts := []string{}
		for _, p := range []string{cmp.Or(issueID(job.Values["issue"]), issueOf(job.Incident)), slug(job.Incident.Title)} {
			if p != "" {
				parts = append(parts, p)
			}
		}
		name = "hotfix/" + strings.Join(parts, "-")
		if n := job.Incident.Attempt; n > 1 {
			name += "-" + strconv.Itoa(n)
		}
	}
	ref := plumbing.NewBranchReferenceName(name)
	if err := ref.Validate(); err != nil || strings.HasPrefix(name, "-") || strings.HasSuffix(name, "/") || !ref.IsBranch() {
		return "", problem("bad-branch", fmt.Sprintf("git refuses the branch name %q", state.Clean(name)),
			"it has a character that git does not allow there", "Give another one: branch=hotfix/…")
	}
	return name, nil
}

// startPoint is what the branch command names: the tag, or main itself.
func (r *Repo) startPoint(v *view, job steps.Job) (string, error) {
	base, name := job.Fact("baseline.commit"), job.Fact("baseline")
	if base == "" || name == "" {
		return "", problem("no-baseline", "The production baseline is not known yet", "", "Run the item \"Production baseline\" first.")
	}
	t, ok := v.findTag(name)
	switch {
	case !ok:
		return "", problem("unknown-tag", "There is no tag "+name+" here any more", "the baseline named it", "Fetch the tags (git fetch --tags "+r.cfg.Remote+"), and run the item \"Production baseline\" again.")
	case t.commit == base:
		return name, nil
	case r.cfg.Model == "main" && r.cfg.From == "main":
		return base, nil
	}
	return "", problem("tag-moved", "The tag "+name+" moved from "+short(base)+" to "+short(t.commit), "somebody changed it since the baseline was found",
		"Find out why, then run the item \"Production baseline\" again.")
}

func (r *Repo) previewBranch(_ context.Context, job steps.Job) (steps.Preview, error) {
	v, err := r.open()
	if err != nil {
		return steps.Preview{}, err
	}
	name, err := r.branchName(v, job)
	if err != nil {
		return steps.Preview{}, err
	}
	from, err := r.startPoint(v, job)
	if err != nil {
		return steps.Preview{}, err
	}
	if v.local(name) != "" {
		from = ""
	}
	return steps.Preview{Commands: r.shown(branchArgs(name, from))}, nil
}

func dirtyTree(paths []string) error {
	shown := paths[:min(len(paths), 5)]
	for i, p := range shown {
		shown[i] = state.Clean(p)
	}
	return problem("dirty-tree", "There are changes that are not committed: "+plural(len(paths), "file"), strings.Join(shown, ", "),
		"Put them away (git stash -u) or commit them; to take them into the hotfix, run it with dirty=allow.")
}

// branch makes the hotfix branch at the baseline and checks it out. Values:
// "branch" is another name, "dirty" = "allow" takes uncommitted changes along.
func (r *Repo) branch(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	var o steps.Outcome
	v, err := r.open()
	if err != nil {
		return o, err
	}
	name, err := r.branchName(v, job)
	if err != nil {
		return o, err
	}
	from, err := r.startPoint(v, job)
	if err != nil {
		return o, err
	}
	before, was, err := v.head()
	if err != nil {
		return o, err
	}
	base, have := job.Fact("baseline.commit"), v.local(name)
	if err := v.free(name, base, have, job.Fact("branch")); err != nil {
		return o, err
	}
	if have != "" {
		from = ""
	}
	if was != name {
		dirty, err := r.dirty(ctx, v)
		if err != nil {
			return o, err
		}
		if len(dirty) > 0 && job.Values["dirty"] != "allow" {
			return o, dirtyTree(dirty)
		}
		if err := r.writer().branch(ctx, job.Output, name, from); err != nil {
			return o, err
		}
	}
	return r.branched(job, name, was, before)
}

// free insists that a branch of that name is nobody else's work: there is none,
// or it is at the baseline, or this incident made it from there.
func (v *view) free(name, base, have, ours string) error {
	do := "Choose another name (branch=hotfix/…), or look at it (git log " + name + ") and delete it if nobody needs it."
	if have == "" {
		if there := v.tracked(name); there != "" && there != base {
			return problem("branch-exists", "The branch "+name+" exists on "+v.r.cfg.Remote, "it is at "+short(there)+", somebody's work", do)
		}
		return nil
	}
	if have == base {
		return nil
	}
	in, err := v.isAncestor(base, have)
	if err != nil {
		return err
	}
	if ours != name || !in {
		return problem("branch-exists", "The branch "+name+" exists already", "it is at "+short(have)+", not at the baseline "+short(base), do)
	}
	return nil
}

func (r *Repo) branched(job steps.Job, name, was, before string) (steps.Outcome, error) {
	v, err := r.open()
	if err != nil {
		return steps.Outcome{}, err
	}
	head, at, err := v.head()
	if err != nil {
		return steps.Outcome{}, err
	}
	if at != name {
		return steps.Outcome{}, problem("wrong-branch", "The checkout is on "+at+" after git checkout "+name, "a hook may have moved it", "Look at git status, and run it again.")
	}
	o := steps.Outcome{Summary: name + " at " + short(head) + " (" + job.Fact("baseline") + ")",
		Evidence: append([]state.Evidence{{Name: "branch", Value: name}, {Name: "head", Value: head}, {Name: "came from", Value: was + " " + short(before)}}, r.writtenBy()...),
		Facts:    map[string]string{"branch": name}}
	// Where cleaning up goes back to. A hotfix branch is no place to go back to.
	if was != "" && !strings.HasPrefix(was, "hotfix/") && was != name {
		o.Facts["branch.from"] = was
	}
	return o, nil
}

func (r *Repo) previewPush(_ context.Context, job steps.Job) (steps.Preview, error) {
	b := job.Fact("branch")
	return steps.Preview{Commands: r.shown(r.pushArgs(b), []string{"ls-remote", r.cfg.Remote, "refs/heads/" + b})}, nil
}

// pushBranch pushes the hotfix branch and verifies it on the remote.
func (r *Repo) pushBranch(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	var o steps.Outcome
	v, err := r.open()
	if err != nil {
		return o, err
	}
	if err := v.hasRemote(); err != nil {
		return o, err
	}
	name := job.Fact("branch")
	head := v.local(name)
	if head == "" {
		return o, problem("no-branch", "There is no hotfix branch "+name+" to push", "", "Run the item \"Hotfix branch\" first.")
	}
	if err := r.writer().push(ctx, job.Output, name); err != nil {
		return o, err
	}
	want := map[string]string{"refs/heads/" + name: head}
	ev, err := r.verify(ctx, want)
	o.Summary = short(head) + " = remote head of " + name
	o.Evidence = append(ev, r.writtenBy()...)
	return o, err
}

// verify asks the remote whether references are where they should be.
func (r *Repo) verify(ctx context.Context, want map[string]string) ([]state.Evidence, error) {
	var refs []string
	for ref := range want {
		refs = append(refs, ref)
	}
	there, err := r.lsRemote(ctx, refs...)
	if err != nil {
		return nil, err
	}
	var ev []state.Evidence
	var wrong []error
	for ref, hash := range want {
		if r.git == "" && strings.HasSuffix(ref, "^{}") {
			continue // not every server tells go-git; the tag object's hash covers its commit
		}
		ev = append(ev, state.Evidence{Name: "local " + ref, Value: hash}, state.Evidence{Name: "remote " + ref, Value: there[ref]})
		if there[ref] != hash {
			wrong = append(wrong, problem("not-verified", ref+" is not where it should be on "+r.cfg.Remote,
				fmt.Sprintf("here it is at %s, there at %q", short(hash), short(there[ref])), "Somebody pushed at the same time, or the remote rewrote it. Look, then run it again."))
		}
	}
	sortEvidence(ev)
	return ev, errors.Join(wrong...)
}
