package report

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode"

	"mayday/state"
	"mayday/ui/uitest"
)

func TestGolden(t *testing.T) {
	for name, s := range map[string]*uitest.Story{"resolved": uitest.Resolved(), "rollback-failed": uitest.RollbackFailed(), "second-attempt": second(), "empty": {Scene: state.NewScene()}} {
		uitest.Golden(t, name+".md", string(Markdown(s.Scene.Incident, s.Scene.Events)))
	}
}

// second is an incident whose first attempt was rolled back.
func second() *uitest.Story {
	s := uitest.RolledBack()
	var steps []state.Step
	for _, st := range uitest.Canary().Scene.Incident.Steps {
		if st.No >= state.FirstOfAttempt && st.No <= state.LastOfAttempt {
			steps = append(steps, state.Step{No: st.No, Title: st.Title, Items: []state.Item{{ID: st.Title, Kind: state.Check, Title: "check of " + st.Title}}})
		}
	}
	s.Tell(s.Last()+time.Minute, "alice", state.AttemptStarted{N: 2, Steps: steps})
	return s.Tell(s.Last()+time.Minute, "bob", state.ItemChecked{Item: "Rapid development"})
}

func TestSays(t *testing.T) {
	out := string(Markdown(uitest.Resolved().Scene.Incident, uitest.Resolved().Scene.Events))
	for _, want := range []string{"# INC-20261122-01: Payment gateway down", "| Root cause | a nil profile in the login handler |", "| decision | 03:00:00 | 03:02:10 | 2m10s |",
		"- **security tests: the scanner is down \\| known**, by bob", "| deployment | 03:13:00 | 03:21:00 | 8m |", "| testing | 03:08:00 | 03:10:00 | 2m |", "| monitoring | 03:26:00 | 07:26:00 | 4h |",
		"- [x] focused tests (212 passed), by bob, 03:08:00 to 03:09:55 (1m55s)", "ran `go test ./...`", "evidence: exit code 0 in `output/5.tests-1.log`",
		"- [ ] alert on login errors", "delivered 03:14:01, try 2", "&lt;normal&gt; &amp; \\*quiet\\*", "| Mitigated | 2026-11-22 03:22:00 UTC, after 22m |"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "## Rollback\n") {
		t.Error("a rollback that did not happen is told")
	}
	failed := uitest.RollbackFailed().Scene
	if out := string(Markdown(failed.Incident, failed.Events)); !strings.Contains(out, "1. **by hand:** `kubectl -n shop scale") {
		t.Errorf("the manual steps are missing:\n%s", out)
	}
}

// Hostile text must stay text: no control characters, no new lines, no cells, no HTML.
func TestEscapes(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	junk := func() string { return uitest.Junk(r) + "|<script>`*_[x](y)\n# " + uitest.Junk(r) }
	for range 200 {
		s := uitest.Resolved()
		s.Tell(s.Last(), junk(), state.NoteAdded{Text: junk()})
		s.Tell(s.Last(), "bob", state.ItemPassedOver{Item: "5.tests", Reason: junk()})
		s.Tell(s.Last(), "bob", state.MessageQueued{ID: "m9", Channel: junk(), Audience: junk(), Purpose: junk(), Text: junk()})
		out := string(Markdown(s.Scene.Incident, s.Scene.Events))
		if strings.Contains(out, "<") {
			t.Fatalf("HTML got through: %q", out[strings.Index(out, "<"):][:80])
		}
		for _, line := range strings.Split(out, "\n") {
			if strings.ContainsFunc(line, unicode.IsControl) {
				t.Fatalf("a control character got through: %q", line)
			}
			if cells := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); strings.HasPrefix(line, "| 4") && cells != 6 {
				t.Fatalf("%d bars in a row of the timeline: %q", cells, line)
			}
		}
	}
}

func TestCode(t *testing.T) {
	for in, want := range map[string]string{"a b": "`a b`", "echo `date`": "`` echo `date` ``", "x\ny": "`x y`"} {
		if got := code(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
