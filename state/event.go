package state

import (
	"encoding/json"
	"fmt"
	"time"
)

// Actor says who did something and from where.
type Actor struct {
	User string `json:"user"`           // the operating-system account, or "mayday" for what the keeper decides by itself
	Host string `json:"host,omitempty"` // as the kernel names it
	PID  int    `json:"pid,omitempty"`
	Via  string `json:"via,omitempty"` // cockpit, cli, keeper, auto
}

// Mayday is the actor of everything the keeper does by itself.
const Mayday = "mayday"

// Event is one fact with a time and an actor. Seq counts from 1 without gaps.
type Event struct {
	Seq   uint64
	Time  time.Time // incident clock, UTC
	Actor Actor
	Fact  Fact
}

// Fact is the closed set of things that can happen: only this package can add to
// it, so a reader of a journal meets no fact that Apply does not know.
type Fact interface {
	// Kind is the name in the journal, such as "rollout.stage.passed".
	Kind() string
	apply(in *Incident, e Event)
	// say is the fact as a line of the timeline, in words of the incident it
	// happened to (which may know nothing: then IDs stand for titles).
	say(in *Incident, e Event) Saying
}

// Header is an event's envelope without its fact: what the journal writes around
// the data. Kind is "type" in the file.
type Header struct {
	Seq   uint64          `json:"seq"`
	Time  time.Time       `json:"time"`
	Actor Actor           `json:"actor"`
	Kind  string          `json:"type"`
	Data  json.RawMessage `json:"data"`
}

// MarshalJSON writes the event as its header with the fact under "data".
func (e Event) MarshalJSON() ([]byte, error) {
	if e.Fact == nil {
		return nil, fmt.Errorf("event %d has no fact", e.Seq)
	}
	data, err := json.Marshal(e.Fact)
	if err != nil {
		return nil, fmt.Errorf("event %d (%s): %w", e.Seq, e.Fact.Kind(), err)
	}
	return json.Marshal(Header{Seq: e.Seq, Time: e.Time, Actor: e.Actor, Kind: e.Fact.Kind(), Data: data})
}

// UnmarshalJSON reads what MarshalJSON wrote. An unknown type is an error that
// names it: a journal of a newer mayday must not be half understood.
func (e *Event) UnmarshalJSON(b []byte) error {
	var h Header
	if err := json.Unmarshal(b, &h); err != nil {
		return err
	}
	f, err := DecodeFact(h.Kind, h.Data)
	if err != nil {
		return fmt.Errorf("event %d: %w", h.Seq, err)
	}
	*e = Event{Seq: h.Seq, Time: h.Time, Actor: h.Actor, Fact: f}
	return nil
}

// DecodeFact turns a type name and its data into a fact.
func DecodeFact(kind string, data []byte) (Fact, error) {
	make, ok := facts[kind]
	if !ok {
		return nil, fmt.Errorf("unknown event type %q: this journal was written by a newer mayday", kind)
	}
	f, err := make(data)
	if err != nil {
		return nil, fmt.Errorf("data of %s: %w", kind, err)
	}
	return f, nil
}

// Kinds lists every event type, unordered.
func Kinds() []string {
	out := make([]string, 0, len(facts))
	for k := range facts {
		out = append(out, k)
	}
	return out
}

var facts = map[string]func([]byte) (Fact, error){}

// register is called by the fact files' init, one line a type.
func register[F Fact]() {
	var zero F
	facts[zero.Kind()] = func(b []byte) (Fact, error) {
		var f F
		if err := json.Unmarshal(b, &f); err != nil {
			return nil, err
		}
		return f, nil
	}
}

// As gives the same place with another account.
func (a Actor) As(user string) Actor {
	a.User = user
	return a
}
