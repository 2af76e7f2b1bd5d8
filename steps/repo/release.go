package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/semver"

	"mayday/state"
	"mayday/steps"
	"mayday/steps/shell"
)

// nextVersion gives the tag name after the baseline's: the patch, or the next
// hotfix.N, past every version whose tag exists here or among taken.
func (r *Repo) nextVersion(v *view, baseline string, taken map[string]string) (string, error) {
	base := r.versionOf(baseline)
	if base == "" {
		return "", problem("no-version", "The baseline "+baseline+" is no version", "a version is "+r.cfg.TagPrefix+"1.2.3",
			"Name the next version yourself: version="+r.cfg.TagPrefix+"…")
	}
	for next := base; ; {
		next = bump(next, r.cfg.Version.Scheme == "hotfix")
		name := r.cfg.TagPrefix + strings.TrimPrefix(next, "v")
		_, here := v.findTag(name)
		if _, there := taken["refs/tags/"+name]; !here && !there {
			return name, nil
		}
	}
}

var hotfixPart = regexp.MustCompile(`^-hotfix\.(\d+)$`)

// bump gives the next version. A pre-release other than a hotfix leads to its own
// release, as semantic versioning has it; a hotfix of 1.2.3 comes after 1.2.3.
func bump(v string, hotfix bool) string {
	core := strings.TrimSuffix(strings.TrimSuffix(semver.Canonical(v), semver.Build(v)), semver.Prerelease(v))
	pre := hotfixPart.FindStringSubmatch(semver.Prerelease(v))
	if hotfix {
		n := 0
		if pre != nil {
			n, _ = strconv.Atoi(pre[1])
		}
		return fmt.Sprintf("%s-hotfix.%d", core, n+1)
	}
	if pre == nil && semver.Prerelease(v) != "" {
		return core
	}
	i := strings.LastIndexByte(core, '.')
	patch, _ := strconv.Atoi(core[i+1:])
	return fmt.Sprintf("%s.%d", core[:i], patch+1)
}

// approved insists that the head is the commit that was signed off, or that
// commit with version commits on it. An overridden sign-off allows any commit of
// this incident.
func (r *Repo) approved(v *view, job steps.Job, head string) error {
	want := job.Fact("approved")
	if it := job.Incident.Item("6.signoff"); it != nil && it.Status == state.ItemOverridden {
		want = job.Fact("commit")
	} else if want != "" && r.rb.Signers != "" && job.Fact("approved.key") == "" {
		return problem("not-signed", "The approval of "+short(want)+" bears no SSH signature", "the runbook has allowed_signers: "+r.rb.Signers,
			"Let the reviewer sign it (mayday approve --statement), or override the sign-off with a reason.")
	}
	if want == "" {
		return problem("not-approved", "Nobody has signed the commit "+short(head)+" off", "",
			"Let a reviewer approve it, or override the sign-off with a reason.")
	}
	if head == want {
		return nil
	}
	only, err := r.onlyVersions(v, want, head)
	if err != nil || only {
		return err
	}
	return problem("not-approved", "The head "+short(head)+" is not what was approved", "the sign-off is for "+short(want)+"; version commits on it may touch only the version files",
		"Let a reviewer approve "+short(head)+", or go back to "+short(want)+".")
}

// onlyVersions reports whether a straight line of version commits leads from one
// commit to another: one, or more where a version was taken before it was pushed.
func (r *Repo) onlyVersions(v *view, from, to string) (bool, error) {
	c, err := v.commit(to)
	if err != nil {
		return false, err
	}
	for c.Hash.String() != from {
		if c.NumParents() != 1 {
			return false, nil
		}
		p, err := c.Parent(0)
		if err != nil {
			return false, fmt.Errorf("read the parent of %s: %w", short(c.Hash.String()), err)
		}
		_, _, paths, err := changedPaths(p, c)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(paths, func(p string) bool { return !r.isVersionFile(p) }) {
			return false, nil
		}
		c = p
	}
	return true, nil
}

func (r *Repo) isVersionFile(path string) bool {
	return slices.ContainsFunc(r.cfg.Version.Files, func(f string) bool { return filepath.ToSlash(filepath.Clean(f)) == path })
}

// decide gives the version to make. A signature approves one version and no other.
func (r *Repo) decide(ctx context.Context, v *view, job steps.Job, head string) (string, error) {
	there, err := r.lsRemote(ctx, "refs/tags/*")
	name, err := r.choose(v, job, head, there, err)
	if signed := job.Fact("approved.tag"); err == nil && signed != "" && signed != name {
		why := "the version is part of what a reviewer signs"
		if there["refs/tags/"+signed] != "" {
			why = "somebody else has released " + signed + " meanwhile, and " + why
		}
		return "", problem("other-version", "The signature is for "+signed+", not for "+name, why,
			"Ask for another one: mayday approve --request --version "+name+"; then have it signed anew.")
	}
	return name, err
}

// choose is decide without a look at what was signed. A tag of this incident that is at
// the head already keeps its version, unless the remote has another one of its name:
// there are the remote's tags, unless unknown says why they are not known.
func (r *Repo) choose(v *view, job steps.Job, head string, there map[string]string, unknown error) (string, error) {
	if t, ok := v.findTag(job.Fact("version")); ok && t.commit == head && job.Fact("version") != "" && !foreign(there, t) {
		return t.name, nil
	}
	if unknown != nil && job.Values["offline"] != "allow" {
		return "", unknown
	}
	if job.Values["version"] != "" {
		return r.wanted(v, job.Values["version"], there)
	}
	if name, err := r.wanted(v, job.Fact("review.tag"), there); err == nil {
		return name, nil // what the sign-off is for
	}
	return r.nextVersion(v, job.Fact("baseline"), there)
}

// wanted checks a version that somebody named: its tag is neither here nor among taken.
func (r *Repo) wanted(v *view, name string, taken map[string]string) (string, error) {
	if !strings.HasPrefix(name, r.cfg.TagPrefix) {
		name = r.cfg.TagPrefix + name
	}
	if r.versionOf(name) == "" {
		return "", problem("no-version", "The version "+state.Clean(name)+" is no semantic version", "", "Write it like "+r.cfg.TagPrefix+"1.2.4.")
	}
	if _, here := v.findTag(name); here || taken["refs/tags/"+name] != "" {
		return "", problem("tag-exists", "The version "+name+" exists already", "there is a tag of that name", "Choose another one.")
	}
	return name, nil
}

func (r *Repo) previewVersion(ctx context.Context, job steps.Job) (steps.Preview, error) {
	v, err := r.open()
	if err != nil {
		return steps.Preview{}, err
	}
	head, err := v.onBranch(job)
	if err != nil {
		return steps.Preview{}, err
	}
	name, err := r.decide(ctx, v, job, head)
	if err != nil {
		return steps.Preview{}, err
	}
	p := steps.Preview{Text: job.Fact("baseline") + " → " + name}
	files := r.cfg.Version.Files
	if c := r.cfg.Version.Command; c != nil {
		p.Commands = append(r.shown(), "VERSION="+name+" PREVIOUS_VERSION="+job.Fact("baseline")+" "+shell.Quote(c.Run))
	} else if len(files) > 0 {
		p.Commands = append(r.shown(), "# "+r.bare(job.Fact("baseline"))+" becomes "+r.bare(name)+" in "+strings.Join(files, ", "))
	}
	if len(files) > 0 {
		for _, args := range commitArgs([]string{versionMessage(r.bare(name)), footer(job.Incident)}, files) {
			p.Commands = append(p.Commands, typed(args))
		}
	}
	return p, nil
}

func (r *Repo) bare(tag string) string { return strings.TrimPrefix(tag, r.cfg.TagPrefix) }

func versionMessage(bare string) string { return "hotfix: version " + bare }

// version decides the next version, writes it into the version files and commits
// those. Values: "version" names it; "offline" = "allow" does without the
// remote's list of tags.
func (r *Repo) version(ctx context.Context, job steps.Job) (steps.Outcome, error) {
	var o steps.Outcome
	v, err := r.open()
	if err != nil {
		return o, err
	}
	head, err := v.onBranch(job)
	if err != nil {
		return o, err
	}
	if err := r.approved(v, job, head); err != nil {
		return o, err
	}
	name, err := r.decide(ctx, v, job, head)
	if err != nil {
		return o, err
	}
	before, err := r.dirty(ctx, v)
	if err != nil {
		return o, err
	}
	if err := r.writeVersion(ctx, v, job, name); err != nil {
		return o, err
	}
	touched, err := r.versionFilesTouched(ctx, v, before)
	if err != nil {
		return o, err
	}
	if len(touched) > 0 {
		if err := r.writer().commit(ctx, job.Output, []string{versionMessage(r.bare(name)), footer(job.Incident)}, touched); err != nil {
			return o, err
		}
	}
	if v, err = r.open(); err != nil {
		return o, err
	}
	if head, err = v.onBranch(job); err != nil {
		return o, err
	}
	if err := r.approved(v, job, head); err != nil {
		return o, err // a hook added something to the version commit
	}
	o.Summary = job.Fact("baseline") + " → " + name + " at " + short(head)
	o.Evidence = append([]state.Evidence{{Name: "version", Value: name}, {Name: "commit", Value: head},
		{Name: "version files", Value: strings.Join(r.cfg.Version.Files, ", ")}}, r.writtenBy()...)
	o.Facts = map[string]string{"version": name, "commit": head}
	return o, nil
}

// writeVersion brings the version files to the new version: by the runbook's
// command, or by replacing the old version where it stands.
func (r *Repo) writeVersion(ctx context.Context, v *view, job steps.Job, name string) error {
	if c := r.cfg.Version.Command; c != nil {
		j := job
		j.Incident = job.Incident.Clone()
		if j.Incident.Facts == nil {
			j.Incident.Facts = map[string]string{}
		}
		j.Incident.Facts["version"] = name
		_, err := shell.Action(*c, shell.Options{Dir: r.dir}).Run(ctx, j)
		return err
	}
	top, err := v.top()
	if err != nil {
		return err
	}
	for _, f := range r.cfg.Version.Files {
		err := replaceVersion(filepath.Join(top, f), f, r.bare(job.Fact("baseline")), r.bare(name))
		if last := job.Fact("version"); last != "" && state.HasCode(err, "version-not-found") {
			err = replaceVersion(filepath.Join(top, f), f, r.bare(last), r.bare(name)) // an earlier run wrote it
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(job.Output, "%s: %s\n", f, r.bare(name))
	}
	return nil
}

// versionFilesTouched lists the version files with changes, and refuses if
// anything else changed since before.
func (r *Repo) versionFilesTouched(ctx context.Context, v *view, before []string) ([]string, error) {
	after, err := r.dirty(ctx, v)
	if err != nil {
		return nil, err
	}
	var touched, others []string
	for _, p := range after {
		switch {
		case r.isVersionFile(p):
			touched = append(touched, p)
		case !slices.Contains(before, p):
			others = append(others, state.Clean(p))
		}
	}
	if len(others) > 0 {
		return nil, problem("version-files", "Making the version changed other files than the version files", strings.Join(others, ", "),
			"Nothing was committed. Undo those changes, or name the files in repo.version.files: an approval covers only those.")
	}
	return touched, nil
}

// replaceVersion writes the new version where the old one stands in a file: at
// its only place, or on its only line that speaks of a version.
func replaceVersion(path, name, old, next string) error {
	fail := func(code, why string) error {
		return problem(code, "The version in "+name+" cannot be replaced", why, "Give repo.version.command in the runbook, or correct the file by hand and commit it.")
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fail("no-version-file", "there is no such file")
	}
	if err != nil {
		return fmt.Errorf("read the version file: %w", err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the version file: %w", err)
	}
	whole := func(v string) *regexp.Regexp {
		return regexp.MustCompile(`(^|[^0-9.\-])` + regexp.QuoteMeta(v) + `($|[^0-9.\-+]|\.$|\.[^0-9])`)
	}
	lines := strings.SplitAfter(string(data), "\n")
	var at, named []int
	has := false
	for i, line := range lines {
		text := strings.TrimRight(line, "\r\n")
		if whole(old).MatchString(text) {
			at = append(at, i)
			if strings.Contains(strings.ToLower(line), "version") {
				named = append(named, i)
			}
		}
		has = has || whole(next).MatchString(text)
	}
	if len(at) > 1 && len(named) > 0 {
		at = named
	}
	switch {
	case len(at) == 0 && has:
		return nil
	case len(at) == 0:
		return fail("version-not-found", "it does not hold "+old)
	case len(at) > 1:
		return fail("version-ambiguous", fmt.Sprintf("it holds %s on %d lines", old, len(at)))
	}
	end := lines[at[0]][len(strings.TrimRight(lines[at[0]], "\r\n")):]
	text := strings.TrimSuffix(lines[at[0]], end)
	lines[at[0]] = whole(old).ReplaceAllString(text, "${1}"+next+"${2}") + end
	if err := os.WriteFile(path, []byte(strings.Join(lines, "")), info.Mode().Perm()); err != nil {
		return fmt.Errorf("write the version file: %w", err)
	}
	return nil
}
