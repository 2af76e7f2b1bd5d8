// Package keeper puts the Engine behind a Unix socket, so that one process acts
// and every other cockpit and command is its client, and lets another process
// take over when the keeper dies.
//
// The protocol is JSON, one value a line. A client says hello, then sends requests
// with an id; the keeper streams frames (to clients that watch) and answers with
// the same id. Who is asking is not in the protocol: it is read from the socket's
// peer credentials.
package keeper

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"mayday/state"
)

// protocol is raised when an older mayday would misunderstand a newer one.
const protocol = 1

// folderPrefix begins the name of an account's folder of sockets; its number follows.
const folderPrefix = "mayday-"

// maxRequest bounds one line from a client, in bytes.
const maxRequest = 1 << 20

// hello is a client's first line.
type hello struct {
	Protocol int    `json:"protocol"`
	Via      string `json:"via"`
	Watch    bool   `json:"watch,omitempty"` // wants frames
	// As plays another person: in a drill only.
	As string `json:"as,omitempty"`
}

// request is an intent on the wire.
type request struct {
	ID   uint64          `json:"id"`
	Verb string          `json:"verb"`
	Data json.RawMessage `json:"data,omitempty"`
}

// reply is what the keeper sends: a frame, or the answer to a request, or (before
// it closes the connection) why it does not talk to this client.
type reply struct {
	Frame   *state.Frame   `json:"frame,omitempty"`
	ID      uint64         `json:"id,omitempty"`
	Answer  *state.Answer  `json:"answer,omitempty"`
	Problem *state.Problem `json:"problem,omitempty"`
	Ready   bool           `json:"ready,omitempty"` // the hello was accepted
}

// Socket gives the path of an incident's socket: in $MAYDAY_RUNTIME_DIR, else in a
// folder of this account's own below the system's temporary folder. Accounts that
// are not the keeper's find it by the folder's owner, see [Find].
func Socket(incidentFolder string) (string, error) {
	dir, err := runtimeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, socketName(incidentFolder)), nil
}

// socketName holds the incident's id for people and a hash of the whole path, as
// the same id may exist under two homes.
func socketName(folder string) string {
	abs, err := filepath.Abs(folder)
	if err != nil {
		abs = folder
	}
	sum := sha256.Sum256([]byte(abs))
	return filepath.Base(abs) + "-" + hex.EncodeToString(sum[:4]) + ".sock"
}

// runtimeDir makes the folder (0711: others may connect to a socket whose name
// they know, and list nothing) and checks that it is ours.
func runtimeDir() (string, error) {
	dir := os.Getenv("MAYDAY_RUNTIME_DIR")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), folderPrefix+strconv.Itoa(os.Getuid()))
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return "", fmt.Errorf("make the folder of sockets: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("look at the folder of sockets: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(st.Uid) != os.Getuid() {
		return "", &state.Problem{Code: "runtime-dir", What: dir + " is not a folder of your account",
			Why: "somebody else made it first", Do: "Set MAYDAY_RUNTIME_DIR to a folder of your own."}
	}
	// MkdirAll is subject to the umask, and the folder may be older.
	if os.Getenv("MAYDAY_RUNTIME_DIR") == "" && info.Mode().Perm() != 0o711 {
		if err := os.Chmod(dir, 0o711); err != nil {
			return "", fmt.Errorf("set the mode of the folder of sockets: %w", err)
		}
	}
	return dir, nil
}
