package repo

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"mayday/state"
	"mayday/steps"
)

// surveyed is how many commits and tags step 1 shows.
const surveyed = 10

// productionBranch is the branch that says what production runs.
func (r *Repo) productionBranch() string {
	if r.cfg.Model == "main" {
		return r.cfg.Main
	}
	return r.cfg.Production
}

// production gives where the production branch is: on the remote as last seen,
// else here. name is how git calls it.
func (v *view) production() (commit, name string, err error) {
	b := v.r.productionBranch()
	if c := v.tracked(b); c != "" {
		return c, v.r.cfg.Remote + "/" + b, nil
	}
	if c := v.local(b); c != "" {
		return c, b, nil
	}
	return "", "", problem("no-production-branch", "There is no branch "+b+", here or on "+v.r.cfg.Remote, "",
		"Say in the runbook which branch production runs: repo.production (or repo.main in the model main).")
}

// survey shows production as git knows it. It reads only; no tags, no production
// branch and a detached HEAD are states to show, not errors.
func (r *Repo) survey(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	v, err := r.open()
	if err != nil {
		return steps.Outcome{}, err
	}
	head, branch, err := v.head()
	if err != nil {
		return steps.Outcome{}, err
	}
	from, name, err := v.production()
	if err != nil {
		from, name = head, "HEAD (there is no branch "+r.productionBranch()+")"
	}
	d, err := v.describe(from)
	if err != nil {
		return steps.Outcome{}, err
	}
	commits, err := v.log(from, surveyed)
	if err != nil {
		return steps.Outcome{}, err
	}
	tags, err := v.tags()
	if err != nil {
		return steps.Outcome{}, err
	}
	var lines []string
	for _, t := range tags[:min(surveyed, len(tags))] {
		lines = append(lines, t.name+" "+short(t.commit)+" "+t.when.UTC().Format("2006-01-02 15:04"))
	}
	status, err := r.branchStatus(ctx, v, head, branch)
	if err != nil {
		return steps.Outcome{}, err
	}
	fmt.Fprintf(job.Output, "production: %s at %s (%s)\n", d, short(from), name)
	fmt.Fprintf(job.Output, "checkout: %s\n", status)
	list(job.Output, "last commits of "+name, commits)
	list(job.Output, "last tags", lines)
	facts, err := v.releases(d, tags)
	if err != nil {
		return steps.Outcome{}, err
	}
	facts["production"] = d.String()
	if d.tag.name == "" {
		facts["production"] = ""
	}
	return steps.Outcome{
		Summary: fmt.Sprintf("%s at %s; %s", d, short(from), status),
		Evidence: []state.Evidence{{Name: "production version", Value: d.String()}, {Name: "production head", Value: from},
			{Name: "checkout", Value: status}, {Name: "last commits", Value: strings.Join(commits, "\n")},
			{Name: "last tags", Value: cmp.Or(strings.Join(lines, "\n"), "no tags found")}},
		Facts: facts,
	}, nil
}

// releases gives the newest release that production holds, the one before it, and the
// database migrations between them, as facts: what R compares with what the cluster
// remembers, and minds.
func (v *view) releases(d description, tags []tag) (map[string]string, error) {
	facts := map[string]string{}
	if d.tag.name == "" {
		return facts, nil
	}
	facts["production.tag"] = d.tag.name
	at := slices.IndexFunc(tags, func(t tag) bool { return t.name == d.tag.name })
	for _, t := range tags[at+1:] {
		in, err := v.isAncestor(t.commit, d.tag.commit)
		if err != nil {
			return nil, err
		}
		if in && t.commit != d.tag.commit {
			facts["production.from"] = t.name
			facts["production.migrations"], err = v.migrations(t.commit, d.tag.commit)
			return facts, err
		}
	}
	return facts, nil
}

// migrations names the database migrations that a release brought, "" where it brought
// none.
func (v *view) migrations(from, to string) (string, error) {
	old, err := v.commit(from)
	if err != nil {
		return "", err
	}
	newer, err := v.commit(to)
	if err != nil {
		return "", err
	}
	_, _, paths, err := changedPaths(old, newer)
	if err != nil {
		return "", err
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { return kindOf(p) != migration })
	slices.Sort(paths)
	if paths = slices.Compact(paths); len(paths) > 1 {
		return fmt.Sprintf("%s and %d more", state.Clean(paths[0]), len(paths)-1), nil
	}
	return state.Clean(strings.Join(paths, "")), nil
}

func list(w io.Writer, title string, lines []string) {
	fmt.Fprintln(w, title+":")
	if len(lines) == 0 {
		fmt.Fprintln(w, "  none")
	}
	for _, l := range lines {
		fmt.Fprintln(w, "  "+l)
	}
}

// branchStatus says where the checkout is and what is not committed or pushed.
func (r *Repo) branchStatus(ctx context.Context, v *view, head, branch string) (string, error) {
	dirty, err := r.dirty(ctx, v)
	if err != nil {
		return "", err
	}
	status := "on " + branch
	if branch == "" {
		status = "detached HEAD at " + short(head)
	}
	if up := v.tracked(branch); branch != "" && up != "" {
		ahead, err := v.between(up, head)
		if err != nil {
			return "", err
		}
		behind, err := v.between(head, up)
		if err != nil {
			return "", err
		}
		if len(ahead)+len(behind) > 0 {
			status += fmt.Sprintf(", %d ahead and %d behind %s", len(ahead), len(behind), r.cfg.Remote)
		}
	}
	if len(dirty) > 0 {
		return status + ", " + plural(len(dirty), "file") + " not committed", nil
	}
	return status + ", clean", nil
}

func (r *Repo) previewBaseline(context.Context, steps.Job) (steps.Preview, error) {
	return steps.Preview{Commands: r.shown(r.fetchArgs(), []string{"describe", "--tags", r.cfg.Remote + "/" + r.productionBranch()})}, nil
}

// shown gives git commands as typed in the repository.
func (r *Repo) shown(commands ...[]string) []string {
	out := []string{"cd " + quoteOne(r.dir)}
	for _, c := range commands {
		out = append(out, typed(c))
	}
	return out
}

// baseline fetches, and finds the commit that the hotfix starts from. Values:
// "offline" = "allow" goes on with what is here when the remote is gone;
// "baseline" names a tag other than the newest one of production. Where a release was
// undone in this incident, it is the tag that production was taken back to.
func (r *Repo) baseline(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	var o steps.Outcome
	v, err := r.open()
	if err != nil {
		return o, err
	}
	note := ""
	if err := r.fetch(ctx, v, job); err != nil {
		if job.Values["offline"] != "allow" {
			return o, err
		}
		note = "; the remote was not reached, this is what was here"
		o.Evidence = append(o.Evidence, state.Evidence{Name: "remote", Value: "not reached: " + state.Clean(err.Error())})
	}
	if v, err = r.open(); err != nil { // go-git keeps an index of packs; the fetch may have brought one
		return o, err
	}
	head, name, err := v.production()
	if err != nil {
		return o, err
	}
	asked := job.Values["baseline"]
	if back := job.Fact("running"); asked == "" && back != "" {
		if _, ok := v.findTag(back); ok {
			asked, note = back, note+"; production was taken back to it"
		} else {
			note += "; production was taken back to " + back + ", of which there is no tag"
		}
	}
	d, t, err := v.baselineTag(head, name, asked)
	if err != nil {
		return o, err
	}
	start := t.commit
	o.Summary = t.name + " at " + short(t.commit) + note
	if d.ahead > 0 {
		o.Summary = fmt.Sprintf("%s at %s; %s has %s beyond it%s", t.name, short(t.commit), name, plural(d.ahead, "commit"), note)
	}
	if r.cfg.Model == "main" && r.cfg.From == "main" {
		start = head
		o.Summary = fmt.Sprintf("%s at %s, not the tag: %s since %s will ship too%s", name, short(head), plural(d.ahead, "commit"), t.name, note)
	}
	o.Evidence = append(o.Evidence, state.Evidence{Name: "production", Value: d.String()}, state.Evidence{Name: name, Value: head},
		state.Evidence{Name: "tag " + t.name, Value: t.commit}, state.Evidence{Name: "reachable from " + name, Value: "yes"})
	o.Facts = map[string]string{"baseline": t.name, "baseline.commit": start, "production": d.String()}
	fmt.Fprintln(job.Output, o.Summary)
	return o, nil
}

func (r *Repo) fetch(ctx context.Context, v *view, job steps.Job) error {
	if err := v.hasRemote(); err != nil {
		return err
	}
	err := r.writer().fetch(ctx, job.Output)
	if err == nil || state.HasCode(err, "tag-exists") || state.HasCode(err, "cancelled") {
		return err
	}
	p := *state.AsProblem(err)
	p.What = "The remote " + r.cfg.Remote + " could not be fetched: " + p.What
	p.Do += " To go on with the tags that are here, run it with offline=allow."
	return &p
}

// baselineTag gives the tag that production runs, or the one asked for.
func (v *view) baselineTag(head, name, asked string) (description, tag, error) {
	d, err := v.describe(head)
	if err != nil {
		return d, tag{}, err
	}
	if asked == "" {
		if d.tag.name == "" {
			return d, tag{}, problem("no-tags", "No tags found: there is no version to start from",
				"no tag "+v.r.cfg.TagPrefix+"1.2.3 is reachable from "+name,
				"Tag what production runs (git tag -a "+v.r.cfg.TagPrefix+"1.0.0 COMMIT), or set repo.tag_prefix in the runbook.")
		}
		return d, d.tag, nil
	}
	t, ok := v.findTag(asked)
	if !ok {
		return d, tag{}, problem("unknown-tag", "There is no tag "+state.Clean(asked), "the newest one of production is "+d.String(), "Check the name with git tag --sort=-v:refname.")
	}
	in, err := v.isAncestor(t.commit, head)
	if err != nil {
		return d, t, err
	}
	if !in {
		return d, t, problem("not-in-production", "The tag "+t.name+" is not part of "+name, "production never ran it, or its branch was rewritten",
			"Choose a tag that production contains: git tag --merged "+name)
	}
	return d, t, nil
}
