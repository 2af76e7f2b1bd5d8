// Package steps holds the Engine, the single owner of everything that acts, the
// catalogue of the 18 steps, and the contracts of what the Engine drives: actions,
// strategies, probes, channels. The packages below it implement the contracts and
// never see the Engine; the command line wires them together.
package steps

import (
	"context"
	"io"
	"time"

	"mayday/state"
)

// Action is something mayday runs for an item. An Action must be safe to run
// again after it failed, was cancelled or was interrupted at any point: it looks
// at the world first and does only what is missing.
type Action interface {
	// Preview says what Run would do, in the exact commands a person could type,
	// and changes nothing. It is shown before the action is confirmed and journaled
	// with the intent.
	Preview(ctx context.Context, job Job) (Preview, error)
	// Run acts. It honours ctx (cancellation leaves the world in a state the next
	// Run understands) and returns errors as *state.Problem where a person can do
	// something about them.
	Run(ctx context.Context, job Job) (Outcome, error)
}

// Job is one run of an action. Everything in it is the run's own.
type Job struct {
	Item     state.Item
	Run      string            // unique name of this run
	Incident *state.Incident   // a copy, as of the start
	Values   map[string]string // answers that came with the intent
	Output   io.Writer         // live output; what is written here is cleaned, redacted, kept and shown
	Now      func() time.Time  // incident clock
	Evidence string            // folder for files of evidence, exists
}

// Fact reads what earlier actions found, "" where nothing is known.
func (j Job) Fact(name string) string { return j.Incident.Facts[name] }

// Preview is what an action would do.
type Preview struct {
	Commands []string // one a line, as typed in a shell
	Text     string   // a diff or a message, several lines; optional
}

// Outcome is what an action did.
type Outcome struct {
	Summary  string // one line for the checklist: "3f9c1d0 = remote head"
	Evidence []state.Evidence
	Facts    map[string]string // what later actions and templates may use
	Unneeded bool              // there was nothing to do, and Summary says why
}

// ActionFunc makes an action of a function for what needs no preview.
type ActionFunc func(ctx context.Context, job Job) (Outcome, error)

// Preview says nothing beyond the item's own text.
func (ActionFunc) Preview(context.Context, Job) (Preview, error) { return Preview{}, nil }

// Run calls f.
func (f ActionFunc) Run(ctx context.Context, job Job) (Outcome, error) { return f(ctx, job) }
