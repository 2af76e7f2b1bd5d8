package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mayday/state"
	"mayday/state/journal"
	"mayday/state/runbook"
	"mayday/steps"
	"mayday/steps/shell"
)

// rolledOut takes an incident's rollout to its last stage, by the script strategy of
// mayday.yaml in the script's folder, and dies: rolledout ID.
func rolledOut(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: rolledout ID")
	}
	ts.Check(rolledOutAt(ts.Getenv("MAYDAY_HOME"), ts.MkAbs("mayday.yaml"), args[0]))
}

// rolledOutAt is rolledOut in a home, by a runbook.
func rolledOutAt(home, file, id string) error {
	rb, err := runbook.Load(file)
	if err != nil {
		return err
	}
	script := shell.Script(shell.ScriptOptions{Service: rb.Service, Environments: rb.Environments, Fences: filepath.Join(home, "fences")})
	s := shell.After(map[string]steps.Strategy{"script": script}, rb, nil)["script"]
	env, _ := rb.Production()
	j, events, err := journal.Open(journal.Folder(home, id))
	if err != nil {
		return err
	}
	in, err := state.Fold(events)
	if err != nil {
		return errors.Join(err, j.Close())
	}
	at := events[len(events)-1].Time
	var lost error
	told := func(facts ...state.Fact) {
		for _, f := range facts {
			at = at.Add(time.Second)
			_, err := j.Append(at, state.Actor{User: "alice", Host: "bastion-1", PID: 4711, Via: "cockpit"}, 0, f)
			lost = errors.Join(lost, err)
		}
	}
	ctx, fence := context.Background(), steps.Fence{Incident: in.Mark}
	p, err := s.Plan(ctx, steps.Order{ID: "r1", Environment: env, Version: "v1.2.4", Previous: "v1.2.3", Incident: id, Mark: in.Mark})
	if err != nil {
		return errors.Join(err, j.Close())
	}
	told(state.RolloutLaid{Plan: p, Item: "10.deploy"}, state.RolloutStarted{Rollout: "r1", Item: "10.deploy"})
	for i := range len(p.Stages) - 1 {
		told(state.StageStarted{Rollout: "r1", Stage: i})
		effect, err := s.Stage(ctx, p, i, fence, io.Discard)
		if err != nil {
			return errors.Join(err, j.Close())
		}
		told(state.StageEffected{Rollout: "r1", Stage: i, Effect: effect.Text})
	}
	return errors.Join(lost, j.Close())
}

// TestAloneWhereItIsRolledBack: this process was to become the keeper, rolled back as that
// and then got no answer; or a colleague was quicker. That is no failure: scripts read the
// exit code.
func TestAloneWhereItIsRolledBack(t *testing.T) {
	plan := state.Plan{ID: "r1", Production: true, Strategy: "script", Version: "v1.2.4", Target: "v1.2.3"}
	rollback := []state.Fact{state.RolloutLaid{Plan: plan, Item: "10.deploy"}, state.RolloutStarted{Rollout: "r1", Item: "10.deploy"},
		state.RollbackStarted{Rollout: "r1", Target: "v1.2.3", Epoch: 1, Trigger: "mayday rollback"}, state.RollbackFinished{Done: true, Verified: "v1.2.3 serves"}}
	home := t.TempDir()
	if err := recordedAt(home, "mayday.yaml", "INC-20261122-01", "logins fail", rollback...); err != nil {
		t.Fatal(err)
	}
	var said, errs bytes.Buffer
	a := &app{out: &said, err: &errs, now: time.Now}
	err := a.rollbackAlone(t.Context(), found{folder: journal.Folder(home, "INC-20261122-01")}, new(runbook.Runbook), tools{}, undo{immediate: true})
	if code := a.report(err); code != exitRolledBack || said.String() != "rolled back: v1.2.3 serves\n" {
		t.Errorf("exit %d, said %q %q", code, said.String(), errs.String())
	}
}
