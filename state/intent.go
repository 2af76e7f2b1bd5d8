package state

import (
	"encoding/json"
	"fmt"
	"time"
)

// Intent is what a person (or a script) wants done. Cockpits and commands send
// intents to the keeper; the Engine answers each one. The set is closed, as facts are.
type Intent interface {
	// Verb is the name on the wire, such as "item.run".
	Verb() string
	intent()
}

// The intents. Empty Incident fields never occur: an intent is for the incident
// whose keeper receives it.
type (
	// Preview asks what running an item would do: Answer.Lines holds the exact
	// commands, Answer.Text a diff or a message. Nothing changes.
	Preview struct {
		Item string `json:"item"`
		// Values are answers that the run will get too (a strategy, a version). For a
		// sign-off "show" = "statement" asks for what a reviewer signs, and nothing else.
		Values map[string]string `json:"values,omitempty"`
	}
	// Run starts an action. The answer comes when the intent is in the journal,
	// not when the action ends.
	Run struct {
		Item   string            `json:"item"`
		Values map[string]string `json:"values,omitempty"`
	}
	// Cancel stops a running action; a rollout stays where it is.
	Cancel struct {
		Item string `json:"item"`
	}
	// Tick checks an item, with words where it asks for them.
	Tick struct {
		Item  string `json:"item"`
		Value string `json:"value,omitempty"`
	}
	// Untick takes a check back.
	Untick struct {
		Item string `json:"item"`
	}
	// Sign signs an item off, or rejects. Refused for the author of the change, and
	// where the newest commit is not the one that was looked at: its hash, or what that
	// begins with; empty: the newest. The answer's lines name what was signed, and by
	// which key. Where the runbook names signers an approval needs a Signature.
	Sign struct {
		Item    string `json:"item"`
		Commit  string `json:"commit,omitempty"`
		Comment string `json:"comment,omitempty"`
		Reject  bool   `json:"reject,omitempty"`
		// Signature is a reviewer's, of the incident's Statement, armored: whoever sends
		// it may be anybody. Statement is what was signed, as they have it; optional: it
		// tells what is another one.
		Signature string `json:"signature,omitempty"`
		Statement string `json:"statement,omitempty"`
	}
	// PassOver overrides an item; a reason is required.
	PassOver struct {
		Item   string `json:"item"`
		Reason string `json:"reason"`
	}
	// GoOn resumes an interrupted, stopped or asking rollout. Accept lets the
	// asking gate pass on this person's word, with the reason. Stage names the stage
	// that the person has read of: the gate of a later one is refused; "" is any.
	GoOn struct {
		Accept bool   `json:"accept,omitempty"`
		Reason string `json:"reason,omitempty"`
		Stage  string `json:"stage,omitempty"`
	}
	// Decide is step 1's decision: hotfix, normal or wait.
	Decide struct {
		Choice    string `json:"choice"`
		Rationale string `json:"rationale,omitempty"`
	}
	// SetSeverity changes the severity and its clocks.
	SetSeverity struct {
		To     Severity `json:"to"`
		Reason string   `json:"reason,omitempty"`
	}
	// SetRole gives a role to a person.
	SetRole struct {
		Role   string `json:"role"`
		Person string `json:"person"`
	}
	// HandOver gives a role from whoever has it to another person, who is paged for it.
	HandOver struct {
		Role string `json:"role"`
		To   string `json:"to"`
		Why  string `json:"why,omitempty"`
	}
	// AddNote keeps a remark.
	AddNote struct {
		Text string `json:"text"`
	}
	// Recall asks for what the keeper remembers of probes from before its rings:
	// Answer.Samples, of the past. Names that it does not know give nothing.
	Recall struct {
		Probes []string `json:"probes"`
	}
	// DraftUpdate renders the status update from its template: Answer.Text.
	DraftUpdate struct {
		Audience string `json:"audience,omitempty"`
		Status   Status `json:"status,omitempty"`
		ETA      string `json:"eta,omitempty"`
	}
	// PostUpdate sends a status update to every channel of the audience; Everybody is
	// all of them, each in words of its own.
	PostUpdate struct {
		Audience string `json:"audience,omitempty"`
		Status   Status `json:"status,omitempty"`
		ETA      string `json:"eta,omitempty"`
		Text     string `json:"text"`
	}
	// Correct gives a message that was sent other words, where its channel can.
	Correct struct {
		ID   string `json:"id"`
		Text string `json:"text"`
	}
	// Ack says "I have it" for a paged level, or says it again before that lapses; an
	// empty role means every paged one.
	Ack struct {
		Role string `json:"role,omitempty"`
	}
	// Snooze puts the next page of a level off.
	Snooze struct {
		Role string   `json:"role"`
		For  Duration `json:"for"`
	}
	// Escalate pages the next level (or the named role) now.
	Escalate struct {
		Role string `json:"role,omitempty"`
	}
	// Arm is the key R: the rollback runs when the grace is over.
	Arm struct {
		Trigger string `json:"trigger,omitempty"`
		// WithDatabase takes the database back too, behind the workload.
		WithDatabase bool   `json:"with_database,omitempty"`
		Version      string `json:"version,omitempty"` // refused unless R leads there; "" or "previous": wherever it leads
	}
	// Fire runs an armed rollback now; without an armed one it arms and runs. After a
	// rollback that kept the database, WithDatabase takes that back too.
	Fire struct {
		Trigger      string `json:"trigger,omitempty"`
		WithDatabase bool   `json:"with_database,omitempty"`
		Version      string `json:"version,omitempty"` // as Arm's
	}
	// Disarm stops an armed rollback.
	Disarm struct{}
	// NewAttempt opens steps 3 to 15 afresh after a rollback.
	NewAttempt struct{}
	// Resolve ends the incident.
	Resolve struct {
		RootCause   string   `json:"root_cause"`
		ActionItems []string `json:"action_items,omitempty"` // as ParseActionItem reads them
		// Override is why it ends though a probe is not ok, or a step is open before it.
		Override string `json:"override,omitempty"`
	}
	// Validate runs a validation suite of the runbook. The answer's text names the run,
	// which ends with a SuiteFinished; Cancel with the item "validate" stops it.
	Validate struct {
		Environment string `json:"environment"`
		Suite       string `json:"suite"`
	}
	// NoteWatch journals what mayday verify says; nothing follows from it.
	NoteWatch struct {
		State   GateState `json:"state"`
		Since   time.Time `json:"since,omitzero"`
		Hold    Duration  `json:"hold,omitempty"`
		Ended   bool      `json:"ended,omitempty"`
		Reasons []string  `json:"reasons,omitempty"`
		Judged  []Judged  `json:"readings,omitempty"`
	}
	// Remark puts a warning into the journal: a key that was ignored, a view that
	// panicked. For cockpits.
	Remark struct {
		Text string `json:"text"`
	}
)

// Everybody is the audience of a broadcast: team, stakeholders, customers and executives.
const Everybody = "everybody"

// Verb names.
func (Preview) Verb() string     { return "item.preview" }
func (Run) Verb() string         { return "item.run" }
func (Cancel) Verb() string      { return "item.cancel" }
func (Tick) Verb() string        { return "item.tick" }
func (Untick) Verb() string      { return "item.untick" }
func (Sign) Verb() string        { return "item.sign" }
func (PassOver) Verb() string    { return "item.override" }
func (GoOn) Verb() string        { return "rollout.go-on" }
func (Decide) Verb() string      { return "decide" }
func (SetSeverity) Verb() string { return "severity" }
func (SetRole) Verb() string     { return "role" }
func (HandOver) Verb() string    { return "role.hand-over" }
func (AddNote) Verb() string     { return "note" }
func (Recall) Verb() string      { return "probes.recall" }
func (DraftUpdate) Verb() string { return "update.draft" }
func (PostUpdate) Verb() string  { return "update.post" }
func (Correct) Verb() string     { return "message.correct" }
func (Ack) Verb() string         { return "ack" }
func (Snooze) Verb() string      { return "snooze" }
func (Escalate) Verb() string    { return "escalate" }
func (Arm) Verb() string         { return "rollback.arm" }
func (Fire) Verb() string        { return "rollback.fire" }
func (Disarm) Verb() string      { return "rollback.disarm" }
func (NewAttempt) Verb() string  { return "attempt.new" }
func (Resolve) Verb() string     { return "resolve" }
func (Validate) Verb() string    { return "validate" }
func (NoteWatch) Verb() string   { return "watch.note" }
func (Remark) Verb() string      { return "remark" }

func (Preview) intent()     {}
func (Run) intent()         {}
func (Cancel) intent()      {}
func (Tick) intent()        {}
func (Untick) intent()      {}
func (Sign) intent()        {}
func (PassOver) intent()    {}
func (GoOn) intent()        {}
func (Decide) intent()      {}
func (SetSeverity) intent() {}
func (SetRole) intent()     {}
func (HandOver) intent()    {}
func (AddNote) intent()     {}
func (Recall) intent()      {}
func (DraftUpdate) intent() {}
func (PostUpdate) intent()  {}
func (Correct) intent()     {}
func (Ack) intent()         {}
func (Snooze) intent()      {}
func (Escalate) intent()    {}
func (Arm) intent()         {}
func (Fire) intent()        {}
func (Disarm) intent()      {}
func (NewAttempt) intent()  {}
func (Resolve) intent()     {}
func (Validate) intent()    {}
func (NoteWatch) intent()   {}
func (Remark) intent()      {}

// Answer is what the Engine says to an intent.
type Answer struct {
	Lines []string `json:"lines,omitempty"` // the exact commands, one a line
	Text  string   `json:"text,omitempty"`  // a diff, a message, a sentence
	Seq   uint64   `json:"seq,omitempty"`   // the last event that records the intent; 0 if none does
	// Samples are what Recall asked for.
	Samples []Sample `json:"samples,omitempty"`
}

var intents = map[string]func([]byte) (Intent, error){}

func admit[I Intent]() {
	var zero I
	intents[zero.Verb()] = func(b []byte) (Intent, error) {
		var v I
		if len(b) == 0 {
			return v, nil
		}
		err := json.Unmarshal(b, &v)
		return v, err
	}
}

func init() {
	admit[Preview]()
	admit[Run]()
	admit[Cancel]()
	admit[Tick]()
	admit[Untick]()
	admit[Sign]()
	admit[PassOver]()
	admit[GoOn]()
	admit[Decide]()
	admit[SetSeverity]()
	admit[SetRole]()
	admit[HandOver]()
	admit[AddNote]()
	admit[Recall]()
	admit[DraftUpdate]()
	admit[PostUpdate]()
	admit[Correct]()
	admit[Ack]()
	admit[Snooze]()
	admit[Escalate]()
	admit[Arm]()
	admit[Fire]()
	admit[Disarm]()
	admit[NewAttempt]()
	admit[Resolve]()
	admit[Validate]()
	admit[NoteWatch]()
	admit[Remark]()
}

// DecodeIntent turns a verb and its data into an intent.
func DecodeIntent(verb string, data []byte) (Intent, error) {
	make, ok := intents[verb]
	if !ok {
		return nil, fmt.Errorf("unknown verb %q: the other mayday is of another version", verb)
	}
	return make(data)
}
