package repo

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mayday/state"
	"mayday/steps"
)

// heard is an output that does something as soon as it holds a text.
type heard struct {
	bytes.Buffer
	text string
	do   func()
}

func (h *heard) Write(b []byte) (int, error) {
	n, err := h.Buffer.Write(b)
	if h.do != nil && bytes.Contains(h.Bytes(), []byte(h.text)) {
		h.do()
		h.do = nil
	}
	return n, err
}

// TestAnotherGitAtWork: while another git process holds the index, as one does that a
// killed keeper left, mayday's own waits for it; a lock that stays is told with what to do.
func TestAnotherGitAtWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("3.baseline")
	lock := filepath.Join(w.dir, ".git", "index.lock")
	if err := os.WriteFile(lock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(r *Repo, out *heard) (steps.Outcome, error) {
		job := w.job("3.branch", nil)
		job.Output = out
		return r.Actions()["3.branch"].Run(t.Context(), job)
	}
	r := New(w.rb)
	r.patience = 0
	if _, err := run(r, &heard{}); !state.HasCode(err, "locked") || !bytes.Contains([]byte(err.Error()), []byte("index.lock")) {
		t.Errorf("a lock that stays: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	job := w.job("3.branch", nil)
	job.Output = &heard{text: "another git process is at work here", do: cancel}
	if _, err := New(w.rb).Actions()["3.branch"].Run(ctx, job); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled while it waits: %v", err)
	}
	out := &heard{text: "another git process is at work here", do: func() {
		if err := os.Remove(lock); err != nil {
			t.Error(err)
		}
	}}
	if _, err := run(New(w.rb), out); err != nil || out.do != nil {
		t.Errorf("a lock that went: %v\n%s", err, out)
	}
	if got := w.git(w.dir, "branch", "--show-current"); !strings.HasPrefix(got, "hotfix/") {
		t.Errorf("on %s", got)
	}
}

// TestLookingLocksNothing: what only looks leaves the index as it is, for git would lock
// it to write a fresher one.
func TestLookingLocksNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	index := filepath.Join(w.dir, ".git", "index")
	before, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	files := w.git(w.dir, "ls-files")
	first, _, _ := bytes.Cut([]byte(files), []byte("\n"))
	if err := os.Chtimes(filepath.Join(w.dir, string(first)), time.Time{}, time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	w.do("1.state")
	after, err := os.ReadFile(index)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the survey wrote the index: %v", err)
	}
	if w.git(w.dir, "status"); t.Failed() {
		return
	}
	if fresh, err := os.ReadFile(index); err != nil || bytes.Equal(before, fresh) {
		t.Errorf("git status itself would not have written it, so this shows nothing: %v", err)
	}
}
