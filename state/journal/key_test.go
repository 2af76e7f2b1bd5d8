package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestDerivedKey: the same each time, another for each purpose and incident, and not to
// be had from the journal.
func TestDerivedKey(t *testing.T) {
	key := func(folder, purpose string) []byte {
		t.Helper()
		k, err := DerivedKey(folder, purpose)
		if err != nil || len(k) != 32 {
			t.Fatalf("%d bytes, %v", len(k), err)
		}
		return k
	}
	var folders []string
	for _, id := range []string{"INC-1", "INC-2"} {
		j, err := Create(filepath.Join(t.TempDir(), id))
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		folders = append(folders, j.Folder())
	}
	one := key(folders[0], "a")
	if !bytes.Equal(one, key(folders[0], "a")) || bytes.Equal(one, key(folders[0], "b")) || bytes.Equal(one, key(folders[1], "a")) {
		t.Error("keys are not told apart")
	}
	if err := os.Remove(filepath.Join(folders[0], keyFile)); err != nil {
		t.Fatal(err)
	}
	if k, err := DerivedKey(folders[0], "a"); err == nil {
		t.Errorf("a key of %d bytes from the journal alone", len(k))
	}
	if err := os.WriteFile(filepath.Join(folders[0], keyFile), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if k, err := DerivedKey(folders[0], "a"); err == nil {
		t.Errorf("a key of %d bytes from nonsense", len(k))
	}
}
