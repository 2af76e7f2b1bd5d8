package kube

import (
	"time"

	"mayday/steps"
)

// Impatient makes a strategy wait for effects on traffic only so long.
func Impatient(s steps.Strategy, d time.Duration) steps.Strategy {
	s.(*strategy).patience = patience{follow: d, drain: d}
	return s
}
