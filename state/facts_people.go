package state

import "time"

func init() {
	register[LevelPaged]()
	register[LevelAcked]()
	register[AckLapsed]()
	register[LevelSnoozed]()
	register[UpdatePosted]()
	register[MessageQueued]()
	register[MessageTried]()
	register[MessageCorrected]()
	register[ProbesLaid]()
	register[ProbeJudged]()
}

// LevelPaged says that a level of the escalation policy was paged.
type LevelPaged struct {
	Role   string `json:"role"`
	Who    string `json:"who,omitempty"`
	Late   bool   `json:"late,omitempty"`
	AtOnce bool   `json:"at_once,omitempty"`
	ByHand bool   `json:"by_hand,omitempty"` // before it was due, by somebody's wish
}

// Kind implements Fact.
func (LevelPaged) Kind() string { return "escalation.paged" }

func (f LevelPaged) apply(in *Incident, e Event) {
	for i := range in.Levels {
		if l := &in.Levels[i]; l.Role == f.Role && l.AtOnce == f.AtOnce {
			l.Paged, l.Late = e.Time, l.Late || f.Late
			l.Acked, l.AckBy, l.Alive = time.Time{}, "", time.Time{} // called again: answered anew
			if f.Who != "" {
				l.Who = f.Who
			}
			return
		}
	}
	in.Levels = append(in.Levels, Level{Role: f.Role, Who: f.Who, Due: e.Time, Paged: e.Time})
}

// LevelAcked says "I have it", or says it again. It stops the re-pages of its level,
// until [AckLapsed].
type LevelAcked struct {
	Role string `json:"role"`
}

// Kind implements Fact.
func (LevelAcked) Kind() string { return "escalation.acked" }

func (f LevelAcked) apply(in *Incident, e Event) {
	for i := range in.Levels {
		if l := &in.Levels[i]; l.Role == f.Role && !l.Paged.IsZero() && (l.Acked.IsZero() || l.AckBy == who(e)) {
			if l.Acked.IsZero() {
				l.Acked = e.Time
			}
			l.AckBy, l.Alive = who(e), e.Time
		}
	}
}

// AckLapsed says that an acknowledgement does not count any more: nothing was heard
// of who gave it for too long.
type AckLapsed struct {
	Role   string `json:"role"`
	By     string `json:"by,omitempty"`
	AtOnce bool   `json:"at_once,omitempty"`
}

// Kind implements Fact.
func (AckLapsed) Kind() string { return "escalation.lapsed" }

func (f AckLapsed) apply(in *Incident, _ Event) {
	for i := range in.Levels {
		if l := &in.Levels[i]; l.Role == f.Role && l.AtOnce == f.AtOnce {
			l.Acked, l.AckBy, l.Alive = time.Time{}, "", time.Time{}
		}
	}
}

// signOfLife notes that somebody who has a page did something: they are awake. What
// ends by itself, and cockpits that open and close, prove nothing.
func (in *Incident) signOfLife(e Event) {
	switch e.Fact.(type) {
	case NoteAdded, ItemStarted, ItemChecked, ItemUnchecked, ItemSigned, ItemPassedOver, UpdatePosted, StatusChanged,
		SeverityChanged, RoleAssigned, LevelSnoozed, RolloutResumed, RollbackPrimed, RollbackDisarmed:
	default:
		return
	}
	for i := range in.Levels {
		if l := &in.Levels[i]; !l.Acked.IsZero() && l.AckBy == who(e) {
			l.Alive = e.Time
		}
	}
}

// LevelSnoozed puts the next page of a level off.
type LevelSnoozed struct {
	Role  string    `json:"role"`
	Until time.Time `json:"until"`
}

// Kind implements Fact.
func (LevelSnoozed) Kind() string { return "escalation.snoozed" }

func (f LevelSnoozed) apply(in *Incident, _ Event) {
	for i := range in.Levels {
		if in.Levels[i].Role == f.Role {
			in.Levels[i].Snooze = f.Until
		}
	}
}

// UpdatePosted says that a status update went into the outbox; the next is due
// one interval later.
type UpdatePosted struct {
	Status Status `json:"status"`
	Text   string `json:"text"`
	ETA    string `json:"eta,omitempty"`
	Head   string `json:"head,omitempty"` // the journal's short head hash, for people outside to hold
}

// Kind implements Fact.
func (UpdatePosted) Kind() string { return "update.posted" }

func (f UpdatePosted) apply(in *Incident, e Event) {
	if !in.Updates.Due.IsZero() && e.Time.After(in.Updates.Due) {
		in.Updates.Late++
	}
	in.Updates.Sent++
	if in.Updates.Every > 0 && in.Open() {
		in.Updates.Due = e.Time.Add(in.Updates.Every.D())
	}
	if f.ETA != "" {
		in.ETA = f.ETA
	}
}

// MessageQueued puts a message into the durable outbox.
type MessageQueued struct {
	ID       string `json:"id"`
	Channel  string `json:"channel"`
	Audience string `json:"audience,omitempty"`
	Purpose  string `json:"purpose"`
	Role     string `json:"role,omitempty"` // of a page: the level
	Who      string `json:"who,omitempty"`  // of a page: whom it calls
	Text     string `json:"text"`
}

// Kind implements Fact.
func (MessageQueued) Kind() string { return "message.queued" }

func (f MessageQueued) apply(in *Incident, e Event) {
	for i := range in.Messages {
		if in.Messages[i].ID == f.ID {
			return
		}
	}
	in.Messages = append(in.Messages, Message{ID: f.ID, Channel: f.Channel, Audience: f.Audience,
		Purpose: f.Purpose, Role: f.Role, Who: f.Who, Text: f.Text, Queued: e.Time})
}

// MessageTried says how a delivery went. Dead: no further try.
type MessageTried struct {
	ID    string `json:"id"`
	OK    bool   `json:"ok"`
	Tries int    `json:"tries"`
	Err   string `json:"err,omitempty"`
	Dead  bool   `json:"dead,omitempty"`
	// Rest is how long the service asked to be left alone, real time.
	Rest Duration `json:"rest,omitempty"`
	Call string   `json:"call,omitempty"` // dead: who should be told by telephone instead
	Ref  string   `json:"ref,omitempty"`  // what the service calls the message
	// Wording is what was sent: 1 the first words, 2 those of the first correction. 0, of
	// older journals, is what the message says now.
	Wording int `json:"wording,omitempty"`
}

// Kind implements Fact.
func (MessageTried) Kind() string { return "message.tried" }

func (f MessageTried) apply(in *Incident, e Event) {
	for i := range in.Messages {
		if m := &in.Messages[i]; m.ID == f.ID {
			if f.Wording > 0 && f.Wording != m.Wording() {
				m.outran(f, e)
				continue
			}
			m.Tries, m.Err, m.Dead, m.Rest, m.Call, m.Tried = f.Tries, f.Err, f.Dead, f.Rest, f.Call, e.Time
			if f.Ref != "" {
				m.Ref = f.Ref
			}
			if f.OK {
				m.Sent = e.Time
			}
		}
	}
}

// outran takes over what a try says of a message that was corrected while it was under
// way: where it stands now, if it arrived, and for how long the service wants to be left
// alone. The correction is untried, and goes out whatever became of the words before it.
func (m *Message) outran(f MessageTried, e Event) {
	if f.Ref != "" {
		m.Ref = f.Ref
	}
	if f.Rest > 0 {
		m.Rest, m.Tried = f.Rest, e.Time
	}
}

// MessageCorrected gives a message other words: it goes out again, to where it stands.
type MessageCorrected struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// Kind implements Fact.
func (MessageCorrected) Kind() string { return "message.corrected" }

func (f MessageCorrected) apply(in *Incident, e Event) {
	for i := range in.Messages {
		if m := &in.Messages[i]; m.ID == f.ID {
			m.Text, m.Edits, m.Queued = f.Text, m.Edits+1, e.Time
			m.Sent, m.Tries, m.Tried, m.Rest, m.Err, m.Dead, m.Call = time.Time{}, 0, time.Time{}, 0, "", false, ""
		}
	}
}

// ProbesLaid replaces the probes, for a version that became known.
type ProbesLaid struct {
	Probes   []Probe  `json:"probes"`
	Reaction Duration `json:"reaction,omitempty"` // as Incident's
}

// Kind implements Fact.
func (ProbesLaid) Kind() string { return "probes.laid" }

func (f ProbesLaid) apply(in *Incident, _ Event) { in.Probes, in.Reaction = f.Probes, f.Reaction }

// ProbeJudged says that a probe's verdict changed.
type ProbeJudged struct {
	Sample Sample  `json:"sample"`
	From   Verdict `json:"from,omitempty"`
}

// Kind implements Fact.
func (ProbeJudged) Kind() string { return "probe.judged" }

func (f ProbeJudged) apply(in *Incident, _ Event) { set(&in.Verdicts, f.Sample.Probe, f.Sample) }
