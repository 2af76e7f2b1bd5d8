package steps

import (
	"context"
	"io"
	"time"

	"mayday/state"
	"mayday/state/runbook"
)

// Strategy is a way to roll a version out to one environment and to take it back.
// The Engine drives it: Plan, Prove, then stage after stage with a journal entry
// before and after each and a gate behind it. Implementations keep no state of
// their own between calls: all they need is in the plan (its Snapshot included),
// so that another process can resume or roll back from the journal alone. Safe
// for concurrent use; Rollback may run while Stage is being cancelled.
type Strategy interface {
	// Name is the word in the runbook: canary, rolling, blue-green, immediate, script.
	Name() string

	// Plan reads the world and says what will change, stage by stage, and the exact
	// inverse, naming the version and revision a rollback restores. Changes nothing.
	Plan(ctx context.Context, order Order) (state.Plan, error)

	// Prove dry-runs the plan's next writes and its inverse on the server. started
	// says whether the rollout began: before, the inverse is tried without its
	// preconditions; later, with them. An error means that proving itself failed.
	Prove(ctx context.Context, plan state.Plan, started bool) (state.Proof, error)

	// Stage makes the writes of plan.Stages[i] under the fence and waits for the
	// effect in the world (pods ready, traffic as intended, as far as look sees it).
	// Running it again after an interruption does only what is missing. It returns
	// ErrFenced (errors.Is) if a newer or foreign epoch owns an object.
	Stage(ctx context.Context, plan state.Plan, i int, fence Fence, out io.Writer) (Effect, error)

	// Look reads what is true in the world now, one line an object, for a person
	// who must decide how to go on.
	Look(ctx context.Context, plan state.Plan) ([]string, error)

	// Rollback restores plan.Target under the fence, in the order traffic, workload,
	// and verifies it by effect. It is complete by itself, needs no gate and may be
	// called twice. report is called for each operation before (running) and after, and
	// no more once Rollback has returned; it must not block. Conflicts are retried, not
	// returned.
	Rollback(ctx context.Context, plan state.Plan, fence Fence, report func(state.RollbackOp)) (Verification, error)
}

// Retirer is a Strategy that leaves what ran before standing when a rollout is done, for
// open connections and the way back, and can let it go on demand.
type Retirer interface {
	Strategy
	// Retires reports whether a rollout by this plan leaves something standing.
	Retires(plan state.Plan) bool
	// Retire scales it down to nothing under the fence that the rollout closed, and sees
	// its effect; a rollback works all the same, and brings it back first. since is how
	// long ago, in real time, the rollout's last stage took effect: a *state.Problem with
	// the code "early" where connections may still be open. dry writes nothing. commands
	// do the same by hand, each with its precondition in it; none: nothing is left to do.
	Retire(ctx context.Context, plan state.Plan, since time.Duration, fence Fence, dry bool) (commands []string, text string, err error)
}

// Preparer is a Strategy that can get ready for a rollback before it is wanted.
type Preparer interface {
	// Prepare reads ahead what Rollback asks before its first write, and keeps it: an
	// open connection, and answers that serve for about a second where only their age
	// vouches for them. It changes nothing and needs no success: what it did not get,
	// Rollback asks for itself. It takes as long as the world does to answer, or ctx.
	Prepare(ctx context.Context, plan state.Plan)
}

// Order says what to roll out where.
type Order struct {
	ID          string // of the rollout
	Environment runbook.Environment
	Version     string // "v1.2.4"
	Previous    string // what git says is in production, "" if unknown; the cluster has the last word
	Incident    string
	Mark        string // the incident's, as fences have it; "": Incident is
}

// Fence is what every write carries: objects remember it in the annotation
// mayday.dev/fence as "<mark>/<epoch>".
type Fence struct {
	Incident string // its mark: an ID alone may be another host's incident too
	Epoch    int
}

// Effect is what a stage was seen to do.
type Effect struct {
	Text string  // "seen 24.7 %, 3/3 ready"
	Seen float64 // observed share of the new version in percent; 0 if nothing was observed
}

// Verification is what was seen after a rollback.
type Verification struct {
	Text   string   // "weights 100/0, v1.2.3 6/6 ready"
	Manual []string // exact commands for a person, where it failed
}

// Traffic observes which version answers. Strategies and the verification of a
// rollback use it where the runbook allows: "weight 25" is done when about a
// quarter of the answers come from the new version.
type Traffic interface {
	// Versions sends n requests to the environment's URL and counts the answers by
	// version; an answer that names none counts under "". It takes at most a few
	// seconds of real time and honours ctx.
	Versions(ctx context.Context, env runbook.Environment, n int) (map[string]int, error)
}
