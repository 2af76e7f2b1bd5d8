package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"mayday/state"
)

func (a *app) keeperCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "keeper",
		Short: "Keep the open incident, without a screen",
		Long: "keeper is the process that acts, judges gates, keeps the clocks and writes the journal,\n" +
			"for cockpits and commands that come and go. While another process keeps the incident it\n" +
			"stands by, and takes over when that one dies. It prints what happens. SIGTERM ends it in\n" +
			"order: an armed or running rollback is finished first.",
		Args: args(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error { return a.keeper(c.Context()) },
	}
}

func (a *app) keeper(ctx context.Context) error {
	s, err := a.join(ctx, "keeper", true)
	if err != nil {
		return err
	}
	if s.isGuest() {
		return errors.Join(noFiles("keep the incident"), s.Close("it is another account's"))
	}
	return a.stand(ctx, s)
}

// sentry is a session that keeps the incident or stands by.
type sentry interface {
	Frames() <-chan state.Frame
	// endKeeping closes the keeper in this process, if there is one, in order.
	endKeeping(why string) (kept bool, err error)
	Close(why string) error
}

// lastWords is how long what a closed keeper said may take to be printed (real time). One
// that was told to end while it took over has nobody yet who reads its words.
const lastWords = 5 * time.Second

// stand prints what happens until ctx ends, then ends the session in order.
func (a *app) stand(ctx context.Context, s sentry) (err error) {
	const why = "the process was told to end"
	printed := make(chan error, 1)
	stopped := make(chan struct{})
	go func() { printed <- a.printFrames(s.Frames(), stopped) }()
	select {
	case err = <-printed: // standard output is gone: nobody looks, but it still ends in order
		printed = nil
	case <-ctx.Done():
	}
	kept, failed := s.endKeeping(why)
	if err = errors.Join(err, failed); kept && printed != nil {
		select {
		case <-stopped: // its last words are printed
		case <-time.After(lastWords):
		}
	}
	err = errors.Join(err, s.Close(why))
	if printed != nil {
		err = errors.Join(err, <-printed)
	}
	return err
}

// printFrames prints each event once, whoever keeps; stopped is closed when this
// process's own keeper, or another, has said its last word or is gone.
func (a *app) printFrames(frames <-chan state.Frame, stopped chan<- struct{}) error {
	scene := state.NewScene()
	over := false
	stop := func() {
		if !over {
			over = true
			close(stopped)
		}
	}
	defer stop()
	keeping := false
	for f := range frames {
		known := scene.Incident.Seq
		if err := scene.Fold(f); err != nil {
			return err
		}
		switch {
		case f.Hello != nil:
			keeping = f.Hello.Keeping
			if !keeping {
				fmt.Fprintf(a.err, "mayday: process %d keeps %s; standing by\n", f.Hello.Keeper.PID, f.Hello.Incident)
			}
		case f.Lost != "" && keeping:
			stop() // as it was told to
		case f.Lost != "":
			fmt.Fprintln(a.err, "mayday: "+state.CleanLines(f.Lost))
		case f.Event != nil && f.Event.Seq > known:
			if err := a.printEvent(scene.Incident, *f.Event); err != nil {
				return err
			}
		}
	}
	return nil
}
