package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mayday/state"
	"mayday/steps"
)

// readingTime is how long a reading may take to come, beyond its interval (real time).
const readingTime = 2 * time.Second

// enough waits before a rollout until as much is known from before it as gates want in a
// row, or as long as that can take: where no person reads the plan's warning, a good fix
// must not be taken back for what was ill before it. next reads one frame.
func (w *walker) enough(ctx context.Context, next func(context.Context) error) error {
	if r := w.in().Production(); r != nil && r.Status != state.RolloutPlanned {
		return nil // it has begun: before it is over
	}
	clock := w.scene.Hello.Clock
	few, wait := steps.Scarce(w.rb, w.in().Probes, w.scene.Series, clock.At(w.a.now()))
	if len(few) == 0 {
		return nil
	}
	w.tell("waits up to %s before it deploys: hardly anything is known from before of %s", state.Duration(wait), strings.Join(few, ", "))
	soon, cancel := context.WithTimeout(ctx, clock.Real(wait)+readingTime)
	defer cancel()
	for len(few) > 0 {
		err := next(soon)
		switch {
		case err != nil && ctx.Err() == nil && soon.Err() != nil:
			w.tell("goes on: there is no more to learn of %s; the gates say what they miss", strings.Join(few, ", "))
			return nil
		case err != nil:
			return err
		}
		few, _ = steps.Scarce(w.rb, w.in().Probes, w.scene.Series, clock.At(w.a.now()))
	}
	return nil
}

// tell says what the command does by itself, to a person.
func (w *walker) tell(format string, args ...any) {
	if !w.a.flags.json {
		fmt.Fprintln(w.a.err, state.Clean("mayday: "+fmt.Sprintf(format, args...)))
	}
}
