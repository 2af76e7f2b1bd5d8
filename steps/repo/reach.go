package repo

import (
	"context"
	"strings"

	"mayday/state"
)

// Program says which git writes here. Without one go-git does, and the error, a
// *state.Problem with the code "needs-git", says what it cannot do.
func (r *Repo) Program(ctx context.Context) (string, error) {
	if r.git == "" {
		return "", problem("needs-git", "git is not installed here", "go-git makes branch, commit, tag and push, without hooks, signing and credential helpers, and merges nothing back",
			"Install git.")
	}
	out, err := r.read(ctx, "--version")
	return state.Clean(strings.TrimSpace(out)), err
}

// Reach asks the remote for the branch that production runs, as a hotfix will, and says
// where it is. It changes nothing, blocks until the remote answered or ctx ended, and
// nobody is asked for a password. Errors are *state.Problem.
func (r *Repo) Reach(ctx context.Context) (string, error) {
	v, err := r.open()
	if err != nil {
		return "", err
	}
	if err := v.hasRemote(); err != nil {
		return "", err
	}
	branch := r.productionBranch()
	heads, err := r.lsRemote(ctx, "refs/heads/"+branch)
	if err != nil {
		return "", err
	}
	at := heads["refs/heads/"+branch]
	if at == "" {
		return "", problem("no-production-branch", r.cfg.Remote+" has no branch "+branch, "",
			"Say in the runbook which branch production runs: repo.production (or repo.main in the model main).")
	}
	return r.cfg.Remote + " answers: " + branch + " at " + short(at), nil
}
