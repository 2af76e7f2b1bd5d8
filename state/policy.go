package state

import (
	"fmt"
	"strings"
	"time"
)

// Severity is SEV0 (worst) to SEV3.
type Severity int

func (s Severity) String() string { return fmt.Sprintf("SEV%d", int(s)) }

// MarshalText writes "SEV1".
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what ParseSeverity reads.
func (s *Severity) UnmarshalText(b []byte) (err error) {
	*s, err = ParseSeverity(string(b))
	return err
}

// ParseSeverity reads "sev1", "SEV1", "1", "critical" (SEV1), "high" (SEV2),
// "medium" and "low" (SEV3).
func ParseSeverity(s string) (Severity, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "sev0", "0":
		return 0, nil
	case "sev1", "1", "critical":
		return 1, nil
	case "sev2", "2", "high":
		return 2, nil
	case "sev3", "3", "medium", "low":
		return 3, nil
	}
	return 0, fmt.Errorf("%q is not a severity: write sev0, sev1, sev2, sev3, critical, high, medium or low", s)
}

// Guidance says what a level means, for the person who must choose at 3 a.m.
func (s Severity) Guidance() string {
	switch s {
	case 0:
		return "everything is down or data is being lost or stolen; executives will ask"
	case 1:
		return "a core function is down for most users, no workaround"
	case 2:
		return "a core function is degraded, or down for some users"
	}
	return "annoying, with a workaround: the normal release process is usually better"
}

// Policy is what a severity asks for: who is paged at once, who later, how often
// an update is due, how long the fix is watched. A runbook can set all of it.
type Policy struct {
	AtOnce  []string  `json:"at_once,omitempty" yaml:"at_once"`    // roles paged at declaration
	Levels  []LevelAt `json:"levels,omitempty" yaml:"levels"`      // roles paged later, until mitigated
	Update  Duration  `json:"update" yaml:"update"`                // a status update is due this often
	Monitor Duration  `json:"monitor" yaml:"monitor"`              // the monitoring period
	Offer   bool      `json:"offer_normal,omitempty" yaml:"offer"` // offer the normal release process
	Repeat  Duration  `json:"repeat,omitempty" yaml:"repeat"`      // who does not answer is paged again this often; 0: every 5 minutes
	AckFor  Duration  `json:"ack_for,omitempty" yaml:"ack_for"`    // an ack counts so long without a sign of life; 0: 30 minutes
	// Playbook is what has to be done when, beside the checklist.
	Playbook []Phase `json:"playbook,omitempty" yaml:"playbook"`
}

// LevelAt is one escalation level: a role, when everybody who has it is paged, and
// by which channels.
type LevelAt struct {
	Role     string   `json:"role" yaml:"role"`
	After    Duration `json:"after" yaml:"after"`
	Channels []string `json:"channels,omitempty" yaml:"channels"` // default: those of the audience "pages"
}

// Again is how often a level that nobody acknowledged is paged again.
func (p Policy) Again() time.Duration {
	if p.Repeat > 0 {
		return p.Repeat.D()
	}
	return 5 * time.Minute
}

// AckLasts is how long an acknowledgement counts without a sign of life of who gave it.
func (p Policy) AckLasts() time.Duration {
	if p.AckFor > 0 {
		return p.AckFor.D()
	}
	return 30 * time.Minute
}

// Roles people hold in an incident and levels of escalation.
const (
	OnCall     = "on-call"
	Senior     = "senior engineer"
	Manager    = "engineering manager"
	Commander  = "incident commander"
	Executives = "executives"
	Driver     = "driver"
	Reviewer   = "reviewer"
	CommsLead  = "communications lead"
	Scribe     = "scribe"
)

// DefaultPolicy gives the built-in table of severity, escalation and cadence.
func DefaultPolicy(s Severity) Policy {
	m := func(n int) Duration { return Duration(n) * 60e9 }
	switch s {
	case 0:
		return Policy{AtOnce: []string{OnCall, Senior, Manager, Commander},
			Levels: []LevelAt{{Role: Executives, After: m(15)}}, Update: m(15), Monitor: m(240), Playbook: defaultPlaybook()}
	case 1:
		return Policy{AtOnce: []string{OnCall, Manager},
			Levels: []LevelAt{{Role: Senior, After: m(15)}, {Role: Manager, After: m(30)}, {Role: Commander, After: m(60)}}, Update: m(15), Monitor: m(240), Playbook: defaultPlaybook()}
	case 2:
		return Policy{AtOnce: []string{OnCall},
			Levels: []LevelAt{{Role: Senior, After: m(30)}, {Role: Manager, After: m(60)}, {Role: Commander, After: m(120)}}, Update: m(30), Monitor: m(120)}
	}
	return Policy{Update: m(30), Monitor: m(120), Offer: true}
}
