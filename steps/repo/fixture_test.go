package repo

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// world is a clone with a bare remote, and an incident whose facts the test's
// actions fill as the Engine would.
type world struct {
	t    *testing.T
	dir  string // the clone
	bare string
	rb   *runbook.Runbook
	in   *state.Incident
	out  bytes.Buffer
	runs int
}

func TestMain(m *testing.M) {
	for k, v := range map[string]string{"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_NOSYSTEM": "1", "HOME": os.TempDir(),
		"GIT_AUTHOR_NAME": "Alice", "GIT_AUTHOR_EMAIL": "alice@example.com", "GIT_COMMITTER_NAME": "Alice", "GIT_COMMITTER_EMAIL": "alice@example.com"} {
		_ = os.Setenv(k, v)
	}
	dir, err := os.MkdirTemp("", "mayday-repo-")
	if err != nil {
		panic(err)
	}
	template.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// template is the history that every world starts as a copy of.
var template struct {
	once sync.Once
	dir  string
}

// makeTemplate makes v1.2.0 to v1.2.3 on production, with develop and main one
// commit beyond it.
func makeTemplate(t *testing.T, root string) {
	w := &world{t: t, dir: filepath.Join(root, "shop"), bare: filepath.Join(root, "remote.git")}
	w.git(root, "init", "-q", "--bare", "-b", "main", w.bare)
	w.git(root, "init", "-q", "-b", "production", w.dir)
	w.git(w.dir, "config", "user.name", "Alice")
	w.git(w.dir, "config", "user.email", "alice@example.com")
	w.git(w.dir, "remote", "add", "origin", w.bare)
	for _, v := range []string{"1.2.0", "1.2.1", "1.2.2", "1.2.3"} {
		w.write("VERSION", v+"\n")
		w.write("login.go", "package shop\n\nfunc login() int { return 500 }\n")
		w.commit("release " + v)
		w.git(w.dir, "tag", "-a", "v"+v, "-m", "Release v"+v)
	}
	for _, b := range []string{"develop", "main"} {
		w.git(w.dir, "checkout", "-q", "-b", b, "production")
		w.write(b+".txt", "the next thing\n")
		w.commit("work on " + b)
	}
	w.git(w.dir, "checkout", "-q", "develop")
	w.git(w.dir, "push", "-q", "origin", "production", "develop", "main", "--tags")
	w.git(w.dir, "fetch", "-q", "origin")
}

func newWorld(t *testing.T) *world {
	t.Helper()
	template.once.Do(func() { makeTemplate(t, template.dir) })
	root := t.TempDir()
	w := &world{t: t, dir: filepath.Join(root, "shop"), bare: filepath.Join(root, "remote.git")}
	if err := os.CopyFS(root, os.DirFS(template.dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "evidence"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.git(w.dir, "remote", "set-url", "origin", w.bare)
	w.rb = &runbook.Runbook{Dir: w.dir, Service: "shop", Repo: runbook.Repo{Version: runbook.Version{Files: []string{"VERSION"}}}}
	w.in = &state.Incident{ID: "INC-20261122-01", Title: "Login fails for empty profiles", Issue: "PROD-2847", Severity: 1, Attempt: 1,
		Facts: map[string]string{}, Steps: []state.Step{{No: 6, Items: []state.Item{{ID: "6.signoff"}, {ID: "4.change"}}}}}
	return w
}

func (w *world) git(dir string, args ...string) string {
	w.t.Helper()
	out, err := w.tryGit(dir, args...)
	if err != nil {
		w.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (w *world) tryGit(dir string, args ...string) (string, error) {
	c := exec.Command("git", args...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (w *world) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

func (w *world) commit(message string) string {
	w.t.Helper()
	w.git(w.dir, "add", "-A")
	w.git(w.dir, "commit", "-q", "-m", message)
	return w.git(w.dir, "rev-parse", "HEAD")
}

func (w *world) job(item string, values map[string]string) steps.Job {
	w.runs++
	w.out.Reset()
	return steps.Job{Item: state.Item{ID: item}, Run: item, Incident: w.in.Clone(), Values: values, Output: &w.out,
		Now: time.Now, Evidence: filepath.Join(filepath.Dir(w.dir), "evidence")}
}

// try runs an item and keeps its facts when it succeeds.
func (w *world) try(item string, values map[string]string) (steps.Outcome, error) {
	w.t.Helper()
	o, err := New(w.rb).Actions()[item].Run(w.t.Context(), w.job(item, values))
	if err == nil {
		for k, v := range o.Facts {
			w.in.Facts[k] = v
		}
	}
	return o, err
}

func (w *world) do(items ...string) steps.Outcome {
	w.t.Helper()
	var o steps.Outcome
	for _, item := range items {
		var err error
		if o, err = w.try(item, nil); err != nil {
			w.t.Fatalf("%s: %v\n%s", item, err, w.out.String())
		}
	}
	return o
}

// refused insists on a problem with a code and words in it.
func (w *world) refused(item string, values map[string]string, code string, says ...string) {
	w.t.Helper()
	_, err := w.try(item, values)
	if !state.HasCode(err, code) {
		w.t.Fatalf("%s: %v, want code %s\n%s", item, err, code, w.out.String())
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			w.t.Errorf("%s: %q does not say %q", item, err, s)
		}
	}
}

func (w *world) preview(item string) steps.Preview {
	w.t.Helper()
	p, err := New(w.rb).Actions()[item].Preview(w.t.Context(), w.job(item, nil))
	if err != nil {
		w.t.Fatalf("preview of %s: %v", item, err)
	}
	return p
}

// hotfix goes up to the pushed release.
func (w *world) hotfix() {
	w.t.Helper()
	w.do("3.baseline", "3.branch", "3.push")
	w.write("login.go", "package shop\n\nfunc login() int { return 200 }\n")
	w.do("4.change", "6.commit")
	w.approve()
	w.do("7.version", "7.tag", "7.push")
}

func (w *world) approve() { w.in.Facts["approved"] = w.in.Facts["commit"] }

func (w *world) remote(ref string) string {
	w.t.Helper()
	out, _ := w.tryGit(w.bare, "rev-parse", "-q", "--verify", ref)
	return out
}

// colleague pushes a commit with this file to a branch from another clone.
func (w *world) colleague(branch, file, text string) string {
	w.t.Helper()
	other := filepath.Join(w.t.TempDir(), "other")
	w.git(filepath.Dir(other), "clone", "-q", "-b", branch, w.bare, other)
	if err := os.WriteFile(filepath.Join(other, file), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	w.git(other, "add", "-A")
	w.git(other, "commit", "-q", "-m", "a colleague's work")
	w.git(other, "push", "-q", "origin", branch)
	return w.git(other, "rev-parse", "HEAD")
}

// hook installs a hook in the bare remote.
func (w *world) hook(name, script string) {
	w.t.Helper()
	// A process that is being forked meanwhile would hold the file open for writing until
	// its exec, and what is open for writing cannot be executed: "text file busy".
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(filepath.Join(w.bare, "hooks", name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		w.t.Fatal(err)
	}
}
