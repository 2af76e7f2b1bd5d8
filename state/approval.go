package state

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"strings"
)

// Namespace is what signatures of statements are made for (ssh-keygen -Y sign -n): one
// made for anything else, such as a git commit, approves nothing.
const Namespace = "mayday"

// statementTitle is a statement's first line; another format gets another number.
const statementTitle = "mayday approval v1"

// maxApproval bounds what ParseApproval reads, in bytes.
const maxApproval = 64 << 10

// Statement is what a reviewer signs to approve a change: all of it, so that the
// signature counts for nothing else.
type Statement struct {
	Incident string `json:"incident"`
	Tag      string `json:"tag"`      // the version that is to be made of it
	Baseline string `json:"baseline"` // the commit that production runs
	Commit   string `json:"commit"`   // the commit that is approved
	Diff     string `json:"diff"`     // SHA-256, in hex, of what git diff-tree -r -z BASELINE COMMIT prints
}

// fields are the lines of a statement, in their order.
func (s *Statement) fields() []statementField {
	return []statementField{{"incident", &s.Incident}, {"tag", &s.Tag}, {"baseline", &s.Baseline}, {"commit", &s.Commit}, {"diff", &s.Diff}}
}

type statementField struct {
	name  string
	value *string
}

// Text is the statement as it is signed, byte for byte.
func (s Statement) Text() string {
	var b strings.Builder
	b.WriteString(statementTitle + "\n")
	for _, f := range s.fields() {
		b.WriteString(f.name + ": " + *f.value + "\n")
	}
	return b.String()
}

// Differs says in words where the statement is not the one wanted; none: it is.
func (s Statement) Differs(want Statement) []string {
	var out []string
	is := s.fields()
	for i, f := range want.fields() {
		if *is[i].value != *f.value {
			out = append(out, fmt.Sprintf("%s %s instead of %s", f.name, *is[i].value, *f.value))
		}
	}
	return out
}

// ParseStatement reads what Text wrote. Space around lines, and empty ones, are let pass.
func ParseStatement(text string) (Statement, error) {
	var s Statement
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	fields := s.fields()
	n := -1 // of fields, behind the title
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if n < 0 && line != statementTitle || n >= len(fields) {
			return Statement{}, notAStatement(line)
		}
		if n >= 0 {
			value, ok := strings.CutPrefix(line, fields[n].name+": ")
			if value = strings.TrimSpace(value); !ok || value == "" || Clean(value) != value || strings.ContainsRune(value, ' ') {
				return Statement{}, notAStatement(line)
			}
			*fields[n].value = value
		}
		n++
	}
	if n < len(fields) {
		return Statement{}, notAStatement("it ends too early")
	}
	return s, nil
}

func notAStatement(why string) error {
	if r := []rune(Clean(why)); len(r) > 60 {
		why = string(r[:60]) + "…"
	}
	return &Problem{Code: "statement", What: "this is no statement of mayday's", Why: Clean(why), Do: "Sign what mayday approve --statement prints, as it is."}
}

// Signed is a signature of a statement and whose it is, as ssh-keygen found. Nothing of
// it is secret: whoever has the signers' file can check it again.
type Signed struct {
	Person    string    `json:"person"`    // of the runbook
	Principal string    `json:"principal"` // as the signers' file names them
	Key       string    `json:"key"`       // "ED25519 SHA256:w+qt…"
	Statement Statement `json:"statement"`
	Signature string    `json:"signature"` // armored
	Signers   string    `json:"signers"`   // SHA-256, in hex, of the signers' file
}

// Fingerprint is the key's, without its type.
func (s Signed) Fingerprint() string {
	_, print, ok := strings.Cut(s.Key, " ")
	if !ok {
		return s.Key
	}
	return print
}

const (
	armorType  = "SSH SIGNATURE"
	armorBegin = "-----BEGIN " + armorType + "-----"
	signatures = "SSHSIG" // what each begins with, PROTOCOL.sshsig
)

// ParseApproval takes apart what a reviewer sent: a statement (it may be missing) and
// its signature behind it, as ssh-keygen -Y sign writes it. The signature comes back
// as ssh-keygen reads it, whatever a mail did to its lines. Whether it is a good one is
// not looked at.
func ParseApproval(data []byte) (statement, signature string, err error) {
	fail := func(why string) (string, string, error) {
		return "", "", &Problem{Code: "approval", What: "there is no SSH signature to take in", Why: why,
			Do: "Sign the statement (ssh-keygen -Y sign -n " + Namespace + " -f KEY FILE), then import FILE.sig."}
	}
	if len(data) > maxApproval {
		return fail(fmt.Sprintf("it is longer than %d KiB", maxApproval>>10))
	}
	text := strings.ReplaceAll(strings.TrimPrefix(string(data), "\ufeff"), "\r\n", "\n")
	at := strings.Index(text, armorBegin)
	if at < 0 {
		return fail("no line says " + armorBegin)
	}
	var lines strings.Builder
	for line := range strings.Lines(text[at:]) {
		lines.WriteString(strings.TrimSpace(line) + "\n")
	}
	block, rest := pem.Decode([]byte(lines.String()))
	switch {
	case block == nil || block.Type != armorType || len(block.Headers) > 0:
		return fail("its lines are damaged")
	case !bytes.HasPrefix(block.Bytes, []byte(signatures)):
		return fail("what is in it is none")
	case strings.TrimSpace(string(rest)) != "":
		return fail("something follows the signature")
	}
	return strings.TrimSpace(text[:at]), string(pem.EncodeToMemory(block)), nil
}

// ForReview gives the statement that an approval of the newest commit signs. ok is
// false before there is one.
func (in *Incident) ForReview() (s Statement, ok bool) {
	f := in.Facts
	s = Statement{Incident: in.ID, Tag: f["review.tag"], Baseline: f["review.baseline"], Commit: f["review.commit"], Diff: f["review.diff"]}
	for _, field := range s.fields() {
		if *field.value == "" {
			return s, false
		}
	}
	return s, true
}
