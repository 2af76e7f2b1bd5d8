// Package gitrepo makes the practice range's git repository: a bare remote and a
// clone of a small Go module with a believable history, the tags v1.2.0 to v1.2.3
// and the bug that the drill is about in the source of the last one.
package gitrepo

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"mayday/state"
)

// gitTime is the most that one git command may take (real time).
const gitTime = 30 * time.Second

// Options of a repository.
type Options struct {
	Remote  string   // folder of the bare remote, made
	Clone   string   // folder of the clone, made
	User    string   // who commits in the clone; their git configuration stays out of it
	Exclude []string // patterns of files in the clone that are not the repository's
}

// Fix is the prepared fix with its test, a patch for git apply.
func Fix() []byte { return read("fix.patch") }

// Make creates both repositories with the machine's own git. The clone has develop
// checked out, as a developer's would. Errors are *state.Problem where a person can
// do something about them.
func Make(ctx context.Context, opts Options) error {
	if _, err := exec.LookPath("git"); err != nil {
		return &state.Problem{What: "the practice range needs git", Why: "there is no git in the PATH",
			Do: "Install it (apt install git, brew install git) and try again.", Code: "no-git"}
	}
	if err := git(ctx, "", nil, "init", "-q", "--bare", "--initial-branch=production", opts.Remote); err != nil {
		return err
	}
	if err := git(ctx, opts.Remote, stream(), "fast-import", "--quiet", "--done"); err != nil {
		return err
	}
	if err := git(ctx, "", nil, "clone", "-q", "--branch", "develop", opts.Remote, opts.Clone); err != nil {
		return err
	}
	return configure(opts)
}

// configure writes what the clone's own configuration must say: who commits, and
// that nothing asks for a signing key. Appending is quicker than git config, which
// is a process for each value.
func configure(opts Options) error {
	user := strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`"\;#<>`, r) {
			return -1
		}
		return r
	}, opts.User)
	text := fmt.Sprintf("[user]\n\tname = %q\n\temail = %q\n[commit]\n\tgpgsign = false\n[tag]\n\tgpgsign = false\n[advice]\n\tdetachedHead = false\n",
		user, user+"@shop.example")
	if err := appendTo(filepath.Join(opts.Clone, ".git", "config"), text); err != nil {
		return err
	}
	return appendTo(filepath.Join(opts.Clone, ".git", "info", "exclude"), strings.Join(opts.Exclude, "\n")+"\n")
}

func appendTo(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// git runs one command without the machine's and the user's configuration, so that
// every range is the same.
func git(ctx context.Context, dir string, in []byte, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, gitTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(in)
	cmd.Env = environ()
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return &state.Problem{What: "git " + args[0] + " failed while the practice range was made",
			Why: state.Clean(string(out) + " " + err.Error()),
			Do:  "Look whether the disk is full and git works (git version), and try again."}
	}
	return nil
}

// environ is the process's environment without git's own variables: a drill that is
// started from a git hook must not write into that repository.
func environ() []string {
	var out []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "GIT_") {
			out = append(out, v)
		}
	}
	return append(out, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_TERMINAL_PROMPT=0")
}
