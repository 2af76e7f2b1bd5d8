package keeper

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mayday/state"
)

func TestSocketFolder(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Setenv("MAYDAY_RUNTIME_DIR", "")
	name, err := Socket("/home/x/incidents/INC-1")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(name)
	if filepath.Dir(dir) != tmp || mode(t, dir) != os.ModeDir|0o711 {
		t.Errorf("%s in %s with %s", name, tmp, mode(t, dir))
	}
	if !strings.HasPrefix(filepath.Base(name), "INC-1-") {
		t.Errorf("people cannot tell whose socket %s is", name)
	}
	other, err := Socket("/home/y/incidents/INC-1")
	if err != nil || other == name {
		t.Errorf("the same id under two homes: %s %s %v", name, other, err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err = Socket("/x"); err != nil || mode(t, dir).Perm() != 0o711 {
		t.Errorf("a folder that others can write to stays so: %s %v", mode(t, dir), err)
	}
}

func TestSocketFolderOfAnother(t *testing.T) {
	refused := func(why, dir string) {
		t.Helper()
		t.Setenv("MAYDAY_RUNTIME_DIR", dir)
		if _, err := Socket("/x"); !state.HasCode(err, "runtime-dir") {
			t.Errorf("%s: %v", why, err)
		}
	}
	own := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(own, link); err != nil {
		t.Fatal(err)
	}
	refused("a link", link)
	theirs := "/" // root's
	if os.Getuid() == 0 {
		theirs = t.TempDir()
		if err := os.Chown(theirs, 12345, 12345); err != nil {
			t.Fatal(err)
		}
	}
	refused("another account's folder", theirs)
	t.Setenv("MAYDAY_RUNTIME_DIR", own)
	if _, err := Socket("/x"); err != nil {
		t.Error(err)
	}
}
