package state

import "time"

func init() { register[WatchDecided]() }

// What watches production outside of a stage's gate, and by the same rules.
const (
	WatchMonitoring = "monitoring" // the monitoring period
	WatchVerify     = "verify"     // mayday verify
	WatchSentry     = "watch"      // what looks on while no gate does
)

// WatchDecided says that a watch changed its mind, and the readings it went by. One of
// mayday verify begins with Hold, how long it is to watch, and ends passed or not:
// failed, waiting (not all is well), or asking (not all is known).
type WatchDecided struct {
	Watch   string    `json:"watch"`
	State   GateState `json:"state"`
	Since   time.Time `json:"since,omitzero"` // holding: all is well since
	Hold    Duration  `json:"hold,omitempty"`
	Ended   bool      `json:"ended,omitempty"`
	Reasons []string  `json:"reasons,omitempty"`
	Judged  []Judged  `json:"readings,omitempty"`
}

// Kind implements Fact.
func (WatchDecided) Kind() string { return "watch" }

func (f WatchDecided) apply(*Incident, Event) {}
