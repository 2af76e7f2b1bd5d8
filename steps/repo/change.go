package repo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mayday/state"
	"mayday/steps"
)

func (r *Repo) previewChange(ctx context.Context, job steps.Job) (steps.Preview, error) {
	m, err := r.measureHotfix(ctx, job)
	if err != nil {
		return steps.Preview{}, err
	}
	text := m.text
	if text == "" {
		text = "No change yet."
	}
	return steps.Preview{Commands: r.shown([]string{"diff", job.Fact("baseline.commit")}), Text: text}, nil
}

// measureHotfix measures what the hotfix branch changes, uncommitted files included.
func (r *Repo) measureHotfix(ctx context.Context, job steps.Job) (measured, error) {
	v, err := r.open()
	if err != nil {
		return measured{}, err
	}
	if _, err := v.onBranch(job); err != nil {
		return measured{}, err
	}
	return r.measure(ctx, v, job.Fact("baseline.commit"), "")
}

// change measures the hotfix against its budget. The outcome comes with the
// error, too, when the budget is exceeded: who overrides must see by how much.
func (r *Repo) change(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	var o steps.Outcome
	m, err := r.measureHotfix(ctx, job)
	if err != nil {
		return o, err
	}
	if len(m.files) == 0 {
		return o, problem("no-change", "Nothing is changed yet", "the files are as they are in "+job.Fact("baseline"),
			"Make the fix in "+r.dir+", then run this item again.")
	}
	for _, f := range m.files {
		fmt.Fprintf(job.Output, "%-13s +%d −%d  %s\n", f.kind, f.added, f.removed, state.Clean(f.path))
	}
	o.Summary = m.summary()
	o.Evidence = []state.Evidence{{Name: "files", Value: strconv.Itoa(len(m.files))}, {Name: "lines", Value: strconv.Itoa(m.lines())},
		{Name: "kinds", Value: m.counts()}, {Name: "paths", Value: state.Clean(strings.Join(m.paths(), ", "))}}
	o.Facts = map[string]string{"change.files": strings.Join(m.paths(), "\n"), "change.lines": strconv.Itoa(m.lines()), "change.budget": "green"}
	for _, called := range m.calledOut() {
		fmt.Fprintln(job.Output, "attention: "+called)
		o.Summary += "; " + called
		o.Evidence = append(o.Evidence, state.Evidence{Name: "attention", Value: called})
	}
	e, err := keepDiff(job, m)
	if err != nil {
		return o, err
	}
	o.Evidence = append(o.Evidence, e...)
	b := r.cfg.MaxChange
	switch {
	case m.lines() > b.Lines || len(m.files) > b.Files:
		o.Facts["change.budget"] = "red"
		return o, r.overBudget(m)
	case m.lines() > b.Warn:
		o.Facts["change.budget"] = "amber"
		o.Summary = fmt.Sprintf("amber, more than %d lines: ", b.Warn) + o.Summary
	}
	o.Evidence = append(o.Evidence, state.Evidence{Name: "budget", Value: fmt.Sprintf("%s: amber above %d lines, red above %d lines or %d files",
		o.Facts["change.budget"], b.Warn, b.Lines, b.Files)})
	return o, nil
}

func (r *Repo) overBudget(m measured) error {
	b := r.cfg.MaxChange
	return problem("budget", "The change is too large for a hotfix: "+m.summary(),
		fmt.Sprintf("the budget is %d lines and %d files", b.Lines, b.Files),
		"Take out what is not the critical issue. If all of it is needed, override this item with the reason.")
}

func (m measured) summary() string {
	added, removed := 0, 0
	for _, f := range m.files {
		added, removed = added+f.added, removed+f.removed
	}
	return fmt.Sprintf("%s, %s (+%d −%d): %s", plural(len(m.files), "file"), plural(m.lines(), "line"), added, removed, m.counts())
}

// counts says "2 source, 1 test".
func (m measured) counts() string {
	n := map[kind]int{}
	for _, f := range m.files {
		n[f.kind]++
	}
	var out []string
	for _, k := range kinds {
		if n[k] > 0 {
			out = append(out, fmt.Sprintf("%d %s", n[k], k))
		}
	}
	return strings.Join(out, ", ")
}

// calledOut names what a hotfix should not touch without a second thought.
func (m measured) calledOut() []string {
	var deps, migrations []string
	for _, f := range m.files {
		if isDependency(f.path) {
			deps = append(deps, state.Clean(f.path))
		}
		if f.kind == migration {
			migrations = append(migrations, state.Clean(f.path))
		}
	}
	var out []string
	if len(deps) > 0 {
		out = append(out, "dependencies change: "+strings.Join(deps, ", "))
	}
	if len(migrations) > 0 {
		out = append(out, "migration: "+strings.Join(migrations, ", ")+" (a rollback does not undo it)")
	}
	return out
}

// keepDiff files the diff as evidence.
func keepDiff(job steps.Job, m measured) ([]state.Evidence, error) {
	if job.Evidence == "" {
		return nil, nil
	}
	name := job.Run + ".diff"
	if err := os.WriteFile(filepath.Join(job.Evidence, name), []byte(m.text), 0o600); err != nil {
		return nil, fmt.Errorf("keep the diff as evidence: %w", err)
	}
	return []state.Evidence{{Name: "diff", Value: plural(m.lines(), "line"), File: "evidence/" + name}}, nil
}
