package steps

import (
	"context"
	"slices"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// verifyTime bounds the look at a signature (real time).
const verifyTime = 10 * time.Second

// Signers tells whose signature one is: the runbook's allowed signers.
type Signers interface {
	// Verify gives who signed text; signature is armored. Refusals are *state.Problems
	// with the code "signature", what cannot be looked at has another one. It may block
	// until ctx ends. The Statement of what it gives is the caller's to fill in.
	Verify(ctx context.Context, text, signature string) (state.Signed, error)
	// Check says why signatures could not be looked at here, nil where they can.
	Check(ctx context.Context) error
	// File names the file that lists them, for people.
	File() string
}

// sign approves or rejects the change under review. A signature is verified before, and
// all else again when it is written down.
func (e *Engine) sign(ctx context.Context, actor state.Actor, v state.Sign) (state.Answer, error) {
	in := e.Incident()
	f := state.ItemSigned{Item: v.Item, Commit: in.Facts["commit"], Comment: e.clean(v.Comment), Reject: v.Reject}
	who := e.selves(actor.User)
	if v.Signature != "" {
		f.Commit = in.Facts["review.commit"] // below the version's own commit, where there is one
		who = nil                            // whose it is comes out when it is verified
	}
	ok := func(now *state.Incident) error { return e.signable(now, v, in, who) }
	e.mu.Lock()
	err := ok(e.in) // what cannot be signed at all is said before how it is signed
	e.mu.Unlock()
	if err != nil {
		return state.Answer{}, err
	}
	switch {
	case v.Signature != "":
		if f.Signed, err = e.signature(ctx, in, v); err != nil {
			return state.Answer{}, err
		}
		who = e.signed(*f.Signed)
	case e.o.Signers != nil && !v.Reject:
		return state.Answer{}, e.unsigned(in)
	}
	answer, err := e.simple(actor, ok, f)
	if err == nil {
		answer.Lines = []string{"commit " + f.Commit}
		if f.Signed != nil {
			answer.Lines = append(answer.Lines, "signed by "+f.Signed.Person+" with "+f.Signed.Key)
		}
	}
	return answer, err
}

// signable says why the persons that go by these names cannot sign what was looked at
// when the incident was as then. It needs mu.
func (e *Engine) signable(in *state.Incident, v state.Sign, then *state.Incident, who []string) error {
	if err := free(v.Item, state.SignOff)(in); err != nil {
		return err
	}
	now := in.Facts["commit"]
	same := now == then.Facts["commit"]
	for _, k := range []string{"review.commit", "review.tag", "review.diff"} {
		same = same && in.Facts[k] == then.Facts[k]
	}
	if !same || v.Commit != "" && !strings.HasPrefix(now, v.Commit) {
		return &state.Problem{Code: "moved-on", What: "the change is another one by now", Why: "the newest commit is " + now,
			Do: "Look at the diff again, then sign."}
	}
	if why := e.authorOf(in, who); why != "" {
		return &state.Problem{Code: "own-change", What: "the author cannot sign their own change",
			Why: why, Do: "Somebody else approves it: mayday approve. Or override the sign-off with a reason."}
	}
	return nil
}

// selves are the names that an account's person goes by.
func (e *Engine) selves(account string) []string {
	p, _ := e.o.Runbook.Person(account)
	return goesBy(account, p)
}

// signed is selves for whose signature it is.
func (e *Engine) signed(s state.Signed) []string {
	i := slices.IndexFunc(e.o.Runbook.People, func(p runbook.Person) bool { return p.Name == s.Person })
	if i < 0 {
		return goesBy(s.Principal, runbook.Person{})
	}
	return goesBy(s.Principal, e.o.Runbook.People[i])
}

func goesBy(name string, p runbook.Person) []string {
	return slices.DeleteFunc([]string{name, p.User, p.Name, p.Contact}, func(s string) bool { return s == "" })
}

// authorOf says why somebody of these names is an author of the change: their account
// ran its commit, or git has them as who wrote it. "" where they are not. It needs mu.
func (e *Engine) authorOf(in *state.Incident, who []string) string {
	for _, name := range who {
		if e.wrote(in, name) {
			return name + " committed it"
		}
	}
	for author := range strings.Lines(in.Facts["review.authors"]) {
		author = strings.TrimSpace(author)
		name, mail, _ := strings.Cut(strings.TrimSuffix(author, ">"), " <")
		if slices.ContainsFunc(who, func(w string) bool { return strings.EqualFold(w, name) || strings.EqualFold(w, mail) }) {
			return author + " is its author in git"
		}
	}
	return ""
}

// wrote reports whether an account ran the commit in this attempt, be it that
// somebody else ran it again after. It needs mu.
func (e *Engine) wrote(in *state.Incident, user string) bool {
	if c := in.Item(itemCommit); c != nil && c.By == user {
		return true
	}
	for i := len(e.events) - 1; i >= 0; i-- {
		switch f := e.events[i].Fact.(type) {
		case state.AttemptStarted:
			return false
		case state.ItemStarted:
			if f.Item == itemCommit && e.events[i].Actor.User == user {
				return true
			}
		}
	}
	return false
}

// unsigned refuses an approval without a signature where one is needed.
func (e *Engine) unsigned(in *state.Incident) error {
	return &state.Problem{Code: "needs-signature", What: "this approval needs an SSH signature",
		Why: "the runbook has allowed_signers: " + e.o.Signers.File(), Do: howToSign(in.ID)}
}

func howToSign(incident string) string {
	return "mayday approve --incident " + incident + " --statement > approval; ssh-keygen -Y sign -n " + state.Namespace +
		" -f YOUR-KEY approval (any machine will do); mayday approve --incident " + incident + " --import approval.sig. --reject needs none."
}

func noSigners() error {
	return &state.Problem{Code: "no-signers", What: "the runbook does not say whose signatures count",
		Do: "Set allowed_signers in it; or let the reviewer run mayday approve from their own account here."}
}

// signature verifies what a reviewer signed elsewhere.
func (e *Engine) signature(ctx context.Context, in *state.Incident, v state.Sign) (*state.Signed, error) {
	want, there := in.ForReview()
	switch {
	case e.o.Signers == nil:
		return nil, noSigners()
	case v.Reject:
		return nil, &state.Problem{What: "a signature approves", Do: "To reject, leave it out: mayday approve --reject -m \"what must change\"."}
	case !there:
		return nil, &state.Problem{Code: "blocked", What: "there is no statement to sign yet", Why: "what is under review is not known",
			Do: "Run 6.commit \"Committed for review\" first."}
	}
	if v.Statement != "" {
		got, err := state.ParseStatement(v.Statement)
		if err != nil {
			return nil, err
		}
		if other := got.Differs(want); len(other) > 0 {
			return nil, &state.Problem{Code: "other-statement", What: "the signature is for something else", Why: e.clean(strings.Join(other, "; ")),
				Do: "Look at the change as it is now, then sign what mayday approve --statement prints."}
		}
	}
	_, signature, err := state.ParseApproval([]byte(v.Signature))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, verifyTime)
	defer cancel()
	s, err := e.o.Signers.Verify(ctx, want.Text(), signature)
	if err != nil {
		return nil, e.problem(err)
	}
	s.Person, s.Principal, s.Key = e.clean(s.Person), e.clean(s.Principal), e.clean(s.Key)
	s.Statement, s.Signature = want, signature
	return &s, nil
}

// statement gives what a reviewer signs, if a signature could be taken in.
func (e *Engine) statement(ctx context.Context, in *state.Incident) (state.Answer, error) {
	if e.o.Signers == nil {
		return state.Answer{}, noSigners()
	}
	want, there := in.ForReview()
	if !there {
		return state.Answer{}, &state.Problem{Code: "blocked", What: "there is no statement to sign yet", Do: "mayday approve --request commits the change for review."}
	}
	ctx, cancel := context.WithTimeout(ctx, verifyTime)
	defer cancel()
	if err := e.o.Signers.Check(ctx); err != nil {
		return state.Answer{}, err
	}
	return state.Answer{Text: want.Text()}, nil
}

// previewSign shows what is signed: the diff that the budget measured, or the statement.
func (e *Engine) previewSign(ctx context.Context, in *state.Incident, it *state.Item, values map[string]string) (state.Answer, error) {
	if it.Kind == state.SignOff && values["show"] == "statement" {
		return e.statement(ctx, in)
	}
	a, ok := e.o.Actions["4.change"]
	if it.Kind != state.SignOff || !ok {
		return state.Answer{Text: it.Help}, nil
	}
	p, err := a.Preview(ctx, e.job(in, in.Item("4.change"), "", nil))
	if err != nil {
		return state.Answer{}, err
	}
	return state.Answer{Text: p.Text, Lines: []string{"commit " + in.Facts["commit"]}}, nil
}
