package state

import "time"

// Frame is one thing that the keeper tells a client, in order. Exactly one field
// is set. Events are never dropped; samples and output may be thinned when a
// client is slow.
type Frame struct {
	Hello   *Hello   `json:"hello,omitempty"`
	Event   *Event   `json:"event,omitempty"`
	Samples []Sample `json:"samples,omitempty"`
	Output  *Output  `json:"output,omitempty"`
	// Spooled is set while events cannot be written to the journal: how many wait.
	// It is shown in red. A frame with Spooled 0 and Journal true ends it.
	Journal *JournalState `json:"journal,omitempty"`
	// Lost says that the keeper is gone and what this process does about it; the
	// stream goes on with the next keeper's Hello.
	Lost string `json:"lost,omitempty"`
}

// Hello is the first frame of a connection. Events from the first on follow.
type Hello struct {
	You      Actor         `json:"you"`
	Client   string        `json:"client"` // this client's ID in Presence
	Keeper   Actor         `json:"keeper"`
	Keeping  bool          `json:"keeping"` // this very process keeps
	Incident string        `json:"incident"`
	Folder   string        `json:"folder"` // of the incident, for output/ and evidence/
	Head     uint64        `json:"head"`   // events up to here are history, sent at once
	Grace    time.Duration `json:"grace"`  // real time between R and the rollback
	Clock    Clock         `json:"clock"`
}

// Output is a piece of a running action's output, already cleaned and redacted.
type Output struct {
	Item string `json:"item"`
	Run  string `json:"run"`
	Text string `json:"text"` // whole lines, each ending in \n
}

// JournalState says how the journal does.
type JournalState struct {
	Spooled int    `json:"spooled"`
	Err     string `json:"err,omitempty"`
	Head    string `json:"head,omitempty"`   // short hash of the newest event
	Signed  uint64 `json:"signed,omitempty"` // checkpoints sign up to here
}
