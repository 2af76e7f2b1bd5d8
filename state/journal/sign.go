package journal

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"mayday/state"
)

// keyFile holds two lines: the private key, then the public one, as note writes them.
const keyFile = "journal.key"

// keys signs and verifies an incident's checkpoints.
type keys struct {
	signer note.Signer
	public string
}

// newKeys makes a key pair for an incident and writes it down.
func newKeys(fsys FS, folder string) (keys, error) {
	private, public, err := note.GenerateKey(nil, "mayday/"+filepath.Base(folder))
	if err != nil {
		return keys{}, fmt.Errorf("making the journal's key: %w", err)
	}
	if err := writeFile(fsys, filepath.Join(folder, keyFile), []byte(private+"\n"+public+"\n")); err != nil {
		return keys{}, problem("the journal's key cannot be written", err)
	}
	return parseKeys(private, public)
}

func loadKeys(folder string) (keys, error) {
	b, err := os.ReadFile(filepath.Join(folder, keyFile))
	if err != nil {
		return keys{}, err
	}
	private, public, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return parseKeys(private, public)
}

// DerivedKey gives a secret key of an incident for one purpose: always the same, and
// known only to who can read the incident's folder, not to who reads the journal. It is
// made from the private key that signs the journal, which keeps it nowhere else.
func DerivedKey(folder, purpose string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(folder, keyFile))
	if err != nil {
		return nil, problem("the incident's key cannot be read", err)
	}
	private, public, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	if _, err := parseKeys(private, public); err != nil {
		return nil, err
	}
	return hkdf.Key(sha256.New, []byte(private), nil, "mayday "+purpose, sha256.Size)
}

func parseKeys(private, public string) (keys, error) {
	s, err := note.NewSigner(private)
	if err != nil {
		// The cause would quote the key.
		return keys{}, errors.New("the journal's private key is not one")
	}
	if _, err := note.NewVerifier(public); err != nil {
		return keys{}, errors.New("the journal's public key is not one")
	}
	return keys{signer: s, public: public}, nil
}

// publicKey reads the public key in the folder, "" where there is none.
func publicKey(folder string) string {
	k, err := loadKeys(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return k.public
}

// text is what a checkpoint signs.
func text(key string, size uint64, head string) string {
	return fmt.Sprintf("%s\n%d\n%s\n", key, size, head)
}

func (k keys) checkpoint(size uint64, head string) (state.Checkpoint, error) {
	b, err := note.Sign(&note.Note{Text: text(k.signer.Name(), size, head)}, k.signer)
	if err != nil {
		return state.Checkpoint{}, fmt.Errorf("signing the journal: %w", err)
	}
	return state.Checkpoint{Size: size, Head: head, Note: string(b)}, nil
}

// checkNote says why a checkpoint is not signed by the key, nil where it is.
func checkNote(public string, c state.Checkpoint) error {
	if public == "" {
		return errors.New("there is no public key to check it with")
	}
	v, err := note.NewVerifier(public)
	if err != nil {
		return errors.New("the declared public key is not one")
	}
	n, err := note.Open([]byte(c.Note), note.VerifierList(v))
	if err != nil {
		return err
	}
	if n.Text != text(v.Name(), c.Size, c.Head) {
		return errors.New("the signed text says something else")
	}
	return nil
}
