package shell

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mayday/state"
	"mayday/state/runbook"
	"mayday/steps"
)

// TestValuesAreArguments: whatever a version is called, it stays one argument and
// reaches no shell.
func TestValuesAreArguments(t *testing.T) {
	f := again(t)
	f.script(t, "deploy-production.sh", `echo "$# $1|$VERSION|$PREVIOUS_VERSION|$ENVIRONMENT|$INCIDENT_ID|$MAYDAY_EPOCH" >told; echo "$1" >live`)
	o := f.order()
	o.Version = "v1;$(touch owned) {incident}"
	s := f.strategy()
	p, err := s.Plan(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stage(t.Context(), p, 0, steps.Fence{Incident: o.Incident, Epoch: 4}, io.Discard); err != nil {
		t.Fatal(err)
	}
	if got, want := f.read(t, "told"), "1 "+o.Version+"|"+o.Version+"|v1.2.3|production|INC-20261122-01|4"; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "owned")); err == nil {
		t.Error("a version was run")
	}
	if want := `cd ` + f.dir + ` && VERSION='v1;$(touch owned) {incident}' PREVIOUS_VERSION=v1.2.3 ENVIRONMENT=production INCIDENT_ID=INC-20261122-01 ./deploy-production.sh 'v1;$(touch owned) {incident}'`; p.Stages[0].Ops[0].Command != want {
		t.Errorf("command %s\nwant    %s", p.Stages[0].Ops[0].Command, want)
	}
	if want := "VERSION=v1.2.3 PREVIOUS_VERSION='v1;$(touch owned) {incident}'"; !strings.Contains(p.Inverse[0].Command, want) {
		t.Errorf("the way back does not exchange the versions: %s", p.Inverse[0].Command)
	}
}

// TestProof: what a proof of scripts can say, and what it cannot.
func TestProof(t *testing.T) {
	for _, tc := range []struct {
		name    string
		break_  func(t *testing.T, f *farm)
		started bool
		want    state.Readiness
		says    string
	}{
		{"all well", func(*testing.T, *farm) {}, false, state.Ready, ""},
		{"no dry run", func(_ *testing.T, f *farm) { f.env.Script.Prove = nil }, false, state.Doubtful, "a script cannot be dry-run"},
		{"dry run fails", func(t *testing.T, f *farm) { os.Remove(filepath.Join(f.dir, "rollback.sh")) }, true, state.NotReady, "dry run"},
		{"rollback gone", func(t *testing.T, f *farm) { os.Remove(filepath.Join(f.dir, "rollback.sh")) }, true, state.NotReady, "there is no program ./rollback.sh"},
		{"rollback not executable", func(t *testing.T, f *farm) { os.Chmod(filepath.Join(f.dir, "rollback.sh"), 0o600) }, true, state.NotReady, "chmod +x"},
		{"switch gone", func(t *testing.T, f *farm) { os.Remove(filepath.Join(f.dir, "switch-to-blue.sh")) }, false, state.NotReady, "switch"},
		{"switch gone once it is done", func(t *testing.T, f *farm) { os.Remove(filepath.Join(f.dir, "switch-to-blue.sh")) }, true, state.Ready, ""},
		{"production moved", func(t *testing.T, f *farm) { f.write(t, "live", "v9") }, false, state.NotReady, "v9 is live"},
		{"something else is live", func(t *testing.T, f *farm) { f.write(t, "live", "v9") }, true, state.Doubtful, "v9 is live"},
		{"version says too much", func(t *testing.T, f *farm) { f.write(t, "live", "version v9") }, true, state.Doubtful, "one word"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := blueGreen(t)
			if tc.name == "no dry run" {
				tc.break_(t, f)
			}
			p := f.plan(t)
			tc.break_(t, f)
			proof, err := f.strategy().Prove(t.Context(), p, tc.started)
			if err != nil || proof.Ready != tc.want || !strings.Contains(proof.Why, tc.says) {
				t.Errorf("%s %q, %v", proof.Ready, proof.Why, err)
			}
		})
	}
}

// TestNothingWouldShow: a rollback that nothing looks at afterwards is doubtful.
func TestNothingWouldShow(t *testing.T) {
	f := blueGreen(t)
	f.env.Script.Version, f.env.Script.ValidateRollback, f.env.URL = nil, nil, ""
	proof, err := f.strategy().Prove(t.Context(), f.plan(t), false)
	if err != nil || proof.Ready != state.Doubtful || !strings.Contains(proof.Why, "nothing would show") {
		t.Errorf("%s %q, %v", proof.Ready, proof.Why, err)
	}
}

// TestUnhealthy: what validate and monitor say against the new version is about it;
// that they cannot look is not.
func TestUnhealthy(t *testing.T) {
	for script, want := range map[string]string{"echo 500 on /login >&2; exit 3": "unhealthy", "sleep 100": "timed-out"} {
		f := blueGreen(t)
		f.script(t, "health-check-blue.sh", script)
		if want == "timed-out" {
			f.env.Script.Validate.Timeout = state.Duration(200 * time.Millisecond)
		}
		_, err := f.strategy().Stage(t.Context(), f.plan(t), 0, first, io.Discard)
		if !state.HasCode(err, want) || want == "unhealthy" && !strings.Contains(err.Error(), "500 on /login") {
			t.Errorf("%s: %v", script, err)
		}
	}
}

// TestRollbackFails: the error, and the exact commands; pressed again it is tried
// again.
func TestRollbackFails(t *testing.T) {
	f := blueGreen(t)
	p := f.plan(t)
	for i := range 2 {
		if _, err := f.strategy().Stage(t.Context(), p, i, first, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	f.script(t, "rollback.sh", `echo "the load balancer does not answer"; exit 1`)
	last := map[string]state.ItemStatus{}
	v, err := f.strategy().Rollback(t.Context(), p, steps.Fence{Incident: first.Incident, Epoch: 1}, func(op state.RollbackOp) { last[op.Op] = op.Status })
	if err == nil || !strings.Contains(err.Error(), "load balancer") {
		t.Errorf("error %v", err)
	}
	if len(v.Manual) != 3 || v.Manual[0] != p.Inverse[0].Command || !strings.HasSuffix(v.Manual[0], "./rollback.sh") || v.Manual[2] != "curl -sI http://farm" {
		t.Errorf("by hand: %q", v.Manual)
	}
	if last[opScript] != state.ItemFailed || last[opValidate] != state.ItemFailed || last[opVerify] != state.ItemFailed {
		t.Errorf("operations %v", last)
	}
	f.script(t, "rollback.sh", `echo "$PREVIOUS_VERSION" >live`)
	if _, err := f.strategy().Rollback(t.Context(), p, steps.Fence{Incident: first.Incident, Epoch: 2}, func(state.RollbackOp) {}); err != nil {
		t.Errorf("again: %v", err)
	}
}

// TestNothingToTakeBack: before the first hook, R does not run the rollback hook where
// the version hook says that all is as it was.
func TestNothingToTakeBack(t *testing.T) {
	f := blueGreen(t)
	f.script(t, "rollback.sh", `echo ran >ran`)
	if _, err := f.strategy().Rollback(t.Context(), f.plan(t), steps.Fence{Incident: first.Incident, Epoch: 1}, func(state.RollbackOp) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(f.dir, "ran")); err == nil {
		t.Error("the rollback hook ran")
	}
}

// TestRollbackWithoutADisk: a fence that cannot be written holds no rollback up.
func TestRollbackWithoutADisk(t *testing.T) {
	f := blueGreen(t)
	p := f.plan(t)
	f.write(t, "live", newVersion)
	f.write(t, "fences", "a file where the folder should be")
	var out strings.Builder
	v, err := f.strategy().Rollback(steps.WithOutput(t.Context(), &out), p, steps.Fence{Incident: first.Incident, Epoch: 1}, func(state.RollbackOp) {})
	if err != nil || f.read(t, "live") != oldVersion || !strings.Contains(out.String(), "without a fence") {
		t.Errorf("%+v %v, live %s, output %q", v, err, f.read(t, "live"), out.String())
	}
}

// TestSecretsStayOut: what a hook's environment holds is in no plan, and a secret
// argument is refused.
func TestSecretsStayOut(t *testing.T) {
	f := again(t)
	f.script(t, "deploy-production.sh", `[ "$LB_TOKEN" = hunter2hunter2 ] && echo "$1" >live`)
	f.env.Script.Deploy.Env = map[string]string{"LB_TOKEN": "hunter2hunter2", "REGION": "eu"}
	p := f.plan(t)
	raw, err := json.Marshal(p)
	if err != nil || strings.Contains(string(raw), "hunter2") || !strings.Contains(p.Stages[0].Ops[0].Command, "REGION=eu") {
		t.Errorf("plan %s, %v", raw, err)
	}
	if _, err := f.strategy().Stage(t.Context(), p, 0, first, io.Discard); err != nil {
		t.Error(err)
	}
	f.env.Script.Deploy.Env = nil
	if _, err := f.strategy().Stage(t.Context(), p, 0, steps.Fence{Incident: first.Incident, Epoch: 1}, io.Discard); !state.HasCode(err, "config") {
		t.Errorf("without its environment: %v", err)
	}
	f.env.Script.Deploy.Run = append(f.env.Script.Deploy.Run, "--token=hunter2hunter2")
	s := Script(ScriptOptions{Service: "shop", Environments: map[string]runbook.Environment{"production": f.env}, Fences: f.dir, Redact: NewRedactor("hunter2hunter2")})
	if _, err := s.Plan(t.Context(), f.order()); !state.HasCode(err, "config") {
		t.Errorf("a secret argument: %v", err)
	}
}

// TestLook tells a person how it stands.
func TestLook(t *testing.T) {
	f := blueGreen(t)
	p := f.plan(t)
	if _, err := f.strategy().Stage(t.Context(), p, 0, first, io.Discard); err != nil {
		t.Fatal(err)
	}
	lines, err := f.strategy().Look(t.Context(), p)
	if err != nil || len(lines) != 2 || lines[0] != "environment production: deploy ended well (fence INC-20261122-01/0)" || lines[1] != "live: v1.2.3" {
		t.Errorf("%q, %v", lines, err)
	}
}
