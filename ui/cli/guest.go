package cli

import (
	"context"
	"errors"

	"mayday/state"
	"mayday/state/journal"
	"mayday/steps/keeper"
)

// guest opens a session on an incident that another account of this host keeps: its
// files are closed to this one, so it is named with --incident, and this process asks
// and never keeps. ok is false where --incident names no such one.
func (a *app) guest(ctx context.Context, via string, watch bool) (s *session, ok bool, err error) {
	id := a.flags.incident
	if !journal.ValidID(id) {
		return nil, false, nil
	}
	if _, err := a.named(id); err == nil {
		return nil, false, nil // its own
	}
	socket, err := keeper.Find(id)
	if err != nil {
		return nil, state.HasCode(err, "two-keepers"), err
	}
	s = &session{now: a.now}
	if rb, err := nearRunbook(); err == nil {
		s.rb = rb // of a clone of this account's
	}
	s.Session, err = keeper.Open(ctx, keeper.Settings{Socket: socket, Via: via, As: a.flags.as, Watch: watch})
	return s, true, err
}

// isGuest reports whether the incident's files are another account's.
func (s *session) isGuest() bool { return s.folder == "" }

// noFiles is what a guest cannot do.
func noFiles(what string) error {
	return &state.Problem{Code: "needs-person", What: "this account cannot " + what, Why: "the incident's files are those of the account that keeps it",
		Do: "Let somebody do it from that account."}
}

// seen finds the incident to look at, as latest does. Of one that another account of
// this host keeps it is what its keeper tells every client that it lets in; then s is
// the session with it, which goes on telling, and is to be closed.
func (a *app) seen(ctx context.Context) (f found, s *session, err error) {
	if f, err = a.latest(); err == nil {
		return f, nil, nil
	}
	s, ok, refused := a.guest(ctx, "cli", true)
	if refused != nil && ok {
		return f, nil, refused
	}
	if !ok {
		return f, nil, err
	}
	scene := state.NewScene()
	for scene.Hello.Incident == "" || scene.Incident.Seq < scene.Hello.Head {
		select {
		case <-ctx.Done():
			return f, nil, errors.Join(ctx.Err(), s.Close("the command is done"))
		case frame, more := <-s.Frames():
			if !more {
				return f, nil, errors.Join(&state.Problem{What: "the keeper is gone", Do: "Run the command again when it is back."}, s.Close("the command is done"))
			}
			if err := scene.Fold(frame); err != nil {
				return f, nil, errors.Join(err, s.Close("the command is done"))
			}
		}
	}
	return found{id: scene.Incident.ID, in: scene.Incident, events: scene.Events}, s, nil
}

// tellEvents gives an incident's events to line, from the first on; with follow also
// what is written from now on, until ctx ends.
func (a *app) tellEvents(ctx context.Context, follow bool, line func(state.Event) error) error {
	f, s, err := a.seen(ctx)
	if err != nil {
		return err
	}
	if s == nil && follow {
		return journal.Follow(ctx, f.folder, 1, line)
	}
	for _, e := range f.events {
		if err = line(e); err != nil {
			break
		}
	}
	if s == nil {
		return errors.Join(err, f.err)
	}
	for last := f.in.Seq; follow && err == nil; {
		select {
		case <-ctx.Done():
			return s.Close("the command is done")
		case frame, more := <-s.Frames():
			if !more {
				return s.Close("the keeper is gone")
			}
			if frame.Event != nil && frame.Event.Seq > last { // a new keeper tells the past again
				last, err = frame.Event.Seq, line(*frame.Event)
			}
		}
	}
	return errors.Join(err, s.Close("the command is done"))
}

// files finds the incident that is to be worked on in its files; what says for what.
func (a *app) files(what string) (found, error) {
	f, err := a.latest()
	if err != nil && journal.ValidID(a.flags.incident) {
		if _, kept := keeper.Find(a.flags.incident); kept == nil {
			return f, noFiles(what)
		}
	}
	return f, err
}

// openAsGuest is the cockpit of another account's incident.
func (a *app) openAsGuest(ctx context.Context, s *session) error {
	_, err := a.show(ctx, s)
	return errors.Join(err, s.Close(whyEnded(ctx)))
}
