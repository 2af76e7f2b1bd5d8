package kubetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// testbed is the folder that "make testbed" makes: the control plane, kubectl, and
// what they are given to read.
type testbed string

func (b testbed) file(name ...string) string {
	return filepath.Join(append([]string{string(b)}, name...)...)
}

// installed finds the testbed that was built from the sources as they are now.
// Without one it skips the test, and fails it where CI is "true".
func installed(t testing.TB) testbed {
	t.Helper()
	b, err := locate()
	switch {
	case err == nil:
		return b
	case os.Getenv("CI") == "true":
		t.Fatalf("no Kubernetes control plane: %v", err)
	default:
		t.Skipf("no Kubernetes control plane: %v", err)
	}
	return ""
}

func locate() (testbed, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	hash, err := hashSources(filepath.Join(root, "steps", "kube", "testbed"))
	if err != nil {
		return "", err
	}
	b := testbed(filepath.Join(root, ".cache", "testbed", hash))
	if _, err := os.Stat(string(b)); err != nil {
		return "", fmt.Errorf("%w; make testbed builds it, the first time in 5 to 12 minutes", err)
	}
	return b, nil
}

// moduleRoot walks up from the folder of the test.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(text, []byte("module mayday\n")) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("not below the module mayday")
		}
	}
}

// hashSources is what build.sh computes.
func hashSources(dir string) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", err
	}
	slices.Sort(files)
	sum := sha256.New()
	for _, f := range append(files, filepath.Join(dir, "build.sh"), filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum")) {
		text, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		sum.Write(text)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}
