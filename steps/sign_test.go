package steps

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"mayday/state"
	"mayday/state/runbook"
)

// registry are signers whose signatures say who made them.
type registry map[string]state.Signed // by signature

func (registry) File() string { return "/srv/signers" }

func (r registry) Check(context.Context) error {
	if len(r) == 0 {
		return &state.Problem{Code: "signers", What: "allowed_signers cannot be used"}
	}
	return nil
}

func (r registry) Verify(ctx context.Context, text, signature string) (state.Signed, error) {
	s, ok := r[signature]
	if _, timed := ctx.Deadline(); !timed || !ok || !strings.HasPrefix(text, "mayday approval v1\n") {
		return s, &state.Problem{Code: "signature", What: "ssh-keygen does not accept it"}
	}
	return s, nil
}

const (
	byCarol  = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAB\n-----END SSH SIGNATURE-----\n"
	byAlice  = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAC\n-----END SSH SIGNATURE-----\n"
	byNobody = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lHAAAD\n-----END SSH SIGNATURE-----\n"
)

// signing wires signers, for people of whom Alice has an account and a key.
func signing(_ *rig, o *Options) {
	o.Runbook.People = []runbook.Person{{Name: "Alice A.", User: "alice", Contact: "alice@example.com"}, {Name: "Carol", User: "carol", Contact: "carol@example.com"}}
	o.Signers = registry{byCarol: {Person: "Carol", Principal: "carol@example.com", Key: "ED25519 SHA256:c", Signers: "77"},
		byAlice: {Person: "Alice A.", Principal: "alice@example.com", Key: "ED25519 SHA256:a"}}
}

// forReview makes 6.commit say all that a statement needs.
func (r *rig) forReview(user, hash, tag, authors string) {
	r.t.Helper()
	r.act(itemCommit, func(context.Context, Job) (Outcome, error) {
		return Outcome{Summary: hash, Facts: map[string]string{"commit": hash, "review.commit": hash, "review.baseline": "000", "review.tag": tag, "review.diff": "d" + hash,
			"review.authors": authors}}, nil
	})
	r.must(r.as(user, state.Run{Item: itemCommit}))
	r.until("committed", func(in *state.Incident) bool {
		return in.Facts["review.commit"] == hash && in.Facts["review.tag"] == tag && in.Item(itemCommit).Status == state.ItemDone
	})
}

func (r *rig) statement() string {
	r.t.Helper()
	a, err := r.Do(r.t.Context(), alice, state.Preview{Item: itemSignOff, Values: map[string]string{"show": "statement"}})
	r.must(err)
	return a.Text
}

func TestASignatureApproves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, signing)
		defer r.bye()
		refused := func(what, user string, v state.Sign, code string, says ...string) {
			t.Helper()
			v.Item = itemSignOff
			err := r.as(user, v)
			if !state.HasCode(err, code) || state.AsProblem(err).Do == "" && code != "signature" {
				t.Errorf("%s: %v, want %s", what, err, code)
			}
			for _, s := range says {
				if err != nil && !strings.Contains(err.Error(), s) {
					t.Errorf("%s: %q does not say %q", what, err, s)
				}
			}
		}
		refused("before anything is committed", "carol", state.Sign{Signature: byCarol}, "blocked")
		r.atReview()
		r.forReview("alice", "aaa", "v1.2.4", "Alice <alice@example.com>")
		old := r.statement()
		refused("from her account", "carol", state.Sign{}, "needs-signature", "/srv/signers", "--statement", "--import", "INC-1")
		refused("the author's key", "carol", state.Sign{Signature: byAlice}, "own-change", "alice committed it")
		refused("nobody's", "carol", state.Sign{Signature: byNobody}, "signature")
		refused("no signature", "carol", state.Sign{Signature: "junk"}, "approval")
		refused("of what mayday did not write", "carol", state.Sign{Signature: byCarol, Statement: "I approve"}, "statement")
		refused("to reject", "carol", state.Sign{Signature: byCarol, Reject: true}, "")
		other := strings.NewReplacer("INC-1", "INC-2", "v1.2.4", "v1.2.5").Replace(old)
		refused("another incident and version", "carol", state.Sign{Signature: byCarol, Statement: other}, "other-statement",
			"incident INC-2 instead of INC-1; tag v1.2.5 instead of v1.2.4")
		refused("another commit than named", "carol", state.Sign{Signature: byCarol, Commit: "bbb"}, "moved-on")

		// The author may carry it in.
		a, err := r.Do(t.Context(), alice, state.Sign{Item: itemSignOff, Signature: byCarol, Statement: old, Comment: "small"})
		r.must(err)
		if !slices.Equal(a.Lines, []string{"commit aaa", "signed by Carol with ED25519 SHA256:c"}) {
			t.Errorf("%q", a.Lines)
		}
		in := r.Incident()
		if it := in.Item(itemSignOff); it.By != "Carol" || it.Status != state.ItemDone || it.SignedWith() != "ED25519 SHA256:c" {
			t.Errorf("%+v", it)
		}
		events := r.journal.all()
		f, ok := events[len(events)-1].Fact.(state.ItemSigned)
		want, _ := in.ForReview()
		if !ok || f.Signed == nil || f.Signed.Signature != byCarol || f.Signed.Statement != want || f.Signed.Signers != "77" {
			t.Errorf("in the journal: %+v", events[len(events)-1])
		}

		// The same once more changes nothing; another version or commit voids it.
		r.forReview("alice", "aaa", "v1.2.4", "")
		if st := r.Incident().Item(itemSignOff).Status; st != state.ItemDone {
			t.Errorf("the same again, and it is %s", st)
		}
		for _, c := range []struct{ hash, tag, says string }{{"aaa", "v1.2.5", "tag v1.2.4 instead of v1.2.5"}, {"bbb", "v1.2.5", "commit aaa instead of bbb; diff daaa instead of dbbb"}} {
			r.forReview("alice", c.hash, c.tag, "")
			if it := r.Incident().Item(itemSignOff); it.Status != state.ItemOpen || it.SignedWith() != "" {
				t.Errorf("%s as %s: %+v", c.hash, c.tag, it)
			}
			refused("the old signature", "carol", state.Sign{Signature: byCarol, Statement: old}, "other-statement", c.says)
			r.must(r.as("alice", state.Sign{Item: itemSignOff, Signature: byCarol, Statement: r.statement()}))
			old = r.statement()
		}
		// To say no takes no key.
		r.must(r.as("carol", state.Sign{Item: itemSignOff, Reject: true, Comment: "no test"}))
		if st := r.Incident().Item(itemSignOff).Status; st != state.ItemFailed {
			t.Errorf("rejected, and it is %s", st)
		}
	})
}

// Nobody is asked to sign what could not be taken in.
func TestNoStatementWithoutSigners(t *testing.T) {
	for code, signers := range map[string]Signers{"no-signers": nil, "signers": registry{}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, signing, func(_ *rig, o *Options) { o.Signers = signers })
			defer r.bye()
			r.atReview()
			r.forReview("alice", "aaa", "v1.2.4", "")
			if a, err := r.Do(t.Context(), alice, state.Preview{Item: itemSignOff, Values: map[string]string{"show": "statement"}}); !state.HasCode(err, code) {
				t.Errorf("%q, %v", a.Text, err)
			}
		})
	}
}

// Whoever wrote the change cannot sign it, whoever ran the commit, and by whatever name.
func TestAuthorsByAnyName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, signing, func(_ *rig, o *Options) { o.Signers = nil })
		defer r.bye()
		r.atReview()
		for _, authors := range []string{"carol <c@home.example>", "C. <Carol@example.com>", "Dan <dan@example.com>\nCarol <x>"} {
			r.forReview("alice", "aaa", "v1.2.4", authors)
			if err := r.as("carol", state.Sign{Item: itemSignOff}); !state.HasCode(err, "own-change") || !strings.Contains(err.Error(), "is its author in git") {
				t.Errorf("by %q: %v", authors, err)
			}
		}
		if err := r.as("carol", state.Sign{Item: itemSignOff, Signature: byCarol}); !state.HasCode(err, "no-signers") {
			t.Errorf("a signature where none is looked at: %v", err)
		}
		r.forReview("alice", "aaa", "v1.2.4", "Dan <dan@example.com>")
		r.must(r.as("carol", state.Sign{Item: itemSignOff}))
		if it := r.Incident().Item(itemSignOff); it.By != "carol" || it.SignedWith() != "" {
			t.Errorf("%+v", it)
		}
	})
}

// What the version step adds is below no signature: who signs late signs what was under
// review.
func TestALateSignature(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, signing)
		defer r.bye()
		r.atReview()
		r.forReview("alice", "aaa", "v1.2.4", "")
		r.must(r.do(state.PassOver{Item: itemSignOff, Reason: "nobody is awake"}))
		r.must(r.Record(state.FactsFound{Facts: map[string]string{"commit": "versioned"}}))
		r.must(r.as("alice", state.Sign{Item: itemSignOff, Signature: byCarol, Statement: r.statement()}))
		if f := r.Incident().Facts; f["approved"] != "aaa" {
			t.Errorf("approved is %s", f["approved"])
		}
	})
}
