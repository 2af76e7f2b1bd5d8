package cli

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mayday/state"
	"mayday/steps/drill"
)

// How long gates hold (incident time, at twenty times the speed).
const (
	brief    = "15s" // to be waited for
	standing = "1h"  // nothing moves on while a test looks
)

// TestKilledInMidCanary: kill -9 of the keeper while a quarter of the traffic is on
// the new version. Another cockpit takes over and shows what is true; from there both
// ways are open.
func TestKilledInMidCanary(t *testing.T) {
	for _, c := range []struct {
		name  string
		hold  string
		then  state.Intent
		wait  func(*state.Incident) bool
		leads string
	}{
		{"go on", brief, state.GoOn{}, func(in *state.Incident) bool { return in.Production().Status == state.RolloutDone }, drill.Fixed},
		{"R", standing, state.Fire{Trigger: "R"}, func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone && len(in.Closed) == 1 }, drill.Broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, "good", c.hold)
			k := s.keeper()
			d := s.driver()
			other, session := s.cockpit()
			other.until("history is read", func(in *state.Incident) bool { return in.Seq >= 1 })
			if session.Keeping() {
				t.Fatal("the second cockpit keeps")
			}
			done := make(chan struct{})
			go func() { // it looks on
				defer close(done)
				for {
					if f, _ := other.frame(); f.Lost != "" {
						return
					}
				}
			}()
			d.midCanary()
			k.kill()
			died := time.Now()
			<-done
			for f, _ := other.frame(); f.Hello == nil; f, _ = other.frame() {
				continue
			}
			if took := time.Since(died); took > 2*time.Second {
				t.Errorf("taking over took %s", took)
			}
			if !session.Keeping() || !other.scene.Hello.Keeping {
				t.Error("the cockpit does not keep")
			}
			in := other.until("the cluster was looked at", func(in *state.Incident) bool { return in.Facts["cluster.now"] != "" })
			interrupted(t, other, in, k.Process.Pid)
			other.must(c.then)
			other.until(c.name, c.wait)
			s.only(c.leads)
			d.acked = append(d.acked, other.acked...)
			if len(d.acked) < 10 {
				t.Errorf("only %d intents were acknowledged", len(d.acked))
			}
			events := d.sound()
			if n := count(events, "keeper.started"); n != 2 {
				t.Errorf("%d keepers", n)
			}
		})
	}
}

// interrupted checks what a cockpit shows after the keeper with that process id died
// in mid-canary.
func interrupted(t *testing.T, c *crew, in *state.Incident, pid int) {
	t.Helper()
	r := in.Production()
	stage := r.Stages[min(r.Stage(), len(r.Stages)-1)]
	if st := in.Item("10.deploy").Status; st != state.ItemInterrupted || r.Status != state.RolloutInterrupted || stage.Status != state.ItemInterrupted {
		t.Errorf("the deployment is %s, its rollout %s, its stage %s", st, r.Status, stage.Status)
	}
	if stage.Weight != 25 || r.Weight() != 25 {
		t.Errorf("the rollout shows %d %% at %s", r.Weight(), stage.Name)
	}
	if now := in.Facts["cluster.now"]; !strings.Contains(now, "75") || !strings.Contains(now, "25") || !strings.Contains(now, drill.Fixed) {
		t.Errorf("in the cluster now: %s", now)
	}
	said := ""
	for _, e := range c.scene.Events {
		if f, ok := e.Fact.(state.KeeperStarted); ok && f.TookOver {
			said = in.Say(e).Text
			if f.From.PID != pid {
				t.Errorf("took over from %+v, not from process %d", f.From, pid)
			}
		}
	}
	if !strings.Contains(said, "took over") {
		t.Errorf("said: %q", said)
	}
}

// TestKilledAtManyPoints: the keeper is killed whenever something hard has just begun,
// and the next one goes on, to the end of the hotfix.
func TestKilledAtManyPoints(t *testing.T) {
	started := func(item string) func(state.Event) bool {
		return func(e state.Event) bool {
			f, ok := e.Fact.(state.ItemStarted)
			return ok && f.Item == item
		}
	}
	points := []struct {
		name string
		at   func(state.Event) bool
	}{
		{"6.commit", started("6.commit")},
		{"7.tag", started("7.tag")},
		{"canary begun", func(e state.Event) bool { f, ok := e.Fact.(state.StageStarted); return ok && f.Stage == 0 }},
		{"25 % effected", func(e state.Event) bool { f, ok := e.Fact.(state.StageEffected); return ok && f.Stage == 1 }},
		{"stable takes it", func(e state.Event) bool { f, ok := e.Fact.(state.StageStarted); return ok && f.Stage == 3 }},
		{"17.push", started("17.push")},
	}
	s := newSite(t, "good", brief)
	k := s.keeper()
	d := s.driver()
	d.shorten()
	for _, p := range points {
		hit := false
		out := d.play(func(e state.Event) bool { hit = p.at(e); return hit })
		if !hit {
			t.Fatalf("%s: the operator ended before: %+v", p.name, out)
		}
		k.kill()
		k = s.keeper()
	}
	if out := d.play(func(state.Event) bool { return false }); out.Code != exitDone {
		t.Fatalf("in the end: %+v", out)
	}
	s.only(drill.Fixed)
	events := d.sound()
	if n := count(events, "keeper.started"); n != len(points)+1 || d.lost < len(points) {
		t.Errorf("%d keepers, lost %d times", n, d.lost)
	}
	if kind := git(t, s.Remote, "cat-file", "-t", "refs/tags/"+drill.Fixed); kind != "tag" {
		t.Errorf("%s is a %s, not an annotated tag", drill.Fixed, kind)
	}
	for _, branch := range []string{"production", "develop"} {
		git(t, s.Remote, "merge-base", "--is-ancestor", drill.Fixed+"^{commit}", branch)
	}
}

// TestKilledInTheRollback: whoever comes next finishes it, however often its keeper dies.
func TestKilledInTheRollback(t *testing.T) {
	s := newSite(t, "good", standing)
	k := s.keeper()
	d := s.driver()
	d.midCanary()
	d.must(state.Fire{Trigger: "R"})
	d.event("the rollback begins", func(e state.Event) bool { return e.Fact.Kind() == "rollback.started" })
	k.kill()
	k = s.keeper()
	d.event("the next keeper is at it", func(e state.Event) bool {
		return e.Actor.PID == k.Process.Pid && e.Fact.Kind() == "rollback.op" || d.scene.Incident.Rollback.Status == state.RollbackDone
	})
	k.kill()
	k = s.keeper()
	in := d.until("rolled back", func(in *state.Incident) bool {
		return in.Keeper.PID == k.Process.Pid && in.Rollback.Status == state.RollbackDone && len(in.Closed) == 1
	})
	s.only(drill.Broken)
	if st := in.Production().Status; st != state.RolloutRolledBack {
		t.Errorf("the rollout is %s", st)
	}
	if n := count(d.sound(), "attempt.closed"); n != 1 {
		t.Errorf("the attempt was closed %d times", n)
	}
}

// stopped is a site whose keeper was stopped in mid-canary, with a cockpit beside it
// that has tried R in vain.
func stopped(t *testing.T) (s *site, k *process, c *crew, alone *session) {
	t.Helper()
	s = newSite(t, "good", standing)
	k = s.keeper()
	d := s.driver()
	d.midCanary()
	c, alone = s.cockpit()
	c.until("history is read", func(in *state.Incident) bool { r := in.Production(); return r != nil && r.Weight() == 25 })
	k.stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := c.Do(ctx, state.Arm{Trigger: "R"})
	var refusal *state.Problem
	if !errors.Is(err, context.DeadlineExceeded) || errors.As(err, &refusal) {
		t.Fatalf("a keeper that is stopped answered: %v", err)
	}
	return s, k, c, alone
}

// TestStoppedKeeperComesBack: R where the keeper does not answer rolls back from there.
// When the keeper wakes up, with the rest of the rollout in its hands, it does nothing
// more to production and takes in what happened.
func TestStoppedKeeperComesBack(t *testing.T) {
	s, k, c, alone := stopped(t)
	// A colleague who opens a cockpit now sees what happened so far, and that nobody keeps.
	late, colleague := s.cockpit()
	for late.scene.Lost == "" {
		late.frame()
	}
	if in := late.scene.Incident; in.Production().Weight() != 25 || !strings.Contains(late.scene.Lost, "does not answer") {
		t.Errorf("the late cockpit shows %d %%, %q", in.Production().Weight(), late.scene.Lost)
	}
	if colleague.Keeping() {
		t.Error("two keep")
	}
	begun := time.Now()
	if err := alone.RollbackHere(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	s.only(drill.Broken)
	fenced(t, s, c, "/1")
	if left, _ := filepath.Glob(filepath.Join(s.folder, "spool-*")); len(left) != 1 {
		t.Errorf("spools: %q", left)
	}
	k.signal(syscall.SIGCONT)
	in := c.until("taken in", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone && len(in.Closed) == 1 })
	if st := in.Production().Status; st != state.RolloutRolledBack {
		t.Errorf("the rollout is %s", st)
	}
	late.until("taken in", func(in *state.Incident) bool { return in.Rollback.Status == state.RollbackDone })
	if late.scene.Lost != "" {
		t.Errorf("there is a keeper again, and the late cockpit says %q", late.scene.Lost)
	}
	if err := colleague.Close("enough seen"); err != nil {
		t.Error(err)
	}
	if _, err := c.Do(t.Context(), state.GoOn{}); err == nil {
		t.Error("the rollout can go on after the rollback")
	}
	until(t, "no spool is left", func() bool {
		left, err := filepath.Glob(filepath.Join(s.folder, "spool-*"))
		return err == nil && len(left) == 0
	})
	k.signal(syscall.SIGTERM)
	<-k.done
	if code := k.ProcessState.ExitCode(); code != exitDone {
		t.Errorf("the keeper ended with %d", code)
	}
	s.only(drill.Broken)
	rolling := false
	for _, e := range c.events() {
		switch e.Fact.(type) {
		case state.RollbackStarted:
			rolling = true
		case state.StageEffected, state.StagePassed:
			if rolling {
				t.Errorf("event %d, after the rollback: %s", e.Seq, e.Fact.Kind())
			}
		}
	}
	c.must(state.AddNote{Text: "who keeps now is this cockpit"})
	c.sound()
}

// TestStoppedKeeperDies: the same by mayday rollback, and the keeper never comes back.
// The next one takes in what happened, and tells the people.
func TestStoppedKeeperDies(t *testing.T) {
	s, k, c, alone := stopped(t)
	if code, out, errs := s.run("rollback", "--immediate", "--incident", s.id); code != exitRolledBack {
		t.Fatalf("mayday rollback ended with %d: %s%s", code, out, errs)
	}
	s.only(drill.Broken)
	k.kill()
	in := c.until("taken in and taken over", func(in *state.Incident) bool {
		return in.Rollback.Status == state.RollbackDone && len(in.Closed) == 1 && alone.Keeping()
	})
	if it := in.Item("10.deploy"); it.Status != state.ItemCancelled {
		t.Errorf("the deployment is %s", it.Status)
	}
	c.until("people are told", func(in *state.Incident) bool {
		for _, m := range in.Messages {
			if m.Purpose == "rollback" {
				return true
			}
		}
		return false
	})
	c.must(state.NewAttempt{})
	events := c.sound()
	for kind, want := range map[string]int{"rollback.started": 1, "rollback.finished": 1, "attempt.closed": 1, "keeper.started": 2} {
		if n := count(events, kind); n != want {
			t.Errorf("%d of %s, not %d", n, kind, want)
		}
	}
}

// fenced looks for an epoch on every object of the rollout.
func fenced(t *testing.T, s *site, c *crew, epoch string) {
	t.Helper()
	r, want := c.scene.Incident.Production(), c.scene.Incident.Mark+epoch
	lines, err := strategies(s.rb, nil, configKey)[r.Strategy].Look(t.Context(), r.Plan)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if !strings.Contains(l, want) {
			t.Errorf("not fenced by %s: %s", want, l)
		}
	}
	if len(lines) == 0 {
		t.Error("nothing to look at")
	}
}

// TestTerminatedWhileArmed: SIGTERM with R counting down. The process ends when
// production is back.
func TestTerminatedWhileArmed(t *testing.T) {
	s := newSite(t, "good", standing)
	k := s.keeper()
	d := s.driver()
	d.midCanary()
	d.must(state.Arm{Trigger: "R"})
	d.event("armed", func(e state.Event) bool { return e.Fact.Kind() == "rollback.armed" })
	k.signal(syscall.SIGTERM)
	d.until("its last word", func(in *state.Incident) bool {
		_, ok := d.scene.Events[len(d.scene.Events)-1].Fact.(state.KeeperStopped)
		return ok
	})
	<-k.done
	if code := k.ProcessState.ExitCode(); code != exitDone {
		t.Errorf("the keeper ended with %d", code)
	}
	s.only(drill.Broken)
	d.sound()
	if st := d.scene.Incident.Rollback.Status; st != state.RollbackDone {
		t.Errorf("the rollback is %s", st)
	}
	if !strings.Contains(string(k.said()), "stopped in good order") {
		t.Errorf("its last word is not printed: %s", k.said())
	}
}

// TestSecondCockpitIsAClient: there is one keeper, and all see the same.
func TestSecondCockpitIsAClient(t *testing.T) {
	s := newSite(t, "good", standing)
	first, keeps := s.cockpit()
	second, client := s.cockpit()
	standby := s.keeper()
	both := func(in *state.Incident) bool { return len(in.Here) == 2 }
	first.until("both are here", both)
	second.until("both are here", both)
	if !keeps.Keeping() || client.Keeping() {
		t.Errorf("the first keeps: %v, the second: %v", keeps.Keeping(), client.Keeping())
	}
	until(t, "the third stands by", func() bool { return strings.Contains(string(standby.said()), "standing by") })
	a := second.must(state.AddNote{Text: "seen by the other"})
	first.until("the note is here", func(in *state.Incident) bool { return in.Seq >= a.Seq })
	if f, ok := first.scene.Events[a.Seq-1].Fact.(state.NoteAdded); !ok || f.Text != "seen by the other" {
		t.Errorf("event %d is %+v", a.Seq, first.scene.Events[a.Seq-1])
	}
	if n := count(second.sound(), "keeper.started"); n != 1 {
		t.Errorf("%d keepers", n)
	}
}

func TestIncidentCreateWantsWords(t *testing.T) {
	h := newHost(t)
	for _, args := range [][]string{{"incident"}, {"incident", "create"}, {"incident", "create", "--title=x", "--severity=sev9"},
		{"incident", "create", "--title=x"}, {"keeper"}} { // the last two: no runbook here
		c := h.command(args...)
		c.Dir = h.tmp
		out, _ := c.CombinedOutput() // the code says it
		if code := c.ProcessState.ExitCode(); code != exitUsage || len(out) == 0 {
			t.Errorf("mayday %v ends with %d: %s", args, code, out)
		}
	}
}
