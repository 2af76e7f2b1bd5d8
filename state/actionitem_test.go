package state_test

import (
	"testing"

	"mayday/state"
)

func TestActionItems(t *testing.T) {
	for in, want := range map[string]string{
		"add validation":                      "add validation",
		"add validation @bob by 2026-12-01":   "add validation (bob, by 2026-12-01)",
		" add validation  by 2026-12-01 ":     "add validation (by 2026-12-01)",
		"add validation @bob":                 "add validation (bob)",
		"add validation (bob, by 2026-12-01)": "add validation (bob, by 2026-12-01)",
		"mail a@b.c":                          "mail a@b.c",
		"stand by":                            "stand by",
	} {
		a, err := state.ParseActionItem(in)
		if err != nil || a.String() != want {
			t.Errorf("%q: %q %v", in, a, err)
		}
	}
	if a, err := state.ParseActionItem("x by 2026-13-01"); err == nil {
		t.Errorf("a month 13: %+v", a)
	}
}

func TestDurationsInWords(t *testing.T) {
	for in, want := range map[string]string{"15 minutes": "15m", "1 hour 30 min": "1h30m", "2 days": "48h", "1 Minute": "1m", "90s": "1m30s", "2d": "48h"} {
		var d state.Duration
		if err := d.UnmarshalText([]byte(in)); err != nil || d.String() != want {
			t.Errorf("%q: %s %v", in, d, err)
		}
	}
	for _, in := range []string{"soon", "15 parsecs", "minutes 15", ""} {
		var d state.Duration
		if err := d.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q is %s", in, d)
		}
	}
}
