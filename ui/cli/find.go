package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"mayday/state"
	"mayday/state/journal"
	"mayday/state/runbook"
)

// found is an incident on this host, as its journal tells it.
type found struct {
	id     string
	folder string
	in     *state.Incident
	events []state.Event
	report journal.Report
	err    error // the journal cannot be read whole
}

// all reads every incident of this host, the latest written first.
func all() ([]found, error) {
	home, err := journal.Home()
	if err != nil {
		return nil, err
	}
	infos, err := journal.List(home)
	if err != nil {
		return nil, fmt.Errorf("list the incidents: %w", err)
	}
	out := make([]found, 0, len(infos))
	for _, i := range infos {
		out = append(out, read(i.ID, i.Folder))
	}
	return out, nil
}

func read(id, folder string) found {
	f := found{id: id, folder: folder, in: new(state.Incident)}
	f.events, f.report, f.err = journal.Read(folder)
	in, err := state.Fold(f.events)
	if f.err == nil {
		f.err = err
	}
	f.in = in
	return f
}

// named finds the incident that --incident names, open or not.
func (a *app) named(id string) (found, error) {
	home, err := journal.Home()
	if err != nil {
		return found{}, err
	}
	folder := journal.Folder(home, id)
	if _, err := os.Stat(folder); err != nil || !journal.ValidID(id) {
		return found{}, usage{&state.Problem{What: fmt.Sprintf("there is no incident %q here", id),
			Do: "mayday list shows those of this host; an incident lives on the host where it was declared."}}
	}
	return read(id, folder), nil
}

// allOpen reads the open incidents of this host: drills, or real ones.
func allOpen(drill bool) ([]found, error) {
	list, err := all()
	return slices.DeleteFunc(list, func(f found) bool { return !f.in.Open() || (f.in.Drill != "") != drill }), err
}

// pick finds the incident to work on: the named one, else the only open one (of
// drills where a drill's runbook is near, of real ones elsewhere). ok is false
// where none is open.
func (a *app) pick(drill bool) (f found, ok bool, err error) {
	if a.flags.incident != "" {
		f, err = a.named(a.flags.incident)
		return f, err == nil, err
	}
	open, err := allOpen(drill)
	if err != nil {
		return found{}, false, err
	}
	switch len(open) {
	case 0:
		return found{}, false, nil
	case 1:
		return open[0], true, nil
	}
	var names []string
	for _, f := range open {
		names = append(names, f.id+" "+f.in.Title)
	}
	return found{}, false, usage{&state.Problem{What: fmt.Sprintf("%d incidents are open", len(open)), Why: strings.Join(names, "; "),
		Do: "Say which: --incident " + open[0].id}}
}

// latest finds the incident to look at: the one that --incident names, else the only
// open one (as pick does), else the one written last.
func (a *app) latest() (found, error) {
	rb, err := nearRunbook()
	if f, ok, err := a.pick(err == nil && rb.Drill != nil); ok || err != nil {
		return f, err
	}
	list, err := all()
	if err != nil {
		return found{}, err
	}
	if len(list) == 0 {
		return found{}, usage{&state.Problem{What: "there is no incident on this host yet", Do: "mayday declares one; mayday drill rehearses one."}}
	}
	return list[0], nil
}

// nearRunbook loads the mayday.yaml of this folder or one above it.
func nearRunbook() (*runbook.Runbook, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("find the runbook: %w", err)
	}
	path, err := runbook.Find(dir)
	if err != nil {
		return nil, usage{err}
	}
	rb, err := runbook.Load(path)
	if err != nil {
		return nil, usage{err}
	}
	return rb, nil
}

// runbookOf loads an incident's runbook: the one it was declared with, else the
// near one.
func runbookOf(in *state.Incident) (*runbook.Runbook, error) {
	if in.Runbook != "" {
		rb, err := runbook.Load(in.Runbook)
		if err == nil {
			return rb, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return nil, usage{err}
		}
	}
	return nearRunbook()
}

// here gives the runbook that holds where mayday is run, and the incident meant, if
// there is one (ok): its own runbook comes first.
func (a *app) here() (rb *runbook.Runbook, f found, ok bool, err error) {
	rb, rbErr := nearRunbook()
	if f, ok, err = a.pick(rbErr == nil && rb.Drill != nil); err != nil {
		return nil, f, false, err
	}
	if ok {
		if own, err := runbookOf(f.in); err == nil {
			return own, f, true, nil
		}
	}
	return rb, f, ok, rbErr
}
