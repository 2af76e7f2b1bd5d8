package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"mayday/state"
)

// hash is a commit as a person gives it.
var hash = regexp.MustCompile("^[0-9a-f]{7,64}$")

const signOffItem = "6.signoff"

// approval is what mayday approve was asked for.
type approval struct {
	sign                    state.Sign
	request, dry, statement bool
	version, file           string
}

func (a *app) approveCommand() *cobra.Command {
	v := approval{sign: state.Sign{Item: signOffItem}}
	c := &cobra.Command{Use: "approve", Short: "Sign the change off, as somebody other than its author", Args: args(cobra.NoArgs),
		Long: "approve signs step 6 of the open incident: what is committed on the hotfix branch. It needs\n" +
			"an account of its own; the author's is refused. Look at the change first: git show. With\n" +
			"--commit it signs just what you looked at, and is refused if that is not the newest any more.\n\n" +
			"--request asks for it instead: it measures and commits the change and tells the reviewers.\n\n" +
			"Where the runbook has allowed_signers, an approval is an SSH signature, made on any machine:\n" +
			"--statement prints what is signed (incident, version, commits, and the SHA-256 of what\n" +
			"git diff-tree -r -z BASELINE COMMIT prints), --import takes the signature in, for whoever made it:\n\n" +
			"  mayday approve --statement > approval\n" +
			"  ssh-keygen -Y sign -n " + state.Namespace + " -f ~/.ssh/id_ed25519 approval\n" +
			"  mayday approve --import approval.sig",
		Example: "  mayday approve --commit 3f9c1d0 -m \"small, and tested\"\n  mayday approve --reject -m \"it drops the index\"",
		RunE: func(c *cobra.Command, _ []string) error {
			return a.approve(c.Context(), v, c.Flags().Changed("commit"))
		}}
	f := c.Flags()
	f.StringVarP(&v.sign.Comment, "comment", "m", "", "what you looked at")
	f.StringVar(&v.sign.Commit, "commit", "", "the commit you looked at")
	f.BoolVar(&v.sign.Reject, "reject", false, "reject it instead")
	f.BoolVar(&v.request, "request", false, "ask the reviewers for their approval")
	f.StringVar(&v.version, "version", "", "with --request: the version that is to be made of it (default: the next)")
	f.BoolVar(&v.statement, "statement", false, "print what a reviewer elsewhere signs")
	f.StringVar(&v.file, "import", "", "take a signature in: FILE.sig, or - for the standard input")
	f.BoolVar(&v.dry, "dry-run", false, dryHelp)
	c.MarkFlagsMutuallyExclusive("request", "statement", "import", "reject")
	return c
}

func (a *app) approve(ctx context.Context, v approval, chosen bool) error {
	switch {
	case chosen && !hash.MatchString(v.sign.Commit):
		return usage{&state.Problem{What: "--commit " + state.Clean(v.sign.Commit) + " names no commit", Do: "Give 7 or more characters of its hash, as git log shows it."}}
	case v.version != "" && !v.request:
		return usage{&state.Problem{What: "--version goes with --request", Do: "An approval is for the version that was asked for: mayday approve --request --version " + state.Clean(v.version)}}
	case v.request:
		return a.askReview(ctx, v.version, v.dry)
	case v.statement:
		return a.printStatement(ctx)
	case v.file != "":
		data, err := a.signatureIn(v.file)
		if err != nil {
			return err
		}
		if v.sign.Statement, v.sign.Signature, err = state.ParseApproval(data); err != nil {
			return usage{err}
		}
		if v.sign.Statement == "" {
			v.sign.Statement = besides(v.file)
		}
	}
	if v.dry {
		return a.act(ctx, v.sign, true, "")
	}
	answer, err := a.tell(ctx, v.sign)
	if err != nil {
		return err
	}
	what := strings.Join(answer.Lines, ", ")
	if v.sign.Reject {
		return a.done("rejected " + what)
	}
	return a.done("approved " + what)
}

// most bounds what is read of a file, in bytes; ParseApproval refuses what is as long.
const most = 1 << 20

func (a *app) signatureIn(name string) ([]byte, error) {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usage{&state.Problem{What: "the signature cannot be read", Why: state.Clean(err.Error()), Do: "Give the file that ssh-keygen wrote: --import approval.sig"}}
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, most))
	if err != nil {
		return nil, fmt.Errorf("read the signature: %w", err)
	}
	return data, nil
}

// besides is the statement that a signature's file was made of, where it lies beside
// it: it only serves to say what is another one.
func besides(name string) string {
	signed, ok := strings.CutSuffix(name, ".sig")
	if !ok {
		return ""
	}
	f, err := os.Open(signed)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return ""
	}
	return string(data)
}

// printStatement prints what a reviewer signs, byte for byte, and how to go on.
func (a *app) printStatement(ctx context.Context) error {
	answer, err := a.tell(ctx, state.Preview{Item: signOffItem, Values: map[string]string{"show": "statement"}})
	if err != nil {
		return err
	}
	s, err := state.ParseStatement(answer.Text)
	if err != nil {
		return err
	}
	if a.flags.json {
		return a.result(map[string]string{"incident": s.Incident, "tag": s.Tag, "baseline": s.Baseline, "commit": s.Commit, "diff": s.Diff,
			"statement": answer.Text}, "")
	}
	fmt.Fprint(a.out, answer.Text)
	fmt.Fprintf(a.err, "Look at it:  git show %s\nSign it:     ssh-keygen -Y sign -n %s -f YOUR-KEY FILE   (FILE holds just these lines)\nTake it in:  mayday approve --incident %s --import FILE.sig\n",
		s.Commit, state.Namespace, s.Incident)
	return nil
}

// askReview asks for a sign-off: the change is measured and committed, and the
// reviewers are told.
func (a *app) askReview(ctx context.Context, version string, dry bool) error {
	w, err := a.walking(ctx, dry)
	if err != nil {
		return err
	}
	if version != "" {
		w.values["6.commit"] = map[string]string{"version": version}
	}
	before, _ := w.in().ForReview()
	w.redo("4.change", "6.commit") // files may have changed since
	err = w.walk(ctx, "4.fix", "4.change", "5.focused", "6.commit")
	if now, _ := w.in().ForReview(); err == nil && before.Commit != "" && now != before {
		w.redo("5.focused", "6.request")
	}
	if err == nil {
		err = w.walk(ctx, "5.focused", "6.request")
	}
	if err == nil && !dry {
		commit := w.in().Facts["commit"]
		err = a.result(map[string]string{"incident": w.in().ID, "commit": commit}, "review requested of "+commit)
	}
	return w.close(ctx, err)
}
