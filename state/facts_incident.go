package state

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"
)

func init() {
	register[Declared]()
	register[SeverityChanged]()
	register[StatusChanged]()
	register[DecisionMade]()
	register[RoleAssigned]()
	register[IncidentResolved]()
	register[NoteAdded]()
	register[Warned]()
	register[KeeperStarted]()
	register[KeeperStopped]()
	register[ClientJoined]()
	register[ClientLeft]()
	register[DrillScored]()
	register[Checkpoint]()
}

// Declared begins an incident. It carries what the fold needs of the runbook, so
// that a journal can be replayed without it.
type Declared struct {
	ID          string   `json:"id"`
	Title       string   `json:"title"`
	Severity    Severity `json:"severity"`
	Service     string   `json:"service"`
	Environment string   `json:"environment"`
	Issue       string   `json:"issue,omitempty"`
	Impact      string   `json:"impact,omitempty"`
	Drill       string   `json:"drill,omitempty"`
	Clock       Clock    `json:"clock,omitzero"`
	Policy      Policy   `json:"policy"`
	// Policies are those of the other severities, Rota who has which role: what the
	// runbook says later does not change who is called tonight.
	Policies  map[Severity]Policy `json:"policies,omitempty"`
	Rota      map[string][]string `json:"rota,omitempty"`
	Roles     map[string]string   `json:"roles,omitempty"`
	Steps     []Step              `json:"steps"`
	Probes    []Probe             `json:"probes,omitempty"`
	Reaction  Duration            `json:"reaction,omitempty"`   // as Incident's
	PublicKey string              `json:"public_key,omitempty"` // verifies the journal's checkpoints
	Runbook   string              `json:"runbook,omitempty"`    // the file, for whoever takes over from another folder
}

// Kind implements Fact.
func (Declared) Kind() string { return "incident.declared" }

func (f Declared) apply(in *Incident, e Event) {
	in.ID, in.Title, in.Severity, in.Service, in.Environment = f.ID, f.Title, f.Severity, f.Service, f.Environment
	in.Issue, in.Impact, in.Drill, in.Clock, in.Runbook = f.Issue, f.Impact, f.Drill, f.Clock, f.Runbook
	in.Declared, in.By, in.Status = e.Time, e.Actor, Investigating
	in.Mark = f.mark(e)
	in.Steps, in.Probes, in.Reaction = cloneSteps(f.Steps), f.Probes, f.Reaction
	for i := range in.Steps {
		for j := range in.Steps[i].Items {
			in.Steps[i].Items[j].Status = ItemOpen
		}
	}
	for role, person := range f.Roles {
		set(&in.Roles, role, person)
	}
	in.Policies = f.Policies
	for role, people := range f.Rota {
		set(&in.Rota, role, people)
	}
	in.Attempt = 1
	in.policy(f.Policy, e.Time)
}

// mark tells the incident from all others: the ID, a dot and eight hexadecimal digits.
// The IDs of a day are counted on every host anew: the first incidents of two hosts have
// the same one, and neither must take what the other one changes for its own.
func (f Declared) mark(e Event) string {
	sum := sha256.Sum256([]byte(f.PublicKey + "\n" + e.Actor.Host + "\n" + strconv.FormatInt(e.Time.Unix(), 10)))
	return f.ID + "." + hex.EncodeToString(sum[:4])
}

// policy lays the clocks of a policy down, counted from the declaration but due now
// at the earliest. Levels already paged stay as they are.
func (in *Incident) policy(p Policy, now time.Time) {
	in.Policy = p
	in.playbook(p.Playbook)
	old := in.Levels
	in.Levels = nil
	add := func(at LevelAt, atOnce bool) {
		for _, l := range old {
			if l.Role == at.Role && l.AtOnce == atOnce && !l.Paged.IsZero() {
				in.Levels = append(in.Levels, l)
				return
			}
		}
		due := in.Declared.Add(at.After.D())
		if due.Before(now) {
			due = now
		}
		in.Levels = append(in.Levels, Level{Role: at.Role, Who: strings.Join(in.Callees(at.Role), ", "), Due: due,
			AtOnce: atOnce, Channels: at.Channels})
	}
	for _, r := range p.AtOnce {
		add(LevelAt{Role: r}, true)
	}
	for _, l := range p.Levels {
		add(l, false)
	}
	from := in.Declared
	if in.Updates.Sent > 0 && !in.Updates.Due.IsZero() {
		from = in.Updates.Due.Add(-in.Updates.Every.D()) // the last update
	}
	in.Updates.Every, in.Updates.Due = p.Update, time.Time{}
	if p.Update > 0 && in.Open() {
		in.Updates.Due = from.Add(p.Update.D())
	}
}

// SeverityChanged sets another severity and its clocks.
type SeverityChanged struct {
	To     Severity `json:"to"`
	Reason string   `json:"reason,omitempty"`
	Policy Policy   `json:"policy"`
}

// Kind implements Fact.
func (SeverityChanged) Kind() string { return "incident.severity" }

func (f SeverityChanged) apply(in *Incident, e Event) {
	in.Severity = f.To
	in.policy(f.Policy, e.Time)
}

// StatusChanged moves the incident on.
type StatusChanged struct {
	To  Status `json:"to"`
	ETA string `json:"eta,omitempty"`
	Why string `json:"why,omitempty"`
}

// Kind implements Fact.
func (StatusChanged) Kind() string { return "incident.status" }

func (f StatusChanged) apply(in *Incident, e Event) {
	in.Status, in.ETA = f.To, f.ETA
	switch {
	case f.To == Monitoring && in.Mitigated.IsZero():
		in.Mitigated = e.Time
	case f.To == Investigating || f.To == Identified || f.To == Fixing:
		in.Mitigated = time.Time{} // it is broken again: the escalation clock runs
	}
}

// DecisionMade records step 1's decision. "wait" and "normal" end the incident.
type DecisionMade struct {
	Choice    string `json:"choice"`
	Rationale string `json:"rationale,omitempty"`
}

// Kind implements Fact.
func (DecisionMade) Kind() string { return "incident.decision" }

func (f DecisionMade) apply(in *Incident, e Event) {
	in.Decision = Decision{Choice: f.Choice, Rationale: f.Rationale, By: who(e), At: e.Time}
	if f.Choice != "hotfix" {
		in.Status, in.Ended = Closed, e.Time
		in.Updates.Due = time.Time{}
	}
}

// RoleAssigned gives a role to a person.
type RoleAssigned struct {
	Role   string `json:"role"`
	Person string `json:"person"`
	From   string `json:"from,omitempty"` // who hands it over
	Why    string `json:"why,omitempty"`
}

// Kind implements Fact.
func (RoleAssigned) Kind() string { return "role.assigned" }

func (f RoleAssigned) apply(in *Incident, e Event) {
	set(&in.Roles, f.Role, f.Person)
	// What the keeper reads off the rota leaves the others who have the role in it.
	if e.Actor.User != Mayday || !slices.Contains(in.Rota[f.Role], f.Person) {
		set(&in.Rota, f.Role, []string{f.Person})
	}
	for i := range in.Levels {
		if in.Levels[i].Role == f.Role {
			in.Levels[i].Who = strings.Join(in.Callees(f.Role), ", ")
		}
	}
}

// IncidentResolved ends the incident.
type IncidentResolved struct {
	RootCause   string   `json:"root_cause"`
	ActionItems []string `json:"action_items,omitempty"`
	Confirmed   string   `json:"confirmed,omitempty"` // what the probes said
	Override    string   `json:"override,omitempty"`  // why it ended all the same
}

// Kind implements Fact.
func (IncidentResolved) Kind() string { return "incident.resolved" }

func (f IncidentResolved) apply(in *Incident, e Event) {
	in.Status, in.Ended, in.RootCause = Resolved, e.Time, f.RootCause
	in.ActionItems = append(in.ActionItems, f.ActionItems...)
	in.Updates.Due = time.Time{}
}

// NoteAdded is something a person wants kept.
type NoteAdded struct {
	Text string `json:"text"`
}

// Kind implements Fact.
func (NoteAdded) Kind() string { return "note" }

func (f NoteAdded) apply(*Incident, Event) {}

// Warned is something the operator must know and nobody did: a slow disk, a
// foreign epoch, a key that was ignored. Sticky ones stay on screen.
type Warned struct {
	Text   string `json:"text"`
	Sticky bool   `json:"sticky,omitempty"`
}

// Kind implements Fact.
func (Warned) Kind() string { return "warning" }

func (f Warned) apply(in *Incident, _ Event) {
	if f.Sticky {
		in.Warnings = append(in.Warnings, f.Text)
	}
}

// KeeperStarted says which process keeps the incident from here on. What ran
// under another keeper was interrupted.
type KeeperStarted struct {
	TookOver bool  `json:"took_over,omitempty"` // the last keeper died without a word
	From     Actor `json:"from,omitzero"`
}

// Kind implements Fact.
func (KeeperStarted) Kind() string { return "keeper.started" }

func (f KeeperStarted) apply(in *Incident, e Event) {
	in.Keeper, in.Here = e.Actor, nil
	for i := range in.Steps {
		for j := range in.Steps[i].Items {
			it := &in.Steps[i].Items[j]
			// The monitoring period is a span of the clock, not a running process.
			if (it.Status == ItemRunning || it.Status == ItemAsking) && it.ID != ItemMonitor {
				it.Status = ItemInterrupted
			}
		}
	}
	for i := range in.Rollouts {
		r := &in.Rollouts[i]
		if r.Status == RolloutRunning || r.Status == RolloutAsking {
			r.Status = RolloutInterrupted
			for j := range r.Stages {
				if r.Stages[j].Status == ItemRunning || r.Stages[j].Status == ItemAsking {
					r.Stages[j].Status = ItemInterrupted
				}
			}
		}
	}
}

// KeeperStopped says that the keeper left in good order.
type KeeperStopped struct {
	Why string `json:"why,omitempty"`
}

// Kind implements Fact.
func (KeeperStopped) Kind() string { return "keeper.stopped" }

func (f KeeperStopped) apply(in *Incident, _ Event) { in.Keeper, in.Here = Actor{}, nil }

// ClientJoined says that a cockpit looks at the incident.
type ClientJoined struct {
	ID string `json:"id"`
}

// Kind implements Fact.
func (ClientJoined) Kind() string { return "cockpit.joined" }

func (f ClientJoined) apply(in *Incident, e Event) {
	in.Here = append(in.Here, Presence{ID: f.ID, Actor: e.Actor, Since: e.Time})
}

// ClientLeft says that a cockpit went away.
type ClientLeft struct {
	ID string `json:"id"`
}

// Kind implements Fact.
func (ClientLeft) Kind() string { return "cockpit.left" }

func (f ClientLeft) apply(in *Incident, _ Event) {
	for i, p := range in.Here {
		if p.ID == f.ID {
			in.Here = append(in.Here[:i:i], in.Here[i+1:]...)
			return
		}
	}
}

// DrillScored ends a drill.
type DrillScored struct {
	Score
}

// Kind implements Fact.
func (DrillScored) Kind() string { return "drill.scored" }

func (f DrillScored) apply(in *Incident, _ Event) {
	s := f.Score
	in.Score = &s
}

// Checkpoint signs the journal up to and including event Size, whose hash is
// Head, in the signed-note format.
type Checkpoint struct {
	Size uint64 `json:"size"`
	Head string `json:"head"`
	Note string `json:"note"`
}

// Kind implements Fact.
func (Checkpoint) Kind() string { return "journal.checkpoint" }

func (f Checkpoint) apply(*Incident, Event) {}
