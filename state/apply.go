package state

import "fmt"

// ItemMonitor is the item whose run is the monitoring period.
const ItemMonitor = "15.watch"

// FirstOfAttempt and LastOfAttempt bound the steps that every attempt goes
// through afresh.
const (
	FirstOfAttempt = 3
	LastOfAttempt  = 15
)

// Apply folds one event into the incident. Events must come in order without
// gaps; anything else is an error and changes nothing.
func (in *Incident) Apply(e Event) error {
	if e.Fact == nil {
		return fmt.Errorf("event %d has no fact", e.Seq)
	}
	if e.Seq != in.Seq+1 {
		return fmt.Errorf("event %d follows %d: an event is missing or out of order", e.Seq, in.Seq)
	}
	e.Fact.apply(in, e)
	in.signOfLife(e)
	in.played(e)
	in.Seq, in.Last = e.Seq, e.Time
	return nil
}

// Fold applies events to a fresh incident.
func Fold(events []Event) (*Incident, error) {
	in := new(Incident)
	for _, e := range events {
		if err := in.Apply(e); err != nil {
			return in, err
		}
	}
	return in, nil
}

// who names the actor in the fold: the account.
func who(e Event) string { return e.Actor.User }

// onItem changes an item of the current attempt, if it exists.
func (in *Incident) onItem(id string, f func(*Item)) {
	if it := in.Item(id); it != nil {
		f(it)
	}
}

func set[V any](m *map[string]V, k string, v V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[k] = v
}
