package repo

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"mayday/state"
	"mayday/steps"
)

// review gives the facts that a sign-off of head is for: what a reviewer's statement
// says, whose change it is, and the file of who may sign it, where there is one.
// taken are the remote's references, see tagsThere.
func (r *Repo) review(v *view, job steps.Job, head string, taken map[string]string) (map[string]string, error) {
	base := job.Fact("baseline.commit")
	raw, err := v.rawDiff(base, head)
	if err != nil {
		return nil, err
	}
	if err := r.signersStay(v, raw.paths); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(raw.text))
	tag, err := r.candidate(v, job, head, taken)
	if err != nil && r.mustKnow(job) {
		return nil, err
	}
	commits, err := v.between(base, head)
	if err != nil {
		return nil, err
	}
	authors := map[string]bool{}
	for _, c := range commits {
		authors[state.Clean(c.Author.Name+" <"+c.Author.Email+">")] = true
	}
	return map[string]string{"review.commit": head, "review.baseline": base, "review.tag": tag, "review.diff": hex.EncodeToString(sum[:]),
		"review.authors": strings.Join(slices.Sorted(maps.Keys(authors)), "\n"), "review.signers": r.rb.Signers}, nil
}

// reviewable refuses before anything is committed what review would refuse after.
func (r *Repo) reviewable(v *view, job steps.Job, m measured, taken map[string]string) error {
	if _, err := r.candidate(v, job, "", taken); err != nil && r.mustKnow(job) {
		return err
	}
	return r.signersStay(v, m.paths())
}

// mustKnow reports whether a review needs the version that is to be made.
func (r *Repo) mustKnow(job steps.Job) bool { return r.rb.Signers != "" || job.Values["version"] != "" }

// candidate is the version that 7.version will make, as far as is known now. taken are
// the remote's references. Values: "version" names it.
func (r *Repo) candidate(v *view, job steps.Job, head string, taken map[string]string) (string, error) {
	if t, ok := v.findTag(job.Fact("version")); ok && t.commit == head && job.Fact("version") != "" && !foreign(taken, t) {
		return t.name, nil
	}
	if job.Values["version"] != "" {
		return r.wanted(v, job.Values["version"], taken)
	}
	if name, err := r.wanted(v, job.Fact("review.tag"), taken); err == nil {
		return name, nil
	}
	return r.nextVersion(v, job.Fact("baseline"), taken)
}

// signersStay refuses a change of who may sign it.
func (r *Repo) signersStay(v *view, paths []string) error {
	top, err := v.top()
	if err != nil {
		return err
	}
	for _, p := range paths {
		if at := filepath.Join(top, filepath.FromSlash(p)); sameFile(at, r.rb.Signers) || sameFile(at, r.rb.Revoked) {
			return problem("signers-changed", "The hotfix changes who may sign it", state.Clean(p)+" is part of it",
				"Take it out of the hotfix: who may sign is changed by your normal process.")
		}
	}
	return nil
}

func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// raw is a difference as git diff-tree -r -z writes it, and the paths in it.
type raw struct {
	text  string
	paths []string
}

// rawDiff compares two commits, byte for byte as git diff-tree -r -z FROM TO does: it
// names the content of every file on both sides by its hash, and depends on nobody's
// settings, unlike a diff to be read.
func (v *view) rawDiff(from, to string) (raw, error) {
	old, err := v.commit(from)
	if err != nil {
		return raw{}, err
	}
	newer, err := v.commit(to)
	if err != nil {
		return raw{}, err
	}
	a, err := old.Tree()
	if err != nil {
		return raw{}, fmt.Errorf("read the files of a commit: %w", err)
	}
	b, err := newer.Tree()
	if err != nil {
		return raw{}, fmt.Errorf("read the files of a commit: %w", err)
	}
	changes, err := object.DiffTree(a, b)
	if err != nil {
		return raw{}, fmt.Errorf("compare the files of two commits: %w", err)
	}
	was, is := map[string]object.TreeEntry{}, map[string]object.TreeEntry{}
	all := map[string]bool{}
	for _, c := range changes {
		if c.From.Name != "" {
			was[c.From.Name], all[c.From.Name] = c.From.TreeEntry, true
		}
		if c.To.Name != "" {
			is[c.To.Name], all[c.To.Name] = c.To.TreeEntry, true
		}
	}
	out := raw{paths: slices.Sorted(maps.Keys(all))}
	var text strings.Builder
	for _, p := range out.paths {
		x, y := was[p], is[p]
		fmt.Fprintf(&text, ":%06o %06o %s %s %s\x00%s\x00", uint32(x.Mode), uint32(y.Mode), x.Hash, y.Hash, statusOf(x, y), p)
	}
	out.text = text.String()
	return out, nil
}

// statusOf is git's letter for what became of a path.
func statusOf(x, y object.TreeEntry) string {
	kind := func(m filemode.FileMode) filemode.FileMode { return m &^ 0o777 }
	switch {
	case x.Hash == plumbing.ZeroHash:
		return "A"
	case y.Hash == plumbing.ZeroHash:
		return "D"
	case kind(x.Mode) != kind(y.Mode):
		return "T"
	}
	return "M"
}
