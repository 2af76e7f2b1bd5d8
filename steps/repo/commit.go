package repo

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"mayday/state"
	"mayday/steps"
)

// subjectLength is where the commit's first line is cut, at a word.
const subjectLength = 72

// message builds the commit message: its paragraphs, subject first.
func message(job steps.Job, m measured) []string {
	subject := "hotfix: " + cmp.Or(state.Clean(job.Values["title"]), state.Clean(job.Incident.Title))
	if len(subject) > subjectLength {
		subject = strings.ToValidUTF8(subject[:subjectLength], "")
		if i := strings.LastIndexByte(subject, ' '); i > len("hotfix:") {
			subject = subject[:i]
		}
	}
	var bullets []string
	for line := range strings.Lines(state.CleanLines(job.Values["message"])) {
		if line = strings.TrimSpace(strings.TrimLeft(strings.TrimSpace(line), "-*•")); line != "" {
			bullets = append(bullets, "- "+line)
		}
	}
	if len(bullets) == 0 {
		for _, f := range m.files {
			verb := "change"
			if f.deleted {
				verb = "delete"
			}
			bullets = append(bullets, fmt.Sprintf("- %s %s (%s, +%d -%d)", verb, state.Clean(f.path), f.kind, f.added, f.removed))
		}
	}
	out := []string{subject}
	if len(bullets) > 0 {
		out = append(out, strings.Join(bullets, "\n"))
	}
	return append(out, footer(job.Incident))
}

// footer names the issue and the severity: "Fixes: #123" where the tracker counts,
// "Resolves: PROD-2847" where it has keys.
func footer(in *state.Incident) string {
	var lines []string
	if id := issueOf(in); id != "" {
		if strings.Trim(id, "0123456789") == "" {
			lines = append(lines, "Fixes: #"+id)
		} else {
			lines = append(lines, "Resolves: "+id)
		}
	}
	words := [...]string{"critical", "critical", "high", "medium"}
	word := words[min(max(int(in.Severity), 0), len(words)-1)]
	return strings.Join(append(lines, "Severity: "+in.Severity.String()+" ("+word+")", "Incident: "+in.ID), "\n")
}

// toCommit gives the measured files that wait for their commit, and the changed
// files that were not measured and stay out.
func (r *Repo) toCommit(ctx context.Context, v *view, job steps.Job, m measured) (in, out []string, err error) {
	dirty, err := r.dirty(ctx, v)
	if err != nil {
		return nil, nil, err
	}
	// What step 4 measured. Tests that ran since may have left files of their own.
	wanted := strings.Split(job.Fact("change.files"), "\n")
	if job.Fact("change.files") == "" {
		wanted = m.paths()
	}
	for _, p := range dirty {
		if slices.Contains(wanted, p) {
			in = append(in, p)
		} else {
			out = append(out, p)
		}
	}
	return in, out, nil
}

func (r *Repo) previewCommit(ctx context.Context, job steps.Job) (steps.Preview, error) {
	v, err := r.open()
	if err != nil {
		return steps.Preview{}, err
	}
	m, err := r.measureHotfix(ctx, job)
	if err != nil {
		return steps.Preview{}, err
	}
	in, left, err := r.toCommit(ctx, v, job, m)
	if err != nil {
		return steps.Preview{}, err
	}
	p := steps.Preview{Text: m.text}
	if len(left) > 0 {
		p.Text = "Not measured in step 4, and left out: " + state.Clean(strings.Join(left, ", ")) + "\n\n" + m.text
	}
	if len(in) > 0 {
		p.Commands = r.shown(commitArgs(message(job, m), in)...)
	}
	return p, nil
}

// commit records the measured files. Values: "message" holds the bullets, one a
// line; "title" another subject than the incident's title; "version" the version that
// is to be made of it, which the sign-off is for.
func (r *Repo) commit(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	var o steps.Outcome
	m, err := r.measureHotfix(ctx, job)
	if err != nil {
		return o, err
	}
	v, err := r.open()
	if err != nil {
		return o, err
	}
	if err := r.stillInBudget(job, m); err != nil {
		return o, err
	}
	taken, err := r.tagsThere(ctx)
	if err != nil { // the version's own step insists
		fmt.Fprintln(job.Output, "the remote's tags are not known, the next version is guessed: "+state.AsProblem(err).Error())
	}
	if err := r.reviewable(v, job, m, taken); err != nil {
		return o, err
	}
	in, left, err := r.toCommit(ctx, v, job, m)
	if err != nil {
		return o, err
	}
	if len(left) > 0 {
		fmt.Fprintln(job.Output, "not measured in step 4, left out: "+state.Clean(strings.Join(left, ", ")))
		o.Evidence = append(o.Evidence, state.Evidence{Name: "left out", Value: state.Clean(strings.Join(left, ", "))})
	}
	if len(in) > 0 {
		if err := r.writer().commit(ctx, job.Output, message(job, m), in); err != nil {
			return o, err
		}
	}
	return r.committed(job, o, len(in), taken)
}

// stillInBudget measures again: files may have grown since step 4.
func (r *Repo) stillInBudget(job steps.Job, m measured) error {
	it := job.Incident.Item("4.change")
	allowed := it != nil && it.Status == state.ItemOverridden
	if !allowed && (m.lines() > r.cfg.MaxChange.Lines || len(m.files) > r.cfg.MaxChange.Files) {
		return r.overBudget(m)
	}
	return nil
}

// committed says what is under review now; taken are the remote's references.
func (r *Repo) committed(job steps.Job, o steps.Outcome, files int, taken map[string]string) (steps.Outcome, error) {
	v, err := r.open()
	if err != nil {
		return o, err
	}
	head, err := v.onBranch(job)
	if err != nil {
		return o, err
	}
	if head == job.Fact("baseline.commit") {
		return o, problem("nothing-to-commit", "There is nothing to commit", "the branch is where "+job.Fact("baseline")+" is, and no measured file is changed",
			"Make the fix, run \"Change within budget\", then this item.")
	}
	c, err := v.commit(head)
	if err != nil {
		return o, err
	}
	commits, err := v.between(job.Fact("baseline.commit"), head)
	if err != nil {
		return o, err
	}
	subject, _, _ := strings.Cut(c.Message, "\n")
	o.Summary = short(head) + " " + state.Clean(subject)
	if files == 0 {
		o.Summary += " (was committed already)"
	}
	o.Evidence = append(o.Evidence, state.Evidence{Name: "commit", Value: head},
		state.Evidence{Name: "author", Value: state.Clean(c.Author.Name + " <" + c.Author.Email + ">")},
		state.Evidence{Name: "commits since " + job.Fact("baseline"), Value: fmt.Sprint(len(commits))})
	if o.Facts, err = r.review(v, job, head, taken); err != nil {
		return o, err
	}
	o.Evidence = append(o.Evidence, state.Evidence{Name: "version to be", Value: o.Facts["review.tag"]},
		state.Evidence{Name: "diff, SHA-256", Value: o.Facts["review.diff"]})
	o.Evidence = append(o.Evidence, r.writtenBy()...)
	o.Facts["commit"] = head
	return o, nil
}
