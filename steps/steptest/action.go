package steptest

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mayday/steps"
)

// ActionFixture is one world, fresh for one test, with an action to try in it.
type ActionFixture struct {
	Action steps.Action
	// Job makes the job of one run; its Output may be io.Discard.
	Job func(t testing.TB) steps.Job
	// State renders what the action may change. Equal text means equal worlds.
	State func(t testing.TB) string
	// Reads marks an action that only looks: its Run must change nothing either.
	Reads bool
}

// Action runs the conformance suite. world makes a fresh world for each test, in
// which the action can succeed.
func Action(t *testing.T, world func(t *testing.T) ActionFixture) {
	t.Run("preview changes nothing", func(t *testing.T) {
		f := world(t)
		before := f.State(t)
		if _, err := f.Action.Preview(t.Context(), f.Job(t)); err != nil {
			t.Fatalf("Preview: %v", err)
		}
		if d := cmp.Diff(before, f.State(t)); d != "" {
			t.Errorf("Preview changed the world (-before +after):\n%s", d)
		}
	})
	t.Run("run does it, and again changes nothing", func(t *testing.T) {
		f := world(t)
		before := f.State(t)
		out, err := f.Action.Run(t.Context(), f.Job(t))
		if err != nil {
			t.Fatalf("Run: %v", err)
		}
		if out.Summary == "" {
			t.Error("Run gave no summary")
		}
		after := f.State(t)
		if f.Reads && before != after {
			t.Errorf("an action that only looks changed the world:\n%s", cmp.Diff(before, after))
		}
		if _, err := f.Action.Run(t.Context(), f.Job(t)); err != nil {
			t.Fatalf("Run again: %v", err)
		}
		if d := cmp.Diff(after, f.State(t)); d != "" {
			t.Errorf("Run again changed the world (-once +twice):\n%s", d)
		}
	})
	t.Run("cancelled, it can be run again", func(t *testing.T) {
		f := world(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := f.Action.Run(ctx, f.Job(t)); err == nil && !f.Reads {
			t.Error("a cancelled Run succeeded")
		}
		if _, err := f.Action.Run(t.Context(), f.Job(t)); err != nil {
			t.Fatalf("Run after a cancelled one: %v", err)
		}
	})
}
