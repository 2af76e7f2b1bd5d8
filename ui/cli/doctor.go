package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps/shell"
)

const (
	// doctorPatience bounds each examination, in real time.
	doctorPatience = 10 * time.Second
	// doctorGrace is how long one that does not heed its time-out is waited for: a
	// credential plugin that waits for a person heeds none.
	doctorGrace = 3 * time.Second
)

// What an examination can come to, and what makes one fail.
const (
	examOK          = "ok"
	examWarning     = "warning"
	examFailed      = "failed"
	byConfiguration = "configuration"
	byWorld         = "unreachable"
)

// exam is one line of mayday doctor.
type exam struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Cause  string `json:"cause,omitempty"` // of a failure
	Found  string `json:"found"`
	Why    string `json:"why,omitempty"`
	Do     string `json:"do,omitempty"`
}

func well(name, found string) exam { return exam{Name: name, Status: examOK, Found: found} }

func mind(name, found, why, do string) exam {
	return exam{Name: name, Status: examWarning, Found: found, Why: why, Do: do}
}

// failing is the exam of what an error speaks of: the codes of what did not answer are
// the world's, all others the configuration's.
func failing(name string, err error) exam {
	p := state.AsProblem(err)
	e := exam{Name: name, Status: examFailed, Cause: byConfiguration, Found: p.What, Why: p.Why, Do: p.Do}
	switch p.Code {
	case byWorld, "timed-out", "cancelled", "remote", "unauthorized":
		e.Cause = byWorld
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		e.Cause = byWorld
	}
	return e
}

// unreached is failing of what only the world can be blamed for.
func unreached(name string, err error) exam {
	e := failing(name, err)
	e.Cause = byWorld
	return e
}

// examination asks about one thing, or several of a kind. It honours ctx.
type examination struct {
	name string
	ask  func(ctx context.Context) []exam
}

func one(name string, ask func(ctx context.Context, name string) exam) examination {
	return examination{name, func(ctx context.Context) []exam { return []exam{ask(ctx, name)} }}
}

// diagnosis is the whole answer, as --json prints it.
type diagnosis struct {
	V        int    `json:"v"`
	Runbook  string `json:"runbook,omitempty"`
	Checks   []exam `json:"checks"`
	OK       int    `json:"ok"`
	Warnings int    `json:"warnings"`
	Failed   int    `json:"failed"`
	Exit     int    `json:"exit"`
}

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{Use: "doctor", Short: "Tell whether this machine and runbook would do in an emergency", Args: args(cobra.NoArgs),
		Long: "doctor looks, before there is an incident, at all that the runbook uses: the runbook itself, git and\n" +
			"its remote, the folders of journal and sockets, each environment's cluster (its identity, the\n" +
			"credentials, and the rights that a rollout and its rollback need, by a plan and a dry run on the\n" +
			"server), Prometheus and Alertmanager, every probe, the channels, the tracker, the programs, who signs\n" +
			"and who is called. Nothing is written, deployed or sent; it does run the runbook's commands that only\n" +
			"look: alerts, a script's version and prove, a channel's with MAYDAY_REACH=1, probes.\n\n" +
			"Each line is ok, a warning, or failed with why and what to do. Everything is asked at once, for at\n" +
			"most ten seconds. Exit code 0: nothing failed; 2: something is configured wrongly or missing here;\n" +
			"1: something could not be reached.",
		Example: "  mayday doctor\n  mayday doctor --json",
		RunE:    func(c *cobra.Command, _ []string) error { return a.doctor(c.Context()) }}
}

func (a *app) doctor(ctx context.Context) error {
	silenceClients()
	out := diagnosis{V: shape}
	redact := shell.NewRedactor(shell.EnvSecrets(os.Environ())...)
	rb, err := nearRunbook()
	list := []examination{}
	if err != nil {
		out.Checks = runbookExams(err)
	} else {
		out.Runbook = rb.Path
		out.Checks = []exam{well("runbook", fmt.Sprintf("%s: service %s, %d environments, %d probes, %d channels, %d people",
			rb.Path, rb.Service, len(rb.Environments), len(rb.Probes), len(rb.Channels), len(rb.People)))}
		p := newPatient(rb, a.now, redact)
		redact, list = p.tools.redact, p.examinations()
	}
	list = append(list, ofMachine()...)
	out.Checks = append(out.Checks, examine(ctx, list)...)
	if err := ctx.Err(); err != nil {
		return err
	}
	out.sumUp(redact)
	return a.prescribe(out)
}

// runbookExams tells each mistake of a runbook with its line.
func runbookExams(err error) []exam {
	var mistakes *runbook.Error
	if !errors.As(err, &mistakes) {
		return []exam{failing("runbook", err)}
	}
	var out []exam
	for _, is := range mistakes.Issues {
		at := mistakes.Path
		if is.Line > 0 {
			at = fmt.Sprintf("%s:%d:%d", at, is.Line, is.Column)
		}
		out = append(out, exam{Name: "runbook", Status: examFailed, Cause: byConfiguration, Found: at + ": " + is.Text,
			Do: "Correct the file; what it speaks of is looked at then."})
	}
	return out
}

// examine asks all at once and gives the answers in the list's order. What neither
// answers nor heeds its time-out is told so, and ends with the process.
func examine(ctx context.Context, list []examination) []exam {
	answers := make([][]exam, len(list))
	var all sync.WaitGroup
	for i, x := range list {
		all.Go(func() { answers[i] = x.within(ctx) })
	}
	all.Wait()
	var out []exam
	for _, a := range answers {
		out = append(out, a...)
	}
	return out
}

func (x examination) within(ctx context.Context) []exam {
	ctx, cancel := context.WithTimeout(ctx, doctorPatience)
	defer cancel()
	answer := make(chan []exam, 1)
	go func() { answer <- x.ask(ctx) }()
	select {
	case got := <-answer:
		return got
	case <-ctx.Done():
	}
	late := time.NewTimer(doctorGrace)
	defer late.Stop()
	select {
	case got := <-answer:
		return got
	case <-late.C:
		return []exam{{Name: x.name, Status: examFailed, Cause: byWorld, Found: "no answer within " + state.Duration(doctorPatience+doctorGrace).String(),
			Why: "what is asked hangs, or waits for somebody", Do: "Try by hand what mayday asks here, and look whether it wants to be logged in."}}
	}
}

// sumUp cleans what is told, counts it, and makes the exit code of it.
func (d *diagnosis) sumUp(redact *shell.Redactor) {
	clean := func(s string) string { return redact.Text(state.Clean(strings.ReplaceAll(s, "\n", " "))) }
	for i := range d.Checks {
		e := &d.Checks[i]
		e.Name, e.Found, e.Why, e.Do = clean(e.Name), clean(e.Found), clean(e.Why), clean(e.Do)
		switch e.Status {
		case examOK:
			d.OK++
		case examWarning:
			d.Warnings++
		default:
			d.Failed++
			if e.Cause == byConfiguration {
				d.Exit = exitUsage
			}
		}
	}
	if d.Failed > 0 && d.Exit == exitDone {
		d.Exit = exitFailed
	}
}

// prescribe prints the diagnosis.
func (a *app) prescribe(d diagnosis) error {
	var err error
	if a.flags.json {
		err = json.NewEncoder(a.out).Encode(d)
	} else {
		_, err = fmt.Fprint(a.out, d.text())
	}
	if err != nil {
		return err
	}
	if d.Exit != exitDone {
		return exit{d.Exit}
	}
	return nil
}

func (d *diagnosis) text() string {
	var b strings.Builder
	for _, e := range d.Checks {
		fmt.Fprintf(&b, "%-7s  %s: %s\n", e.Status, e.Name, e.Found)
		if e.Why != "" {
			fmt.Fprintf(&b, "           why: %s\n", e.Why)
		}
		if e.Do != "" {
			fmt.Fprintf(&b, "           do:  %s\n", e.Do)
		}
	}
	said := "this would do at 3 a.m."
	switch {
	case d.Failed > 0:
		said = "this would NOT do at 3 a.m."
	case d.Warnings > 0:
		said = "this would do at 3 a.m.; mind the warnings"
	}
	fmt.Fprintf(&b, "\n%d ok, %d warnings, %d failed: %s\n", d.OK, d.Warnings, d.Failed, said)
	return b.String()
}
