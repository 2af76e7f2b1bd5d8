package kube

import (
	"time"

	"mayday/state/runbook"
	"mayday/steps"
)

// Impatient makes a strategy wait for effects on traffic only so long.
func Impatient(s steps.Strategy, d time.Duration) steps.Strategy {
	s.(several).patience = patience{follow: d, drain: d, next: d}
	return s
}

// Unhurried makes a rollback never go on to the next workload before the one at hand is
// written.
func Unhurried(s steps.Strategy) steps.Strategy {
	s.(several).patience.next = time.Hour
	return s
}

// KeepYoung makes what Prepare saw of pods count as seen just now, however long the machine
// takes until the rollback asks.
func KeepYoung(s steps.Strategy) {
	b := s.(several).base
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.open {
		c.ahead.mu.Lock()
		for o, seen := range c.ahead.stands {
			seen.at = time.Now().Add(time.Hour)
			c.ahead.stands[o] = seen
		}
		c.ahead.mu.Unlock()
	}
}

// Steadfast makes the strategy's forward work wait for an API server however long it
// takes to start.
func Steadfast(s steps.Strategy) steps.Strategy {
	b := s.(several).base
	connect := b.connect
	b.connect = func(env runbook.Environment) (*Cluster, error) {
		c, err := connect(env)
		if err == nil {
			c.patience = time.Hour
		}
		return c, err
	}
	return s
}
