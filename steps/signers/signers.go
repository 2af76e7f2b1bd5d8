// Package signers tells whose SSH signature one is, by ssh-keygen -Y and the runbook's
// file of allowed signers (ALLOWED SIGNERS in ssh-keygen(1)). ssh-keygen decides what
// counts: which keys and certificates, for which namespaces, from when to when, and what
// was revoked. Which responder a principal is, the runbook's people decide.
package signers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/shell"
)

// Program is what looks at signatures: OpenSSH's, version 8.2 or newer.
const Program = "ssh-keygen"

// timeout bounds one call (real time); a hardware key is not needed for looking.
const timeout = 5 * time.Second

// Signers are a runbook's. Safe for concurrent use.
type Signers struct {
	file, revoked string
	people        []runbook.Person
}

// New gives the runbook's signers, nil where it has none. It reads nothing.
func New(rb *runbook.Runbook) *Signers {
	if rb.Signers == "" {
		return nil
	}
	return &Signers{rb.Signers, rb.Revoked, rb.People}
}

// File names the file that lists them.
func (s *Signers) File() string { return s.file }

// Check says why signatures could not be verified here: no ssh-keygen, or a file that
// is missing or empty. nil where they can.
func (s *Signers) Check(ctx context.Context) error {
	if _, err := s.sum(); err != nil {
		return err
	}
	if s.revoked != "" {
		if _, err := read(s.revoked, "revoked_signers"); err != nil {
			return err
		}
	}
	_, err := shell.Run(ctx, shell.Spec{Args: []string{Program, "-Y", "find-principals", "-f", s.file, "-s", os.DevNull}, Timeout: timeout})
	if !state.HasCode(err, "exit") { // /dev/null is no signature
		return missing(err)
	}
	return nil
}

// Verify gives who signed text: a principal of the file that is one person of the
// runbook. Refusals have the code "signature"; the others ("signers", "no-ssh-keygen",
// "timed-out", "cancelled") mean that it could not be looked at.
func (s *Signers) Verify(ctx context.Context, text, signature string) (state.Signed, error) {
	sum, err := s.sum()
	if err != nil {
		return state.Signed{}, err
	}
	dir, err := os.MkdirTemp("", "mayday-sign-")
	if err != nil {
		return state.Signed{}, fmt.Errorf("look at a signature: %w", err)
	}
	defer os.RemoveAll(dir)
	c := &call{Signers: s, signature: filepath.Join(dir, "signature"), text: filepath.Join(dir, "text")}
	for name, data := range map[string]string{c.signature: signature, c.text: text} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			return state.Signed{}, fmt.Errorf("look at a signature: %w", err)
		}
	}
	found, said, err := c.run(ctx, "find-principals", "-f", s.file, "-s", c.signature)
	if err != nil {
		return state.Signed{}, refused(err, "nobody's signature", said, "The key must be in "+s.file+", valid today.")
	}
	who, principal, err := s.person(strings.Fields(found))
	if err != nil {
		return state.Signed{}, err
	}
	key, err := c.verify(ctx, principal)
	if err != nil {
		return state.Signed{}, err
	}
	return state.Signed{Person: who.Name, Principal: state.Clean(principal), Key: key, Signers: sum}, nil
}

// person finds the one responder that the key's principals are. A pattern is nobody.
func (s *Signers) person(principals []string) (who runbook.Person, principal string, err error) {
	for _, name := range principals {
		for _, p := range s.people {
			switch {
			case !strings.EqualFold(name, p.Name) && name != p.User && !strings.EqualFold(name, p.Contact):
			case principal == "":
				who, principal = p, name
			case who.Name != p.Name:
				return who, "", &state.Problem{Code: "signature", What: "the signature's key is " + who.Name + "'s and " + p.Name + "'s",
					Why: "it stands for both in " + s.file, Do: "One key, one person: correct the file."}
			}
		}
	}
	if principal == "" {
		return who, "", &state.Problem{Code: "signature", What: "whoever signed is not in this incident", Why: "the key is " + state.Clean(strings.Join(principals, ", ")) + "'s, whom the runbook does not name",
			Do: "Add them under people, with that as name, user or contact."}
	}
	return who, principal, nil
}

type call struct {
	*Signers
	signature, text string
}

var good = regexp.MustCompile(`(?m)^Good "` + state.Namespace + `" signature .* with (\S+) key (\S+)\s*$`)

// verify lets ssh-keygen decide, for a principal, and gives the key.
func (c *call) verify(ctx context.Context, principal string) (key string, err error) {
	args := []string{"verify", "-n", state.Namespace, "-f", c.file, "-I", principal, "-s", c.signature}
	revoked := args
	if c.revoked != "" {
		if _, err := read(c.revoked, "revoked_signers"); err != nil {
			return "", err
		}
		revoked = append(args[:len(args):len(args)], "-r", c.revoked)
	}
	out, said, err := c.run(ctx, revoked...)
	if err == nil {
		if m := good.FindStringSubmatch(out); m != nil {
			return state.Clean(m[1] + " " + m[2]), nil
		}
		return "", &state.Problem{Code: "signature", What: "ssh-keygen does not say that the signature is good", Why: state.Clean(out), Do: "Try it by hand: man ssh-keygen, -Y verify."}
	}
	if c.revoked != "" && state.HasCode(err, "exit") && said == "" {
		if _, _, err := c.run(ctx, args...); err == nil { // ssh-keygen is silent about it
			said = "its key is revoked in " + c.revoked
		}
	}
	return "", refused(err, principal+"'s signature", said, "Sign what mayday approve --statement prints now, unchanged, with -n "+state.Namespace+".")
}

// run calls ssh-keygen on the text. said is what it complained of.
func (c *call) run(ctx context.Context, args ...string) (out, said string, err error) {
	in, err := os.Open(c.text)
	if err != nil {
		return "", "", fmt.Errorf("look at a signature: %w", err)
	}
	defer in.Close()
	res, err := shell.Run(ctx, shell.Spec{Args: append([]string{Program, "-Y"}, args...), Env: []string{"LC_ALL=C"}, Input: in, Timeout: timeout, Keep: 64 << 10})
	return string(res.Stdout), strings.Join(res.Last, "; "), missing(err)
}

// refused makes a refusal of what ssh-keygen said; what kept it from looking stays.
func refused(err error, what, said, do string) error {
	if !state.HasCode(err, "exit") {
		return err
	}
	return &state.Problem{Code: "signature", What: "ssh-keygen does not accept " + what, Why: said, Do: do}
}

// missing says what to do where there is no ssh-keygen.
func missing(err error) error {
	if !state.HasCode(err, "not-found") {
		return err
	}
	return &state.Problem{Code: "no-ssh-keygen", What: "there is no " + Program + " here", Why: "the runbook has allowed_signers: approvals need it",
		Do: "Install OpenSSH's client (Debian: openssh-client), or override the sign-off with a reason."}
}

// maxFile bounds the files, in bytes.
const maxFile = 1 << 20

// sum is the SHA-256 of the file as it is now.
func (s *Signers) sum() (string, error) {
	data, err := read(s.file, "allowed_signers")
	if err != nil {
		return "", err
	}
	if len(data) == 0 {
		return "", &state.Problem{Code: "signers", What: "nobody can sign: " + s.file + " is empty", Do: "Put a line in it for each reviewer: carol@example.com ssh-ed25519 AAAA…"}
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

func read(path, key string) ([]byte, error) {
	fail := func(why string) ([]byte, error) {
		return nil, &state.Problem{Code: "signers", What: key + " cannot be used", Why: why, Do: "Correct " + key + " in the runbook, or the file."}
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail("there is no file " + path)
	case err != nil:
		return fail(state.Clean(err.Error()))
	case !info.Mode().IsRegular() || info.Size() > maxFile:
		return fail(path + " is no file of at most 1 MiB")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fail(state.Clean(err.Error()))
	}
	return data, nil
}
