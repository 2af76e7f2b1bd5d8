package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mayday/state"
	"mayday/state/journal"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/ui"
	"mayday/ui/plain"
)

// open is mayday without a verb: the open incident, or a declaration.
func (a *app) open(ctx context.Context) error {
	rb, f, ok, err := a.here()
	if err != nil {
		if s, ok, other := a.guest(ctx, "cockpit", true); other == nil && ok {
			return a.openAsGuest(ctx, s)
		} else if ok {
			return other
		}
		return err
	}
	folder := f.folder
	if !ok {
		form, err := a.askDeclaration(ctx, rb)
		if errors.Is(err, ui.ErrNotDeclared) {
			fmt.Fprintln(a.out, "nothing was declared")
			return nil
		}
		if err != nil {
			return err
		}
		if folder, err = declare(rb, form, a.now()); err != nil {
			return err
		}
	} else if !f.in.Open() {
		return usage{&state.Problem{What: f.id + " has ended", Do: "See it again: mayday replay --incident " + f.id}}
	}
	s, err := a.connect(ctx, folder, rb, "cockpit", true)
	if err != nil {
		return err
	}
	_, err = a.show(ctx, s)
	return errors.Join(err, s.Close(whyEnded(ctx)))
}

func whyEnded(ctx context.Context) string {
	if ctx.Err() != nil {
		return "the process was told to end"
	}
	return "the cockpit was closed"
}

// show runs the screen (or the plain stream) on a session until the operator
// leaves, and gives the last picture.
func (a *app) show(ctx context.Context, s *session) (*state.Scene, error) {
	if a.flags.plain {
		return plain.Run(ctx, plain.Options{Session: s, Input: a.in, Output: a.out, Now: a.now})
	}
	res, err := ui.Run(ctx, ui.Options{Session: s, Now: a.now, Color: a.flags.color, Bell: a.flags.bell})
	if res.RolledBackHere {
		if res.RollbackErr != nil {
			return res.Scene, errors.Join(res.RollbackErr, exit{exitRollbackFailed})
		}
		fmt.Fprintln(a.out, "rolled back from this process; the next keeper takes it into the journal")
	}
	return res.Scene, err
}

// askDeclaration asks for a new incident on the screen, or line by line.
func (a *app) askDeclaration(ctx context.Context, rb *runbook.Runbook) (ui.DeclareForm, error) {
	start := ui.DeclareForm{Severity: 1}
	if !a.flags.plain {
		return ui.Declare(ctx, ui.Options{Now: a.now, Color: a.flags.color}, rb.Service, start)
	}
	lines := bufio.NewScanner(a.in)
	line := func(question string) string {
		fmt.Fprintln(a.out, question)
		if !lines.Scan() {
			return ""
		}
		return strings.TrimSpace(lines.Text())
	}
	start.Title = line("No incident is open for " + rb.Service + ". What is wrong? (one line; empty: leave)")
	if start.Title == "" {
		return start, ui.ErrNotDeclared
	}
	sev := line("How bad: sev0, sev1, sev2 or sev3?")
	var err error
	if start.Severity, err = state.ParseSeverity(sev); err != nil {
		return start, usage{err}
	}
	start.Issue = line("Ticket? (empty: none)")
	start.Impact = line("Impact? (empty: not known)")
	return start, nil
}

// declare creates an incident: its folder and the first event. With the practice
// range's runbook it is a drill.
func declare(rb *runbook.Runbook, form ui.DeclareForm, now time.Time) (folder string, err error) {
	home, err := journal.Home()
	if err != nil {
		return "", err
	}
	clock := clockOf(rb)
	at := clock.At(now)
	var j *journal.Journal
	var id string
	for range 100 { // another process may take the same number
		if id, err = journal.NextID(home, at); err != nil {
			return "", explain(err, home)
		}
		folder = journal.Folder(home, id)
		if j, err = journal.Create(folder); err == nil {
			break
		}
		if !errors.Is(err, errExist) {
			return "", explain(err, home)
		}
	}
	if err != nil {
		return "", explain(err, home)
	}
	fact := declaration(form).fact(rb, id, clock)
	fact.PublicKey = j.PublicKey()
	_, err = j.Append(at, me("cockpit"), 0, fact)
	return folder, errors.Join(err, j.Close())
}

// declaration is what a new incident begins with.
type declaration ui.DeclareForm

// fact is the declaration with what the incident takes from the runbook.
func (d declaration) fact(rb *runbook.Runbook, id string, clock state.Clock) state.Declared {
	env, _ := rb.Production()
	scenario := ""
	if rb.Drill != nil {
		scenario = rb.Drill.Scenario
	}
	roles := map[string]string{}
	for _, role := range []string{state.OnCall, state.Senior, state.Manager, state.Commander, state.CommsLead} {
		if who := rb.Holder(role); who != "" {
			roles[role] = who
		}
	}
	probes := steps.ProbesFor(rb, nil, reach(rb))
	return state.Declared{ID: id, Title: state.Clean(d.Title), Severity: d.Severity, Service: rb.Service,
		Environment: env.Name, Issue: state.Clean(d.Issue), Impact: state.Clean(d.Impact), Drill: scenario, Clock: clock,
		Policy: rb.Policy(d.Severity), Policies: rb.Policies(), Rota: rb.Rota(), Roles: roles, Steps: steps.Opening(rb, d.Issue), Probes: probes, Reaction: steps.Reaction(probes),
		Runbook: rb.Path}
}
