package pagerduty

import (
	"testing"

	"mayday/state"
)

// TestTwoHostsPageTwice: an alert with the key of an open one pages nobody, and the first
// incidents of a day have the same ID on every host.
func TestTwoHostsPageTwice(t *testing.T) {
	here := &state.Incident{ID: "INC-20261122-01", Mark: "INC-20261122-01.5f2c9a01"}
	there := &state.Incident{ID: "INC-20261122-01", Mark: "INC-20261122-01.0badcafe"}
	for _, role := range []string{"", state.Commander} {
		if a, b := dedup(here, role), dedup(there, role); a == b || a != dedup(here, role) {
			t.Errorf("%q: %q and %q", role, a, b)
		}
	}
}
