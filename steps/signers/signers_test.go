package signers_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/signers"
)

// desk is where keys are made and texts are signed, by the real ssh-keygen.
type desk struct {
	t   *testing.T
	dir string
	rb  *runbook.Runbook
}

const text = "mayday approval v1\nincident: INC-1\n"

// newDesk has the keys of carol and dan, who are people; of mallory, who is none.
func newDesk(t *testing.T) *desk {
	t.Helper()
	if _, err := exec.LookPath(signers.Program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("there is no ssh-keygen here (Debian: openssh-client)")
	}
	d := &desk{t: t, dir: t.TempDir()}
	for _, who := range []string{"carol", "dan", "mallory"} {
		d.keygen("-q", "-t", "ed25519", "-N", "", "-C", who, "-f", who)
	}
	d.rb = &runbook.Runbook{Signers: d.path("allowed"), People: []runbook.Person{
		{Name: "Carol", User: "carol", Contact: "carol@example.com"}, {Name: "Dan", User: "dan"}}}
	return d
}

func (d *desk) path(name string) string { return filepath.Join(d.dir, name) }

func (d *desk) keygen(args ...string) string {
	d.t.Helper()
	cmd := exec.CommandContext(d.t.Context(), signers.Program, args...)
	cmd.Dir = d.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
	return string(out)
}

// sign gives who's signature.
func (d *desk) sign(who, namespace, text string) string {
	d.t.Helper()
	d.write("text", text)
	_ = os.Remove(d.path("text.sig"))
	d.keygen("-Y", "sign", "-n", namespace, "-f", who, "text")
	return d.read("text.sig")
}

func (d *desk) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) read(name string) string {
	d.t.Helper()
	data, err := os.ReadFile(d.path(name))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(data)
}

// allow writes the file of signers: of each line's end the key's name becomes the key.
func (d *desk) allow(lines ...string) {
	d.t.Helper()
	var out strings.Builder
	for _, l := range lines {
		i := strings.LastIndexByte(l, ' ')
		out.WriteString(l[:i] + " " + d.read(l[i+1:]+".pub"))
	}
	d.write("allowed", out.String())
}

func (d *desk) verify(text, signature string) (state.Signed, error) {
	return signers.New(d.rb).Verify(d.t.Context(), text, signature)
}

func TestWhoSigned(t *testing.T) {
	d := newDesk(t)
	good := d.sign("carol", state.Namespace, text)
	fingerprint := strings.Fields(d.keygen("-l", "-f", "carol.pub"))[1]
	for _, principal := range []string{"carol", "Carol", "carol@example.com", "CAROL@example.com", "carol@example.com,carol"} {
		d.allow(principal+" carol", "dan dan")
		s, err := d.verify(text, good)
		if err != nil || s.Person != "Carol" || s.Key != "ED25519 "+fingerprint || s.Fingerprint() != fingerprint || len(s.Signers) != 64 ||
			s.Principal != strings.SplitN(principal, ",", 2)[0] {
			t.Errorf("%s: %+v, %v", principal, s, err)
		}
	}
	// As mayday writes signatures down, ssh-keygen reads them too.
	_, kept, err := state.ParseApproval([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.verify(text, kept); err != nil {
		t.Errorf("its own form: %v", err)
	}
}

func TestRefusedSignatures(t *testing.T) {
	d := newDesk(t)
	good := d.sign("carol", state.Namespace, text)
	for _, c := range []struct{ name, allowed, text, signature, says string }{
		{"another text", "carol carol", text + "x", good, "incorrect signature"},
		{"for git", "carol carol", text, d.sign("carol", "git", text), "namespace does not match"},
		{"allowed for git only", `carol namespaces="git" carol`, text, good, `not permitted for use in signature namespace "mayday"`},
		{"expired", `carol valid-before="20200101" carol`, text, good, "key has expired"},
		{"not yet", `carol valid-after="20990101" carol`, text, good, "not yet valid"},
		{"unknown", "dan dan", text, good, "No principal matched"},
		{"somebody else's key", "carol carol", text, d.sign("mallory", state.Namespace, text), "No principal matched"},
		{"a stranger", "mallory@example.com mallory", text, d.sign("mallory", state.Namespace, text), "mallory@example.com's, whom the runbook does not name"},
		{"everybody", "* mallory", text, d.sign("mallory", state.Namespace, text), "whom the runbook does not name"},
		{"two at once", "carol,dan carol", text, good, "it stands for both"},
		{"not a signature", "carol carol", text, "junk", "missing header"},
		{"a damaged one", "carol carol", text, strings.Replace(good, "AAAA", "AAAB", 1), "ssh-keygen"},
	} {
		d.allow(c.allowed)
		s, err := d.verify(c.text, c.signature)
		if !state.HasCode(err, "signature") || !strings.Contains(err.Error(), c.says) || state.AsProblem(err).Do == "" {
			t.Errorf("%s: %+v, %v", c.name, s, err)
		}
	}
}

func TestRevokedKeys(t *testing.T) {
	d := newDesk(t)
	d.allow("carol carol", "dan dan")
	d.rb.Revoked = d.path("revoked")
	signature := d.sign("carol", state.Namespace, text)
	if _, err := d.verify(text, signature); !state.HasCode(err, "signers") {
		t.Errorf("a list of revoked keys that is not there: %v", err)
	}
	d.write("revoked", "")
	if _, err := d.verify(text, signature); err != nil {
		t.Errorf("none is revoked: %v", err)
	}
	lists := map[string]func(){
		"a list": func() { d.write("revoked", d.read("carol.pub")) },
		"a KRL":  func() { d.keygen("-q", "-k", "-f", "revoked", "carol.pub") },
	}
	for name, revoke := range lists {
		revoke()
		if _, err := d.verify(text, signature); !state.HasCode(err, "signature") || !strings.Contains(err.Error(), "revoked in "+d.rb.Revoked) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := d.verify(text, d.sign("dan", state.Namespace, text)); err != nil {
			t.Errorf("%s, and another's key: %v", name, err)
		}
	}
}

// A certificate of an authority in the file counts for whom it names.
func TestCertificates(t *testing.T) {
	d := newDesk(t)
	d.keygen("-q", "-t", "ed25519", "-N", "", "-f", "ca")
	d.keygen("-q", "-s", "ca", "-I", "id", "-n", "dan", "dan.pub")
	d.allow("dan cert-authority ca")
	s, err := d.verify(text, d.sign("dan-cert.pub", state.Namespace, text))
	if err != nil || s.Person != "Dan" || !strings.HasPrefix(s.Key, "ED25519-CERT SHA256:") {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestWhatCannotBeLookedAt(t *testing.T) {
	d := newDesk(t)
	if signers.New(new(runbook.Runbook)) != nil {
		t.Error("signers without a file")
	}
	s := signers.New(d.rb)
	check := func(name, code, says string) {
		t.Helper()
		_, verr := d.verify(text, "junk")
		for _, err := range []error{s.Check(t.Context()), verr} {
			if !state.HasCode(err, code) || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	check("no file", "signers", "there is no file "+d.rb.Signers)
	d.write("allowed", "")
	check("an empty file", "signers", "is empty")
	d.rb.Signers = d.dir
	s = signers.New(d.rb)
	check("a folder", "signers", "is no file")

	d.rb.Signers = d.path("allowed")
	s = signers.New(d.rb)
	d.allow("carol carol")
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("all is there: %v", err)
	}
	signature := d.sign("carol", state.Namespace, text)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Verify(over, text, signature); !state.HasCode(err, "cancelled") {
		t.Errorf("cancelled: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	check("no ssh-keygen", "no-ssh-keygen", "openssh-client")
}
