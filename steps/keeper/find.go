package keeper

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"mayday/state"
)

var hashed = regexp.MustCompile(`^(.+)-[0-9a-f]{8}\.sock$`)

// alias is a socket's second name, made of the incident's id alone: other accounts,
// who are told the id, can compute no hash of a folder they do not know. "" where the
// name is not one of Socket's.
func alias(socket string) string {
	m := hashed.FindStringSubmatch(filepath.Base(socket))
	if m == nil {
		return ""
	}
	return filepath.Join(filepath.Dir(socket), m[1]+".sock")
}

// announce makes the second name. Of two incidents with one id, in two homes, the
// newer has it.
func announce(socket string) error {
	name := alias(socket)
	if name == "" {
		return nil
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("take the dead keeper's name: %w", err)
	}
	if err := os.Symlink(filepath.Base(socket), name); err != nil {
		return fmt.Errorf("open the socket to colleagues: %w", err)
	}
	return nil
}

// unannounce takes the second name away, if it still leads here.
func unannounce(socket string) {
	name := alias(socket)
	if to, err := os.Readlink(name); name != "" && err == nil && to == filepath.Base(socket) {
		_ = os.Remove(name) // what stays leads nowhere, and the next keeper replaces it
	}
}

// Find gives the socket of an incident that another account of this host keeps, by its
// id: in $MAYDAY_RUNTIME_DIR if that is set, else in the other accounts' folders below
// the system's temporary one. Only a folder counts that nobody but its owner can write
// to. The error's code is "no-keeper" where there is none, "two-keepers" where several
// accounts have one.
func Find(id string) (string, error) {
	dirs := []string{os.Getenv("MAYDAY_RUNTIME_DIR")}
	if dirs[0] == "" {
		var err error
		if dirs, err = filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*")); err != nil {
			return "", fmt.Errorf("look for the keeper: %w", err)
		}
	}
	var found []string
	for _, dir := range dirs {
		socket := filepath.Join(dir, id+".sock")
		owner, ok := private(dir)
		if !ok || owner == os.Getuid() || !ownedBy(socket, owner) {
			continue
		}
		if of, below := strings.CutPrefix(filepath.Base(dir), folderPrefix); below && filepath.Dir(dir) == filepath.Clean(os.TempDir()) && of != strconv.Itoa(owner) {
			continue // somebody else's folder under their name
		}
		found = append(found, socket)
	}
	switch len(found) {
	case 0:
		return "", &state.Problem{Code: codeNoKeeper, What: "nobody on this host keeps " + state.Clean(id), Do: "Ask for its id and host: pages and messages name both. Its keeper must run: mayday keeper."}
	case 1:
		return found[0], nil
	}
	return "", &state.Problem{Code: "two-keepers", What: "several accounts of this host keep a " + state.Clean(id), Why: strings.Join(found, ", "),
		Do: "Set MAYDAY_RUNTIME_DIR to the folder of the one that you mean."}
}

// private gives a folder's owner. ok is false where somebody else may write to it.
func private(dir string) (owner int, ok bool) {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm()&0o022 != 0 {
		return 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}

// ownedBy reports whether a socket is there, and this account's.
func ownedBy(socket string, owner int) bool {
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == owner
}
