package repo

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"mayday/state"
)

// What a reviewer computes with plain git is what mayday has computed.
func TestDiffHashIsGits(t *testing.T) {
	w := newWorld(t)
	w.write("a/b.txt", "1\n")
	w.write("a.c", "1\n")
	w.write("tool.sh", "#!/bin/sh\n")
	w.write("gone.txt", "1\n")
	w.write("link", "a file yet\n")
	w.write("dir", "a file yet\n")
	from := w.commit("before")
	w.write("a/b.txt", "2\n")
	w.write("a.c", "2\n")
	w.write("new ümlaut \"quoted\".txt", "1\n")
	w.write("moved/b.txt", "1\n")
	for _, name := range []string{"gone.txt", "link", "dir"} {
		if err := os.Remove(filepath.Join(w.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(w.dir, "tool.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a.c", filepath.Join(w.dir, "link")); err != nil {
		t.Fatal(err)
	}
	w.write("dir/now", "a folder\n")
	w.git(w.dir, "update-index", "--add", "--cacheinfo", "160000,"+from+",module")
	to := w.commit("after")

	cmd := exec.CommandContext(t.Context(), "git", "diff-tree", "-r", "-z", from, to)
	cmd.Dir = w.dir
	want, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	v, err := New(w.rb).open()
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.rawDiff(from, to)
	if err != nil || got.text != string(want) {
		t.Errorf("%v\n%q\ngit has\n%q", err, got.text, want)
	}
	if len(got.paths) < 8 {
		t.Errorf("paths %q", got.paths)
	}
}

func TestWhatIsUnderReview(t *testing.T) {
	w := newWorld(t)
	w.do("3.baseline", "3.branch")
	w.write("login.go", "package shop\n\nfunc login() int { return 200 }\n")
	w.do("4.change", "6.commit")
	f := w.in.Facts
	cmd := exec.CommandContext(t.Context(), "git", "diff-tree", "-r", "-z", f["baseline.commit"], f["commit"])
	cmd.Dir = w.dir
	raw, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(raw)
	s, ok := w.in.ForReview()
	if want := (state.Statement{Incident: w.in.ID, Tag: "v1.2.4", Baseline: f["baseline.commit"], Commit: w.git(w.dir, "rev-parse", "HEAD"), Diff: hex.EncodeToString(sum[:])}); !ok || s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
	if f["review.authors"] != "Alice <alice@example.com>" || f["review.signers"] != "" {
		t.Errorf("%v", f)
	}
}

// sign approves as a signature does.
func (w *world) sign() {
	f := w.in.Facts
	f["approved"], f["approved.tag"], f["approved.key"] = f["review.commit"], f["review.tag"], "ED25519 SHA256:x"
}

func TestASignatureIsForOneVersion(t *testing.T) {
	w := newWorld(t)
	w.do("3.baseline", "3.branch")
	w.write("login.go", "package shop\n\nfunc login() int { return 200 }\n")
	w.do("4.change")
	w.refused("6.commit", map[string]string{"version": "v1.2.3"}, "tag-exists")
	if _, err := w.try("6.commit", map[string]string{"version": "1.3.0"}); err != nil || w.in.Facts["review.tag"] != "v1.3.0" {
		t.Fatalf("%q, %v", w.in.Facts["review.tag"], err)
	}
	w.do("6.commit") // again: what was asked for stays
	w.sign()
	w.refused("7.version", map[string]string{"version": "v1.2.4"}, "other-version", "v1.3.0", "v1.2.4")
	// Somebody takes it meanwhile: another version is not approved.
	w.git(w.dir, "tag", "-a", "v1.3.0", "-m", "x", "develop")
	w.refused("7.version", nil, "other-version", "v1.3.0")
	w.git(w.dir, "tag", "-d", "v1.3.0")
	w.do("7.version", "7.tag")
	if w.in.Facts["tag"] != "v1.3.0" {
		t.Errorf("tag %s", w.in.Facts["tag"])
	}
	w.do("6.commit")
	if f := w.in.Facts; f["review.tag"] != "v1.3.0" {
		t.Errorf("under review is %s", f["review.tag"])
	}
}

func TestWhereSignaturesAreNeeded(t *testing.T) {
	w := newWorld(t)
	w.rb.Signers = filepath.Join(w.dir, "signers")
	w.do("3.baseline", "3.branch")
	w.write("login.go", "package shop\n\nfunc login() int { return 200 }\n")
	w.write("signers", "mallory ssh-ed25519 AAAA\n")
	w.do("4.change")
	w.refused("6.commit", nil, "signers-changed", "signers is part of it")
	if log := w.git(w.dir, "log", "--format=%s", "v1.2.3.."); log != "" {
		t.Errorf("committed all the same: %s", log)
	}
	w.commit("by hand, with it")
	w.refused("6.commit", nil, "signers-changed")
	if err := os.Remove(filepath.Join(w.dir, "signers")); err != nil {
		t.Fatal(err)
	}
	w.commit("by hand, without it")
	w.do("4.change", "6.commit")
	if w.in.Facts["review.signers"] != w.rb.Signers {
		t.Errorf("%v", w.in.Facts)
	}
	w.approve()
	w.refused("7.version", nil, "not-signed", w.rb.Signers)
	w.sign()
	w.do("7.version", "7.tag")
	w.in.Facts["approved.key"] = ""
	w.in.Item("6.signoff").Status = state.ItemOverridden
	w.do("7.tag")
}
