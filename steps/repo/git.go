package repo

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/steps/shell"
)

// Time-outs of git, real time. Hooks may run a test suite, so writing gets long.
const (
	readTimeout  = time.Minute
	writeTimeout = 10 * time.Minute
)

// How long git is tried again while another git process (an editor's, one that a killed
// keeper left) holds the index, and how often, real time. git takes that lock before it
// changes anything.
const (
	lockPatience = 10 * time.Second
	lockPoll     = 500 * time.Millisecond
)

// gitEnv keeps git from asking, from speaking another language than the one
// understood here, and from obeying a hook that mayday itself may run under.
var gitEnv = []string{"GIT_EDITOR=:", "GIT_MERGE_AUTOEDIT=no", "LC_ALL=C", "LANGUAGE=C",
	"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_QUARANTINE_PATH"}

// run prints a git command as a person would type it and runs it, again where another
// git process holds the index.
func (r *Repo) run(ctx context.Context, out io.Writer, args ...string) error {
	if r.git == "" {
		return problem("needs-git", "git is not installed here", "go-git cannot do this", "Install git, or do it elsewhere: "+typed(args))
	}
	if _, err := fmt.Fprintln(out, "$ "+typed(args)); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	for waited := time.Duration(0); ; waited += lockPoll {
		res, err := shell.Run(ctx, shell.Spec{Args: append([]string{r.git}, args...), Dir: r.dir, Env: gitEnv,
			Timeout: writeTimeout, Output: out})
		if err = explain(args, res, err); !state.HasCode(err, "locked") || waited >= r.patience {
			return err
		}
		if waited == 0 {
			if _, err := fmt.Fprintln(out, "another git process is at work here: tried again for "+state.Duration(r.patience).String()); err != nil {
				return fmt.Errorf("write the output: %w", err)
			}
		}
		select {
		case <-ctx.Done(): // shell.Run says so
		case <-time.After(lockPoll):
		}
	}
}

// readEnv also keeps git from writing a fresher index where it only looks: it would lock
// the index meanwhile, and somebody else's commit would fail.
var readEnv = append(slices.Clone(gitEnv), "GIT_OPTIONAL_LOCKS=0")

// read runs a git command that changes nothing and gives its standard output.
func (r *Repo) read(ctx context.Context, args ...string) (string, error) {
	if r.git == "" {
		return "", problem("needs-git", "git is not installed here", "go-git cannot do this", "Install git, or do it elsewhere: "+typed(args))
	}
	res, err := shell.Run(ctx, shell.Spec{Args: append([]string{r.git}, args...), Dir: r.dir, Env: readEnv,
		Timeout: readTimeout, Keep: 16 << 20})
	return string(res.Stdout), explain(args, res, err)
}

// typed is a git command as a person types it.
func typed(args []string) string { return shell.Quote(append([]string{"git"}, args...)) }

// gitStatus lists changed and untracked paths.
func (r *Repo) gitStatus(ctx context.Context) ([]string, error) {
	out, err := r.read(ctx, "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=all")
	if err != nil {
		return nil, err
	}
	v, err := r.open()
	if err != nil {
		return nil, err
	}
	top, err := v.top()
	if err != nil {
		return nil, err
	}
	var paths []string
	for e := range strings.SplitSeq(out, "\x00") {
		if len(e) < 4 || e[:2] == "??" && r.isRunbook(top, e[3:]) {
			continue
		}
		paths = append(paths, e[3:])
	}
	return paths, nil
}

// refusals are what git prints when something is refused, in the order in which
// they are looked for, with what a person can do.
var refusals = []struct{ text, code, do string }{
	{"index.lock': File exists", "locked", "Another git process is at work here (an editor, a hook): let it end, then run it again. If there is none, one died: delete the lock."},
	{"hook declined", "push-refused", "Do what the hook says, then run it again."},
	{"protected branch", "push-refused", "The branch is protected: open a pull request for it, or ask somebody who may push."},
	{"[remote rejected]", "push-refused", "Do what the remote says, then run it again."},
	{"would clobber existing tag", "tag-exists", "A tag here differs from the remote's. See git ls-remote --tags, and settle which one is right."},
	{"(already exists)", "tag-exists", "The remote has another tag of that name, and a tag is never moved. Delete yours (git tag -d), fetch, and run \"Next version\" again."},
	{"non-fast-forward", "moved", "Somebody pushed in the meantime. Look at their commits first; nothing was overwritten."},
	{"[rejected]", "moved", "Somebody pushed in the meantime. Look at their commits first; nothing was overwritten."},
	{"stale info", "moved", "Somebody pushed in the meantime. Look at their commits first; nothing was deleted."},
	{"Could not read from remote repository", "remote", "Check the network, the remote's address (git remote -v) and your keys."},
	{"does not appear to be a git repository", "remote", "Check the remote's address: git remote -v."},
	{"unable to access", "remote", "Check the network and the remote's address (git remote -v)."},
	{"terminal prompts disabled", "remote", "git would ask for a password here. Set up a credential helper or a key, and try git ls-remote by hand."},
	{"Authentication failed", "remote", "Renew the credentials, and try git ls-remote by hand."},
	{"would be overwritten", "dirty-tree", "Commit or stash your changes (git stash -u), then run it again."},
	{"Please tell me who you are", "no-identity", "Tell git who you are: git config user.name and user.email."},
	{"empty ident name", "no-identity", "Tell git who you are: git config user.name and user.email."},
	{"failed to push some refs", "push-refused", "A hook here (pre-push) or the remote refused. Do what it says, then run it again."},
	{"gpg failed to sign", "signing", "Unlock your key in another terminal (git commit asks for it), then run it again."},
}

// explain makes of a failed git command a Problem with git's own words in it.
func explain(args []string, res shell.Result, err error) error {
	if err == nil || !state.HasCode(err, "exit") {
		return err
	}
	var said []string
	for _, line := range res.Last {
		line = state.Clean(line)
		if line != "" && !strings.HasPrefix(line, "hint:") && !strings.HasPrefix(line, "To ") {
			said = append(said, line)
		}
	}
	said = said[max(len(said)-6, 0):]
	p := &state.Problem{Code: "git", What: typed(args) + " failed", Why: strings.Join(said, " / "),
		Do: "Put right what git says, then run it again."}
	all := strings.Join(res.Last, "\n")
	for _, x := range refusals {
		if strings.Contains(all, x.text) {
			p.Code, p.Do = x.code, x.do
			break
		}
	}
	return p
}

// lsRemote asks the remote where references are. A missing one is not in the map.
func (r *Repo) lsRemote(ctx context.Context, refs ...string) (map[string]string, error) {
	if r.git == "" {
		return r.goLsRemote(ctx)
	}
	out, err := r.read(ctx, append([]string{"ls-remote", r.cfg.Remote}, refs...)...)
	if err != nil {
		return nil, err
	}
	heads := map[string]string{}
	for line := range strings.Lines(out) {
		if hash, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			heads[name] = hash
		}
	}
	return heads, nil
}
