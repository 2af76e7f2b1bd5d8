package state

import (
	"encoding/json"
	"time"
)

// RolloutStatus is where a rollout stands.
type RolloutStatus string

// Statuses of a rollout.
const (
	RolloutPlanned     RolloutStatus = "planned" // nothing has happened yet
	RolloutRunning     RolloutStatus = "running"
	RolloutAsking      RolloutStatus = "asking" // a gate paused it and a person must decide
	RolloutInterrupted RolloutStatus = "interrupted"
	RolloutStopped     RolloutStatus = "stopped" // cancelled by a person, as it stands
	RolloutFailed      RolloutStatus = "failed"
	RolloutDone        RolloutStatus = "done"
	RolloutRolledBack  RolloutStatus = "rolled back"
)

// Active reports whether the rollout is under way, perhaps waiting.
func (s RolloutStatus) Active() bool {
	return s == RolloutRunning || s == RolloutAsking || s == RolloutInterrupted || s == RolloutStopped || s == RolloutFailed
}

// Plan is what a rollout will do and its exact inverse, made before it starts.
type Plan struct {
	ID          string `json:"id"` // "r1", unique in the incident
	Environment string `json:"environment"`
	Production  bool   `json:"production,omitempty"`
	Strategy    string `json:"strategy"`           // canary, rolling, blue-green, immediate, script
	Version     string `json:"version"`            // what is rolled out: "v1.2.4"
	Target      string `json:"target"`             // the named version a rollback restores: "v1.2.3"
	Revision    string `json:"revision,omitempty"` // its revision in the cluster (a ReplicaSet's name)
	Digest      string `json:"digest,omitempty"`   // of the image it ran, where its pods say: "sha256:…"
	Context     string `json:"context,omitempty"`  // kubeconfig context
	ClusterUID  string `json:"cluster,omitempty"`  // UID of the kube-system namespace
	Namespace   string `json:"namespace,omitempty"`
	// Subject is what carries the rollout, for the pane's title: "VirtualService app".
	Subject string  `json:"subject,omitempty"`
	Stages  []Stage `json:"stages"`
	Inverse []Op    `json:"inverse"`
	// Snapshot is the strategy's own record of the world before: enough to roll
	// back from the journal alone, in another process. No secrets.
	Snapshot json.RawMessage `json:"snapshot,omitempty"`
	// Warnings are what a person should know before it starts, in amber. None blocks.
	Warnings []string `json:"warnings,omitempty"`
}

// Stage is one part of a rollout: its writes, then a wait for the effect, then a gate.
type Stage struct {
	Name   string   `json:"name"`             // "canary 25 %", "batch 1 of 3", "stable takes v1.2.4"
	Weight int      `json:"weight,omitempty"` // percent of traffic for the new version after it; 0 if it moves none
	Hold   Duration `json:"hold,omitempty"`   // how long the gate must hold; 0: no gate
	Ops    []Op     `json:"ops"`
}

// Op is one write to the world, shown before it is made.
type Op struct {
	ID      string `json:"id"`
	Title   string `json:"title"`             // "weight of app-canary 10 → 25"
	Object  string `json:"object,omitempty"`  // "VirtualService/shop/app"
	Command string `json:"command,omitempty"` // what a person would type: "kubectl -n shop patch …"
	Diff    string `json:"diff,omitempty"`
}

// Proof is the outcome of a dry run of the inverse (and of the plan, before it starts).
type Proof struct {
	Ready  Readiness `json:"ready"`
	Target string    `json:"target,omitempty"`
	Why    string    `json:"why,omitempty"` // why not, or why only amber
	Checks []Finding `json:"checks,omitempty"`
}

// Repeats reports whether the proof says only what the last one said.
func (p Proof) Repeats(last Proof) bool {
	return p.Ready == last.Ready && p.Target == last.Target && p.Why == last.Why
}

// Readiness of the rollback plan: green, amber, red.
type Readiness string

// Values of Readiness. Empty means never looked at.
const (
	Ready    Readiness = "READY"
	Doubtful Readiness = "DOUBTFUL"
	NotReady Readiness = "NOT READY"
)

// Finding is one thing a proof looked at.
type Finding struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Warn bool   `json:"warn,omitempty"` // OK, and yet a person should read it: shown in amber
	Text string `json:"text,omitempty"`
}

// Rollout is one deployment to one environment.
type Rollout struct {
	Plan
	Attempt int
	Epoch   int
	Item    string // the item that ran it
	By      string
	Status  RolloutStatus
	Stages  []StageState // hides Plan.Stages: definition and state in one
	Gate    Gate
	Started time.Time
	Ended   time.Time
	Problem *Problem
	// Uncompared are the probes that lacked what a gate compares them with, a baseline or
	// readings for a rank test, which a person accepted: for the stages that follow, too.
	Uncompared []string
}

// StageState is a stage with how far it came.
type StageState struct {
	Stage
	Status   ItemStatus
	Started  time.Time
	Effected time.Time // the effect was seen in the world
	Effect   string    // "seen 24.7 %, 3/3 ready"
	Seen     float64   // observed share of traffic for the new version, percent
	Passed   time.Time
}

// Stage gives the index of the first stage that has not passed; len(Stages) if all have.
func (r *Rollout) Stage() int {
	for i := range r.Stages {
		if r.Stages[i].Passed.IsZero() {
			return i
		}
	}
	return len(r.Stages)
}

// StageName is the name of that stage, in words where all have passed.
func (r *Rollout) StageName() string {
	if i := r.Stage(); i < len(r.Stages) {
		return r.Stages[i].Name
	}
	return "its end"
}

// Weight is the share of traffic, in percent, that the plan has given the new
// version so far: the weight of the last stage whose effect was seen.
func (r *Rollout) Weight() int {
	w := 0
	for i := range r.Stages {
		if !r.Stages[i].Effected.IsZero() {
			w = r.Stages[i].Weight
		}
	}
	return w
}

// GateState says what a gate is doing.
type GateState string

// States of a gate.
const (
	GateHolding GateState = "holding" // all well since Since
	GateWaiting GateState = "waiting" // a warning: the time does not count
	GateAsking  GateState = "asking"  // not knowing: a person decides
	GatePassed  GateState = "passed"
	GateFailed  GateState = "failed" // rolls back
)

// Gate is the verdicts a stage waits for, as last decided.
type Gate struct {
	Stage   int
	State   GateState
	Since   time.Time // the good time counts from here
	Hold    Duration
	Reasons []string
	// Uncompared are the probes because of which it asks: no baseline, or too few readings
	// for a rank test.
	Uncompared []string
}

// Held says how much of the hold has passed at now, at most all of it.
func (g Gate) Held(now time.Time) time.Duration {
	if g.State == GatePassed {
		return g.Hold.D()
	}
	if g.State != GateHolding || g.Since.IsZero() {
		return 0
	}
	return min(max(now.Sub(g.Since), 0), g.Hold.D())
}

// RollbackStatus is where the rollback stands.
type RollbackStatus string

// Statuses of a rollback. Empty: nobody asked for one.
const (
	RollbackArmed   RollbackStatus = "armed"
	RollbackRunning RollbackStatus = "running"
	RollbackDone    RollbackStatus = "done"
	RollbackFailed  RollbackStatus = "failed"
)

// Rollback is the state of the one key, R.
type Rollback struct {
	Proof    Proof
	ProvenAt time.Time
	Status   RollbackStatus
	Armed    time.Time
	Deadline time.Time // real time: when an armed rollback runs by itself
	By       string
	Trigger  string // "R", "gate: error rate new 7.9 % > 5 %", "mayday rollback"
	Rollout  string
	Started  time.Time
	Ended    time.Time
	Ops      []OpState
	Verified string   // what was seen: "v1.2.3 answered 50 of 50 requests"
	Manual   []string // what to do by hand: if it failed, or what it left undone
	Database bool     // the database is taken back too
	Problem  *Problem
}

// LeftDatabase reports whether the database is still to be taken back, if somebody asks
// for it: the rollback left it alone, or failed with it.
func (rb Rollback) LeftDatabase() bool { return !rb.Database || rb.Status == RollbackFailed }

// OpState is an operation of a rollback with how far it came.
type OpState struct {
	Op
	Status  ItemStatus
	Started time.Time
	Ended   time.Time
	Text    string
}
