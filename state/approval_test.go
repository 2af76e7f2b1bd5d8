package state

import (
	"encoding/pem"
	"slices"
	"strings"
	"testing"
)

var approval = Statement{Incident: "INC-20261122-01", Tag: "v1.2.4", Baseline: "1a2b", Commit: "3f9c1d0", Diff: "51ab"}

// What is signed must never change by accident: signatures that people hold would not
// fit any more.
func TestStatementText(t *testing.T) {
	const want = "mayday approval v1\nincident: INC-20261122-01\ntag: v1.2.4\nbaseline: 1a2b\ncommit: 3f9c1d0\ndiff: 51ab\n"
	if got := approval.Text(); got != want {
		t.Errorf("%q", got)
	}
	for name, text := range map[string]string{"as it is": want, "by mail": "\r\n  " + strings.ReplaceAll(want, "\n", " \r\n\r\n")} {
		if got, err := ParseStatement(text); err != nil || got != approval {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, text := range map[string]string{"nothing": "", "a title": "mayday approval v1\n", "another version": strings.Replace(want, "v1", "v2", 1),
		"a line too few": strings.Replace(want, "diff: 51ab\n", "", 1), "a line too many": want + "and: more\n", "another order": strings.Replace(want, "tag", "commit", 1),
		"no value": strings.Replace(want, "v1.2.4", "", 1), "two words": strings.Replace(want, "v1.2.4", "v1.2.4 or so", 1), "an escape": strings.Replace(want, "v1.2.4", "v1\x1b[2J", 1)} {
		if got, err := ParseStatement(text); !HasCode(err, "statement") {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestStatementDiffers(t *testing.T) {
	if d := approval.Differs(approval); len(d) != 0 {
		t.Errorf("from itself by %v", d)
	}
	other := approval
	other.Tag, other.Commit = "v1.2.5", "aaa"
	if d := other.Differs(approval); !slices.Equal(d, []string{"tag v1.2.5 instead of v1.2.4", "commit aaa instead of 3f9c1d0"}) {
		t.Errorf("%q", d)
	}
}

const armored = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAA\n-----END SSH SIGNATURE-----\n"

func TestParseApproval(t *testing.T) {
	for name, text := range map[string]string{"as ssh-keygen writes it": armored, "behind what it signs": approval.Text() + armored,
		"by mail":        "\ufeff" + strings.ReplaceAll(approval.Text()+"\n  "+strings.ReplaceAll(armored, "\n", " \n  "), "\n", "\r\n"),
		"in short lines": strings.Replace(armored, "U1NI", "U1NI\n", 1)} {
		statement, signature, err := ParseApproval([]byte(text))
		if err != nil || signature != armored {
			t.Errorf("%s: %q, %v", name, signature, err)
		}
		if statement != "" {
			if s, err := ParseStatement(statement); err != nil || s != approval {
				t.Errorf("%s: %+v, %v", name, s, err)
			}
		}
	}
	for name, text := range map[string]string{"nothing": "", "a statement alone": approval.Text(), "a public key": "ssh-ed25519 AAAA carol\n", "cut short": armored[:50],
		"another block": strings.ReplaceAll(armored, "SSH SIGNATURE", "PGP SIGNATURE"), "not a signature": strings.Replace(armored, "U1NI", "AAAA", 1),
		"a header": strings.Replace(armored, "U1NI", "Key: value\n\nU1NI", 1), "two": armored + armored, "an essay": strings.Repeat("x", maxApproval) + armored} {
		if _, signature, err := ParseApproval([]byte(text)); !HasCode(err, "approval") {
			t.Errorf("%s: %q, %v", name, signature, err)
		}
	}
}

// Whatever is sent: what is taken in is a signature in the one form, and stays the same
// when it is taken in again.
func FuzzParseApproval(f *testing.F) {
	f.Add([]byte(approval.Text() + armored))
	f.Add([]byte(armored))
	f.Add([]byte("-----BEGIN SSH SIGNATURE-----\nA: b\n\n-----END SSH SIGNATURE-----"))
	f.Fuzz(func(t *testing.T, data []byte) {
		statement, signature, err := ParseApproval(data)
		if err != nil {
			if AsProblem(err).Do == "" || signature != "" {
				t.Errorf("refused with %v, and %q", err, signature)
			}
			return
		}
		if CleanLines(signature) != signature {
			t.Errorf("%q is not clean", signature)
		}
		if block, rest := pem.Decode([]byte(signature)); block == nil || len(rest) > 0 || !strings.HasPrefix(string(block.Bytes), signatures) {
			t.Errorf("%q holds no signature", signature)
		}
		if _, again, err := ParseApproval([]byte(signature)); err != nil || again != signature {
			t.Errorf("again: %q, %v", again, err)
		}
		if s, err := ParseStatement(statement); err == nil {
			if again, err := ParseStatement(s.Text()); err != nil || again != s {
				t.Errorf("%+v became %+v, %v", s, again, err)
			}
		}
	})
}

// A signature is folded as its owner's, not as whoever took it in.
func TestSignedItem(t *testing.T) {
	in := &Incident{Steps: []Step{{No: 6, Items: []Item{{ID: "6.signoff", Kind: SignOff}}}}}
	f := ItemSigned{Item: "6.signoff", Commit: "3f9c1d0", Comment: "small", Signed: &Signed{Person: "Carol", Principal: "carol@example.com",
		Key: "ED25519 SHA256:w+qt", Statement: approval, Signature: armored, Signers: "77"}}
	e := Event{Seq: 1, Actor: Actor{User: "alice", Host: "bastion"}, Fact: f}
	if err := in.Apply(e); err != nil {
		t.Fatal(err)
	}
	it := in.Item("6.signoff")
	if it.By != "Carol" || it.Status != ItemDone || it.SignedWith() != "ED25519 SHA256:w+qt" || it.Summary != "signed by ED25519 SHA256:w+qt" {
		t.Errorf("%+v, with %q", it, it.SignedWith())
	}
	if in.Facts["approved.by"] != "Carol" || in.Facts["approved.tag"] != "v1.2.4" || in.Facts["approved"] != "3f9c1d0" || in.Facts["approved.key"] != "ED25519 SHA256:w+qt" {
		t.Errorf("%v", in.Facts)
	}
	if said := in.Say(e); said.Text != "approved 3f9c1d0 by Carol, signed by ED25519 SHA256:w+qt, taken in by alice@bastion: small" {
		t.Errorf("%q", said.Text)
	}
	// Another approval, from an account: nothing of the signature is left.
	if err := in.Apply(Event{Seq: 2, Actor: Actor{User: "dan"}, Fact: ItemSigned{Item: "6.signoff", Commit: "aaa"}}); err != nil {
		t.Fatal(err)
	}
	if it = in.Item("6.signoff"); it.By != "dan" || it.SignedWith() != "" || in.Facts["approved.key"] != "" || in.Facts["approved.tag"] != "" {
		t.Errorf("%+v, %v", it, in.Facts)
	}
}
