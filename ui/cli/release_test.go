package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mayday/state"
	"mayday/steps/drill"
)

// undoable waits until R would undo the range's last release. That came with a
// migration, and nothing declares that the version before it can live with that.
func (c *crew) undoable() *state.Incident {
	c.t.Helper()
	return c.until("the last release can be undone, with that doubt", func(in *state.Incident) bool {
		p := in.Release.Proof
		return in.TakesBack() != nil && p.Ready == state.Doubtful && strings.HasPrefix(p.Why, "v1.2.3 came with migrations/0007_profiles_optional.sql")
	})
}

// undone checks what is true after R at the very start.
func (c *crew) undone() {
	c.t.Helper()
	in := c.until("undone", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone && len(in.Closed) == 1 })
	c.only(drill.Before)
	if in.Release.Undo.Status != state.RolloutRolledBack || !strings.Contains(in.Rollback.Verified, drill.Before+" answered 50 of 50") || in.Status != state.Identified {
		c.t.Errorf("%s, verified %q, the incident is %s", in.Release.Undo.Status, in.Rollback.Verified, in.Status)
	}
	c.must(state.Fire{Trigger: "R"}) // again: it is done already
	events := c.sound()
	for kind, want := range map[string]int{"rollback.finished": 1, "attempt.closed": 1} {
		if n := count(events, kind); n != want {
			c.t.Errorf("%d of %s, not %d", n, kind, want)
		}
	}
	// Replayed, it is what was seen.
	c.until("all is here", func(in *state.Incident) bool { return in.Seq >= uint64(len(events)) })
	past, err := state.Fold(c.scene.Events)
	if err != nil {
		c.t.Fatal(err)
	}
	if d := cmp.Diff(past.Release, c.scene.Incident.Release); d != "" {
		c.t.Errorf("replayed, the release differs:\n%s", d)
	}
	if d := cmp.Diff(past.Rollback, c.scene.Incident.Rollback); d != "" {
		c.t.Errorf("replayed, the rollback differs:\n%s", d)
	}
}

// TestRAtTheVeryStart undoes last night's release, and the next attempt's baseline is
// what production runs then.
func TestRAtTheVeryStart(t *testing.T) {
	s := newSite(t, "good", standing)
	s.keeper()
	d := s.driver()
	in := d.undoable()
	s.only(drill.Broken)
	if u := in.TakesBack(); u.Version != drill.Broken || u.Target != drill.Before || u.ID != state.UndoID {
		t.Fatalf("R takes %s back to %s (%s)", u.Version, u.Target, u.ID)
	}
	d.must(state.Arm{Trigger: "R"})
	d.event("armed", func(e state.Event) bool { return e.Fact.Kind() == "rollback.armed" })
	d.must(state.Fire{Trigger: "R"})
	d.undone()
	d.must(state.NewAttempt{})
	d.must(state.Tick{Item: "1.severity", Value: "SEV1"})
	d.must(state.Tick{Item: "1.decision", Value: "hotfix"})
	d.until("step 3 is open", func(in *state.Incident) bool { return in.Attempt == 2 && in.Blocker(in.Item("3.baseline")) == nil })
	d.must(state.Run{Item: "3.baseline"})
	in = d.until("the baseline is found", func(in *state.Incident) bool { return in.Item("3.baseline").Status == state.ItemDone })
	if in.Facts["baseline"] != drill.Before || !strings.Contains(in.Item("3.baseline").Summary, "taken back to it") {
		t.Errorf("baseline %s: %s", in.Facts["baseline"], in.Item("3.baseline").Summary)
	}
}

// TestKilledWhileUndoing: whoever comes next finishes it, however often its keeper dies.
func TestKilledWhileUndoing(t *testing.T) {
	s := newSite(t, "good", standing)
	k := s.keeper()
	d := s.driver()
	d.undoable()
	d.must(state.Fire{Trigger: "R"})
	d.event("it begins", func(e state.Event) bool { return e.Fact.Kind() == "rollback.started" })
	k.kill()
	k = s.keeper()
	d.event("the next keeper is at it", func(e state.Event) bool {
		return e.Actor.PID == k.Process.Pid && e.Fact.Kind() == "rollback.op" || d.scene.Incident.Rollback.Status == state.RollbackDone
	})
	k.kill()
	s.keeper()
	d.undone()
}

// TestRollbackCommandUndoes: from a shell, with nobody keeping the incident, and then
// with a keeper that does not answer.
func TestRollbackCommandUndoes(t *testing.T) {
	s := newSite(t, "good", standing)
	if code, out, errs := s.run("rollback", "--version=v1.2.0", "--immediate", "--incident", s.id); code == exitRolledBack || !strings.Contains(errs, "leads from v1.2.3 back to v1.2.2") {
		t.Errorf("another version: %d %s%s", code, out, errs)
	}
	s.only(drill.Broken)
	if code, _, errs := s.run("rollback", "--preserve-data", "--with-database", "--incident", s.id); code != exitUsage {
		t.Errorf("the data: %d %s", code, errs)
	}
	if code, out, errs := s.run("show", "--incident", s.id); code != exitDone || !strings.Contains(out, "v1.2.3 back to v1.2.2") {
		t.Errorf("show: %d %s%s", code, out, errs)
	}
	if code, out, errs := s.run("rollback", "--version=previous", "--preserve-data", "--immediate", "--incident", s.id); code != exitRolledBack {
		t.Fatalf("mayday rollback ended with %d: %s%s", code, out, errs)
	}
	s.only(drill.Before)
	if code, out, errs := s.run("rollback", "--immediate", "--incident", s.id); code != exitRolledBack {
		t.Errorf("a second time: %d: %s%s", code, out, errs)
	}
}

// TestStoppedKeeperCannotHoldTheUndoUp: R where the keeper hangs is carried out from
// there, and taken in when it wakes.
func TestStoppedKeeperCannotHoldTheUndoUp(t *testing.T) {
	s := newSite(t, "good", standing)
	k := s.keeper()
	d := s.driver()
	d.undoable()
	k.stop()
	if code, out, errs := s.run("rollback", "--immediate", "--incident", s.id); code != exitRolledBack {
		t.Fatalf("mayday rollback ended with %d: %s%s", code, out, errs)
	}
	s.only(drill.Before)
	k.kill()
	s.keeper()
	d.undone()
}
